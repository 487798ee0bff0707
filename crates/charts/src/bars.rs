//! Numbers as bars, one below the other.

use crate::ChartError;
use crate::palette::{BLUE, FAINT, GREEN, INK};
use crate::svg::{Anchor, LABEL, Svg, TextStyle};

const WIDTH: i32 = 920;
/// Where bars begin, and where the longest ends.
const LEFT: i32 = 260;
const RIGHT: i32 = 720;
const TOP: i32 = 92;
const ROW: i32 = 30;

/// Numbers as bars under a title.
#[derive(Clone, Debug, PartialEq)]
pub struct BarChart {
    /// What is drawn.
    pub title: String,
    /// What the bars count.
    pub subtitle: String,
    /// The bars, from the top down.
    pub bars: Vec<Bar>,
}

/// A bar.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// What it is of.
    pub label: String,
    /// How long it is; nothing below zero.
    pub value: f64,
    /// The number beside it.
    pub text: String,
    /// Whether it stands out.
    pub marked: bool,
}

impl BarChart {
    /// The chart as SVG.
    ///
    /// # Errors
    /// When there are no bars, or a value is not finite.
    pub fn svg(&self) -> Result<String, ChartError> {
        let values = || self.bars.iter().map(|bar| bar.value);
        if let Some(value) = values().find(|value| !value.is_finite()) {
            return Err(ChartError::off_axis(&self.title, value));
        }
        let longest = values().max_by(f64::total_cmp);
        let longest = longest.ok_or_else(|| ChartError::empty(&self.title))?;
        let longest = longest.max(f64::MIN_POSITIVE);
        let height = TOP + ROW * self.bars.len() as i32 + 20;
        let mut svg = Svg::new(WIDTH, height, &self.title);
        svg.words(&self.title, TextStyle::new(17, INK), (24, 32));
        svg.words(&self.subtitle, TextStyle::new(12, FAINT), (24, 60));
        for (row, bar) in self.bars.iter().enumerate() {
            let y = TOP + ROW * row as i32 + ROW / 2;
            let length = (f64::from(RIGHT - LEFT) * bar.value / longest).round() as i32;
            // What is not nothing shows.
            let length = if bar.value > 0.0 { length.max(2) } else { 0 };
            let colour = if bar.marked { GREEN } else { BLUE };
            svg.rectangle((LEFT, y - 9), (LEFT + length, y + 9), colour);
            svg.words(&bar.label, LABEL.anchor(Anchor::End), (LEFT - 10, y));
            svg.words(&bar.text, LABEL, (LEFT + length + 8, y));
        }
        svg.line(&[(LEFT, TOP), (LEFT, height - 20)], FAINT, 1);
        Ok(svg.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(bars: &[(&str, f64)]) -> BarChart {
        let bar = |(label, value): &(&str, f64)| Bar {
            label: (*label).to_owned(),
            value: *value,
            text: value.to_string(),
            marked: *label == "half",
        };
        BarChart {
            title: "a title".to_owned(),
            subtitle: "in pieces".to_owned(),
            bars: bars.iter().map(bar).collect(),
        }
    }

    #[test]
    fn bars_are_as_long_as_their_numbers() {
        let svg = chart(&[("whole", 8.0), ("half", 4.0), ("little", 1e-9), ("none", 0.0)]).svg();
        let svg = svg.unwrap();
        let lengths: Vec<i32> = svg
            .lines()
            .filter(|line| line.starts_with("<rect ") && !line.contains("\"#FFFFFF\""))
            .map(|line| {
                let (_, rest) = line.split_once("width=\"").unwrap();
                rest.split('"').next().unwrap().parse().unwrap()
            })
            .collect();
        assert_eq!(lengths, [RIGHT - LEFT, (RIGHT - LEFT) / 2, 2, 0], "{svg}");
        for words in ["a title", "in pieces", "half"] {
            assert!(svg.contains(&format!(">{words}</text>")), "{svg}");
        }
        assert_eq!(svg.matches(GREEN).count(), 1, "the marked one");
    }

    #[test]
    fn no_bars_and_endless_ones_are_errors() {
        let told = |bars: &[(&str, f64)]| chart(bars).svg().unwrap_err().to_string();
        assert_eq!(told(&[]), "`a title` has nothing to draw");
        assert_eq!(told(&[("x", f64::INFINITY)]), "`a title`: inf has no place on its axis");
    }
}
