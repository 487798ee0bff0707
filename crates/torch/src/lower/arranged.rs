//! What a view says of sizes: numbers that are its arguments, and that it has as many elements as before.

use std::collections::BTreeSet;

use opledger_dims::{Poly, Symbol};

use crate::call::Call;
use crate::importer::{Importer, Lowered, Obstacle};
use crate::schema::{Argument, SymIntArgument};

/// The sizes of a result, of which an argument may give numbers where the program says a quotient.
pub(super) fn said(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Vec<Poly>> {
    let sizes = call.sizes(own, 0)?;
    let argument = ["size", "shape"].into_iter().find_map(|name| call.argument(name));
    let numbers: Vec<Option<i64>> = match argument {
        Some(Argument::Ints(all)) => all.iter().copied().map(Some).collect(),
        Some(Argument::SymInts(all)) => all
            .iter()
            .map(|size| match size {
                SymIntArgument::AsInt(number) => Some(*number),
                SymIntArgument::AsName(_) => None,
            })
            .collect(),
        _ => return Ok(sizes),
    };
    if numbers.len() != sizes.len() {
        return Ok(sizes);
    }
    for (size, number) in sizes.iter().zip(numbers) {
        // −1 is what is left, or what is there.
        let (Some(symbol), Some(number)) = (size.as_symbol(), number.filter(|own| *own >= 0))
        else {
            continue;
        };
        if own.follows(symbol) {
            return Err(Obstacle::Known(symbol.clone(), number.into()));
        }
    }
    Ok(sizes)
}

/// The most parts into which a size is looked for as a quotient of another.
const MOST_SHARES: i64 = 1024;

/// That the same elements are counted by the same symbols; where one symbol alone differs from one
/// other, they are one size, or one a part of the other.
pub(super) fn alike(own: &Importer<'_>, before: &[Poly], after: &[Poly]) -> Lowered<()> {
    let symbols = |sizes: &[Poly]| -> BTreeSet<Symbol> {
        sizes.iter().flat_map(|size| size.symbols()).collect()
    };
    let (before_symbols, after_symbols) = (symbols(before), symbols(after));
    let all = |sizes: &[Poly]| sizes.iter().product::<Poly>();
    if all(before) == all(after) {
        return Ok(());
    }
    let gone: Vec<&Symbol> = before_symbols.difference(&after_symbols).collect();
    let new: Vec<&Symbol> = after_symbols.difference(&before_symbols).collect();
    // A quotient of both may be among the new ones.
    match (&gone[..], &new[..]) {
        ([gone], [new]) => {
            let (gone, new) = ((*gone).clone(), (*new).clone());
            let one = all(after).substitute(&new, &Poly::symbol(&gone));
            let times = (1..=MOST_SHARES).find(|times| one == all(before) * *times);
            match times {
                Some(1) => Err(Obstacle::Equal(gone, new)),
                Some(times) if own.follows(&new) => {
                    Err(Obstacle::Known(new, Poly::symbol(gone).ratio(1, times)))
                }
                _ => Ok(()),
            }
        }
        ([gone], [new, ..]) => Err(Obstacle::Equal((*gone).clone(), (*new).clone())),
        _ => Ok(()),
    }
}
