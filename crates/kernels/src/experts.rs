//! Products of rows by the weights of the experts chosen for them.

use opledger_dims::Class;
use rayon::prelude::*;

use crate::buffer::Buffer;
use crate::error::{KernelError, exactly};
use crate::gemm::{Gemm, MatrixBatch, Right, gemm};
use crate::gemv::{VectorBlock, count_dots};
use crate::isa::{Isa, isa};
use crate::meter::{Meter, Tally};
use crate::number::Number;
use crate::number::simd::SUMS;

/// Rows, the experts chosen for each, and the experts' weights.
#[derive(Clone, Copy, Debug)]
pub struct Experts<'a, T = f32> {
    /// The rows, `[rows, terms]`.
    pub x: &'a [T],
    /// Experts chosen for a row.
    pub choices: usize,
    /// The experts chosen for each row, `[rows, choices]`, each in `0..experts`.
    pub ids: &'a [i64],
    /// A matrix for each expert, `[experts, width, terms]`.
    pub weight: &'a [T],
    /// Experts.
    pub experts: usize,
    /// Columns of the result.
    pub width: usize,
    /// Terms of each dot product.
    pub terms: usize,
}

/// Rows of an expert that are multiplied at once: their copies stay small beside its weight.
const ROWS: usize = 256;
/// Rows of an expert up to which its weight is read as it comes from memory, not packed.
const FEW: usize = 8;
/// Elements of the weight that a task reads then, at least.
const TASK: usize = 1 << 18;

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
        exactly("weight", weight.len(), &[experts, width, terms])?;
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
/// Counts `terms` multiplications and `terms - 1` additions per element. Executed are, for few rows,
/// what registers hold: terms in sixteens of four elements at a time, and the sums of their lanes;
/// else as [`gemm`](crate::gemm()) says.
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
    let isa = isa()?;
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
        let weight = &weight[expert * width * terms..][..width * terms];
        if last.replace(expert) != Some(expert) {
            read += weight.len();
        }
        let products = &mut products[..m * width];
        let columns = if m <= FEW { columns(terms).min(width) } else { width };
        if m <= FEW {
            few(isa, [m, columns, terms], &rows, weight, products, meter);
        } else {
            let b = MatrixBatch { data: weight, offsets: &[0], row_stride: 1, col_stride: terms };
            let a = MatrixBatch { data: &rows, offsets: &[0], row_stride: terms, col_stride: 1 };
            let problem = Gemm { batch: 1, m, k: terms, n: width, a, b: Right::Plain(b) };
            gemm(&problem, products, meter)?;
        }
        // The products stand in blocks of so many columns.
        for (block, products) in products.chunks(m * columns).enumerate() {
            let columns = block * columns..block * columns + products.len() / m;
            for (product, place) in products.chunks_exact(columns.len()).zip(places) {
                out[place * width..][columns.clone()].copy_from_slice(product);
            }
        }
    }
    rows.keep();
    products.keep();
    Ok(read)
}

/// Columns of a task that takes few rows.
fn columns(terms: usize) -> usize {
    TASK.div_ceil(terms).next_multiple_of(SUMS)
}

/// Multiplies `m` rows by a weight `[…, terms]` into blocks of columns, each `[m, columns]`.
fn few<T: Number, M: Meter>(
    isa: Isa,
    [m, columns, terms]: [usize; 3],
    rows: &[T],
    weight: &[T],
    products: &mut [T],
    meter: &M,
) {
    let blocks = products.par_chunks_mut(m * columns).zip(weight.par_chunks(columns * terms));
    blocks.for_each(|(products, weight)| {
        let vectors: Vec<&[T]> = weight.chunks_exact(terms).collect();
        let stride = vectors.len();
        VectorBlock { vectors: &vectors, rows: m, stride, ahead: SUMS * terms }
            .dots(isa, rows, products);
        if M::ON {
            let mut tally = Tally::default();
            tally.useful(Class::Mul, products.len() * terms);
            tally.useful(Class::Add, products.len() * (terms - 1));
            count_dots::<T>(isa, m * stride.div_ceil(SUMS), terms, &mut tally);
            meter.record(&tally);
        }
    });
}
