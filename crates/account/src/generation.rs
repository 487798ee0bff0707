//! A whole generation: a run over the prompt, then steps of one token each.

use opledger_dims::{Binding, Integer, Quantity, Symbol};
use opledger_ir::{SizeRole, Total};
use opledger_models::{Logits, Request};
use opledger_report::{CONVENTIONS, GenerationCount};

use crate::grid::{machine, summed, without};
use crate::{AccountError, Model};

impl Model {
    /// What generating `new_tokens` tokens costs: the run over the prompt, which gives the first, and a
    /// step for each of the others, every step counted at its own number of cached tokens. Of an encoder
    /// and a decoder the encoder's run is part of the prompt's, and the decoder begins with one token
    /// unless `n` says how many.
    ///
    /// ```
    /// use opledger::Model;
    ///
    /// let sizes = [("n", 128)].into_iter().collect();
    /// let generation = Model::open("gpt2")?.generation(&sizes, 16)?;
    /// assert_eq!(generation.all.macs, &generation.prompt.macs + &generation.steps.macs);
    /// # Ok::<(), opledger::AccountError>(())
    /// ```
    ///
    /// # Errors
    /// When the model has no cache, or as [`Model::at`] at the prompt or at the last step.
    pub fn generation(
        &self,
        sizes: &Binding,
        new_tokens: u64,
    ) -> Result<GenerationCount, AccountError> {
        let of = Generating::of(self, sizes, new_tokens)?;
        let Generating { model, p, n, tokens, prompt: binding, fixed, .. } = &of;
        let graph = model.graph();
        let start = machine(n, tokens)?;
        let totals = graph.totals(fixed, &[p.clone(), n.clone()])?;
        let mut first = totals.at(&[0, start])?;
        let mut steps = Total::none();
        for step in 0..i128::from(new_tokens) - 1 {
            steps.add_run(&totals.at(&[start + step, 1])?);
        }
        if let Some((source, once)) = &of.source {
            let fixed = without(once, source.graph(), &[]);
            first.add_run(&source.graph().totals(&fixed, &[])?.at(&[])?);
        }
        let whole = model.recorded_for(Request { past: false, ..*model.request() })?;
        let whole = whole.partly_at(fixed)?;
        let mut all = first.clone();
        all.add_run(&steps);
        Ok(GenerationCount {
            model: self.name().to_owned(),
            binding: without(binding, graph, &[p]).with(n.clone(), tokens.clone()),
            params: whole.quantity(Quantity::Parameters)?,
            new_tokens,
            prompt: summed(first),
            steps: summed(steps),
            all: summed(all),
            conventions: CONVENTIONS.to_vec(),
        })
    }
}

/// What is generated: a run over a prompt, then steps of one token.
pub(crate) struct Generating {
    /// Recorded with a cache, and scores of the last token only.
    pub(crate) model: Model,
    /// Tokens in the cache.
    pub(crate) p: Symbol,
    /// Tokens of a run.
    pub(crate) n: Symbol,
    /// Tokens of the prompt.
    pub(crate) tokens: Integer,
    /// All sizes of the run over the prompt.
    pub(crate) prompt: Binding,
    /// The sizes that all runs share.
    pub(crate) fixed: Binding,
    /// What an encoder does once, and its sizes.
    pub(crate) source: Option<(Model, Binding)>,
}

impl Generating {
    pub(crate) fn of(of: &Model, sizes: &Binding, new_tokens: u64) -> Result<Self, AccountError> {
        let request = Request { past: true, logits: Logits::Last, ..*of.request() };
        let model = of.recorded_for(request)?;
        let graph = model.graph();
        let none = || AccountError::NoCache { model: of.name().to_owned() };
        let p = graph.size_of(SizeRole::Past).ok_or_else(none)?.clone();
        let n = graph.size_of(SizeRole::Tokens).ok_or_else(none)?.clone();
        if let Some(size) = sizes.get(&p) {
            return Err(AccountError::GivenPast { symbol: p, size: size.clone() });
        }
        let source = of.source_part()?;
        let mut given = sizes.clone();
        if source.is_some() && given.get(&n).is_none() {
            given.set(n.clone(), 1);
        }
        let prompt = model.counted_at(&given.clone().with(p.clone(), 0))?.sizes().clone();
        let tokens = prompt.get(&n).cloned().unwrap_or_default();
        let fixed = without(&prompt, graph, &[&p, &n]);
        // The last step is the largest, and so the one that may not fit the model.
        if new_tokens > 1 {
            let last = &tokens + Integer::from(new_tokens - 2);
            model.counted_at(&given.with(p.clone(), last).with(n.clone(), 1))?;
        }
        let source = match source {
            None => None,
            Some(source) => {
                let known = source.graph().symbols();
                let given = sizes.iter().filter(|(symbol, _)| known.contains(*symbol));
                let given = given.map(|(symbol, size)| (symbol.clone(), size.clone())).collect();
                let once = source.counted_at(&given)?.sizes().clone();
                Some((source, once))
            }
        };
        Ok(Generating { p, n, tokens, prompt, fixed, source, model })
    }
}
