//! Views and copies, and what goes from iteration to iteration of a repetition.

use opledger_dims::{Poly, Symbol};
use opledger_ir::ops::Rearrange;
use opledger_ir::{Elem, ModuleClass, Node, Var};

use crate::ConventionError;
use crate::dialect::DropoutPlace;
use crate::units::saved::tape::{SavedStorage, SavedTensor, contiguous};

use super::{Carried, SavedResult, Walk};

impl<'a> Walk<'a> {
    pub(super) fn rearrange(&mut self, node: &'a Node, how: &Rearrange) -> SavedResult {
        let x = self.value(node, 0)?;
        let own = &self.graph().shape(node.inputs[0]).axes;
        let place = |name: &Symbol| own.iter().position(|axis| axis.name == *name);
        let unmade = self.unmade(&node.shape.axes, x.grad)?;
        // Positions of a table: a look-up of their ids, made or kept as a buffer.
        if self.lowering.is_rows(node)
            && self.lowering.around(node).next().map(|(_, module)| module.class)
                == Some(ModuleClass::Positions)
            && !matches!(how, Rearrange::Rename { .. })
        {
            let counted = !self.manner(node)?.positions_kept;
            let rows = self.unmade(&node.shape.axes[..1], false)?;
            let storage = self.tape.storage(&rows.elements, Elem::I64, counted);
            let ids = SavedTensor { storage, elem: Elem::I64, ..rows };
            let made = self.tape.fresh(&unmade, unmade.elem);
            self.tape.call("embedding", &[&x, &ids], &[&made]);
            return Ok(made);
        }
        let view =
            |strides| SavedTensor { strides, storage: x.storage, elem: x.elem, ..unmade.clone() };
        match how {
            Rearrange::Rename { .. } | Rearrange::Slice { .. } => Ok(view(x.strides.clone())),
            Rearrange::Permute { order } => {
                let strides = order.iter().filter_map(place).map(|at| x.strides[at]).collect();
                Ok(view(strides))
            }
            Rearrange::Expand { .. } => Ok(view([&[0], &x.strides[..]].concat())),
            Rearrange::Split { axis, into } => {
                let at = place(axis).ok_or_else(|| self.unobserved(node, "an axis of it"))?;
                let inner = self.sizes(into)?;
                let inner = contiguous(&inner).into_iter().map(|step| step * x.strides[at]);
                let mut strides = x.strides[..at].to_vec();
                strides.extend(inner);
                strides.extend(&x.strides[at + 1..]);
                Ok(view(strides))
            }
            Rearrange::Merge { axes, .. } => {
                let first = axes.first().and_then(place);
                let first = first.ok_or_else(|| self.unobserved(node, "an axis of it"))?;
                let before = vec![1; first];
                let after = vec![1; x.sizes.len() - first - axes.len()];
                Ok(self.tape.reshape(&x, &[before, vec![axes.len()], after].concat()))
            }
            Rearrange::Roll { .. } | Rearrange::Pad { .. } => {
                Err(self.unobserved(node, "what is saved of it"))
            }
        }
    }

    /// What enters a repetition.
    pub(super) fn enter(&mut self, node: &'a Node) -> SavedResult {
        let graph = self.graph();
        let body =
            graph.loops().iter().find(|body| std::ptr::eq(&graph.nodes()[body.body.start], node));
        let one = body.is_some_and(|body| {
            let ends = graph.ends(body);
            ends.entering.len() == 1 && ends.stacks.is_empty() && ends.stacked.is_empty()
        });
        if !one {
            return Err(self.unobserved(node, "a repetition of more than one value"));
        }
        let mut entering = self.value(node, 0)?;
        let times = std::mem::replace(&mut self.tape.times, Poly::one());
        let at = self.tape.at.replace(node.inputs[0]);
        if self.drops(node, DropoutPlace::Entry) {
            // Before the first layer, where that stands which enters.
            entering = self.tape.dropout(&entering);
        }
        (self.tape.times, self.tape.at) = (times, at);
        let given = SavedTensor { grad: true, ..self.tape.fresh(&entering, entering.elem) };
        let count = self.tape.times.clone();
        let (entering, at) = (entering.storage, given.storage);
        self.carried.push(Carried { entering, given: at, next: at, leaving: at, count });
        Ok(given)
    }

    /// What leaves it.
    pub(super) fn leave(&mut self, var: Var) -> Result<(), ConventionError> {
        let node = self.graph().node(var);
        let last = node.inputs.len().saturating_sub(1);
        let next = self.value(node, last)?;
        let left = self.tape.fresh(&next, next.elem);
        if let Some(carried) = self.carried.last_mut() {
            (carried.next, carried.leaving) = (next.storage, left.storage);
        }
        self.values.insert(var, left);
        Ok(())
    }

    /// What an iteration is given is what the one before made.
    pub(super) fn unite(&mut self) {
        for Carried { entering, given, next, leaving, count } in std::mem::take(&mut self.carried) {
            let storages = &mut self.tape.storages;
            let saver = |storages: &[SavedStorage], at: usize| storages[at].saved;
            let (of_given, of_next) = (saver(storages, given), saver(storages, next));
            let (first, last) = (of_given, of_next);
            storages[entering].saved = saver(storages, entering).or(first);
            storages[leaving].saved = last.or(saver(storages, leaving));
            storages[given].saved = of_given.or(of_next);
            storages[given].times = count - Poly::one();
            storages[next].saved = None;
        }
    }
}
