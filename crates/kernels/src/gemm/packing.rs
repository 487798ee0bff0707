//! Packing: columns of a matrix side by side in the panels that the microkernel reads.

use rayon::prelude::*;

use super::matrix::Matrix;
use super::microkernel::NR;
use crate::isa::{Isa, Level};
use crate::number::Number;
use crate::tasks::Shared;

/// Elements below which packing starts no other thread.
const SERIAL: usize = 1 << 16;

/// Packs all columns of a matrix: panel `i` is elements `i·k·NR..` of `out`.
pub(crate) fn pack<T: Number>(isa: Isa, b: Matrix<'_, T>, k: usize, n: usize, out: &mut [T]) {
    let panel = |(index, out): (usize, &mut [T])| {
        let col = index * NR;
        pack_panel(isa, b.from(0, col), k, NR.min(n - col), out);
    };
    if k * n <= SERIAL {
        out.chunks_mut(k * NR).enumerate().for_each(panel);
    } else if b.col == 1 {
        pack_rows(b, k, n, out);
    } else {
        out.par_chunks_mut(k * NR).enumerate().for_each(panel);
    }
}

/// Rows and columns that a task of [`pack_rows`] brings into panels: a row is in another page than the next,
/// so one panel's part of it is little for the way there.
const BLOCK: [usize; 2] = [128, 8 * NR];

/// [`pack`] where the columns of a row follow one another.
fn pack_rows<T: Number>(b: Matrix<'_, T>, k: usize, n: usize, out: &mut [T]) {
    let [height, width] = BLOCK;
    let panels = Shared::new(out);
    (0..k.div_ceil(height) * n.div_ceil(width)).into_par_iter().for_each(|task| {
        let (top, left) = (task / n.div_ceil(width) * height, task % n.div_ceil(width) * width);
        for p in top..k.min(top + height) {
            let row = &b.data[p * b.row..][left..n.min(left + width)];
            for (panel, from) in row.chunks(NR).enumerate() {
                let at = ((left / NR + panel) * k + p) * NR;
                // SAFETY: a row of a panel is one task's.
                let to = unsafe { panels.part(at, NR) };
                match <&[T; NR]>::try_from(from) {
                    Ok(from) => to.copy_from_slice(from),
                    Err(_) => {
                        to[..from.len()].copy_from_slice(from);
                        to[from.len()..].fill(T::of(0.0));
                    }
                }
            }
        }
    });
}

/// Packs the first `cols` columns of `k` rows, at most [`NR`], and fills up with zeros.
pub(crate) fn pack_panel<T: Number>(
    isa: Isa,
    b: Matrix<'_, T>,
    k: usize,
    cols: usize,
    out: &mut [T],
) {
    assert!(out.len() >= k * NR && cols <= NR && cols > 0 && k > 0);
    assert!((k - 1) * b.row + (cols - 1) * b.col < b.data.len());
    if b.col == 1 {
        for (p, out) in out.chunks_exact_mut(NR).take(k).enumerate() {
            out[..cols].copy_from_slice(&b.data[p * b.row..][..cols]);
            out[cols..].fill(T::of(0.0));
        }
        return;
    }
    if cols < NR {
        out[..k * NR].fill(T::of(0.0));
    }
    // Rows and columns that whole blocks transpose.
    let (mut rows, mut wide) = (0, 0);
    if b.row == 1 {
        match isa.level() {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => (rows, wide) = (k / 4 * 4, cols / 16 * 16),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => (rows, wide) = (k / 4 * 4, cols / 8 * 8),
            _ => {}
        }
        for row in (0..rows).step_by(4) {
            match isa.level() {
                // SAFETY: an `Isa` of this level exists only where the features were detected; the
                // assertions above hold the rows and columns of both sides.
                #[cfg(target_arch = "x86_64")]
                Level::Avx512 => unsafe { x86::four_by_16(b, row, wide, out) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                Level::Avx2 => unsafe { x86::four_by_8(b, row, wide, out) },
                _ => {}
            }
        }
    }
    for j in 0..cols {
        let from = if j < wide { rows } else { 0 };
        for p in from..k {
            out[p * NR + j] = b.data[p * b.row + j * b.col];
        }
    }
}

/// As [`pack`] for columns of `k` elements that follow one another, of any type; what a panel holds beside
/// them stays.
pub(crate) fn pack_columns<E: Copy + Send + Sync>(columns: &[E], k: usize, out: &mut [E]) {
    let panel = |(columns, out): (&[E], &mut [E])| {
        // A block of rows at a time, so that what is written stays close.
        for first in (0..k).step_by(NR) {
            for (j, column) in columns.chunks_exact(k).enumerate() {
                for (p, x) in column[first..k.min(first + NR)].iter().enumerate() {
                    out[(first + p) * NR + j] = *x;
                }
            }
        }
    };
    if columns.len() <= SERIAL {
        columns.chunks(k * NR).zip(out.chunks_mut(k * NR)).for_each(panel);
    } else {
        columns.par_chunks(k * NR).zip(out.par_chunks_mut(k * NR)).for_each(panel);
    }
}

/// Writes the first `cols` columns of a panel as rows, `stride` elements apart.
///
/// # Safety
/// `out` points to the first of `cols` rows, each valid for writes of one element per row of the
/// panel and reached by nobody else meanwhile.
pub(crate) unsafe fn unpack_panel<T: Number>(
    isa: Isa,
    panel: &[T],
    cols: usize,
    out: *mut T,
    stride: usize,
) {
    let k = panel.len() / NR;
    assert!(cols <= NR);
    let (rows, wide) = match isa.level() {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 | Level::Avx2 => (k / 4 * 4, cols / 8 * 8),
        _ => (0, 0),
    };
    #[cfg(target_arch = "x86_64")]
    for col in (0..wide).step_by(8) {
        // SAFETY: both levels have the features; the rows and columns exist on both sides.
        unsafe { x86::eight_columns(panel, rows, col, out.add(col * stride), stride) };
    }
    for j in 0..cols {
        let from = if j < wide { rows } else { 0 };
        for p in from..k {
            // SAFETY: by contract.
            unsafe { *out.add(j * stride + p) = panel[p * NR + j] };
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{Matrix, NR};
    use crate::number::Number;

    /// Transposes four elements of each of 16 columns at a time; a number is moved as its bits, which
    /// are those of an `f32`.
    ///
    /// # Safety
    /// The processor has the features, rows `row..row + 4` of the first `cols` columns, each
    /// contiguous, lie inside `b`, and these rows of the panel inside `out`.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn four_by_16<T: Number>(
        b: Matrix<'_, T>,
        row: usize,
        cols: usize,
        out: &mut [T],
    ) {
        for col in (0..cols).step_by(16) {
            // SAFETY: by contract.
            unsafe {
                let at =
                    |j: usize| _mm_loadu_ps(b.data.as_ptr().add((col + j) * b.col + row).cast());
                // Lane group `g` holds column `4g + i`.
                let columns = |i: usize| {
                    let x = _mm512_castps128_ps512(at(i));
                    let x = _mm512_insertf32x4::<1>(x, at(4 + i));
                    let x = _mm512_insertf32x4::<2>(x, at(8 + i));
                    _mm512_insertf32x4::<3>(x, at(12 + i))
                };
                let [c0, c1, c2, c3] = [columns(0), columns(1), columns(2), columns(3)];
                let (low01, high01) = (_mm512_unpacklo_ps(c0, c1), _mm512_unpackhi_ps(c0, c1));
                let (low23, high23) = (_mm512_unpacklo_ps(c2, c3), _mm512_unpackhi_ps(c2, c3));
                let rows = [
                    _mm512_shuffle_ps::<0b01_00_01_00>(low01, low23),
                    _mm512_shuffle_ps::<0b11_10_11_10>(low01, low23),
                    _mm512_shuffle_ps::<0b01_00_01_00>(high01, high23),
                    _mm512_shuffle_ps::<0b11_10_11_10>(high01, high23),
                ];
                for (p, x) in rows.into_iter().enumerate() {
                    _mm512_storeu_ps(out.as_mut_ptr().add((row + p) * NR + col).cast(), x);
                }
            }
        }
    }

    /// As [`four_by_16`], 8 columns at a time.
    ///
    /// # Safety
    /// As [`four_by_16`].
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn four_by_8<T: Number>(
        b: Matrix<'_, T>,
        row: usize,
        cols: usize,
        out: &mut [T],
    ) {
        for col in (0..cols).step_by(8) {
            // SAFETY: by contract.
            unsafe {
                let at =
                    |j: usize| _mm_loadu_ps(b.data.as_ptr().add((col + j) * b.col + row).cast());
                let columns =
                    |i: usize| _mm256_insertf128_ps::<1>(_mm256_castps128_ps256(at(i)), at(4 + i));
                let [c0, c1, c2, c3] = [columns(0), columns(1), columns(2), columns(3)];
                let (low01, high01) = (_mm256_unpacklo_ps(c0, c1), _mm256_unpackhi_ps(c0, c1));
                let (low23, high23) = (_mm256_unpacklo_ps(c2, c3), _mm256_unpackhi_ps(c2, c3));
                let rows = [
                    _mm256_shuffle_ps::<0b01_00_01_00>(low01, low23),
                    _mm256_shuffle_ps::<0b11_10_11_10>(low01, low23),
                    _mm256_shuffle_ps::<0b01_00_01_00>(high01, high23),
                    _mm256_shuffle_ps::<0b11_10_11_10>(high01, high23),
                ];
                for (p, x) in rows.into_iter().enumerate() {
                    _mm256_storeu_ps(out.as_mut_ptr().add((row + p) * NR + col).cast(), x);
                }
            }
        }
    }

    /// Writes 8 columns of a panel, the first `rows` of its rows, as rows.
    ///
    /// # Safety
    /// The processor has the features, the columns from `col` on and the rows, a multiple of four,
    /// lie inside the panel, and `out` holds 8 rows of so many elements.
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn eight_columns<T: Number>(
        panel: &[T],
        rows: usize,
        col: usize,
        out: *mut T,
        stride: usize,
    ) {
        for row in (0..rows).step_by(4) {
            // SAFETY: by contract.
            unsafe {
                let at =
                    |p: usize| _mm256_loadu_ps(panel.as_ptr().add((row + p) * NR + col).cast());
                let [r0, r1, r2, r3] = [at(0), at(1), at(2), at(3)];
                let (low01, high01) = (_mm256_unpacklo_ps(r0, r1), _mm256_unpackhi_ps(r0, r1));
                let (low23, high23) = (_mm256_unpacklo_ps(r2, r3), _mm256_unpackhi_ps(r2, r3));
                let columns = [
                    _mm256_shuffle_ps::<0b01_00_01_00>(low01, low23),
                    _mm256_shuffle_ps::<0b11_10_11_10>(low01, low23),
                    _mm256_shuffle_ps::<0b01_00_01_00>(high01, high23),
                    _mm256_shuffle_ps::<0b11_10_11_10>(high01, high23),
                ];
                // The low half holds column `i`, the high half column `4 + i`.
                for (i, x) in columns.into_iter().enumerate() {
                    let to = |j: usize| out.add(j * stride + row).cast();
                    _mm_storeu_ps(to(i), _mm256_castps256_ps128(x));
                    _mm_storeu_ps(to(4 + i), _mm256_extractf128_ps::<1>(x));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panels_hold_the_columns_on_every_instruction_set() {
        // The last are packed by several tasks.
        let large = [(131, 525), (2100, 33_usize)];
        let small = [(1, 1), (4, 32), (7, 31), (33, 70), (18, 16), (5_usize, 24)];
        for (k, n) in small.into_iter().chain(large) {
            for (row, col) in [(n, 1), (1, k), (1, k + 3), (2 * n, 2)] {
                let data: Vec<f32> = (0..k * row + n * col).map(|i| i as f32).collect();
                for isa in Isa::available() {
                    let mut out = vec![f32::NAN; n.next_multiple_of(NR) * k];
                    pack(isa, Matrix { data: &data, row, col }, k, n, &mut out);
                    for (at, &x) in out.iter().enumerate() {
                        let (panel, p, j) = (at / (k * NR), at / NR % k, at % NR);
                        let j = panel * NR + j;
                        let expected = if j < n { data[p * row + j * col] } else { 0.0 };
                        assert_eq!(x, expected, "{isa}, {k}x{n}, row {p}, column {j}");
                    }
                }
            }
        }
    }
}
