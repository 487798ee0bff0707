//! Batched strided matrix product.

use opledger_dims::Class;
use rayon::prelude::*;

use crate::error::{KernelError, exactly, reaches};
use crate::isa::isa;
use crate::meter::{Meter, Tally};
use crate::product::{Dims, Matrix, product};
use crate::tasks::Shared;

/// A matrix for each item of a batch, inside one slice.
#[derive(Clone, Copy, Debug)]
pub struct Operand<'a> {
    /// The slice that holds every matrix.
    pub data: &'a [f32],
    /// Where each batch item starts, in elements; a single offset is shared by all items.
    pub offsets: &'a [usize],
    /// Elements from a row to the next.
    pub row_stride: usize,
    /// Elements from a column to the next.
    pub col_stride: usize,
}

impl<'a> Operand<'a> {
    fn item(&self, item: usize) -> Matrix<'a> {
        let offset = self.offsets[if self.offsets.len() == 1 { 0 } else { item }];
        Matrix { data: &self.data[offset..], row: self.row_stride, col: self.col_stride }
    }

    fn check(
        &self,
        what: &'static str,
        batch: usize,
        rows: usize,
        cols: usize,
    ) -> Result<(), KernelError> {
        if self.offsets.len() != 1 && self.offsets.len() != batch {
            return Err(KernelError::Shape { what: "one offset, or one per batch item" });
        }
        let last = self.offsets.iter().copied().max().unwrap_or(0);
        let axes = [(rows, self.row_stride), (cols, self.col_stride)];
        reaches(what, self.data.len(), last, &axes)
    }
}

/// `C[i] = A[i]·B[i]` for each item `i` of a batch: `A` is `m×k`, `B` is `k×n`.
#[derive(Clone, Copy, Debug)]
pub struct Gemm<'a> {
    /// Items of the batch.
    pub batch: usize,
    /// Rows of `A` and `C`.
    pub m: usize,
    /// Terms of each dot product.
    pub k: usize,
    /// Columns of `B` and `C`.
    pub n: usize,
    /// The left factors, `m×k` each.
    pub a: Operand<'a>,
    /// The right factors, `k×n` each.
    pub b: Operand<'a>,
}

/// Multiplications below which one task takes several batch items.
const TASK: usize = 1 << 19;
/// Multiplications below which no other thread is started.
const SERIAL: usize = 1 << 17;
/// Rows and columns of `C` per task: at most, and at least when cut for parallelism.
const ROWS: (usize, usize) = (256, 64);
const COLS: (usize, usize) = (1024, 64);
/// Tasks aimed at in a large product.
const TASKS: usize = 32;

/// The part of `C` that a task computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cut {
    items: usize,
    rows: usize,
    cols: usize,
}

impl Cut {
    /// Depends on the sizes alone; `k` is never cut.
    fn new(batch: usize, m: usize, k: usize, n: usize) -> Cut {
        let item = m.saturating_mul(k).saturating_mul(n);
        if item < TASK {
            return Cut { items: (TASK / item.max(1)).clamp(1, batch), rows: m, cols: n };
        }
        let mut cut = Cut { items: 1, rows: m.min(ROWS.0), cols: n.min(COLS.0) };
        let tasks = |cut: &Cut| {
            batch.saturating_mul(m.div_ceil(cut.rows)).saturating_mul(n.div_ceil(cut.cols))
        };
        while tasks(&cut) < TASKS && cut.rows.saturating_mul(k).saturating_mul(cut.cols) > TASK {
            if cut.rows > ROWS.1 && cut.rows * 2 > cut.cols {
                cut.rows = (cut.rows / 2).max(ROWS.1).next_multiple_of(16);
            } else if cut.cols > COLS.1 {
                cut.cols = (cut.cols / 2).max(COLS.1).next_multiple_of(16);
            } else {
                break;
            }
        }
        cut
    }
}

/// Computes a batch of matrix products into `c`, contiguous `[batch, m, n]`.
///
/// Counts `k` multiplications and `k - 1` additions per element of `c`, block by block.
///
/// # Errors
/// [`KernelError::EmptyReduction`] if `k` is zero and `c` is not empty; a length or reach error if
/// a slice does not hold its matrices; [`KernelError::Shape`] for a wrong number of offsets.
pub fn gemm<M: Meter>(problem: &Gemm<'_>, c: &mut [f32], meter: &M) -> Result<(), KernelError> {
    let &Gemm { batch, m, k, n, a, b } = problem;
    let isa = isa()?;
    exactly("C", c.len(), &[batch, m, n])?;
    if c.is_empty() {
        return Ok(());
    }
    if k == 0 {
        return Err(KernelError::EmptyReduction { what: "k" });
    }
    a.check("A", batch, m, k)?;
    b.check("B", batch, k, n)?;

    let cut = Cut::new(batch, m, k, n);
    let (row_cuts, col_cuts) = (m.div_ceil(cut.rows), n.div_ceil(cut.cols));
    let shared = Shared::new(c);
    let task = |task: usize| {
        // Neighbouring tasks share the columns of B.
        let (rest, row_cut) = (task / row_cuts, task % row_cuts);
        let (group, col_cut) = (rest / col_cuts, rest % col_cuts);
        let (row, col) = (row_cut * cut.rows, col_cut * cut.cols);
        let dims = Dims { m: cut.rows.min(m - row), k, n: cut.cols.min(n - col) };
        let mut tally = Tally::default();
        for item in group * cut.items..batch.min((group + 1) * cut.items) {
            let left = a.item(item).from(row, 0);
            let right = b.item(item).from(0, col);
            let target = shared.pointer((item * m + row) * n + col);
            // SAFETY: the block of `c` lies inside it, and each block belongs to one task.
            unsafe { product(isa, dims, 1.0, left, right, 0.0, target, n) };
            tally.both(Class::Mul, dims.m * dims.n * k);
            tally.both(Class::Add, dims.m * dims.n * (k - 1));
        }
        if M::ON {
            meter.record(&tally);
        }
    };
    let tasks = batch.div_ceil(cut.items) * row_cuts * col_cuts;
    let work = batch.saturating_mul(m).saturating_mul(k).saturating_mul(n);
    if tasks == 1 || work <= SERIAL {
        (0..tasks).for_each(task);
    } else {
        (0..tasks).into_par_iter().with_max_len(1).for_each(task);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_products_are_cut_and_small_items_grouped() {
        let cut = Cut::new(1, 4096, 512, 512);
        assert!(4096_usize.div_ceil(cut.rows) * 512_usize.div_ceil(cut.cols) >= TASKS);
        let cut = Cut::new(1, 1, 4096, 4096);
        assert!(4096 / cut.cols >= TASKS && cut.rows == 1);
        let cut = Cut::new(1000, 8, 8, 8);
        assert_eq!((cut.items, cut.rows, cut.cols), (1000, 8, 8));
        assert_eq!(Cut::new(3, 1000, 512, 512).items, 1);
    }
}
