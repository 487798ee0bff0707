//! Why a table could not be settled.

use opledger_account::AccountError;
use opledger_dims::{EvalError, ParseError, Poly, Symbol, did_you_mean};

/// Why a table could not be settled.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AuditError {
    /// No table of that name.
    #[error("there is no table `{name}`{}; the tables are {known}", did_you_mean(.nearest))]
    Unknown {
        /// The name.
        name: String,
        /// The most similar name, if any is close.
        nearest: Option<&'static str>,
        /// All names.
        known: String,
    },
    /// A file that is no table.
    #[error("`{file}` is no table: {problem}")]
    Malformed {
        /// The file.
        file: String,
        /// What is wrong, and at which line.
        problem: String,
    },
    /// A place in a file that has no meaning.
    #[error("`{file}`, {place}: {problem}")]
    Place {
        /// The file.
        file: String,
        /// The column, row, formula or key.
        place: String,
        /// What is wrong there.
        problem: TableProblem,
    },
}

/// What is wrong at a place of a table's file.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TableProblem {
    /// A row with more or fewer cells than there are columns.
    #[error("it has {found} cells, the table {wanted} columns")]
    Cells {
        /// How many it has.
        found: usize,
        /// How many columns there are.
        wanted: usize,
    },
    /// A cell that is neither text nor number.
    #[error("{found} is no text, number or null")]
    NoCellValue {
        /// What stands there.
        found: String,
    },
    /// A name that no column has.
    #[error("{name} is none of the columns {columns}")]
    NoColumn {
        /// The name.
        name: String,
        /// The columns.
        columns: String,
    },
    /// A row or column that the table does not have.
    #[error("the table has no {what} `{name}`")]
    NotThere {
        /// Which of the two.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A column whose cell is empty in the row at hand.
    #[error("`{{{column}` in `{text}` is no column with a cell here")]
    NoCell {
        /// The column and what follows it.
        column: String,
        /// The text in which it stands.
        text: String,
    },
    /// A cell that is no number.
    #[error("`{text}` is no number, such as 65, 1.03, 125M or 3.14E23")]
    NoNumber {
        /// The cell.
        text: String,
    },
    /// A text that is no formula.
    #[error(transparent)]
    PrintedFormula(#[from] ParseError),
    /// A formula with symbols that have no size.
    #[error(transparent)]
    Size(#[from] EvalError),
    /// A model that cannot be made.
    #[error("`{name}`: {problem}")]
    Model {
        /// How it is written.
        name: String,
        /// Why.
        problem: Box<AccountError>,
    },
    /// A size given to a symbol that has one or that the model does not have.
    #[error("`{model}` leaves no size `{symbol}` open")]
    NotOpen {
        /// How the model is written.
        model: String,
        /// The symbol.
        symbol: Symbol,
    },
    /// A part that no operation of the model has.
    #[error("no operation of this model has a part `{part}`")]
    NoPart {
        /// Its name.
        part: String,
    },
    /// Nothing says how what was printed is computed.
    #[error("no reading says how it is computed; give at least one in `readings`")]
    NoReading,
    /// A divisor that is zero.
    #[error("the divisor `over` is 0")]
    ZeroDivisor,
    /// A search for a size on which the value does not depend linearly.
    #[error("`{value}` does not grow linearly with `{unknown}`")]
    NotLinear {
        /// The value.
        value: Poly,
        /// The symbol searched for.
        unknown: String,
    },
    /// A problem of something inside.
    #[error("{of}: {problem}")]
    Of {
        /// The reading, row or quantity.
        of: String,
        /// What is wrong there.
        problem: Box<TableProblem>,
    },
}

impl TableProblem {
    /// The problem of something inside.
    pub(crate) fn of(self, of: String) -> TableProblem {
        TableProblem::Of { of, problem: Box::new(self) }
    }
}
