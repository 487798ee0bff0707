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

/// `out[…, j, f] = Σ_c x[…, c]·w[ids[…, j], f, c]` gives `dx` by the weights turned round, added up over
/// the choices of a row that all of them share, and `dw` of the outer products of each choice.
pub(crate) fn experts(back: &mut Back, at: Applied<'_>, dy: Var) -> Result<(), GradError> {
    let (x, ids, weight) = (at.operand(0)?, back.value(at.operand(1)?)?, at.operand(2)?);
    let shape = back.shape_of(weight);
    let [experts, width, terms] = &shape.axes[..] else { return Ok(()) };
    if back.is_wanted(x) {
        let own = back.value(weight)?;
        let turned = back.ordered(own, &[experts.clone(), terms.clone(), width.clone()])?;
        let each = back.graph.experts("", dy, ids, turned)?;
        let dx = back.like(each, &back.shape_of(x))?;
        back.contribute(x, dx)?;
    }
    if back.is_wanted(weight) {
        let rows = back.value(x)?;
        let dw = back.graph.experts_outer("", dy, ids, rows, experts.clone())?;
        back.contribute(weight, dw)?;
    }
    Ok(())
}
