//! Stacks of the values of iterations, and their slices.

use opledger_dims::{Binding, Scalar};
use opledger_ir::{Kind, OpError, Shape, Value};
use opledger_tensor::Tensor;

use crate::program::sizes_at;

/// The slice of an iteration: what stands at its place along the first axis.
pub(crate) fn slice<T: Scalar>(stack: &Value<T>, iteration: usize) -> Result<Value<T>, OpError> {
    let (_, sizes) = stack.shape().split_first().ok_or(OpError::Operand(0))?;
    let len: usize = sizes.iter().product();
    let run = iteration * len..(iteration + 1) * len;
    Ok(match stack {
        Value::Real(t) => {
            let run = t.data().get(run).ok_or(OpError::Operand(0))?;
            Value::Real(Tensor::new(sizes, run.to_vec())?)
        }
        Value::Index(t) => {
            let run = t.data().get(run).ok_or(OpError::Operand(0))?;
            Value::Index(Tensor::new(sizes, run.to_vec())?)
        }
    })
}

/// What iterations give, side by side along a first axis.
pub(crate) struct Stack<T> {
    sizes: Vec<usize>,
    data: Data<T>,
}

enum Data<T> {
    Real(Vec<T>),
    Whole(Vec<i64>),
}

impl<T: Scalar> Stack<T> {
    /// A stack with room for all iterations, whose number is the first size of its shape.
    pub(crate) fn new(shape: &Shape, binding: &Binding) -> Result<Self, OpError> {
        let sizes = sizes_at(shape, binding)?;
        let len = sizes.iter().product();
        let data = match shape.elem.kind() {
            Kind::Real => Data::Real(vec![T::from_f64(0.0); len]),
            Kind::Whole => Data::Whole(vec![0; len]),
        };
        Ok(Stack { sizes, data })
    }

    /// Bytes of all its elements.
    pub(crate) fn bytes(&self) -> u64 {
        let bytes = match &self.data {
            Data::Real(data) => size_of_val(&data[..]),
            Data::Whole(data) => size_of_val(&data[..]),
        };
        bytes as u64
    }

    /// Puts the value of an iteration in its place.
    pub(crate) fn put(&mut self, iteration: usize, value: &Value<T>) -> Result<(), OpError> {
        let len: usize = self.sizes.iter().skip(1).product();
        let place = iteration * len..(iteration + 1) * len;
        let wrong = OpError::Operand(0);
        match (&mut self.data, value) {
            (Data::Real(data), Value::Real(t)) if t.len() == len => {
                data.get_mut(place).ok_or(wrong)?.copy_from_slice(t.data());
            }
            (Data::Whole(data), Value::Index(t)) if t.len() == len => {
                data.get_mut(place).ok_or(wrong)?.copy_from_slice(t.data());
            }
            _ => return Err(wrong),
        }
        Ok(())
    }

    /// The whole stack.
    pub(crate) fn value(self) -> Result<Value<T>, OpError> {
        Ok(match self.data {
            Data::Real(data) => Value::Real(Tensor::new(&self.sizes, data)?),
            Data::Whole(data) => Value::Index(Tensor::new(&self.sizes, data)?),
        })
    }
}
