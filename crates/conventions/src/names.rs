//! The names of a module in its model.

/// How many names a module has: places where its model keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModuleNames {
    /// So many.
    Known(u64),
    /// Another that it may have: that of a module which shares all of its parameters.
    Unsure {
        /// The name.
        other: String,
    },
}

impl Default for ModuleNames {
    fn default() -> Self {
        ModuleNames::Known(1)
    }
}
