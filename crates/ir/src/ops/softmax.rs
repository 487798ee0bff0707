//! Softmax over the last axis, shifted by the maximum: `exp(xᵢ − max x) / Σ exp(xⱼ − max x)`
//! (Bridle 1990; the shift as in Goodfellow et al. 2016, §4.1).
//!
//! Count, per row of n allowed entries: n − 1 max, n add (the subtractions), n exp, n − 1 add, n div.
//! Entries that a mask hides are 0 and cost nothing; a row that sees nothing is all 0. A row whose
//! allowed entries are all −∞ is all 0 as well: its shift is 0 and its divisor 1, so that it costs what
//! any row does. The least float is a number like others.
//!
//! A sink is a number for each row of a head that joins the sum as one more entry and is not kept (Xiao et
//! al. 2023; gpt-oss, OpenAI 2025): per row that has an allowed entry 1 max, 2 add and 1 exp more.

use opledger_dims::{Binding, Class, Counts, Poly, Scalar, Symbol};

use super::gather_nd::steps;
use crate::masked::{self, Masked};
use crate::operation::Operation;
use crate::value::indices;
use crate::{AxisMap, Call, Cost, Facts, Kind, OpError, Part, Shape, ShapeError, Value};

/// Softmax over the last axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Softmax {
    /// Which entries exist, when not all: queries are the axis before the last, keys the last.
    pub masked: Option<Masked>,
    /// Whether sinks are an operand, of some of the axes before the last two by name.
    pub sinks: bool,
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

/// What sinks cost more in `rows` rows that have an allowed entry.
pub(crate) fn sink_counts(rows: &Poly) -> Counts<Poly> {
    Counts::zero()
        .with(Class::Max, rows.clone())
        .with(Class::Add, rows + rows)
        .with(Class::Exp, rows.clone())
}

impl Softmax {
    /// For each row of the last axis, where its sink stands among them, if there are any.
    ///
    /// # Errors
    /// When an operand is missing.
    pub fn sink_places<T>(&self, call: &Call<'_, T>) -> Result<Option<Vec<usize>>, OpError> {
        if !self.sinks {
            return Ok(None);
        }
        let sinks = call.inputs.get(1).ok_or(OpError::Operand(1))?;
        let rows = call.output.len().saturating_sub(1);
        let steps = steps(&call.shapes[0].axes[..rows], call.shapes[1], sinks.shape(), &[]);
        let place = |at: Vec<usize>| at.iter().zip(&steps).map(|(at, step)| at * step).sum();
        Ok(Some(indices(&call.output[..rows]).map(place).collect()))
    }
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
        let (x, sinks) = if self.sinks {
            let [x, sinks] = masked::entries(self.masked.as_ref(), inputs)?;
            (x, Some(sinks))
        } else {
            let [x] = masked::entries(self.masked.as_ref(), inputs)?;
            (x, None)
        };
        x.expect(0, Kind::Real)?;
        let [rows @ .., _] = &x.axes[..] else {
            return Err(ShapeError::Rank { operand: 0, expected: 1, found: 0 });
        };
        if let Some(sinks) = sinks {
            sinks.expect(1, Kind::Real)?;
            sinks.expect_among(1, &rows[..rows.len().saturating_sub(1)], &[])?;
        }
        Ok(vec![x.clone()])
    }

    fn cost(&self, _: &[&Shape], output: &Shape) -> Cost {
        let (entries, rows) = match &self.masked {
            Some(m) => (m.support.pairs.clone(), m.support.rows.clone()),
            None => {
                let rows = output.axes[..output.axes.len() - 1].iter().map(|a| &a.size).product();
                (output.elements(), rows)
            }
        };
        let mut counts = softmax_counts(&entries, &rows);
        if self.sinks {
            counts += &sink_counts(&rows);
        }
        Cost::of(Part::Pointwise, counts)
    }

    fn summed(&self, inputs: &[&Shape]) -> Vec<(Symbol, Poly)> {
        inputs[0].last().map(|a| (a.name.clone(), a.size.clone())).into_iter().collect()
    }

    fn facts(&self) -> Facts<'_> {
        Facts::of(&[Part::Pointwise]).masked(self.masked.as_ref()).in_place(&[0])
    }

    fn axis_map(&self, inputs: &[&Shape], output: &Shape) -> AxisMap {
        let map = AxisMap::by_name(inputs, output).mixing_last(0);
        // The last axis of the mask tensor is the keys.
        map.mixing_last(1 + usize::from(self.sinks))
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
        let sinks = match self.sink_places(call)? {
            Some(places) => {
                let sinks = call.real(1)?.data();
                Some(places.into_iter().map(|place| sinks[place]).collect::<Vec<T>>())
            }
            None => None,
        };
        let rows = x.data().chunks(width).zip(visible.chunks(width)).zip(out.chunks_mut(width));
        for (row, ((x, visible), out)) in rows.enumerate() {
            let keys: Vec<usize> = (0..x.len()).filter(|j| visible[*j]).collect();
            for &j in &keys {
                out[j] = x[j];
            }
            softmax_row(out, &keys, sinks.as_ref().map(|sinks| sinks[row]));
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
            let sinks = g.input("sinks", ["h"]).unwrap();
            for masked in every_mask(&mut g, w) {
                g.softmax_beside(x, sinks, Some(masked)).unwrap();
            }
            g.softmax_beside(x, sinks, None).unwrap();
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
    fn a_sink_takes_its_share() {
        let mut g = Graph::new();
        let x = g.input("x", [("h", 2), ("n", 1), ("m", 2)]).unwrap();
        let sinks = g.input("sinks", [("h", 2)]).unwrap();
        let y = g.softmax_beside(x, sinks, None).unwrap();
        let [two, three] = [2.0_f64.ln(), 3.0_f64.ln()];
        let feeds: [(&str, &[f64]); 2] = [("x", &[0., two, 0., 0.]), ("sinks", &[0., three])];
        assert_abs_diff_eq!(
            evaluate(&g, y, &feeds)[..],
            [0.25, 0.5, 0.2, 0.2][..],
            epsilon = 1e-15
        );
        let other = g.input("other", [("n", 1)]).unwrap();
        let error = g.softmax_beside(x, other, None).unwrap_err().problem.to_string();
        assert!(error.contains("`n`"), "{error}");
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
