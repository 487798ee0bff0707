//! Modules within modules, each as wide as its share: a flame graph that hangs from the top.

use crate::ChartError;
use crate::palette::{FAINT, INK, TINTS};
use crate::svg::{LABEL, Svg, TextStyle};

const WIDTH: i32 = 1200;
const MARGIN: i32 = 24;
const TOP: i32 = 84;
const ROW: i32 = 24;
/// Of a character of a label, about.
const CHARACTER: i32 = 7;

/// Stacks of modules under a title.
#[derive(Clone, Debug, PartialEq)]
pub struct FlameChart {
    /// What is drawn.
    pub title: String,
    /// What the widths are.
    pub subtitle: String,
    /// The stacks; those of one module stand side by side in their order.
    pub stacks: Vec<FlameStack>,
}

/// A module by the modules around it, the outermost first.
#[derive(Clone, Debug, PartialEq)]
pub struct FlameStack {
    /// Their names.
    pub frames: Vec<String>,
    /// How wide it is; nothing below zero.
    pub value: f64,
}

#[derive(Default)]
struct Frame {
    name: String,
    value: f64,
    inner: Vec<Frame>,
}

impl Frame {
    fn add(&mut self, frames: &[String], value: f64) {
        self.value += value;
        let Some((first, rest)) = frames.split_first() else { return };
        let at = self.inner.iter().position(|own| own.name == *first).unwrap_or_else(|| {
            self.inner.push(Frame { name: first.clone(), ..Frame::default() });
            self.inner.len() - 1
        });
        self.inner[at].add(rest, value);
    }

    fn depth(&self) -> i32 {
        1 + self.inner.iter().map(Frame::depth).max().unwrap_or(0)
    }
}

/// How a frame is drawn.
#[derive(Clone, Copy)]
struct Place {
    left: f64,
    row: i32,
    tint: usize,
}

impl FlameChart {
    /// The chart as SVG.
    ///
    /// # Errors
    /// When there is nothing to draw, or a value is not finite.
    pub fn svg(&self) -> Result<String, ChartError> {
        let mut root = Frame { name: "all".to_owned(), ..Frame::default() };
        for stack in &self.stacks {
            if !stack.value.is_finite() {
                return Err(ChartError::off_axis(&self.title, stack.value));
            }
            if stack.value > 0.0 {
                root.add(&stack.frames, stack.value);
            }
        }
        if root.value <= 0.0 {
            return Err(ChartError::empty(&self.title));
        }
        let height = TOP + ROW * root.depth() + MARGIN;
        let mut svg = Svg::new(WIDTH, height, &self.title);
        svg.words(&self.title, TextStyle::new(17, INK), (MARGIN, 28));
        svg.words(&self.subtitle, TextStyle::new(12, FAINT), (MARGIN, 54));
        let scale = f64::from(WIDTH - 2 * MARGIN) / root.value;
        draw(&mut svg, &root, Place { left: 0.0, row: 0, tint: 0 }, scale, root.value);
        Ok(svg.finish())
    }
}

fn draw(svg: &mut Svg, frame: &Frame, place: Place, scale: f64, all: f64) {
    let Place { left, row, tint } = place;
    let at = |value: f64| MARGIN + (value * scale).round() as i32;
    let (begin, end) = (at(left), at(left + frame.value));
    // What is less than a pixel wide is within what stands above it.
    if end <= begin {
        return;
    }
    let y = TOP + ROW * row;
    let told = format!("{}: {:.1} %", frame.name, 100.0 * frame.value / all);
    svg.told_rectangle(
        (begin, y),
        ((end - 1).max(begin + 1), y + ROW - 2),
        TINTS[tint % TINTS.len()],
        &told,
    );
    let room = ((end - begin - 8) / CHARACTER).max(0) as usize;
    let label = [told, frame.name.clone()].into_iter().find(|text| text.chars().count() <= room);
    if let Some(label) = label {
        svg.words(&label, LABEL, (begin + 4, y + ROW / 2 - 1));
    }
    let mut left = left;
    for (number, inner) in frame.inner.iter().enumerate() {
        // Modules side by side have colours of their own, and what is deep in them theirs.
        let tint = if row < 4 { tint + number } else { tint };
        draw(svg, inner, Place { left, row: row + 1, tint }, scale, all);
        left += inner.value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(stacks: &[(&str, f64)]) -> FlameChart {
        let stack = |(path, value): &(&str, f64)| FlameStack {
            frames: path.split('.').map(str::to_owned).collect(),
            value: *value,
        };
        let (title, subtitle) = ("a title".to_owned(), "in pieces".to_owned());
        FlameChart { title, subtitle, stacks: stacks.iter().map(stack).collect() }
    }

    #[test]
    fn frames_are_as_wide_as_their_shares_and_within_each_other() {
        let svg = chart(&[("a.b", 3.0), ("c", 4.0), ("a.d", 1.0), ("e", 1e-9)]).svg().unwrap();
        let frames: Vec<(i32, i32, &str)> = svg
            .lines()
            .filter_map(|line| {
                let (_, title) =
                    line.split_once("<title>").filter(|_| line.starts_with("<rect "))?;
                let of = |key: &str| {
                    let (_, rest) = line.split_once(&format!(" {key}=\"")).unwrap();
                    rest.split('"').next().unwrap().parse::<i32>().unwrap()
                };
                Some((of("x"), of("width") + 1, title.split(':').next().unwrap()))
            })
            .collect();
        let whole = WIDTH - 2 * MARGIN;
        let expected = [
            (MARGIN, whole, "all"),
            (MARGIN, whole / 2, "a"),
            (MARGIN, whole * 3 / 8, "b"),
            (MARGIN + whole * 3 / 8, whole / 8, "d"),
            (MARGIN + whole / 2, whole / 2, "c"),
        ];
        assert_eq!(frames, expected, "{svg}");
        assert!(svg.contains("<title>a: 50.0 %</title>"), "{svg}");
    }

    #[test]
    fn nothing_and_what_has_no_end_are_errors() {
        let told = |stacks: &[(&str, f64)]| chart(stacks).svg().unwrap_err().to_string();
        assert_eq!(told(&[("a", 0.0)]), "`a title` has nothing to draw");
        assert_eq!(told(&[("a", f64::NAN)]), "`a title`: NaN has no place on its axis");
    }
}
