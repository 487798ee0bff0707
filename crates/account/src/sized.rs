//! A model at sizes.

use opledger_dims::{Binding, Counts, Integer, Poly, Quantity};
use opledger_ir::{Graph, PartCounts};
use opledger_report::{Account, Explained};

use crate::nodes::account;
use crate::{AccountError, ConventionCounter, Model};

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

    /// The number that a convention gives, such as `fvcore` or `thop`; of a model written as usual.
    ///
    /// # Errors
    /// When there is no such convention, or it has no rule for a call of the model.
    pub fn convention(&self, name: &str) -> Result<Integer, AccountError> {
        self.convention_counter(None, &[])?.total(name)
    }

    /// Why two conventions give different numbers, line by line, until nothing is left of their
    /// difference.
    ///
    /// # Errors
    /// As [`SizedModel::convention`].
    pub fn explain(&self, first: &str, second: &str) -> Result<Explained, AccountError> {
        self.convention_counter(None, &[])?.explain(first, second)
    }

    /// The model as the tools of a framework see it: written in the way of a name, what is usual for
    /// the model if none, and with some bugs of the tools mended.
    ///
    /// # Errors
    /// When there is no such way of writing, or a size is unbound.
    pub fn convention_counter(
        &self,
        written: Option<&str>,
        mended: &[String],
    ) -> Result<ConventionCounter<'_>, AccountError> {
        ConventionCounter::new(self, written, mended)
    }

    /// The account of the whole and of every node, or of the nodes under the first `depth` segments
    /// of their paths together.
    ///
    /// # Errors
    /// When a size is unbound.
    pub fn account(&self, depth: Option<usize>) -> Result<Account<Integer>, AccountError> {
        Ok(account(self, depth, |poly| poly.at(&self.sizes), ToString::to_string)?)
    }

    /// The account of the whole and of every node as formulas in the symbols without a size.
    ///
    /// # Errors
    /// None that a recorded model has.
    pub fn formulas(&self) -> Result<Account<Poly>, AccountError> {
        let bind = |poly: &Poly| poly.bind(&self.sizes);
        let formula = |counts: &Counts<Poly>| counts.map(bind).to_string();
        Ok(account(self, None, |poly| Ok(bind(poly)), formula)?)
    }
}
