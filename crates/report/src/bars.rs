//! Shares as bars beside their numbers.

/// The signs of bars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarSigns {
    /// Blocks, the last in eighths.
    Eighths,
    /// `#`, for terminals that show no other signs.
    Ascii,
}

const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

impl BarSigns {
    /// A bar of a share of `width` characters.
    pub(crate) fn bar(self, share: f64, width: usize) -> String {
        match self {
            BarSigns::Eighths => {
                let eighths = (share * width as f64 * 8.0).round() as usize;
                format!("{}{}", "█".repeat(eighths / 8), EIGHTHS[eighths % 8])
            }
            BarSigns::Ascii => "#".repeat((share * width as f64).round() as usize),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Block, Cell, Column, Document, Row, Style, Table, text};

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
