//! Shares as bars beside their numbers.

use std::borrow::Cow;

use crate::text::Layout;
use crate::{Cell, Column, Row, Style, Table};

/// The signs of bars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarSigns {
    /// Blocks, the last in eighths.
    Eighths,
    /// `#`, for terminals that show no other signs.
    Ascii,
}

const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/// The least and the most characters of the longest bar.
const WIDTHS: [usize; 2] = [6, 24];

/// What a bar is given where columns that are left out first are all that is in its way.
const GOOD: usize = 14;

impl BarSigns {
    /// A bar of a share of `width` characters.
    fn bar(self, share: f64, width: usize) -> String {
        match self {
            BarSigns::Eighths => {
                let eighths = (share * width as f64 * 8.0).round() as usize;
                format!("{}{}", "█".repeat(eighths / 8), EIGHTHS[eighths % 8])
            }
            BarSigns::Ascii => "#".repeat((share * width as f64).round() as usize),
        }
    }
}

/// A table with its bars at the right, as long as there is room for; without them where there is none or nobody
/// asks for them. The longest is that of the greatest share.
pub(crate) fn drawn(table: &Table, style: Style) -> Cow<'_, Table> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Block, Document, text};

    fn shares() -> Table {
        let columns = vec![Column::name("name"), Column::number("%"), Column::bar()];
        let row = |name: &str, share: f64| {
            Row::new([name.into(), Cell::Real(100.0 * share, 0), Cell::Share(share)])
        };
        Table {
            columns,
            rows: vec![row("a", 0.5), row("b", 0.25), row("c", 0.0), row("all", 1.0).ruled()],
        }
    }

    #[test]
    fn bars_are_as_long_as_their_shares_and_as_there_is_room_for() {
        assert_eq!(BarSigns::Eighths.bar(0.5, 10), "█████");
        assert_eq!(BarSigns::Eighths.bar(0.32, 1), "▍");
        assert_eq!(BarSigns::Ascii.bar(0.46, 10), "#####");
        let document = Document { blocks: vec![Block::Table(shares())] };
        let at = |width: usize, bars: Option<BarSigns>| {
            text::document(&document, Style { width: Some(width), bars, ..Style::plain() })
        };
        let wide = at(40, Some(BarSigns::Ascii));
        assert!(wide.contains(&format!("a      50  {}\n", "#".repeat(24))), "{wide}");
        assert!(wide.contains(&format!("b      25  {}\n", "#".repeat(12))), "{wide}");
        for width in 8..60 {
            let narrow = at(width, Some(BarSigns::Eighths));
            assert!(narrow.lines().all(|line| line.chars().count() <= width), "{width}: {narrow}");
            assert!(!narrow.contains("no room"), "{width}: {narrow}");
        }
        assert_eq!(at(12, Some(BarSigns::Ascii)), at(12, None));
        assert!(!at(40, None).contains('#'));
    }
}
