//! What of attention the steps of a chain compute.

use opledger_dims::Class;
use opledger_ir::Part;

use super::{Chain, Stage};
use crate::followed::{FollowedStep, PartOfStep};

/// What a call is to the chain that it makes; nothing where it moves or hides.
pub(super) fn steps_of(base: &str, chain: &Chain, result: &str) -> Vec<FollowedStep> {
    let capped = chain.soft_cap.is_some();
    let of = match (base, &chain.stage) {
        ("matmul" | "bmm" | "mm" | "einsum", _) => vec![PartOfStep::All(Part::Scores)],
        ("baddbmm", _) => [Part::Scores, Part::Scale, Part::Bias].map(PartOfStep::All).to_vec(),
        ("mul" | "multiply", Stage::Products) => vec![PartOfStep::Some(Part::Scores, Class::Mul)],
        ("mul" | "multiply", Stage::Weighted(_)) => {
            vec![PartOfStep::Some(Part::Context, Class::Mul)]
        }
        ("mul" | "multiply", _) if capped => vec![PartOfStep::Some(Part::SoftCap, Class::Mul)],
        ("mul" | "multiply", _) => vec![PartOfStep::All(Part::Scale)],
        ("sum", Stage::Scores) => vec![PartOfStep::Some(Part::Scores, Class::Add)],
        ("div", Stage::Divided(_)) => vec![PartOfStep::Quotient],
        ("div", Stage::Capping(_)) => vec![PartOfStep::Some(Part::SoftCap, Class::Div)],
        ("div", _) => vec![PartOfStep::All(Part::Scale)],
        ("tanh", _) => vec![PartOfStep::Some(Part::SoftCap, Class::Tanh)],
        ("add" | "sub", _) => vec![PartOfStep::All(Part::Bias)],
        ("softmax" | "_softmax", _) => vec![PartOfStep::All(Part::Softmax)],
        _ => Vec::new(),
    };
    of.into_iter().map(|of| FollowedStep { result: result.to_owned(), of }).collect()
}
