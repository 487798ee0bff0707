//! Matrices inside slices, and the sizes of a product.

use crate::number::Number;

/// A matrix inside a slice.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a, T> {
    pub(crate) data: &'a [T],
    pub(crate) row: usize,
    pub(crate) col: usize,
}

impl<'a, T: Number> Matrix<'a, T> {
    /// The matrix without its first rows and columns.
    pub(crate) fn from(self, row: usize, col: usize) -> Matrix<'a, T> {
        Matrix { data: &self.data[row * self.row + col * self.col..], ..self }
    }

    pub(crate) fn transposed(self) -> Matrix<'a, T> {
        Matrix { data: self.data, row: self.col, col: self.row }
    }

    /// Whether the slice reaches so many rows and columns, neither none.
    pub(super) fn holds(&self, rows: usize, cols: usize) -> bool {
        (rows - 1) * self.row + (cols - 1) * self.col < self.data.len()
    }
}

/// `A` is `m×k`, `B` is `k×n`; none is zero.
#[derive(Clone, Copy)]
pub(crate) struct Dims {
    pub(crate) m: usize,
    pub(crate) k: usize,
    pub(crate) n: usize,
}
