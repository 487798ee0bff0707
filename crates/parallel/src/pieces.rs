//! Tensors cut along an axis, and put together again.

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
