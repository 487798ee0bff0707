//! The ground of a plot: titles, the grid of values, the axis of sizes.

use crate::palette::{Colour, FAINT, GRID, INK};
use crate::svg::{Anchor, LABEL, Position, Stand, Svg, TextStyle};

const HEIGHT: i32 = 540;
pub(crate) const LEFT: i32 = 84;
pub(crate) const TOP: i32 = 84;
const BOTTOM: i32 = HEIGHT - 64;
/// The most labels of an axis of sizes.
const TICKS: usize = 14;

/// What is written around a plot.
pub(crate) struct Frame<'a> {
    pub(crate) title: &'a str,
    pub(crate) subtitle: &'a str,
    pub(crate) x: &'a str,
    pub(crate) y: &'a str,
}

/// A plot whose values go from `least` at its lower edge to `most` at its upper one.
pub(crate) struct Plot {
    pub(crate) svg: Svg,
    /// Where it ends to the right.
    pub(crate) right: i32,
    least: f64,
    most: f64,
}

impl Plot {
    /// Draws what is around a plot that leaves `margin` pixels to its right.
    pub(crate) fn new(
        frame: &Frame<'_>,
        (width, margin): (i32, i32),
        (least, most): (f64, f64),
    ) -> Plot {
        let svg = Svg::new(width, HEIGHT, frame.title);
        let right = width - margin;
        let mut plot = Plot { svg, right, least, most };
        let svg = &mut plot.svg;
        svg.words(frame.title, TextStyle::new(18, INK), (LEFT, 28));
        svg.words(frame.subtitle, TextStyle::new(13, FAINT), (LEFT, 52));
        let named = TextStyle::new(13, INK).anchor(Anchor::Middle);
        svg.words(frame.y, named.stand(Stand::Upright), (22, i32::midpoint(TOP, BOTTOM)));
        svg.words(frame.x, named, (i32::midpoint(LEFT, right), HEIGHT - 18));
        let step = step(most - least);
        let places = places(step);
        for index in (least / step).ceil() as i64..=(most / step).floor() as i64 {
            let value = index as f64 * step;
            let y = plot.row(value);
            let colour = if index == 0 { FAINT } else { GRID };
            plot.svg.line(&[(LEFT, y), (right, y)], colour, 1);
            let label = TextStyle { colour: FAINT, ..LABEL }.anchor(Anchor::End);
            plot.svg.words(&format!("{value:.places$}"), label, (LEFT - 8, y));
        }
        plot
    }

    /// The row of a value.
    pub(crate) fn row(&self, value: f64) -> i32 {
        let share = (value - self.least) / (self.most - self.least);
        BOTTOM - (f64::from(BOTTOM - TOP) * share).round() as i32
    }

    /// The lower edge.
    pub(crate) fn bottom(&self) -> i32 {
        BOTTOM
    }

    /// Marks sizes on their axis. A logarithmic one leaves out labels when there are many.
    pub(crate) fn ticks<'a>(
        &mut self,
        ticks: impl ExactSizeIterator<Item = (i32, &'a str)>,
        logarithmic: bool,
    ) {
        let every = if logarithmic { ticks.len().div_ceil(TICKS).max(1) } else { 1 };
        let style = TextStyle { colour: FAINT, ..LABEL }.anchor(Anchor::Middle).stand(Stand::Below);
        for (index, (x, label)) in ticks.enumerate() {
            self.svg.line(&[(x, BOTTOM), (x, BOTTOM + 5)], FAINT, 1);
            if index.is_multiple_of(every) {
                self.svg.words(label, style, (x, BOTTOM + 11));
            }
        }
    }

    /// A line through places, each of which is marked.
    pub(crate) fn marked_line(&mut self, places: &[Position], colour: Colour, radius: u32) {
        self.svg.line(places, colour, 2);
        for place in places {
            self.svg.circle(*place, radius, colour);
        }
    }
}

/// A round distance between lines, of which there are four to ten.
fn step(span: f64) -> f64 {
    let power = 10f64.powf((span / 4.0).log10().floor());
    let fits = [5.0, 2.5, 2.0, 1.0].into_iter().map(|times| times * power);
    fits.into_iter().find(|step| span / step >= 4.0).unwrap_or(power)
}

/// The fewest decimal places that write a step, and so its multiples, exactly.
fn places(step: f64) -> usize {
    let whole = |places: &i32| {
        let scaled = step * 10f64.powi(*places);
        (scaled - scaled.round()).abs() < 1e-6 * scaled
    };
    (0..12).find(whole).unwrap_or(12) as usize
}

/// The label of a logarithmic axis.
pub(crate) fn logarithmic(name: &str) -> String {
    format!("{name} (logarithmic)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_grid_are_few_and_round() {
        for span in [0.003, 0.9, 7.0, 41.0, 340.0, 2000.0, 98_765.0] {
            let lines = span / step(span);
            assert!((4.0..=10.0).contains(&lines), "{span}: {lines}");
        }
        assert_eq!(step(340.0), 50.0);
    }

    #[test]
    fn labels_of_the_grid_are_exact() {
        assert_eq!([5000.0, 20.0, 2.0, 2.5, 0.25, 0.5, 0.02].map(places), [0, 0, 0, 1, 2, 1, 2]);
    }

    #[test]
    fn rows_are_proportional_to_values() {
        let frame = Frame { title: "", subtitle: "", x: "", y: "" };
        let plot = Plot::new(&frame, (920, 28), (0.0, 90.0));
        let [low, middle, high] = [0.0, 40.0, 80.0].map(|value| plot.row(value));
        assert!((low - middle - (middle - high)).abs() <= 1 && low > high);
        assert_eq!((low, plot.row(90.0)), (plot.bottom(), TOP));
    }
}
