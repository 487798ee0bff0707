//! A bench drawn as SVG: rates against sizes, with the roof above them.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::{Bench, MeasureError, Point, Saved};

pub(crate) const INK: RGBColor = RGBColor(31, 41, 55);
pub(crate) const FAINT: RGBColor = RGBColor(107, 114, 128);
pub(crate) const GRID: RGBColor = RGBColor(229, 231, 235);
const NOW: RGBColor = RGBColor(37, 99, 235);
const ROOF: RGBColor = RGBColor(185, 28, 28);
const THEN: RGBColor = RGBColor(156, 163, 175);

const HEIGHT: u32 = 540;
/// Where the plot begins and ends, in pixels.
const LEFT: i32 = 84;
const RIGHT: i32 = 28;
const TOP: i32 = 84;
const BOTTOM: i32 = 64;
/// Points up to which each is labelled with its rate.
const LABELLED: usize = 14;
/// The most labels of an axis of sizes.
const TICKS: usize = 14;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws a bench, and behind it the saved one that it was compared with.
///
/// # Errors
/// [`MeasureError::Chart`] when nothing was measured, or drawing fails.
pub fn chart(bench: &Bench, saved: Option<&Saved>) -> Result<String, MeasureError> {
    let fail = |problem: String| MeasureError::Chart { problem };
    let frame = Frame::new(bench, saved).ok_or_else(|| fail("it has no points".to_owned()))?;
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, (frame.width, HEIGHT)).into_drawing_area();
        draw(&area, &frame, bench, saved).map_err(|e| fail(e.to_string()))?;
        area.present().map_err(|e| fail(e.to_string()))?;
    }
    Ok(text)
}

/// From sizes and rates to pixels.
struct Frame {
    width: u32,
    /// The least and greatest binary logarithm of a size; `None` where the axis has names.
    logs: Option<(f64, f64)>,
    points: usize,
    /// The rate at the upper edge.
    top: f64,
    /// Rates between two lines of the grid.
    step: f64,
}

impl Frame {
    fn new(bench: &Bench, saved: Option<&Saved>) -> Option<Frame> {
        let points = bench.points.len();
        let rates = bench.points.iter().map(Point::rate);
        let then = bench.points.iter().filter_map(|p| p.against).map(|a| a.rate);
        let then = then.filter(|_| saved.is_some());
        let most = rates.chain(then).chain([bench.roof.value]).max_by(f64::total_cmp)?;
        let logs: Option<Vec<f64>> =
            bench.points.iter().map(|p| p.size.map(|n| (n.max(1) as f64).log2())).collect();
        let logs = logs.and_then(|logs| {
            let least = logs.iter().copied().min_by(f64::total_cmp)?;
            let greatest = logs.iter().copied().max_by(f64::total_cmp)?;
            Some((least, greatest))
        });
        let width = match logs {
            Some(_) => 920,
            None => (112 * points as u32 + (LEFT + RIGHT) as u32).max(920),
        };
        let top = (most * 1.12).max(f64::MIN_POSITIVE);
        (points > 0 && top.is_finite()).then(|| Frame { width, logs, points, top, step: step(top) })
    }

    /// The column of a point's mark.
    fn x(&self, index: usize, point: &Point) -> i32 {
        let width = f64::from(self.width as i32 - LEFT - RIGHT);
        let share = match (self.logs, point.size) {
            (Some((least, greatest)), Some(size)) if greatest > least => {
                let at = ((size.max(1) as f64).log2() - least) / (greatest - least);
                0.045 + 0.91 * at
            }
            (Some(_), _) => 0.5,
            (None, _) => (index as f64 + 0.5) / self.points as f64,
        };
        LEFT + (width * share).round() as i32
    }

    /// The line of a rate.
    fn y(&self, rate: f64) -> i32 {
        let height = f64::from(HEIGHT as i32 - TOP - BOTTOM);
        HEIGHT as i32 - BOTTOM - (height * rate / self.top).round() as i32
    }
}

/// A round distance between lines, of which there are four to ten.
pub(crate) fn step(top: f64) -> f64 {
    let power = 10f64.powf((top / 4.0).log10().floor());
    let fits = [5.0, 2.5, 2.0, 1.0].into_iter().map(|times| times * power);
    fits.into_iter().find(|step| top / step >= 4.0).unwrap_or(power)
}

pub(crate) fn style(size: u32, colour: RGBColor, h: HPos, v: VPos) -> TextStyle<'static> {
    let font = ("DejaVu Sans, Helvetica, Arial, sans-serif", size);
    font.into_font().color(&colour).pos(Pos::new(h, v))
}

fn draw(
    area: &Area<'_>,
    frame: &Frame,
    bench: &Bench,
    saved: Option<&Saved>,
) -> Result<(), DrawingAreaErrorKind<std::io::Error>> {
    area.fill(&WHITE)?;
    let (left, right) = (LEFT, frame.width as i32 - RIGHT);
    let (top, bottom) = (TOP, HEIGHT as i32 - BOTTOM);
    let middle = (left + right) / 2;
    let text =
        |words: &str, style: &TextStyle<'_>, at: (i32, i32)| area.draw_text(words, style, at);
    let line = |points: Vec<(i32, i32)>, colour: RGBColor, width: u32| {
        area.draw(&PathElement::new(points, colour.stroke_width(width)))
    };

    let head = format!("opledger bench {}: {}", bench.bench, bench.subject);
    text(&head, &style(22, INK, HPos::Left, VPos::Center), (left, 28))?;
    let machine = bench.machine.processor.as_deref().unwrap_or("processor unknown");
    let isa = &bench.machine.isa;
    let told = format!(
        "{machine}, {}, kernels on {isa}, opledger {}",
        bench.threads_text(),
        bench.version
    );
    text(&told, &style(16, FAINT, HPos::Left, VPos::Center), (left, 52))?;

    // The grid, and the rates at its lines.
    let places = if frame.step < 0.1 {
        3
    } else if frame.step < 1.0 {
        2
    } else {
        usize::from(frame.step < 5.0 && frame.step.fract() > 0.0)
    };
    for index in 0..=(frame.top / frame.step).floor() as usize {
        let rate = index as f64 * frame.step;
        let y = frame.y(rate);
        line(vec![(left, y), (right, y)], if index == 0 { FAINT } else { GRID }, 1)?;
        let label = format!("{rate:.places$}");
        text(&label, &style(15, FAINT, HPos::Right, VPos::Center), (left - 8, y))?;
    }
    let what = if bench.roof.unit == "GB/s" {
        "GB/s of keys and values"
    } else {
        "GFLOP/s (matmul-flops)"
    };
    let upright = style(16, INK, HPos::Center, VPos::Center).transform(FontTransform::Rotate270);
    text(what, &upright, (22, (top + bottom) / 2))?;

    // The sizes.
    let every = match frame.logs {
        Some(_) => frame.points.div_ceil(TICKS),
        None => 1,
    };
    for (index, point) in bench.points.iter().enumerate() {
        let x = frame.x(index, point);
        line(vec![(x, bottom), (x, bottom + 5)], FAINT, 1)?;
        if index % every == 0 {
            let below = style(15, FAINT, HPos::Center, VPos::Top);
            text(&point.at, &below, (x, bottom + 9))?;
        }
    }
    let axis = match frame.logs {
        Some(_) => format!("{} (logarithmic)", bench.axis),
        None => bench.axis.clone(),
    };
    text(&axis, &style(16, INK, HPos::Center, VPos::Center), (middle, HEIGHT as i32 - 18))?;

    let roof = frame.y(bench.roof.value);
    for x in (left..right).step_by(11) {
        line(vec![(x, roof), ((x + 7).min(right), roof)], ROOF, 2)?;
    }

    if saved.is_some() {
        then(area, frame, bench)?;
    }
    let place = |(index, point): (usize, &Point)| (frame.x(index, point), frame.y(point.rate()));
    let marks: Vec<(i32, i32)> = bench.points.iter().enumerate().map(place).collect();
    match frame.logs {
        Some(_) => line(marks.clone(), NOW, 2)?,
        None => marks.iter().try_for_each(|(x, y)| line(vec![(*x, bottom), (*x, *y)], NOW, 10))?,
    }
    for ((x, y), point) in marks.iter().zip(&bench.points) {
        area.draw(&Circle::new((*x, *y), 5, NOW.filled()))?;
        if marks.len() <= LABELLED {
            let label = shown(point.rate());
            // Where the roof or the saved mark is right above, there is room below only.
            let then = point.against.filter(|_| saved.is_some()).map(|a| frame.y(a.rate));
            let above =
                [Some(roof), then].into_iter().flatten().any(|it| (y - 26..*y).contains(&it));
            let (at, v) = if above { (y + 10, VPos::Top) } else { (y - 10, VPos::Bottom) };
            text(&label, &style(15, INK, HPos::Center, v), (*x, at))?;
        }
    }
    label(area, frame, bench, &marks)
}

/// The saved rates, behind those of now.
fn then(
    area: &Area<'_>,
    frame: &Frame,
    bench: &Bench,
) -> Result<(), DrawingAreaErrorKind<std::io::Error>> {
    let saved = bench.points.iter().enumerate();
    let saved = saved
        .filter_map(|(index, point)| Some((frame.x(index, point), frame.y(point.against?.rate))));
    let places: Vec<(i32, i32)> = saved.collect();
    if frame.logs.is_some() {
        area.draw(&PathElement::new(places.clone(), THEN.stroke_width(2)))?;
    }
    for (x, y) in &places {
        let x = if frame.logs.is_some() { *x } else { x + 12 };
        area.draw(&Rectangle::new([(x - 4, y - 4), (x + 4, y + 4)], THEN.filled()))?;
    }
    let right = frame.width as i32 - RIGHT;
    let key = style(15, FAINT, HPos::Left, VPos::Center);
    area.draw(&Rectangle::new([(right - 136, 66), (right - 128, 74)], THEN.filled()))?;
    area.draw_text("saved", &key, (right - 120, 70))?;
    area.draw(&Rectangle::new([(right - 60, 66), (right - 52, 74)], NOW.filled()))?;
    area.draw_text("now", &key, (right - 44, 70))
}

/// The roof's name and value, at the end of the roof that is farther from any mark.
fn label(
    area: &Area<'_>,
    frame: &Frame,
    bench: &Bench,
    marks: &[(i32, i32)],
) -> Result<(), DrawingAreaErrorKind<std::io::Error>> {
    let roof = &bench.roof;
    let y = frame.y(roof.value);
    let words = format!(
        "{} {}, {} ({}): {} {}",
        "measured",
        roof.name,
        bench.threads_text(),
        roof.isa,
        shown(roof.value),
        roof.unit
    );
    let wide = words.chars().count() as i32 * 8;
    let right = frame.width as i32 - RIGHT;
    let crossed = |from: i32, to: i32, over: i32, under: i32| {
        marks.iter().filter(|(x, at)| (from..to).contains(x) && (over..under).contains(at)).count()
    };
    // Above or below the line, at its left or right end.
    let places = [
        (LEFT, y - 26, y - 4),
        (right - wide, y - 26, y - 4),
        (LEFT, y + 4, y + 26),
        (right - wide, y + 4, y + 26),
    ];
    let place = places
        .into_iter()
        .min_by_key(|(x, over, under)| crossed(*x, x + wide, over - 8, under + 26));
    let (x, over, under) = place.unwrap_or((LEFT, y - 26, y - 4));
    let (h, at) = if x == LEFT { (HPos::Left, LEFT + 4) } else { (HPos::Right, right - 4) };
    // No line of the grid goes through the words.
    let left = if x == LEFT { LEFT + 1 } else { x };
    area.draw(&Rectangle::new([(left, over + 1), (left + wide - 1, under - 1)], WHITE.filled()))?;
    area.draw_text(&words, &style(16, ROOF, h, VPos::Center), (at, (over + under) / 2))
}

/// Three figures.
fn shown(rate: f64) -> String {
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
    use crate::bench::tests::{decoding, products};

    fn count(text: &str, part: &str) -> usize {
        text.matches(part).count()
    }

    #[test]
    fn the_roof_and_every_point_are_drawn() {
        for bench in [products(), decoding()] {
            let svg = chart(&bench, None).unwrap();
            assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"), "{svg}");
            assert_eq!(count(&svg, "<circle "), bench.points.len());
            let roof = format!("measured {}", bench.roof.name);
            assert_eq!(count(&svg, &roof), 1, "{svg}");
            assert!(count(&svg, "#B91C1C") > 10, "the roof is a dashed line");
            for point in &bench.points {
                assert!(svg.contains(&format!("\n{}\n", point.at)), "{}", point.at);
            }
            assert!(!svg.contains("\nsaved\n"));
        }
    }

    #[test]
    fn saved_points_are_drawn_too() {
        let mut bench = decoding();
        let mut saved = bench.clone();
        saved.points.pop();
        let saved = Saved(saved);
        bench.compare(&saved);
        let (alone, both) = (chart(&bench, None).unwrap(), chart(&bench, Some(&saved)).unwrap());
        assert_eq!(count(&both, "<circle "), 4);
        // One each, and one in the key to the colours.
        let grey = "fill=\"#9CA3AF\"";
        assert_eq!((count(&alone, grey), count(&both, grey)), (0, 4));
        assert!(both.contains("\nsaved\n"));
    }

    #[test]
    fn marks_stand_where_sizes_and_rates_say() {
        let mut bench = decoding();
        for (point, rate) in bench.points.iter_mut().zip([0.0, 10.0, 20.0, 40.0]) {
            point.gb_per_s = Some(rate);
        }
        bench.roof.value = 80.0;
        let frame = Frame::new(&bench, None).unwrap();
        let x: Vec<i32> = (0..4).map(|i| frame.x(i, &bench.points[i])).collect();
        assert!((x[1] - x[0] - (x[3] - x[2])).abs() <= 1, "sizes double: {x:?}");
        let y: Vec<i32> = [0.0, 40.0, 80.0].into_iter().map(|rate| frame.y(rate)).collect();
        assert!((y[0] - y[1] - (y[1] - y[2])).abs() <= 1 && y[0] > y[2], "{y:?}");
        bench.points.truncate(1);
        assert!(chart(&bench, None).is_ok(), "a single point has an axis too");
        bench.points.clear();
        assert_eq!(
            chart(&bench, None).unwrap_err().to_string(),
            "the chart could not be drawn: it has no points"
        );
    }

    #[test]
    fn lines_of_the_grid_are_few_and_round() {
        for top in [0.003, 0.9, 7.0, 41.0, 340.0, 2000.0, 98_765.0] {
            let lines = top / step(top);
            assert!((4.0..=10.0).contains(&lines), "{top}: {lines}");
        }
        assert_eq!(step(340.0), 50.0);
        assert_eq!([5.0, 31.25, 310.4].map(shown), ["5.00", "31.2", "310"]);
    }
}
