//! Questions by name: a quantity of the runtime itself, or the number of a tool.

use opledger_conventions::ConventionError;
use opledger_dims::{Integer, Quantity};

use crate::steps::is_framework;
use crate::{AccountError, ConventionCounter, SizedModel};

/// Answers questions about one model at sizes, reading it once as tools do, when the first asks for
/// that.
pub struct Questions<'a> {
    sized: &'a SizedModel<'a>,
    written: Option<&'a str>,
    mended: &'a [String],
    tools: Option<ConventionCounter<'a>>,
}

impl<'a> SizedModel<'a> {
    /// Answers to questions by name; the model is written, and tools are mended, as in
    /// [`SizedModel::convention_counter`].
    ///
    /// ```
    /// use opledger::Model;
    ///
    /// let model = Model::open("linear:in=4,out=5")?;
    /// let sized = model.at([("b", 2), ("n", 3)])?;
    /// let mut questions = sized.questions(None, &[]);
    /// assert_eq!(questions.answer("macs")?, 120.into());
    /// assert_eq!(questions.answer("params")?, 25.into());
    /// assert_eq!(questions.answer("fvcore")?, 120.into());
    /// # Ok::<(), opledger::AccountError>(())
    /// ```
    pub fn questions(&'a self, written: Option<&'a str>, mended: &'a [String]) -> Questions<'a> {
        Questions { sized: self, written, mended, tools: None }
    }
}

impl Questions<'_> {
    /// The number of a name: a [`Quantity`], or a convention of a tool.
    ///
    /// # Errors
    /// When there is no such name, or the convention cannot count the model.
    pub fn answer(&mut self, name: &str) -> Result<Integer, AccountError> {
        if let Ok(quantity) = name.parse::<Quantity>() {
            return self.sized.quantity(quantity);
        }
        if is_framework(name) {
            return self.sized.convention(name);
        }
        let tools = match &mut self.tools {
            Some(tools) => tools,
            none => none.insert(self.sized.convention_counter(self.written, self.mended)?),
        };
        tools.total(name).map_err(|problem| match problem {
            AccountError::Convention(ConventionError::Unknown { known, name, .. }) => {
                let quantities = Quantity::all().map(Quantity::name);
                let mut all: Vec<&str> = quantities.collect();
                all.extend(known.into_iter().filter(|known| known.parse::<Quantity>().is_err()));
                AccountError::Convention(ConventionError::Unknown {
                    kind: "quantity",
                    name,
                    known: all,
                })
            }
            other => other,
        })
    }
}
