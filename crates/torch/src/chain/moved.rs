//! Scores that are moved, or whose dimensions have another form.

use opledger_dims::Poly;
use opledger_ir::IndexExpr;

use super::letters;
use super::{Chain, Stage};
use crate::call::Call;
use crate::importer::{Importer, Lowered};
use crate::lower::movement;

/// What moves scores or gives their dimensions another form.
pub(super) const MOVING: &[&str] = &[
    "view",
    "reshape",
    "_unsafe_view",
    "unflatten",
    "flatten",
    "squeeze",
    "unsqueeze",
    "transpose",
    "swapaxes",
    "swapdims",
    "permute",
    "movedim",
    "mT",
];

/// A chain that is moved so; none where it is cut in a way that its operands are not.
pub(super) fn moved(
    own: &mut Importer<'_>,
    call: &Call<'_>,
    base: &str,
    chain: Chain,
) -> Lowered<Option<Chain>> {
    if !matches!(chain.stage, Stage::Scores | Stage::Changed | Stage::Divided(_) | Stage::Weights) {
        return Ok(None);
    }
    let mut chain = chain;
    if let "transpose" | "swapaxes" | "swapdims" | "permute" | "movedim" | "mT" = base {
        let order = movement::order(call, base, chain.letters.dims.len())?;
        let dims = order.iter().map(|dim| chain.letters.dims[*dim].clone()).collect();
        chain.letters.dims = dims;
        return Ok(Some(chain));
    }
    let sizes = call.sizes(own, 0)?;
    let Some(reshaped) = chain.letters.reshaped(&sizes) else { return Ok(None) };
    for (letter, into) in reshaped.cuts {
        if chain.cut(own, letter, into).is_none() {
            return Ok(None);
        }
    }
    chain.letters.dims = reshaped.dims;
    Ok(Some(chain))
}

impl Chain {
    /// Cuts a letter in two, the second of which is new.
    fn cut(&mut self, own: &mut Importer<'_>, letter: usize, into: [Poly; 2]) -> Option<()> {
        let new = self.letters.sizes.len();
        for operand in &mut self.operands {
            *operand = letters::cut(own, operand, letter + 1, &into)?;
        }
        for over in [&mut self.bias, &mut self.sinks].into_iter().flatten() {
            *over = letters::cut(own, over, letter, &into)?;
        }
        let [outer, inner] = into;
        self.letters.sizes[letter] = outer;
        self.letters.sizes.push(inner);
        if let Some(seen) = &mut self.seen {
            let sizes = self.letters.sizes.clone();
            let position = IndexExpr::Position;
            seen.expr = seen.expr.at(&|own| match own == letter {
                true => letters::place(&[letter, new], &sizes, position),
                false => position(own),
            });
            seen.sizes = sizes;
        }
        if self.keys.contains(&letter) {
            self.keys.push(new);
        }
        Some(())
    }
}
