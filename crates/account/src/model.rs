//! A model by name, recorded as a graph.

use std::collections::BTreeSet;
use std::path::Path;
use std::str::FromStr;

use opledger_dims::{Binding, Integer, Poly, Quantity, Symbol};
use opledger_ir::{Cost, Definition, Graph, SizeRole};
use opledger_models::{ConfigError, Request};

use crate::{AccountError, ModelReference, SizedModel};

/// A model by name, recorded as a graph whose sizes are symbols.
#[derive(Clone, Debug)]
pub struct Model {
    name: String,
    reference: ModelReference,
    request: Request,
    recorded: opledger_models::Model,
}

impl Model {
    /// The model that a text names: a layer, a published model, a `config.json`, or a directory that
    /// holds one.
    ///
    /// ```
    /// use opledger::Model;
    ///
    /// let model = Model::open("mha:c=512,h=8")?;
    /// assert_eq!(model.cost().macs().to_string(), "4·b·n·c² + 2·b·n²·c");
    /// assert_eq!(model.parameters().to_string(), "1050624");
    /// let error = Model::open("lama-3.1-8b").unwrap_err().to_string();
    /// assert!(error.contains("did you mean `llama-3.1-8b`?"));
    /// # Ok::<(), opledger::AccountError>(())
    /// ```
    ///
    /// # Errors
    /// What in the text, the file or the configuration has no meaning, with the nearest name.
    pub fn open(text: &str) -> Result<Model, AccountError> {
        Model::open_for(text, Request::default())
    }

    /// The model that a text names, recorded with a cache, with a mask, or for the last token only.
    ///
    /// # Errors
    /// As [`Model::open`], and when the model does not support what is asked.
    pub fn open_for(text: &str, request: Request) -> Result<Model, AccountError> {
        let reference: ModelReference = text.parse()?;
        let recorded = reference.record(text, &request)?;
        Ok(Model { name: text.to_owned(), reference, request, recorded })
    }

    /// The same model, recorded for another request.
    ///
    /// # Errors
    /// When the model does not support what is asked.
    pub fn recorded_for(&self, request: Request) -> Result<Model, AccountError> {
        let recorded = self.reference.record(&self.name, &request)?;
        let (name, reference) = (self.name.clone(), self.reference.clone());
        Ok(Model { name, reference, request, recorded })
    }

    /// As it was written.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the text names.
    pub fn reference(&self) -> &ModelReference {
        &self.reference
    }

    /// What was asked of the model.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// The computation.
    pub fn graph(&self) -> &Graph {
        &self.recorded.graph
    }

    /// The graph with the names of its parameters in files.
    pub fn recorded(&self) -> &opledger_models::Model {
        &self.recorded
    }

    /// The sizes that belong to the model.
    pub fn sizes(&self) -> &Binding {
        &self.recorded.binding
    }

    /// Keys of its configuration that are not known, and taken to change nothing.
    pub fn unread_keys(&self) -> &[String] {
        &self.recorded.unread_keys
    }

    /// The directory of the configuration, when one was named.
    pub fn directory(&self) -> Option<&Path> {
        self.reference.directory()
    }

    /// Operations by part and class, as formulas in the symbols of the graph.
    pub fn cost(&self) -> Cost {
        self.graph().cost()
    }

    /// A quantity as a formula, the sizes of the model put in.
    pub fn formula(&self, quantity: Quantity) -> Poly {
        let graph = self.graph();
        let sizes = graph.complete(self.sizes()).unwrap_or_else(|_| self.sizes().clone());
        graph.quantity(quantity).bind(&sizes)
    }

    /// Parameters, tied ones once: a number where the model has all sizes, otherwise a formula.
    pub fn parameters(&self) -> Poly {
        self.formula(Quantity::Parameters)
    }

    /// The model's sizes with others added.
    ///
    /// # Errors
    /// When one of them is another in the model.
    pub fn merged(&self, given: &Binding) -> Result<Binding, AccountError> {
        let mut sizes = self.sizes().clone();
        for (symbol, size) in given.iter() {
            match self.sizes().get(symbol) {
                Some(fixed) if fixed != size => {
                    return Err(AccountError::Fixed {
                        symbol: symbol.clone(),
                        model: self.name.clone(),
                        fixed: fixed.clone(),
                        given: size.clone(),
                    });
                }
                _ => drop(sizes.set(symbol, size.clone())),
            }
        }
        Ok(sizes)
    }

    /// Gives a whole model one item where no number of items is given.
    pub fn one_item_unless_given(&self, sizes: &mut Binding) {
        if !self.reference.is_whole_model() {
            return;
        }
        if let Some(items) = self.graph().size_of(SizeRole::Batch)
            && sizes.get(items).is_none()
        {
            sizes.set(items, 1);
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
        self.graph().check(sized.sizes())?;
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
        Ok(sized)
    }

    fn completed(&self, sizes: &Binding) -> Result<SizedModel<'_>, AccountError> {
        Ok(SizedModel::new(self, self.graph().complete(sizes)?))
    }

    /// Symbols that follow from the contents of a mask.
    fn by_mask(&self) -> BTreeSet<&Symbol> {
        let definitions = self.graph().definitions().iter();
        let kept = definitions.filter(|d| matches!(d, Definition::Kept { .. }));
        kept.flat_map(Definition::defines).collect()
    }

    fn check_bound(
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
        Err(AccountError::Unbound { model: self.name.clone(), symbols, by_mask })
    }

    /// The same model with a cache of keys and values; none of a model without.
    pub(crate) fn with_cache(&self, request: Request) -> Result<Option<Model>, AccountError> {
        if !self.reference.is_whole_model() {
            return Ok(None);
        }
        match self.recorded_for(Request { past: true, ..request }) {
            Ok(model) => Ok(Some(model)),
            Err(AccountError::Config(ConfigError::Request { .. })) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl FromStr for Model {
    type Err = AccountError;

    fn from_str(text: &str) -> Result<Self, AccountError> {
        Model::open(text)
    }
}
