//! Experts in families whose library runs all of them for every token, on what its scores leave of the
//! token: for experts that were not chosen, nothing.

use opledger_dims::{Binding, Integer};
use opledger_ir::ops::{ArithmeticKind, Reduce};
use opledger_ir::{ModuleClass, Node, Op, Shape, Var};

use super::calls::Calls;
use super::lowering::Lowering;
use super::sizes::{batched, pointwise};
use crate::ConventionError;
use crate::call::{Call, Manner};

impl<'a> Lowering<'a> {
    /// The calls of a node of a mixture, where its family runs all experts and what is called follows from
    /// that.
    pub(super) fn calls_of_all_experts(&self, var: Var) -> Option<Calls> {
        let node = self.graph.node(var);
        let family = self.family(node)?;
        if !self.dialect.all_experts.iter().any(|own| own == family) {
            return None;
        }
        let one = |op, by, sizes: Result<_, ConventionError>| {
            sizes.map(|sizes: Binding| (sizes.clone(), vec![Call::new(op, by, sizes)]))
        };
        match (&node.op, self.sparsity(node)) {
            // The logistic function of the scores of all experts, −∞ for those that were not chosen.
            (Op::Activation(function), None) => {
                self.within(node, ModuleClass::Router)?;
                let chosen = self.graph.node(*node.inputs.first()?);
                let all = *chosen.inputs.first().filter(|_| matches!(chosen.op, Op::Gather(_)))?;
                Some(self.elements(all).and_then(|all| {
                    let sizes = pointwise(all);
                    Ok((sizes.clone(), self.activation_calls(node, *function, &sizes)?))
                }))
            }
            (Op::Activation(function), Some(sparsity)) => Some(sparsity.and_then(|sparsity| {
                let sizes = pointwise(sparsity.of_all(self.elements(var)?));
                Ok((sizes.clone(), self.activation_calls(node, *function, &sizes)?))
            })),
            (Op::Arithmetic(op), Some(sparsity)) if op.kind == ArithmeticKind::Mul => {
                let sizes = sparsity.and_then(|all| Ok(pointwise(all.of_all(self.elements(var)?))));
                Some(one("mul", Manner::Operator, sizes))
            }
            (Op::Reduce(Reduce::Sum(_)), Some(sparsity)) => {
                let read = *node.inputs.first()?;
                let sizes = sparsity.and_then(|all| {
                    let read = all.of_all(self.elements(read)?);
                    Ok(pointwise(read).with("results", self.elements(var)?))
                });
                Some(one("sum", Manner::Method, sizes))
            }
            (Op::Experts(_), Some(sparsity)) => {
                let [x, _, weight] = node.inputs[..] else { return None };
                let sizes = sparsity.and_then(|all| {
                    let out = all.of_all(self.elements(var)?);
                    let terms = self.last(self.graph.shape(weight))?;
                    let left = &out / self.last(&node.shape)? * &terms;
                    let grad = self.grad(x) + self.grad(weight);
                    Ok(batched(&left, &self.elements(weight)?, &out, &(&out * &terms), grad))
                });
                Some(one("bmm", Manner::Function, sizes))
            }
            _ => None,
        }
    }

    fn last(&self, shape: &Shape) -> Result<Integer, ConventionError> {
        shape.axes.last().map_or(Ok(1.into()), |axis| self.at(&axis.size))
    }

    /// How many of how many experts run, for a node among them.
    fn sparsity(&self, node: &'a Node) -> Option<Result<Sparsity, ConventionError>> {
        let module = self.within(node, ModuleClass::Experts)?;
        let product = self.graph.nodes().iter().find(|other| {
            matches!(other.op, Op::Experts(_))
                && self.within(other, ModuleClass::Experts) == Some(module)
        })?;
        let [_, ids, weight] = product.inputs[..] else { return None };
        let all = self.graph.shape(weight).axes.first().map(|axis| self.at(&axis.size))?;
        Some(all.and_then(|all| Ok(Sparsity { all, chosen: self.last(self.graph.shape(ids))? })))
    }
}

/// How many of how many experts run for a token.
struct Sparsity {
    all: Integer,
    chosen: Integer,
}

impl Sparsity {
    /// Of what is there for each expert chosen, how much there is for all.
    fn of_all(&self, chosen: Integer) -> Integer {
        chosen * &self.all / &self.chosen
    }
}
