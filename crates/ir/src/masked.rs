//! The mask of an operation over (query, key) pairs: contractions, and the element-wise operations
//! and softmax between them.
//!
//! Count: a hidden pair costs nothing; as an entry it is 0, in a sum it is absent.

use opledger_dims::{Poly, Scalar, Symbol};

use crate::value::{indices, strides};
use crate::{Axis, Call, KeepLayout, Kind, MaskRule, OpError, Shape, ShapeError, Support};

/// The mask of a masked operation, the axes it acts on, and how much it leaves.
#[derive(Clone, Debug, PartialEq)]
pub struct Masked {
    /// The rule.
    pub rule: MaskRule,
    /// The axis of queries.
    pub query: Symbol,
    /// The axis of keys.
    pub key: Symbol,
    /// What the rule leaves, over batch and heads.
    pub support: Support,
}

impl Masked {
    /// Whether the pair at an index over the axes `names` is allowed. The mask tensor, when there is
    /// one, is the last operand: some axes by name, then the keys.
    pub(crate) fn allowed<'a, T: Scalar>(
        &self,
        call: &'a Call<'_, T>,
        names: &[&Symbol],
    ) -> Result<impl Fn(&[usize]) -> bool + use<'a, T>, OpError> {
        let position =
            |name: &Symbol| names.iter().position(|n| *n == name).ok_or(OpError::Operand(0));
        let (query, key) = (position(&self.query)?, position(&self.key)?);
        let band = self.rule.band(call)?;
        let mut keep = None;
        if self.rule.keep {
            let last = call.inputs.len() - 1;
            let named = &call.shapes[last].axes[..call.shapes[last].axes.len() - 1];
            let mut along =
                named.iter().map(|a| position(&a.name)).collect::<Result<Vec<_>, _>>()?;
            along.push(key);
            let tensor = call.index(last)?;
            keep = Some((tensor, strides(tensor.shape()), along));
        }
        Ok(move |index: &[usize]| {
            let visible = keep.as_ref().is_none_or(|(tensor, strides, along)| {
                let at: usize =
                    along.iter().zip(strides).map(|(axis, stride)| index[*axis] * stride).sum();
                tensor.data()[at] != 0
            });
            visible && band.allows(index[query], index[key])
        })
    }

    /// How the mask tensor is read, for the axes of batch and heads with their sizes.
    pub fn keep_layout<T>(
        &self,
        call: &Call<'_, T>,
        matrices: &[(&Symbol, usize)],
    ) -> Option<KeepLayout> {
        let at = self.rule.keep.then(|| call.inputs.len() - 1)?;
        let keep = (call.shapes[at], call.inputs[at].shape());
        Some(KeepLayout::new(keep, matrices, &self.query))
    }

    /// Checks that the mask tensor has some of these axes but the keys by name, then the keys.
    pub(crate) fn check_keep(
        &self,
        (operand, keep): (usize, &Shape),
        axes: &[Axis],
    ) -> Result<(), ShapeError> {
        let of = |name: &Symbol| axes.iter().find(|axis| axis.name == *name);
        let [named @ .., keys] = &keep.axes[..] else {
            return Err(ShapeError::Rank { operand, expected: 1, found: 0 });
        };
        let fits = |axis: &Axis, name: &Symbol| of(name).is_some_and(|own| own.size == axis.size);
        let named = named.iter().all(|axis| axis.name != self.key && fits(axis, &axis.name));
        if named && fits(keys, &self.key) {
            return Ok(());
        }
        let names: Vec<&str> = axes.iter().map(|axis| axis.name.as_str()).collect();
        Err(ShapeError::Sizes(format!(
            "the mask has shape {keep} where some axes of [{}] are needed, its last the keys `{}`",
            names.join(", "),
            self.key
        )))
    }

    /// Checks that the axes of `x` end in query and key, and that the mask tensor fits them.
    fn check_entries(&self, x: &Shape, keep: Option<(usize, &Shape)>) -> Result<(), ShapeError> {
        let [batch @ .., query, key] = &x.axes[..] else {
            return Err(ShapeError::Rank { operand: 0, expected: 2, found: x.axes.len() });
        };
        for (axis, expected, position) in
            [(query, &self.query, batch.len()), (key, &self.key, batch.len() + 1)]
        {
            if axis.name != *expected {
                let (expected, found) = (expected.clone(), axis.name.clone());
                return Err(ShapeError::Name { operand: 0, position, expected, found });
            }
        }
        keep.map_or(Ok(()), |keep| self.check_keep(keep, &x.axes))
    }
}

/// The operands of an operation without the mask tensor, which is the last one when there is one.
pub(crate) fn operands<'a, const N: usize>(
    masked: Option<&Masked>,
    inputs: &[&'a Shape],
) -> Result<([&'a Shape; N], Option<&'a Shape>), ShapeError> {
    let has_keep = masked.is_some_and(|m| m.rule.keep);
    let (own, keep) = match inputs {
        [own @ .., keep] if has_keep => (own, Some(*keep)),
        own => (own, None),
    };
    let expected = N + usize::from(has_keep);
    let own = own.try_into().map_err(|_| ShapeError::Arity { expected, found: inputs.len() })?;
    if let Some(keep) = keep {
        keep.expect(N, Kind::Whole)?;
    }
    Ok((own, keep))
}

/// The same for an operation whose result has the entries of its first operand.
pub(crate) fn entries<'a, const N: usize>(
    masked: Option<&Masked>,
    inputs: &[&'a Shape],
) -> Result<[&'a Shape; N], ShapeError> {
    let (own, keep) = operands::<N>(masked, inputs)?;
    if let (Some(masked), [x, ..]) = (masked, &own[..]) {
        masked.check_entries(x, keep.map(|keep| (N, keep)))?;
    }
    Ok(own)
}

/// What a reader is told of a mask.
pub(crate) fn detail(masked: Option<&Masked>) -> String {
    masked.map_or_else(String::new, |_| "masked".to_owned())
}

/// How many entries of a result are computed.
pub(crate) fn count(masked: Option<&Masked>, output: &Shape) -> Poly {
    masked.map_or_else(|| output.elements(), |m| m.support.pairs.clone())
}

/// Which entries of a result are computed, in row-major order; it has the axes of operand 0.
pub(crate) fn visible<T: Scalar>(
    masked: Option<&Masked>,
    call: &Call<'_, T>,
) -> Result<Vec<bool>, OpError> {
    let Some(masked) = masked else { return Ok(vec![true; call.output_len()]) };
    let names: Vec<&Symbol> = call.shapes[0].axes.iter().map(|a| &a.name).collect();
    let allowed = masked.allowed(call, &names)?;
    Ok(indices(call.output).map(|index| allowed(&index)).collect())
}

/// What the proofs of masked operations share.
#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{Graph, Mask, Masking};

    /// Masks of every kind over scores `[b, h, n, m]`.
    pub(crate) fn every_mask(g: &mut Graph, window: i64) -> Vec<Masking> {
        let keep = g.input_mask("keep", ["b", "m"]).unwrap();
        let of_pairs = g.input_mask("of pairs", ["n", "h", "m"]).unwrap();
        let by_head = g.input_mask("by head", ["h", "m"]).unwrap();
        let shared = g.input_mask("shared", ["n", "m"]).unwrap();
        let masks = [
            Mask::none(),
            Mask::causal(),
            Mask { offset: Some((-2).into()), ..Mask::none() },
            Mask { offset: Some(Poly::from("m") - Poly::from("n")), ..Mask::none() },
            Mask::sliding(window),
            Mask::chunked(window),
            Mask { offset: Some(1.into()), ..Mask::chunked(window + 1) },
            Mask::none().keeping(keep),
            Mask::causal().keeping(keep),
            Mask::sliding(window).keeping(keep),
            Mask::chunked(window).keeping(keep),
            Mask::around(window),
            Mask::none().keeping(of_pairs),
            Mask::causal().keeping(by_head),
            Mask::around(window).keeping(shared),
        ];
        let entries = ["b", "h", "n", "m"].map(Axis::from);
        masks.map(|mask| g.masking(&mask, &entries)).into()
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let mut g = Graph::new();
        let masked = every_mask(&mut g, 2).pop().unwrap();
        let x = g.input("x", ["b", "h", "n", "m"]).unwrap();
        let turned = g.input("turned", ["b", "h", "m", "n"]).unwrap();
        let row = g.input("row", ["m"]).unwrap();
        let other = g.input_mask("other", ["g", "m"]).unwrap();
        let mut error = |x, masked: &Masking| {
            g.softmax(x, Some(masked.clone())).unwrap_err().problem.to_string()
        };
        assert_eq!(error(turned, &masked), "axis 2 of operand 0 is `m` where `n` is needed");
        assert_eq!(error(row, &masked), "operand 0 has 1 axes where 2 are needed");
        let support = masked.masked.support.clone();
        let over = |mask: Mask| mask.over(&"n".into(), &"m".into(), support.clone());
        let with = |keep| over(Mask::none().keeping(keep));
        assert_eq!(
            error(x, &with(row)),
            "operand 1 holds f32 elements where whole numbers are needed"
        );
        assert_eq!(
            error(x, &with(other)),
            "the mask has shape [g, m] where some axes of [b, h, n, m] are needed, its last the keys `m`"
        );
        let alone =
            g.record("", crate::ops::Softmax { masked: Some(masked.masked), sinks: false }, &[x]);
        let problem = alone.unwrap_err().problem.to_string();
        assert_eq!(problem, "2 operands are needed, 1 were given");
    }
}
