//! Outer products of rows, added up by the expert chosen for them.

use opledger_dims::Class;

use crate::buffer::Buffer;
use crate::error::{KernelError, exactly};
use crate::gemm::{Gemm, MatrixBatch, Right, gemm};
use crate::meter::Meter;
use crate::number::Number;
use crate::tasks::over_rows;

/// Two rows for each choice, and the expert chosen.
#[derive(Clone, Copy, Debug)]
pub struct OuterProducts<'a, T = f32> {
    /// The first rows, `[rows, choices, width]`.
    pub y: &'a [T],
    /// The experts chosen for each row, `[rows, choices]`, each in `0..experts`.
    pub ids: &'a [i64],
    /// The second rows, `[rows, terms]`.
    pub x: &'a [T],
    /// Experts chosen for a row.
    pub choices: usize,
    /// Experts.
    pub experts: usize,
    /// Elements of a first row.
    pub width: usize,
    /// Elements of a second row.
    pub terms: usize,
}

/// Choices of an expert that are multiplied at once: their copies stay small beside its result.
const ROWS: usize = 256;

impl<T: Number> OuterProducts<'_, T> {
    fn check(&self, out: &[T]) -> Result<(), KernelError> {
        let &OuterProducts { y, ids, x, choices, experts, width, terms } = self;
        exactly("output", out.len(), &[experts, width, terms])?;
        exactly("y", y.len(), &[ids.len(), width])?;
        let rows = ids.len().checked_div(choices).unwrap_or(0);
        exactly("ids", ids.len(), &[rows, choices])?;
        exactly("x", x.len(), &[rows, terms])?;
        let outside = |id: &i64| usize::try_from(*id).map_or(true, |id| id >= experts);
        match ids.iter().position(outside) {
            Some(position) => {
                Err(KernelError::IdOutOfRange { id: ids[position], position, bound: experts })
            }
            None => Ok(()),
        }
    }
}

/// Adds the outer product of both rows of each choice to the matrix of its expert in `out`,
/// `[experts, width, terms]`, which begins as zeros. The choices of an expert are multiplied together.
///
/// Counts as [`gemm`](crate::gemm()) does for the choices of each expert that are multiplied at once, and
/// an add for each element of their product.
///
/// # Errors
/// [`KernelError::IdOutOfRange`] for the first id that names no expert; [`KernelError::Length`] if a
/// slice disagrees.
pub fn experts_outer<T: Number, M: Meter>(
    problem: &OuterProducts<'_, T>,
    out: &mut [T],
    meter: &M,
) -> Result<(), KernelError> {
    problem.check(out)?;
    out.fill(T::of(0.0));
    let &OuterProducts { y, ids, x, choices, width, terms, .. } = problem;
    if out.is_empty() {
        return Ok(());
    }
    let mut by_expert: Vec<usize> = (0..ids.len()).collect();
    // A stable sort: the choices of an expert stay in their order.
    by_expert.sort_by_key(|place| ids[*place]);
    let of_one = || by_expert.chunk_by(|a, b| ids[*a] == ids[*b]).flat_map(|one| one.chunks(ROWS));
    let most = of_one().map(<[usize]>::len).max().unwrap_or(0);
    let [mut first, mut second, mut product] =
        [most * width, most * terms, width * terms].map(Buffer::take);
    for places in of_one() {
        let rows = first.chunks_exact_mut(width).zip(second.chunks_exact_mut(terms));
        for ((first, second), place) in rows.zip(places) {
            first.copy_from_slice(&y[place * width..][..width]);
            second.copy_from_slice(&x[place / choices * terms..][..terms]);
        }
        let a = MatrixBatch { data: &first, offsets: &[0], row_stride: 1, col_stride: width };
        let b = MatrixBatch { data: &second, offsets: &[0], row_stride: terms, col_stride: 1 };
        let (k, b) = (places.len(), Right::Plain(b));
        let product = &mut product[..width * terms];
        gemm(&Gemm { batch: 1, m: width, k, n: terms, a, b }, product, meter)?;
        let expert = ids[places[0]] as usize;
        let matrix = &mut out[expert * width * terms..][..width * terms];
        over_rows(matrix, terms, 1, meter, |row, rows, tally| {
            for (sum, term) in rows.iter_mut().zip(&product[row * terms..]) {
                *sum += *term;
            }
            tally.both(Class::Add, rows.len());
        });
    }
    first.keep();
    second.keep();
    product.keep();
    Ok(())
}
