//! What follows a matrix product while its block is still in the cache.

use opledger_dims::{Activation, Class};

use super::microkernel::NR;
use crate::activation::{ElementLoop, Function};
use crate::isa::{Isa, vectorised};
use crate::meter::{Meter, Tally};
use crate::number::Number;

/// `C = activation(A·B + bias) + residual`; by default nothing.
#[derive(Clone, Copy, Debug)]
pub struct Epilogue<'a, T = f32> {
    /// Added to each column, `[n]`.
    pub bias: Option<&'a [T]>,
    /// Applied to each element.
    pub activation: Option<Activation>,
    /// Added to each element, contiguous `[batch, m, n]`.
    pub residual: Option<&'a [T]>,
}

impl<T> Default for Epilogue<'_, T> {
    fn default() -> Self {
        Epilogue { bias: None, activation: None, residual: None }
    }
}

/// One meter per part of a product with an [`Epilogue`].
#[derive(Debug)]
pub struct GemmMeters<'a, M> {
    /// `k` mul and `k - 1` add per element; executed, one mul and one add per term.
    pub product: &'a M,
    /// One add per element, if there is a bias.
    pub bias: &'a M,
    /// As [`Activation`] says.
    pub activation: &'a M,
    /// One add per element, if there is a residual.
    pub residual: &'a M,
}

impl<'a, M> GemmMeters<'a, M> {
    /// The same meter for every part.
    pub fn all(meter: &'a M) -> Self {
        GemmMeters { product: meter, bias: meter, activation: meter, residual: meter }
    }
}

/// What one task adds to each of the [`GemmMeters`].
#[derive(Default)]
pub(crate) struct GemmTallies {
    pub(crate) product: Tally,
    bias: Tally,
    activation: Tally,
    residual: Tally,
}

impl GemmTallies {
    pub(crate) fn record<M: Meter>(&self, meters: &GemmMeters<'_, M>) {
        if M::ON {
            meters.product.record(&self.product);
            meters.bias.record(&self.bias);
            meters.activation.record(&self.activation);
            meters.residual.record(&self.residual);
        }
    }
}

/// A block of `C` that one task owns.
#[derive(Clone, Copy)]
pub(crate) struct OutputBlock<T> {
    pub(crate) c: *mut T,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    /// Elements from a row to the next, of `C` and of the residual.
    pub(crate) stride: usize,
    /// Where the block begins in `C`, and its first column.
    pub(crate) offset: usize,
    pub(crate) col: usize,
}

impl<T> OutputBlock<T> {
    /// Some rows and columns of it, the first of which is `offset` elements after its own; their first column
    /// is `col` after its own.
    ///
    /// # Safety
    /// They lie inside the block.
    pub(crate) unsafe fn part(self, offset: usize, rows: usize, col: usize, cols: usize) -> Self {
        OutputBlock {
            // SAFETY: by contract.
            c: unsafe { self.c.add(offset) },
            rows,
            cols,
            stride: self.stride,
            offset: self.offset + offset,
            col: self.col + col,
        }
    }
}

impl<T: Number> Epilogue<'_, T> {
    /// Applies everything to a block that holds the finished product.
    ///
    /// # Safety
    /// The block's rows are valid for reads and writes and reached by nobody else meanwhile.
    #[allow(unused_unsafe)]
    pub(crate) unsafe fn apply(&self, isa: Isa, block: OutputBlock<T>, tallies: &mut GemmTallies) {
        let count = block.rows * block.cols;
        let bias = self.bias.map(|bias| &bias[block.col..][..block.cols]);
        let residual = self.residual.map(|residual| &residual[block.offset..]);
        if bias.is_some() {
            tallies.bias.both(Class::Add, count);
        }
        if let Some(activation) = self.activation {
            activation.count(count, &mut tallies.activation);
        }
        if residual.is_some() {
            tallies.residual.both(Class::Add, count);
        }
        let over = Over { isa, block, bias, residual };
        match self.activation {
            None if bias.is_none() && residual.is_none() => {}
            None => over.run(|x| x),
            Some(activation) => activation.drive(over),
        }
    }
}

/// A block with what is added to it; made only where [`Epilogue::apply`]'s contract holds.
struct Over<'a, T> {
    isa: Isa,
    block: OutputBlock<T>,
    bias: Option<&'a [T]>,
    residual: Option<&'a [T]>,
}

impl<T: Number> ElementLoop<T> for Over<'_, T> {
    fn run<F: Fn(T) -> T + Copy>(self, f: F) {
        let OutputBlock { c, rows, cols, stride, .. } = self.block;
        for_rows(self.isa, c, [rows, cols, stride], self.bias, self.residual, f);
    }
}

vectorised! {
    /// `c = f(c + bias) + residual`, row by row.
    fn for_rows[T: Number, F: Fn(T) -> T](
        c: *mut T,
        shape: [usize; 3],
        bias: Option<&[T]>,
        residual: Option<&[T]>,
        f: F,
    ) {
        let [rows, cols, stride] = shape;
        for row in 0..rows {
            // SAFETY: the rows of the block, by the contract of `Epilogue::apply`.
            let c = unsafe { std::slice::from_raw_parts_mut(c.add(row * stride), cols) };
            let residual = residual.map(|residual| &residual[row * stride..][..cols]);
            // The usual width has loops of known length.
            match (<&mut [T; NR]>::try_from(&mut *c), bias, residual) {
                (Ok(c), bias, residual) => {
                    let bias = bias.and_then(|bias| <&[T; NR]>::try_from(bias).ok());
                    let residual = residual.and_then(|r| <&[T; NR]>::try_from(r).ok());
                    for j in 0..NR {
                        let x = f(bias.map_or(c[j], |bias| c[j] + bias[j]));
                        c[j] = residual.map_or(x, |residual| x + residual[j]);
                    }
                }
                (Err(_), bias, residual) => {
                    for j in 0..cols {
                        let x = f(bias.map_or(c[j], |bias| c[j] + bias[j]));
                        c[j] = residual.map_or(x, |residual| x + residual[j]);
                    }
                }
            }
        }
    }
}
