//! Tables for terminals: columns set apart by spaces, long cells wrapped to the page.

use std::borrow::{Borrow, Cow};
use std::fmt::Write;

use crate::bars::BarSigns;
use crate::{Block, Cell, Column, Document, Row, Table, Tone};

/// The page that text is set on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// How many characters fit on a line; `None` for any number.
    pub width: Option<usize>,
    /// Whether a table is wider where its columns have no room, rather than leaving some out.
    pub complete: bool,
    /// Whether escape sequences colour the text.
    pub colour: bool,
    /// The signs that shares are drawn with as bars; none where they are not.
    pub bars: Option<BarSigns>,
}

impl Style {
    /// A page of 100 characters without colour.
    pub fn plain() -> Self {
        Style { width: Some(100), complete: false, colour: false, bars: None }
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
    let table = &drawn(table, style);
    let layout = Layout::of(&table.columns, table.rows.iter(), style);
    let rows: String = table.rows.iter().map(|row| layout.row(row)).collect();
    layout.head() + &rows + &layout.foot()
}

/// The least and the most characters of the longest bar.
const WIDTHS: [usize; 2] = [6, 24];

/// What a bar is given where columns that are left out first are all that is in its way.
const GOOD: usize = 14;

/// A table with its bars at the right, as long as there is room for; without them where there is none or nobody
/// asks for them. The longest is that of the greatest share.
fn drawn(table: &Table, style: Style) -> Cow<'_, Table> {
    let Some(at) = table.columns.iter().position(|column| column.bar) else {
        return Cow::Borrowed(table);
    };
    let mut plain = table.without_bars();
    let Some(signs) = style.bars else { return Cow::Owned(plain) };
    let [least, most] = WIDTHS;
    // Some columns are given up for a bar, and more are not missed beside it where there is no room for them.
    let room = [(GOOD, 4), (0, 3)].into_iter().find_map(|(kept, dispensable)| {
        let width = style.width.map(|page| page.saturating_sub(kept));
        let layout = Layout::of(&plain.columns, plain.rows.iter(), Style { width, ..style });
        let used = layout.width_without(dispensable)?;
        Some(style.width.unwrap_or(usize::MAX).saturating_sub(used))
    });
    let room = if style.complete { room.unwrap_or(0).max(GOOD) } else { room.unwrap_or(0) };
    let share = |row: &Row| match row.cells.get(at) {
        Some(Cell::Share(share)) => Some(*share),
        _ => None,
    };
    // Rows that are set off are sums of the others.
    let own = || table.rows.iter().filter(|row| !row.ruled);
    let greatest = own().filter_map(share).fold(0.0, f64::max);
    if room < least || greatest <= 0.0 {
        return Cow::Owned(plain);
    }
    plain.columns.push(Column::word(""));
    for (row, of) in plain.rows.iter_mut().zip(&table.rows) {
        let share = share(of).filter(|_| !of.ruled);
        let bar = share.map(|share| signs.bar(share / greatest, room.min(most)));
        row.cells.resize(plain.columns.len() - 1, Cell::Empty);
        row.cells.push(bar.map_or(Cell::Empty, Cell::Text));
    }
    Cow::Owned(plain)
}

/// What a cell of words is wrapped to at last, and the least column of the expanded form.
const LEAST: usize = 12;

/// Longer words are broken anywhere.
const LONGEST: usize = 36;

/// How the rows of a table are set on a page.
pub(crate) struct Layout<'t> {
    columns: &'t [Column],
    /// The columns that are shown.
    kept: Vec<usize>,
    /// Their widths.
    widths: Vec<usize>,
    /// Whether each row is set as lines of a title and a cell, since not even so many columns fit.
    expanded: bool,
    style: Style,
}

impl<'t> Layout<'t> {
    /// Columns as wide as their widest cells. Where the page is narrower, the widest columns that may be
    /// wrapped are; then dispensable columns are left out, and said to be; then words are wrapped; at
    /// last each row is expanded into lines.
    pub(crate) fn of<R: Borrow<Row>>(
        columns: &'t [Column],
        rows: impl Iterator<Item = R>,
        style: Style,
    ) -> Self {
        let mut natural: Vec<usize> = columns.iter().map(|c| length(&c.title)).collect();
        // The longest part that stays whole.
        let mut parts: Vec<usize> = columns.iter().map(|c| longest_part(&c.title)).collect();
        for row in rows {
            let widths = natural.iter_mut().zip(&mut parts);
            for ((width, part), cell) in widths.zip(&row.borrow().cells) {
                let shown = cell.shown();
                let longest = shown.split('\n').map(length).max();
                *width = longest.unwrap_or(0).max(*width);
                *part = longest_part(&shown).max(*part);
            }
        }
        // A column that is cut has no parts.
        let whole = |i: usize| if columns[i].cut { 0 } else { parts[i].min(LONGEST) };
        let wrapped =
            |i: usize| columns[i].narrowest.map_or(natural[i], |n| n.max(whole(i)).min(natural[i]));
        let all = (0..columns.len()).map(|i| wrapped(i) + GAP).sum::<usize>().saturating_sub(GAP);
        let page = style.width.unwrap_or(usize::MAX).max(if style.complete { all } else { 0 });
        let mut kept: Vec<usize> = (0..columns.len()).collect();
        let fits = |widths: &[usize]| {
            widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1) <= page
        };
        let over = |kept: &[usize], least: &dyn Fn(usize) -> usize| {
            !fits(&kept.iter().map(|i| least(*i)).collect::<Vec<_>>())
        };
        let words = |i: usize| match columns[i].right {
            true => natural[i],
            false => wrapped(i).min(LEAST.max(whole(i))),
        };
        while over(&kept, &wrapped) {
            let dispensable = kept.iter().filter(|i| columns[**i].dispensable > 0);
            match dispensable.max_by_key(|i| columns[**i].dispensable).copied() {
                Some(first) => kept.retain(|i| *i != first),
                None => break,
            }
        }
        let least: &dyn Fn(usize) -> usize = if over(&kept, &wrapped) { &words } else { &wrapped };
        if over(&kept, least) {
            // Nothing has to be left out.
            let titles = columns.iter().map(|c| length(&c.title)).max().unwrap_or(0);
            let titles = titles.min(page.saturating_sub(GAP) / 2).max(1);
            let widths = vec![titles, page.saturating_sub(titles + GAP).max(1)];
            let kept = (0..columns.len()).collect();
            return Layout { columns, kept, widths, expanded: true, style };
        }
        let mut widths: Vec<usize> = kept.iter().map(|i| natural[*i]).collect();
        while !fits(&widths) {
            let room = (0..kept.len()).filter(|at| widths[*at] > least(kept[*at]));
            match room.max_by_key(|at| widths[*at]) {
                Some(at) => widths[at] -= 1,
                None => break,
            }
        }
        Layout { columns, kept, widths, expanded: false, style }
    }

    /// How wide a line of it is with a gap behind; none where a column is left out that may not be left out first, with
    /// a number of less than `dispensable`.
    pub(crate) fn width_without(&self, dispensable: u8) -> Option<usize> {
        let left_out = (0..self.columns.len()).filter(|i| !self.kept.contains(i));
        let fits =
            !self.expanded && { left_out }.all(|i| self.columns[i].dispensable >= dispensable);
        fits.then(|| self.widths.iter().map(|width| width + GAP).sum())
    }

    fn rule(&self) -> String {
        let rule: Vec<String> = self.widths.iter().map(|w| "─".repeat(*w)).collect();
        rule.join(&" ".repeat(GAP)) + "\n"
    }

    /// The titles.
    pub(crate) fn head(&self) -> String {
        if self.expanded {
            return String::new();
        }
        let titles = self.kept.iter().map(|i| self.title(*i));
        self.lines(titles.collect()) + &self.rule()
    }

    fn title(&self, column: usize) -> Set<'t> {
        let Column { title, right, .. } = &self.columns[column];
        Set { text: Cow::Borrowed(title), code: Some("1"), right: *right, cut: false }
    }

    /// A row.
    pub(crate) fn row(&self, row: &Row) -> String {
        let empty = Cell::Empty;
        let cell = |i: usize| {
            let cell = row.cells.get(i).unwrap_or(&empty);
            let right = self.columns[i].right && !self.expanded;
            let cut = self.columns[i].cut && !self.expanded;
            Set { text: Cow::Owned(cell.shown()), code: cell.code(), right, cut }
        };
        if self.expanded {
            let filled = self.kept.iter().filter(|i| !cell(**i).text.is_empty());
            let line = |i: &usize| {
                let title = Set { right: false, ..self.title(*i) };
                self.lines(vec![title, cell(*i)])
            };
            return self.rule() + &filled.map(line).collect::<String>();
        }
        let rule = if row.ruled { self.rule() } else { String::new() };
        rule + &self.lines(self.kept.iter().map(|i| cell(*i)).collect())
    }

    /// What was left out.
    pub(crate) fn foot(&self) -> String {
        let left_out = (0..self.columns.len()).filter(|i| !self.kept.contains(i));
        let left_out: Vec<&str> = left_out.map(|i| &*self.columns[i].title).collect();
        if left_out.is_empty() {
            return String::new();
        }
        let told = format!(
            "(no room for {}; a wider terminal and --format json show all)",
            left_out.join(", ")
        );
        fill(&told, self.style.width) + "\n"
    }

    /// Cells side by side, each wrapped to its width.
    fn lines(&self, cells: Vec<Set<'_>>) -> String {
        let set = |(cell, width): (&Set<'_>, &usize)| match cell.cut {
            true => vec![elided(&cell.text, *width)],
            false => wrap(&cell.text, *width),
        };
        let wrapped: Vec<Vec<String>> = cells.iter().zip(&self.widths).map(set).collect();
        let height = wrapped.iter().map(Vec::len).max().unwrap_or(0);
        let mut out = String::new();
        for line in 0..height {
            let mut text = String::new();
            for (i, cell) in cells.iter().enumerate() {
                let part = wrapped[i].get(line).map_or("", String::as_str);
                let space = " ".repeat(self.widths[i].saturating_sub(length(part)));
                let (before, after) = if cell.right { (&*space, "") } else { ("", &*space) };
                let gap = if i == 0 { 0 } else { GAP };
                let part = cell.code.map_or(part.to_owned(), |code| paint(part, code, self.style));
                // Writing to a String cannot fail.
                let _ = write!(text, "{:gap$}{before}{part}{after}", "");
            }
            out += text.trim_end();
            out.push('\n');
        }
        out
    }
}

/// A text in its place.
struct Set<'c> {
    text: Cow<'c, str>,
    /// The colour it is painted in.
    code: Option<&'static str>,
    /// Whether it stands at the right edge.
    right: bool,
    /// Whether it is cut where there is no room.
    cut: bool,
}

impl Cell {
    fn code(&self) -> Option<&'static str> {
        match self {
            Cell::Toned(_, Tone::Good) => Some("32"),
            Cell::Toned(_, Tone::Careful) => Some("33"),
            Cell::Toned(_, Tone::Bad) => Some("31"),
            Cell::Empty | Cell::Text(_) | Cell::Number(_) | Cell::Real(..) | Cell::Share(_) => None,
        }
    }
}

/// Characters, each of which takes one place: names, digits and the signs of formulas do.
fn length(text: &str) -> usize {
    text.chars().count()
}

/// A text of at most `width` characters on one line, its end left out where it is longer.
fn elided(text: &str, width: usize) -> String {
    let text = text.replace('\n', " ");
    match length(&text) <= width {
        true => text,
        false => text.chars().take(width.saturating_sub(1)).chain(['…']).collect(),
    }
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

/// Signs behind which a word may be broken.
const JOINTS: [char; 4] = ['.', '·', ',', '/'];

/// How long the longest part of a text is that is broken nowhere.
fn longest_part(text: &str) -> usize {
    let words = text.split([' ', '\n']);
    words.flat_map(|word| word.split_inclusive(JOINTS)).map(length).max().unwrap_or(0)
}

/// Where to cut a word that is longer than `width` characters: after the last joining sign that
/// fits, else at the width. A byte position.
fn cut(word: &str, width: usize) -> usize {
    let fitting = word.char_indices().take(width);
    let ends = fitting.map(|(at, c)| (at + c.len_utf8(), c));
    let (mut last, mut joint) = (word.len(), None);
    for (end, c) in ends {
        last = end;
        if JOINTS.contains(&c) {
            joint = Some(end);
        }
    }
    joint.unwrap_or(last)
}

#[cfg(test)]
mod tests {
    use opledger_dims::Integer;

    use super::*;

    #[test]
    fn lines_break_at_spaces_then_at_signs_then_anywhere() {
        assert_eq!(wrap("a + bb + c", 6), ["a + bb", "+ c"]);
        assert_eq!(wrap("layers.0.norm", 9), ["layers.0.", "norm"]);
        assert_eq!(wrap("·²·²abcdef", 4), ["·²·", "²abc", "def"]);
        assert_eq!(wrap("  scores of", 8), ["  scores", "  of"]);
        assert_eq!(wrap("", 0), [""]);
        assert_eq!((&*elided("a claim", 7), &*elided("a claim", 6)), ("a claim", "a cla…"));
    }

    #[test]
    fn a_table_fits_its_page_by_wrapping_what_may_be_wrapped() {
        let columns = vec![Column::text("formula"), Column::number("macs")];
        let row =
            Row::new(["4·b·n·c² + 2·b·n²·c + b·n".into(), Cell::Number(68_719_476_736_u64.into())]);
        let all = Table { columns, rows: vec![row.clone(), row.ruled()] };
        let text =
            table(&all, Style { width: Some(34), complete: false, colour: false, bars: None });
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
        let mut dispensable = all.clone();
        dispensable.columns[1].dispensable = 1;
        let narrow = table(
            &dispensable,
            Style { width: Some(20), complete: false, colour: false, bars: None },
        );
        assert!(narrow.contains("(no room for macs; a"), "{narrow}");
        let style = Style { width: Some(20), complete: true, colour: false, bars: None };
        let complete = table(&dispensable, style);
        assert!(complete.contains("macs") && !complete.contains("(no room"), "{complete}");
        let bare = table(&all, Style { width: None, complete: false, colour: true, bars: None });
        assert!(bare.contains("\x1b[1mformula\x1b[0m"), "{bare}");
    }

    /// What is shown of a cell, in the order it is read.
    fn signs(text: &str) -> String {
        text.chars().filter(|c| !c.is_whitespace() && *c != '─').collect()
    }

    #[test]
    fn no_line_is_wider_than_its_page_and_nothing_is_left_out_silently() {
        let columns = vec![
            Column::name("node"),
            Column::word("operation").dispensable(1),
            Column::word("shape"),
            Column::text("closed form"),
            Column::number("macs").dispensable(2),
            Column::number("flops"),
        ];
        let row = |at: u64| {
            Row::new([
                format!("encoder.layers.{at}.attention.self.query").into(),
                "contraction".into(),
                Cell::Toned("[1, 128, 4096]".to_owned(), Tone::Good),
                "4·b·n·c² + 2·b·n²·c + b·n".into(),
                Cell::Number(Integer::from(68_719_476_736_u64) * at),
                Cell::Number(Integer::from(10).pow(20) + at),
            ])
        };
        let all = Table { columns, rows: vec![row(1), row(2), row(3).ruled()] };
        for width in 16..140 {
            let text = table(
                &all,
                Style { width: Some(width), complete: false, colour: false, bars: None },
            );
            assert!(text.lines().all(|line| length(line) <= width), "{width}:\n{text}");
            let foot = signs(text.split_once("(no room").map_or("", |(_, foot)| foot));
            for (at, column) in all.columns.iter().enumerate() {
                let left_out = foot.contains(&signs(&column.title));
                let numbers = column.right && width > 60;
                for row in all.rows.iter().filter(|_| numbers) {
                    let shown = text.contains(&row.cells[at].shown());
                    assert!(shown != left_out, "{width}, {}:\n{text}", column.title);
                }
                assert!(left_out || signs(&text).contains(&signs(&column.title)[..3]), "{text}");
            }
        }
        let expanded =
            table(&all, Style { width: Some(40), complete: false, colour: false, bars: None });
        let expected = "\
───────────  ───────────────────────────
node         encoder.layers.1.attention.
             self.query
operation    contraction
shape        [1, 128, 4096]
closed form  4·b·n·c² + 2·b·n²·c + b·n
macs         68,719,476,736
flops        100,000,000,000,000,000,001
";
        assert!(expanded.starts_with(expected), "{expanded}");
    }
}
