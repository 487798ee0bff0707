//! Attention that was recorded of several calls, and what of it each of them computes.

use opledger_dims::Class;
use opledger_ir::{Part, Var};

/// Attention that was recorded of several calls.
#[derive(Clone, Debug)]
pub(crate) struct FollowedAttention {
    pub(crate) node: Var,
    /// The calls before the last.
    pub(crate) steps: Vec<FollowedStep>,
    /// Whether it has a scale.
    pub(crate) scaled: bool,
}

impl FollowedAttention {
    /// The calls but the last, by their results, and what of the node each of them computes.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (&str, Part, Option<Class>)> {
        self.steps.iter().map(|step| {
            let (part, class) = step.part(self.scaled);
            (&*step.result, part, class)
        })
    }
}

/// A call on the way to attention.
#[derive(Clone, Debug)]
pub(crate) struct FollowedStep {
    /// The name of its result.
    pub(crate) result: String,
    pub(crate) of: PartOfStep,
}

/// What a call computes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PartOfStep {
    All(Part),
    Some(Part, Class),
    /// A division by a scale or by a cap.
    Quotient,
}

impl FollowedStep {
    /// The part of attention, and of that one class where other calls have the others. What divides scores is
    /// a scale where attention has one, and else a cap.
    fn part(&self, scaled: bool) -> (Part, Option<Class>) {
        match self.of {
            PartOfStep::All(part) => (part, None),
            PartOfStep::Some(part, class) => (part, Some(class)),
            PartOfStep::Quotient if scaled => (Part::Scale, None),
            PartOfStep::Quotient => (Part::SoftCap, Some(Class::Div)),
        }
    }
}
