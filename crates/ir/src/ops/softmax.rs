//! Softmax over the last axis, shifted by the maximum: `exp(xᵢ − max x) / Σ exp(xⱼ − max x)`
//! (Bridle 1990; the shift as in Goodfellow et al. 2016, §4.1).
//!
//! Count, per row of n allowed entries: n − 1 max, n add (the subtractions), n exp, n − 1 add, n div.
//! Entries that a mask hides are 0 and cost nothing; a row that sees nothing is all 0. A row whose
//! allowed entries are all −∞ is all 0 as well: its shift is 0 and its divisor 1, so that it costs what
//! any row does. The least float is a number like others.

use opledger_dims::{Binding, Class, Counts, Poly, Scalar, Symbol};

use crate::masked::{self, Masked};
use crate::operation::Operation;
use crate::{AxisMap, Call, Cost, Facts, Kind, OpError, Part, Shape, ShapeError, Value};

/// Softmax over the last axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Softmax {
    /// Which entries exist, when not all: queries are the axis before the last, keys the last.
    pub masked: Option<Masked>,
}

/// The counts of softmax over `entries` allowed entries in `rows` rows that have any.
pub(crate) fn softmax_counts(entries: &Poly, rows: &Poly) -> Counts<Poly> {
    let fewer = entries - rows;
    Counts::zero()
        .with(Class::Max, fewer.clone())
        .with(Class::Add, entries + &fewer)
        .with(Class::Exp, entries.clone())
        .with(Class::Div, entries.clone())
}

/// Softmax of the allowed entries of one row, in place, and of one more beside them that is not kept.
/// Returns whether any entry of the row is above −∞; if none is, all are 0.
pub(crate) fn softmax_row<T: Scalar>(row: &mut [T], allowed: &[usize], beside: Option<T>) -> bool {
    let Some((&first, rest)) = allowed.split_first() else { return false };
    let mut max = row[first];
    for &j in rest {
        max = max.max(row[j]);
    }
    let above = |max: T| max.to_f64() != f64::NEG_INFINITY;
    let sees = above(max);
    if let Some(beside) = beside {
        max = max.max(beside);
    }
    let any = above(max);
    let shift = if any { max } else { T::from_f64(0.0) };
    for &j in allowed {
        row[j] = (row[j] - shift).exp();
    }
    let mut sum = row[first];
    for &j in rest {
        sum = sum + row[j];
    }
    if let Some(beside) = beside {
        sum = sum + (beside - shift).exp();
    }
    let divisor = if any { sum } else { T::from_f64(1.0) };
    for &j in allowed {
        row[j] = row[j] / divisor;
    }
    sees
}

impl Operation for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn signature(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [x] = masked::entries(self.masked.as_ref(), inputs)?;
        x.expect(0, Kind::Real)?;
        if x.axes.is_empty() {
            return Err(ShapeError::Rank { operand: 0, expected: 1, found: 0 });
        }
        Ok(vec![x.clone()])
    }

    fn cost(&self, _: &[&Shape], output: &Shape) -> Cost {
        let counts = match &self.masked {
            Some(m) => softmax_counts(&m.support.pairs, &m.support.rows),
            None => {
                let rows: Poly =
                    output.axes[..output.axes.len() - 1].iter().map(|a| &a.size).product();
                softmax_counts(&output.elements(), &rows)
            }
        };
        Cost::of(Part::Pointwise, counts)
    }

    fn summed(&self, inputs: &[&Shape]) -> Vec<(Symbol, Poly)> {
        inputs[0].last().map(|a| (a.name.clone(), a.size.clone())).into_iter().collect()
    }

    fn facts(&self) -> Facts<'_> {
        Facts::of(&[Part::Pointwise]).masked(self.masked.as_ref()).in_place(&[0])
    }

    fn axis_map(&self, inputs: &[&Shape], output: &Shape) -> AxisMap {
        AxisMap::by_name(inputs, output).mixing_last(0).mixing_last(1)
    }

    fn detail(&self) -> String {
        masked::detail(self.masked.as_ref())
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
        let visible = masked::visible(self.masked.as_ref(), call)?;
        let width = call.output.last().copied().unwrap_or(1).max(1);
        let mut out = vec![T::from_f64(0.0); call.output_len()];
        let rows = x.data().chunks(width).zip(visible.chunks(width)).zip(out.chunks_mut(width));
        for ((x, visible), out) in rows {
            let keys: Vec<usize> = (0..x.len()).filter(|j| visible[*j]).collect();
            for &j in &keys {
                out[j] = x[j];
            }
            softmax_row(out, &keys, None);
        }
        mark(Part::Pointwise);
        call.result(out)
    }
}

#[cfg(test)]
mod tests {
    use super::softmax_row;
    use crate::Graph;
    use crate::masked::tests::every_mask;
    use crate::ops::proof::{evaluate, prove};
    use approx::assert_abs_diff_eq;
    use opledger_dims::{Counted, counted};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn counted_reference_equals_cost(
            b in 0..3_usize, h in 1..3_usize, n in 1..6_usize, m in 1..7_usize, w in 1..4_i64,
        ) {
            let mut g = Graph::new();
            let x = g.input("x", ["b", "h", "n", "m"]).unwrap();
            for masked in every_mask(&mut g, w) {
                g.softmax(x, Some(masked)).unwrap();
            }
            g.softmax(x, None).unwrap();
            prove(&g, &[("b", b), ("h", h), ("n", n), ("m", m)]);
        }
    }

    #[test]
    fn the_definition_by_hand() {
        let mut g = Graph::new();
        let x = g.input("x", [("b", 1), ("n", 1), ("m", 2)]).unwrap();
        let y = g.softmax(x, None).unwrap();
        let out = evaluate(&g, y, &[("x", &[0.0, 2.0_f64.ln()])]);
        assert_abs_diff_eq!(out[..], [1.0 / 3.0, 2.0 / 3.0][..], epsilon = 1e-15);
    }

    #[test]
    fn a_row_of_minus_infinities_is_zero_and_costs_what_a_row_costs() {
        let mut g = Graph::new();
        let x = g.input("x", [("n", 3), ("m", 2)]).unwrap();
        let y = g.softmax(x, None).unwrap();
        let (dark, least) = (f64::NEG_INFINITY, f64::from(f32::MIN));
        let out = evaluate(&g, y, &[("x", &[dark, dark, dark, least, least, least])]);
        assert_eq!(out, [0.0, 0.0, 0.0, 1.0, 0.5, 0.5]);
        let count = |row: [f32; 2]| {
            let mut row = row.map(Counted);
            counted(|| softmax_row(&mut row, &[0, 1], None)).1
        };
        assert_eq!(count([f32::NEG_INFINITY; 2]), count([0.25, 0.5]));
        let out = evaluate(&g, y, &[("x", &[dark, f64::NAN, 0.0, 0.0, 0.0, 0.0])]);
        assert!(out[0].is_nan() && out[1].is_nan());
    }

    #[test]
    fn the_shift_by_the_maximum_keeps_large_entries_finite() {
        let mut g = Graph::new();
        let x = g.input("x", [("n", 1), ("m", 2)]).unwrap();
        let y = g.softmax(x, None).unwrap();
        let out = evaluate(&g, y, &[("x", &[1000.0, 1000.0 + 2.0_f64.ln()])]);
        assert_abs_diff_eq!(out[..], [1.0 / 3.0, 2.0 / 3.0][..], epsilon = 1e-12);
    }
}
