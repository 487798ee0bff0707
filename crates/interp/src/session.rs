//! A causal model that keeps keys and values: tokens go in, as many as there are at a time, and every
//! earlier one is read from the cache.

use opledger_dims::{Binding, Integer};
use opledger_ir::Graph;

use crate::driver::{Observer, check_memory};
use crate::{Feeds, Interpreter, Run, RunError, Store, run_stored};

/// The input of tokens.
const IDS: &str = "input_ids";
/// The ending of the inputs that hold earlier keys and values, and of the results that hold all.
const ENDINGS: [(&str, &str); 2] =
    [(".past_key", ".present_key"), (".past_value", ".present_value")];

/// The state of one generation.
///
/// The graph has an input `input_ids` of `b` items of `n` tokens, and for every layer inputs
/// `past_key` and `past_value` of `p` tokens and results `present_key` and `present_value` of
/// `p + n`.
#[derive(Debug)]
pub struct Session<'g, I> {
    graph: &'g Graph,
    interpreter: I,
    sizes: Binding,
    store: Store,
    /// Tokens in the cache.
    past: usize,
}

impl<'g, I: Interpreter<Scalar = f32>> Session<'g, I> {
    /// An empty cache. `sizes` binds all symbols but `p` and `n`; `feeds` has the parameters.
    ///
    /// # Errors
    /// When a size or a parameter does not fit, or memory does not suffice.
    pub fn new(
        graph: &'g Graph,
        sizes: &Binding,
        feeds: &Feeds,
        interpreter: I,
    ) -> Result<Self, RunError> {
        let mut binding = graph.complete(&sizes.clone().with("p", 0).with("n", 1))?;
        graph.check(&binding)?;
        check_memory(graph, &binding, size_of::<f32>())?;
        let store = feeds.store(graph, &mut binding)?;
        Ok(Session { graph, interpreter, sizes: sizes.clone(), store, past: 0 })
    }

    /// How many tokens the cache holds.
    pub fn past(&self) -> usize {
        self.past
    }

    /// The sizes of a step of so many tokens.
    ///
    /// # Errors
    /// When they do not fit the model, such as more tokens than it has positions.
    pub fn binding(&self, tokens: usize) -> Result<Binding, RunError> {
        let sizes = self.sizes.clone().with("p", self.past).with("n", tokens);
        let binding = self.graph.complete(&sizes)?;
        self.graph.check(&binding)?;
        Ok(binding)
    }

    /// Runs the model on the next `n` tokens of each item, `[b, n]`, and keeps their keys and values.
    ///
    /// # Errors
    /// When the tokens do not fit, memory does not suffice, or an operation fails.
    pub fn step(
        &mut self,
        n: usize,
        tokens: &[i64],
        observer: &mut dyn Observer,
    ) -> Result<Run<f32>, RunError> {
        let binding = self.binding(n)?;
        check_memory(self.graph, &binding, size_of::<f32>())?;
        self.store.feed(self.graph, &binding, IDS, tokens)?;
        let (graph, interpreter) = (self.graph, &mut self.interpreter);
        let mut run = run_stored(graph, &binding, interpreter, &self.store, observer)?;
        let mut outputs = Vec::with_capacity(run.outputs.len());
        for (name, value) in run.outputs {
            let kept = ENDINGS.iter().find_map(|(past, present)| {
                name.strip_suffix(present).map(|layer| format!("{layer}{past}"))
            });
            match kept {
                Some(path) => self.store.set(&path, value),
                None => outputs.push((name, value)),
            }
        }
        run.outputs = outputs;
        self.past += n;
        Ok(run)
    }

    /// Bytes of the keys and values kept.
    pub fn cache_bytes(&self) -> Integer {
        let kept = self
            .store
            .iter()
            .filter(|(path, _)| ENDINGS.iter().any(|(past, _)| path.ends_with(past)));
        kept.map(|(_, value)| Integer::from(value.shape().iter().product::<usize>() * 4)).sum()
    }
}
