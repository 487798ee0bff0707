//! A block of `C` by a right factor in panels.

use opledger_dims::Class;

use super::epilogue::{Epilogue, GemmTallies, OutputBlock};
use super::few_rows::{FEW_ROWS, FewRows};
use super::matrix::{Dims, Matrix};
use super::microkernel::{Left, NR, NR_HALF, Next, PanelProduct, strips};
use super::packing::pack_panel;
use crate::buffer::Buffer;
use crate::elements::{Elements, for_elements, widen};
use crate::isa::Isa;
use crate::meter::Tally;
use crate::number::Number;

/// Terms that are summed before the next panel.
const KC: usize = 1024;
/// Rows of `C` per task where the panels are shared: with their `KC` terms of `A` they stay in the
/// second-level cache.
pub(super) const MC: usize = 96;
/// Rows up to which the memory is asked for the next panel all along: more take longer by a panel than it
/// takes to come.
const SOON: usize = 48;
/// Terms of blocks that few rows widen at once: they stay in the first-level cache.
const WIDENED: usize = 64;

/// The columns of one task.
#[derive(Clone, Copy)]
pub(super) enum Panels<'a, T> {
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
pub(super) unsafe fn over_panels<T: Number>(
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
    let apart = is_apart(isa, a, m, n);
    let mut together = Buffer::take(if apart { m.min(MC) * k.min(KC) } else { 0 });
    for term in (0..k).step_by(KC) {
        let terms = KC.min(k - term);
        if apart && m <= MC {
            strips(isa, a, m, term..term + terms, &mut together);
        }
        for first in (0..n).step_by(group) {
            let width = group.min(n - first);
            for col in (0..width).step_by(NR).filter(|_| scratch > 0) {
                let out = &mut packed[col * terms..][..NR * terms];
                match b {
                    Panels::Packed(panels) => {
                        let panel = panels.from((first + col) * k + term * NR);
                        widen(isa, panel, out, &mut tallies.product);
                    }
                    Panels::Plain(b) => {
                        pack_panel(isa, b.from(term, first + col), terms, NR.min(width - col), out);
                    }
                }
            }
            for row in (0..m).step_by(MC) {
                let rows = MC.min(m - row);
                if apart && m > MC {
                    strips(isa, a.from(row, 0), rows, term..term + terms, &mut together);
                }
                let left = match apart {
                    true => Left::Strips(&together),
                    false => Left::Stored(a.from(row, term)),
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
                        a: left,
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
                            portable(product, a.from(row, term), block, &mut tallies.product);
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
    for_elements!(panels,
    panels => Next::new(panels.as_ptr().wrapping_add(from), elements),
    blocks => {
        let [from, bytes] = [from, elements].map(|x| x / blocks.of.elements() * blocks.of.bytes());
        Next::new(blocks.bytes.as_ptr().wrapping_add(from), bytes)
    })
}

/// A product by `matrixmultiply`, which reads the panel as a matrix.
///
/// # Safety
/// As [`over_panels`].
unsafe fn portable<T: Number>(
    product: PanelProduct<'_, T>,
    a: Matrix<'_, T>,
    block: OutputBlock<T>,
    tally: &mut Tally,
) {
    let PanelProduct { m, k, b, add, .. } = product;
    let sizes = [m, k, block.cols];
    // SAFETY: the panel has `k` rows, and so many of `A` were asked for; C by contract.
    unsafe {
        T::foreign_product(
            sizes,
            None,
            (a.data, [a.row, a.col]),
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
    let mut wide = [T::of(0.0); WIDENED * NR];
    for first in (0..n).step_by(NR) {
        let cols = NR.min(n - first);
        let width = if cols <= NR_HALF { NR_HALF } else { NR };
        // SAFETY: these columns lie inside the block.
        let block = unsafe { block.part(first, m, first, cols) };
        let (to, stride) =
            if cols == width { (block.c, block.stride) } else { (edge.as_mut_ptr(), NR) };
        let Matrix { data, row: a_row, col: a_term } = a;
        for_elements!(panels.from(first * k),
        panel => {
            let (b, add) = (&panel[..k * NR], false);
            let product = FewRows { m, k, n: width, a: data, a_row, a_term, b, add };
            // SAFETY: the rows are those of the block, by contract, or of `edge`.
            unsafe { product.into_rows(isa, to, stride) };
        },
        blocks => for term in (0..k).step_by(WIDENED) {
            let terms = WIDENED.min(k - term);
            let b = &mut wide[..terms * NR];
            blocks.rows(isa, term, b, &mut tallies.product);
            let (a, add) = (&data[term * a_term..], term > 0);
            let product = FewRows { m, k: terms, n: width, a, a_row, a_term, b, add };
            // SAFETY: as above; where the sums begin with them, they were written before.
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

/// Whether terms of `A` lie so far apart that rows are brought together for all columns of a task.
pub(super) fn is_apart<T>(isa: Isa, a: Matrix<'_, T>, m: usize, n: usize) -> bool {
    a.row == 1 && a.col > m.min(MC) && n > NR && isa != Isa::SCALAR
}

/// Counts fused multiply-adds.
fn count_panel(terms: usize, tally: &mut Tally) {
    tally.executed(Class::Mul, terms);
    tally.executed(Class::Add, terms);
}
