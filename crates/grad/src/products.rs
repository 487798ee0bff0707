//! Contractions: the gradient of each operand is one with the other.

use opledger_dims::Symbol;
use opledger_ir::Var;
use opledger_ir::ops::Einsum;

use crate::GradError;
use crate::back::{Applied, Back};

/// `out = Σ a·b` gives `da = Σ dout·b` over what `a` lacks, and so `db`, over the allowed pairs of a mask.
pub(crate) fn einsum(
    back: &mut Back,
    at: Applied<'_>,
    op: &Einsum,
    dy: Var,
) -> Result<(), GradError> {
    let (a, b) = (at.operand(0)?, at.operand(1)?);
    let keep = back.masking(at.node, op.masked.as_ref(), 2)?.and_then(|masking| masking.keep);
    // The result is called by the letters of the contraction again.
    let dy = back.renamed(dy, &op.out)?;
    let sides = [(a, b, &op.lhs, &op.rhs), (b, a, &op.rhs, &op.lhs)];
    for (of, other, own, theirs) in sides {
        if !back.is_wanted(of) {
            continue;
        }
        let product = Einsum {
            lhs: op.out.clone(),
            rhs: theirs.clone(),
            out: own.clone(),
            masked: op.masked.clone(),
        };
        let other = back.value(other)?;
        let gradient = back.graph.record_masked("", product, &[dy, other], keep)?;
        let names: Vec<Symbol> = back.shape_of(of).axes.into_iter().map(|axis| axis.name).collect();
        let gradient = back.renamed(gradient, &names)?;
        back.contribute(of, gradient)?;
    }
    Ok(())
}
