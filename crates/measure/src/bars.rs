//! Numbers drawn as bars, one below the other, as SVG.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::MeasureError;

const INK: RGBColor = RGBColor(31, 41, 55);
const FAINT: RGBColor = RGBColor(107, 114, 128);
const BAR: RGBColor = RGBColor(37, 99, 235);
const OWN: RGBColor = RGBColor(21, 128, 61);

const WIDTH: i32 = 920;
/// Where bars begin, and where the longest ends.
const LEFT: i32 = 260;
const RIGHT: i32 = 720;
const TOP: i32 = 92;
const ROW: i32 = 30;

/// A bar.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// What it is of.
    pub label: String,
    /// How long it is.
    pub value: f64,
    /// The number beside it.
    pub text: String,
    /// Whether it stands out.
    pub marked: bool,
}

/// Draws bars under a title and a line that says what they count.
///
/// # Errors
/// [`MeasureError::Chart`] when there are none, or drawing fails.
pub fn bars(title: &str, told: &str, bars: &[Bar]) -> Result<String, MeasureError> {
    let fail = |problem: String| MeasureError::Chart { problem };
    let longest = bars.iter().map(|bar| bar.value).max_by(f64::total_cmp);
    let longest = longest.ok_or_else(|| fail("it has no bars".to_owned()))?.max(f64::MIN_POSITIVE);
    let height = TOP + ROW * bars.len() as i32 + 20;
    let mut svg = String::new();
    {
        let size = (WIDTH as u32, height as u32);
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        let text = |words: &str, size: u32, colour: RGBColor, h: HPos, at: (i32, i32)| {
            let font = ("DejaVu Sans, Helvetica, Arial, sans-serif", size).into_font();
            area.draw_text(words, &font.color(&colour).pos(Pos::new(h, VPos::Center)), at)
        };
        let draw = || {
            area.fill(&WHITE)?;
            text(title, 21, INK, HPos::Left, (24, 32))?;
            text(told, 15, FAINT, HPos::Left, (24, 60))?;
            for (row, bar) in bars.iter().enumerate() {
                let y = TOP + ROW * row as i32 + ROW / 2;
                let wide = (f64::from(RIGHT - LEFT) * bar.value / longest).round() as i32;
                let colour = if bar.marked { OWN } else { BAR };
                // What is not nothing shows.
                let wide = if bar.value > 0.0 { wide.max(2) } else { 0 };
                area.draw(&Rectangle::new([(LEFT, y - 9), (LEFT + wide, y + 9)], colour.filled()))?;
                text(&bar.label, 15, INK, HPos::Right, (LEFT - 10, y))?;
                text(&bar.text, 15, INK, HPos::Left, (LEFT + wide + 8, y))?;
            }
            area.draw(&PathElement::new(
                [(LEFT, TOP), (LEFT, height - 20)],
                FAINT.stroke_width(1),
            ))?;
            area.present()
        };
        draw().map_err(|e: DrawingAreaErrorKind<std::io::Error>| fail(e.to_string()))?;
    }
    Ok(svg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_long_as_their_numbers() {
        let bar = |label: &str, value: f64| Bar {
            label: label.to_owned(),
            value,
            text: value.to_string(),
            marked: false,
        };
        let svg =
            bars("a title", "in pieces", &[bar("whole", 8.0), bar("half", 4.0), bar("none", 0.0)]);
        let svg = svg.unwrap();
        let widths: Vec<i32> = svg
            .lines()
            .filter(|line| line.contains("#2563EB"))
            .map(|line| {
                let (_, rest) = line.split_once("width=\"").unwrap();
                rest.split('"').next().unwrap().parse().unwrap()
            })
            .collect();
        assert_eq!(widths, [RIGHT - LEFT, (RIGHT - LEFT) / 2, 0], "{svg}");
        assert!(svg.contains("a title") && svg.contains("half"));
        assert!(bars("a title", "", &[]).is_err());
    }
}
