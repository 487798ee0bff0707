//! Formulas as LaTeX.

use std::fmt::Write;

use opledger_dims::{Counts, Poly, escaped_within};

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

/// A line that is not set, whatever it says.
pub(crate) fn comment(text: &str) -> String {
    format!("% {}\n", escaped_within(text, usize::MAX))
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

#[cfg(test)]
mod tests {
    #[test]
    fn a_comment_is_one_line_whatever_it_says() {
        let comment = super::comment("a\n\\input{b}\u{1b}[2K");
        assert_eq!(comment.matches('\n').count(), 1, "{comment:?}");
        assert!(!comment.contains('\u{1b}'), "{comment:?}");
    }
}
