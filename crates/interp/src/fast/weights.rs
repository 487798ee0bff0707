//! PackedWeights packed once for all runs.

use std::collections::HashMap;
use std::sync::Arc;

use opledger_kernels::{KernelError, PackedMatrix};
use opledger_tensor::Tensor;

use crate::{Instance, available_memory};

/// Packed forms of the weights of a model.
#[derive(Clone, Debug, Default)]
pub(super) struct PackedWeights {
    packed: HashMap<Key, Entry>,
    run: u64,
}

/// A parameter read as a matrix `[k, n]` with strides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    parameter: Instance,
    shape: [usize; 2],
    strides: [usize; 2],
}

#[derive(Clone, Debug)]
struct Entry {
    matrix: Arc<PackedMatrix>,
    /// What was packed. Of another graph, or fed anew, the parameter is another tensor.
    tensor: Tensor<f32>,
    used: u64,
}

impl PackedWeights {
    /// A run begins: what the last one did not use is dropped.
    pub(super) fn begin(&mut self) {
        let last = self.run;
        self.packed.retain(|_, entry| entry.used == last);
        self.run += 1;
    }

    /// The packed form of a weight, made at its first use; `None` where memory would run short.
    pub(super) fn packed(
        &mut self,
        parameter: Instance,
        tensor: &Tensor<f32>,
        shape: [usize; 2],
        strides: [usize; 2],
    ) -> Result<Option<Arc<PackedMatrix>>, KernelError> {
        let key = Key { parameter, shape, strides };
        if let Some(entry) = self.packed.get_mut(&key)
            && entry.tensor.shares(tensor)
        {
            entry.used = self.run;
            return Ok(Some(entry.matrix.clone()));
        }
        let bytes = PackedMatrix::elements(shape[0], shape[1]).and_then(|n| n.checked_mul(4));
        let short = |bytes: usize| available_memory().is_some_and(|free| free < (2 * bytes).into());
        if bytes.is_none_or(short) {
            return Ok(None);
        }
        let matrix = Arc::new(PackedMatrix::new(tensor.data(), shape, strides)?);
        let entry = Entry { matrix: matrix.clone(), tensor: tensor.clone(), used: self.run };
        self.packed.insert(key, entry);
        Ok(Some(matrix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_is_packed_once_for_as_long_as_it_is_the_same_tensor() {
        let mut weights = PackedWeights::default();
        let tensor = |x: f32| Tensor::new(&[2, 3], vec![x; 6]).unwrap();
        let (first, other) = (tensor(1.0), tensor(1.0));
        let at = |iteration| Instance { node: 7, iteration };
        let packed = |weights: &mut PackedWeights, which, tensor: &Tensor<f32>| {
            weights.packed(which, tensor, [3, 2], [1, 3]).unwrap().unwrap()
        };
        weights.begin();
        let kept = packed(&mut weights, at(0), &first);
        let next = packed(&mut weights, at(1), &first);
        assert!(!Arc::ptr_eq(&kept, &next), "each iteration has its own");
        weights.begin();
        assert!(Arc::ptr_eq(&kept, &packed(&mut weights, at(0), &first)));
        let anew = packed(&mut weights, at(0), &other);
        assert!(!Arc::ptr_eq(&kept, &anew), "equal numbers in another tensor");
        weights.begin();
        assert_eq!(weights.packed.len(), 1, "what the last run did not use is dropped");
        assert!(Arc::ptr_eq(&anew, &packed(&mut weights, at(0), &other)));
    }
}
