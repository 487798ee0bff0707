//! Formulas as LaTeX.

use std::fmt::Write;

use opledger_dims::{Counts, Poly};

/// An `align*` block of named formulas.
pub(crate) fn align(lines: &[(String, String)]) -> String {
    let mut out = String::from("\\begin{align*}\n");
    for (i, (name, formula)) in lines.iter().enumerate() {
        let end = if i + 1 == lines.len() { "" } else { r" \\" };
        // Writing to a String cannot fail.
        let _ = writeln!(out, "  {name} &= {formula}{end}");
    }
    out + "\\end{align*}\n"
}

/// The classes that occur, as lines of an `align*` block.
pub(crate) fn classes(counts: &Counts<Poly>) -> Vec<(String, String)> {
    counts.nonzero().map(|(class, poly)| (operator(class.name()), poly.latex())).collect()
}

/// A name in upright letters.
pub(crate) fn operator(name: &str) -> String {
    format!(r"\mathrm{{{name}}}")
}

/// Text in which every character stands for itself.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '\\' => out.push_str(r"\textbackslash{}"),
            '^' => out.push_str(r"\textasciicircum{}"),
            '~' => out.push_str(r"\textasciitilde{}"),
            '·' => out.push_str(r"$\cdot$"),
            '⌈' => out.push_str(r"$\lceil$"),
            '⌉' => out.push_str(r"$\rceil$"),
            '≤' => out.push_str(r"$\le$"),
            '×' => out.push_str(r"$\times$"),
            '<' => out.push_str("$<$"),
            '>' => out.push_str("$>$"),
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => {
                out.push('\\');
                out.push(c);
            }
            _ => out.push(c),
        }
    }
    out
}
