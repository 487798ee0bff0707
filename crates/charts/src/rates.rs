//! Rates over sizes, or over named cases, and the ceiling that none exceeds.

use crate::ChartError;
use crate::palette::{BLUE, FAINT, PALE, PAPER, VERMILION};
use crate::plot::{Frame, LEFT, Plot, logarithmic};
use crate::svg::{Anchor, LABEL, Position, Stand, TextStyle};

const MARGIN: i32 = 28;
/// The least width of the picture, and how much of it each named case takes.
const WIDTH: i32 = 920;
const CASE: i32 = 112;
/// Points up to which each is labelled with its rate.
const LABELLED: usize = 14;

/// Rates under their ceiling.
#[derive(Clone, Debug, PartialEq)]
pub struct RateChart {
    /// What is drawn.
    pub title: String,
    /// What the reader should know of it.
    pub subtitle: String,
    /// The name of the sizes or cases.
    pub x: String,
    /// The name of the rates, with their unit.
    pub y: String,
    /// What no rate exceeds.
    pub ceiling: Ceiling,
    /// The points, from left to right.
    pub points: Vec<RatePoint>,
}

/// A rate that none of the points exceeds.
#[derive(Clone, Debug, PartialEq)]
pub struct Ceiling {
    /// What is written at it, before its value.
    pub name: String,
    /// How high it is.
    pub value: f64,
    /// The unit of all rates.
    pub unit: String,
}

/// A rate of one size or case.
#[derive(Clone, Debug, PartialEq)]
pub struct RatePoint {
    /// The size or the case.
    pub label: String,
    /// The place on a logarithmic axis; cases that have names only stand side by side.
    pub size: Option<u64>,
    /// The rate.
    pub rate: f64,
    /// An earlier rate of the same, drawn behind it.
    pub before: Option<f64>,
}

impl RateChart {
    /// The chart as SVG.
    ///
    /// # Errors
    /// When there is no point, or a rate is not finite.
    pub fn svg(&self) -> Result<String, ChartError> {
        let (columns, most) = (Columns::new(&self.points), self.most()?);
        let x = if columns.logs.is_some() { logarithmic(&self.x) } else { self.x.clone() };
        let frame = Frame { title: &self.title, subtitle: &self.subtitle, x: &x, y: &self.y };
        let top = (most * 1.12).max(f64::MIN_POSITIVE);
        let mut plot = Plot::new(&frame, (columns.width, MARGIN), (0.0, top));
        let (right, bottom) = (plot.right, plot.bottom());
        let at: Vec<i32> = self.points.iter().enumerate().map(|(i, p)| columns.at(i, p)).collect();
        let ticks = at.iter().zip(&self.points).map(|(x, point)| (*x, point.label.as_str()));
        plot.ticks(ticks, columns.logs.is_some());
        let ceiling = plot.row(self.ceiling.value);
        plot.svg.dashes(&[(LEFT, ceiling), (right, ceiling)], VERMILION, 2);
        self.draw_before(&mut plot, &columns, &at);

        let marks: Vec<Position> =
            at.iter().zip(&self.points).map(|(x, point)| (*x, plot.row(point.rate))).collect();
        if columns.logs.is_some() {
            plot.marked_line(&marks, BLUE, 5);
        } else {
            for (x, y) in &marks {
                plot.svg.line(&[(*x, bottom), (*x, *y)], BLUE, 10);
                plot.svg.circle((*x, *y), 5, BLUE);
            }
        }
        if marks.len() <= LABELLED {
            for ((x, y), point) in marks.iter().zip(&self.points) {
                // Where the ceiling or the earlier mark is right above, there is room below only.
                let before = point.before.map(|rate| plot.row(rate));
                let crowded = [Some(ceiling), before];
                let crowded = crowded.into_iter().flatten().any(|row| (y - 26..*y).contains(&row));
                let crowded = crowded && y + 24 < bottom;
                let (at, stand) =
                    if crowded { (y + 10, Stand::Below) } else { (y - 10, Stand::Above) };
                let style = LABEL.anchor(Anchor::Middle).stand(stand);
                plot.svg.words(&figures(point.rate), style, (*x, at));
            }
        }
        self.draw_name(&mut plot, ceiling, &marks);
        Ok(plot.svg.finish())
    }

    /// The greatest rate.
    fn most(&self) -> Result<f64, ChartError> {
        let rates = || {
            let points = self.points.iter();
            points.flat_map(|p| [Some(p.rate), p.before]).flatten().chain([self.ceiling.value])
        };
        if let Some(rate) = rates().find(|rate| !rate.is_finite()) {
            return Err(ChartError::off_axis(&self.title, rate));
        }
        let most = rates().max_by(f64::total_cmp).filter(|_| !self.points.is_empty());
        most.ok_or_else(|| ChartError::empty(&self.title))
    }

    /// The earlier rates, and a key to the colours.
    fn draw_before(&self, plot: &mut Plot, columns: &Columns, at: &[i32]) {
        let earlier = at.iter().zip(&self.points);
        let earlier = earlier.filter_map(|(x, point)| Some((*x, plot.row(point.before?))));
        let places: Vec<Position> = earlier.collect();
        if places.is_empty() {
            return;
        }
        if columns.logs.is_some() {
            plot.svg.line(&places, PALE, 2);
        }
        for (x, y) in &places {
            let x = if columns.logs.is_some() { *x } else { x + 12 };
            plot.svg.rectangle((x - 4, y - 4), (x + 4, y + 4), PALE);
        }
        let (right, style) = (plot.right, TextStyle { colour: FAINT, ..LABEL });
        for (words, colour, x) in [("saved", PALE, right - 136), ("now", BLUE, right - 60)] {
            plot.svg.rectangle((x, 66), (x + 8, 74), colour);
            plot.svg.words(words, style, (x + 16, 70));
        }
    }

    /// The ceiling's name and value, at its end that is farther from any mark.
    fn draw_name(&self, plot: &mut Plot, y: i32, marks: &[Position]) {
        let Ceiling { name, value, unit } = &self.ceiling;
        let words = format!("{name}: {} {unit}", figures(*value));
        let (width, right) = (words.chars().count() as i32 * 8, plot.right);
        let crossed = |from: i32, to: i32, over: i32, under: i32| {
            let on = |(x, y): &&Position| (from..to).contains(x) && (over..under).contains(y);
            marks.iter().filter(on).count()
        };
        // Above or below the line, at its left or right end.
        let above = (LEFT, y - 26, y - 4);
        let places = [
            above,
            (right - width, y - 26, y - 4),
            (LEFT, y + 4, y + 26),
            (right - width, y + 4, y + 26),
        ];
        let free = places
            .into_iter()
            .min_by_key(|(x, over, under)| crossed(*x, x + width, over - 8, under + 26));
        let (x, over, under) = free.unwrap_or(above);
        let (anchor, at) =
            if x == LEFT { (Anchor::Start, LEFT + 4) } else { (Anchor::End, right - 4) };
        // No line of the grid goes through the words.
        let left = if x == LEFT { LEFT + 1 } else { x };
        plot.svg.rectangle((left, over + 1), (left + width - 1, under - 1), PAPER);
        let style = TextStyle::new(13, VERMILION).anchor(anchor);
        plot.svg.words(&words, style, (at, i32::midpoint(over, under)));
    }
}

/// From sizes, or cases side by side, to pixels.
struct Columns {
    width: i32,
    /// The least and greatest binary logarithm of a size; `None` where the axis has names.
    logs: Option<(f64, f64)>,
    points: usize,
}

impl Columns {
    fn new(points: &[RatePoint]) -> Columns {
        let logs: Option<Vec<f64>> = points.iter().map(|p| p.size.map(log2)).collect();
        let logs = logs.and_then(|logs| {
            let least = logs.iter().copied().min_by(f64::total_cmp)?;
            let greatest = logs.iter().copied().max_by(f64::total_cmp)?;
            Some((least, greatest))
        });
        let width = match logs {
            Some(_) => WIDTH,
            None => (CASE * points.len() as i32 + LEFT + MARGIN).max(WIDTH),
        };
        Columns { width, logs, points: points.len() }
    }

    /// The column of a point.
    fn at(&self, index: usize, point: &RatePoint) -> i32 {
        let share = match (self.logs, point.size) {
            (Some((least, greatest)), Some(size)) if greatest > least => {
                0.045 + 0.91 * (log2(size) - least) / (greatest - least)
            }
            (Some(_), _) => 0.5,
            (None, _) => (index as f64 + 0.5) / self.points as f64,
        };
        LEFT + (f64::from(self.width - LEFT - MARGIN) * share).round() as i32
    }
}

fn log2(size: u64) -> f64 {
    (size.max(1) as f64).log2()
}

/// Three figures.
fn figures(rate: f64) -> String {
    let places = match rate {
        r if r >= 100.0 => 0,
        r if r >= 10.0 => 1,
        _ => 2,
    };
    format!("{rate:.places$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rates of sizes 16, 32, … or of cases.
    fn chart(rates: &[f64], sizes: bool) -> RateChart {
        let point = |(i, rate): (usize, &f64)| RatePoint {
            label: if sizes { (16 << i).to_string() } else { format!("case {i}") },
            size: sizes.then_some(16 << i),
            rate: *rate,
            before: None,
        };
        let word = |text: &str| text.to_owned();
        RateChart {
            title: word("title"),
            subtitle: word("a machine"),
            x: word("n"),
            y: word("GB/s"),
            ceiling: Ceiling { name: word("bandwidth"), value: 80.0, unit: word("GB/s") },
            points: rates.iter().enumerate().map(point).collect(),
        }
    }

    fn count(svg: &str, part: &str) -> usize {
        svg.matches(part).count()
    }

    #[test]
    fn the_ceiling_and_every_point_are_drawn() {
        for sizes in [true, false] {
            let chart = chart(&[0.0, 10.0, 20.0, 40.0], sizes);
            let svg = chart.svg().unwrap();
            assert_eq!(count(&svg, "<circle "), 4);
            assert_eq!(count(&svg, "stroke-dasharray"), 1);
            assert!(svg.contains(">bandwidth: 80.0 GB/s</text>"), "{svg}");
            for point in &chart.points {
                assert!(svg.contains(&format!(">{}</text>", point.label)), "{svg}");
            }
            assert!(!svg.contains(">saved</text>"));
        }
    }

    #[test]
    fn earlier_rates_are_drawn_too() {
        let mut chart = chart(&[5.0, 10.0, 20.0, 40.0], true);
        let alone = chart.svg().unwrap();
        for point in &mut chart.points[..3] {
            point.before = Some(point.rate / 2.0);
        }
        let both = chart.svg().unwrap();
        assert_eq!(count(&both, "<circle "), 4);
        // One each, and one in the key to the colours.
        let grey = format!("fill=\"{PALE}\"");
        assert_eq!((count(&alone, &grey), count(&both, &grey)), (0, 4));
        assert!(both.contains(">saved</text>"));
    }

    #[test]
    fn sizes_stand_at_their_logarithms() {
        let points = chart(&[0.0; 4], true).points;
        let columns = Columns::new(&points);
        let x: Vec<i32> = points.iter().enumerate().map(|(i, p)| columns.at(i, p)).collect();
        assert!((x[1] - x[0] - (x[3] - x[2])).abs() <= 1 && x[0] < x[1], "{x:?}");
        assert_eq!([5.0, 31.25, 310.4].map(figures), ["5.00", "31.2", "310"]);
    }

    #[test]
    fn one_point_is_a_chart_and_none_is_not() {
        assert!(chart(&[1.0], true).svg().is_ok());
        assert_eq!(chart(&[], true).svg().unwrap_err(), ChartError::empty("title"));
        assert!(chart(&[f64::NAN], false).svg().is_err());
    }
}
