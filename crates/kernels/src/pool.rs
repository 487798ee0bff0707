//! Pooling: the maximum or the mean of a window that slides along axes.

use opledger_dims::Class;

use crate::error::{KernelError, exactly};
use crate::isa::{isa, vectorised};
use crate::meter::{Meter, Tally};
use crate::number::Number;
use crate::sliding::SlidingAxis;
use crate::strided::larger;
use crate::tasks::over_rows;

/// What becomes of a window; of its taps on padding nothing but, where it is said, their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling<'a> {
    /// Its greatest element, NaN if any is: one max fewer than taps.
    Max,
    /// The mean of the elements on the input: one add fewer than taps, and one div.
    Mean,
    /// The same over the number of taps on the input and its padding, which goes on so many positions
    /// after the input along each axis.
    MeanWithPadding(&'a [usize]),
}

/// Pools each of `items` inputs `[input…]` of `x` into `out`, contiguous `[items, results…]`.
///
/// Executed are, for each tap on the input, two comparisons, one of which looks for NaN, or one
/// addition, the first to the least number or to zero.
///
/// # Errors
/// [`KernelError::Shape`] for no axis or more than three, or steps of nothing; a length error if a
/// slice disagrees; [`KernelError::EmptyReduction`] if a window lies on padding alone.
pub fn pool<T: Number, M: Meter>(
    pooling: Pooling<'_>,
    items: usize,
    axes: &[SlidingAxis],
    x: &[T],
    out: &mut [T],
    meter: &M,
) -> Result<(), KernelError> {
    let isa = isa()?;
    let three = SlidingAxis::three(axes)?;
    let [input, results] = [three.map(|axis| axis.input), three.map(|axis| axis.results)];
    let sizes = |axes: [usize; 3]| [&[items][..], &axes[..]].concat();
    exactly("input", x.len(), &sizes(input))?;
    exactly("output", out.len(), &sizes(results))?;
    if out.is_empty() {
        return Ok(());
    }
    let alone = |axis: &SlidingAxis| (0..axis.results).any(|at| axis.inside(at).is_empty());
    if three.iter().any(alone) {
        return Err(KernelError::EmptyReduction { what: "a window" });
    }
    let mut after = [0; 3];
    if let Pooling::MeanWithPadding(more) = pooling {
        exactly("padding", more.len(), &[axes.len()])?;
        after[3 - more.len()..].copy_from_slice(more);
    }
    // The number of taps of each result along each axis that a mean divides by.
    let divisors: [Vec<usize>; 3] = std::array::from_fn(|at| {
        let axis = three[at];
        let counted = |result| match pooling {
            Pooling::Max | Pooling::Mean => axis.inside(result).len(),
            Pooling::MeanWithPadding(_) => axis.on_padded(result, after[at]),
        };
        (0..axis.results).map(counted).collect()
    });
    let [planes, rows, row] = three;
    let [size, results] = [input, results].map(|sizes| sizes.iter().product::<usize>());
    let window: usize = three.iter().map(|axis| axis.taps).product();
    let begin = if pooling == Pooling::Max { f32::NEG_INFINITY } else { 0.0 };
    over_rows(out, results, window, meter, |first, out, tally| {
        for (item, out) in out.chunks_exact_mut(results).enumerate() {
            let x = &x[(first + item) * size..][..size];
            out.fill(T::of(begin));
            for (line, out) in out.chunks_exact_mut(row.results).enumerate() {
                let (plane, line) = (line / rows.results, line % rows.results);
                let mut taps = 0;
                for k0 in planes.inside(plane) {
                    for k1 in rows.inside(line) {
                        let at = planes.place(plane, k0) * rows.input + rows.place(line, k1);
                        let x = &x[at * row.input..][..row.input];
                        for tap in 0..row.taps {
                            let reached = row.reached(tap);
                            if reached.is_empty() {
                                continue;
                            }
                            let x = &x[row.place(reached.start, tap)..];
                            let out = &mut out[reached];
                            taps += out.len();
                            match pooling {
                                Pooling::Max => join(isa, x, row.stride, out, larger),
                                Pooling::Mean | Pooling::MeanWithPadding(_) => {
                                    join(isa, x, row.stride, out, |sum, x| sum + x);
                                }
                            }
                        }
                    }
                }
                if pooling != Pooling::Max {
                    let of_line = divisors[0][plane] * divisors[1][line];
                    for (out, along) in out.iter_mut().zip(&divisors[2]) {
                        *out = *out / T::of((of_line * along) as f32);
                    }
                }
                count(pooling, taps, out.len(), tally);
            }
        }
    });
    Ok(())
}

/// Counts what a line of results of so many taps takes.
fn count(pooling: Pooling<'_>, taps: usize, results: usize, tally: &mut Tally) {
    match pooling {
        Pooling::Max => {
            tally.useful(Class::Max, taps - results);
            tally.executed(Class::Max, 2 * taps);
        }
        Pooling::Mean | Pooling::MeanWithPadding(_) => {
            tally.useful(Class::Add, taps - results);
            tally.executed(Class::Add, taps);
            tally.both(Class::Div, results);
        }
    }
}

vectorised! {
    fn join[T: Number, F: Fn(T, T) -> T](x: &[T], stride: usize, out: &mut [T], f: F) {
        if stride == 1 {
            for (out, x) in out.iter_mut().zip(x) {
                *out = f(*out, *x);
            }
        } else {
            for (out, x) in out.iter_mut().zip(x.iter().step_by(stride)) {
                *out = f(*out, *x);
            }
        }
    }
}
