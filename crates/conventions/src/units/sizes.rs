//! Sizes of calls, by the names that rules use.

use opledger_dims::{Binding, Integer, Poly, Symbol};
use opledger_ir::ops::{Norm, NormKind};
use opledger_ir::{Axis, ModuleClass, Node, Op, Var};

use super::lowering::Lowering;
use crate::ConventionError;

/// An integer size.
pub(super) type Size = Result<Integer, ConventionError>;

impl Lowering<'_> {
    pub(super) fn at(&self, poly: &Poly) -> Size {
        Ok(poly.at(self.binding)?)
    }

    pub(super) fn elements(&self, var: Var) -> Size {
        self.at(&self.graph.shape(var).elements())
    }

    pub(super) fn output_elements(&self, node: &Node) -> Size {
        self.at(&node.shape.elements())
    }

    fn product(&self, axes: &[Axis]) -> Size {
        self.at(&axes.iter().map(|a| &a.size).product::<Poly>())
    }

    /// The size of the first axis of a value, as the framework lays it out, of which these are the
    /// axes but for those of features: items, with windows side by side, or tokens where these come
    /// first.
    pub(super) fn first(&self, node: &Node, rows: &[Axis]) -> Size {
        let [items @ .., tokens] = rows else { return Ok(1.into()) };
        if self.dialect.sequence_first {
            self.at(&tokens.size)
        } else if self.has_listed_tokens(node) {
            self.product(rows)
        } else if self.within(node, ModuleClass::WindowAttention).is_some() {
            self.product(items)
        } else {
            self.at(&rows[0].size)
        }
    }

    /// `elements`, `rows` and `first` of a value whose last axis is its features.
    pub(super) fn rows(&self, node: &Node) -> Result<Binding, ConventionError> {
        let elements = self.output_elements(node)?;
        let Some((width, rows)) = node.shape.axes.split_last() else {
            return Ok(pointwise(elements).with("rows", 1).with("first", 1));
        };
        Ok(pointwise(elements.clone())
            .with("rows", divide(&elements, &self.at(&width.size)?))
            .with("first", self.first(node, rows)?))
    }

    /// The same of what a norm works on: RMSNorm may be over all heads together.
    pub(super) fn norm_rows(&self, node: &Node, norm: &Norm) -> Result<Binding, ConventionError> {
        let sizes = self.rows(node)?;
        let axes = &node.shape.axes;
        match (norm.kind, axes.split_at_checked(axes.len().saturating_sub(norm.over))) {
            (NormKind::Rms, Some((rows, _))) => Ok(sizes.with("rows", self.product(rows)?)),
            _ => Ok(sizes),
        }
    }

    /// Whether gradients flow to a value in training, as 1 or 0.
    pub(super) fn grad(&self, var: Var) -> Integer {
        u32::from(self.gradient(var)).into()
    }

    /// `rows`, `in`, `out`, `bias`, `first` of a product with a weight; `fused_bias`, whether one
    /// operator adds the bias as well; `split` and `split_bias`, whether
    /// the weight and the bias are parts of parameters; `grad`, whether its operand needs a gradient.
    pub(super) fn linear(&self, var: Var) -> Result<Binding, ConventionError> {
        let node = self.graph.node(var);
        let weight = node.inputs.iter().copied().find(|v| self.is_parameter(*v));
        let operand = node.inputs.iter().copied().find(|v| Some(*v) != weight);
        let (Op::Einsum(op), Some(weight), Some(operand)) = (&node.op, weight, operand) else {
            return Err(self.unwritten(node, "a product of a value with a weight".to_owned()));
        };
        let over: Vec<&Symbol> = op.summed_axes().collect();
        let axes = |var: Var, summed: bool| -> Vec<Axis> {
            let axes = self.graph.shape(var).axes.iter();
            axes.filter(|axis| over.contains(&&axis.name) == summed).cloned().collect()
        };
        let summed = self.product(&axes(weight, true))?;
        let bias = u32::from(self.biases.contains_key(&var));
        Ok(Binding::new()
            .with("rows", divide(&self.elements(operand)?, &summed))
            .with("in", summed.clone())
            .with("out", divide(&self.elements(weight)?, &summed))
            .with("bias", bias)
            .with("fused_bias", 1)
            .with("split", 0)
            .with("split_bias", 0)
            .with("first", self.first(node, &axes(operand, false))?)
            .with("grad", self.grad(operand))
            .with("groups", 1))
    }

    /// The sizes of a linear map for a convolution, whose rows are the places of the window and whose inputs
    /// are what the window holds, padding as well.
    pub(super) fn convolution(&self, var: Var) -> Result<Binding, ConventionError> {
        let node = self.graph.node(var);
        let [x, weight] = node.inputs[..] else {
            return Err(self.unwritten(node, "a convolution of a value by a weight".to_owned()));
        };
        let first = |var: Var| {
            let axis = self.graph.shape(var).axes.first();
            axis.map_or(Ok(1.into()), |axis| self.at(&axis.size))
        };
        let out = first(weight)?;
        let window = self.elements(weight)?;
        let channels = |var: Var| {
            let axis = self.graph.shape(var).axes.get(1);
            axis.map_or(Ok(1.into()), |axis| self.at(&axis.size))
        };
        let groups = divide(&channels(x)?, &channels(weight)?);
        let bias = u32::from(self.biases.contains_key(&var));
        Ok(Binding::new()
            .with("rows", divide(&self.output_elements(node)?, &out))
            .with("in", divide(&window, &out))
            .with("out", out)
            .with("bias", bias)
            .with("fused_bias", 1)
            .with("split", 0)
            .with("split_bias", 0)
            .with("first", first(x)?)
            .with("grad", self.grad(x))
            .with("groups", groups))
    }

    /// The same of one whose window ends at its result, where the library pads behind the input as well:
    /// as many results more as the window has taps before its last.
    pub(super) fn convolution_to_both_sides(&self, var: Var) -> Result<Binding, ConventionError> {
        let node = self.graph.node(var);
        let sizes = self.convolution(var)?;
        let Op::Convolution(op) = &node.op else { return Ok(sizes) };
        let more: usize = op.padding.iter().map(|(before, _)| *before).sum();
        let tokens = node.shape.axes.last().map_or(Ok(1.into()), |axis| self.at(&axis.size))?;
        let rows = sizes.get(&"rows".into()).cloned().unwrap_or_default();
        let items = divide(&rows, &tokens);
        Ok(sizes.with("rows", rows + items * more))
    }

    /// The sizes of a linear map for the products of all experts that run, together.
    pub(super) fn experts(&self, node: &Node) -> Result<Binding, ConventionError> {
        let weight = node.inputs.iter().copied().find(|v| self.is_parameter(*v));
        let operand = node.inputs.iter().copied().find(|v| Some(*v) != weight);
        let (Some(weight), Some(operand)) = (weight, operand) else {
            return Err(self.unwritten(node, "experts of a value by a weight".to_owned()));
        };
        let last = |axes: &[Axis]| axes.last().map_or(Ok(1.into()), |axis| self.at(&axis.size));
        let (out, elements) = (last(&node.shape.axes)?, self.output_elements(node)?);
        Ok(Binding::new()
            .with("rows", divide(&elements, &out))
            .with("in", last(&self.graph.shape(weight).axes)?)
            .with("out", out)
            .with("bias", 0)
            .with("fused_bias", 1)
            .with("split", 0)
            .with("split_bias", 0)
            .with("first", 1)
            .with("grad", self.grad(operand)))
    }

    /// `batch`, `heads`, `queries`, `keys`, `head_dim`, `value_dim` of an attention.
    pub(super) fn attention(&self, q: Var, k: Var, v: Var) -> Result<Binding, ConventionError> {
        let [query, key, value] = [q, k, v].map(|var| self.graph.shape(var));
        let ([batch @ .., queries, heads, head_dim], [.., keys, _, _], [.., value_dim]) =
            (&query.axes[..], &key.axes[..], &value.axes[..])
        else {
            return Ok(Binding::new());
        };
        Ok(Binding::new()
            .with("batch", self.product(batch)?)
            .with("queries", self.at(&queries.size)?)
            .with("keys", self.at(&keys.size)?)
            .with("given_keys", self.at(&keys.size)?)
            .with("heads", self.at(&heads.size)?)
            .with("head_dim", self.at(&head_dim.size)?)
            .with("value_dim", self.at(&value_dim.size)?))
    }

    /// `elements` and `left` of a sum or product of two values: the elements of the result, and those
    /// of the operands broadcast as if they were aligned at their first axes.
    pub(super) fn pair(&self, a: Var, b: Var) -> Result<Binding, ConventionError> {
        let [x, y] = [a, b].map(|v| {
            let axes = self.graph.shape(v).axes.iter();
            axes.map(|axis| self.at(&axis.size)).collect::<Result<Vec<_>, _>>()
        });
        let (x, y) = (x?, y?);
        let one = Integer::from(1);
        let at = |sizes: &[Integer], i: usize| sizes.get(i).cloned().unwrap_or_else(|| one.clone());
        let left: Integer = (0..x.len().max(y.len())).map(|i| at(&x, i).max(at(&y, i))).product();
        Ok(pointwise(x.iter().product()).with("left", left))
    }
}

/// A size of a call; zero when it has none of the name.
pub(super) fn size(sizes: &Binding, name: &str) -> Integer {
    sizes.get(&name.into()).cloned().unwrap_or_default()
}

/// `elements` of a pointwise call.
pub(super) fn pointwise(elements: Integer) -> Binding {
    Binding::new().with("left", elements.clone()).with("elements", elements)
}

/// `batch`, `m`, `n`, `k` of a batched product of matrices, and `grad`, how many operands need a
/// gradient.
pub(super) fn product(
    batch: Integer,
    (m, n, k): (Integer, Integer, Integer),
    grad: Integer,
) -> Binding {
    Binding::new().with("batch", batch).with("m", m).with("n", n).with("k", k).with("grad", grad)
}

/// A quotient of sizes of which one divides the other; none of nothing.
pub(super) fn divide(a: &Integer, b: &Integer) -> Integer {
    let zero = Integer::default();
    if *b == zero { zero } else { a / b }
}

/// The sizes of a batched product from those of its operands and result.
pub(super) fn batched(
    left: &Integer,
    right: &Integer,
    out: &Integer,
    macs: &Integer,
    grad: Integer,
) -> Binding {
    // left = b·m·k, right = b·k·n, out = b·m·n, macs = b·m·n·k.
    let (k, n, m) = (divide(macs, out), divide(macs, left), divide(macs, right));
    product(divide(out, &(&m * &n)), (m, n, k), grad)
}
