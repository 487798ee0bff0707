//! Values, and one call of an operation on them.

use opledger_dims::{Binding, Integer, Poly, Scalar};
use opledger_tensor::Tensor;

use crate::{Kind, OpError, Reads, Shape};

/// A tensor of reals or of whole numbers, shared without copying.
#[derive(Clone, Debug)]
pub enum Value<T> {
    /// Real numbers.
    Real(Tensor<T>),
    /// Whole numbers.
    Index(Tensor<i64>),
}

impl<T> Value<T> {
    /// The size along each axis.
    pub fn shape(&self) -> &[usize] {
        match self {
            Value::Real(t) => t.shape(),
            Value::Index(t) => t.shape(),
        }
    }

    /// What the elements are.
    pub fn kind(&self) -> Kind {
        match self {
            Value::Real(_) => Kind::Real,
            Value::Index(_) => Kind::Whole,
        }
    }

    /// The tensor of reals, when it is one.
    pub fn real(&self) -> Option<&Tensor<T>> {
        match self {
            Value::Real(t) => Some(t),
            Value::Index(_) => None,
        }
    }

    /// The tensor of whole numbers, when it is one.
    pub fn index(&self) -> Option<&Tensor<i64>> {
        match self {
            Value::Index(t) => Some(t),
            Value::Real(_) => None,
        }
    }
}

impl<T> From<Tensor<T>> for Value<T> {
    fn from(tensor: Tensor<T>) -> Self {
        Value::Real(tensor)
    }
}

/// One call: where, the operands, the sizes of the result, and the binding that attributes are read
/// at.
#[derive(Debug)]
pub struct Call<'a, T> {
    /// The concrete path of the node in the present iteration, such as `layers.2.dropout`.
    pub path: &'a str,
    /// The operands.
    pub inputs: &'a [&'a Value<T>],
    /// The operands' named axes.
    pub shapes: &'a [&'a Shape],
    /// The sizes of the first result; what those of further ones are, an operation knows from its
    /// operands.
    pub output: &'a [usize],
    /// The values of all symbols.
    pub binding: &'a Binding,
    /// What has been read of the operands.
    pub reads: &'a Reads,
}

impl<T> Call<'_, T> {
    /// Operand `i` as reals, all of which are read.
    ///
    /// # Errors
    /// When it is missing or holds whole numbers.
    pub fn real(&self, i: usize) -> Result<&Tensor<T>, OpError> {
        let tensor = self.table(i)?;
        self.reads.all(i, tensor.len());
        Ok(tensor)
    }

    /// Operand `i` as reals, whose buffer the result continues: none is read, and those it holds are
    /// not written.
    ///
    /// # Errors
    /// As [`Call::real`].
    pub fn kept(&self, i: usize) -> Result<&Tensor<T>, OpError> {
        let tensor = self.table(i)?;
        self.reads.keep(tensor.len());
        Ok(tensor)
    }

    /// Operand `i` as reals, of which some are looked up; who does notes how many in
    /// [`Call::reads`].
    ///
    /// # Errors
    /// As [`Call::real`].
    pub fn table(&self, i: usize) -> Result<&Tensor<T>, OpError> {
        self.inputs.get(i).and_then(|v| v.real()).ok_or(OpError::Operand(i))
    }

    /// Operand `i` as whole numbers, all of which are read.
    ///
    /// # Errors
    /// When it is missing or holds reals.
    pub fn index(&self, i: usize) -> Result<&Tensor<i64>, OpError> {
        let tensor = self.inputs.get(i).and_then(|v| v.index()).ok_or(OpError::Operand(i))?;
        self.reads.all(i, tensor.len());
        Ok(tensor)
    }

    /// A size at the binding of this call.
    ///
    /// # Errors
    /// When a symbol is unbound or the value does not fit the machine.
    pub fn size(&self, size: &Poly) -> Result<usize, OpError> {
        to_usize(&size.at(self.binding)?)
    }

    /// How many elements the result has.
    pub fn output_len(&self) -> usize {
        self.output.iter().product()
    }
}

impl<T: Scalar> Call<'_, T> {
    /// The one result, over `data` and of this call's output shape.
    pub(crate) fn result(&self, data: Vec<T>) -> Result<Vec<Value<T>>, OpError> {
        Ok(vec![Tensor::new(self.output, data)?.into()])
    }
}

/// A size as the machine's own integer.
///
/// # Errors
/// When it is negative or too large.
pub fn to_usize(value: &Integer) -> Result<usize, OpError> {
    usize::try_from(value).map_err(|_| OpError::TooLarge(value.to_string()))
}

/// Row-major strides of a shape.
pub fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for i in (1..shape.len()).rev() {
        strides[i - 1] = strides[i] * shape[i].max(1);
    }
    strides
}

/// Every index of a shape in row-major order; one empty index for a scalar.
pub fn indices(shape: &[usize]) -> impl Iterator<Item = Vec<usize>> + '_ {
    let total: usize = shape.iter().product();
    (0..total).map(move |mut flat| {
        let mut index = vec![0; shape.len()];
        for (i, &size) in shape.iter().enumerate().rev() {
            index[i] = flat % size;
            flat /= size;
        }
        index
    })
}
