//! Arithmetic, norms, activations, rotations and attention, and what their calls save.

use opledger_dims::Activation;
use opledger_ir::ops::{Arithmetic, ArithmeticKind, Attention, Norm, NormKind};
use opledger_ir::{Axis, Elem, ModuleClass, Node, Role};

use crate::dialect::{ActivationManner, Core, DropoutPlace, NormManner};
use crate::units::saved::SavedBy;
use crate::units::saved::attention::{Form, Made, attend};
use crate::units::saved::tape::SavedTensor;

use super::{SavedResult, Walk};

impl<'a> Walk<'a> {
    pub(super) fn arithmetic(&mut self, node: &'a Node, op: &Arithmetic) -> SavedResult {
        let (a, b) = (self.value(node, 0)?, self.value(node, 1)?);
        match (op.kind, node.role) {
            // Of the same call as the map.
            (ArithmeticKind::Add, Some(Role::Bias)) => Ok(a),
            (ArithmeticKind::Add, _) => {
                let (mut a, mut b) = (a, b);
                if node.role == Some(Role::Residual) && self.drops_residual(node) {
                    // What the sublayer gives stands in its module, what it is added to does not.
                    let last = node.inputs.iter().max().copied();
                    let of = if last == node.inputs.first().copied() { &mut a } else { &mut b };
                    *of = self.tape.dropout(&of.clone());
                }
                let made = self.made(node, a.grad || b.grad)?;
                self.tape.call("add", &[&a, &b], &[&made]);
                Ok(made)
            }
            (ArithmeticKind::Mul, _) if a.sizes == b.sizes => {
                Ok(self.tape.pointwise("mul", &[&a, &b]))
            }
            (
                ArithmeticKind::Mul
                | ArithmeticKind::Div
                | ArithmeticKind::Sub
                | ArithmeticKind::Max
                | ArithmeticKind::Min
                | ArithmeticKind::Pow,
                _,
            ) => Err(self.unobserved(node, "what is saved of it")),
        }
    }

    /// Whether what is added to a residual drops out.
    pub(super) fn drops_residual(&self, node: &'a Node) -> bool {
        let attended = node.inputs.iter().any(|var| {
            let around = self.graph().modules_around(self.graph().node(*var));
            around.into_iter().any(|(_, module)| {
                let class = module.class;
                class == ModuleClass::Attention || class == ModuleClass::MultiheadAttention
            })
        });
        let place = if attended { DropoutPlace::Attended } else { DropoutPlace::Fed };
        self.drops(node, place)
    }

    pub(super) fn norm(&mut self, node: &'a Node, norm: &Norm) -> SavedResult {
        let x = self.value(node, 0)?;
        let plain = norm.over == 1 && norm.gain && self.lowering.is_parameter(node.inputs[1]);
        let own = self.lowering.has_own_layer_norm(node);
        let rows = &node.shape.axes[..node.shape.axes.len().saturating_sub(1)];
        match norm.kind {
            NormKind::Layer if plain && norm.shift && !own => {
                let (gain, shift) = (self.value(node, 1)?, self.value(node, 2)?);
                let made = self.made(node, true)?;
                let of_rows = self.unmade(rows, false)?;
                let mean = self.tape.fresh(&of_rows, of_rows.elem);
                let deviation = self.tape.fresh(&of_rows, of_rows.elem);
                let results = [&made, &mean, &deviation];
                self.tape.call("native_layer_norm", &[&x, &gain, &shift], &results);
                Ok(made)
            }
            NormKind::Rms if plain && self.lowering.dialect.rms_norm == NormManner::Spelled => {
                let gain = self.value(node, 1)?;
                let wide = self.tape.to(&x, Elem::F32);
                let square = self.tape.pointwise("pow", &[&wide]);
                let mut mean = self.unmade(rows, square.grad)?;
                mean = self.tape.fresh(&mean, Elem::F32);
                self.tape.call("mean", &[&square], &[&mean]);
                let root = self.tape.pointwise("rsqrt", &[&mean]);
                let normed = self.tape.pointwise("mul", &[&wide, &root]);
                let normed = self.tape.to(&normed, self.options.elem);
                Ok(self.tape.pointwise("mul", &[&normed, &gain]))
            }
            NormKind::Layer | NormKind::Rms => Err(self.unobserved(node, "what is saved of it")),
        }
    }

    pub(super) fn activation(&mut self, node: &'a Node, function: Activation) -> SavedResult {
        let x = self.value(node, 0)?;
        let spelled = self.lowering.activation(node, function) == ActivationManner::Spelled;
        let tape = &mut self.tape;
        let made = match (function, spelled) {
            (Activation::Relu, _) => tape.pointwise("relu", &[&x]),
            (Activation::GeluErf, _) | (Activation::GeluTanh, false) => {
                tape.pointwise("gelu", &[&x])
            }
            (Activation::Silu, _) => tape.pointwise("silu", &[&x]),
            (Activation::Tanh, _) => tape.pointwise("tanh", &[&x]),
            // 0.5·x·(1 + tanh(√(2/π)·(x + 0.044715·x³)))
            (Activation::GeluTanh, true) => {
                let half = tape.pointwise("scale", &[&x]);
                let cube = tape.pointwise("pow", &[&x]);
                let share = tape.pointwise("scale", &[&cube]);
                let sum = tape.pointwise("add", &[&x, &share]);
                let scaled = tape.pointwise("scale", &[&sum]);
                let tanh = tape.pointwise("tanh", &[&scaled]);
                let more = tape.pointwise("add", &[&tanh]);
                tape.pointwise("mul", &[&half, &more])
            }
            (
                Activation::ReluSquared
                | Activation::QuickGelu
                | Activation::Sigmoid
                | Activation::Softplus,
                _,
            ) => return Err(self.unobserved(node, "what is saved of it")),
        };
        match self.drops(node, DropoutPlace::Hidden) {
            true => Ok(self.tape.dropout(&made)),
            false => Ok(made),
        }
    }

    pub(super) fn rope(&mut self, node: &'a Node) -> SavedResult {
        let (x, table) = (self.value(node, 0)?, self.value(node, 1)?);
        if x.sizes.last() != table.sizes.last() {
            return Err(self.unobserved(node, "what is saved of a rotation of a part of each head"));
        }
        let cos = table.clone();
        let sines = self.sines.get(&table.storage).copied();
        let storage = sines.ok_or_else(|| self.unobserved(node, "a table of such angles"))?;
        let sin = SavedTensor { storage, ..table };
        let straight = self.tape.pointwise("mul", &[&x, &cos]);
        let turned = self.tape.pointwise("neg", &[&x]);
        let turned = self.tape.pointwise("cat", &[&turned]);
        let turned = self.tape.pointwise("mul", &[&turned, &sin]);
        Ok(self.tape.pointwise("add", &[&straight, &turned]))
    }

    pub(super) fn attention(&mut self, node: &'a Node, op: &Attention) -> SavedResult {
        let operands = [self.value(node, 0)?, self.value(node, 1)?, self.value(node, 2)?];
        let [q, k, v] = &operands;
        let shape = |at: usize| &self.graph().shape(node.inputs[at]).axes;
        let plain = !op.bias
            && !op.sinks
            && op.soft_cap.is_none()
            && !op.mask.keep
            && op.mask.reach.is_none()
            // Where a layer of torch.nn is given a mask, it is a tensor.
            && (op.mask.is_none() || self.lowering.family(node).is_some())
            && q.sizes.len() == 4
            && q.sizes[0] == k.sizes[0]
            && q.sizes[1] == k.sizes[1];
        if !plain {
            return Err(self.unobserved(node, "what is saved of attention with more than queries, keys and values of the same tokens"));
        }
        let manner = self.manner(node)?;
        let dropped = self.drops(node, DropoutPlace::Weights);
        let form = match (self.lowering.core_at(node), self.options.by) {
            (Core::Chain { .. }, _) => Form::Chain { widened: manner.widened_softmax },
            (Core::Sdpa, SavedBy::Autograd) => Form::Math,
            (Core::Sdpa, SavedBy::Flash) if dropped || q.sizes[3] != v.sizes[3] => {
                let why = "on a CPU the fused kernel has no dropout and one width of heads; say --no-dropout";
                return Err(self.lowering.unwritten(node, why.to_owned()));
            }
            (Core::Sdpa, SavedBy::Flash) => Form::Fused,
        };
        let [queries, keys, values] = [shape(0), shape(1), shape(2)];
        let grad = q.grad || k.grad || v.grad;
        let axes = |of: &[&Axis]| of.iter().map(|axis| (*axis).clone()).collect::<Vec<_>>();
        let [b, n, h, _] = &queries[..] else {
            return Err(self.unobserved(node, "such attention"));
        };
        let [_, m, _, e] = &keys[..] else { return Err(self.unobserved(node, "such attention")) };
        let f = &values[values.len() - 1];
        let made = Made {
            result: self.unmade(&node.shape.axes, grad)?,
            weights: self.unmade(&axes(&[b, h, n, m]), grad)?,
            rows: self.unmade(&axes(&[b, h, n]), grad)?,
            repeated: [
                self.unmade(&axes(&[b, h, m, e]), grad)?,
                self.unmade(&axes(&[b, h, m, f]), grad)?,
            ],
        };
        Ok(attend(&mut self.tape, [q, k, v], &made, (form, dropped)))
    }
}
