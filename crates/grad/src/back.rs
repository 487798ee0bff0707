//! The graph while gradients are recorded behind it.

use opledger_dims::{Poly, Symbol};
use opledger_ir::ops::{ArithmeticKind, IndexMap, Masked, Pointwise, Rearrange, Reduce};
use opledger_ir::{Axis, Graph, IndexExpr, Masking, Node, Operation, Shape, Var};

use crate::GradError;

/// What is known of gradients so far.
pub(crate) struct Back {
    pub(crate) graph: Graph,
    /// Which values have one.
    wanted: Vec<bool>,
    gradients: Vec<Option<Var>>,
}

type Made = Result<Var, GradError>;

impl Back {
    pub(crate) fn new(graph: Graph, wanted: Vec<bool>) -> Back {
        let gradients = vec![None; wanted.len()];
        Back { graph, wanted, gradients }
    }

    pub(crate) fn is_wanted(&self, var: Var) -> bool {
        self.wanted[var.index()]
    }

    pub(crate) fn gradient(&self, var: Var) -> Option<Var> {
        self.gradients[var.index()]
    }

    /// Adds what one use of a value says of its gradient.
    pub(crate) fn contribute(&mut self, to: Var, gradient: Var) -> Result<(), GradError> {
        let sum = match self.gradients[to.index()] {
            Some(before) => self.graph.add("", before, gradient)?,
            None => gradient,
        };
        self.gradients[to.index()] = Some(sum);
        Ok(())
    }

    pub(crate) fn shape(&self, var: Var) -> Shape {
        self.graph.shape(var).clone()
    }

    pub(crate) fn mul(&mut self, a: Var, b: Var) -> Made {
        Ok(self.graph.mul("", a, b)?)
    }

    pub(crate) fn sub(&mut self, a: Var, b: Var) -> Made {
        Ok(self.graph.arithmetic("", ArithmeticKind::Sub, a, b)?)
    }

    pub(crate) fn of(&mut self, function: Pointwise, x: Var) -> Made {
        Ok(self.graph.pointwise(x, function)?)
    }

    pub(crate) fn times(&mut self, x: Var, number: f64) -> Made {
        Ok(self.graph.scale(x, opledger_ir::ops::Factor::Number(number))?)
    }

    /// The sum over the axes that a shape lacks, its axes in their order: the gradient of what was
    /// repeated along them.
    pub(crate) fn like(&mut self, gradient: Var, shape: &Shape) -> Made {
        let mut sum = gradient;
        for axis in self.shape(gradient).axes {
            if shape.position(&axis.name).is_none() {
                sum = self.graph.reduce(sum, Reduce::Sum(axis.name))?;
            }
        }
        self.ordered(sum, &shape.axes)
    }

    /// The axes in another order.
    pub(crate) fn ordered(&mut self, x: Var, axes: &[Axis]) -> Made {
        let names =
            |axes: &[Axis]| -> Vec<Symbol> { axes.iter().map(|a| a.name.clone()).collect() };
        let order = names(axes);
        if names(&self.shape(x).axes) == order {
            return Ok(x);
        }
        Ok(self.graph.rearrange(x, Rearrange::Permute { order })?)
    }

    /// The axes called by other names, place by place.
    pub(crate) fn renamed(&mut self, mut x: Var, names: &[Symbol]) -> Made {
        let own: Vec<Symbol> = self.shape(x).axes.into_iter().map(|axis| axis.name).collect();
        let changed: Vec<usize> = (0..own.len()).filter(|at| own[*at] != names[*at]).collect();
        // A name that is still another axis's waits behind one of no axis.
        let between = |at: usize| Symbol::from(format!("{}''''", names[at]));
        let taken = |at: usize| own.contains(&names[at]);
        for at in &changed {
            let to = if taken(*at) { between(*at) } else { names[*at].clone() };
            x = self.graph.rename(x, own[*at].clone(), to)?;
        }
        for at in changed.into_iter().filter(|at| taken(*at)) {
            x = self.graph.rename(x, between(at), names[at].clone())?;
        }
        Ok(x)
    }

    /// Repeated along an axis that a shape has beside its own.
    pub(crate) fn along(&mut self, x: Var, axis: &Symbol, shape: &Shape) -> Made {
        let axis = shape.axes.iter().find(|own| own.name == *axis).cloned();
        let Some(axis) = axis else { return Ok(x) };
        let repeated = self.graph.rearrange(x, Rearrange::Expand { axis })?;
        self.ordered(repeated, &shape.axes)
    }

    /// The mask of a node with so many operands beside it.
    pub(crate) fn masking(
        &self,
        node: &Node,
        masked: Option<&Masked>,
        operands: usize,
    ) -> Option<Masking> {
        let keep = node.inputs.get(operands).copied();
        masked.map(|masked| Masking { masked: masked.clone(), keep })
    }

    /// Whether a value was computed under the same mask, and so is 0 for every hidden pair.
    pub(crate) fn is_none_where_hidden(&self, pairs: Var, masked: &Masked) -> bool {
        self.graph.node(pairs).op.facts().masked == Some(masked)
    }

    /// A size as a real.
    pub(crate) fn size(&mut self, size: Poly) -> Made {
        let map = IndexMap { axes: Vec::new(), value: IndexExpr::size(size), truth: false };
        let whole = self.graph.record("", map, &[])?;
        Ok(self.graph.to_real(whole)?)
    }
}
