//! A linear map of each row by the weight of each expert that ids choose for it:
//! `out[…, j, f] = Σ_c x[…, c] · weight[ids[…, j], f, c]` (Shazeer et al. 2017, §2), and the same
//! where `x[…, j, c]` differs from choice to choice, as in the second map of an expert.
//!
//! Count: each result is a dot product of c terms: c mul, c − 1 add, whichever experts are chosen.

use opledger_dims::{Binding, Poly, Scalar, Symbol};

use super::norm::sum;
use crate::cost::dot;
use crate::operation::{Operation, operands};
use crate::{AxisMap, Call, Cost, Facts, Kind, OpError, Part, Picked, Shape, ShapeError, Value};

/// `x […, c]` or `[…, k, c]`, ids `[…, k]` in `0..x` and a weight `[x, f, c]` to `[…, k, f]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Experts {
    /// How many experts the choices meet at most.
    pub met: Poly,
}

impl Experts {
    /// How many ids, one after the other, belong to each row of `x`: `k`, or 1 where each has its own.
    ///
    /// # Errors
    /// When an operand is missing.
    pub fn ids_per_row<T>(call: &Call<'_, T>) -> Result<usize, OpError> {
        let own = call.real(0)?.shape().len() > call.index(1)?.shape().len();
        Ok(if own { 1 } else { call.index(1)?.shape().last().copied().unwrap_or(1) })
    }
}

impl Operation for Experts {
    fn name(&self) -> &'static str {
        "experts"
    }

    fn signature(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [x, ids, weight] = operands(inputs)?;
        x.expect(0, Kind::Real)?;
        ids.expect(1, Kind::Whole)?;
        weight.expect(2, Kind::Real)?;
        let [_, width, terms] = &weight.axes[..] else {
            return Err(ShapeError::Rank { operand: 2, expected: 3, found: weight.axes.len() });
        };
        let [tokens @ .., _] = &ids.axes[..] else {
            return Err(ShapeError::Rank { operand: 1, expected: 1, found: 0 });
        };
        let shared = x.axes.len() == ids.axes.len();
        x.expect_leading(0, if shared { tokens } else { &ids.axes }, 1)?;
        let own = x.last().ok_or(ShapeError::Rank { operand: 0, expected: 1, found: 0 })?;
        if own.name != terms.name {
            let (expected, found) = (own.name.clone(), terms.name.clone());
            return Err(ShapeError::Name { operand: 2, position: 2, expected, found });
        }
        if own.size != terms.size {
            let (axis, left, right) = (own.name.clone(), own.size.clone(), terms.size.clone());
            return Err(ShapeError::Size { axis, left, right });
        }
        if ids.position(&width.name).is_some() {
            return Err(ShapeError::Duplicate(width.name.clone()));
        }
        Ok(vec![x.with_axes([&ids.axes, std::slice::from_ref(width)].concat())])
    }

    fn cost(&self, inputs: &[&Shape], output: &Shape) -> Cost {
        let terms = inputs[2].last().map_or_else(Poly::one, |axis| axis.size.clone());
        Cost::of(Part::Contraction, dot(&output.elements(), &terms))
    }

    fn summed(&self, inputs: &[&Shape]) -> Vec<(Symbol, Poly)> {
        inputs[2].last().map(|axis| (axis.name.clone(), axis.size.clone())).into_iter().collect()
    }

    fn facts(&self) -> Facts<'_> {
        Facts::of(&[Part::Contraction]).picking(2, Picked::Places(&self.met))
    }

    fn axis_map(&self, inputs: &[&Shape], output: &Shape) -> AxisMap {
        AxisMap::by_name(inputs, output).mixing_last(0).mixing(2, 0).mixing(2, 2)
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
        let (x, ids, weight) = (call.real(0)?, call.index(1)?, call.table(2)?);
        let [experts, width, terms] = weight.shape()[..] else { return Err(OpError::Operand(2)) };
        let per_row = Experts::ids_per_row(call)?;
        let mut met = vec![false; experts];
        let mut out = Vec::with_capacity(call.output_len());
        for (at, &id) in ids.data().iter().enumerate() {
            let expert = usize::try_from(id).ok().filter(|expert| *expert < experts);
            let expert = expert.ok_or(OpError::Index { index: id, rows: experts })?;
            if !std::mem::replace(&mut met[expert], true) {
                call.reads.some(2, width * terms);
            }
            let row = &x.data()[at / per_row * terms..][..terms];
            for column in 0..width {
                let weight = &weight.data()[(expert * width + column) * terms..][..terms];
                let products = row.iter().zip(weight).map(|(x, w)| *x * *w);
                out.push(sum(products).ok_or(OpError::Operand(0))?);
            }
        }
        mark(Part::Contraction);
        call.result(out)
    }
}

#[cfg(test)]
mod tests {
    use crate::ops::Source;
    use crate::ops::proof::{evaluate, prove};
    use crate::{Axis, Graph};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn counted_reference_equals_cost(
            b in 0..3_usize, n in 1..4_usize, k in 0..4_usize, x in 1..5_usize, f in 0..4_usize, c in 1..4_usize,
        ) {
            let mut g = Graph::new();
            let tokens = g.input("tokens", ["b", "n", "c"]).unwrap();
            let ids = g.input_ids("ids", ["b", "n", "k"], "x").unwrap();
            let up = g.param("up", Source::weight("c"), ["x", "f", "c"]).unwrap();
            let down = g.param("down", Source::weight("f"), ["x", "c", "f"]).unwrap();
            let inner = g.experts("", tokens, ids, up).unwrap();
            prop_assert_eq!(g.shape(inner).to_string(), "[b, n, k, f]");
            if f > 0 {
                let outer = g.experts("", inner, ids, down).unwrap();
                prop_assert_eq!(g.shape(outer).to_string(), "[b, n, k, c]");
            }
            prop_assert_eq!(g.cost().macs().degree_in(&"x".into()), 0);
            prove(&g, &[("b", b), ("n", n), ("k", k), ("x", x), ("f", f), ("c", c)]);
        }
    }

    #[test]
    fn each_choice_has_the_weight_of_its_expert() {
        let mut g = Graph::new();
        let scores = g.input("scores", [("n", 2), ("x", 3)]).unwrap();
        let ids = g.top_k(scores, ("k", 2)).unwrap();
        let x = g.input("x", [("n", 2), ("c", 2)]).unwrap();
        let own = g.input("own", [("n", 2), ("k", 2), ("c", 2)]).unwrap();
        let weight = g.input("weight", [("x", 3), ("f", 1), ("c", 2)]).unwrap();
        let shared = g.experts("", x, ids, weight).unwrap();
        let apart = g.experts("", own, ids, weight).unwrap();
        let feeds: [(&str, &[f64]); 4] = [
            // Token 0 goes to experts 2 and 0, token 1 to 1 and 2.
            ("scores", &[1., 0., 2., 0., 2., 1.]),
            ("x", &[1., 2., 3., 4.]),
            ("own", &[1., 0., 0., 1., 1., 1., 2., 0.]),
            ("weight", &[1., 10., 2., 20., 3., 30.]),
        ];
        assert_eq!(evaluate(&g, shared, &feeds), [63., 21., 86., 129.]);
        assert_eq!(evaluate(&g, apart, &feeds), [3., 10., 22., 6.]);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let mut g = Graph::new();
        let x = g.input("x", ["n", "c"]).unwrap();
        let ids = g.input_ids("ids", ["n", "k"], "x").unwrap();
        let mut error = |name: &str, x, ids, axes: &[Axis]| {
            let weight = g.input(name, axes.to_vec()).unwrap();
            g.experts("", x, ids, weight).unwrap_err().problem.to_string()
        };
        let axes = |names: [&str; 3]| names.map(Axis::from);
        assert_eq!(
            error("a", x, ids, &axes(["x", "k", "c"])),
            "the result would have two axes `k`"
        );
        let wrong = error("b", x, ids, &axes(["x", "f", "e"]));
        assert_eq!(wrong, "axis 2 of operand 2 is `e` where `c` is needed");
        let wrong = error("c", x, ids, &["x".into(), "f".into(), Axis::new("c", 7)]);
        assert_eq!(wrong, "axis `c` is c in one operand and 7 in another");
        let wrong = error("d", x, ids, &axes(["x", "f", "c"])[..2]);
        assert_eq!(wrong, "operand 2 has 2 axes where 3 are needed");
        let wrong = error("e", x, x, &axes(["x", "f", "c"]));
        assert_eq!(wrong, "operand 1 holds f32 elements where whole numbers are needed");
    }
}
