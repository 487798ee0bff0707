//! Curves drawn as SVG: values along a size, a line for each of several models.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use crate::MeasureError;
use crate::chart::{FAINT, GRID, INK, step, style};

/// Lines over one axis of sizes.
#[derive(Clone, Debug, PartialEq)]
pub struct Curves {
    /// What is drawn.
    pub title: String,
    /// What the reader should know of it.
    pub subtitle: String,
    /// The name of the sizes.
    pub x: String,
    /// The name of the values.
    pub y: String,
    /// The lines.
    pub curves: Vec<Curve>,
}

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// Its name.
    pub name: String,
    /// Sizes, which are positive, and values.
    pub points: Vec<(f64, f64)>,
}

const WIDTH: i32 = 920;
const HEIGHT: i32 = 540;
/// Where the plot begins and ends, in pixels.
const LEFT: i32 = 84;
const RIGHT: i32 = 200;
const TOP: i32 = 84;
const BOTTOM: i32 = 64;
/// Colours that people with any colour vision tell apart (Okabe and Ito 2008).
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 0, 0),
];

/// Draws curves over a logarithmic axis of sizes.
///
/// # Errors
/// [`MeasureError::Chart`] when there is no point, a value is not finite, or drawing fails.
pub fn curves(curves: &Curves) -> Result<String, MeasureError> {
    let fail = |problem: String| MeasureError::Chart { problem };
    let points = || curves.curves.iter().flat_map(|curve| &curve.points);
    if points().any(|(x, y)| !x.is_finite() || *x <= 0.0 || !y.is_finite()) {
        return Err(fail("a point has no place on its axes".to_owned()));
    }
    let no_points = || fail("it has no points".to_owned());
    let x = span(points().map(|(x, _)| x.log2())).ok_or_else(no_points)?;
    let y = span(points().map(|(_, y)| *y).chain([0.0])).ok_or_else(no_points)?;
    let mut text = String::new();
    {
        let size = (WIDTH as u32, HEIGHT as u32);
        let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
        draw(&area, curves, x, y).map_err(|e| fail(e.to_string()))?;
        area.present().map_err(|e| fail(e.to_string()))?;
    }
    Ok(text)
}

/// The least and the greatest, which differ.
fn span(values: impl Iterator<Item = f64> + Clone) -> Option<(f64, f64)> {
    let (least, most) = (values.clone().min_by(f64::total_cmp)?, values.max_by(f64::total_cmp)?);
    Some(if least < most { (least, most) } else { (least - 1.0, most + 1.0) })
}

fn draw(
    area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    curves: &Curves,
    (first, last): (f64, f64),
    (least, most): (f64, f64),
) -> Result<(), DrawingAreaErrorKind<std::io::Error>> {
    area.fill(&WHITE)?;
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    let column = |x: f64| {
        LEFT + (f64::from(right - LEFT) * (x.log2() - first) / (last - first)).round() as i32
    };
    let line_at =
        |y: f64| bottom - (f64::from(bottom - TOP) * (y - least) / (most - least)).round() as i32;
    let text = |words: &str, style: &TextStyle<'_>, at| area.draw_text(words, style, at);
    let line = |points: Vec<(i32, i32)>, colour: RGBColor, width: u32| {
        area.draw(&PathElement::new(points, colour.stroke_width(width)))
    };
    text(&curves.title, &style(22, INK, HPos::Left, VPos::Center), (LEFT, 28))?;
    text(&curves.subtitle, &style(16, FAINT, HPos::Left, VPos::Center), (LEFT, 52))?;

    let step = step(most - least);
    let places = if step < 1.0 { (-step.log10()).ceil() as usize } else { 0 };
    for index in (least / step).ceil() as i64..=(most / step).floor() as i64 {
        let y = line_at(index as f64 * step);
        line(vec![(LEFT, y), (right, y)], if index == 0 { FAINT } else { GRID }, 1)?;
        let label = format!("{:.places$}", index as f64 * step);
        text(&label, &style(15, FAINT, HPos::Right, VPos::Center), (LEFT - 8, y))?;
    }
    let upright = style(16, INK, HPos::Center, VPos::Center).transform(FontTransform::Rotate270);
    text(&curves.y, &upright, (22, (TOP + bottom) / 2))?;
    let sizes = curves.curves.iter().map(|curve| &curve.points).max_by_key(|points| points.len());
    for (x, _) in sizes.into_iter().flatten() {
        let at = column(*x);
        line(vec![(at, bottom), (at, bottom + 5)], FAINT, 1)?;
        text(&x.to_string(), &style(15, FAINT, HPos::Center, VPos::Top), (at, bottom + 9))?;
    }
    let axis = format!("{} (logarithmic)", curves.x);
    let middle = (LEFT + right) / 2;
    text(&axis, &style(16, INK, HPos::Center, VPos::Center), (middle, HEIGHT - 18))?;

    for (index, curve) in curves.curves.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let marks: Vec<_> = curve.points.iter().map(|(x, y)| (column(*x), line_at(*y))).collect();
        line(marks.clone(), colour, 2)?;
        for mark in marks {
            area.draw(&Circle::new(mark, 4, colour.filled()))?;
        }
        let y = TOP + 8 + 24 * index as i32;
        line(vec![(right + 16, y), (right + 36, y)], colour, 3)?;
        text(&curve.name, &style(15, INK, HPos::Left, VPos::Center), (right + 42, y))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(points: Vec<(f64, f64)>) -> Curves {
        let word = |text: &str| text.to_owned();
        Curves {
            title: word("title"),
            subtitle: word("subtitle"),
            x: word("n"),
            y: word("percent"),
            curves: vec![Curve { name: word("model"), points }],
        }
    }

    #[test]
    fn every_point_is_drawn_and_zero_is_on_the_axis() {
        let svg = curves(&example(vec![(128.0, -1.0), (256.0, -20.0), (1024.0, -50.0)])).unwrap();
        assert_eq!(svg.matches("<circle ").count(), 3);
        for label in ["128", "1024", "0", "-50", "model", "n (logarithmic)"] {
            assert!(svg.contains(&format!("\n{label}\n")), "{label}: {svg}");
        }
    }

    #[test]
    fn points_without_a_place_are_errors() {
        assert!(curves(&example(vec![])).is_err());
        assert!(curves(&example(vec![(0.0, 1.0)])).is_err());
        assert!(curves(&example(vec![(1.0, f64::NAN)])).is_err());
        assert!(curves(&example(vec![(1.0, 0.0)])).is_ok(), "one point has axes too");
    }
}
