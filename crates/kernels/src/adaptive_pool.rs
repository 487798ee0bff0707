//! Pooling over windows that cover an axis, so many of them.

use std::ops::Range;

use opledger_dims::Class;

use crate::error::{KernelError, exactly};
use crate::meter::Meter;
use crate::number::Number;
use crate::strided::larger;
use crate::tasks::over_rows;

/// Writes, for each of `items` inputs `[input…]` of `x`, the greatest element of each window, or with
/// `mean` the mean of its elements, into `out`, contiguous `[items, results…]`. Each of the one to three
/// axes comes with its positions and its results; window i of r over s positions goes from ⌊i·s/r⌋ to
/// ⌈(i + 1)·s/r⌉.
///
/// One max or add fewer than a window has elements, and for a mean one div. Executed are two comparisons
/// for each, one of which looks for NaN.
///
/// # Errors
/// [`KernelError::Shape`] for no axis or more than three; a length error if a slice disagrees;
/// [`KernelError::EmptyReduction`] if a window is empty.
pub fn adaptive_pool<T: Number, M: Meter>(
    mean: bool,
    items: usize,
    axes: &[[usize; 2]],
    x: &[T],
    out: &mut [T],
    meter: &M,
) -> Result<(), KernelError> {
    if axes.is_empty() || axes.len() > 3 {
        return Err(KernelError::Shape { what: "1 to 3 axes are pooled along" });
    }
    let mut three = [[1, 1]; 3];
    three[3 - axes.len()..].copy_from_slice(axes);
    let [input, results] = [three.map(|axis| axis[0]), three.map(|axis| axis[1])];
    let sizes = |axes: [usize; 3]| [&[items][..], &axes[..]].concat();
    exactly("input", x.len(), &sizes(input))?;
    exactly("output", out.len(), &sizes(results))?;
    if out.is_empty() {
        return Ok(());
    }
    if input.contains(&0) {
        return Err(KernelError::EmptyReduction { what: "a window" });
    }
    let windows = three.map(|[input, results]| windows(input, results));
    let [all, size] = [results, input].map(|sizes| sizes.iter().product::<usize>());
    over_rows(out, all, size.div_ceil(all), meter, |first, out, tally| {
        for (item, out) in out.chunks_exact_mut(all).enumerate() {
            let x = &x[(first + item) * size..][..size];
            let mut results = out.iter_mut();
            let mut taps = 0;
            for planes in &windows[0] {
                for rows in &windows[1] {
                    for columns in &windows[2] {
                        let Some(out) = results.next() else { return };
                        let lines = planes.clone().flat_map(|plane| {
                            rows.clone().map(move |row| (plane * input[1] + row) * input[2])
                        });
                        let elements =
                            lines.flat_map(|line| columns.clone().map(move |at| x[line + at]));
                        let count = planes.len() * rows.len() * columns.len();
                        let join = |a: T, b: T| if mean { a + b } else { larger(a, b) };
                        let joined = elements.reduce(join).unwrap_or(T::of(0.0));
                        *out = if mean { joined / T::of(count as f32) } else { joined };
                        taps += count;
                    }
                }
            }
            if mean {
                tally.both(Class::Add, taps - all);
                tally.both(Class::Div, all);
            } else {
                tally.useful(Class::Max, taps - all);
                tally.executed(Class::Max, 2 * (taps - all));
            }
        }
    });
    Ok(())
}

/// The windows of an axis.
fn windows(input: usize, results: usize) -> Vec<Range<usize>> {
    let edge = |at: usize| at as u128 * input as u128;
    let all = results as u128;
    let start = |at| (edge(at) / all) as usize;
    (0..results).map(|at| start(at)..edge(at + 1).div_ceil(all) as usize).collect()
}
