//! A right factor that is packed once for many products, in the type in which it is kept.

use half::{bf16, f16};

use super::matrix::Matrix;
use super::microkernel::NR;
use super::packing::{pack, pack_columns};
use crate::blocks::{BlockType, Blocks};
use crate::buffer::{Buffer, HalfBuffer};
use crate::elements::{Element, Elements, WeightType, for_elements};
use crate::error::{KernelError, exactly, holds, reaches};
use crate::isa::isa;
use crate::meter::{Meter, Tally};
use crate::number::Number;
use crate::tasks::over_rows;

/// A `k×n` right factor of [`gemm`](crate::gemm()), packed once for many products.
///
/// Columns stand in panels of 32, the last one filled up with zeros, so it takes
/// `bytes·k·⌈n/32⌉·32` bytes, with 4 or 2 to an element, or what the blocks of so many take.
pub struct PackedMatrix<T = f32> {
    k: usize,
    n: usize,
    panels: Kept<T>,
}

/// Panels in the type in which they are kept.
enum Kept<T> {
    F32(Buffer<T>),
    Bf16(HalfBuffer<bf16>),
    F16(HalfBuffer<f16>),
    Blocks(BlockType, Vec<u8>),
}

/// In which order the elements of a matrix come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Row by row, `[k, n]`.
    Rows,
    /// Column by column, `[n, k]`, as the weight of a linear layer is stored.
    Columns,
}

impl PackedMatrix {
    /// Elements that a packed `k×n` matrix holds; `None` if they exceed the address space.
    pub fn elements(k: usize, n: usize) -> Option<usize> {
        n.checked_next_multiple_of(NR)?.checked_mul(k)
    }
}

impl<T: Number> PackedMatrix<T> {
    /// Packs the `k×n` matrix whose element (`p`, `j`) is `data[p·row_stride + j·col_stride]`. The
    /// weight `[n, k]` of a linear layer has strides 1 and `k`.
    ///
    /// # Errors
    /// [`KernelError::EmptyReduction`] if `k` is zero; a reach error if `data` does not hold the
    /// matrix, each element apart; [`KernelError::TooLarge`].
    pub fn new(
        data: &[T],
        [k, n]: [usize; 2],
        [row_stride, col_stride]: [usize; 2],
    ) -> Result<PackedMatrix<T>, KernelError> {
        let isa = isa()?;
        reaches("B", data.len(), 0, &[(k, row_stride), (n, col_stride)])?;
        holds("B", data.len(), &[k, n])?;
        let mut matrix = PackedMatrix::zeros([k, n], WeightType::F32)?;
        if let Kept::F32(panels) = &mut matrix.panels
            && n > 0
        {
            pack(isa, Matrix { data, row: row_stride, col: col_stride }, k, n, panels);
        }
        Ok(matrix)
    }

    fn zeros([k, n]: [usize; 2], of: WeightType) -> Result<PackedMatrix<T>, KernelError> {
        if k == 0 {
            return Err(KernelError::EmptyReduction { what: "k" });
        }
        let large = KernelError::TooLarge { what: "packed B" };
        let len = PackedMatrix::elements(k, n).ok_or(large.clone())?;
        let panels = match of {
            WeightType::F32 => Buffer::zeros(len).map(Kept::F32),
            WeightType::Bf16 => HalfBuffer::zeros(len).map(Kept::Bf16),
            WeightType::F16 => HalfBuffer::zeros(len).map(Kept::F16),
            WeightType::Blocks(of) if !k.is_multiple_of(of.elements()) => {
                return Err(KernelError::Shape { what: "columns are whole blocks" });
            }
            WeightType::Blocks(of) => room(of, len).map(|bytes| Kept::Blocks(of, bytes)),
        };
        Ok(PackedMatrix { k, n, panels: panels.ok_or(large)? })
    }

    /// Rows and columns, `[k, n]`.
    pub fn shape(&self) -> [usize; 2] {
        [self.k, self.n]
    }

    /// The type in which its elements are kept.
    pub fn weight_type(&self) -> WeightType {
        self.panels().weight_type()
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        // It is there, so it does not exceed the address space.
        self.weight_type().bytes(self.panels().len()).unwrap_or(usize::MAX)
    }

    pub(crate) fn panels(&self) -> Elements<'_, T> {
        match &self.panels {
            Kept::F32(panels) => Elements::F32(panels),
            Kept::Bf16(panels) => Elements::Bf16(panels),
            Kept::F16(panels) => Elements::F16(panels),
            Kept::Blocks(of, bytes) => Elements::Blocks(Blocks { of: *of, bytes }),
        }
    }

    /// Looks up columns: each id's is a row of `out`, `[ids.len(), k]`. Counts what widening blocks takes and
    /// nothing else, and returns how many elements were read, those of a column as often as it is looked up.
    ///
    /// # Errors
    /// [`KernelError::IdOutOfRange`] for the first id that names no column; [`KernelError::Length`] if
    /// `out` disagrees.
    pub fn columns<M: Meter>(
        &self,
        ids: &[i64],
        out: &mut [T],
        meter: &M,
    ) -> Result<usize, KernelError> {
        let (k, n) = (self.k, self.n);
        exactly("output", out.len(), &[ids.len(), k])?;
        let outside = |id: &i64| usize::try_from(*id).map_or(true, |id| id >= n);
        if let Some(position) = ids.iter().position(outside) {
            return Err(KernelError::IdOutOfRange { id: ids[position], position, bound: n });
        }
        let panels = self.panels();
        over_rows(out, k, 1, meter, |first, out, tally| {
            for (out, &id) in out.chunks_mut(k).zip(&ids[first..]) {
                let (panel, column) = (id as usize / NR, id as usize % NR);
                let panel = panels.from(panel * k * NR).split_at(k * NR).0;
                for_elements!(panel,
                    panel => {
                        let rows = panel.chunks_exact(NR);
                        out.iter_mut().zip(rows).for_each(|(out, row)| *out = row[column].widened());
                    },
                    blocks => blocks.column(column, out, tally));
            }
        });
        Ok(out.len())
    }

    /// Appends all elements in an order.
    pub fn unpack(&self, order: Order, out: &mut Vec<T>) {
        let &PackedMatrix { k, n, .. } = self;
        for_elements!(self.panels(),
        panels => {
            let at = |p: usize, j: usize| -> T { panels[(j / NR * k + p) * NR + j % NR].widened() };
            match order {
                Order::Rows => (0..k).for_each(|p| out.extend((0..n).map(|j| at(p, j)))),
                Order::Columns => (0..n).for_each(|j| out.extend((0..k).map(|p| at(p, j)))),
            }
        },
        blocks => {
            // Blocks stand along columns, and their order is that of columns.
            let (mut column, mut tally) = (vec![T::of(0.0); k], Tally::default());
            for j in 0..n {
                let panel = blocks.split_at(j / NR * k * NR).1.split_at(k * NR).0;
                panel.column(j % NR, &mut column, &mut tally);
                out.extend_from_slice(&column);
            }
        });
    }
}

/// Bytes for so many elements in blocks.
fn room(of: BlockType, elements: usize) -> Option<Vec<u8>> {
    let len = WeightType::Blocks(of).bytes(elements)?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len).ok()?;
    bytes.resize(len, 0);
    Some(bytes)
}

impl<T> std::fmt::Debug for PackedMatrix<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PackedMatrix({}×{})", self.k, self.n)
    }
}

/// Packs a matrix whose elements come one after the other, some at a time: beside the panels it holds a few
/// columns.
#[derive(Debug)]
pub struct Packing<T = f32> {
    matrix: PackedMatrix<T>,
    order: Order,
    /// Elements that have come.
    came: usize,
    waiting: Waiting<T>,
}

/// Columns that wait until some panels are full.
#[derive(Debug)]
enum Waiting<T> {
    F32(Vec<T>),
    Bf16(Vec<bf16>),
    F16(Vec<f16>),
    Blocks(Vec<u8>),
}

/// Bytes of columns that wait at most, where one panel's are no more.
const WAITING: usize = 1 << 22;

impl<T: Number> Packing<T> {
    /// Begins a `k×n` matrix that is kept in a type.
    ///
    /// # Errors
    /// [`KernelError::EmptyReduction`] if `k` is zero; [`KernelError::TooLarge`]; [`KernelError::Shape`] of
    /// blocks that do not stand along columns.
    pub fn new(shape: [usize; 2], order: Order, of: WeightType) -> Result<Self, KernelError> {
        let waiting = match of {
            WeightType::F32 => Waiting::F32(Vec::new()),
            WeightType::Bf16 => Waiting::Bf16(Vec::new()),
            WeightType::F16 => Waiting::F16(Vec::new()),
            WeightType::Blocks(_) if order == Order::Rows => {
                return Err(KernelError::Shape { what: "columns are whole blocks" });
            }
            WeightType::Blocks(_) => Waiting::Blocks(Vec::new()),
        };
        Ok(Packing { matrix: PackedMatrix::zeros(shape, of)?, order, came: 0, waiting })
    }

    /// How many elements are yet to come.
    pub fn missing(&self) -> usize {
        self.matrix.k * self.matrix.n - self.came
    }

    /// Takes the next elements.
    ///
    /// # Errors
    /// [`KernelError::Length`] if there are too many, [`KernelError::Shape`] if they are of another type.
    pub fn extend(&mut self, elements: Elements<'_, T>) -> Result<(), KernelError> {
        let (found, expected) = (elements.len(), self.missing());
        if found > expected {
            return Err(KernelError::Length { what: "elements of B", expected, found });
        }
        let state = (self.matrix.shape(), self.order, self.came);
        match (&mut self.matrix.panels, &mut self.waiting, elements) {
            (Kept::F32(panels), Waiting::F32(waiting), Elements::F32(new)) => {
                put(state, new, waiting, panels);
            }
            (Kept::Bf16(panels), Waiting::Bf16(waiting), Elements::Bf16(new)) => {
                put(state, new, waiting, panels);
            }
            (Kept::F16(panels), Waiting::F16(waiting), Elements::F16(new)) => {
                put(state, new, waiting, panels);
            }
            (Kept::Blocks(of, panels), Waiting::Blocks(waiting), Elements::Blocks(new))
                if *of == new.of =>
            {
                put_blocks((*of, state), new.bytes, waiting, panels);
            }
            _ => return Err(KernelError::Shape { what: "elements are of the matrix's type" }),
        }
        self.came += found;
        Ok(())
    }

    /// The matrix.
    ///
    /// # Errors
    /// [`KernelError::Length`] if elements are missing.
    pub fn finish(self) -> Result<PackedMatrix<T>, KernelError> {
        match self.missing() {
            0 => Ok(self.matrix),
            missing => Err(KernelError::Length {
                what: "elements of B",
                expected: self.came + missing,
                found: self.came,
            }),
        }
    }
}

/// Brings elements, which follow so many that came before, into panels.
fn put<E: Copy + Send + Sync>(
    ([k, n], order, came): ([usize; 2], Order, usize),
    mut new: &[E],
    waiting: &mut Vec<E>,
    panels: &mut [E],
) {
    match order {
        Order::Rows => {
            let mut at = came;
            while !new.is_empty() {
                let (p, j) = (at / n, at % n);
                let some = (n - j).min(NR - j % NR).min(new.len());
                let to = (j / NR * k + p) * NR + j % NR;
                panels[to..to + some].copy_from_slice(&new[..some]);
                (new, at) = (&new[some..], at + some);
            }
        }
        Order::Columns => {
            let panel = k * NR;
            let full = panel * (WAITING / size_of::<E>() / panel).max(1);
            let mut packed = came - waiting.len();
            while !new.is_empty() {
                let some = (full - waiting.len()).min(new.len());
                waiting.reserve_exact(full.min(k * n - packed) - waiting.len());
                waiting.extend_from_slice(&new[..some]);
                new = &new[some..];
                if waiting.len() == full || packed + waiting.len() == k * n {
                    pack_columns(waiting, k, &mut panels[packed..]);
                    packed += waiting.len();
                    waiting.clear();
                }
            }
            if packed == k * n {
                *waiting = Vec::new();
            }
        }
    }
}

/// The same of blocks, whose columns follow one another: a panel at a time.
fn put_blocks(
    (of, ([k, n], _, came)): (BlockType, ([usize; 2], Order, usize)),
    mut new: &[u8],
    waiting: &mut Vec<u8>,
    panels: &mut [u8],
) {
    let column = k / of.elements() * of.bytes();
    let all = n * column;
    let mut packed = came / of.elements() * of.bytes() - waiting.len();
    while !new.is_empty() {
        let full = (NR * column).min(all - packed);
        let some = (full - waiting.len()).min(new.len());
        waiting.reserve_exact(full - waiting.len());
        waiting.extend_from_slice(&new[..some]);
        new = &new[some..];
        if waiting.len() == full {
            of.pack(waiting, column, &mut panels[packed..][..NR * column]);
            packed += full;
            waiting.clear();
        }
    }
    if packed == all {
        *waiting = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NoMeter;

    #[test]
    fn elements_that_come_piece_by_piece_stand_where_the_whole_matrix_has_them() {
        for (k, n) in [(1, 1), (4, 32), (7, 31), (33, 70), (18, 16), (5, 0)] {
            let data: Vec<f32> = (0..k * n).map(|i| i as f32).collect();
            let narrow: Vec<bf16> = data.iter().map(|x| bf16::from_f32(*x)).collect();
            for order in [Order::Rows, Order::Columns] {
                let strides = if order == Order::Rows { [n, 1] } else { [1, k] };
                let whole = PackedMatrix::new(&data, [k, n], strides).unwrap();
                let mut packing = Packing::<f32>::new([k, n], order, WeightType::F32).unwrap();
                let mut halves = Packing::<f32>::new([k, n], order, WeightType::Bf16).unwrap();
                for (piece, half) in data.chunks(11).zip(narrow.chunks(11)) {
                    assert!(packing.extend(Elements::Bf16(half)).is_err());
                    packing.extend(Elements::F32(piece)).unwrap();
                    halves.extend(Elements::Bf16(half)).unwrap();
                }
                assert!(packing.extend(Elements::F32(&[0.0])).is_err());
                let (packed, halves) = (packing.finish().unwrap(), halves.finish().unwrap());
                let (Elements::F32(whole), Elements::F32(packed)) =
                    (whole.panels(), packed.panels())
                else {
                    panic!("both are kept in 32 bits")
                };
                assert_eq!(whole, packed, "{k}x{n}, {order:?}");
                let Elements::Bf16(panels) = halves.panels() else { panic!("16 bits") };
                let rounded = whole.iter().map(|x| bf16::from_f32(*x));
                assert!(panels.iter().copied().eq(rounded), "{k}x{n}, {order:?}");
                assert_eq!(halves.bytes(), 2 * whole.len());
                let mut back = Vec::new();
                halves.unpack(order, &mut back);
                assert!(back.iter().zip(&narrow).all(|(x, y)| *x == y.to_f32()));
                let ids: Vec<i64> = (0..n as i64).rev().collect();
                let (mut columns, mut all) = (vec![f32::NAN; k * n], Vec::new());
                assert_eq!(halves.columns(&ids, &mut columns, &NoMeter), Ok(k * n));
                halves.unpack(Order::Columns, &mut all);
                assert!(all.chunks_exact(k).rev().flatten().eq(&columns));
            }
        }
        let mut short = Packing::<f32>::new([2, 3], Order::Rows, WeightType::F32).unwrap();
        short.extend(Elements::F32(&[1.0; 5])).unwrap();
        assert!(short.finish().is_err());
        let packed = PackedMatrix::new(&[1.0; 6], [2, 3], [1, 2]).unwrap();
        let outside = KernelError::IdOutOfRange { id: 3, position: 1, bound: 3 };
        assert_eq!(packed.columns(&[2, 3], &mut [0.0; 4], &NoMeter), Err(outside));
    }
}
