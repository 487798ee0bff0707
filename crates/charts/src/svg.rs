//! An SVG picture: rectangles, lines, circles and words, in pixels.

use std::fmt::Write;

use crate::palette::{Colour, INK, PAPER};

/// Pixels from the left and from the top.
pub(crate) type Position = (i32, i32);

/// A picture that is being drawn.
pub(crate) struct Svg {
    text: String,
}

/// Which end of words is at their place.
#[derive(Clone, Copy)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// Where words stand to their place.
#[derive(Clone, Copy)]
pub(crate) enum Stand {
    Above,
    Level,
    Below,
    /// Level, and read upwards.
    Upright,
}

/// How words look.
#[derive(Clone, Copy)]
pub(crate) struct TextStyle {
    pub(crate) size: u32,
    pub(crate) colour: Colour,
    pub(crate) anchor: Anchor,
    pub(crate) stand: Stand,
}

impl TextStyle {
    /// Level words that begin at their place.
    pub(crate) const fn new(size: u32, colour: Colour) -> TextStyle {
        TextStyle { size, colour, anchor: Anchor::Start, stand: Stand::Level }
    }

    pub(crate) const fn anchor(self, anchor: Anchor) -> TextStyle {
        TextStyle { anchor, ..self }
    }

    pub(crate) const fn stand(self, stand: Stand) -> TextStyle {
        TextStyle { stand, ..self }
    }
}

impl Svg {
    /// White paper, named for readers that do not see it.
    pub(crate) fn new(width: i32, height: i32, name: &str) -> Svg {
        let mut svg = Svg { text: String::new() };
        svg.push(format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" role=\"img\" \
             font-family=\"DejaVu Sans, Helvetica, Arial, sans-serif\">\n<title>{}</title>",
            escaped(name)
        ));
        svg.rectangle((0, 0), (width, height), PAPER);
        svg
    }

    /// Fills the rectangle between two corners.
    pub(crate) fn rectangle(
        &mut self,
        (x, y): Position,
        (right, bottom): Position,
        colour: Colour,
    ) {
        let (width, height) = (right - x, bottom - y);
        self.push(format_args!(
            "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" fill=\"{colour}\"/>"
        ));
    }

    /// The same, with words for who points at it.
    pub(crate) fn told_rectangle(
        &mut self,
        (x, y): Position,
        (right, bottom): Position,
        colour: Colour,
        told: &str,
    ) {
        let (width, height) = (right - x, bottom - y);
        self.push(format_args!(
            "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" \
             fill=\"{colour}\"><title>{}</title></rect>",
            escaped(told)
        ));
    }

    /// Joins places by a line.
    pub(crate) fn line(&mut self, places: &[Position], colour: Colour, width: u32) {
        self.polyline(places, colour, width, "");
    }

    /// Joins places by a broken line.
    pub(crate) fn dashes(&mut self, places: &[Position], colour: Colour, width: u32) {
        self.polyline(places, colour, width, " stroke-dasharray=\"7 4\"");
    }

    fn polyline(&mut self, places: &[Position], colour: Colour, width: u32, dashes: &str) {
        let points: Vec<String> = places.iter().map(|(x, y)| format!("{x},{y}")).collect();
        let points = points.join(" ");
        self.push(format_args!(
            "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" \
             stroke-width=\"{width}\"{dashes}/>"
        ));
    }

    pub(crate) fn circle(&mut self, (x, y): Position, radius: u32, colour: Colour) {
        self.push(format_args!("<circle cx=\"{x}\" cy=\"{y}\" r=\"{radius}\" fill=\"{colour}\"/>"));
    }

    pub(crate) fn words(&mut self, words: &str, style: TextStyle, (x, y): Position) {
        let TextStyle { size, colour, anchor, stand } = style;
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        // Capitals and figures of common fonts are 0.7 em high.
        let (drop, turn) = match stand {
            Stand::Above => ("0", String::new()),
            Stand::Level => ("0.35em", String::new()),
            Stand::Below => ("0.7em", String::new()),
            Stand::Upright => ("0.35em", format!(" transform=\"rotate(270 {x} {y})\"")),
        };
        self.push(format_args!(
            "<text x=\"{x}\" y=\"{y}\" dy=\"{drop}\" text-anchor=\"{anchor}\" \
             font-size=\"{size}\" fill=\"{colour}\"{turn}>{}</text>",
            escaped(words)
        ));
    }

    /// The picture as text.
    pub(crate) fn finish(mut self) -> String {
        self.push(format_args!("</svg>"));
        self.text
    }

    fn push(&mut self, element: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = writeln!(self.text, "{element}");
    }
}

/// A label beside an axis.
pub(crate) const LABEL: TextStyle = TextStyle::new(12, INK);

fn escaped(words: &str) -> String {
    words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_markup_is_escaped() {
        let mut svg = Svg::new(10, 20, "a < b");
        svg.words("R&D > \"1\"", LABEL, (1, 2));
        let text = svg.finish();
        assert!(text.contains("<title>a &lt; b</title>"), "{text}");
        assert!(text.contains(">R&amp;D &gt; \"1\"</text>"), "{text}");
        assert!(text.starts_with("<svg ") && text.ends_with("</svg>\n"));
    }
}
