//! A model at sizes.

use std::collections::{BTreeMap, BTreeSet};

use opledger_dims::{Binding, Integer, Quantity, Symbol};
use opledger_ir::{
    Definition, Graph, PartCounts, SizeComparison, SizeCondition, SizeRelation, SizeRole, SizeTerm,
};
use opledger_models::PositionLimit;

use crate::{AccountError, Model};

/// A model at sizes: all of them, or some while the others stay symbols.
#[derive(Clone, Debug)]
pub struct SizedModel<'m> {
    model: &'m Model,
    sizes: Binding,
}

impl<'m> SizedModel<'m> {
    /// A model at completed sizes.
    pub(crate) fn new(model: &'m Model, sizes: Binding) -> Self {
        SizedModel { model, sizes }
    }

    /// The model.
    pub fn model(&self) -> &'m Model {
        self.model
    }

    /// The computation.
    pub fn graph(&self) -> &'m Graph {
        self.model.graph()
    }

    /// The sizes given, those of the model, and those that follow from them.
    pub fn sizes(&self) -> &Binding {
        &self.sizes
    }

    /// Scalar operations by part and class.
    ///
    /// # Errors
    /// When a size is unbound.
    pub fn counts(&self) -> Result<PartCounts<Integer>, AccountError> {
        Ok(self.graph().cost().at(&self.sizes)?)
    }

    /// A quantity, exactly.
    ///
    /// # Errors
    /// When a size is unbound.
    pub fn quantity(&self, quantity: Quantity) -> Result<Integer, AccountError> {
        Ok(self.graph().quantity(quantity).at(&self.sizes)?)
    }

    /// Multiplications inside contractions.
    ///
    /// # Errors
    /// When a size is unbound.
    pub fn macs(&self) -> Result<Integer, AccountError> {
        self.quantity(Quantity::Macs)
    }

    /// All scalar operations, each worth one.
    ///
    /// # Errors
    /// When a size is unbound.
    pub fn flops(&self) -> Result<Integer, AccountError> {
        self.quantity(Quantity::Flops)
    }

    /// Twice the macs.
    ///
    /// # Errors
    /// When a size is unbound.
    pub fn matmul_flops(&self) -> Result<Integer, AccountError> {
        self.quantity(Quantity::MatmulFlops)
    }
}

impl Model {
    /// The model's sizes with others added.
    ///
    /// # Errors
    /// When one of them is another in the model.
    pub fn merged(&self, given: &Binding) -> Result<Binding, AccountError> {
        let mut sizes = self.sizes().clone();
        for (symbol, size) in given.iter() {
            let symbol = self.recorded().aliases.get(symbol).unwrap_or(symbol);
            // Two names of one size may be given.
            match sizes.get(symbol) {
                Some(fixed) if fixed != size => {
                    return Err(AccountError::Fixed {
                        symbol: symbol.clone(),
                        model: self.name().to_owned(),
                        fixed: fixed.clone(),
                        given: size.clone(),
                    });
                }
                _ => drop(sizes.set(symbol, size.clone())),
            }
        }
        Ok(sizes)
    }

    /// Gives a whole model one item, and one image beside texts, where no number of them is given.
    pub fn one_item_unless_given(&self, sizes: &mut Binding) {
        if !self.reference().is_whole_model() {
            return;
        }
        for role in [SizeRole::Batch, SizeRole::Images] {
            if let Some(items) = self.graph().size_of(role)
                && sizes.get(items).is_none()
            {
                sizes.set(items, 1);
            }
        }
    }

    /// The model at sizes, all of its symbols bound: of one item, unless a number of items is given.
    ///
    /// # Errors
    /// When a size is missing, is another in the model, is no size of it, or does not fit the others.
    pub fn at<S, N>(
        &self,
        sizes: impl IntoIterator<Item = (S, N)>,
    ) -> Result<SizedModel<'_>, AccountError>
    where
        S: Into<Symbol>,
        N: Into<Integer>,
    {
        self.counted_at(&sizes.into_iter().collect())
    }

    /// [`Model::at`] of a binding.
    ///
    /// # Errors
    /// As [`Model::at`].
    pub fn counted_at(&self, sizes: &Binding) -> Result<SizedModel<'_>, AccountError> {
        let mut sizes = self.merged(sizes)?;
        self.one_item_unless_given(&mut sizes);
        let sized = self.completed(&sizes)?;
        self.check_bound(sized.sizes(), |_| true)?;
        self.check_positions(sized.sizes())?;
        self.graph().check(sized.sizes())?;
        Ok(sized)
    }

    /// The model at sizes, as tools see it, which do not look into masks: what these leave may stay free.
    ///
    /// # Errors
    /// As [`Model::at`].
    pub fn seen_at(&self, sizes: &Binding) -> Result<SizedModel<'_>, AccountError> {
        let sized = self.run_at(&self.merged(sizes)?)?;
        if self.graph().symbols().iter().all(|symbol| sized.sizes().get(symbol).is_some()) {
            self.graph().check(sized.sizes())?;
        }
        Ok(sized)
    }

    /// The model at some sizes; what is free stays a symbol.
    ///
    /// # Errors
    /// When a size is another in the model, is no size of it, or contradicts the others.
    pub fn partly_at(&self, sizes: &Binding) -> Result<SizedModel<'_>, AccountError> {
        self.completed(&self.merged(sizes)?)
    }

    /// The model at the sizes of a run, those of the model among them; what a mask leaves may stay
    /// free.
    ///
    /// # Errors
    /// As [`Model::at`].
    pub fn run_at(&self, sizes: &Binding) -> Result<SizedModel<'_>, AccountError> {
        let mut sizes = sizes.clone();
        self.one_item_unless_given(&mut sizes);
        let sized = self.completed(&sizes)?;
        let by_mask = self.by_mask();
        self.check_bound(sized.sizes(), |symbol| !by_mask.contains(symbol))?;
        self.check_positions(sized.sizes())?;
        Ok(sized)
    }

    fn completed(&self, sizes: &Binding) -> Result<SizedModel<'_>, AccountError> {
        let others = self.other_names();
        let of_others = others.iter().filter_map(|(gone, kept)| {
            let size = sizes.get(gone).filter(|_| sizes.get(kept).is_none())?;
            Some((kept.clone(), size.clone()))
        });
        let own = sizes.iter().filter(|(symbol, _)| !others.contains_key(*symbol));
        let own = own.map(|(symbol, size)| (symbol.clone(), size.clone())).chain(of_others);
        let given = sizes;
        let sizes = self.graph().complete(&own.collect())?;
        for (symbol, most) in &self.recorded().rows {
            if let Some(size) = sizes.get(symbol).filter(|size| **size > (*most).into()) {
                let (model, symbol) = (self.name().to_owned(), symbol.clone());
                let (size, most) = (size.clone(), *most);
                return Err(AccountError::Rows { model, symbol, size, most });
            }
        }
        let mut all = sizes.clone();
        for (gone, kept) in &others {
            let size = given.get(gone).or_else(|| sizes.get(kept)).cloned();
            size.map(|size| all.set(gone.clone(), size));
        }
        let mut conditions = self.recorded().conditions.iter();
        if let Some(broken) = conditions.find(|condition| self.breaks(condition, &all)) {
            let (model, condition) = (self.name().to_owned(), broken.clone());
            let of: BTreeSet<Symbol> = broken.symbols();
            let sizes = all.iter().filter(|(symbol, _)| of.contains(symbol));
            let sizes = sizes.map(|(symbol, size)| (symbol.clone(), size.clone())).collect();
            return Err(AccountError::Exported { model, sizes, condition });
        }
        if let Some(only) = &self.recorded().only {
            let differs = |(symbol, size): &(&Symbol, &Integer)| {
                only.get(symbol).is_some_and(|example| example != *size)
            };
            if let Some((symbol, size)) = sizes.iter().find(differs) {
                let (model, symbol, size) = (self.name().to_owned(), symbol.clone(), size.clone());
                return Err(AccountError::Guarded { model, symbol, size, only: only.clone() });
            }
        }
        Ok(SizedModel::new(self, sizes))
    }

    /// Names of sizes that are others in the graph, as its conditions say: of `m = b` the first.
    fn other_names(&self) -> BTreeMap<Symbol, Symbol> {
        let (graph, mut others) = (self.graph().symbols(), BTreeMap::new());
        for condition in &self.recorded().conditions {
            if let SizeCondition::One(SizeComparison { left, relation, right }) = condition
                && let (SizeTerm::Poly(left), SizeTerm::Poly(right)) = (left, right)
                && let (Some(gone), Some(kept)) = (left.as_symbol(), right.as_symbol())
                && *relation == SizeRelation::Equal
                && !graph.contains(gone)
                && graph.contains(kept)
            {
                others.insert(gone.clone(), kept.clone());
            }
        }
        others
    }

    /// Whether sizes break a condition: it does not hold, or has no value though all its sizes are given.
    fn breaks(&self, condition: &SizeCondition, sizes: &Binding) -> bool {
        match condition.holds(sizes) {
            Some(holds) => !holds,
            None => condition.symbols().iter().all(|symbol| sizes.get(symbol).is_some()),
        }
    }

    /// Symbols that follow from the contents of a mask.
    pub(crate) fn by_mask(&self) -> BTreeSet<&Symbol> {
        let definitions = self.graph().definitions().iter();
        let kept = definitions.filter(|d| match d {
            Definition::Kept { keep, .. } => !self.graph().of_positions(*keep),
            Definition::Product { .. }
            | Definition::CeilDiv { .. }
            | Definition::Minimum { .. }
            | Definition::Gcd { .. }
            | Definition::Band { .. }
            | Definition::Taps { .. } => false,
        });
        kept.flat_map(Definition::defines).collect()
    }

    /// The tokens, those of a cache included, or those of the other sequence, unless the model itself says how
    /// many these are, where they are more than the model has positions for, or was made for.
    pub fn beyond(&self, sizes: &Binding) -> Option<(Integer, &PositionLimit)> {
        let limit = self.recorded().positions.as_ref()?;
        let size = |role| self.graph().size_of(role).and_then(|symbol| sizes.get(symbol));
        let of = |role| size(role).cloned().unwrap_or_default();
        let own = self.graph().size_of(SizeRole::Memory).and_then(|m| self.sizes().get(m));
        let memory = if own.is_some() { Integer::default() } else { of(SizeRole::Memory) };
        let tokens = (of(SizeRole::Past) + of(SizeRole::Tokens)).max(memory);
        (tokens > limit.tokens.into()).then_some((tokens, limit))
    }

    /// Refuses more tokens, those of a cache included, than there are positions.
    pub(crate) fn check_positions(&self, sizes: &Binding) -> Result<(), AccountError> {
        let Some((tokens, limit)) = self.beyond(sizes) else { return Ok(()) };
        if limit.computed {
            return Ok(());
        }
        let model = self.name().to_owned();
        Err(AccountError::Positions { model, tokens, limit: limit.clone() })
    }

    pub(crate) fn check_bound(
        &self,
        sizes: &Binding,
        needed: impl Fn(&Symbol) -> bool,
    ) -> Result<(), AccountError> {
        let unbound = self.graph().symbols().into_iter().filter(|s| sizes.get(s).is_none());
        let symbols: Vec<Symbol> = unbound.filter(needed).collect();
        if symbols.is_empty() {
            return Ok(());
        }
        let by_mask = self.by_mask();
        let by_mask = symbols.iter().any(|symbol| by_mask.contains(symbol));
        Err(AccountError::Unbound { model: self.name().to_owned(), symbols, by_mask })
    }
}
