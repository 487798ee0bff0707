//! Windows that slide along an axis: how many results they give, and how many of their taps fall on
//! the input.

use num_traits::{Signed, Zero};
use opledger_dims::{Binding, Integer, Poly};

use crate::{Axis, ShapeError, Support};

/// A window that slides along an axis: tap `k` of result `i` stands at
/// `stride·i + dilation·k − padding.0` of the input, which is longer by `padding` before and after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slide {
    /// Positions from a result to the next, at least 1.
    pub stride: usize,
    /// Positions of padding before and after the input.
    pub padding: (usize, usize),
    /// Positions from a tap to the next, at least 1.
    pub dilation: usize,
}

/// `⌈x / y⌉`.
fn ceil_div(x: &Integer, y: &Integer) -> Integer {
    -floor_div(&-x, y)
}

/// `⌊x / y⌋` for y > 0.
fn floor_div(x: &Integer, y: &Integer) -> Integer {
    let quotient = x / y;
    if (x % y).is_negative() { quotient - 1u32 } else { quotient }
}

/// `Σ_{i<n} ⌊(a·i + b) / m⌋` for numbers that are nowhere negative and m > 0 (Graham, Knuth, Patashnik
/// 1994, §3.5: the sum exchanges its axes as Euclid's algorithm does).
fn floor_sum(mut n: Integer, mut m: Integer, mut a: Integer, mut b: Integer) -> Integer {
    let mut sum = Integer::zero();
    loop {
        sum += &n * (&n - 1u32) / 2u32 * (&a / &m) + &n * (&b / &m);
        (a, b) = (a % &m, b % &m);
        let top = &a * &n + &b;
        if top < m {
            return sum;
        }
        (n, b) = (&top / &m, &top % &m);
        (m, a) = (a, m);
    }
}

impl Slide {
    /// How many results a window has where it lies on the padded input as a whole, or `None` where it
    /// is longer than that: `⌊(input + padding − dilation·(taps − 1) − 1) / stride⌋ + 1`.
    pub(crate) fn results(self, taps: &Integer, input: &Integer) -> Option<Integer> {
        let left = input + self.padding.0 + self.padding.1 - (taps - 1u32) * self.dilation - 1u32;
        (!left.is_negative()).then(|| left / self.stride + 1u32)
    }

    /// What is wrong with the number of results along an axis at a binding, where it is known. With
    /// `partial`, a last window may lie on the padded input in part.
    pub(crate) fn problem(
        self,
        result: &Axis,
        input: &Poly,
        taps: &Poly,
        partial: bool,
        binding: &Binding,
    ) -> Option<String> {
        let at = |poly: &Poly| poly.at(binding).ok();
        let (found, input, taps) = (at(&result.size)?, at(input)?, at(taps)?);
        let apart = match self.dilation {
            1 => String::new(),
            dilation => format!(", {dilation} apart,"),
        };
        let window = format!("a window of {taps} taps{apart}");
        let Some(results) = self.results(&taps, &input) else {
            return Some(format!("{window} is longer than {input} positions and their padding"));
        };
        let most = if partial { self.begun(&taps, &input) } else { results.clone() };
        let axis = &result.name;
        (found != results && found != most).then(|| {
            format!(
                "axis `{axis}` is {found}, but {window} over {input} positions and their padding has \
                 {results} results"
            )
        })
    }

    /// The results where a last window may begin on the padded input and end beyond it, if it begins
    /// before the padding that follows the input.
    fn begun(self, taps: &Integer, input: &Integer) -> Integer {
        let padded = input + self.padding.0 + self.padding.1;
        let left = &padded - (taps - 1u32) * self.dilation - 1u32;
        let results = ceil_div(&left, &self.stride.into()) + 1u32;
        let last = (&results - 1u32) * self.stride;
        if last >= input + self.padding.0 { results - 1u32 } else { results }
    }

    /// One for each axis that all three are given for.
    pub(crate) fn along(
        strides: &[usize],
        padding: &[(usize, usize)],
        dilations: &[usize],
    ) -> Vec<Slide> {
        let each = strides.iter().zip(padding).zip(dilations);
        each.map(|((&stride, &padding), &dilation)| Slide { stride, padding, dilation }).collect()
    }

    /// Checks that windows and taps take steps.
    pub(crate) fn expect_steps(slides: &[Slide]) -> Result<(), ShapeError> {
        match slides.iter().all(|slide| slide.stride > 0 && slide.dilation > 0) {
            true => Ok(()),
            false => Err(ShapeError::Sizes("strides and dilations are at least 1".to_owned())),
        }
    }

    /// What a reader is told of windows where it is not the usual.
    pub(crate) fn detail(slides: &[Slide]) -> Option<String> {
        let each = |of: &dyn Fn(&Slide) -> String| -> String {
            let mut all: Vec<String> = slides.iter().map(of).collect();
            if all.windows(2).all(|pair| pair[0] == pair[1]) {
                all.truncate(1);
            }
            all.join("×")
        };
        let padding = |(before, after): (usize, usize)| match before == after {
            true => before.to_string(),
            false => format!("{before}+{after}"),
        };
        let told = [
            ("stride", "1", each(&|slide| slide.stride.to_string())),
            ("padding", "0", each(&|slide| padding(slide.padding))),
            ("dilation", "1", each(&|slide| slide.dilation.to_string())),
        ];
        let told = told.into_iter().filter(|(_, usual, found)| usual != found);
        let told = told.map(|(name, _, found)| format!("{name} {found}"));
        let told = told.collect::<Vec<_>>().join(", ");
        (!told.is_empty()).then_some(told)
    }

    /// Where a tap of a result stands on the input, if it does.
    pub(crate) fn place(self, result: usize, tap: usize, input: usize) -> Option<usize> {
        let place = (result * self.stride + tap * self.dilation).checked_sub(self.padding.0)?;
        (place < input).then_some(place)
    }

    /// Whether a tap of a result stands on the padded input.
    pub(crate) fn on_padded(self, result: usize, tap: usize, input: usize) -> bool {
        let place = result * self.stride + tap * self.dilation;
        place < self.padding.0 + input + self.padding.1
    }

    /// The taps that fall on the input, and the results that have such a tap, in closed form.
    ///
    /// Places below an end are counted row by row of a lattice; the results that meet the input are
    /// neighbours where the taps are no farther apart than it is long, else each has one tap on it at
    /// most.
    pub(crate) fn support(
        self,
        results: &Integer,
        taps: &Integer,
        input: &Integer,
    ) -> (Integer, Integer) {
        let zero = Integer::zero();
        let [stride, before, dilation] =
            [self.stride, self.padding.0, self.dilation].map(Integer::from);
        let clip = |x: Integer, most: &Integer| x.max(zero.clone()).min(most.clone());
        // Pairs (i, k) of a result and a tap with stride·i + dilation·k < end.
        let below = |end: &Integer| -> Integer {
            let last = clip(ceil_div(end, &dilation), taps);
            let full = (results - 1u32) * &stride;
            let full = clip(ceil_div(&(end - full), &dilation), &last);
            let rows = &last - &full;
            if results.is_zero() || rows.is_zero() {
                return full * results;
            }
            // ⌈(end − dilation·k) / stride⌉, the last tap first.
            let first = end - (&last - 1u32) * &dilation + &stride - 1u32;
            full * results + floor_sum(rows, stride.clone(), dilation.clone(), first)
        };
        let end = &before + input;
        let pairs = below(&end) - below(&before);
        let rows = if dilation >= *input {
            pairs.clone()
        } else {
            let reach = &before - (taps - 1u32) * &dilation;
            let first = clip(ceil_div(&reach, &stride), results);
            clip(ceil_div(&end, &stride), results) - first
        };
        (pairs, if taps.is_zero() { zero } else { rows.max(Integer::zero()) })
    }

    /// Whether each window of so many taps without gaps has one on the input, whatever its size, where none
    /// reaches beyond the padding: there is not room for a window on padding alone, nor on both sides of nothing.
    pub(crate) fn always_meets(self, taps: &Poly) -> bool {
        let around = self.padding.0 + self.padding.1;
        self.dilation == 1
            && taps.as_integer().is_some_and(|taps| Integer::from(around as u64) < taps)
    }

    /// What support has no need of a symbol: that of numbers, and, where the window lies on the input
    /// as a whole, that of all taps.
    pub(crate) fn plain_support(
        self,
        results: &Poly,
        taps: &Poly,
        input: &Poly,
        whole: bool,
    ) -> Option<Support> {
        let all = || Support { pairs: results * taps, rows: results.clone() };
        if self.stride == 0 || self.dilation == 0 {
            // Refused when it is recorded.
            return Some(all());
        }
        if let (Some(r), Some(k), Some(s)) =
            (results.as_integer(), taps.as_integer(), input.as_integer())
        {
            let (pairs, rows) = self.support(&r, &k, &s);
            return Some(Support { pairs: pairs.into(), rows: rows.into() });
        }
        (whole && self.padding == (0, 0)).then(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use num_traits::One;

    #[test]
    fn windows_wider_than_the_padding_always_meet_the_input() {
        let mut met = 0;
        for (before, after, taps) in
            (0..4).flat_map(|b| (0..4).flat_map(move |a| (1..6_usize).map(move |k| (b, a, k))))
        {
            for (stride, dilation) in [(1, 1), (2, 1), (3, 1), (1, 2)] {
                let slide = Slide { stride, padding: (before, after), dilation };
                if !slide.always_meets(&Poly::from(taps as u64)) {
                    continue;
                }
                for input in 0..9_usize {
                    let room = (input + before + after).checked_sub(taps);
                    let results = room.map_or(0, |room| room / stride + 1);
                    let (_, rows) = slide.support(&results.into(), &taps.into(), &input.into());
                    assert_eq!(rows, results.into(), "{slide:?} {taps} {input}");
                    met += 1;
                }
            }
        }
        assert!(met > 100);
    }

    #[test]
    fn closed_form_counts_the_taps_on_the_input() {
        for [stride, dilation] in [[1, 1], [1, 2], [2, 1], [3, 2], [2, 5], [4, 3]] {
            for before in 0..5 {
                let slide = Slide { stride, padding: (before, 0), dilation };
                for (results, taps, input) in
                    (0..7).flat_map(|r| (0..5).flat_map(move |k| (0..9).map(move |s| (r, k, s))))
                {
                    let on_input = |i| (0..taps).filter_map(move |k| slide.place(i, k, input));
                    let counts = (0..results).map(|i| on_input(i).count());
                    let pairs: usize = counts.clone().sum();
                    let rows = counts.filter(|count| *count > 0).count();
                    let closed = slide.support(&results.into(), &taps.into(), &input.into());
                    let expected = (pairs.into(), rows.into());
                    assert_eq!(closed, expected, "{slide:?}: {results} of {taps} over {input}");
                }
            }
        }
    }

    #[test]
    fn results_are_those_whose_window_lies_on_the_padded_input() {
        for (stride, dilation, taps, input) in
            (1..4).flat_map(|s| (1..4).flat_map(move |d| (1..4).map(move |k| (s, d, k, 7 + k))))
        {
            let slide = Slide { stride, padding: (1, 2), dilation };
            let fits = |i: &usize| i * stride + dilation * (taps - 1) < input + 3;
            let results = (0..input + 3).take_while(fits).count();
            let closed = slide.results(&taps.into(), &input.into());
            assert_eq!(closed, Some(results.into()), "{slide:?}: {taps} over {input}");
        }
        let slide = Slide { stride: 2, padding: (1, 0), dilation: 3 };
        assert_eq!(slide.results(&3.into(), &5.into()), None);
        assert_eq!(slide.results(&3.into(), &6.into()), Some(Integer::one()));
    }
}
