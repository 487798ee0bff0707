//! Pooling to a number of results, whatever the size of the input: along each axis, window i of r over s
//! positions goes from ⌊i·s/r⌋ to ⌈(i + 1)·s/r⌉ (`AdaptiveAvgPool` and `AdaptiveMaxPool` of PyTorch;
//! spatial pyramid pooling, He et al. 2014).
//!
//! Count: neighbouring windows share a position unless one ends where the next begins, so along each axis
//! they have T = s + r − gcd(s, r) positions together. Per item of the other axes, a maximum ΠT − Πr max;
//! a mean as many add and Πr div.

use std::ops::Range;

use opledger_dims::{Binding, Class, Counts, Poly, Scalar, Symbol};

use super::PoolKind;
use super::norm::sum;
use crate::expect::expect_distinct;
use crate::operation::{Operation, operands};
use crate::value::{indices, strides};
use crate::{Axis, AxisMap, Call, Cost, Facts, Kind, OpError, Part, Shape, ShapeError, Value};

/// `x […, s…]` to `[…, r…]`.
#[derive(Clone, Debug, PartialEq)]
pub struct AdaptivePool {
    /// What becomes of a window; there is no padding, so that both means are one.
    pub kind: PoolKind,
    /// The axes of the result: as `x` has them, then one for each axis that is pooled along.
    pub axes: Vec<Axis>,
    /// For each axis that is pooled along, the positions of all windows together, as
    /// [`Graph::adaptive_pool`](crate::Graph::adaptive_pool) finds them.
    pub taps: Vec<Poly>,
}

/// The positions of a window, one of `results` over `input` positions.
fn window(at: usize, results: usize, input: usize) -> Range<usize> {
    let edge = |at: usize| at as u128 * input as u128;
    let results = results as u128;
    (edge(at) / results) as usize..edge(at + 1).div_ceil(results) as usize
}

impl Operation for AdaptivePool {
    fn name(&self) -> &'static str {
        match self.kind {
            PoolKind::Max => "adaptive_max_pool",
            PoolKind::Mean | PoolKind::MeanWithPadding => "adaptive_mean_pool",
        }
    }

    fn signature(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [x] = operands(inputs)?;
        x.expect(0, Kind::Real)?;
        expect_distinct(&self.axes)?;
        let pooled = self.taps.len();
        if !(1..=3).contains(&pooled) || self.axes.len() < pooled {
            let problem = format!("1 to 3 axes are pooled along, {pooled} are given");
            return Err(ShapeError::Sizes(problem));
        }
        x.expect_leading(0, &self.axes[..self.axes.len() - pooled], pooled)?;
        Ok(vec![x.with_axes(self.axes.clone())])
    }

    fn cost(&self, _: &[&Shape], output: &Shape) -> Cost {
        let items = self.axes[..self.axes.len() - self.taps.len()].iter();
        let taps = items.map(|axis| &axis.size).chain(&self.taps).product::<Poly>();
        let results = output.elements();
        let joins = taps - &results;
        let counts = match self.kind {
            PoolKind::Max => Counts::zero().with(Class::Max, joins),
            PoolKind::Mean | PoolKind::MeanWithPadding => {
                Counts::zero().with(Class::Add, joins).with(Class::Div, results)
            }
        };
        Cost::of(Part::Pointwise, counts)
    }

    fn summed(&self, inputs: &[&Shape]) -> Vec<(Symbol, Poly)> {
        let first = self.axes.len() - self.taps.len();
        inputs[0].axes[first..].iter().map(|axis| (axis.name.clone(), axis.size.clone())).collect()
    }

    fn facts(&self) -> Facts<'_> {
        Facts::of(&[Part::Pointwise])
    }

    fn axis_map(&self, inputs: &[&Shape], _: &Shape) -> AxisMap {
        let items = self.axes.len() - self.taps.len();
        let along = |at: usize| (at < items).then_some(at);
        AxisMap::new(inputs.iter().map(|x| (0..x.axes.len()).map(along).collect()))
    }

    fn detail(&self) -> String {
        let names = self.axes[self.axes.len() - self.taps.len()..].iter();
        format!("to {}", names.map(|axis| axis.size.to_string()).collect::<Vec<_>>().join("×"))
    }

    fn conflict(&self, _: &[&Shape], _: &Binding) -> Option<String> {
        None
    }

    fn reference<T: Scalar>(
        &self,
        call: &Call<'_, T>,
        mark: &mut dyn FnMut(Part),
    ) -> Result<Vec<Value<T>>, OpError> {
        let x = call.real(0)?;
        let own = strides(x.shape());
        let items = self.axes.len() - self.taps.len();
        let mut out = Vec::with_capacity(call.output_len());
        for index in indices(call.output) {
            let first: usize = index[..items].iter().zip(&own).map(|(i, stride)| i * stride).sum();
            let mut places = vec![first];
            for axis in items..index.len() {
                let (window, step) =
                    (window(index[axis], call.output[axis], x.shape()[axis]), own[axis]);
                let further = |from: usize| window.clone().map(move |at| from + at * step);
                places = places.into_iter().flat_map(further).collect();
            }
            let counted = T::from_f64(places.len() as f64);
            let elements = places.into_iter().map(|place| x.data()[place]);
            let pooled = match self.kind {
                PoolKind::Max => elements.reduce(T::max),
                PoolKind::Mean | PoolKind::MeanWithPadding => {
                    sum(elements).map(|sum| sum / counted)
                }
            };
            out.push(pooled.ok_or(OpError::Operand(0))?);
        }
        mark(Part::Pointwise);
        call.result(out)
    }
}

#[cfg(test)]
mod tests {
    use super::PoolKind;
    use crate::ops::proof::{evaluate, prove};
    use crate::{Axis, Graph};
    use opledger_dims::Binding;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn counted_reference_equals_cost(
            b in 0..3_usize,
            axes in prop::collection::vec((1..9_usize, 1..6_usize), 1..4),
            free: bool,
        ) {
            let mut sizes = vec![("b", b)];
            let [mut x, mut result] = [vec![Axis::from("b")], vec![Axis::from("b")]];
            for ((input, results), [s, r]) in
                axes.into_iter().zip([["s", "r"], ["s1", "r1"], ["s2", "r2"]])
            {
                let axis = |name: &'static str, size: usize| match free {
                    true => Axis::from(name),
                    false => Axis::new(name, size),
                };
                if free {
                    sizes.extend([(s, input), (r, results)]);
                }
                x.push(axis(s, input));
                result.push(axis(r, results));
            }
            let mut g = Graph::new();
            let x = g.input("x", x).unwrap();
            for kind in [PoolKind::Max, PoolKind::Mean] {
                g.adaptive_pool(x, kind, 1, result.clone()).unwrap();
            }
            prove(&g, &sizes);
        }
    }

    #[test]
    fn windows_share_a_position_where_none_ends() {
        let mut g = Graph::new();
        let x = g.input("x", [("n", 5)]).unwrap();
        let feeds: [(&str, &[f64]); 1] = [("x", &[1., 2., 3., 4., 6.])];
        // 0..2, 1..4, 3..5: as torch.nn.functional.adaptive_avg_pool1d has them.
        let mean = g.adaptive_pool(x, PoolKind::Mean, 0, [("r", 3)]).unwrap();
        assert_eq!(evaluate(&g, mean, &feeds), [1.5, 3., 5.]);
        let max = g.adaptive_pool(x, PoolKind::Max, 0, [("r", 3)]).unwrap();
        assert_eq!(evaluate(&g, max, &feeds), [2., 4., 6.]);
        let more = g.adaptive_pool(x, PoolKind::Max, 0, [("r", 7)]).unwrap();
        assert_eq!(evaluate(&g, more, &feeds), [1., 2., 3., 3., 4., 6., 6.]);
        let x = g.input("y", ["b", "s"]).unwrap();
        let y = g.adaptive_pool(
            x,
            PoolKind::Mean,
            1,
            [("b", "b".into()), ("r", opledger_dims::Poly::from(7))],
        );
        let cost = g.node_cost(g.node(y.unwrap())).flops().to_string();
        assert_eq!(cost, "b·s - b·common + 7·b");
        let sizes = Binding::from_iter([("b", 2), ("s", 0)]);
        let error = g.check(&g.complete(&sizes).unwrap()).unwrap_err().to_string();
        assert!(error.contains("axis `s`"), "{error}");
        let error = g.adaptive_pool(x, PoolKind::Mean, 1, [("c", 1), ("r", 1)]).unwrap_err();
        assert!(error.problem.to_string().contains("`c` is needed"));
    }
}
