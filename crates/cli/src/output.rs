//! Where results go: stdout, as wide as the terminal is, or whole where there is none.

use std::io::{BufWriter, ErrorKind, IsTerminal, Write};
use std::sync::OnceLock;

use clap::ValueEnum;
use opledger_account::SizedGrid;
use opledger_report::{BarSigns, Format, GridError, Noted, Record, Style, render};

use crate::failure::Failure;
use crate::notes::{note, units};

/// Writes a result to stdout.
pub(crate) fn show(record: &impl Record, format: Format) -> Result<(), Failure> {
    print(&render(record, format, style())?)
}

/// Writes a result to stdout with notes, which go to stderr where its format has no place for them.
pub(crate) fn show_noted(
    record: &impl Record,
    notes: &[String],
    format: Format,
) -> Result<(), Failure> {
    if format.has_notes() {
        return show(&Noted::new(record, &with_units(notes, format)), format);
    }
    notes.iter().for_each(|text| note(text));
    show(record, format)
}

/// Notes, and for programs what units of sizes were taken for: people were told when these were read.
fn with_units(notes: &[String], format: Format) -> Vec<String> {
    let units = if format == Format::Json { units() } else { Vec::new() };
    notes.iter().cloned().chain(units).collect()
}

/// Writes a grid to stdout, each point when it is counted.
pub(crate) fn show_grid(
    grid: &SizedGrid<'_>,
    notes: &[String],
    format: Format,
) -> Result<(), Failure> {
    if !format.has_notes() {
        notes.iter().for_each(|text| note(text));
    }
    let mut out = BufWriter::new(std::io::stdout().lock());
    let points = || grid.points();
    let notes = &with_units(notes, format);
    match grid.record().write(points, notes, (format, style()), &mut out) {
        Ok(()) => Ok(()),
        Err(GridError::Point(problem)) => Err(problem.into()),
        Err(GridError::Render(problem)) => Err(problem.into()),
        Err(GridError::Write(problem)) => arrived(Err(problem)),
    }
}

/// Writes text to stdout. A reader that has gone away is no failure.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    written(std::io::stdout().write_all(text.as_bytes()))
}

/// Text that a model gives, of which control characters are escaped: its words come from a file.
pub(crate) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_control() && !matches!(c, '\n' | '\t') {
            true => plain.extend(c.escape_unicode()),
            false => plain.push(c),
        }
    }
    plain
}

/// Has what was written to stdout arrive.
pub(crate) fn written(result: std::io::Result<()>) -> Result<(), Failure> {
    arrived(result.and_then(|()| std::io::stdout().flush()))
}

/// That a reader has gone away is no failure.
fn arrived(result: std::io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::Stdout(error)),
        _ => Ok(()),
    }
}

/// When something is done that is meant for a terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    /// In a terminal
    #[default]
    Auto,
    /// Into files and pipes too
    Always,
    /// Nowhere
    Never,
}

/// When results are coloured, and when shares are drawn as bars.
static LOOKS: OnceLock<[When; 2]> = OnceLock::new();

/// Has results look so from now on.
pub(crate) fn looks(colour: When, bars: When) {
    // Said once, before any result.
    let _ = LOOKS.set([colour, bars]);
}

/// Whether the locale has signs other than those of ASCII.
fn unicode() -> bool {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set).unwrap_or_default();
    let locale = locale.to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

/// A page as wide as `COLUMNS` says, else as the terminal is. What goes elsewhere is whole: a table is as wide as
/// its columns need.
fn style() -> Style {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let columns =
        set("COLUMNS").and_then(|columns| columns.parse().ok()).filter(|width| *width > 0);
    let page = Style { width: columns.or(Style::plain().width), ..Style::plain() };
    let terminal = std::io::stdout().is_terminal();
    let signs = set("TERM").is_none_or(|term| term != "dumb");
    let [colour, bars] = LOOKS.get().copied().unwrap_or_default();
    let wanted = |when: When, here: bool| match when {
        When::Auto => here,
        When::Always => true,
        When::Never => false,
    };
    let colour = wanted(colour, terminal && signs && set("NO_COLOR").is_none());
    let signs = if unicode() { BarSigns::Eighths } else { BarSigns::Ascii };
    let bars = wanted(bars, terminal).then_some(signs);
    if !terminal {
        return Style { complete: columns.is_none(), colour, bars, ..page };
    }
    let width = terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
    Style { width: columns.or(width).or(page.width), colour, bars, ..page }
}
