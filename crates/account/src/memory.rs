//! Memory: bytes of parameters, of the cache, and of the values that are alive at once.

use opledger_dims::{Binding, Integer, Poly, Quantity};
use opledger_ir::{Cached, Elem, Graph, SizeRole};
use opledger_report::{Memory, QuantisedBytes, StoredKind, Traffic};

use crate::{AccountError, Model, SizedModel};

/// The bytes of so many elements, the last byte full or not.
pub(crate) fn bytes(elements: Integer, elem: Elem) -> Integer {
    (elements * elem.bits() + 7u32) / 8u32
}

impl SizedModel<'_> {
    /// Bytes of parameters and of the cache, stored as elements of a type, and of the values that are
    /// alive at once, as `f32`, caches growing in place.
    ///
    /// # Errors
    /// When a size is unbound.
    pub fn memory(&self, elem: Elem) -> Result<Memory, AccountError> {
        let moved = self.traffic(elem, elem)?;
        self.memory_of(elem, Vec::new(), moved)
    }

    /// The same in the types that the model has: of a program each value in its own, and what it says no type of
    /// in that of most elements of its parameters.
    ///
    /// # Errors
    /// When a size is unbound.
    pub fn memory_as_stored(&self) -> Result<Memory, AccountError> {
        let (model, elem) = (self.model(), self.model().storage());
        let moved = self.moved(&model.typed(self.graph(), elem), elem)?;
        let kinds = model.stored_kinds();
        self.memory_of(
            elem,
            if self.model().is_uniform(&kinds) { Vec::new() } else { kinds },
            moved,
        )
    }

    /// With parameters by types, where they have several; those of no type that is known take that of all else.
    fn memory_of(
        &self,
        elem: Elem,
        types: Vec<StoredKind>,
        moved: Traffic,
    ) -> Result<Memory, AccountError> {
        let parameters = self.quantity(Quantity::Parameters)?;
        let active = self.quantity(Quantity::ActiveParameters)?;
        let cache = self.cache()?;
        let all = cache.as_ref().map(|cache| cache.at_sizes(self.graph(), self.sizes()));
        let all = all.transpose()?;
        let dropped = all.as_ref().filter(|all| all.held != all.given);
        Ok(Memory {
            dtype: elem.name(),
            declared: self.model().declared() == Some(elem),
            active_parameters: (active != parameters).then_some(active),
            parameters: self.model().parameter_bytes(&types, parameters, elem),
            types,
            cache_per_token: { cache.as_ref() }
                .map(|cache| Ok::<_, AccountError>(bytes(cache.per_token()?, elem)))
                .transpose()?,
            cache_without_windows: dropped.map(|all| all.bytes_given(elem)),
            cache: all.map(|all| all.bytes_held(elem)),
            quantised: self.model().quantised_weights().ok().flatten().map(|weights| {
                QuantisedBytes {
                    method: weights.method.to_string(),
                    bytes: weights.bytes(),
                    elements: weights.elements,
                }
            }),
            files: self.model().stored_weights(),
            moved,
            activations: self.graph().step_footprint(self.sizes(), size_of::<f32>())?.live,
        })
    }
}

/// The cache of a model, whose size follows from tokens and items.
#[derive(Clone, Debug)]
pub struct CacheSize {
    /// Recorded with the cache.
    model: Model,
    /// Tokens of the other sequence, of which a decoder keeps keys and values too.
    source: Integer,
}

impl SizedModel<'_> {
    /// The cache of the model, with as many tokens of the other sequence as there are here.
    pub(crate) fn cache(&self) -> Result<Option<CacheSize>, AccountError> {
        let source = self.graph().size_of(SizeRole::Memory).and_then(|m| self.sizes().get(m));
        let cache = self.model().cache()?;
        Ok(cache.map(|cache| match source {
            Some(tokens) => cache.with_source(tokens.clone()),
            None => cache,
        }))
    }
}

/// Elements of keys and values of so many tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachedElements {
    /// Those that the cache holds: of layers with a window, the last tokens'.
    pub held: Integer,
    /// Those that were computed: all tokens'.
    pub given: Integer,
    /// Those of both that are states of a recurrence, which have a type of their own.
    pub states: Integer,
}

impl CachedElements {
    /// The bytes of those held, where elements of caches are of a type.
    pub fn bytes_held(&self, elem: Elem) -> Integer {
        self.bytes(&self.held, elem)
    }

    /// The bytes of those that were computed.
    pub fn bytes_given(&self, elem: Elem) -> Integer {
        self.bytes(&self.given, elem)
    }

    fn bytes(&self, all: &Integer, elem: Elem) -> Integer {
        let states = bytes(self.states.clone(), Cached::Memory.stored(elem));
        bytes(all - &self.states, elem) + states
    }
}

impl CacheSize {
    /// The same with so many tokens of the other sequence; one unless it is said.
    #[must_use]
    pub fn with_source(self, tokens: impl Into<Integer>) -> Self {
        CacheSize { source: tokens.into(), ..self }
    }

    /// The elements that a token of one item adds.
    ///
    /// # Errors
    /// As [`CacheSize::at`].
    pub fn per_token(&self) -> Result<Integer, AccountError> {
        let of = |tokens: u64| self.at(&tokens.into(), &1.into());
        Ok(of(1)?.given - of(0)?.given)
    }

    /// The elements after all tokens of all items of a run of a graph of the model.
    pub(crate) fn at_sizes(
        &self,
        graph: &Graph,
        sizes: &Binding,
    ) -> Result<CachedElements, AccountError> {
        let size = |role| sizes.get(graph.size_of(role)?).cloned();
        let tokens =
            size(SizeRole::Tokens).unwrap_or_default() + size(SizeRole::Past).unwrap_or_default();
        let items = size(SizeRole::Batch).unwrap_or_else(|| 1.into());
        match size(SizeRole::Memory) {
            Some(source) => self.clone().with_source(source).at(&tokens, &items),
            None => self.at(&tokens, &items),
        }
    }

    /// The elements after so many tokens of each of so many items.
    ///
    /// # Errors
    /// When the cache has a size that no number was given for.
    pub fn at(&self, tokens: &Integer, items: &Integer) -> Result<CachedElements, AccountError> {
        let graph: &Graph = self.model.graph();
        let mut sizes = self.model.sizes().clone();
        for (role, size) in [
            (SizeRole::Batch, items),
            (SizeRole::Tokens, &1.into()),
            (SizeRole::Past, tokens),
            (SizeRole::Memory, &self.source),
        ] {
            if let Some(symbol) = graph.size_of(role) {
                sizes.set(symbol, size.clone());
            }
        }
        let sizes = graph.complete(&sizes)?;
        let of = |which: &dyn Fn(Cached) -> bool| {
            let caches = graph.caches().iter().filter(|cache| which(cache.of));
            let elements = caches.map(|cache| {
                let past = graph.node(cache.past);
                past.shape.elements() * graph.multiplicity(past)
            });
            elements.sum::<Poly>().at(&sizes)
        };
        let (given, states) = (of(&|_| true)?, of(&|of| of == Cached::Memory)?);
        Ok(CachedElements { held: graph.quantity(Quantity::Cache).at(&sizes)?, given, states })
    }
}

impl Model {
    /// The cache of keys and values; none of a model without.
    ///
    /// ```
    /// use opledger::Model;
    ///
    /// // Each of 32 layers keeps keys and values of 8 heads of 128, of the last 4096 tokens.
    /// let cache = Model::open("mistral-7b")?.cache()?.unwrap();
    /// assert_eq!(cache.at(&100.into(), &1.into())?.held, (2 * 32 * 8 * 128 * 100).into());
    /// assert_eq!(cache.at(&8192.into(), &1.into())?.held, (2 * 32 * 8 * 128 * 4096).into());
    /// # Ok::<(), opledger::AccountError>(())
    /// ```
    ///
    /// # Errors
    /// When the model cannot be recorded with its cache.
    pub fn cache(&self) -> Result<Option<CacheSize>, AccountError> {
        let cached = match self.graph().caches().is_empty() {
            false => Some(self.clone()),
            true => self.with_cache(*self.request())?,
        };
        let cached = cached.filter(|model| !model.graph().caches().is_empty());
        Ok(cached.map(|model| CacheSize { model, source: 1.into() }))
    }

    /// Elements of keys and values of a token in all layers; none of a model without a cache.
    ///
    /// # Errors
    /// When the cache of the model has a size that no number was given for.
    pub fn cache_per_token(&self) -> Result<Option<Integer>, AccountError> {
        self.cache()?.map(|cache| cache.per_token()).transpose()
    }
}
