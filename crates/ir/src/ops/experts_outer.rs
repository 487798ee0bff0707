//! The outer products of two rows for each choice, added up by the expert chosen:
//! `out[e, f, c] = Σ_{…, j: ids[…, j] = e} y[…, j, f] · x[…, c]`, and the same where `x[…, j, c]` differs
//! from choice to choice. It is the gradient of the weights of [experts](super::Experts) (Shazeer et al.
//! 2017, §2).
//!
//! Count: each product is added to its place in a result of zeros, whichever experts are chosen: for each
//! id f·c mul and as many add.

use opledger_dims::{Binding, Class, Counts, Poly, Scalar, Symbol};

use crate::expect::expect_distinct;
use crate::operation::{Operation, operands};
use crate::{Axis, AxisMap, Call, Cost, Facts, Kind, OpError, Part, Shape, ShapeError, Value};

/// `y […, k, f]`, ids `[…, k]` in `0..x` and `x […, c]` or `[…, k, c]` to `[x, f, c]`.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpertsOuter {
    /// The axis of experts.
    pub experts: Axis,
}

impl ExpertsOuter {
    /// How many ids, one after the other, belong to each row of `x`: `k`, or 1 where each has its own.
    ///
    /// # Errors
    /// When an operand is missing.
    pub fn ids_per_row<T>(call: &Call<'_, T>) -> Result<usize, OpError> {
        let own = call.real(2)?.shape().len() > call.index(1)?.shape().len();
        Ok(if own { 1 } else { call.index(1)?.shape().last().copied().unwrap_or(1) })
    }
}

impl Operation for ExpertsOuter {
    fn name(&self) -> &'static str {
        "experts_outer"
    }

    fn signature(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [y, ids, x] = operands(inputs)?;
        y.expect(0, Kind::Real)?;
        ids.expect(1, Kind::Whole)?;
        x.expect(2, Kind::Real)?;
        let [tokens @ .., _] = &ids.axes[..] else {
            return Err(ShapeError::Rank { operand: 1, expected: 1, found: 0 });
        };
        y.expect_leading(0, &ids.axes, 1)?;
        let shared = x.axes.len() == ids.axes.len();
        x.expect_leading(2, if shared { tokens } else { &ids.axes }, 1)?;
        let rows = [y, x].into_iter().filter_map(Shape::last).cloned();
        let axes: Vec<Axis> = std::iter::once(self.experts.clone()).chain(rows).collect();
        expect_distinct(&axes)?;
        Ok(vec![y.with_axes(axes)])
    }

    fn cost(&self, inputs: &[&Shape], output: &Shape) -> Cost {
        let each: Poly = output.axes[1..].iter().map(|axis| &axis.size).product();
        let products = inputs[1].elements() * each;
        let counts = Counts::zero().with(Class::Mul, products.clone()).with(Class::Add, products);
        Cost::of(Part::Contraction, counts)
    }

    fn summed(&self, _: &[&Shape]) -> Vec<(Symbol, Poly)> {
        Vec::new()
    }

    fn facts(&self) -> Facts<'_> {
        Facts::of(&[Part::Contraction]).sizes([&self.experts.size])
    }

    fn axis_map(&self, inputs: &[&Shape], _: &Shape) -> AxisMap {
        // The elements of each row run along; choices are summed.
        AxisMap::new(inputs.iter().enumerate().map(|(operand, shape)| {
            let mut along = vec![None; shape.axes.len()];
            if let (Some(last), Some(to)) = (along.last_mut(), [Some(1), None, Some(2)][operand]) {
                *last = Some(to);
            }
            along
        }))
    }

    fn detail(&self) -> String {
        String::new()
    }

    fn conflict(&self, _: &[&Shape], _: &Binding) -> Option<String> {
        None
    }

    fn reference<T: Scalar>(
        &self,
        call: &Call<'_, T>,
        mark: &mut dyn FnMut(Part),
    ) -> Result<Vec<Value<T>>, OpError> {
        let (y, ids, x) = (call.real(0)?, call.index(1)?, call.real(2)?);
        let [experts, width, terms] = call.output[..] else { return Err(OpError::Operand(0)) };
        let per_row = ExpertsOuter::ids_per_row(call)?.max(1);
        let mut out = vec![T::from_f64(0.0); call.output_len()];
        for (at, &id) in ids.data().iter().enumerate() {
            let expert = usize::try_from(id).ok().filter(|expert| *expert < experts);
            let expert = expert.ok_or(OpError::Index { index: id, rows: experts })?;
            let row = &x.data()[at / per_row * terms..][..terms];
            for (column, y) in y.data()[at * width..][..width].iter().enumerate() {
                let to = &mut out[(expert * width + column) * terms..][..terms];
                for (sum, x) in to.iter_mut().zip(row) {
                    *sum = *sum + *y * *x;
                }
            }
        }
        mark(Part::Contraction);
        call.result(out)
    }
}

#[cfg(test)]
mod tests {
    use crate::ops::proof::{evaluate, prove};
    use crate::{Axis, Graph};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn counted_reference_equals_cost(
            b in 0..3_usize, n in 1..4_usize, k in 0..4_usize, x in 1..5_usize, f in 0..4_usize, c in 0..4_usize,
        ) {
            let mut g = Graph::new();
            let ids = g.input_ids("ids", ["b", "n", "k"], "x").unwrap();
            let y = g.input("y", ["b", "n", "k", "f"]).unwrap();
            let shared = g.input("shared", ["b", "n", "c"]).unwrap();
            let own = g.input("own", ["b", "n", "k", "c"]).unwrap();
            for x in [shared, own] {
                let sums = g.experts_outer("", y, ids, x, "x").unwrap();
                prop_assert_eq!(g.shape(sums).to_string(), "[x, f, c]");
            }
            prop_assert_eq!(g.cost().macs().degree_in(&"x".into()), 0);
            prove(&g, &[("b", b), ("n", n), ("k", k), ("x", x), ("f", f), ("c", c)]);
        }
    }

    #[test]
    fn each_choice_is_added_to_its_expert() {
        let mut g = Graph::new();
        let scores = g.input("scores", [("n", 2), ("x", 3)]).unwrap();
        let ids = g.top_k(scores, ("k", 2)).unwrap();
        let y = g.input("y", [("n", 2), ("k", 2), ("f", 1)]).unwrap();
        let shared = g.input("shared", [("n", 2), ("c", 2)]).unwrap();
        let own = g.input("own", [("n", 2), ("k", 2), ("c", 2)]).unwrap();
        let together = g.experts_outer("", y, ids, shared, ("x", 3)).unwrap();
        let apart = g.experts_outer("", y, ids, own, ("x", 3)).unwrap();
        let feeds: [(&str, &[f64]); 4] = [
            // Token 0 goes to experts 2 and 0, token 1 to 1 and 2.
            ("scores", &[1., 0., 2., 0., 2., 1.]),
            ("y", &[1., 10., 100., 1000.]),
            ("shared", &[1., 2., 3., 4.]),
            ("own", &[1., 0., 0., 1., 1., 1., 2., 0.]),
        ];
        assert_eq!(evaluate(&g, together, &feeds), [10., 20., 300., 400., 3001., 4002.]);
        assert_eq!(evaluate(&g, apart, &feeds), [0., 10., 100., 100., 2001., 0.]);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let mut g = Graph::new();
        let ids = g.input_ids("ids", ["n", "k"], "x").unwrap();
        let y = g.input("y", ["n", "k", "f"]).unwrap();
        let x = g.input("x", ["n", "c"]).unwrap();
        let mut error = |y, x, axis: Axis| {
            g.experts_outer("", y, ids, x, axis).unwrap_err().problem.to_string()
        };
        assert_eq!(error(y, x, "f".into()), "the result would have two axes `f`");
        assert_eq!(error(x, x, "x".into()), "operand 0 has 2 axes where 3 are needed");
        assert_eq!(
            error(y, ids, "x".into()),
            "operand 2 holds i64 elements where reals are needed"
        );
        assert_eq!(error(y, y, "x".into()), "the result would have two axes `f`");
    }
}
