//! Maps by a matrix, alone or several in one call, and what their calls save.

use opledger_dims::Poly;
use opledger_ir::ops::Einsum;
use opledger_ir::{ModuleClass, ModuleId, Node, Projection, Shape, Var};

use crate::ConventionError;
use crate::dialect::AttentionModule;
use crate::units::lowering::Owner;
use crate::units::saved::tape::{SavedTensor, contiguous};

use super::{SavedResult, Walk};

impl<'a> Walk<'a> {
    /// A map, or its share of the call that makes several of them.
    pub(super) fn linear(&mut self, var: Var, node: &'a Node, op: &Einsum) -> SavedResult {
        let (x, weight) = (self.value(node, 0)?, self.value(node, 1)?);
        let summed = op.summed_axes().count();
        let rows = x.sizes.len().saturating_sub(summed);
        let in_order = op.summed_axes().eq(op.lhs.get(rows..).unwrap_or_default())
            && op.out.get(..rows) == op.lhs.get(..rows);
        let convolved = self.lowering.within(node, ModuleClass::Convolution).is_some();
        if (!in_order && !convolved) || !self.lowering.is_parameter(node.inputs[1]) {
            return Err(self.unobserved(node, "a map of another order of axes"));
        }
        let biased = self.lowering.biases.contains_key(&var);
        let call = if biased { "addmm" } else { "mm" };
        let made = self.unmade(&node.shape.axes, x.grad || weight.grad)?;
        match self.lowering.owner(var) {
            Owner::Node(_) if convolved => {
                // Patches are cut by the convolution itself.
                let image = self.root(node.inputs[0]);
                let image = self.values.get(&image).cloned();
                let image = image.ok_or_else(|| self.unobserved(node, "an operand of it"))?;
                let made = self.tape.fresh(&made, made.elem);
                self.tape.call("convolution", &[&image, &weight], &[&made]);
                Ok(made)
            }
            Owner::Node(_) => {
                let flat = self.tape.reshape(&x, &[rows, summed]);
                let made = self.tape.fresh(&made, made.elem);
                self.tape.call(call, &[&flat, &weight], &[&made]);
                Ok(made)
            }
            Owner::Fused(id, _) => {
                let within = |of: &Var| self.lowering.owner(*of) == self.lowering.owner(var);
                let maps: Vec<Var> = self
                    .graph()
                    .vars()
                    .filter(|of| self.lowering.is_linear(*of) && within(of))
                    .collect();
                let packed =
                    self.packed(id, node, &maps, (&x, &weight), (&[rows, summed], call))?;
                // Side by side in each row.
                let mut strides = contiguous(&made.sizes);
                let own: u64 = made.sizes[rows..].iter().product();
                for stride in &mut strides[..rows] {
                    *stride = *stride / own.max(1) * packed.1;
                }
                Ok(SavedTensor { storage: packed.0.storage, strides, ..made })
            }
            Owner::Multihead(id) => self.multihead(id, node, (x, weight, made), call),
            Owner::Core(_) | Owner::Window(_) => Err(self.unobserved(node, "what is saved of it")),
        }
    }

    /// What maps of one value make by one call, and how many numbers of each row.
    pub(super) fn packed(
        &mut self,
        id: ModuleId,
        node: &Node,
        maps: &[Var],
        (x, weight): (&SavedTensor, &SavedTensor),
        (runs, call): (&[usize], &'static str),
    ) -> Result<(SavedTensor, u64), ConventionError> {
        if let Some((of, packed, row)) = self.together.get(&id) {
            if *of != node.inputs[0] {
                return Err(self.unobserved(node, "one map of two values"));
            }
            return Ok((packed.clone(), *row));
        }
        let (mut elements, mut row) = (Poly::zero(), 0u64);
        for map in maps {
            let shape: &Shape = self.graph().shape(*map);
            elements += shape.elements();
            row +=
                self.sizes(&shape.axes[runs[0].min(shape.axes.len())..])?.iter().product::<u64>();
        }
        let flat = self.tape.reshape(x, runs);
        let like = SavedTensor { elements, ..flat.clone() };
        let mut packed = self.tape.fresh(&like, like.elem);
        packed.grad = x.grad || weight.grad;
        self.tape.call(call, &[&flat, weight], &[&packed]);
        self.together.insert(id, (node.inputs[0], packed.clone(), row));
        Ok((packed, row))
    }

    /// A map of `nn.MultiheadAttention`, which has tokens before items inside
    /// (`torch/nn/functional.py`, `_in_projection_packed` and `multi_head_attention_forward`).
    pub(super) fn multihead(
        &mut self,
        id: ModuleId,
        node: &'a Node,
        (x, weight, made): (SavedTensor, SavedTensor, SavedTensor),
        call: &'static str,
    ) -> SavedResult {
        let all: Vec<Var> = self.lowering.inside(id).collect();
        let known = self.lowering.dialect.attention == AttentionModule::Multihead
            && !self.lowering.dialect.sequence_first
            && self.lowering.family(node).is_none()
            && self.lowering.attends_to_itself(&all);
        if !known || made.sizes.len() < 3 {
            return Err(self.unobserved(node, "what is saved of such a module"));
        }
        if self.lowering.projection(node) == Some(Projection::Output) {
            let tokens_first = x.permuted(&[1, 0, 2, 3]);
            let flat = self.tape.reshape(&tokens_first, &[2, 2]);
            let made = self.tape.fresh(&made.permuted(&[1, 0, 2]), made.elem);
            self.tape.call("addmm", &[&flat, &weight], &[&made]);
            return Ok(made.permuted(&[1, 0, 2]));
        }
        let maps: Vec<Var> = all
            .into_iter()
            .filter(|of| {
                let to_heads =
                    self.lowering.projection(self.graph().node(*of)) != Some(Projection::Output);
                to_heads && self.lowering.is_linear(*of)
            })
            .collect();
        let tokens_first = x.permuted(&[1, 0, 2]);
        let packed = self.packed(id, node, &maps, (&tokens_first, &weight), (&[2, 1], call))?.0;
        // unflatten(…).contiguous() puts the three one behind the other.
        let own = contiguous(&made.permuted(&[1, 0, 2, 3]).sizes);
        let strides = [1, 0, 2, 3].iter().map(|at| own[*at]).collect();
        Ok(SavedTensor { storage: packed.storage, strides, ..made })
    }
}
