//! Markdown with pipe tables.

use crate::{Block, Column, Document, Row, Table};

pub(crate) fn document(document: &Document) -> String {
    let blocks: Vec<String> = document.blocks.iter().map(block).collect();
    blocks.join("\n")
}

fn block(block: &Block) -> String {
    match block {
        Block::Title(text) => format!("**{}**\n", escape(text)),
        Block::Text(text) => format!("{}\n", escape(text)),
        Block::Lines(lines) => {
            lines.iter().map(|line| format!("- {}\n", escape(line))).collect::<String>()
        }
        Block::Table(inner) => table(inner),
    }
}

fn table(table: &Table) -> String {
    head(&table.columns) + &table.rows.iter().map(row).collect::<String>()
}

pub(crate) fn head(columns: &[Column]) -> String {
    let edges = columns.iter().map(|c| if c.right { "---:" } else { "---" }.to_owned());
    line(columns.iter().map(|c| escape(&c.title))) + &line(edges)
}

pub(crate) fn row(row: &Row) -> String {
    line(row.cells.iter().map(|cell| escape(&cell.shown())))
}

fn line(cells: impl Iterator<Item = String>) -> String {
    format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
}

/// Text whose characters stand for themselves.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '|' | '*' | '_' | '`' | '<' | '>' | '\\') {
            out.push('\\');
        }
        out.push(if c == '\n' { ' ' } else { c });
    }
    out
}
