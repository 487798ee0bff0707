//! Values along a logarithmic axis of sizes, a line for each of several series.

use crate::ChartError;
use crate::palette::SERIES;
use crate::plot::{Frame, LEFT, Plot, TOP, logarithmic};
use crate::svg::LABEL;

const WIDTH: i32 = 920;
/// The names of the lines stand to the right of the plot.
const NAMES: i32 = 200;

/// Lines over one axis of sizes.
#[derive(Clone, Debug, PartialEq)]
pub struct LineChart {
    /// What is drawn.
    pub title: String,
    /// What the reader should know of it.
    pub subtitle: String,
    /// The name of the sizes.
    pub x: String,
    /// The name of the values.
    pub y: String,
    /// The lines.
    pub series: Vec<Series>,
}

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Its name.
    pub name: String,
    /// Sizes, which are positive, and values.
    pub points: Vec<(f64, f64)>,
}

impl LineChart {
    /// The chart as SVG.
    ///
    /// # Errors
    /// When there is no point, a size is not positive, or a value is not finite.
    pub fn svg(&self) -> Result<String, ChartError> {
        let points = || self.series.iter().flat_map(|line| line.points.iter().copied());
        for (size, value) in points() {
            let off_axis = |value| Err(ChartError::off_axis(&self.title, value));
            if !size.is_finite() || size <= 0.0 {
                return off_axis(size);
            }
            if !value.is_finite() {
                return off_axis(value);
            }
        }
        let empty = || ChartError::empty(&self.title);
        let (first, last) = span(points().map(|(size, _)| size.log2())).ok_or_else(empty)?;
        let values = span(points().map(|(_, value)| value).chain([0.0])).ok_or_else(empty)?;
        let x = logarithmic(&self.x);
        let frame = Frame { title: &self.title, subtitle: &self.subtitle, x: &x, y: &self.y };
        let mut plot = Plot::new(&frame, (WIDTH, NAMES), values);
        let right = plot.right;
        let column = |size: f64| {
            let share = (size.log2() - first) / (last - first);
            LEFT + (f64::from(right - LEFT) * share).round() as i32
        };
        let longest = self.series.iter().map(|line| &line.points).max_by_key(|points| points.len());
        let sizes: Vec<(i32, String)> = longest
            .into_iter()
            .flatten()
            .map(|(size, _)| (column(*size), size.to_string()))
            .collect();
        plot.ticks(sizes.iter().map(|(x, label)| (*x, label.as_str())), true);
        for (index, line) in self.series.iter().enumerate() {
            let colour = SERIES[index % SERIES.len()];
            let place = |(size, value): &(f64, f64)| (column(*size), plot.row(*value));
            let places: Vec<_> = line.points.iter().map(place).collect();
            plot.marked_line(&places, colour, 4);
            let y = TOP + 8 + 24 * index as i32;
            plot.svg.line(&[(right + 16, y), (right + 36, y)], colour, 3);
            plot.svg.words(&line.name, LABEL, (right + 42, y));
        }
        Ok(plot.svg.finish())
    }
}

/// The least and the greatest, which differ.
fn span(values: impl Iterator<Item = f64> + Clone) -> Option<(f64, f64)> {
    let (least, most) = (values.clone().min_by(f64::total_cmp)?, values.max_by(f64::total_cmp)?);
    Some(if least < most { (least, most) } else { (least - 1.0, most + 1.0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(points: Vec<(f64, f64)>) -> Result<String, ChartError> {
        let word = |text: &str| text.to_owned();
        let chart = LineChart {
            title: word("title"),
            subtitle: word("subtitle"),
            x: word("n"),
            y: word("percent"),
            series: vec![Series { name: word("model"), points }],
        };
        chart.svg()
    }

    #[test]
    fn every_point_is_drawn_and_zero_is_on_the_axis() {
        let svg = example(vec![(128.0, -1.0), (256.0, -20.0), (1024.0, -50.0)]).unwrap();
        assert_eq!(svg.matches("<circle ").count(), 3);
        for label in ["128", "1024", "0", "-50", "model", "n (logarithmic)", "percent"] {
            assert!(svg.contains(&format!(">{label}</text>")), "{label}: {svg}");
        }
    }

    #[test]
    fn points_without_a_place_are_errors() {
        assert_eq!(example(vec![]).unwrap_err(), ChartError::empty("title"));
        assert_eq!(example(vec![(0.0, 1.0)]).unwrap_err(), ChartError::off_axis("title", 0.0));
        assert!(example(vec![(1.0, f64::NAN)]).is_err());
        assert!(example(vec![(1.0, 0.0)]).is_ok(), "one point has axes too");
    }
}
