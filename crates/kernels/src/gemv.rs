//! Matrix times vector, for a few rows at once: vectors that come from memory are read once against
//! rows that stay in the cache, as dot products or as multiples added to the rows (the level-1f
//! `dotxf` and `axpyf` of BLIS).
//!
//! All instruction sets give the same bits: a product is summed in 16 lanes, then by halves; multiples
//! are added one after the other.

use opledger_dims::Class;

use crate::isa::{Isa, Level};
use crate::meter::Tally;
use crate::number::Number;
use crate::number::simd::{SUMS, TERMS, Vector, prefetch};

/// Vectors that one call should bring.
pub(crate) const VECTORS: usize = 8;
/// Which of what comes next is brought closer by the work on some rows: the memory is asked all along,
/// not all at once.
#[derive(Clone, Copy)]
struct Share {
    first: usize,
    step: usize,
    ahead: usize,
}

impl Share {
    fn new<T, const ROWS: usize>(block: &VectorBlock<'_, T>, row: usize) -> Share {
        let step = block.rows.div_ceil(ROWS);
        Share { first: (row / ROWS).min(step - 1), step, ahead: block.ahead }
    }

    /// Of the cache lines at some addresses, those of this share.
    #[inline(always)]
    fn prefetch<T, const N: usize>(self, line: impl Fn(usize) -> *const T) {
        let mut at = if self.ahead == 0 { N } else { self.first };
        while at < N {
            prefetch(line(at).wrapping_add(self.ahead), 1);
            at += self.step;
        }
    }
}

/// Registers of a row that take all vectors before they are stored.
const COLUMNS: usize = 4;

/// Rows, each following the one before, against vectors of their length; a row has a number for each
/// vector, `stride` elements after those of the row before.
pub(crate) struct VectorBlock<'a, T> {
    pub(crate) vectors: &'a [&'a [T]],
    pub(crate) rows: usize,
    pub(crate) stride: usize,
    /// Elements from each vector to one that is brought closer meanwhile; none if zero.
    pub(crate) ahead: usize,
}

impl<T: Number> VectorBlock<'_, T> {
    fn width(&self) -> usize {
        self.vectors.first().map_or(0, |vector| vector.len())
    }

    fn check(&self, rows: &[T], numbers: &[T]) {
        assert!(self.vectors.iter().all(|vector| vector.len() == self.width()));
        assert!(self.rows * self.width() <= rows.len());
        let last = self.rows.saturating_sub(1) * self.stride;
        assert!(last + self.vectors.len() <= numbers.len());
    }

    /// Writes the product of each row with each vector.
    pub(crate) fn dots(&self, isa: Isa, rows: &[T], out: &mut [T]) {
        self.check(rows, out);
        let (rows, out) = (rows.as_ptr(), out.as_mut_ptr());
        match isa.level() {
            // SAFETY: an `Isa` of this level exists only where the features were detected; every
            // index was checked.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => unsafe { x86::dots512(self, rows, out) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => unsafe { x86::dots256(self, rows, out) },
            // SAFETY: as above, with no feature needed.
            _ => unsafe { all_dots::<T::Portable, 2, 1>(self, rows, out) },
        }
    }

    /// Adds to each row the vectors times its numbers.
    pub(crate) fn axpys(&self, isa: Isa, numbers: &[T], rows: &mut [T]) {
        self.check(rows, numbers);
        let (numbers, rows) = (numbers.as_ptr(), rows.as_mut_ptr());
        match isa.level() {
            // SAFETY: an `Isa` of this level exists only where the features were detected; every
            // index was checked.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => unsafe { x86::add512(self, numbers, rows) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => unsafe { x86::add256(self, numbers, rows) },
            // SAFETY: as above, with no feature needed.
            _ => unsafe { all_sums::<T::Portable, 1>(self, numbers, rows) },
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{VectorBlock, all_dots, all_sums};
    use crate::number::Number;

    macro_rules! compiled {
        ($features:literal, $vector:ident, $registers:literal, $few:literal, $many:literal, $dots:ident, $add:ident) => {
            /// # Safety
            /// As [`all_dots`].
            #[target_feature(enable = $features)]
            pub(super) unsafe fn $dots<T: Number>(
                block: &VectorBlock<'_, T>,
                rows: *const T,
                out: *mut T,
            ) {
                // SAFETY: by contract.
                unsafe { all_dots::<T::$vector, $registers, $few>(block, rows, out) }
            }

            /// # Safety
            /// As [`all_sums`].
            #[target_feature(enable = $features)]
            pub(super) unsafe fn $add<T: Number>(
                block: &VectorBlock<'_, T>,
                numbers: *const T,
                rows: *mut T,
            ) {
                // SAFETY: by contract.
                unsafe { all_sums::<T::$vector, $many>(block, numbers, rows) }
            }
        };
    }
    compiled!("avx512f,avx2,fma", Avx512, 1, 2, 4, dots512, add512);
    compiled!("avx2,fma", Avx2, 2, 1, 2, dots256, add256);
}

/// Counts what [`VectorBlock::dots`] executes for so many rows with up to [`SUMS`] vectors each.
pub(crate) fn count_dots<T: Number>(isa: Isa, groups: usize, width: usize, tally: &mut Tally) {
    let totals = match isa.level() {
        Level::Avx512 => T::Avx512::TOTAL_ADDITIONS,
        Level::Avx2 => T::Avx2::TOTAL_ADDITIONS,
        Level::Scalar => T::Portable::TOTAL_ADDITIONS,
    };
    let terms = SUMS * width.next_multiple_of(TERMS);
    tally.executed(Class::Mul, groups * terms);
    tally.executed(Class::Add, groups * (terms + totals));
}

/// # Safety
/// The processor has the instruction set of `V`; `rows` and `out` hold the rows and numbers of the
/// block; a sum takes `REGISTERS`.
#[inline(always)]
unsafe fn all_dots<V: Vector, const REGISTERS: usize, const ROWS: usize>(
    block: &VectorBlock<'_, V::Number>,
    rows: *const V::Number,
    out: *mut V::Number,
) {
    let (width, stride) = (block.width(), block.stride);
    for (some, vectors) in block.vectors.chunks(SUMS).enumerate() {
        // Fewer vectors are taken as if the last came again.
        let at = |i: usize| vectors[i.min(vectors.len() - 1)].as_ptr();
        let from: [*const V::Number; SUMS] = std::array::from_fn(at);
        let mut row = 0;
        while row < block.rows {
            // SAFETY: the rows and numbers of the block, by contract.
            unsafe {
                let rows = rows.add(row * width);
                let out = out.add(row * stride + some * SUMS);
                let count = vectors.len();
                let share = Share::new::<_, ROWS>(block, row);
                if row + ROWS <= block.rows {
                    some_dots::<V, REGISTERS, ROWS>(from, width, rows, out, stride, count, share);
                    row += ROWS;
                } else {
                    some_dots::<V, REGISTERS, 1>(from, width, rows, out, stride, count, share);
                    row += 1;
                }
            }
        }
    }
}

/// # Safety
/// As [`all_dots`], for `ROWS` rows and the first `count` vectors, all readable.
#[inline(always)]
unsafe fn some_dots<V: Vector, const REGISTERS: usize, const ROWS: usize>(
    vectors: [*const V::Number; SUMS],
    width: usize,
    rows: *const V::Number,
    out: *mut V::Number,
    stride: usize,
    count: usize,
    share: Share,
) {
    let whole = width - width % TERMS;
    // SAFETY: the rows and vectors hold `width` elements each.
    unsafe {
        let rows: [*const V::Number; ROWS] = std::array::from_fn(|row| rows.add(row * width));
        let mut sums = [[[V::splat(V::Number::of(0.0)); REGISTERS]; SUMS]; ROWS];
        let mut at = 0;
        while at < whole {
            share.prefetch::<_, SUMS>(|i| vectors[i].wrapping_add(at));
            for part in 0..REGISTERS {
                let at = at + part * V::LANES;
                let mut x = [V::splat(V::Number::of(0.0)); SUMS];
                for (x, vector) in x.iter_mut().zip(&vectors) {
                    *x = V::load(vector.add(at));
                }
                for (row, sums) in rows.iter().zip(&mut sums) {
                    let y = V::load(row.add(at));
                    for (sums, x) in sums.iter_mut().zip(&x) {
                        sums[part] = x.fused(y, sums[part]);
                    }
                }
            }
            at += TERMS;
        }
        if whole < width {
            // What is left, with zeros after it.
            let rest = |from: *const V::Number| {
                let mut rest = [V::Number::of(0.0); TERMS];
                std::ptr::copy_nonoverlapping(from.add(whole), rest.as_mut_ptr(), width - whole);
                rest
            };
            let x = vectors.map(rest);
            for (row, sums) in rows.iter().zip(&mut sums) {
                let y = rest(*row);
                for (sums, x) in sums.iter_mut().zip(&x) {
                    for (part, sum) in sums.iter_mut().enumerate() {
                        let y = V::load(y.as_ptr().add(part * V::LANES));
                        *sum = V::load(x.as_ptr().add(part * V::LANES)).fused(y, *sum);
                    }
                }
            }
        }
        for (row, sums) in sums.iter().enumerate() {
            let totals = V::totals(sums);
            if count == SUMS {
                out.add(row * stride).cast::<[V::Number; SUMS]>().write_unaligned(totals);
            } else {
                for (at, total) in totals.into_iter().enumerate().take(count) {
                    *out.add(row * stride + at) = total;
                }
            }
        }
    }
}

/// # Safety
/// As [`all_dots`], with the numbers of the block in `numbers` and rows that may be written.
#[inline(always)]
unsafe fn all_sums<V: Vector, const ROWS: usize>(
    block: &VectorBlock<'_, V::Number>,
    numbers: *const V::Number,
    rows: *mut V::Number,
) {
    let width = block.width();
    let mut row = 0;
    while row < block.rows {
        // SAFETY: the rows of the block, by contract.
        unsafe {
            let share = Share::new::<_, ROWS>(block, row);
            let (numbers, rows) = (numbers.add(row * block.stride), rows.add(row * width));
            if row + ROWS <= block.rows {
                some_sums::<V, ROWS>(block, numbers, rows, share);
                row += ROWS;
            } else if row + 2 <= block.rows {
                some_sums::<V, 2>(block, numbers, rows, share);
                row += 2;
            } else {
                some_sums::<V, 1>(block, numbers, rows, share);
                row += 1;
            }
        }
    }
}

/// # Safety
/// As [`all_sums`], for `ROWS` rows.
#[inline(always)]
unsafe fn some_sums<V: Vector, const ROWS: usize>(
    block: &VectorBlock<'_, V::Number>,
    numbers: *const V::Number,
    rows: *mut V::Number,
    share: Share,
) {
    let width = block.width();
    let mut at = 0;
    // SAFETY: the columns of all calls exist.
    unsafe {
        while at + COLUMNS * V::LANES <= width {
            columns::<V, ROWS, COLUMNS>(block, numbers, rows, at, share);
            at += COLUMNS * V::LANES;
        }
        while at + V::LANES <= width {
            columns::<V, ROWS, 1>(block, numbers, rows, at, share);
            at += V::LANES;
        }
        for at in at..width {
            for row in 0..ROWS {
                let to = rows.add(row * width + at);
                let mut sum = *to;
                for (i, vector) in block.vectors.iter().enumerate() {
                    let number = *numbers.add(row * block.stride + i);
                    sum = number.mul_add(*vector.as_ptr().add(at), sum);
                }
                *to = sum;
            }
        }
    }
}

/// # Safety
/// As [`some_sums`], for `COLS` registers from column `at` on.
#[inline(always)]
unsafe fn columns<V: Vector, const ROWS: usize, const COLS: usize>(
    block: &VectorBlock<'_, V::Number>,
    numbers: *const V::Number,
    rows: *mut V::Number,
    at: usize,
    share: Share,
) {
    let width = block.width();
    // SAFETY: by contract.
    unsafe {
        let mut sums = [[V::splat(V::Number::of(0.0)); COLS]; ROWS];
        for (row, sums) in sums.iter_mut().enumerate() {
            for (col, sum) in sums.iter_mut().enumerate() {
                *sum = V::load(rows.add(row * width + at + col * V::LANES));
            }
        }
        for (i, vector) in block.vectors.iter().enumerate() {
            share.prefetch::<_, COLS>(|col| vector.as_ptr().wrapping_add(at + col * V::LANES));
            let mut x = [V::splat(V::Number::of(0.0)); COLS];
            for (col, x) in x.iter_mut().enumerate() {
                *x = V::load(vector.as_ptr().add(at + col * V::LANES));
            }
            for (row, sums) in sums.iter_mut().enumerate() {
                let number = V::splat(*numbers.add(row * block.stride + i));
                for (sum, x) in sums.iter_mut().zip(&x) {
                    *sum = x.fused(number, *sum);
                }
            }
        }
        for (row, sums) in sums.iter().enumerate() {
            for (col, sum) in sums.iter().enumerate() {
                sum.store(rows.add(row * width + at + col * V::LANES));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(i: usize) -> f32 {
        ((i * 37 + 11) % 101) as f32 / 50.0 - 1.0
    }

    fn check(count: usize, width: usize, rows: usize, stride: usize) {
        let vectors: Vec<Vec<f32>> =
            (0..count).map(|key| (0..width).map(|i| number(i + 7 * key)).collect()).collect();
        let slices: Vec<&[f32]> = vectors.iter().map(Vec::as_slice).collect();
        let data: Vec<f32> = (0..rows * width).map(|i| number(i + 3)).collect();
        let weights: Vec<f32> = (0..rows * stride).map(|i| number(i + 8)).collect();
        let block = VectorBlock { vectors: &slices, rows, stride, ahead: 0 };
        let mut first = None;
        for isa in Isa::available() {
            let mut out = vec![7.0; rows * stride];
            block.dots(isa, &data, &mut out);
            let mut sums = data.clone();
            block.axpys(isa, &weights, &mut sums);
            for row in 0..rows {
                let own = &data[row * width..][..width];
                for (key, vector) in vectors.iter().enumerate() {
                    let products = own.iter().zip(vector).map(|(x, y)| f64::from(x * y));
                    let exact: f64 = products.sum();
                    assert!((f64::from(out[row * stride + key]) - exact).abs() < 1e-4);
                }
                assert!(out[row * stride..][count..stride].iter().all(|x| *x == 7.0));
                for (at, x) in own.iter().enumerate() {
                    let terms = vectors.iter().zip(&weights[row * stride..]);
                    let expected = terms.fold(*x, |sum, (vector, w)| w.mul_add(vector[at], sum));
                    assert_eq!(sums[row * width + at], expected, "{isa}");
                }
            }
            let bits: Vec<u32> = out.iter().chain(&sums).map(|x| x.to_bits()).collect();
            assert_eq!(first.get_or_insert_with(|| bits.clone()), &bits, "{isa}");
        }
    }

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        for width in [1, 7, 8, 16, 23, 40, 64, 129, 200] {
            for rows in [1, 2, 3, 9] {
                for count in [1, 3, 4, 6, VECTORS] {
                    check(count, width, rows, count + rows % 2);
                }
            }
        }
    }
}
