//! A tensor with some entries written or joined with others: `out = x`, then for each element of `v`, in
//! the order of its axes, `out[ids₁[v…], ids₂[v…], …, v…] = v`, `+ v`, `· v` or the larger of
//! both (`scatter_` and `scatter_reduce_` of PyTorch, ScatterND of ONNX).
//!
//! Count: for each element of `v` one add, mul or max if it is real; none of whole numbers and of writing.

use opledger_dims::{Binding, Class, Counts, Poly, Scalar, Symbol};
use opledger_tensor::Tensor;

use super::gather_nd::{expect_places, looked_up, place, steps};
use crate::operation::Operation;
use crate::value::indices;
use crate::{AxisMap, Call, Cost, Facts, Kind, OpError, Part, Shape, ShapeError, Value};

/// What becomes of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScatterKind {
    /// The element takes its place; of several the last.
    Write,
    /// The element is added to it.
    Add,
    /// It is multiplied by the element.
    Mul,
    /// The larger of both takes its place.
    Max,
}

impl ScatterKind {
    /// What an element costs.
    fn class(self) -> Option<Class> {
        match self {
            ScatterKind::Write => None,
            ScatterKind::Add => Some(Class::Add),
            ScatterKind::Mul => Some(Class::Mul),
            ScatterKind::Max => Some(Class::Max),
        }
    }

    /// What becomes of a whole number; sums and products that are too large wrap round.
    pub fn of_whole(self, there: i64, element: i64) -> i64 {
        match self {
            ScatterKind::Write => element,
            ScatterKind::Add => there.wrapping_add(element),
            ScatterKind::Mul => there.wrapping_mul(element),
            ScatterKind::Max => there.max(element),
        }
    }
}

/// `x`, `v` and whole numbers for each axis of `x` that is looked up along. These have some of the axes
/// of `v`; the other axes of `x` stand in `v` by name. The result has the axes of `x`.
#[derive(Clone, Debug, PartialEq)]
pub struct Scatter {
    /// What becomes of an entry.
    pub kind: ScatterKind,
    /// The axes of `x` that are looked up along, one for each operand of whole numbers.
    pub along: Vec<Symbol>,
}

impl Scatter {
    /// For each element of `v`, its place in the result.
    ///
    /// # Errors
    /// When an id is outside its axis.
    pub fn places<T>(&self, call: &Call<'_, T>) -> Result<Vec<usize>, OpError> {
        let sizes = call.inputs.get(1).ok_or(OpError::Operand(1))?.shape();
        let axes = &call.shapes[1].axes;
        let own = steps(axes, call.shapes[0], call.output, &self.along);
        let looked_up = looked_up(&self.along, call.shapes[0], call.output)?;
        let ids = (2..call.inputs.len())
            .map(|at| {
                let ids = call.index(at)?;
                Ok((ids, steps(axes, call.shapes[at], ids.shape(), &[])))
            })
            .collect::<Result<Vec<_>, OpError>>()?;
        let mut places = Vec::with_capacity(sizes.iter().product());
        for index in indices(sizes) {
            let at = |steps: &[usize]| index.iter().zip(steps).map(|(i, step)| i * step).sum();
            let mut to: usize = at(&own);
            for ((ids, steps), [positions, step]) in ids.iter().zip(&looked_up) {
                let id: usize = at(steps);
                to += place(ids.data()[id], *positions)? * step;
            }
            places.push(to);
        }
        Ok(places)
    }
}

impl Operation for Scatter {
    fn name(&self) -> &'static str {
        match self.kind {
            ScatterKind::Write => "scatter",
            ScatterKind::Add => "scatter_add",
            ScatterKind::Mul => "scatter_mul",
            ScatterKind::Max => "scatter_max",
        }
    }

    fn signature(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [x, v, ids @ ..] = inputs else {
            return Err(ShapeError::Arity { expected: 2 + self.along.len(), found: inputs.len() });
        };
        v.expect(1, x.elem.kind())?;
        expect_places(x, ids, 2, &self.along, &v.axes)?;
        Ok(vec![(*x).clone()])
    }

    fn cost(&self, inputs: &[&Shape], _: &Shape) -> Cost {
        let Some(class) = self.kind.class() else { return Cost::free() };
        let counts = match inputs[0].elem.kind() {
            Kind::Real => Counts::zero().with(class, inputs[1].elements()),
            Kind::Whole => Counts::zero(),
        };
        Cost::of(Part::Pointwise, counts)
    }

    fn summed(&self, _: &[&Shape]) -> Vec<(Symbol, Poly)> {
        Vec::new()
    }

    fn facts(&self) -> Facts<'_> {
        match self.kind.class() {
            None => Facts::of(&[]),
            Some(_) => Facts::of(&[Part::Pointwise]),
        }
    }

    fn axis_map(&self, inputs: &[&Shape], output: &Shape) -> AxisMap {
        let along = |name: &Symbol| match self.along.contains(name) {
            true => None,
            false => output.position(name),
        };
        AxisMap::new(
            inputs.iter().map(|shape| shape.axes.iter().map(|axis| along(&axis.name)).collect()),
        )
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
        mark: &mut dyn FnMut(Part),
    ) -> Result<Vec<Value<T>>, OpError> {
        let places = self.places(call)?;
        let value = match call.inputs.first() {
            Some(Value::Index(_)) => {
                let (mut out, v) = (call.index(0)?.data().to_vec(), call.index(1)?);
                for (to, v) in places.into_iter().zip(v.data()) {
                    out[to] = self.kind.of_whole(out[to], *v);
                }
                Value::Index(Tensor::new(call.output, out)?)
            }
            Some(Value::Real(_)) | None => {
                let (mut out, v) = (call.real(0)?.data().to_vec(), call.real(1)?);
                for (to, v) in places.into_iter().zip(v.data()) {
                    out[to] = match self.kind {
                        ScatterKind::Write => *v,
                        ScatterKind::Add => out[to] + *v,
                        ScatterKind::Mul => out[to] * *v,
                        ScatterKind::Max => out[to].max(*v),
                    };
                }
                Tensor::new(call.output, out)?.into()
            }
        };
        if self.kind.class().is_some() {
            mark(Part::Pointwise);
        }
        Ok(vec![value])
    }
}

#[cfg(test)]
mod tests {
    use super::ScatterKind;
    use crate::ops::proof::{evaluate, prove};
    use crate::ops::{IndexMap, ToReal};
    use crate::{Axis, Graph, IndexExpr};
    use proptest::prelude::*;

    const KINDS: [ScatterKind; 4] =
        [ScatterKind::Write, ScatterKind::Add, ScatterKind::Mul, ScatterKind::Max];

    proptest! {
        #[test]
        fn counted_reference_equals_cost(b in 0..3_usize, n in 1..5_usize, c in 1..4_usize, k in 0..5_usize) {
            let mut g = Graph::new();
            let x = g.input("x", ["b", "n", "c"]).unwrap();
            let v = g.input("v", ["k", "b", "c"]).unwrap();
            let of_items = g.input("of items", ["b", "k"]).unwrap();
            let rows = g.input_ids("rows", ["k", "b"], "n").unwrap();
            let columns = g.input_ids("columns", ["k"], "c").unwrap();
            let whole = g.input_ids("whole", ["n"], 9).unwrap();
            let more = g.input_ids("more", ["k", "b"], 9).unwrap();
            for kind in KINDS {
                g.scatter(kind, x, v, &[("n", rows)]).unwrap();
                g.scatter(kind, x, of_items, &[("n", rows), ("c", columns)]).unwrap();
                g.scatter(kind, whole, more, &[("n", rows)]).unwrap();
            }
            prove(&g, &[("b", b), ("n", n), ("c", c), ("k", k)]);
        }
    }

    #[test]
    fn what_meets_is_joined_and_of_what_is_written_the_last_stays() {
        let mut g = Graph::new();
        let x = g.input("x", [("n", 3)]).unwrap();
        let v = g.input("v", [("k", 4)]).unwrap();
        let value = IndexExpr::Position(0).floor_div(&2.into());
        let axes = vec![Axis::new("k", 4)];
        let ids = g.record("", IndexMap { axes, value, truth: false }, &[]).unwrap();
        let feeds: [(&str, &[f64]); 2] = [("x", &[1., 2., 3.]), ("v", &[10., 20., 40., 30.])];
        let [written, added, multiplied, largest] =
            KINDS.map(|kind| g.scatter(kind, x, v, &[("n", ids)]).unwrap());
        assert_eq!(evaluate(&g, written, &feeds), [20., 30., 3.]);
        assert_eq!(evaluate(&g, added, &feeds), [31., 72., 3.]);
        assert_eq!(evaluate(&g, multiplied, &feeds), [200., 2400., 3.]);
        assert_eq!(evaluate(&g, largest, &feeds), [20., 40., 3.]);
        let real = g.record("", ToReal, &[ids]).unwrap();
        let mut refused = |x, v, along: &[(&str, _)]| {
            g.scatter(ScatterKind::Write, x, v, along).unwrap_err().problem.to_string()
        };
        assert_eq!(refused(x, ids, &[]), "operand 1 holds i64 elements where reals are needed");
        assert_eq!(refused(x, v, &[("m", ids)]), "operand 0 has no axis `m`");
        assert_eq!(
            refused(x, v, &[("n", real)]),
            "operand 2 holds f32 elements where whole numbers are needed"
        );
    }
}
