//! Softmax over the last axis, shifted by the maximum: `exp(xᵢ − max x) / Σ exp(xⱼ − max x)`
//! (Bridle 1990; the shift as in Goodfellow et al. 2016, §4.1).
//!
//! Count, per row of n allowed entries: n − 1 max, n add (the subtractions), n exp, n − 1 add, n div.
//! Entries that a mask hides are 0 and cost nothing; a row that sees nothing is all 0.

use opledger_dims::{Class, Counts, Poly, Symbol};
use opledger_tensor::Scalar;

use super::Masked;
use crate::op::Operation;
use crate::value::indices;
use crate::{Call, Cost, OpError, Part, Shape, ShapeError, Value};

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

/// Softmax of the allowed entries of one row, in place.
pub(crate) fn softmax_row<T: Scalar>(row: &mut [T], allowed: &[usize]) {
    let Some((&first, rest)) = allowed.split_first() else { return };
    let mut max = row[first];
    for &j in rest {
        max = max.max(row[j]);
    }
    for &j in allowed {
        row[j] = (row[j] - max).exp();
    }
    let mut sum = row[first];
    for &j in rest {
        sum = sum + row[j];
    }
    for &j in allowed {
        row[j] = row[j] / sum;
    }
}

impl Operation for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn signature(&self, inputs: &[&Shape]) -> Result<Shape, ShapeError> {
        let expected = 1 + usize::from(self.masked.as_ref().is_some_and(|m| m.mask.keep.is_some()));
        if inputs.len() != expected {
            return Err(ShapeError::Arity { expected, found: inputs.len() });
        }
        let x = inputs[0];
        x.expect_real(0)?;
        if x.axes.is_empty() {
            return Err(ShapeError::Rank { operand: 0, expected: 1, found: 0 });
        }
        Ok(x.clone())
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

    fn reference<T: Scalar>(
        &self,
        call: &Call<'_, T>,
        mark: &mut dyn FnMut(Part),
    ) -> Result<Value<T>, OpError> {
        let x = call.real(0)?;
        let names: Vec<&Symbol> = call.shapes[0].axes.iter().map(|a| &a.name).collect();
        let allowed = self.masked.as_ref().map(|m| m.allowed(call, &names)).transpose()?;
        let width = call.output.last().copied().unwrap_or(1);
        let outer = &call.output[..call.output.len() - 1];
        let mut out = Vec::with_capacity(call.output_len());
        for (row, mut index) in x.data().chunks(width.max(1)).zip(indices(outer)) {
            index.push(0);
            let visible = |j: &usize| {
                index[outer.len()] = *j;
                allowed.as_ref().is_none_or(|allowed| allowed(&index))
            };
            let keys: Vec<usize> = (0..width).filter(visible).collect();
            let mut row = row.to_vec();
            softmax_row(&mut row, &keys);
            for (j, x) in row.iter().enumerate() {
                out.push(if keys.contains(&j) { *x } else { T::from_f64(0.0) });
            }
        }
        mark(Part::Pointwise);
        call.result(out)
    }
}

#[cfg(test)]
mod tests {
    use crate::ops::proof::{evaluate, prove};
    use crate::ops::{Masked, Softmax};
    use crate::{Graph, Mask};
    use proptest::prelude::*;

    fn masked(g: &mut Graph, mask: Mask) -> Masked {
        let [b, h, n, m] = ["b", "h", "n", "m"].map(opledger_dims::Poly::from);
        let support = g.support(&mask, &b, &h, &n, &m);
        Masked { mask, query: "n".into(), key: "m".into(), support }
    }

    proptest! {
        #[test]
        fn counted_reference_equals_cost(
            b in 0..3_usize, h in 1..3_usize, n in 1..6_usize, m in 1..7_usize, w in 1..4_i64,
        ) {
            let mut g = Graph::new();
            let x = g.input("x", ["b", "h", "n", "m"]).unwrap();
            let keep = g.input_mask("keep", ["b", "m"]).unwrap();
            g.softmax(x, None).unwrap();
            for mask in [Mask::causal(), Mask::sliding(w), Mask::none().keeping(keep), Mask::sliding(w).keeping(keep)] {
                let masked = masked(&mut g, mask);
                g.record("", Softmax { masked: Some(masked.clone()) },
                    &[Some(x), masked.mask.keep].into_iter().flatten().collect::<Vec<_>>()).unwrap();
            }
            prove(&g, &[("b", b), ("h", h), ("n", n), ("m", m)]);
        }
    }

    #[test]
    fn the_definition_by_hand() {
        let mut g = Graph::new();
        let x = g.input("x", [("b", 1), ("n", 1), ("m", 2)]).unwrap();
        let y = g.softmax(x, None).unwrap();
        let out = evaluate(&g, y, &[("x", &[0.0, 2.0_f64.ln()])]);
        assert!((out[0] - 1.0 / 3.0).abs() < 1e-15 && (out[1] - 2.0 / 3.0).abs() < 1e-15);
    }
}
