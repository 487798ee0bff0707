//! How a bench compares with a saved one.

use serde::{Deserialize, Serialize};

/// A bench against a saved one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The version that was saved.
    pub version: String,
    /// The roof that was saved.
    pub roof: f64,
    /// Points that the saved bench has too.
    pub matched: usize,
    /// In what the machines differ, a line for each.
    pub differences: Vec<String>,
}

/// A point against the saved point of the same key.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PointComparison {
    /// The saved rate of the median run.
    pub rate: f64,
    /// The saved rate of the best run.
    pub best_rate: f64,
    /// The rate of the median run over the saved one: above 1 is faster now.
    pub ratio: f64,
    /// The rate of the best run over the saved one.
    pub best_ratio: f64,
}
