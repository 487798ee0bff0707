//! Entries by their places along several axes: `out[r…] = x[ids₁[r…], ids₂[r…], …, r…]`, the advanced
//! indexing of NumPy (Harris et al. 2020). A look-up is no arithmetic: count none.

use opledger_dims::{Binding, Poly, Scalar, Symbol};

use crate::expect::expect_distinct;
use crate::operation::Operation;
use crate::value::{indices, strides};
use crate::{
    Axis, AxisMap, Call, Cost, Facts, Kind, OpError, Part, Picked, Shape, ShapeError, Value,
};

/// `x` and whole numbers for each axis that is looked up along. These have some of the result's axes;
/// the other axes of `x` stand in the result by name.
#[derive(Clone, Debug, PartialEq)]
pub struct GatherNd {
    /// The axes of the result.
    pub axes: Vec<Axis>,
    /// The axes of `x` that are looked up along, one for each operand of whole numbers.
    pub along: Vec<Symbol>,
}

impl GatherNd {
    /// For each axis of the result, the elements of an operand from one position to the next; 0 where
    /// it lacks the axis, or is looked up along it.
    pub fn strides(&self, operand: usize, shape: &Shape, sizes: &[usize]) -> Vec<usize> {
        steps(&self.axes, shape, sizes, if operand == 0 { &self.along } else { &[] })
    }

    /// For each axis that is looked up along, how many positions it has and the elements of `x` from one
    /// to the next.
    ///
    /// # Errors
    /// When an axis is missing.
    pub fn looked_up(&self, x: &Shape, sizes: &[usize]) -> Result<Vec<[usize; 2]>, OpError> {
        looked_up(&self.along, x, sizes)
    }
}

/// For each of some axes, the elements of an operand from one position to the next; 0 where it lacks the
/// axis or `along` has it.
pub(super) fn steps(axes: &[Axis], shape: &Shape, sizes: &[usize], along: &[Symbol]) -> Vec<usize> {
    let own = strides(sizes);
    let place = |axis: &Axis| match along.contains(&axis.name) {
        true => None,
        false => shape.position(&axis.name),
    };
    axes.iter().map(|axis| place(axis).map_or(0, |at| own[at])).collect()
}

/// For each of some axes of an operand, its positions and the elements from one to the next.
pub(super) fn looked_up(
    along: &[Symbol],
    x: &Shape,
    sizes: &[usize],
) -> Result<Vec<[usize; 2]>, OpError> {
    let own = strides(sizes);
    let axis = |name| x.position(name).map(|at| [sizes[at], own[at]]).ok_or(OpError::Operand(0));
    along.iter().map(axis).collect()
}

/// Checks that `x` has the axes that are looked up along, each once, that there are whole numbers for
/// each of them over some of `axes`, and that the other axes of `x` are among `axes`.
pub(super) fn expect_places(
    x: &Shape,
    ids: &[&Shape],
    first: usize,
    along: &[Symbol],
    axes: &[Axis],
) -> Result<(), ShapeError> {
    if ids.len() != along.len() {
        return Err(ShapeError::Arity { expected: first + along.len(), found: first + ids.len() });
    }
    for (at, name) in along.iter().enumerate() {
        if along[..at].contains(name) {
            return Err(ShapeError::Duplicate(name.clone()));
        }
        if x.position(name).is_none() {
            return Err(ShapeError::Missing { operand: 0, axis: name.clone() });
        }
    }
    x.expect_among(0, axes, along)?;
    for (at, shape) in ids.iter().enumerate() {
        shape.expect_among(first + at, axes, &[])?;
        shape.expect(first + at, Kind::Whole)?;
    }
    Ok(())
}

/// The place of an id along an axis of so many positions.
pub(super) fn place(id: i64, positions: usize) -> Result<usize, OpError> {
    let place = usize::try_from(id).ok().filter(|place| *place < positions);
    place.ok_or(OpError::Index { index: id, rows: positions })
}

impl Operation for GatherNd {
    fn name(&self) -> &'static str {
        "gather_nd"
    }

    fn signature(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [x, ids @ ..] = inputs else {
            return Err(ShapeError::Arity { expected: 1 + self.along.len(), found: 0 });
        };
        x.expect(0, Kind::Real)?;
        expect_distinct(&self.axes)?;
        expect_places(x, ids, 1, &self.along, &self.axes)?;
        Ok(vec![x.with_axes(self.axes.clone())])
    }

    fn cost(&self, _: &[&Shape], _: &Shape) -> Cost {
        Cost::free()
    }

    fn summed(&self, _: &[&Shape]) -> Vec<(Symbol, Poly)> {
        Vec::new()
    }

    fn facts(&self) -> Facts<'_> {
        Facts::of(&[]).picking(0, Picked::Result)
    }

    fn axis_map(&self, inputs: &[&Shape], output: &Shape) -> AxisMap {
        let map = AxisMap::by_name(inputs, output);
        let along = self.along.iter().filter_map(|name| inputs.first()?.position(name));
        along.fold(map, |map, at| map.mixing(0, at))
    }

    fn detail(&self) -> String {
        let names: Vec<&str> = self.along.iter().map(Symbol::as_str).collect();
        format!("along {}", names.join(", "))
    }

    fn conflict(&self, _: &[&Shape], _: &Binding) -> Option<String> {
        None
    }

    fn reference<T: Scalar>(
        &self,
        call: &Call<'_, T>,
        _: &mut dyn FnMut(Part),
    ) -> Result<Vec<Value<T>>, OpError> {
        let x = call.table(0)?;
        let looked_up = self.looked_up(call.shapes[0], x.shape())?;
        let steps = self.strides(0, call.shapes[0], x.shape());
        let ids = (1..call.inputs.len())
            .map(|at| {
                let ids = call.index(at)?;
                Ok((ids, self.strides(at, call.shapes[at], ids.shape())))
            })
            .collect::<Result<Vec<_>, OpError>>()?;
        let mut out = Vec::with_capacity(call.output_len());
        for index in indices(call.output) {
            let at = |steps: &[usize]| index.iter().zip(steps).map(|(i, step)| i * step).sum();
            let mut from: usize = at(&steps);
            for ((ids, steps), [positions, step]) in ids.iter().zip(&looked_up) {
                let own: usize = at(steps);
                from += place(ids.data()[own], *positions)? * step;
            }
            call.reads.some(0, 1);
            out.push(x.data()[from]);
        }
        call.result(out)
    }
}

#[cfg(test)]
mod tests {
    use crate::ops::IndexMap;
    use crate::ops::proof::{evaluate, prove};
    use crate::{Axis, Graph, IndexExpr};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn counted_reference_equals_cost(b in 0..3_usize, n in 1..5_usize, c in 1..4_usize, k in 0..4_usize) {
            let mut g = Graph::new();
            let x = g.input("x", ["b", "n", "c"]).unwrap();
            let rows = g.input_ids("rows", ["k", "b"], "n").unwrap();
            let columns = g.input_ids("columns", ["k"], "c").unwrap();
            g.gather_nd(x, ["k", "c", "b"], &[("n", rows)]).unwrap();
            g.gather_nd(x, ["b", "k"], &[("c", columns), ("n", rows)]).unwrap();
            prove(&g, &[("b", b), ("n", n), ("c", c), ("k", k)]);
        }
    }

    #[test]
    fn each_place_is_looked_up_along_its_own_axis() {
        let mut g = Graph::new();
        let x = g.input("x", [("i", 2), ("j", 3)]).unwrap();
        // x[k, 2 − k] for k in 0..2, and the columns of each row backwards.
        let position = IndexExpr::Position(0);
        let map = |axis: (&str, i64), value| IndexMap {
            axes: vec![Axis::from(axis)],
            value,
            truth: false,
        };
        let backwards = IndexExpr::from(2).minus(&position);
        let rows = g.record("", map(("k", 2), position.clone()), &[]).unwrap();
        let columns = g.record("", map(("k", 2), backwards.clone()), &[]).unwrap();
        let y = g.gather_nd(x, [("k", 2)], &[("i", rows), ("j", columns)]).unwrap();
        let turned = g.record("", map(("j", 3), backwards), &[]).unwrap();
        let z = g.gather_nd(x, [("i", 2), ("j", 3)], &[("j", turned)]).unwrap();
        let feeds: [(&str, &[f64]); 1] = [("x", &[1., 2., 3., 4., 5., 6.])];
        assert_eq!(evaluate(&g, y, &feeds), [3., 5.]);
        assert_eq!(evaluate(&g, z, &feeds), [3., 2., 1., 6., 5., 4.]);
        let mut refused = |axes: &[(&str, i64)], along: &[(&str, _)]| {
            let axes = axes.iter().copied();
            g.gather_nd(x, axes, along).unwrap_err().problem.to_string()
        };
        assert_eq!(refused(&[("k", 2)], &[("l", rows)]), "operand 0 has no axis `l`");
        assert_eq!(
            refused(&[("k", 2)], &[("i", rows)]),
            "operand 0 has an axis `j`, which [k=2] lacks"
        );
        assert_eq!(
            refused(&[("k", 4), ("j", 3)], &[("i", rows)]),
            "axis `k` is 2 in one operand and 4 in another"
        );
        assert_eq!(
            refused(&[("k", 2)], &[("i", rows), ("j", x)]),
            "operand 2 has an axis `i`, which [k=2] lacks"
        );
    }
}
