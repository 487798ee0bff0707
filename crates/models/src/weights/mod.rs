//! Names of weights.

/// Rules.
#[derive(Clone, Debug, Default)]
pub struct Names(pub Vec<String>);

impl Names {
    pub(crate) fn prefix(self, _: &str) -> Self {
        self
    }
    pub(crate) fn ignore(self, _: &str) -> Self {
        self
    }
    pub(crate) fn tie(self, _: &str, _: &str) -> Self {
        self
    }
    pub(crate) fn rename(self, _: &str, _: &str) -> Self {
        self
    }
    pub(crate) fn transpose(self, _: &str) -> Self {
        self
    }
    pub(crate) fn join(self, _: &[&str], _: &str) -> Self {
        self
    }
}
