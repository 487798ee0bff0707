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
pub(crate) mod unpacked;

use std::ops::Range;

use opledger_dims::Class;
use rayon::prelude::*;

pub use epilogue::{Epilogue, GemmMeters};
use epilogue::{GemmTallies, OutputBlock};
use few_rows::{FEW_ROWS, FewRows};
use matrix::{Dims, Matrix};
use microkernel::{NR, NR_HALF, Next, PanelProduct};
pub use packed::{Order, PackedMatrix, Packing};
use packing::{pack, pack_panel};
use unpacked::{SWEPT, product, sweeps};

use crate::buffer::Buffer;
use crate::elements::{Elements, for_elements, widen};
use crate::error::{KernelError, exactly, reaches};
use crate::isa::{Isa, isa};
use crate::meter::{Meter, Tally};
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
    let cut = Cut::new([batch, m, k, width], &source);
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

/// The columns of one task.
#[derive(Clone, Copy)]
enum Panels<'a, T> {
    Packed(Elements<'a, T>),
    Plain(Matrix<'a, T>),
}

/// Computes a block of `C`, whose rows are `stride` apart, by a right factor in panels; counts what it
/// executes.
///
/// # Safety
/// The block's rows are valid for reads and writes and reached by nobody else meanwhile.
pub(crate) unsafe fn product_of_panels<T: Number>(
    isa: Isa,
    dims: Dims,
    a: Matrix<'_, T>,
    panels: &[T],
    (c, stride): (*mut T, usize),
    tally: &mut Tally,
) {
    let block = OutputBlock { c, rows: dims.m, cols: dims.n, stride, offset: 0, col: 0 };
    let mut tallies = GemmTallies::default();
    let panels = Panels::Packed(Elements::F32(panels));
    // SAFETY: by contract.
    unsafe { over_panels(isa, dims, a, panels, &Epilogue::default(), block, &mut tallies) };
    for (class, number) in tallies.product.executed.nonzero() {
        tally.executed[class] += *number;
    }
}

/// Computes a block of `C` panel by panel.
///
/// # Safety
/// The block's rows are valid for reads and writes and reached by nobody else meanwhile.
unsafe fn over_panels<T: Number>(
    isa: Isa,
    Dims { m, k, n }: Dims,
    a: Matrix<'_, T>,
    b: Panels<'_, T>,
    epilogue: &Epilogue<'_, T>,
    block: OutputBlock<T>,
    tallies: &mut GemmTallies,
) {
    if let Panels::Packed(panels) = b
        && m <= FEW_ROWS
    {
        // SAFETY: by contract.
        return unsafe { few_rows(isa, Dims { m, k, n }, a, panels, epilogue, block, tallies) };
    }
    // Few rows take each panel while it is hot; many keep all panels close for the next rows.
    let group = if m <= MC { NR } else { n };
    let scratch = match b {
        Panels::Packed(Elements::F32(_)) => 0,
        Panels::Packed(_) | Panels::Plain(_) => k.min(KC) * group.next_multiple_of(NR),
    };
    let mut packed = Buffer::take(scratch);
    let mut edge = Buffer::take(if n.is_multiple_of(NR) { 0 } else { m.min(MC) * NR });
    // Terms of A that lie far apart are brought together for all panels.
    let apart = a.row == 1 && a.col > m.min(MC) && n > NR && isa != Isa::SCALAR;
    let mut together = Buffer::take(if apart { m.min(MC) * k.min(KC) } else { 0 });
    let gather = |rows: Range<usize>, terms: Range<usize>, out: &mut [T]| {
        for (out, term) in out.chunks_exact_mut(rows.len()).zip(terms) {
            out.copy_from_slice(&a.from(rows.start, term).data[..rows.len()]);
        }
    };
    for term in (0..k).step_by(KC) {
        let terms = KC.min(k - term);
        if apart && m <= MC {
            gather(0..m, term..term + terms, &mut together);
        }
        for first in (0..n).step_by(group) {
            let width = group.min(n - first);
            for col in (0..width).step_by(NR).filter(|_| scratch > 0) {
                let out = &mut packed[col * terms..][..NR * terms];
                match b {
                    Panels::Packed(panels) => {
                        widen(panels.from((first + col) * k + term * NR), out);
                    }
                    Panels::Plain(b) => {
                        pack_panel(isa, b.from(term, first + col), terms, NR.min(width - col), out);
                    }
                }
            }
            for row in (0..m).step_by(MC) {
                let rows = MC.min(m - row);
                if apart && m > MC {
                    gather(row..row + rows, term..term + terms, &mut together);
                }
                let a = match apart {
                    true => Matrix { data: &together, row: 1, col: rows },
                    false => a.from(row, term),
                };
                for col in (0..width).step_by(NR) {
                    let panel = match b {
                        Panels::Packed(Elements::F32(panels)) => {
                            &panels[(first + col) * k + term * NR..]
                        }
                        Panels::Packed(_) | Panels::Plain(_) => &packed[col * terms..],
                    };
                    let offset = row * block.stride + first + col;
                    let cols = NR.min(width - col);
                    // The panel after this one, where few rows are done with theirs soon.
                    let next = match b {
                        Panels::Packed(panels) if m <= SOON => {
                            let at = first + col + NR;
                            let (at, term) = match term + terms {
                                _ if at < n => (at, term),
                                term if term < k => (0, term),
                                _ => (n.next_multiple_of(NR), 0),
                            };
                            following(panels, at * k + term * NR, terms * NR)
                        }
                        Panels::Packed(_) | Panels::Plain(_) => Next::NOTHING,
                    };
                    let product = PanelProduct {
                        m: rows,
                        k: terms,
                        n: if cols <= NR_HALF { NR_HALF } else { NR },
                        a: a.data,
                        a_row: a.row,
                        a_term: a.col,
                        b: &panel[..terms * NR],
                        add: term > 0,
                        far: true,
                        next,
                    };
                    // SAFETY: these rows and columns lie inside the block.
                    let block = unsafe { block.part(offset, product.m, first + col, cols) };
                    // SAFETY: the block is a part of the whole, by contract.
                    unsafe {
                        if isa == Isa::SCALAR {
                            portable(product, block, &mut tallies.product);
                        } else {
                            product.count(&mut tallies.product);
                            into_block(isa, product, block, &mut edge);
                        }
                        if term + terms == k {
                            epilogue.apply(isa, block, tallies);
                        }
                    }
                }
            }
        }
    }
    packed.keep();
    edge.keep();
    together.keep();
}

/// The elements of a panel that may lie behind all panels: they are only brought closer.
fn following<T>(panels: Elements<'_, T>, from: usize, elements: usize) -> Next {
    for_elements!(panels, panels => Next::new(panels.as_ptr().wrapping_add(from), elements))
}

/// A product by `matrixmultiply`, which reads the panel as a matrix.
///
/// # Safety
/// As [`over_panels`].
unsafe fn portable<T: Number>(
    product: PanelProduct<'_, T>,
    block: OutputBlock<T>,
    tally: &mut Tally,
) {
    let PanelProduct { m, k, a, a_row, a_term, b, add, .. } = product;
    let sizes = [m, k, block.cols];
    // SAFETY: the panel has `k` rows, and so many of `A` were asked for; C by contract.
    unsafe {
        T::foreign_product(
            sizes,
            None,
            (a, [a_row, a_term]),
            (b, [NR, 1]),
            add,
            block.c,
            block.stride,
        );
    }
    count_panel(m * k * block.cols, tally);
}

/// [`over_panels`] for few rows: each panel in turn, as it comes from memory.
///
/// # Safety
/// As there.
unsafe fn few_rows<T: Number>(
    isa: Isa,
    Dims { m, k, n }: Dims,
    a: Matrix<'_, T>,
    panels: Elements<'_, T>,
    epilogue: &Epilogue<'_, T>,
    block: OutputBlock<T>,
    tallies: &mut GemmTallies,
) {
    let mut edge = [T::of(0.0); FEW_ROWS * NR];
    for first in (0..n).step_by(NR) {
        let cols = NR.min(n - first);
        let width = if cols <= NR_HALF { NR_HALF } else { NR };
        // SAFETY: these columns lie inside the block.
        let block = unsafe { block.part(first, m, first, cols) };
        let (to, stride) =
            if cols == width { (block.c, block.stride) } else { (edge.as_mut_ptr(), NR) };
        for_elements!(panels.from(first * k), panel => {
            let b = &panel[..k * NR];
            let product = FewRows { m, k, n: width, a: a.data, a_row: a.row, a_term: a.col, b };
            // SAFETY: the rows are those of the block, by contract, or of `edge`.
            unsafe { product.into_rows(isa, to, stride) };
        });
        count_panel(m * k * width, &mut tallies.product);
        // SAFETY: the block is a part of the whole, by contract.
        unsafe {
            if cols < width {
                for (i, edge) in edge.chunks_exact(NR).take(m).enumerate() {
                    std::ptr::copy_nonoverlapping(
                        edge.as_ptr(),
                        block.c.add(i * block.stride),
                        cols,
                    );
                }
            }
            epilogue.apply(isa, block, tallies);
        }
    }
}

/// Computes a product into a block, by way of `edge` where the block is narrower than the panel.
///
/// # Safety
/// As [`over_panels`].
unsafe fn into_block<T: Number>(
    isa: Isa,
    product: PanelProduct<'_, T>,
    block: OutputBlock<T>,
    edge: &mut [T],
) {
    if block.cols == product.n {
        // SAFETY: by contract.
        return unsafe { product.into_rows(isa, block.c, block.stride) };
    }
    let rows = || {
        // SAFETY: by contract; one row is used at a time.
        (0..block.rows).map(|i| unsafe {
            std::slice::from_raw_parts_mut(block.c.add(i * block.stride), block.cols)
        })
    };
    if product.add {
        for (edge, row) in edge.chunks_exact_mut(NR).zip(rows()) {
            edge[..block.cols].copy_from_slice(row);
        }
    }
    product.into(isa, edge, NR);
    for (edge, row) in edge.chunks_exact(NR).zip(rows()) {
        row.copy_from_slice(&edge[..block.cols]);
    }
}

impl<T> PanelProduct<'_, T> {
    /// Counts what computing it executes.
    pub(crate) fn count(&self, tally: &mut Tally) {
        count_panel(self.m * self.k * self.n, tally);
    }
}

/// Counts fused multiply-adds.
fn count_panel(terms: usize, tally: &mut Tally) {
    tally.executed(Class::Mul, terms);
    tally.executed(Class::Add, terms);
}

/// Columns below which panels would be mostly empty.
const FEW_COLUMNS: usize = 8;
/// Terms that are summed before the next panel.
const KC: usize = 1024;
/// Rows of `C` per task where the panels are shared: with their `KC` terms of `A` they stay in the
/// second-level cache.
const MC: usize = 96;
/// Rows up to which the memory is asked for the next panel all along: more take longer by a panel than it
/// takes to come.
const SOON: usize = 48;
/// Elements of B that are packed at once for all rows, `k` rows of `NC` columns.
const WAVE: usize = 1 << 21;
/// Multiplications below which one task takes several batch items, or no smaller cut is made.
const TASK: usize = 1 << 19;
/// Columns that are not cut where rows of B are read as they are stored: memory delivers long pieces
/// faster.
const WIDE: usize = 384;
/// Multiplications below which no other thread is started.
const SERIAL: usize = 1 << 18;
/// Tasks aimed at.
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
    fn new<T>([batch, m, k, n]: [usize; 4], source: &Source<'_, T>) -> Cut {
        let item = m.saturating_mul(k).saturating_mul(n);
        if item < TASK {
            return Cut { items: (TASK / item.max(1)).clamp(1, batch), rows: m, cols: n };
        }
        let rows = match source {
            Source::Panels(_) => m.min(MC),
            // Each cut of rows would pack the same columns again.
            Source::Plain(_) => m,
            Source::Direct(_) => m.min(256),
        };
        let narrowest = match source {
            Source::Direct(b) if b.col_stride == 1 && m <= SWEPT => WIDE,
            _ => NR,
        };
        let mut cut = Cut { items: 1, rows, cols: n };
        let tasks = |cut: &Cut| {
            batch.saturating_mul(m.div_ceil(cut.rows)).saturating_mul(n.div_ceil(cut.cols))
        };
        while tasks(&cut) < TASKS
            && cut.cols > narrowest
            && cut.rows.saturating_mul(k).saturating_mul(cut.cols) > TASK
        {
            cut.cols = (cut.cols / 2).next_multiple_of(NR);
        }
        cut
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_products_are_cut_and_small_items_grouped() {
        let data = vec![0.0; 1];
        let cut = |batch, m, k, n, packed: bool| {
            let plain = MatrixBatch { data: &data, offsets: &[0], row_stride: 0, col_stride: 0 };
            let panels = Source::Panels(Elements::F32(&data));
            let source = if packed { panels } else { Source::Plain(plain) };
            Cut::new([batch, m, k, n], &source)
        };
        let large = cut(1, 4096, 512, 512, true);
        assert!(4096_usize.div_ceil(large.rows) * 512_usize.div_ceil(large.cols) >= TASKS);
        let row = cut(1, 1, 4096, 4096, true);
        assert!(4096 / row.cols >= TASKS && row.rows == 1);
        let small = cut(1000, 8, 8, 8, false);
        assert_eq!((small.items, small.rows, small.cols), (1000, 8, 8));
        let items = cut(3, 1000, 512, 512, false);
        assert_eq!((items.items, items.rows), (1, 1000));
    }
}
