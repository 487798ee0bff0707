//! Tables for terminals: columns set apart by spaces, long cells wrapped to the page.

use std::fmt::Write;

use crate::{Block, Cell, Column, Document, Style, Table, Tone};

const GAP: usize = 2;

pub(crate) fn document(document: &Document, style: Style) -> String {
    let blocks: Vec<String> = document.blocks.iter().map(|b| block(b, style)).collect();
    blocks.join("\n")
}

fn block(block: &Block, style: Style) -> String {
    match block {
        Block::Title(text) => format!("{}\n", paint(&fill(text, style.width), "1", style)),
        Block::Text(text) => format!("{}\n", fill(text, style.width)),
        Block::Lines(lines) => lines.iter().map(|line| fill(line, style.width) + "\n").collect(),
        Block::Table(inner) => table(inner, style),
    }
}

fn fill(text: &str, width: Option<usize>) -> String {
    wrap(text, width.unwrap_or(usize::MAX)).join("\n")
}

fn paint(text: &str, code: &str, style: Style) -> String {
    if style.colour && !text.is_empty() {
        format!("\x1b[{code}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

fn table(table: &Table, style: Style) -> String {
    let shown: Vec<Vec<String>> =
        table.rows.iter().map(|row| row.cells.iter().map(Cell::shown).collect()).collect();
    let widths = widths(table, &shown, style.width);
    let rule: Vec<String> = widths.iter().map(|w| "─".repeat(*w)).collect();
    let mut out = String::new();
    let titles: Vec<String> = table.columns.iter().map(|c| c.title.to_owned()).collect();
    write_row(&mut out, &table.columns, &widths, &titles, |text, _| paint(text, "1", style));
    out += &(rule.join(&" ".repeat(GAP)) + "\n");
    for (row, cells) in table.rows.iter().zip(&shown) {
        if row.ruled {
            out += &(rule.join(&" ".repeat(GAP)) + "\n");
        }
        write_row(&mut out, &table.columns, &widths, cells, |text, column| {
            match row.cells.get(column) {
                Some(Cell::Toned(_, Tone::Good)) => paint(text, "32", style),
                Some(Cell::Toned(_, Tone::Careful)) => paint(text, "33", style),
                Some(Cell::Toned(_, Tone::Bad)) => paint(text, "31", style),
                _ => text.to_owned(),
            }
        });
    }
    out
}

/// The width of each column: its widest cell, and less for the widest columns that may be wrapped
/// until the table fits the page.
fn widths(table: &Table, shown: &[Vec<String>], page: Option<usize>) -> Vec<usize> {
    let columns = &table.columns;
    let widest = |i: usize| {
        let cells = shown.iter().filter_map(|row| row.get(i)).map(|cell| length(cell)).max();
        cells.unwrap_or(0).max(length(columns[i].title))
    };
    let mut widths: Vec<usize> = (0..columns.len()).map(widest).collect();
    let gaps = GAP * columns.len().saturating_sub(1);
    while let Some(page) = page
        && widths.iter().sum::<usize>() + gaps > page
    {
        let room = |i: &usize| columns[*i].narrowest.is_some_and(|least| widths[*i] > least);
        match (0..columns.len()).filter(room).max_by_key(|i| widths[*i]) {
            Some(i) => widths[i] -= 1,
            None => break,
        }
    }
    widths
}

fn write_row(
    out: &mut String,
    columns: &[Column],
    widths: &[usize],
    cells: &[String],
    paint: impl Fn(&str, usize) -> String,
) {
    let wrapped: Vec<Vec<String>> =
        cells.iter().zip(widths).map(|(cell, width)| wrap(cell, *width)).collect();
    let height = wrapped.iter().map(Vec::len).max().unwrap_or(0);
    for line in 0..height {
        let mut text = String::new();
        for (i, column) in columns.iter().enumerate() {
            let part = wrapped.get(i).and_then(|lines| lines.get(line));
            let part = part.map_or("", String::as_str);
            let space = " ".repeat(widths[i].saturating_sub(length(part)));
            let (before, after) =
                if column.right { (space, String::new()) } else { (String::new(), space) };
            let gap = if i == 0 { 0 } else { GAP };
            // Writing to a String cannot fail.
            let _ = write!(text, "{:gap$}{before}{}{after}", "", paint(part, i));
        }
        *out += text.trim_end();
        out.push('\n');
    }
}

/// Characters, each of which takes one place: names, digits and the signs of formulas do.
fn length(text: &str) -> usize {
    text.chars().count()
}

/// Lines of at most `width` characters, broken at spaces, else after a sign that joins words, else
/// anywhere. Spaces at the start of the text are kept on every line.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let body = text.trim_start_matches(' ');
    let indent = (text.len() - body.len()).min(width.saturating_sub(1));
    let margin = " ".repeat(indent);
    let mut lines = Vec::new();
    for paragraph in body.split('\n') {
        let mut line = String::new();
        for word in paragraph.split(' ') {
            let joined = length(&line) + usize::from(!line.is_empty()) + length(word);
            if joined <= width - indent {
                if !line.is_empty() {
                    line.push(' ');
                }
                line += word;
                continue;
            }
            if !line.is_empty() {
                lines.push(std::mem::take(&mut line));
            }
            line = word.to_owned();
            while length(&line) > width - indent {
                let rest = line.split_off(cut(&line, width - indent));
                lines.push(std::mem::replace(&mut line, rest));
            }
        }
        lines.push(line);
    }
    lines.into_iter().map(|line| format!("{margin}{line}")).collect()
}

/// Where to cut a word that is longer than `width` characters: after the last joining sign that
/// fits, else at the width. A byte position.
fn cut(word: &str, width: usize) -> usize {
    let fitting = word.char_indices().take(width);
    let ends = fitting.map(|(at, c)| (at + c.len_utf8(), c));
    let (mut last, mut joint) = (word.len(), None);
    for (end, c) in ends {
        last = end;
        if matches!(c, '.' | '·' | ',' | '/' | '-' | '_') {
            joint = Some(end);
        }
    }
    joint.unwrap_or(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Row;

    #[test]
    fn lines_break_at_spaces_then_at_signs_then_anywhere() {
        assert_eq!(wrap("a + bb + c", 6), ["a + bb", "+ c"]);
        assert_eq!(wrap("layers.0.norm", 9), ["layers.0.", "norm"]);
        assert_eq!(wrap("·²·²abcdef", 4), ["·²·", "²abc", "def"]);
        assert_eq!(wrap("  scores of", 8), ["  scores", "  of"]);
        assert_eq!(wrap("", 0), [""]);
    }

    #[test]
    fn a_table_fits_its_page_by_wrapping_what_may_be_wrapped() {
        let columns = vec![Column::text("formula"), Column::number("macs")];
        let row =
            Row::new(["4·b·n·c² + 2·b·n²·c + b·n".into(), Cell::Number(68_719_476_736_u64.into())]);
        let all = Table { columns, rows: vec![row.clone(), row.ruled()] };
        let text = table(&all, Style { width: Some(34), colour: false });
        let expected = "\
formula                       macs
──────────────────  ──────────────
4·b·n·c² +          68,719,476,736
2·b·n²·c + b·n
──────────────────  ──────────────
4·b·n·c² +          68,719,476,736
2·b·n²·c + b·n
";
        assert_eq!(text, expected);
        assert!(text.lines().all(|line| length(line) <= 34), "{text}");
        let bare = table(&all, Style { width: None, colour: true });
        assert!(bare.contains("\x1b[1mformula\x1b[0m"), "{bare}");
    }
}
