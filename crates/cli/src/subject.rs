//! The model a command is about, and the sizes it has.

use std::collections::BTreeSet;

use opledger_dims::{Binding, Symbol};
use opledger_ir::{Definition, Graph};
use opledger_models::{Model, Request};

use crate::args::ModelArgs;
use crate::failure::Failure;
use crate::found::find;
use crate::sizes::merge;

/// A model with sizes.
pub(crate) struct Subject {
    /// As it was written.
    pub(crate) name: String,
    pub(crate) graph: Graph,
    /// The sizes given, and those that follow from them.
    pub(crate) binding: Binding,
}

/// One item, unless a number is given.
pub(crate) fn one_unless_given(binding: &mut Binding) {
    let items = Symbol::new("b");
    if binding.get(&items).is_none() {
        binding.set(&items, 1);
    }
}

/// Tells what of a configuration was not understood.
pub(crate) fn model_notes(model: &Model) {
    if !model.unread_keys.is_empty() {
        let keys = model.unread_keys.join(", ");
        note(&format!(
            "the configuration has keys that are not known, taken to change nothing: {keys}"
        ));
    }
}

/// Tells something beside the result.
pub(crate) fn note(text: &str) {
    use std::io::Write;
    // Nobody is left to tell when stderr is closed.
    let _ = writeln!(std::io::stderr(), "note: {text}");
}

/// Which symbols a command needs sizes for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// None: what is free stays a symbol.
    Nothing,
    /// All that the tensors themselves do not tell.
    Run,
    /// All.
    Count,
}

impl Subject {
    /// Reads the model and checks its sizes as far as a command needs them.
    pub(crate) fn new(args: &ModelArgs, needs: Needs) -> Result<Self, Failure> {
        let request = Request { past: args.wants_past(), ..Request::default() };
        let found = find(&args.model)?;
        let model = found.model(&args.model, &request)?;
        Subject::of(model, args, needs, found.is_one_item())
    }

    /// A model at the sizes given; `one_item` is whether `b` is one unless it is given.
    pub(crate) fn of(
        model: Model,
        args: &ModelArgs,
        needs: Needs,
        one_item: bool,
    ) -> Result<Self, Failure> {
        model_notes(&model);
        let mut binding = merge(&args.model, &model.binding, &args.sizes)?;
        if one_item && needs != Needs::Nothing {
            one_unless_given(&mut binding);
        }
        Subject::at(model.graph, &args.model, &binding, needs)
    }

    /// A graph at a binding, checked as far as a command needs it.
    pub(crate) fn at(
        graph: Graph,
        name: &str,
        binding: &Binding,
        needs: Needs,
    ) -> Result<Self, Failure> {
        let binding = graph.complete(binding)?;
        let subject = Subject { name: name.to_owned(), graph, binding };
        if needs != Needs::Nothing {
            subject.check_bound(needs)?;
        }
        if needs == Needs::Count {
            subject.graph.check(&subject.binding)?;
        }
        Ok(subject)
    }

    fn check_bound(&self, needs: Needs) -> Result<(), Failure> {
        let told: BTreeSet<&Symbol> = self
            .graph
            .definitions()
            .iter()
            .filter(|d| matches!(d, Definition::Kept { .. }))
            .flat_map(Definition::defines)
            .collect();
        let needed = |s: &Symbol| needs == Needs::Count || !told.contains(s);
        let unbound = self.graph.symbols().into_iter().filter(|s| self.binding.get(s).is_none());
        let symbols: Vec<Symbol> = unbound.filter(needed).collect();
        if symbols.is_empty() {
            return Ok(());
        }
        let hint = match symbols.iter().any(|s| told.contains(s)) {
            true => "; what a mask leaves follows from its contents, which `opledger run` has",
            false => "",
        };
        Err(Failure::Unbound { model: self.name.clone(), symbols, hint: hint.to_owned() })
    }
}
