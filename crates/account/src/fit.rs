//! How many tokens fit in so much memory.

use opledger_dims::{Binding, Integer};
use opledger_ir::{Elem, Graph, SizeRole};
use opledger_models::{Logits, Request};
use opledger_report::{Fitted, FittedBy, Intake};

use crate::memory::bytes;
use crate::{AccountError, Model, Quantity};

/// More tokens than this are not looked for.
const MOST: u64 = 1 << 40;

/// Memory, and in which types it is filled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryBudget {
    /// Bytes that may be taken.
    pub bytes: Integer,
    /// The bytes of the weights; those of `elem` where none are said.
    pub weights: Option<Integer>,
    /// The type of weights and of computed values.
    pub elem: Elem,
    /// The type of keys and values in the cache.
    pub cache: Elem,
}

impl Model {
    /// The most tokens of each of so many items that fit, and that a program accepts: weights, what the cache holds of all of them
    /// (of layers with a window, their last tokens; of layers with chunks, those of a chunk, which is once
    /// full), and the computed values that are alive at once.
    /// Tokens are read one by one, each reading the others from the cache, or all in one run.
    ///
    /// ```
    /// use opledger::{Binding, Elem, Integer, Model, account::MemoryBudget, report::Intake};
    ///
    /// let model = Model::open("llama-3.1-8b")?;
    /// let bytes = Integer::from(24_000_000_000_u64);
    /// let budget = MemoryBudget { bytes, weights: None, elem: Elem::Bf16, cache: Elem::Bf16 };
    /// let fitted = model.fitting(&budget, &1.into(), Intake::OneByOne, &Binding::new())?;
    /// assert_eq!(fitted.tokens, 60_571.into());
    /// # Ok::<(), opledger::AccountError>(())
    /// ```
    ///
    /// # Errors
    /// When a size that is needed was not given, or tokens are to be read one by one by a model without
    /// a cache.
    pub fn fitting(
        &self,
        budget: &MemoryBudget,
        items: &Integer,
        reading: Intake,
        sizes: &Binding,
    ) -> Result<Fitted, AccountError> {
        let need = Need::new(self, budget, items, reading, sizes)?;
        let limit = self.recorded().positions.as_ref();
        let positions = limit.map_or_else(|| MOST.into(), |limit| Integer::from(limit.tokens));
        let fits =
            |tokens: &Integer| Ok::<_, AccountError>(need.up_to(tokens)?.sum() <= budget.bytes);
        // What is needed never falls with tokens, so the last that fit is found by halving.
        let (mut least, mut most) = (Integer::default(), positions.clone());
        if fits(&most)? {
            least = most.clone();
        }
        while &most - &least > 1.into() {
            let middle = (&least + &most) / 2u32;
            match fits(&middle)? {
                true => least = middle,
                false => most = middle,
            }
        }
        let mut by = match (least == positions, limit) {
            (true, Some(limit)) => FittedBy::Positions(limit.key),
            // A state takes as much of any number of tokens.
            (true, None) if need.at(&least)?.sum() == need.at(&1.into())?.sum() => {
                FittedBy::Nothing
            }
            (true, None) | (false, _) => FittedBy::Memory,
        };
        if least > Integer::default() && !need.model.limits().is_empty() {
            let (accepted, condition) =
                need.model.greatest_accepted(&least, |tokens| need.sizes_at(tokens))?;
            by = condition.map_or(by, FittedBy::Condition);
            least = accepted;
        }
        let none = least == Integer::default();
        let Needed { weights, cache, activations } = match none {
            true => need.at(&1.into())?,
            false => need.up_to(&least)?,
        };
        Ok(Fitted { items: items.clone(), reading, tokens: least, by, weights, cache, activations })
    }
}

/// A model as it reads tokens.
struct Need<'a> {
    model: Model,
    /// Values alive at once while the other sequence is read.
    reading_source: Integer,
    budget: &'a MemoryBudget,
    items: &'a Integer,
    reading: Intake,
    sizes: Binding,
    weights: Integer,
}

/// Bytes that are needed.
struct Needed {
    weights: Integer,
    cache: Option<Integer>,
    activations: Integer,
}

impl Needed {
    fn sum(&self) -> Integer {
        &self.weights + self.cache.clone().unwrap_or_default() + &self.activations
    }
}

impl<'a> Need<'a> {
    fn new(
        model: &Model,
        budget: &'a MemoryBudget,
        items: &'a Integer,
        reading: Intake,
        sizes: &Binding,
    ) -> Result<Self, AccountError> {
        let request = Request { past: true, logits: Logits::Last, ..*model.request() };
        let whole = model;
        let model = match (model.with_cache(request)?, reading) {
            (Some(cached), _) if !cached.graph().caches().is_empty() => cached,
            (_, Intake::AtOnce) => model.clone(),
            (_, Intake::OneByOne) => {
                return Err(AccountError::NoCache { model: model.name().to_owned() });
            }
        };
        let mut sizes = model.merged(sizes)?;
        if let Some(symbol) = model.graph().size_of(SizeRole::Batch) {
            sizes.set(symbol, items.clone());
        }
        let (weights, reading_source) = (Integer::default(), Integer::default());
        let mut need = Need { model, reading_source, budget, items, reading, sizes, weights };
        let sizes = need.sizes_at(&1.into())?;
        let parameters = whole.formula(Quantity::Parameters).at(&sizes)?;
        if let Some(source) = whole.source_part()? {
            let shared = |role| {
                Some((source.graph().size_of(role)?, sizes.get(need.graph().size_of(role)?)?))
            };
            let given = [SizeRole::Batch, SizeRole::Memory].into_iter().filter_map(shared);
            let given: Binding =
                given.map(|(symbol, size)| (symbol.clone(), size.clone())).collect();
            let sized = source.counted_at(&given)?;
            need.reading_source = sized.graph().footprint(sized.sizes(), need.width())?.computed();
        }
        let stored = budget.weights.clone();
        need.weights = stored.unwrap_or_else(|| bytes(parameters, budget.elem));
        Ok(need)
    }

    /// Bytes of a computed value.
    fn width(&self) -> usize {
        usize::try_from(self.budget.elem.bits().div_ceil(8)).unwrap_or(1)
    }

    fn graph(&self) -> &Graph {
        self.model.graph()
    }

    fn sizes_at(&self, tokens: &Integer) -> Result<Binding, AccountError> {
        let graph = self.graph();
        let none = || AccountError::NoTokens { model: self.model.name().to_owned() };
        let (past, new) = match self.reading {
            Intake::OneByOne => (tokens - Integer::from(1), Integer::from(1)),
            Intake::AtOnce => (Integer::default(), tokens.clone()),
        };
        let mut sizes =
            self.sizes.clone().with(graph.size_of(SizeRole::Tokens).ok_or_else(none)?, new);
        if let Some(symbol) = graph.size_of(SizeRole::Past) {
            sizes.set(symbol, past);
        }
        Ok(graph.complete(&sizes)?)
    }

    /// The most that is needed of so many tokens and of any fewer: a cache of chunks is emptied where one
    /// begins, so less may be needed of more.
    fn up_to(&self, tokens: &Integer) -> Result<Needed, AccountError> {
        let mut most = self.at(tokens)?;
        for chunk in self.graph().chunks() {
            let chunk = chunk.at(&self.sizes_at(tokens)?)?;
            if chunk < 1.into() || *tokens <= chunk {
                continue;
            }
            let full = self.at(&(tokens / &chunk * &chunk))?;
            if full.sum() > most.sum() {
                most = full;
            }
        }
        Ok(most)
    }

    fn at(&self, tokens: &Integer) -> Result<Needed, AccountError> {
        let (graph, sizes) = (self.graph(), self.sizes_at(tokens)?);
        let cache = self.model.cache()?.map(|cache| {
            let source = graph.size_of(SizeRole::Memory).and_then(|m| sizes.get(m)).cloned();
            cache.with_source(source.unwrap_or_else(|| 1.into())).at(tokens, self.items)
        });
        let cache = cache.transpose()?;
        Ok(Needed {
            weights: self.weights.clone(),
            cache: cache.map(|cache| cache.bytes_held(self.budget.cache)),
            activations: { graph.step_footprint(&sizes, self.width())?.computed() }
                .max(self.reading_source.clone()),
        })
    }
}
