//! Contractions as batched matrix products.

use opledger_dims::Symbol;
use opledger_ir::ops::{Einsum, Experts, ExpertsOuter};
use opledger_ir::{Call, OpError, Part, indices, strides};
use opledger_kernels::{
    self as kernels, ExpertMatrices, Gemm, MatrixBatch, Meter, PackedMatrix, Right, Strided,
};
use opledger_tensor::Tensor;

use super::attention;
use super::metering::{Metering, refused};
use crate::{Row, Weight};

/// An axis with its size and its stride in an operand.
#[derive(Clone, Copy, Debug)]
struct Run {
    size: usize,
    stride: usize,
}

/// The axes of one operand that play one role, joined into one if they lie so in memory.
fn joined(runs: &[Run]) -> Option<Run> {
    let mut joined = Run { size: 1, stride: 1 };
    for run in runs.iter().rev().filter(|run| run.size != 1) {
        if joined.size == 1 {
            joined = *run;
        } else if run.stride == joined.stride * joined.size {
            joined.size *= run.size;
        } else {
            return None;
        }
    }
    Some(joined)
}

/// An operand of the product: a matrix for each batch item.
struct Side<'a> {
    names: &'a [Symbol],
    tensor: &'a Tensor<f32>,
}

/// Where the matrices of a side lie, copied into order when its axes cannot be joined in place.
struct Matrices {
    copy: Option<Vec<f32>>,
    offsets: Vec<usize>,
    outer: Run,
    inner: Run,
}

impl Side<'_> {
    fn runs(&self, axes: &[&Symbol]) -> Vec<Run> {
        let own = strides(self.tensor.shape());
        let at = |name: &&Symbol| self.names.iter().position(|n| n == *name);
        axes.iter()
            .map(|name| match at(name) {
                Some(at) => Run { size: self.tensor.shape()[at], stride: own[at] },
                None => Run { size: 1, stride: 0 },
            })
            .collect()
    }

    fn matrices(
        &self,
        batch: &[&Symbol],
        outer: &[&Symbol],
        inner: &[&Symbol],
    ) -> Result<Matrices, OpError> {
        let (b, o, i) = (self.runs(batch), self.runs(outer), self.runs(inner));
        if let (Some(outer), Some(inner)) = (joined(&o), joined(&i)) {
            let sizes: Vec<usize> = b.iter().map(|run| run.size).collect();
            let start =
                |index: Vec<usize>| index.iter().zip(&b).map(|(i, run)| i * run.stride).sum();
            let offsets = indices(&sizes).map(start).collect();
            return Ok(Matrices { copy: None, offsets, outer, inner });
        }
        let all: Vec<Run> = [b.clone(), o.clone(), i.clone()].concat();
        let (shape, along): (Vec<usize>, Vec<usize>) =
            all.iter().map(|run| (run.size, run.stride)).unzip();
        let mut copy = vec![0.0; self.tensor.len()];
        let source = Strided { data: self.tensor.data(), strides: &along };
        kernels::permute(&shape, source, &mut copy).map_err(refused)?;
        let size = |runs: &[Run]| runs.iter().map(|run| run.size).product::<usize>();
        let (outer, inner) = (size(&o), size(&i));
        let offsets = (0..size(&b)).map(|item| item * outer * inner).collect();
        let (outer, inner) = (Run { size: outer, stride: inner }, Run { size: inner, stride: 1 });
        Ok(Matrices { copy: Some(copy), offsets, outer, inner })
    }
}

/// A contraction as a batched matrix product.
pub(super) struct Product<'a> {
    a: Side<'a>,
    b: Side<'a>,
    a_matrices: Matrices,
    b_matrices: Matrices,
    /// The axes of the result as the product makes them.
    made: Vec<Symbol>,
}

impl<'a> Product<'a> {
    pub(super) fn new(op: &'a Einsum, call: &'a Call<'_, f32>) -> Result<Self, OpError> {
        let left = Side { names: &op.lhs, tensor: call.real(0)? };
        let right = Side { names: &op.rhs, tensor: call.real(1)? };
        let in_left = |n: &Symbol| op.lhs.contains(n);
        let in_right = |n: &Symbol| op.rhs.contains(n);
        let batch: Vec<&Symbol> = op.out.iter().filter(|n| in_left(n) && in_right(n)).collect();
        let rows: Vec<&Symbol> = op.out.iter().filter(|n| in_left(n) && !in_right(n)).collect();
        let columns: Vec<&Symbol> = op.out.iter().filter(|n| !in_left(n) && in_right(n)).collect();
        let summed: Vec<&Symbol> = op.summed_axes().collect();

        // The product comes out as batch, rows, columns; with the operands exchanged as batch,
        // columns, rows. Any other order takes a copy.
        let order = |a: &[&Symbol], b: &[&Symbol]| -> Vec<Symbol> {
            batch.iter().chain(a).chain(b).map(|n| (*n).clone()).collect()
        };
        let exchanged = order(&columns, &rows) == op.out && !columns.is_empty();
        let (a, b, rows, columns) =
            if exchanged { (right, left, columns, rows) } else { (left, right, rows, columns) };
        let made = order(&rows, &columns);
        let a_matrices = a.matrices(&batch, &rows, &summed)?;
        let b_matrices = b.matrices(&batch, &columns, &summed)?;
        Ok(Product { a, b, a_matrices, b_matrices, made })
    }

    pub(super) fn problem(&self) -> Gemm<'_> {
        let (a, b) = (&self.a_matrices, &self.b_matrices);
        Gemm {
            batch: a.offsets.len(),
            m: a.outer.size,
            k: a.inner.size,
            n: b.outer.size,
            a: MatrixBatch {
                data: a.copy.as_deref().unwrap_or(self.a.tensor.data()),
                offsets: &a.offsets,
                row_stride: a.outer.stride,
                col_stride: a.inner.stride,
            },
            b: Right::Plain(MatrixBatch {
                data: b.copy.as_deref().unwrap_or(self.b.tensor.data()),
                offsets: &b.offsets,
                row_stride: b.inner.stride,
                col_stride: b.outer.stride,
            }),
        }
    }
}

/// The left factor of a product by a weight: rows whose terms come in the order of the weight's.
pub(super) struct Rows<'a> {
    tensor: &'a Tensor<f32>,
    matrices: Matrices,
}

impl<'a> Rows<'a> {
    pub(super) fn new(op: &'a Einsum, call: &'a Call<'_, f32>) -> Result<Self, OpError> {
        let tensor = call.real(0)?;
        let rows: Vec<&Symbol> = op.out.iter().filter(|name| op.lhs.contains(name)).collect();
        let summed: Vec<&Symbol> = op.rhs.iter().filter(|name| op.lhs.contains(name)).collect();
        let side = Side { names: &op.lhs, tensor };
        Ok(Rows { tensor, matrices: side.matrices(&[], &rows, &summed)? })
    }

    pub(super) fn by<'p>(&'p self, weight: &'p PackedMatrix) -> Gemm<'p> {
        let Matrices { copy, offsets, outer, inner } = &self.matrices;
        Gemm {
            batch: 1,
            m: outer.size,
            k: inner.size,
            n: weight.shape()[1],
            a: MatrixBatch {
                data: copy.as_deref().unwrap_or(self.tensor.data()),
                offsets,
                row_stride: outer.stride,
                col_stride: inner.stride,
            },
            b: Right::Packed(weight),
        }
    }
}

pub(super) fn apply<M: Metering>(
    op: &Einsum,
    call: &Call<'_, f32>,
    out: &mut [f32],
    row: &Row,
) -> Result<(), OpError> {
    let meter = M::of(row, Part::Contraction);
    if let Some(masked) = &op.masked {
        return attention::masked(op, masked, call, out, meter);
    }
    let product = Product::new(op, call)?;
    let problem = product.problem();
    let made = &product.made;
    if *made == op.out {
        return kernels::gemm(&problem, out, meter).map_err(refused);
    }
    let mut result = vec![0.0; call.output_len()];
    kernels::gemm(&problem, &mut result, meter).map_err(refused)?;
    let sizes: Vec<usize> = made
        .iter()
        .map(|n| op.out.iter().position(|m| m == n).map_or(1, |at| call.output[at]))
        .collect();
    let own = strides(&sizes);
    let along: Vec<usize> =
        op.out.iter().map(|n| made.iter().position(|m| m == n).map_or(0, |at| own[at])).collect();
    let source = Strided { data: &result, strides: &along };
    kernels::permute(call.output, source, out).map_err(refused)
}

/// Rows by the weights of the experts chosen for them, which are the third operand if they are not given
/// as a weight.
pub(super) fn experts(
    call: &Call<'_, f32>,
    weight: Option<&Weight>,
    out: &mut [f32],
    meter: &impl Meter,
) -> Result<(), OpError> {
    let ids = call.index(1)?.data();
    let (weight, shape) = match weight {
        Some(weight) => (ExpertMatrices::Packed(weight.matrices()), weight.shape()),
        None => {
            let plain = call.table(2)?;
            (ExpertMatrices::Plain(plain.data()), plain.shape())
        }
    };
    let [experts, width, terms] = shape[..] else { return Err(OpError::Operand(2)) };
    let problem = kernels::Experts {
        x: call.real(0)?.data(),
        choices: Experts::ids_per_row(call)?,
        ids,
        weight,
        experts,
        width,
        terms,
    };
    let read = kernels::experts(&problem, out, meter).map_err(refused)?;
    call.reads.some(2, read);
    Ok(())
}

/// Outer products, added up by expert.
pub(super) fn experts_outer(
    call: &Call<'_, f32>,
    out: &mut [f32],
    meter: &impl Meter,
) -> Result<(), OpError> {
    let [experts, width, terms] = call.output[..] else { return Err(OpError::Operand(0)) };
    let problem = kernels::OuterProducts {
        y: call.real(0)?.data(),
        ids: call.index(1)?.data(),
        x: call.real(2)?.data(),
        choices: ExpertsOuter::ids_per_row(call)?,
        experts,
        width,
        terms,
    };
    kernels::experts_outer(&problem, out, meter).map_err(refused)
}
