//! The parts of a decoder into which formulas are taken apart.

/// The parts of a decoder into which formulas are taken apart.
const PARTS: &[&str] = &[
    "attention products",
    "maps of queries, keys and values",
    "gate of the attention",
    "output maps",
    "norms of latents",
    "feed-forward layers",
    "router",
    "experts",
    "shared experts",
    "maps around experts",
    "maps around words",
    "head of words",
    "table of words",
    "table of positions",
    "biases",
    "norms and the rest",
];

/// The names of all parts.
pub fn part_names() -> &'static [&'static str] {
    PARTS
}

/// A part by its name.
pub(super) fn part_of(name: &str) -> Option<&'static str> {
    PARTS.iter().find(|part| **part == name).copied()
}
