//! Tensors cut along an axis, and put together again.

use opledger_dims::Scalar;
use opledger_ir::{OpError, Value};
use opledger_tensor::Tensor;

/// Sizes before an axis, of it, and behind it, multiplied.
fn spans(sizes: &[usize], axis: usize) -> [usize; 3] {
    [sizes[..axis].iter().product(), sizes[axis], sizes[axis + 1..].iter().product()]
}

/// The equal runs of an axis, one for each of `parts`.
pub(crate) fn cut<T: Copy>(data: &[T], sizes: &[usize], axis: usize, parts: usize) -> Vec<Vec<T>> {
    let [outer, own, inner] = spans(sizes, axis);
    let run = own / parts * inner;
    let piece = |part: usize| {
        let start = |row: usize| row * own * inner + part * run;
        (0..outer).flat_map(|row| data[start(row)..start(row) + run].iter().copied()).collect()
    };
    (0..parts).map(piece).collect()
}

/// The opposite; `sizes` are those of the whole.
pub(crate) fn join<T: Copy>(pieces: &[Vec<T>], sizes: &[usize], axis: usize) -> Vec<T> {
    let [outer, own, inner] = spans(sizes, axis);
    let run = own / pieces.len() * inner;
    let row = |row: usize| {
        pieces.iter().flat_map(move |piece| piece[row * run..(row + 1) * run].iter().copied())
    };
    (0..outer).flat_map(row).collect()
}

/// A tensor cut along an axis.
pub(crate) fn cut_value<T: Copy>(
    value: &Value<T>,
    axis: usize,
    parts: usize,
) -> Result<Vec<Value<T>>, OpError> {
    let mut sizes = value.shape().to_vec();
    let whole = sizes.clone();
    sizes[axis] /= parts;
    Ok(match value {
        Value::Real(t) => {
            let pieces = cut(t.data(), &whole, axis, parts).into_iter();
            let tensors = pieces.map(|data| Ok(Value::Real(Tensor::new(&sizes, data)?)));
            tensors.collect::<Result<_, OpError>>()?
        }
        Value::Index(t) => {
            let pieces = cut(t.data(), &whole, axis, parts).into_iter();
            let tensors = pieces.map(|data| Ok(Value::Index(Tensor::new(&sizes, data)?)));
            tensors.collect::<Result<_, OpError>>()?
        }
    })
}

/// The slice of an iteration.
pub(crate) fn slice<T: Scalar>(stack: &Value<T>, iteration: usize) -> Result<Value<T>, OpError> {
    let (first, rest) = stack.shape().split_first().ok_or(OpError::Operand(0))?;
    let mut pieces = cut_value(stack, 0, *first)?;
    if iteration >= pieces.len() {
        return Err(OpError::Operand(0));
    }
    reshaped(&pieces.swap_remove(iteration), rest)
}

/// What iterations gave, side by side along a first axis.
pub(crate) fn stacked<T: Scalar>(all: &[&Value<T>]) -> Result<Value<T>, OpError> {
    let mut sizes = vec![all.len()];
    sizes.extend(all.first().into_iter().flat_map(|value| value.shape()));
    let whole: Vec<i64> =
        all.iter().filter_map(|v| v.index()).flat_map(|t| t.data()).copied().collect();
    if let Some(Value::Index(_)) = all.first() {
        return Ok(Value::Index(Tensor::new(&sizes, whole)?));
    }
    let data: Vec<T> =
        all.iter().filter_map(|v| v.real()).flat_map(|t| t.data()).copied().collect();
    Ok(Tensor::new(&sizes, data)?.into())
}

/// As many zeros as a value has elements.
pub(crate) fn zeros<T: Scalar>(value: &Value<T>) -> Result<Value<T>, OpError> {
    let tensor = value.real().ok_or(OpError::Operand(0))?;
    Ok(Value::Real(tensor.map(|_| T::from_f64(0.0))))
}

pub(crate) fn bytes_of<T>(value: &Value<T>) -> u64 {
    match value {
        Value::Real(t) => size_of_val(t.data()) as u64,
        Value::Index(t) => size_of_val(t.data()) as u64,
    }
}

/// The same elements in another shape.
pub(crate) fn reshaped<T: Scalar>(value: &Value<T>, sizes: &[usize]) -> Result<Value<T>, OpError> {
    Ok(match value {
        Value::Real(t) => Value::Real(t.reshape(sizes)?),
        Value::Index(t) => Value::Index(t.reshape(sizes)?),
    })
}
