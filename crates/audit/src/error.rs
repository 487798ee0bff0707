//! Why a table could not be settled.

/// Why a table could not be settled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    /// No table of that name.
    #[error("there is no table `{name}`{}; the tables are {known}", nearest.map(|n| format!(" (did you mean `{n}`?)")).unwrap_or_default())]
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
        problem: String,
    },
}
