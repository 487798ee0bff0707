//! Weights packed once for all runs.

use std::collections::HashMap;
use std::sync::Arc;

use opledger_kernels::{KernelError, PackedMatrix};
use opledger_tensor::Tensor;

use crate::available_memory;

/// Packed forms of the weights of a model.
#[derive(Clone, Debug, Default)]
pub(super) struct Weights {
    packed: HashMap<Key, Entry>,
    run: u64,
}

/// A matrix in memory: where it lies, `[k, n]`, and its strides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    data: usize,
    shape: [usize; 2],
    strides: [usize; 2],
}

#[derive(Clone, Debug)]
struct Entry {
    matrix: Arc<PackedMatrix>,
    /// Keeps the memory of the key from being used for anything else.
    _tensor: Tensor<f32>,
    used: u64,
}

impl Weights {
    /// A run begins: what the last one did not use is dropped.
    pub(super) fn begin(&mut self) {
        let last = self.run;
        self.packed.retain(|_, entry| entry.used == last);
        self.run += 1;
    }

    /// The packed form of a weight, made at its first use; `None` where memory would run short.
    pub(super) fn packed(
        &mut self,
        tensor: &Tensor<f32>,
        shape: [usize; 2],
        strides: [usize; 2],
    ) -> Result<Option<Arc<PackedMatrix>>, KernelError> {
        let key = Key { data: tensor.data().as_ptr() as usize, shape, strides };
        if let Some(entry) = self.packed.get_mut(&key) {
            entry.used = self.run;
            return Ok(Some(entry.matrix.clone()));
        }
        let bytes = PackedMatrix::elements(shape[0], shape[1]).and_then(|n| n.checked_mul(4));
        let short = |bytes: usize| available_memory().is_some_and(|free| free < (2 * bytes).into());
        if bytes.is_none_or(short) {
            return Ok(None);
        }
        let matrix = Arc::new(PackedMatrix::new(tensor.data(), shape, strides)?);
        let entry = Entry { matrix: matrix.clone(), _tensor: tensor.clone(), used: self.run };
        self.packed.insert(key, entry);
        Ok(Some(matrix))
    }
}
