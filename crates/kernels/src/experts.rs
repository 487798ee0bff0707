//! Products of rows by the weights of the experts chosen for them.

use crate::buffer::Buffer;
use crate::error::{KernelError, exactly};
use crate::gemm::{Gemm, MatrixBatch, PackedMatrix, Right, gemm};
use crate::meter::Meter;
use crate::number::Number;

/// A matrix for each expert.
#[derive(Clone, Copy, Debug)]
pub enum ExpertMatrices<'a, T = f32> {
    /// `[experts, width, terms]`, as they are stored.
    Plain(&'a [T]),
    /// Each packed as `terms×width`.
    Packed(&'a [PackedMatrix<T>]),
}

/// Rows, the experts chosen for each, and the experts' weights.
#[derive(Clone, Copy, Debug)]
pub struct Experts<'a, T = f32> {
    /// The rows, `[rows, terms]`.
    pub x: &'a [T],
    /// Experts chosen for a row.
    pub choices: usize,
    /// The experts chosen for each row, `[rows, choices]`, each in `0..experts`.
    pub ids: &'a [i64],
    /// A matrix for each expert.
    pub weight: ExpertMatrices<'a, T>,
    /// Experts.
    pub experts: usize,
    /// Columns of the result.
    pub width: usize,
    /// Terms of each dot product.
    pub terms: usize,
}

/// Rows of an expert that are multiplied at once: their copies stay small beside its weight.
const ROWS: usize = 256;

impl<T: Number> Experts<'_, T> {
    fn check(&self, out: &[T]) -> Result<(), KernelError> {
        let &Experts { x, choices, ids, weight, experts, width, terms } = self;
        exactly("output", out.len(), &[ids.len(), width])?;
        if out.is_empty() {
            return Ok(());
        }
        if terms == 0 {
            return Err(KernelError::EmptyReduction { what: "terms" });
        }
        exactly("ids", ids.len(), &[x.len() / terms, choices])?;
        exactly("x", x.len(), &[ids.len() / choices, terms])?;
        match weight {
            ExpertMatrices::Plain(weight) => {
                exactly("weight", weight.len(), &[experts, width, terms])?;
            }
            ExpertMatrices::Packed(weights) => {
                exactly("weights", weights.len(), &[experts])?;
                if weights.iter().any(|weight| weight.shape() != [terms, width]) {
                    return Err(KernelError::Shape { what: "each packed weight is terms×width" });
                }
            }
        }
        let outside = |id: &i64| usize::try_from(*id).map_or(true, |id| id >= experts);
        match ids.iter().position(outside) {
            Some(position) => {
                Err(KernelError::IdOutOfRange { id: ids[position], position, bound: experts })
            }
            None => Ok(()),
        }
    }
}

/// Multiplies each row by the transposed matrix of each expert chosen for it, into `out`,
/// `[rows, choices, width]`. The rows of an expert are multiplied together; the matrix of an expert
/// that nobody chose is not read. Returns how many elements of the matrices were read, each once.
///
/// Counts as [`gemm`](crate::gemm()) does for the rows of each expert.
///
/// # Errors
/// [`KernelError::IdOutOfRange`] for the first id that names no expert;
/// [`KernelError::EmptyReduction`] if there are no terms; [`KernelError::Length`] if a slice
/// disagrees.
pub fn experts<T: Number, M: Meter>(
    problem: &Experts<'_, T>,
    out: &mut [T],
    meter: &M,
) -> Result<usize, KernelError> {
    problem.check(out)?;
    if out.is_empty() {
        return Ok(0);
    }
    let &Experts { x, choices, ids, weight, width, terms, .. } = problem;
    let mut by_expert: Vec<usize> = (0..ids.len()).collect();
    // A stable sort: the rows of an expert stay in their order.
    by_expert.sort_by_key(|place| ids[*place]);
    let of_one = || by_expert.chunk_by(|a, b| ids[*a] == ids[*b]).flat_map(|one| one.chunks(ROWS));
    let most = of_one().map(<[usize]>::len).max().unwrap_or(0);
    let (mut rows, mut products) = (Buffer::take(most * terms), Buffer::take(most * width));
    let (mut read, mut last) = (0, None);
    for places in of_one() {
        for (row, place) in rows.chunks_exact_mut(terms).zip(places) {
            row.copy_from_slice(&x[place / choices * terms..][..terms]);
        }
        let (m, expert) = (places.len(), ids[places[0]] as usize);
        if last.replace(expert) != Some(expert) {
            read += width * terms;
        }
        let products = &mut products[..m * width];
        let b = match weight {
            ExpertMatrices::Plain(weight) => Right::Plain(MatrixBatch {
                data: &weight[expert * width * terms..][..width * terms],
                offsets: &[0],
                row_stride: 1,
                col_stride: terms,
            }),
            ExpertMatrices::Packed(weights) => Right::Packed(&weights[expert]),
        };
        let a = MatrixBatch { data: &rows, offsets: &[0], row_stride: terms, col_stride: 1 };
        gemm(&Gemm { batch: 1, m, k: terms, n: width, a, b }, products, meter)?;
        for (product, place) in products.chunks_exact(width).zip(places) {
            out[place * width..][..width].copy_from_slice(product);
        }
    }
    rows.keep();
    products.keep();
    Ok(read)
}
