//! What goes from token to token by a state.

use opledger_ir::ops::Rearrange;
use opledger_ir::{Axis, Graph, Scan, ScanValues, Var};

use crate::NnError;

/// Token by token: `step` is given the state and what operands `[b, n, …]` have for a token, and gives the
/// next state and a result; the results `[b, n, …]`, and the state behind the last token.
pub(crate) fn stepwise<const N: usize>(
    g: &mut Graph,
    tokens: &Axis,
    operands: [Var; N],
    state: Var,
    step: impl Fn(&mut Graph, Var, [Var; N]) -> Result<[Var; 2], NnError>,
) -> Result<(Var, Var), NnError> {
    let mut stacks = Vec::new();
    for x in operands {
        stacks.push(exchanged(g, x)?);
    }
    let scan = Scan { carried: vec![state], stacks, axis: tokens.name.clone(), reverse: false };
    let body = g.repeated("steps", tokens.size.clone());
    let made = g.scan(&body, &scan, |g, at| -> Result<ScanValues, NnError> {
        let ([state], Ok(operands)) = (&at.carried[..], <[Var; N]>::try_from(&at.stacked[..]))
        else {
            return Ok(at);
        };
        let [state, result] = step(g, *state, operands)?;
        Ok(ScanValues { carried: vec![state], stacked: vec![result] })
    })?;
    let (Some(&results), Some(&state)) = (made.stacked.first(), made.carried.first()) else {
        return Ok((state, state));
    };
    Ok((exchanged(g, results)?, state))
}

/// Items and tokens in the other order.
fn exchanged(g: &mut Graph, x: Var) -> Result<Var, NnError> {
    let mut order: Vec<_> = g.shape(x).axes.iter().map(|axis| axis.name.clone()).collect();
    order.swap(0, 1);
    Ok(g.rearrange(x, Rearrange::Permute { order })?)
}
