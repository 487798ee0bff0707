//! What a training step of a model costs, as formulas.

use std::collections::{BTreeSet, HashMap};

use opledger_dims::{Binding, Poly, Symbol};
use opledger_grad::{Optimizer, Recompute, Update};
use opledger_ir::Phase;
use opledger_report::{PageOptimizer, PageRecompute, PageTraining};

use super::structure::{least, products};
use super::texts::SharedTexts;
use crate::emitted::course;
use crate::{AccountError, Model, TrainingOptions};

/// The steps of graphs that are the same, once.
#[derive(Default)]
pub(super) struct Trainings {
    known: HashMap<String, Result<usize, String>>,
}

impl Trainings {
    /// The step of a model, by its place, or why there is none.
    pub(super) fn of(&mut self, model: &Model, texts: &mut SharedTexts) -> Result<usize, String> {
        let known = self.known.entry(model.graph().to_string());
        let made = || match training(model, texts) {
            Ok(place) => Ok(place),
            Err(AccountError::NoFunction { symbol, definition, .. }) => Err(format!(
                "of a training step no function of sizes gives `{symbol}`: {definition}; `opledger train` counts it"
            )),
            Err(problem) => Err(problem.to_string()),
        };
        known.or_insert_with(made).clone()
    }
}

fn training(model: &Model, texts: &mut SharedTexts) -> Result<usize, AccountError> {
    let mut needed: BTreeSet<Symbol> = BTreeSet::new();
    let mut formula = |poly: &Poly, texts: &mut SharedTexts| {
        needed.extend(poly.symbols());
        texts.formula(poly)
    };
    let step = model.training(&TrainingOptions::default())?;
    let mut policies = Vec::new();
    for recompute in [Recompute::Nothing, Recompute::Selective, Recompute::Layers] {
        let name = recompute.to_string();
        let other = match recompute {
            Recompute::Nothing => None,
            _ => Some(step.recomputing(recompute)?),
        };
        let own = other.as_ref().unwrap_or(&step);
        let parts = Phase::ALL.into_iter().filter_map(|phase| {
            let [products, all] = own.phase_formulas(phase)?;
            Some((phase.to_string(), formula(&products, texts), formula(&all, texts)))
        });
        let phases = parts.collect();
        let kept = own.kept_formulas().map(|poly| formula(&poly, texts));
        policies.push(PageRecompute { name, phases, kept });
    }
    let mut optimizers = Vec::new();
    for (name, optimizer) in [("sgd", Optimizer::SGD), ("adamw", Optimizer::ADAMW)] {
        let update = Some(Update { optimizer, clip: None });
        let step = model.training(&TrainingOptions { update, ..TrainingOptions::default() })?;
        let own = step.phase_formulas(Phase::Update);
        let update = own.map(|both| both.map(|poly| formula(&poly, texts)));
        let state = formula(&step.state_formula(), texts);
        optimizers.push(PageOptimizer { name, update, state });
    }
    let trained = formula(&step.trained_formula(), texts);
    let weights = formula(&step.graph().parameters().0, texts);
    let tightest = least(step.graph(), model.sizes());
    needed.extend(tightest.iter().flat_map(|(poly, ..)| poly.symbols()));
    let steps = course(step.graph(), model.name(), needed, &Binding::new())?.steps.into_iter();
    let steps = steps.map(|(symbol, own)| (symbol.to_string(), texts.expression(&own))).collect();
    let least = tightest.into_iter();
    let least = least.map(|(poly, n, what)| (texts.formula(&poly), n, what)).collect();
    Ok(texts.training(PageTraining {
        loss: step.smaller(),
        result: step.result().to_owned(),
        steps,
        products: products(step.graph()),
        least,
        weights,
        trained,
        policies,
        optimizers,
    }))
}
