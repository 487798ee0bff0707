//! The colours of all charts.

/// A colour as SVG writes it.
pub(crate) type Colour = &'static str;

pub(crate) const PAPER: Colour = "#FFFFFF";
pub(crate) const INK: Colour = "#1F2937";
pub(crate) const FAINT: Colour = "#6B7280";
pub(crate) const PALE: Colour = "#9CA3AF";
pub(crate) const GRID: Colour = "#E5E7EB";

pub(crate) const BLUE: Colour = "#0072B2";
pub(crate) const VERMILION: Colour = "#D55E00";
pub(crate) const GREEN: Colour = "#009E73";

/// Colours that people with any colour vision tell apart (Okabe and Ito 2008).
pub(crate) const SERIES: [Colour; 7] =
    [BLUE, VERMILION, GREEN, "#CC79A7", "#E69F00", "#56B4E9", "#000000"];

/// The same with much white in them, on which ink is read.
pub(crate) const TINTS: [Colour; 6] =
    ["#BBD7EE", "#F6C9A8", "#B7E1D1", "#EBCADB", "#F5DDA6", "#D8DCE2"];
