//! Batched strided matrix products: the loops around the microkernel, packing and epilogue.
//!
//! `B` is packed into panels of `NR` columns, `A` is read in place. A task computes some columns of `C`,
//! `KC` terms and `MC` rows at a time, panel by panel, and applies the epilogue to what is finished. A factor
//! that is packed before in 16 bits is widened panel by panel, or, for few rows, as it is loaded. Few rows or
//! columns of what is not packed go to the loops that pack nothing.

mod epilogue;
pub(crate) mod few_rows;
pub(crate) mod matrix;
pub(crate) mod microkernel;
mod packed;
pub(crate) mod packing;
mod panels;
mod task_block;
pub(crate) mod unpacked;

use std::ops::Range;

use opledger_dims::Class;
use rayon::prelude::*;

pub use epilogue::{Epilogue, GemmMeters};
use epilogue::{GemmTallies, OutputBlock};
use matrix::{Dims, Matrix};
use microkernel::NR;
pub use packed::{Order, PackedMatrix, Packing};
use packing::pack;
pub(crate) use panels::product_of_panels;
use panels::{MC, Panels, is_apart, over_panels};
use task_block::TaskBlock;
use unpacked::{product, sweeps};

use crate::buffer::Buffer;
use crate::elements::Elements;
use crate::error::{KernelError, exactly, reaches};
use crate::isa::{Isa, isa};
use crate::meter::Meter;
use crate::number::Number;
use crate::tasks::Shared;

/// A matrix for each item of a batch, inside one slice.
#[derive(Clone, Copy, Debug)]
pub struct MatrixBatch<'a, T = f32> {
    /// The slice that holds every matrix.
    pub data: &'a [T],
    /// Where each batch item starts, in elements; a single offset is shared by all items.
    pub offsets: &'a [usize],
    /// Elements from a row to the next.
    pub row_stride: usize,
    /// Elements from a column to the next.
    pub col_stride: usize,
}

impl<'a, T: Number> MatrixBatch<'a, T> {
    fn item(&self, item: usize) -> Matrix<'a, T> {
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

/// The right factors of a [`Gemm`].
#[derive(Clone, Copy, Debug)]
pub enum Right<'a, T = f32> {
    /// As they are stored.
    Plain(MatrixBatch<'a, T>),
    /// One for all items, packed before.
    Packed(&'a PackedMatrix<T>),
}

/// `C[i] = A[i]·B[i]` for each item `i` of a batch: `A` is `m×k`, `B` is `k×n`.
#[derive(Clone, Copy, Debug)]
pub struct Gemm<'a, T = f32> {
    /// Items of the batch.
    pub batch: usize,
    /// Rows of `A` and `C`.
    pub m: usize,
    /// Terms of each dot product.
    pub k: usize,
    /// Columns of `B` and `C`.
    pub n: usize,
    /// The left factors, `m×k` each.
    pub a: MatrixBatch<'a, T>,
    /// The right factors, `k×n` each.
    pub b: Right<'a, T>,
}

impl<T: Number> Gemm<'_, T> {
    /// Whether the right factor is brought into panels, so that a [`PackedMatrix`] saves work: not for
    /// few rows by a factor whose rows are contiguous, nor for a single one, which read it once as it
    /// is stored; nor for few columns, since registers hold sixteen, filled or not; nor without vector
    /// registers, where `matrixmultiply` computes the product.
    ///
    /// # Errors
    /// When `OPLEDGER_ISA` asks for an instruction set the machine lacks.
    pub fn packs(&self) -> Result<bool, KernelError> {
        let isa = isa()?;
        Ok(match self.b {
            Right::Packed(_) => true,
            Right::Plain(b) => {
                let contiguous = b.col_stride == 1 && b.offsets.len() == self.batch;
                let read_once = self.m == 1 || contiguous && sweeps(isa, self.m, self.n);
                isa != Isa::SCALAR && !read_once && self.n >= FEW_COLUMNS
            }
        })
    }

    fn check(&self, epilogue: &Epilogue<'_, T>, c: &[T]) -> Result<(), KernelError> {
        let &Gemm { batch, m, k, n, a, b } = self;
        exactly("C", c.len(), &[batch, m, n])?;
        if let Some(bias) = epilogue.bias {
            exactly("bias", bias.len(), &[n])?;
        }
        if let Some(residual) = epilogue.residual {
            exactly("residual", residual.len(), &[batch, m, n])?;
        }
        if c.is_empty() {
            return Ok(());
        }
        if k == 0 {
            return Err(KernelError::EmptyReduction { what: "k" });
        }
        // Terms are brought together, so the slices must have as many.
        let still = matches!(b, Right::Plain(b) if b.row_stride == 0) || a.col_stride == 0;
        if k > 1 && still {
            return Err(KernelError::Shape { what: "the summed axis has a stride" });
        }
        a.check("A", batch, m, k)?;
        match b {
            Right::Plain(b) => b.check("B", batch, k, n),
            Right::Packed(b) if b.shape() == [k, n] => Ok(()),
            Right::Packed(_) => Err(KernelError::Shape { what: "the packed B is k×n" }),
        }
    }
}

/// Computes a batch of matrix products into `c`, contiguous `[batch, m, n]`.
///
/// Counts `k` multiplications and `k - 1` additions per element of `c`, block by block. Executed are
/// `k` fused multiply-adds per element, of the columns that registers hold, in sixteens, or what the
/// lanes of a dot product do; what `matrixmultiply` does, where it computes the product, is not seen,
/// and counts as `k` multiplications and additions per element.
///
/// # Errors
/// [`KernelError::EmptyReduction`] if `k` is zero and `c` is not empty; a length or reach error if
/// a slice does not hold its matrices; [`KernelError::Shape`] for a wrong number of offsets, terms of
/// stride zero, or a packed matrix of another shape.
pub fn gemm<T: Number, M: Meter>(
    problem: &Gemm<'_, T>,
    c: &mut [T],
    meter: &M,
) -> Result<(), KernelError> {
    gemm_with(problem, &Epilogue::default(), c, &GemmMeters::all(meter))
}

/// As [`gemm`], and applies an [`Epilogue`] to each block while it is in the cache.
///
/// # Errors
/// As [`gemm`], and a length error if the bias or the residual has another shape.
pub fn gemm_with<T: Number, M: Meter>(
    problem: &Gemm<'_, T>,
    epilogue: &Epilogue<'_, T>,
    c: &mut [T],
    meters: &GemmMeters<'_, M>,
) -> Result<(), KernelError> {
    let isa = isa()?;
    problem.check(epilogue, c)?;
    if c.is_empty() {
        return Ok(());
    }
    let &Gemm { batch, m, k, n, b, .. } = problem;
    let direct = !problem.packs()?;
    let whole = Shared::new(c);
    match b {
        Right::Packed(packed) => {
            run(problem, Source::Panels(packed.panels()), 0..n, epilogue, &whole, meters, isa);
        }
        Right::Plain(b) if direct => {
            run(problem, Source::Direct(b), 0..n, epilogue, &whole, meters, isa);
        }
        Right::Plain(b) if b.offsets.len() > 1 || batch * m <= MC => {
            run(problem, Source::Plain(b), 0..n, epilogue, &whole, meters, isa);
        }
        Right::Plain(b) => {
            // Some columns after the other, packed for all rows.
            let wave = (WAVE / k / NR).max(1) * NR;
            let mut panels = Buffer::take(wave.min(n.next_multiple_of(NR)) * k);
            for first in (0..n).step_by(wave) {
                let columns = first..n.min(first + wave);
                let used = columns.len().next_multiple_of(NR) * k;
                pack(isa, b.item(0).from(0, first), k, columns.len(), &mut panels[..used]);
                let panels = Source::Panels(Elements::F32(&panels));
                run(problem, panels, columns, epilogue, &whole, meters, isa);
            }
            panels.keep();
        }
    }
    Ok(())
}

/// Computes some columns of all items.
fn run<T: Number, M: Meter>(
    problem: &Gemm<'_, T>,
    source: Source<'_, T>,
    columns: Range<usize>,
    epilogue: &Epilogue<'_, T>,
    whole: &Shared<'_, T>,
    meters: &GemmMeters<'_, M>,
    isa: Isa,
) {
    let &Gemm { batch, m, k, n, .. } = problem;
    let width = columns.len();
    let apart = is_apart(isa, problem.a.item(0), m, width);
    let cut = TaskBlock::new([batch, m, k, width], &source, apart);
    let (row_cuts, col_cuts) = (m.div_ceil(cut.rows), width.div_ceil(cut.cols));
    let task = |task: usize| {
        // Neighbouring tasks share the columns of B.
        let (rest, row_cut) = (task / row_cuts, task % row_cuts);
        let (group, col_cut) = (rest / col_cuts, rest % col_cuts);
        let (row, first) = (row_cut * cut.rows, col_cut * cut.cols);
        let col = columns.start + first;
        let dims = Dims { m: cut.rows.min(m - row), k, n: cut.cols.min(width - first) };
        let mut tallies = GemmTallies::default();
        for item in group * cut.items..batch.min((group + 1) * cut.items) {
            let offset = (item * m + row) * n + col;
            let c = whole.pointer(offset);
            let a = problem.a.item(item).from(row, 0);
            let block = OutputBlock { c, rows: dims.m, cols: dims.n, stride: n, offset, col };
            // SAFETY: the block of `c` lies inside it, and each block belongs to one task.
            unsafe {
                let mut over = |b| over_panels(isa, dims, a, b, epilogue, block, &mut tallies);
                match source {
                    Source::Panels(panels) => over(Panels::Packed(panels.from(first * k))),
                    Source::Plain(b) => over(Panels::Plain(b.item(item).from(0, col))),
                    Source::Direct(b) => {
                        let b = b.item(item).from(0, col);
                        let tally = &mut tallies.product;
                        product(isa, dims, None, a, b, false, c, n, tally);
                        epilogue.apply(isa, block, &mut tallies);
                    }
                }
            }
            tallies.product.useful(Class::Mul, dims.m * dims.n * k);
            tallies.product.useful(Class::Add, dims.m * dims.n * (k - 1));
        }
        tallies.record(meters);
    };
    let tasks = batch.div_ceil(cut.items) * row_cuts * col_cuts;
    let work = batch.saturating_mul(m).saturating_mul(k).saturating_mul(width);
    if tasks == 1 || work <= SERIAL {
        (0..tasks).for_each(task);
    } else {
        (0..tasks).into_par_iter().with_max_len(1).for_each(task);
    }
}

/// Where the tasks find the right factor.
enum Source<'a, T> {
    /// The panels of the columns at work, which all tasks share.
    Panels(Elements<'a, T>),
    /// As stored; each task packs the panels it needs.
    Plain(MatrixBatch<'a, T>),
    /// As stored, and read so.
    Direct(MatrixBatch<'a, T>),
}

/// Columns below which panels would be mostly empty.
const FEW_COLUMNS: usize = 8;
/// Elements of B that are packed at once for all rows, `k` rows of `NC` columns.
const WAVE: usize = 1 << 21;
/// Multiplications below which no other thread is started.
const SERIAL: usize = 1 << 18;
