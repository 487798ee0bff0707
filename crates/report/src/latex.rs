//! Formulas as LaTeX.

use std::fmt::Write;

use opledger_dims::{Counts, Poly, escaped_within};

use crate::{Block, Cell, Column, Document, Table};

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

/// A document as tables with captions, in the packages `booktabs` and `float` or none other; its words between them.
pub(crate) fn document(document: &Document) -> String {
    let mut title = String::new();
    let mut out = String::from("% needs \\usepackage{booktabs}\n");
    for block in &document.blocks {
        match block {
            Block::Title(text) => title.clone_from(text),
            Block::Text(text) => out += &format!("\n{}\n", escape(text)),
            Block::Lines(lines) => {
                for line in lines {
                    out += &format!("\n{}\n", escape(line.trim_start()));
                }
            }
            Block::Table(table) => out += &tabular(table, &title),
        }
    }
    out
}

fn tabular(table: &Table, title: &str) -> String {
    let first = table.columns.first().map_or("", |column| &column.title);
    let caption = match (title, first) {
        ("", first) => first.to_owned(),
        // Rows that only have a name.
        (title, "" | "id" | "row" | "table") => title.to_owned(),
        // Parts of a whole.
        (title, "node" | "module" | "part" | "kind of layer") => format!("{title}, by {first}"),
        (title, first) => format!("{title}: {first}"),
    };
    // Long texts are set in lines of a share of the page.
    let edge = |column: &Column| match (column.right, column.narrowest) {
        (true, _) => "r",
        (false, Some(narrowest)) if narrowest < 30 => r"p{0.3\linewidth}",
        (false, _) => "l",
    };
    let edges: String = table.columns.iter().map(edge).collect();
    let line = |cells: Vec<String>| format!("  {} \\\\\n", cells.join(" & "));
    let mut out = format!(
        "\n\\begin{{table}}[ht]\n\\centering\n\\caption{{{}}}\n\\begin{{tabular}}{{{edges}}}\n\\toprule\n",
        escape(&caption)
    );
    out += &line(table.columns.iter().map(|column| escape(&column.title)).collect());
    out += "\\midrule\n";
    for row in &table.rows {
        if row.ruled {
            out += "\\midrule\n";
        }
        let cell = |at: usize| row.cells.get(at).map(Cell::shown).unwrap_or_default();
        let indent = |text: String| match text.strip_prefix("  ") {
            Some(rest) => format!("\\quad {}", escape(rest)),
            None => escape(&text.replace('\n', " ")),
        };
        out += &line((0..table.columns.len()).map(|at| indent(cell(at))).collect());
    }
    out + "\\bottomrule\n\\end{tabular}\n\\end{table}\n"
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
            '≥' => out.push_str(r"$\ge$"),
            '≈' => out.push_str(r"$\approx$"),
            '→' => out.push_str(r"$\to$"),
            '−' => out.push_str("$-$"),
            '√' => out.push_str(r"$\surd$"),
            'Ω' => out.push_str(r"$\Omega$"),
            'ᵀ' => out.push_str(r"$^\top$"),
            '²' => out.push_str("$^2$"),
            '³' => out.push_str("$^3$"),
            '…' => out.push_str(r"\dots{}"),
            '–' => out.push_str("--"),
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
