//! The places of the k largest entries along the last axis, the largest first, or of the smallest; of
//! equal entries the first. A router chooses experts so (Shazeer et al. 2017, §2.1; Jiang et al. 2024, §2.1).
//!
//! Count, per row of x entries: k passes, each a maximum over the entries that are left:
//! Σ_{i<k} (x − 1 − i) = k·x − k·(k + 1)/2 max.

use opledger_dims::{Binding, Class, Counts, Foremost, Poly, Scalar, Symbol};
use opledger_tensor::Tensor;

use crate::operation::{Operation, operands};
use crate::{
    Axis, AxisMap, Call, Cost, Elem, Facts, Kind, OpError, Part, Shape, ShapeError, Value,
};

/// `[…, x]` to places `[…, k]` in `0..x`. NaN is larger than every number.
#[derive(Clone, Debug, PartialEq)]
pub struct TopK {
    /// The axis of the chosen; its size says how many, at most as many as there are entries.
    pub k: Axis,
    /// Which come first.
    pub order: Foremost,
}

impl TopK {
    /// What is wrong when `chosen` of the `entries` along an axis are asked for, if anything.
    pub(crate) fn problem<N: PartialOrd + std::fmt::Display>(
        axis: &Symbol,
        entries: &N,
        chosen: &N,
    ) -> Option<String> {
        (chosen > entries).then(|| {
            format!("axis `{axis}` has {entries} entries, the {chosen} largest are asked for")
        })
    }
}

impl Operation for TopK {
    fn name(&self) -> &'static str {
        "top_k"
    }

    fn signature(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [x] = operands(inputs)?;
        x.expect(0, Kind::Real)?;
        let [rows @ .., entries] = &x.axes[..] else {
            return Err(ShapeError::Rank { operand: 0, expected: 1, found: 0 });
        };
        if rows.iter().any(|axis| axis.name == self.k.name) {
            return Err(ShapeError::Duplicate(self.k.name.clone()));
        }
        if let (Some(size), Some(k)) = (entries.size.as_integer(), self.k.size.as_integer())
            && let Some(problem) = TopK::problem(&entries.name, &size, &k)
        {
            return Err(ShapeError::Sizes(problem));
        }
        Ok(vec![Shape { axes: [rows, std::slice::from_ref(&self.k)].concat(), elem: Elem::I64 }])
    }

    fn cost(&self, inputs: &[&Shape], output: &Shape) -> Cost {
        let entries = inputs[0].last().map_or_else(Poly::zero, |axis| axis.size.clone());
        let chosen = output.elements();
        let each = entries - (&self.k.size + &Poly::one()).ratio(1, 2);
        Cost::of(Part::Pointwise, Counts::zero().with(Class::Max, chosen * each))
    }

    fn summed(&self, _: &[&Shape]) -> Vec<(Symbol, Poly)> {
        Vec::new()
    }

    fn facts(&self) -> Facts<'_> {
        Facts::of(&[Part::Pointwise])
    }

    fn axis_map(&self, inputs: &[&Shape], output: &Shape) -> AxisMap {
        AxisMap::by_name(inputs, output).mixing_last(0)
    }

    fn detail(&self) -> String {
        match self.order {
            Foremost::Largest => String::new(),
            Foremost::Smallest => "the smallest first".to_owned(),
        }
    }

    fn conflict(&self, inputs: &[&Shape], binding: &Binding) -> Option<String> {
        let entries = inputs[0].last()?;
        let sizes = (entries.size.at(binding).ok()?, self.k.size.at(binding).ok()?);
        TopK::problem(&entries.name, &sizes.0, &sizes.1)
    }

    fn reference<T: Scalar>(
        &self,
        call: &Call<'_, T>,
        mark: &mut dyn FnMut(Part),
    ) -> Result<Vec<Value<T>>, OpError> {
        let x = call.real(0)?;
        let (entries, k) = (x.shape().last().copied(), call.output.last().copied());
        let (entries, k) = entries.zip(k).ok_or(OpError::Operand(0))?;
        if k > entries {
            return Err(OpError::Index { index: k as i64, rows: entries });
        }
        let mut ids = Vec::with_capacity(call.output_len());
        for row in x.data().chunks(entries.max(1)) {
            let mut left: Vec<usize> = (0..entries).collect();
            for _ in 0..k {
                let mut best = 0;
                for at in 1..left.len() {
                    let (value, other) = (row[left[best]], row[left[at]]);
                    let (greater, value) = (value.max(other).to_f64(), value.to_f64());
                    let other = other.to_f64();
                    // The larger of a number and NaN is NaN.
                    let before = match self.order {
                        Foremost::Largest => !value.is_nan() && greater != value,
                        Foremost::Smallest => !other.is_nan() && greater != other,
                    };
                    if before {
                        best = at;
                    }
                }
                ids.push(left.remove(best) as i64);
            }
        }
        mark(Part::Pointwise);
        Ok(vec![Value::Index(Tensor::new(call.output, ids)?)])
    }
}

#[cfg(test)]
mod tests {
    use crate::Graph;
    use crate::ops::proof::{evaluate, prove};
    use opledger_dims::{Binding, Foremost};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn counted_reference_equals_cost(b in 0..3_usize, n in 1..5_usize, x in 1..9_usize, k in 0..9_usize) {
            let mut g = Graph::new();
            let scores = g.input("scores", ["b", "n", "x"]).unwrap();
            g.top_k(scores, "k").unwrap();
            g.top_k(scores, ("k", 1)).unwrap();
            g.foremost(scores, "k", Foremost::Smallest).unwrap();
            prove(&g, &[("b", b), ("n", n), ("x", x), ("k", k.min(x))]);
        }
    }

    #[test]
    fn the_largest_come_first_and_of_equals_the_first() {
        let top = |k: usize, row: &[f64]| {
            let mut g = Graph::new();
            let x = g.input("x", [("n", 2), ("x", row.len() / 2)]).unwrap();
            let ids = g.top_k(x, ("k", k)).unwrap();
            evaluate(&g, ids, &[("x", row)])
        };
        assert_eq!(top(3, &[0.1, 0.4, 0.4, 0.1, 4., 3., 2., 1.]), [1., 2., 0., 0., 1., 2.]);
        assert_eq!(top(2, &[1., f64::NAN, f64::INFINITY, f64::NAN, -0., 0.]), [1., 2., 0., 1.]);
        assert_eq!(top(2, &[2., 1., 1., 2.]), [0., 1., 1., 0.]);
    }

    #[test]
    fn the_smallest_come_first_and_nan_last() {
        let mut g = Graph::new();
        let x = g.input("x", [("n", 2), ("x", 3)]).unwrap();
        let ids = g.foremost(x, ("k", 3), Foremost::Smallest).unwrap();
        let found = evaluate(&g, ids, &[("x", &[f64::NAN, 2., 2., 1., f64::NAN, -1.])]);
        assert_eq!(found, [1., 2., 0., 2., 0., 1.]);
    }

    #[test]
    fn more_than_there_are_cannot_be_chosen() {
        let mut g = Graph::new();
        let fixed = g.input("fixed", [("n", 2), ("x", 4)]).unwrap();
        let error = g.top_k(fixed, ("k", 5)).unwrap_err().problem.to_string();
        assert_eq!(error, "axis `x` has 4 entries, the 5 largest are asked for");
        assert!(g.top_k(fixed, ("n", 2)).unwrap_err().problem.to_string().contains("two axes `n`"));
        let free = g.input("free", ["n", "x"]).unwrap();
        g.top_k(free, "k").unwrap();
        let at = |k| g.check(&Binding::from_iter([("n", 1), ("x", 3), ("k", k)]));
        at(3).unwrap();
        let error = at(4).unwrap_err().to_string();
        assert_eq!(error, "top_k: axis `x` has 3 entries, the 4 largest are asked for");
    }
}
