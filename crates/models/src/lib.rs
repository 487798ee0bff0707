//! Models by name.
