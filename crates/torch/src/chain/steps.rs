//! What of attention the steps of a chain compute, by which calls are told apart that one node stands for.

use opledger_dims::Class;
use opledger_ir::{Part, Var};

use super::{Chain, Stage};

/// Attention that was recorded of several calls.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) node: Var,
    pub(super) steps: Vec<WrittenStep>,
    pub(super) scaled: bool,
}

impl Written {
    /// The calls but the last, by their results, and what of the node each of them computes.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (&str, Part, Option<Class>)> {
        self.steps.iter().map(|step| {
            let (part, class) = step.part(self.scaled);
            (&*step.result, part, class)
        })
    }
}

/// A call that a chain follows.
#[derive(Clone, Debug)]
pub(super) struct WrittenStep {
    /// The name of its result.
    result: String,
    of: Step,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    All(Part),
    Some(Part, Class),
    /// A division by a scale or by a cap.
    Quotient,
}

impl WrittenStep {
    /// The part of attention, and of that one class where other calls have the others. What divides scores is
    /// a scale where attention has one, and else a cap.
    fn part(&self, scaled: bool) -> (Part, Option<Class>) {
        match self.of {
            Step::All(part) => (part, None),
            Step::Some(part, class) => (part, Some(class)),
            Step::Quotient if scaled => (Part::Scale, None),
            Step::Quotient => (Part::SoftCap, Some(Class::Div)),
        }
    }
}

/// What a call is to the chain that it makes; nothing where it moves or hides.
pub(super) fn steps_of(base: &str, chain: &Chain, result: &str) -> Vec<WrittenStep> {
    let capped = chain.soft_cap.is_some();
    let of = match (base, &chain.stage) {
        ("matmul" | "bmm" | "mm" | "einsum", _) => vec![Step::All(Part::Scores)],
        ("baddbmm", _) => [Part::Scores, Part::Scale, Part::Bias].map(Step::All).to_vec(),
        ("mul" | "multiply", Stage::Products) => vec![Step::Some(Part::Scores, Class::Mul)],
        ("mul" | "multiply", Stage::Weighted(_)) => vec![Step::Some(Part::Context, Class::Mul)],
        ("mul" | "multiply", _) if capped => vec![Step::Some(Part::SoftCap, Class::Mul)],
        ("mul" | "multiply", _) => vec![Step::All(Part::Scale)],
        ("sum", Stage::Scores) => vec![Step::Some(Part::Scores, Class::Add)],
        ("div", Stage::Divided(_)) => vec![Step::Quotient],
        ("div", Stage::Capping(_)) => vec![Step::Some(Part::SoftCap, Class::Div)],
        ("div", _) => vec![Step::All(Part::Scale)],
        ("tanh", _) => vec![Step::Some(Part::SoftCap, Class::Tanh)],
        ("add" | "sub", _) => vec![Step::All(Part::Bias)],
        ("softmax" | "_softmax", _) => vec![Step::All(Part::Softmax)],
        _ => Vec::new(),
    };
    of.into_iter().map(|of| WrittenStep { result: result.to_owned(), of }).collect()
}
