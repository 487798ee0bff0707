//! Weights in blocks: whole numbers of few bits with scales, as GGUF files keep them.
//!
//! An element is `scale·(q − offset) + shift`. The layouts are those of `gguf-py/gguf/quants.py` of
//! `ggml-org/llama.cpp` (at 0024aa7). Making a number of its bits, of a scale in half precision as well, is a
//! move, as is the offset of a whole number; the multiplication by a scale and the addition of a shift are
//! operations of widening.

use opledger_dims::Class;

use crate::isa::{Isa, vectorised};
use crate::meter::Tally;
use crate::number::Number;

/// Columns of a panel.
pub(crate) const NR: usize = 32;

/// How the elements of a block are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(non_camel_case_types, reason = "the names that files have")]
pub enum BlockType {
    /// 32 elements of 4 bits and a scale.
    Q4_0,
    /// The same with a shift.
    Q4_1,
    /// 32 elements of 5 bits and a scale.
    Q5_0,
    /// The same with a shift.
    Q5_1,
    /// 32 elements of 8 bits and a scale.
    Q8_0,
    /// 256 elements of 4 bits; a scale and a shift of 6 bits for every 32.
    Q4_K,
    /// The same of 5 bits.
    Q5_K,
    /// 256 elements of 6 bits; a scale of 8 bits for every 16.
    Q6_K,
}

/// Where the bits of an element stand: `low` bits, 8 or 4, and `high` further ones.
#[derive(Clone, Copy)]
struct Bits {
    low: usize,
    high: usize,
}

impl BlockType {
    /// Every type.
    pub const ALL: [BlockType; 8] = [
        BlockType::Q4_0,
        BlockType::Q4_1,
        BlockType::Q5_0,
        BlockType::Q5_1,
        BlockType::Q8_0,
        BlockType::Q4_K,
        BlockType::Q5_K,
        BlockType::Q6_K,
    ];

    /// Its name in files.
    pub fn name(self) -> &'static str {
        match self {
            BlockType::Q4_0 => "Q4_0",
            BlockType::Q4_1 => "Q4_1",
            BlockType::Q5_0 => "Q5_0",
            BlockType::Q5_1 => "Q5_1",
            BlockType::Q8_0 => "Q8_0",
            BlockType::Q4_K => "Q4_K",
            BlockType::Q5_K => "Q5_K",
            BlockType::Q6_K => "Q6_K",
        }
    }

    /// The elements of a block.
    pub fn elements(self) -> usize {
        match self {
            BlockType::Q4_0
            | BlockType::Q4_1
            | BlockType::Q5_0
            | BlockType::Q5_1
            | BlockType::Q8_0 => 32,
            BlockType::Q4_K | BlockType::Q5_K | BlockType::Q6_K => 256,
        }
    }

    /// The bytes of a block.
    pub fn bytes(self) -> usize {
        let Bits { low, high } = self.bits();
        self.head().1 + self.elements() * (low + high) / 8
    }

    /// Where what is beside the elements begins in a block, and how many bytes it takes.
    fn head(self) -> (usize, usize) {
        match self {
            BlockType::Q4_0 | BlockType::Q5_0 | BlockType::Q8_0 => (0, 2),
            BlockType::Q4_1 | BlockType::Q5_1 => (0, 4),
            BlockType::Q4_K | BlockType::Q5_K => (0, 16),
            BlockType::Q6_K => (192, 18),
        }
    }

    fn bits(self) -> Bits {
        let (low, high) = match self {
            BlockType::Q4_0 | BlockType::Q4_1 | BlockType::Q4_K => (4, 0),
            BlockType::Q5_0 | BlockType::Q5_1 | BlockType::Q5_K => (4, 1),
            BlockType::Q6_K => (4, 2),
            BlockType::Q8_0 => (8, 0),
        };
        Bits { low, high }
    }

    /// Elements that have one scale.
    fn group(self) -> usize {
        if self == BlockType::Q6_K { 16 } else { 32 }
    }

    /// What is taken from a whole number; those of 8 bits have a sign.
    fn offset(self) -> i32 {
        match self {
            BlockType::Q4_0 => 8,
            BlockType::Q5_0 => 16,
            BlockType::Q6_K => 32,
            BlockType::Q4_1
            | BlockType::Q5_1
            | BlockType::Q8_0
            | BlockType::Q4_K
            | BlockType::Q5_K => 0,
        }
    }

    fn is_shifted(self) -> bool {
        matches!(self, BlockType::Q4_1 | BlockType::Q5_1 | BlockType::Q4_K | BlockType::Q5_K)
    }

    /// The bits of an element of a block.
    fn quant(self, block: &[u8], i: usize) -> u8 {
        let nibble = |byte: u8, second: bool| if second { byte >> 4 } else { byte & 15 };
        let bit = |byte: u8, at: usize| byte >> at & 1;
        match self {
            BlockType::Q8_0 => block[2 + i],
            BlockType::Q4_0 => nibble(block[2 + i % 16], i >= 16),
            BlockType::Q4_1 => nibble(block[4 + i % 16], i >= 16),
            BlockType::Q5_0 => {
                nibble(block[6 + i % 16], i >= 16) | bit(block[2 + i / 8], i % 8) << 4
            }
            BlockType::Q5_1 => {
                nibble(block[8 + i % 16], i >= 16) | bit(block[4 + i / 8], i % 8) << 4
            }
            BlockType::Q4_K => nibble(block[16 + i / 64 * 32 + i % 32], i % 64 >= 32),
            BlockType::Q5_K => {
                let low = nibble(block[48 + i / 64 * 32 + i % 32], i % 64 >= 32);
                low | bit(block[16 + i % 32], i / 32) << 4
            }
            BlockType::Q6_K => {
                let low = nibble(block[i / 128 * 64 + i % 64], i % 128 >= 64);
                let high = block[128 + i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;
                low | high << 4
            }
        }
    }

    /// The scales and the shifts of a group, of `W` blocks whose heads stand byte beside byte.
    #[inline(always)]
    fn scales<T: Number, const W: usize>(self, head: &[u8], group: usize) -> [[T; W]; 2] {
        let bytes = |at: usize| -> &[u8] { &head[at * W..][..W] };
        let halves = |at: usize| -> [T; W] {
            let (low, high) = (bytes(at), bytes(at + 1));
            std::array::from_fn(|j| T::of(half(u16::from_le_bytes([low[j], high[j]]))))
        };
        let none = [T::of(0.0); W];
        match self {
            BlockType::Q4_0 | BlockType::Q5_0 | BlockType::Q8_0 => [halves(0), none],
            BlockType::Q4_1 | BlockType::Q5_1 => [halves(0), halves(2)],
            BlockType::Q4_K | BlockType::Q5_K => {
                let (scale, least) = (halves(0), halves(2));
                let (a, b) = (bytes(4 + group % 4), bytes(8 + group % 4));
                let six: [[u8; 2]; W] = match group < 4 {
                    true => std::array::from_fn(|j| [a[j] & 63, b[j] & 63]),
                    false => {
                        let c = bytes(12 + group % 4);
                        std::array::from_fn(|j| {
                            [c[j] & 15 | a[j] >> 6 << 4, c[j] >> 4 | b[j] >> 6 << 4]
                        })
                    }
                };
                [
                    std::array::from_fn(|j| scale[j] * T::of(f32::from(six[j][0]))),
                    std::array::from_fn(|j| -(least[j] * T::of(f32::from(six[j][1])))),
                ]
            }
            BlockType::Q6_K => {
                let (scale, own) = (halves(16), bytes(group));
                let scales = |j| scale[j] * T::of(f32::from(own[j] as i8));
                [std::array::from_fn(scales), none]
            }
        }
    }

    /// Multiplications that the scales of a group take.
    fn products_of_scales(self) -> usize {
        match self {
            BlockType::Q4_K | BlockType::Q5_K => 2,
            BlockType::Q6_K => 1,
            BlockType::Q4_0
            | BlockType::Q4_1
            | BlockType::Q5_0
            | BlockType::Q5_1
            | BlockType::Q8_0 => 0,
        }
    }

    /// Appends the elements of blocks as they stand in a file: the definition of their values.
    pub fn widen(self, blocks: &[u8], out: &mut Vec<f32>) {
        let (begin, length) = self.head();
        for block in blocks.chunks_exact(self.bytes()) {
            for group in 0..self.elements() / self.group() {
                let [[scale], [shift]] =
                    self.scales::<f32, 1>(&block[begin..begin + length], group);
                out.extend((0..self.group()).map(|i| {
                    let bits = self.quant(block, group * self.group() + i);
                    let x = scale * self.whole(bits) as f32;
                    if self.is_shifted() { x + shift } else { x }
                }));
            }
        }
    }

    fn whole(self, bits: u8) -> i32 {
        match self.bits().low {
            8 => i32::from(bits as i8),
            _ => i32::from(bits) - self.offset(),
        }
    }

    /// Brings up to [`NR`] columns of whole blocks, one after the other, into a panel: of each block of rows
    /// the heads byte beside byte, then for each row the low bits of all columns, then the high ones.
    pub(crate) fn pack(self, columns: &[u8], of_column: usize, panel: &mut [u8]) {
        let (size, Bits { low, high }, (begin, length)) = (self.bytes(), self.bits(), self.head());
        let (low_row, high_row) = (NR * low / 8, NR * high / 8);
        for (j, column) in columns.chunks_exact(of_column).enumerate() {
            for (block, out) in column.chunks_exact(size).zip(panel.chunks_exact_mut(NR * size)) {
                let (head, rows) = out.split_at_mut(NR * length);
                let (lows, highs) = rows.split_at_mut(self.elements() * low_row);
                for (at, byte) in block[begin..begin + length].iter().enumerate() {
                    head[at * NR + j] = *byte;
                }
                for i in 0..self.elements() {
                    let bits = self.quant(block, i);
                    let row = &mut lows[i * low_row..];
                    match low {
                        8 => row[j] = bits,
                        _ => row[j % 16] |= (bits & 15) << (j / 16 * 4),
                    }
                    let (row, bits) = (&mut highs[i * high_row..], bits >> 4);
                    match high {
                        1 => row[j % 4] |= bits << (j / 4),
                        2 => row[j % 8] |= bits << (j / 8 * 2),
                        _ => {}
                    }
                }
            }
        }
    }
}

/// The number of which these are the bits in half precision; subnormal, infinite and none included.
#[inline(always)]
fn half(bits: u16) -> f32 {
    let magnitude = u32::from(bits & 0x7fff) << 13;
    let finite = f32::from_bits(magnitude) * f32::from_bits(0x7780_0000);
    let beyond = f32::from_bits(magnitude | 0x7f80_0000);
    let magnitude = if bits & 0x7c00 == 0x7c00 { beyond } else { finite };
    f32::from_bits(magnitude.to_bits() | u32::from(bits & 0x8000) << 16)
}

/// Blocks one after the other, of a file or of panels.
#[derive(Clone, Copy, Debug)]
pub struct Blocks<'a> {
    /// How they are kept.
    pub of: BlockType,
    /// Their bytes.
    pub bytes: &'a [u8],
}

impl<'a> Blocks<'a> {
    /// How many elements they have.
    pub fn len(self) -> usize {
        self.bytes.len() / self.of.bytes() * self.of.elements()
    }

    /// Whether they have none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Those of the first elements, and the others.
    pub fn split_at(self, elements: usize) -> (Blocks<'a>, Blocks<'a>) {
        let at = elements / self.of.elements() * self.of.bytes();
        let (first, rest) = self.bytes.split_at(at.min(self.bytes.len()));
        (Blocks { bytes: first, ..self }, Blocks { bytes: rest, ..self })
    }

    /// Writes rows of a panel, `[rows, NR]` from row `first` on, as numbers.
    pub(crate) fn rows<T: Number>(self, isa: Isa, first: usize, out: &mut [T], tally: &mut Tally) {
        let (of, group) = (self.of, self.of.group());
        for (at, out) in out.chunks_mut(group * NR).enumerate() {
            let row = first + at * group;
            let block = &self.bytes[row / of.elements() * of.bytes() * NR..][..of.bytes() * NR];
            let from = row % of.elements();
            match of {
                BlockType::Q4_0 => widen_group(isa, Kept::<4, 0, 8, false>, of, block, from, out),
                BlockType::Q4_1 => widen_group(isa, Kept::<4, 0, 0, true>, of, block, from, out),
                BlockType::Q5_0 => widen_group(isa, Kept::<4, 1, 16, false>, of, block, from, out),
                BlockType::Q5_1 => widen_group(isa, Kept::<4, 1, 0, true>, of, block, from, out),
                BlockType::Q8_0 => widen_group(isa, Kept::<8, 0, 0, false>, of, block, from, out),
                BlockType::Q4_K => widen_group(isa, Kept::<4, 0, 0, true>, of, block, from, out),
                BlockType::Q5_K => widen_group(isa, Kept::<4, 1, 0, true>, of, block, from, out),
                BlockType::Q6_K => widen_group(isa, Kept::<4, 2, 32, false>, of, block, from, out),
            }
            tally.widened(Class::Mul, of.products_of_scales() * NR + out.len());
            tally.widened(Class::Add, if of.is_shifted() { out.len() } else { 0 });
        }
    }

    /// Writes the elements of a column of a panel as numbers.
    pub(crate) fn column<T: Number>(self, column: usize, out: &mut [T], tally: &mut Tally) {
        let (of, Bits { low, high }, (_, length)) = (self.of, self.of.bits(), self.of.head());
        let (low_row, high_row) = (NR * low / 8, NR * high / 8);
        let blocks = self.bytes.chunks_exact(of.bytes() * NR);
        for (block, out) in blocks.zip(out.chunks_mut(of.elements())) {
            let mut head = [0; 18];
            (0..length).for_each(|at| head[at] = block[at * NR + column]);
            let (lows, highs) = block[NR * length..].split_at(of.elements() * low_row);
            for (group, out) in out.chunks_mut(of.group()).enumerate() {
                let [[scale], [shift]] = of.scales::<T, 1>(&head, group);
                for (i, out) in out.iter_mut().enumerate() {
                    let row = group * of.group() + i;
                    let lows = &lows[row * low_row..];
                    let mut bits = match low {
                        8 => lows[column],
                        _ => lows[column % 16] >> (column / 16 * 4) & 15,
                    };
                    bits |= match high {
                        1 => (highs[row * high_row + column % 4] >> (column / 4) & 1) << 4,
                        2 => (highs[row * high_row + column % 8] >> (column / 8 * 2) & 3) << 4,
                        _ => 0,
                    };
                    let x = scale * T::of(of.whole(bits) as f32);
                    *out = if of.is_shifted() { x + shift } else { x };
                }
                tally.widened(Class::Mul, of.products_of_scales() + out.len());
                tally.widened(Class::Add, if of.is_shifted() { out.len() } else { 0 });
            }
        }
    }
}

/// How the rows of a panel are kept: low bits, high bits, the offset, and whether there are shifts.
#[derive(Clone, Copy)]
struct Kept<const LOW: usize, const HIGH: usize, const OFFSET: i32, const SHIFTED: bool>;

vectorised! {
    /// Writes rows of a block of a panel from one on, all with the same scales.
    fn widen_group[T: Number, const LOW: usize, const HIGH: usize, const OFFSET: i32, const SHIFTED: bool](
        _kept: Kept<LOW, HIGH, OFFSET, SHIFTED>,
        of: BlockType,
        block: &[u8],
        from: usize,
        out: &mut [T],
    ) {
        let (_, length) = of.head();
        let (head, rows) = block.split_at(NR * length);
        let (low_row, high_row) = (NR * LOW / 8, NR * HIGH / 8);
        let (lows, highs) = rows.split_at(of.elements() * low_row);
        let [scales, shifts] = of.scales::<T, NR>(head, from / of.group());
        for (row, out) in (from..).zip(out.as_chunks_mut::<NR>().0) {
            let mut bits = [0_u8; NR];
            let low = &lows[row * low_row..][..low_row];
            if LOW == 8 {
                bits.copy_from_slice(low);
            } else {
                for j in 0..NR / 2 {
                    bits[j] = low[j] & 15;
                    bits[j + NR / 2] = low[j] >> 4;
                }
            }
            let high = &highs[row * high_row..][..high_row];
            if HIGH == 1 {
                for j in 0..NR {
                    bits[j] |= (high[j % 4] >> (j / 4) & 1) << 4;
                }
            }
            if HIGH == 2 {
                for j in 0..NR {
                    bits[j] |= (high[j % 8] >> (j / 8 * 2) & 3) << 4;
                }
            }
            for j in 0..NR {
                let whole = if LOW == 8 { i32::from(bits[j] as i8) } else { i32::from(bits[j]) - OFFSET };
                let x = scales[j] * T::of(whole as f32);
                out[j] = if SHIFTED { x + shifts[j] } else { x };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_in_half_precision_are_those_numbers() {
        for bits in 0..=u16::MAX {
            let (own, known) = (half(bits), crate::f16::from_bits(bits).to_f32());
            assert!(
                own.to_bits() == known.to_bits() || own.is_nan() && known.is_nan(),
                "{bits:#x}"
            );
        }
    }

    #[test]
    fn a_panel_takes_the_bytes_of_its_columns_and_gives_their_values() {
        for of in BlockType::ALL {
            let (blocks, columns) = (2, 21);
            let size = blocks * of.bytes();
            // Finite scales: no exponent of ones.
            let bytes: Vec<u8> =
                (0..columns * size).map(|i| (i * 73 + i / 7 + 5) as u8 & 0xbb).collect();
            let mut panel = vec![0; NR * size];
            of.pack(&bytes, size, &mut panel);
            let (k, panel) = (blocks * of.elements(), Blocks { of, bytes: &panel });
            assert_eq!(panel.len(), NR * k);
            let mut expected = Vec::new();
            of.widen(&bytes, &mut expected);
            let mut tally = Tally::default();
            for isa in Isa::available() {
                for first in [0, k - 32] {
                    let mut rows = vec![f32::NAN; (k - first) * NR];
                    panel.rows(isa, first, &mut rows, &mut tally);
                    for (i, row) in rows.chunks(NR).enumerate() {
                        for (j, x) in row[..columns].iter().enumerate() {
                            assert_eq!(*x, expected[j * k + first + i], "{of:?}, {isa}");
                        }
                    }
                }
            }
            let mut column = vec![f32::NAN; k];
            panel.column(17, &mut column, &mut tally);
            assert_eq!(column, expected[17 * k..18 * k], "{of:?}");
        }
    }
}
