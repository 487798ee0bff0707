//! Readings: how a printed number or formula may be meant.

use std::collections::BTreeMap;

use opledger_dims::{Poly, Symbol};
use serde::Deserialize;

use crate::TableProblem;
use crate::number::{Fraction, whole};
use crate::quantity::{Cells, ModelQuantity, substitute};

/// How a cell is computed: `value / over`, over sizes of its row and quantities of graphs.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reading {
    /// What it is called.
    pub(crate) name: String,
    /// The column whose cells it computes.
    pub(crate) column: Option<String>,
    /// Names for folds of graphs.
    #[serde(default)]
    pub(crate) quantities: BTreeMap<String, ModelQuantity>,
    /// The value, a polynomial.
    pub(crate) value: String,
    /// What it is divided by, a polynomial.
    pub(crate) over: Option<String>,
    /// Whether a free size in it was chosen so that cells agree.
    #[serde(default)]
    pub(crate) fitted: bool,
    /// A symbol without a size, whose sizes that agree with what is printed are searched.
    pub(crate) unknown: Option<String>,
}

impl Reading {
    /// Value and divisor at a row's sizes; symbols without a size stay.
    pub(crate) fn ratio(&self, row: &Cells) -> Result<(Poly, Poly), TableProblem> {
        let mut quantities = Vec::new();
        for (name, quantity) in &self.quantities {
            let poly = quantity.poly(row).map_err(|e| e.of(format!("quantity `{name}`")))?;
            quantities.push((Symbol::new(name), poly));
        }
        let read = |text: &str| Ok::<_, TableProblem>(substitute(&row.poly(text)?, &quantities));
        let over = read(self.over.as_deref().unwrap_or("1"))?;
        match over.is_zero() {
            true => Err(TableProblem::ZeroDivisor),
            false => Ok((read(&self.value)?, over)),
        }
    }

    /// The number at a row's sizes.
    pub(crate) fn number(&self, row: &Cells) -> Result<Fraction, TableProblem> {
        let (value, over) = self.ratio(row)?;
        Ok(Fraction::new(whole(&value)?, whole(&over)?))
    }

    /// Whether the row has every cell that models are made of.
    pub(crate) fn applies(&self, row: &Cells) -> bool {
        self.quantities
            .values()
            .flat_map(ModelQuantity::columns)
            .all(|name| row.text(name).is_some())
    }

    /// Whether graphs take part, and not the source's arithmetic alone.
    pub(crate) fn is_derived(&self) -> bool {
        !self.quantities.is_empty()
    }
}
