//! Einstein's notation: any number of operands, dots for dimensions without letters, letters that stand
//! twice in an operand, or once in all.

use std::collections::BTreeSet;

use opledger_dims::Poly;
use opledger_ir::IndexExpr;
use opledger_ir::ops::Reduce;

use super::movement::permute;
use super::places::{At, picked};
use super::product::{biased, contracted};
use super::reduction::along;
use crate::call::Call;
use crate::importer::{Importer, Lowered, Meaning, Obstacle};
use crate::tensor::{Dim, Placed};

/// The letters of an operand or of the result; dots are a run of dimensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Letter {
    /// A dimension under the dots, counted from the last.
    Dots(usize),
    Named(char),
}

/// The letters of a part of an equation; `dots` dimensions stand under the dots.
fn letters(text: &str, dots: usize) -> Option<Vec<Letter>> {
    let (before, after) = text.split_once("...").unwrap_or((text, ""));
    let named = |text: &str| -> Option<Vec<Letter>> {
        let letter = |c: char| c.is_ascii_alphabetic().then_some(Letter::Named(c));
        text.chars().map(letter).collect()
    };
    let dots = if text.contains("...") { dots } else { 0 };
    let run = (0..dots).rev().map(Letter::Dots).collect();
    Some([named(before)?, run, named(after)?].concat())
}

/// An operand with the letter of each dimension.
#[derive(Clone)]
struct Operand {
    tensor: Placed,
    letters: Vec<Letter>,
}

pub(super) fn einsum(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Placed> {
    let equation = call.text("equation").ok_or(Obstacle::Unknown)?.replace(' ', "");
    let values = call.value(own, "tensors")?.list()?;
    evaluated(own, &equation, values)
}

/// `x₁ · W · x₂` for each row of the weight, and a bias.
pub(super) fn bilinear(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Placed> {
    let [left, right, weight] = ["input1", "input2", "weight"].map(|name| call.value(own, name));
    let product = evaluated(own, "...i,oij,...j->...o", vec![left?, weight?, right?])?;
    match call.optional(own, "bias")? {
        Some(bias) => biased(own, product, bias),
        None => Ok(product),
    }
}

fn evaluated(own: &mut Importer<'_>, equation: &str, values: Vec<Meaning>) -> Lowered<Placed> {
    let bad = |problem: &str| Obstacle::Bad(format!("`{equation}`: {problem}"));
    let (inputs, out) = match equation.split_once("->") {
        Some((inputs, out)) => (inputs, Some(out)),
        None => (equation, None),
    };
    let inputs: Vec<&str> = inputs.split(',').collect();
    if inputs.len() != values.len() {
        return Err(bad("there are not as many operands"));
    }
    let mut operands = Vec::new();
    for (text, value) in inputs.into_iter().zip(values) {
        let tensor = own.real(value)?;
        let named = text.replace("...", "").len();
        let dots = tensor.dims.len().checked_sub(named).ok_or_else(|| bad("too few dimensions"))?;
        let letters = letters(text, dots).ok_or_else(|| bad("letters are expected"))?;
        if letters.len() != tensor.dims.len() {
            return Err(bad("a letter stands for one dimension"));
        }
        operands.push(diagonal(own, Operand { tensor, letters })?);
    }
    let all = || operands.iter().flat_map(|operand| operand.letters.iter().copied());
    let dots = all().filter(|letter| matches!(letter, Letter::Dots(_))).collect::<BTreeSet<_>>();
    let out = match out {
        Some(out) => letters(out, dots.len()).ok_or_else(|| bad("letters are expected"))?,
        // Dots, then what stands once, by the alphabet.
        None => {
            let once = |letter: &Letter| all().filter(|own| own == letter).count() == 1;
            let named: BTreeSet<Letter> =
                all().filter(|letter| matches!(letter, Letter::Named(_)) && once(letter)).collect();
            dots.iter().rev().copied().chain(named).collect()
        }
    };
    let known: BTreeSet<Letter> = all().collect();
    if out.iter().any(|letter| !known.contains(letter))
        || out.iter().collect::<BTreeSet<_>>().len() != out.len()
    {
        return Err(bad("the result has a letter twice, or one that no operand has"));
    }
    let mut rest = operands.into_iter();
    let mut product = rest.next().ok_or(Obstacle::Unknown)?;
    let mut later: Vec<Operand> = rest.collect();
    while !later.is_empty() {
        let next = later.remove(0);
        let needed: BTreeSet<Letter> =
            later.iter().flat_map(|operand| &operand.letters).chain(&out).copied().collect();
        // What one of both has alone is summed before.
        let mut both = [product, next];
        for at in [0, 1] {
            let other: BTreeSet<Letter> = both[1 - at].letters.iter().copied().collect();
            let kept = |letter: &Letter| needed.contains(letter) || other.contains(letter);
            both[at] = summed(own, both[at].clone(), kept)?;
        }
        product = multiplied(own, both, &needed)?;
    }
    let product = summed(own, product, |letter| out.contains(letter))?;
    let place = |letter: &Letter| product.letters.iter().position(|own| own == letter);
    let order = out.iter().map(place).collect::<Option<Vec<usize>>>().ok_or(Obstacle::Unknown)?;
    permute(Meaning::Tensor(product.tensor), &order)?.placed()
}

/// An operand summed over the letters that are not kept.
fn summed(
    own: &mut Importer<'_>,
    mut operand: Operand,
    kept: impl Fn(&Letter) -> bool,
) -> Lowered<Operand> {
    let gone: Vec<usize> =
        (0..operand.letters.len()).filter(|at| !kept(&operand.letters[*at])).collect();
    if !gone.is_empty() {
        along(own, &mut operand.tensor, &gone, false, Reduce::Sum)?;
        operand.letters.retain(|letter| kept(letter));
    }
    Ok(operand)
}

/// The product of two operands, summed over the letters that nothing needs.
fn multiplied(
    own: &mut Importer<'_>,
    [a, b]: [Operand; 2],
    needed: &BTreeSet<Letter>,
) -> Lowered<Operand> {
    // Every letter of both, in one order.
    let mut all = a.letters.clone();
    all.extend(b.letters.iter().filter(|letter| !a.letters.contains(letter)));
    let lay = |operand: &Operand| Placed {
        var: operand.tensor.var,
        dims: all
            .iter()
            .map(|letter| {
                let at = operand.letters.iter().position(|own| own == letter);
                at.map_or_else(Dim::new, |at| operand.tensor.dims[at].clone())
            })
            .collect(),
    };
    let over: Vec<usize> = (0..all.len()).filter(|at| !needed.contains(&all[*at])).collect();
    let mut tensor = contracted(own, &lay(&a), &lay(&b), &over)?;
    for at in over.into_iter().rev() {
        tensor.dims.remove(at);
        all.remove(at);
    }
    Ok(Operand { tensor, letters: all })
}

/// An operand with each letter once: of a letter that stands twice the elements with equal places.
fn diagonal(own: &mut Importer<'_>, operand: Operand) -> Lowered<Operand> {
    let Operand { tensor, letters } = operand;
    let mut once: Vec<Letter> = Vec::new();
    for letter in &letters {
        if !once.contains(letter) {
            once.push(*letter);
        }
    }
    if once.len() == letters.len() {
        return Ok(Operand { tensor, letters });
    }
    let own_sizes = tensor.sizes();
    let place = |letter: &Letter| once.iter().position(|own| own == letter).unwrap_or(0);
    let sizes: Vec<Poly> = once
        .iter()
        .map(|letter| {
            let at = letters.iter().position(|own| own == letter).unwrap_or(0);
            own_sizes[at].clone()
        })
        .collect();
    let at: Vec<At> = letters
        .iter()
        .map(|letter| match letters.iter().filter(|own| *own == letter).count() {
            1 => At::Along(place(letter)),
            _ => At::Place(IndexExpr::Position(place(letter))),
        })
        .collect();
    let tensor = picked(own, &tensor, &sizes, &at)?;
    Ok(Operand { tensor, letters: once })
}
