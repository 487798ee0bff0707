//! Text out of files and arguments as a reader may see it: no character of it steers the terminal.

use std::borrow::Cow;
use std::fmt::Write;
use std::io;

use opledger_dims::escaped_within;

use crate::{Block, Cell, Document, Table};

/// Control characters but for line breaks, and marks that turn the direction of text.
fn steers(c: char) -> bool {
    c.is_control() && c != '\n'
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn steady(text: &mut String) {
    if text.contains(steers) {
        let lines: Vec<String> =
            text.split('\n').map(|line| escaped_within(line, usize::MAX)).collect();
        *text = lines.join("\n");
    }
}

/// Writes JSON without such characters.
pub(crate) struct Json<W>(pub(crate) W);

impl<W: io::Write> io::Write for Json<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A string comes in whole characters.
        match std::str::from_utf8(bytes) {
            Ok(text) if text.contains(steers) => self.0.write_all(json(text).as_bytes())?,
            _ => self.0.write_all(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// JSON, in which such characters stand in strings alone.
pub(crate) fn json(text: &str) -> String {
    let mut steady = String::with_capacity(text.len());
    for c in text.chars() {
        match steers(c) {
            // Writing to a String cannot fail.
            true => drop(write!(steady, "\\u{:04x}", u32::from(c))),
            false => steady.push(c),
        }
    }
    steady
}

impl Document {
    /// The same without characters that steer a terminal.
    pub(crate) fn steady(mut self) -> Self {
        for block in &mut self.blocks {
            match block {
                Block::Title(text) | Block::Text(text) => steady(text),
                Block::Lines(lines) => lines.iter_mut().for_each(steady),
                Block::Table(table) => table.make_steady(),
            }
        }
        self
    }
}

impl Table {
    /// The same without characters that steer a terminal.
    pub(crate) fn steady(mut self) -> Self {
        self.make_steady();
        self
    }

    fn make_steady(&mut self) {
        for column in &mut self.columns {
            if let Cow::Owned(title) = &mut column.title {
                steady(title);
            }
        }
        for cell in self.rows.iter_mut().flat_map(|row| &mut row.cells) {
            match cell {
                Cell::Text(text) | Cell::Toned(text, _) => steady(text),
                Cell::Empty | Cell::Number(_) | Cell::Real(..) | Cell::Share(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers() {
        let mut text = "größe\u{1b}[31m\nnext\u{9b}\u{202e}".to_owned();
        steady(&mut text);
        assert_eq!(text, "größe\\u{1b}[31m\nnext\\u{9b}\\u{202e}");
        let mut plain = "e\u{301}\n".to_owned();
        steady(&mut plain);
        assert_eq!(plain, "e\u{301}\n");
        assert_eq!(json("\"\u{7f}\u{9b}\"\n"), "\"\\u007f\\u009b\"\n");
    }
}
