//! Products whose dimensions have letters: Einstein's notation, matrix products, and sums of products
//! place by place.

use std::collections::BTreeSet;

use crate::call::Call;
use crate::importer::{Importer, Meaning};
use crate::lower::movement;
use crate::tensor::{Dim, Placed};

use super::{base, first};

/// A product of two tensors, whose dimensions have letters.
pub(super) struct LetteredProduct {
    pub(super) operands: [String; 2],
    pub(super) letters: [Vec<char>; 2],
    pub(super) out: Vec<char>,
}

/// The letters of a part of an equation for so many dimensions; those under dots are digits, counted from
/// the last.
fn letters(text: &str, rank: usize) -> Option<Vec<char>> {
    let Some((before, after)) = text.split_once("...") else {
        let letters: Vec<char> = text.chars().collect();
        return (letters.len() == rank).then_some(letters);
    };
    let under = rank.checked_sub(before.len() + after.len()).filter(|under| *under < 10)?;
    let dots = (0..under as u32).rev().filter_map(|at| char::from_digit(at, 10));
    Some(before.chars().chain(dots).chain(after.chars()).collect())
}

impl LetteredProduct {
    /// A call as a product; none of another call.
    pub(super) fn of(own: &Importer<'_>, call: &Call<'_>) -> Option<LetteredProduct> {
        let rank =
            |name: &str| movement::sizes_of(&own.value(name).ok()?).ok().map(|sizes| sizes.len());
        if base(call)? == "einsum" {
            let equation = call.text("equation")?.replace(' ', "");
            let (inputs, out) = equation.split_once("->")?;
            let (a, b) = inputs.split_once(',')?;
            let operands = call.names_of("tensors")?;
            let [of_a, of_b] = [rank(&operands[0])?, rank(&operands[1])?];
            let (a, b) = (letters(a, of_a)?, letters(b, of_b)?);
            let dots = [&a, &b].map(|of| of.iter().filter(|c| c.is_ascii_digit()).count());
            let named = out.replace("...", "").len();
            let out = letters(out, named + dots[0].max(dots[1]))?;
            let distinct = |of: &[char]| of.iter().collect::<BTreeSet<_>>().len() == of.len();
            let all = [&a, &b, &out].into_iter().all(|of| distinct(of));
            return all.then_some(LetteredProduct { operands, letters: [a, b], out });
        }
        let other = if call.has("other") { "other" } else { "mat2" };
        let names = match base(call)? {
            "baddbmm" => ["batch1", "batch2"],
            _ => [first(call), other],
        };
        let names = [call.name_of(names[0])?, call.name_of(names[1])?];
        let ranks = [rank(names[0])?, rank(names[1])?];
        let outer = |rank: usize| {
            let dims = (0..u8::try_from(rank - 2).ok()?.min(20)).rev();
            Some(dims.map(|dim| char::from(b'a' + dim)).collect::<Vec<char>>())
        };
        if ranks.iter().any(|rank| *rank < 2) {
            return None;
        }
        let letters = |rank, last: [char; 2]| Some([outer(rank)?, last.to_vec()].concat());
        let of = [letters(ranks[0], ['Q', 'S'])?, letters(ranks[1], ['S', 'K'])?];
        let out = letters(ranks[0].max(ranks[1]), ['Q', 'K'])?;
        Some(LetteredProduct { operands: names.map(str::to_owned), letters: of, out })
    }

    /// An operand that has a dimension for each of its letters.
    pub(super) fn operand(&self, own: &Importer<'_>, at: usize) -> Option<Placed> {
        match own.value(&self.operands[at]) {
            Ok(Meaning::Tensor(tensor)) if tensor.dims.len() == self.letters[at].len() => {
                Some(tensor)
            }
            _ => None,
        }
    }
}

/// The dimension of a letter; none of one that the tensor does not have, or has one element of.
pub(super) fn dim_of(tensor: &Placed, letters: &[char], letter: char) -> Dim {
    let at = letters.iter().position(|own| *own == letter);
    at.map_or_else(Dim::new, |at| tensor.dims[at].clone())
}
