//! Tensors as PyTorch lays them out in memory, and which of their storages calls save.

use opledger_dims::Poly;
use opledger_ir::{Elem, Var};

use super::table;

/// Memory that tensors are views of.
pub(super) struct SavedStorage {
    pub(super) bytes: Poly,
    /// How often there is one, in a run.
    pub(super) times: Poly,
    /// Whether it is neither a parameter's nor a buffer's.
    pub(super) counted: bool,
    /// The call that first saved it.
    pub(super) saved: Option<Saver>,
}

/// A call that saves.
#[derive(Clone, Copy)]
pub(super) struct Saver {
    pub(super) at: Var,
    pub(super) op: &'static str,
}

/// A tensor.
#[derive(Clone)]
pub(super) struct SavedTensor {
    pub(super) storage: usize,
    pub(super) sizes: Vec<u64>,
    pub(super) strides: Vec<u64>,
    pub(super) elem: Elem,
    pub(super) elements: Poly,
    pub(super) grad: bool,
}

/// What is saved so far.
#[derive(Default)]
pub(super) struct Tape {
    pub(super) storages: Vec<SavedStorage>,
    /// The node whose call is the present one.
    pub(super) at: Option<Var>,
    /// How often it runs.
    pub(super) times: Poly,
    /// An operator that no rule is known of.
    pub(super) unknown: Option<&'static str>,
}

/// The strides of a tensor whose elements lie in the order of its dimensions.
pub(super) fn contiguous(sizes: &[u64]) -> Vec<u64> {
    let mut strides = vec![1; sizes.len()];
    for at in (1..sizes.len()).rev() {
        strides[at - 1] = strides[at] * sizes[at].max(1);
    }
    strides
}

impl SavedTensor {
    /// Its dimensions in another order.
    pub(super) fn permuted(&self, order: &[usize]) -> SavedTensor {
        let of = |from: &[u64]| order.iter().map(|at| from[*at]).collect();
        SavedTensor { sizes: of(&self.sizes), strides: of(&self.strides), ..self.clone() }
    }

    /// The strides of a new tensor like this one: its own where nothing lies between or upon its elements,
    /// else as dense, in the same order.
    pub(super) fn strides_like(&self) -> Vec<u64> {
        let mut order: Vec<usize> = (0..self.sizes.len()).collect();
        order.sort_by_key(|at| std::cmp::Reverse(self.strides[*at]));
        let mut strides = vec![1; order.len()];
        let mut step = 1;
        for at in order.into_iter().rev() {
            strides[at] = step;
            step *= self.sizes[at].max(1);
        }
        strides
    }

    /// The strides of a view whose dimensions are these runs of neighbouring dimensions, where there is one.
    fn merged(&self, runs: &[usize]) -> Option<Vec<u64>> {
        let (mut at, mut strides) = (0, Vec::with_capacity(runs.len()));
        for run in runs {
            let dims: Vec<usize> = (at..at + run).filter(|dim| self.sizes[*dim] != 1).collect();
            at += run;
            let meet = |pair: &[usize]| {
                self.strides[pair[0]] == self.strides[pair[1]] * self.sizes[pair[1]]
            };
            if !dims.windows(2).all(meet) {
                return None;
            }
            strides.push(dims.last().map_or(1, |dim| self.strides[*dim]));
        }
        Some(strides)
    }
}

impl Tape {
    /// A storage that is new.
    pub(super) fn storage(&mut self, elements: &Poly, elem: Elem, counted: bool) -> usize {
        let bytes = elements.clone() * Poly::from(elem.bits() / 8);
        self.storages.push(SavedStorage { bytes, times: self.times.clone(), counted, saved: None });
        self.storages.len() - 1
    }

    /// A tensor of its own storage, its elements in the order of its dimensions.
    pub(super) fn fresh(&mut self, like: &SavedTensor, elem: Elem) -> SavedTensor {
        let storage = self.storage(&like.elements, elem, true);
        SavedTensor { storage, strides: contiguous(&like.sizes), elem, ..like.clone() }
    }

    /// The same, its elements in the order of another's.
    pub(super) fn like(&mut self, like: &SavedTensor, elem: Elem) -> SavedTensor {
        let storage = self.storage(&like.elements, elem, true);
        SavedTensor { storage, strides: like.strides_like(), elem, ..like.clone() }
    }

    /// A reshape to runs of neighbouring dimensions: a view where there is one, else a copy.
    pub(super) fn reshape(&mut self, of: &SavedTensor, runs: &[usize]) -> SavedTensor {
        let mut at = 0;
        let mut size = |run: &usize| {
            at += run;
            of.sizes[at - run..at].iter().product()
        };
        let sizes: Vec<u64> = runs.iter().map(&mut size).collect();
        match of.merged(runs) {
            Some(strides) => SavedTensor { sizes, strides, ..of.clone() },
            None => {
                let strides = contiguous(&sizes);
                SavedTensor { sizes, strides, ..self.fresh(of, of.elem) }
            }
        }
    }

    /// A tensor of another type; the same one where it has it.
    pub(super) fn to(&mut self, of: &SavedTensor, elem: Elem) -> SavedTensor {
        if of.elem == elem {
            return of.clone();
        }
        let made = self.like(of, elem);
        self.call("to", &[of], &[&made]);
        made
    }

    /// A call of an operator with as many elements as its first operand.
    pub(super) fn pointwise(&mut self, op: &'static str, operands: &[&SavedTensor]) -> SavedTensor {
        let mut made = self.like(operands[0], operands[0].elem);
        made.grad = operands.iter().any(|of| of.grad);
        self.call(op, operands, &[&made]);
        made
    }

    /// Dropout on a CPU: the product with noise that is 0 or `1/(1 − p)`, of the type of its operand.
    pub(super) fn dropout(&mut self, of: &SavedTensor) -> SavedTensor {
        let mut noise = self.like(of, of.elem);
        noise.grad = false;
        self.pointwise("mul", &[of, &noise])
    }

    /// Notes what a call saves, if its result has a gradient.
    pub(super) fn call(
        &mut self,
        op: &'static str,
        operands: &[&SavedTensor],
        results: &[&SavedTensor],
    ) {
        let Some(saves) = table::of(op) else {
            self.unknown.get_or_insert(op);
            return;
        };
        if !operands.iter().any(|of| of.grad) {
            return;
        }
        let wanted = |at: &usize| operands.get(*at).is_some_and(|of| of.grad);
        let kept = saves.operands.iter().filter(|(_, readers)| readers.iter().any(wanted));
        let kept = kept.filter_map(|(at, _)| operands.get(*at));
        let made = saves.results.iter().filter_map(|at| results.get(*at));
        for tensor in kept.chain(made) {
            if let Some(at) = self.at {
                self.storages[tensor.storage].saved.get_or_insert(Saver { at, op });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(sizes: &[u64], strides: &[u64]) -> SavedTensor {
        let elements = Poly::from(sizes.iter().product::<u64>());
        let (sizes, strides) = (sizes.to_vec(), strides.to_vec());
        SavedTensor { storage: 0, sizes, strides, elem: Elem::F32, elements, grad: true }
    }

    /// As `torch.empty_strided(…).reshape(…)`: a view exactly where neighbours meet.
    #[test]
    fn reshapes_are_views_where_dimensions_meet() {
        let mut tape = Tape::default();
        tape.storage(&Poly::one(), Elem::F32, true);
        let views = [
            (tensor(&[2, 3, 4], &[12, 4, 1]), &[2, 1][..], true),
            (tensor(&[2, 3, 4], &[4, 8, 1]), &[2, 1], false),
            // A dimension of one is nowhere.
            (tensor(&[1, 3, 4], &[4, 8, 1]), &[2, 1], true),
            (tensor(&[2, 3, 4], &[36, 12, 1]), &[2, 1], true),
            (tensor(&[2, 3, 4], &[36, 12, 1]), &[1, 2], false),
        ];
        for (at, (of, runs, view)) in views.into_iter().enumerate() {
            assert_eq!(tape.reshape(&of, runs).storage == 0, view, "{at}");
        }
    }
}
