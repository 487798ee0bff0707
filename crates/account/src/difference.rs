//! Two models side by side.

use opledger_dims::Quantity;
use opledger_ir::Definition;
use opledger_report::{ChangedFormula, Difference, RowOrder};

use crate::{AccountError, Model, SizedModel};

impl SizedModel<'_> {
    /// What another model costs against this one: as wholes, by the nodes under the first `depth`
    /// segments of their paths in one quantity, and as formulas where both have the same symbols.
    ///
    /// ```
    /// use opledger::{Model, report::RowOrder};
    ///
    /// let (old, new) = (Model::open("linear:in=4,out=5")?, Model::open("linear:in=4,out=6")?);
    /// let (old, new) = (old.at([("b", 1), ("n", 3)])?, new.at([("b", 1), ("n", 3)])?);
    /// let difference = old.difference(&new, RowOrder::Macs, 2)?;
    /// assert_eq!(difference.totals[1].difference, 12.into());
    /// assert_eq!(difference.formulas[1].difference, "4·b·n");
    /// # Ok::<(), opledger::AccountError>(())
    /// ```
    ///
    /// # Errors
    /// When a size is unbound.
    pub fn difference(
        &self,
        other: &SizedModel<'_>,
        by: RowOrder,
        depth: usize,
    ) -> Result<Difference, AccountError> {
        let (first, second) = (self.account(Some(depth))?, other.account(Some(depth))?);
        let mut difference = Difference::of(&first, &second, by);
        match no_formulas(self.model(), other.model()) {
            None => difference.formulas = formulas(self.model(), other.model()),
            why => difference.no_formulas = why,
        }
        Ok(difference)
    }
}

const QUANTITIES: [Quantity; 3] = [Quantity::Parameters, Quantity::Macs, Quantity::Flops];

fn formulas(first: &Model, second: &Model) -> Vec<ChangedFormula> {
    let formula = |quantity: Quantity| ChangedFormula {
        name: quantity.name(),
        difference: (&second.formula(quantity) - &first.formula(quantity)).to_string(),
    };
    QUANTITIES.map(formula).into()
}

/// Why formulas of two models cannot be subtracted: a symbol is not in both, or means another thing.
fn no_formulas(first: &Model, second: &Model) -> Option<String> {
    let symbols = |model: &Model| {
        let all = QUANTITIES.into_iter().flat_map(|quantity| model.formula(quantity).symbols());
        all.collect::<std::collections::BTreeSet<_>>()
    };
    let (of_first, of_second) = (symbols(first), symbols(second));
    let list = |symbols: &std::collections::BTreeSet<opledger_dims::Symbol>| {
        let names: Vec<String> = symbols.iter().map(ToString::to_string).collect();
        if names.is_empty() { "no symbols".to_owned() } else { names.join(", ") }
    };
    if of_first != of_second {
        return Some(format!(
            "no difference as a formula: the formulas of `{}` are in {}, those of `{}` in {}",
            first.name(),
            list(&of_first),
            second.name(),
            list(&of_second)
        ));
    }
    let meaning = |model: &Model| {
        let defined = model.graph().definitions().iter();
        let used = defined.filter(|d| d.defines().into_iter().any(|s| of_first.contains(s)));
        used.map(Definition::to_string).collect::<Vec<_>>()
    };
    (meaning(first) != meaning(second)).then(|| {
        format!(
            "no difference as a formula: a symbol of both stands for one thing in `{}` and for another in `{}`",
            first.name(),
            second.name()
        )
    })
}
