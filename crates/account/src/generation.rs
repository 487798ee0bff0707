//! A whole generation: a run over the prompt, then steps of one token each.

use opledger_dims::{Binding, Integer, Quantity};
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
        let request = Request { past: true, logits: Logits::Last, ..*self.request() };
        let model = self.recorded_for(request)?;
        let graph = model.graph();
        let none = || AccountError::NoCache { model: self.name().to_owned() };
        let p = graph.size_of(SizeRole::Past).ok_or_else(none)?;
        let n = graph.size_of(SizeRole::Tokens).ok_or_else(none)?;
        if let Some(size) = sizes.get(p) {
            return Err(AccountError::GivenPast { symbol: p.clone(), size: size.clone() });
        }
        let source = self.source_part()?;
        let mut given = sizes.clone();
        if source.is_some() && given.get(n).is_none() {
            given.set(n, 1);
        }
        let prompt = model.counted_at(&given.clone().with(p, 0))?;
        let binding = prompt.sizes();
        let tokens = binding.get(n).cloned().unwrap_or_default();
        let fixed = without(binding, graph, &[p, n]);
        // The last step is the largest, and so the one that may not fit the model.
        if new_tokens > 1 {
            let last = &tokens + Integer::from(new_tokens - 2);
            model.counted_at(&given.with(p, last).with(n, 1))?;
        }
        let totals = graph.totals(&fixed, &[p.clone(), n.clone()])?;
        let start = machine(n, &tokens)?;
        let mut first = totals.at(&[0, start])?;
        let mut steps = Total::none();
        for step in 0..i128::from(new_tokens) - 1 {
            steps.add_run(&totals.at(&[start + step, 1])?);
        }
        if let Some(source) = &source {
            let known = source.graph().symbols();
            let given = sizes.iter().filter(|(symbol, _)| known.contains(*symbol));
            let given = given.map(|(symbol, size)| (symbol.clone(), size.clone())).collect();
            let once = source.counted_at(&given)?;
            let fixed = without(once.sizes(), source.graph(), &[]);
            first.add_run(&source.graph().totals(&fixed, &[])?.at(&[])?);
        }
        let whole = self.recorded_for(Request { past: false, ..request })?;
        let whole = whole.partly_at(&fixed)?;
        let mut all = first.clone();
        all.add_run(&steps);
        Ok(GenerationCount {
            model: self.name().to_owned(),
            binding: without(binding, graph, &[p]).with(n, tokens),
            params: whole.quantity(Quantity::Parameters)?,
            new_tokens,
            prompt: summed(first),
            steps: summed(steps),
            all: summed(all),
            conventions: CONVENTIONS.to_vec(),
        })
    }
}
