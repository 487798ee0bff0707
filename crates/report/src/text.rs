//! Tables for terminals: columns set apart by spaces, long cells wrapped to the page.

use std::fmt::Write;

use crate::{Block, Cell, Column, Document, Table, Tone};

/// The page that text is set on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// How many characters fit on a line; `None` for any number.
    pub width: Option<usize>,
    /// Whether escape sequences colour the text.
    pub colour: bool,
}

impl Style {
    /// A page of 100 characters without colour.
    pub fn plain() -> Self {
        Style { width: Some(100), colour: false }
    }
}

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
    let (kept, widths) = arrange(table, &shown, style.width);
    let rule: Vec<String> = widths.iter().map(|w| "─".repeat(*w)).collect();
    let rule = rule.join(&" ".repeat(GAP)) + "\n";
    let columns: Vec<&Column> = kept.iter().map(|i| &table.columns[*i]).collect();
    let titles: Vec<&str> = columns.iter().map(|c| &*c.title).collect();
    let mut out = String::new();
    write_row(&mut out, &columns, &widths, &titles, |text, _| paint(text, "1", style));
    out += &rule;
    for (row, cells) in table.rows.iter().zip(&shown) {
        if row.ruled {
            out += &rule;
        }
        let cells: Vec<&str> =
            kept.iter().map(|i| cells.get(*i).map_or("", String::as_str)).collect();
        write_row(&mut out, &columns, &widths, &cells, |text, at| match row.cells.get(kept[at]) {
            Some(Cell::Toned(_, Tone::Good)) => paint(text, "32", style),
            Some(Cell::Toned(_, Tone::Careful)) => paint(text, "33", style),
            Some(Cell::Toned(_, Tone::Bad)) => paint(text, "31", style),
            _ => text.to_owned(),
        });
    }
    let left_out: Vec<&str> = (0..table.columns.len())
        .filter(|i| !kept.contains(i))
        .map(|i| &*table.columns[i].title)
        .collect();
    if !left_out.is_empty() {
        out += &fill(&format!("(no room for {})", left_out.join(", ")), style.width);
        out.push('\n');
    }
    out
}

/// The columns that are shown, and their widths: of the widest cell, and less for the widest columns
/// that may be wrapped until the table fits the page. Where that does not suffice, dispensable
/// columns are left out.
fn arrange(table: &Table, shown: &[Vec<String>], page: Option<usize>) -> (Vec<usize>, Vec<usize>) {
    let columns = &table.columns;
    let natural = |i: usize| {
        let cells = shown.iter().filter_map(|row| row.get(i));
        let longest = cells.flat_map(|cell| cell.split('\n')).map(length).max();
        longest.unwrap_or(0).max(length(&columns[i].title))
    };
    let natural: Vec<usize> = (0..columns.len()).map(natural).collect();
    let least = |i: &usize| columns[*i].narrowest.unwrap_or(usize::MAX).min(natural[*i]);
    let mut kept: Vec<usize> = (0..columns.len()).collect();
    let page = page.unwrap_or(usize::MAX);
    let gaps = |columns: usize| GAP * columns.saturating_sub(1);
    while kept.iter().map(least).sum::<usize>() + gaps(kept.len()) > page {
        let dispensable = kept.iter().filter(|i| columns[**i].dispensable > 0);
        let Some(first) = dispensable.max_by_key(|i| columns[**i].dispensable).copied() else {
            break;
        };
        kept.retain(|i| *i != first);
    }
    let mut widths: Vec<usize> = kept.iter().map(|i| natural[*i]).collect();
    while widths.iter().sum::<usize>() + gaps(kept.len()) > page {
        let room = (0..kept.len()).filter(|at| widths[*at] > least(&kept[*at]));
        match room.max_by_key(|at| widths[*at]) {
            Some(at) => widths[at] -= 1,
            None => break,
        }
    }
    (kept, widths)
}

fn write_row(
    out: &mut String,
    columns: &[&Column],
    widths: &[usize],
    cells: &[&str],
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
        if matches!(c, '.' | '·' | ',' | '/') {
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
        let narrow = table(&all, Style { width: Some(20), colour: false });
        assert!(narrow.contains("68,719,476,736"), "numbers are never wrapped: {narrow}");
        let mut dispensable = all.clone();
        dispensable.columns[1].dispensable = 1;
        let narrow = table(&dispensable, Style { width: Some(20), colour: false });
        assert!(narrow.ends_with("(no room for macs)\n"), "{narrow}");
        let bare = table(&all, Style { width: None, colour: true });
        assert!(bare.contains("\x1b[1mformula\x1b[0m"), "{bare}");
    }
}
