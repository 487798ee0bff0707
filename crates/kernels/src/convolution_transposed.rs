//! Transposed convolution: lines of the input, each times a tap, added to lines of the result.

use opledger_dims::Class;

use crate::convolution::Convolution;
use crate::error::{KernelError, exactly};
use crate::isa::{isa, vectorised};
use crate::meter::Meter;
use crate::number::Number;
use crate::sliding::SlidingAxis;
use crate::tasks::over_rows;

/// Computes `out[b, o, r…] = Σ x[b, i, …] · weight[i, o, k…]` over the elements and taps that fall on each
/// result, into `out`, contiguous `[batch, groups·outputs, results…]`, where `weight` is
/// `[groups·inputs, outputs, taps…]`. Along each axis the window slides over the result: its `input` is the
/// length of the result, its `results` that of `x`.
///
/// One mul and one add for each channel of the input, element and tap that fall on the result.
///
/// # Errors
/// [`KernelError::Shape`] for no axis or more than three, or steps of nothing; a length error if a
/// slice disagrees.
pub fn convolution_transposed<T: Number, M: Meter>(
    problem: &Convolution<'_, T>,
    out: &mut [T],
    meter: &M,
) -> Result<(), KernelError> {
    let isa = isa()?;
    let &Convolution { batch, groups, inputs, outputs, axes, x, weight } = problem;
    let axes = SlidingAxis::three(axes)?;
    let [result, taps, input] =
        [axes.map(|axis| axis.input), axes.map(|axis| axis.taps), axes.map(|axis| axis.results)];
    let sizes = |first: [usize; 3], axes: [usize; 3]| [&first[..], &axes[..]].concat();
    exactly("input", x.len(), &sizes([batch, groups, inputs], input))?;
    exactly("weight", weight.len(), &sizes([groups, inputs, outputs], taps))?;
    exactly("output", out.len(), &sizes([batch, groups, outputs], result))?;
    if out.is_empty() {
        return Ok(());
    }
    let [planes, rows, row] = axes;
    let [size, all, window] = [input, result, taps].map(|sizes| sizes.iter().product::<usize>());
    over_rows(out, all, inputs * window, meter, |first, out, tally| {
        for (at, out) in out.chunks_exact_mut(all).enumerate() {
            let (item, output) = ((first + at) / outputs, (first + at) % outputs);
            let group = item % groups;
            out.fill(T::of(0.0));
            let mut products = 0;
            for channel in 0..inputs {
                let x = &x[(item * inputs + channel) * size..][..size];
                let of_weight = (group * inputs + channel) * outputs + output;
                let weight = &weight[of_weight * window..][..window];
                for (line, x) in x.chunks_exact(row.results.max(1)).enumerate() {
                    let (plane, line) = (line / rows.results, line % rows.results);
                    for k0 in planes.inside(plane) {
                        for k1 in rows.inside(line) {
                            let to = planes.place(plane, k0) * rows.input + rows.place(line, k1);
                            let out = &mut out[to * row.input..][..row.input];
                            let weight = &weight[(k0 * rows.taps + k1) * row.taps..][..row.taps];
                            for (tap, weight) in weight.iter().enumerate() {
                                let reached = row.reached(tap);
                                if reached.is_empty() {
                                    continue;
                                }
                                let out = &mut out[row.place(reached.start, tap)..];
                                products += reached.len();
                                add_line(isa, &x[reached], *weight, row.stride, out);
                            }
                        }
                    }
                }
            }
            tally.both(Class::Mul, products);
            tally.both(Class::Add, products);
        }
    });
    Ok(())
}

vectorised! {
    fn add_line[T: Number](x: &[T], weight: T, stride: usize, out: &mut [T]) {
        if stride == 1 {
            for (out, x) in out.iter_mut().zip(x) {
                *out = weight.mul_add(*x, *out);
            }
        } else {
            for (out, x) in out.iter_mut().step_by(stride).zip(x) {
                *out = weight.mul_add(*x, *out);
            }
        }
    }
}
