//! The calls of attention by one fused function, or by its chain.

use std::collections::BTreeMap;

use opledger_dims::{Binding, Integer};
use opledger_ir::ops::Attention;
use opledger_ir::{Node, Op, Role, Var};

use super::calls::Calls;
use super::lowering::Lowering;
use super::sizes::{Size, divide, pointwise, product, size};
use crate::ConventionError;
use crate::call::{Call, Manner};
use crate::dialect::{Core, DropoutPlace, Scaled};

impl Lowering<'_> {
    /// Products of a batched product: those of all pairs, whatever a mask leaves.
    pub(super) fn node_macs(&self, node: &Node) -> Result<Integer, ConventionError> {
        let Op::Einsum(op) = &node.op else { return Ok(0.into()) };
        let mut all = self.output_elements(node)?;
        for name in op.summed_axes() {
            let shapes = node.inputs.iter().map(|v| self.graph.shape(*v));
            let axis = shapes.flat_map(|s| &s.axes).find(|a| a.name == *name);
            all *= axis.map_or(Ok(1.into()), |a| self.at(&a.size))?;
        }
        Ok(all)
    }

    pub(super) fn matmul(&self, node: &Node, sizes: Binding) -> Call {
        match self.core_at(node) {
            Core::Chain { products, scores, of_batches, .. } => {
                let scores = scores.filter(|_| node.role == Some(Role::Scores));
                let by = scores.unwrap_or(*products);
                Call::new(if *of_batches { "bmm" } else { "matmul" }, by, sizes)
            }
            Core::Sdpa => Call::new("matmul", Manner::Function, sizes),
        }
    }

    pub(super) fn softmax(&self, node: &Node) -> Manner {
        if node.role == Some(Role::Routing) {
            let own = self
                .family(node)
                .is_some_and(|family| self.dialect.method_routers.iter().any(|own| own == family));
            return if own { Manner::Method } else { Manner::Function };
        }
        match self.core_at(node) {
            Core::Chain { softmax, .. } => *softmax,
            Core::Sdpa => Manner::Function,
        }
    }

    pub(super) fn softmax_sizes(&self, node: &Node) -> Result<Binding, ConventionError> {
        let elements = self.output_elements(node)?;
        let width = node.shape.axes.last().map_or(Ok(1.into()), |a| self.at(&a.size))?;
        Ok(pointwise(elements.clone()).with("rows", divide(&elements, &width)))
    }

    /// The elements that are multiplied where scores are scaled: theirs, or those of queries.
    pub(super) fn scaled(&self, node: &Node) -> Size {
        let queries = matches!(self.core_at(node), Core::Chain { scaled: Scaled::Queries, .. });
        match (node.role, self.scaled_queries(node)) {
            (Some(Role::ScoreScale), Some(scaled)) if queries => self.elements(scaled),
            _ => self.output_elements(node),
        }
    }

    /// The queries of the scores that a node scales.
    pub(super) fn scaled_queries(&self, node: &Node) -> Option<Var> {
        let scores = node.inputs.first().map(|v| self.graph.node(*v))?;
        scores.inputs.first().copied()
    }

    /// Attention within windows by functions alone.
    pub(super) fn window_calls(&self, vars: &[Var]) -> Calls {
        let mut calls = Vec::new();
        for &var in vars {
            let node = self.graph.node(var);
            if self.is_linear(var) {
                calls.push(Call::new("linear", Manner::Function, self.linear(var)?));
            } else if node.role != Some(Role::Bias) {
                calls.extend(self.node_calls(var)?.1);
            }
        }
        // The result is [items, rows, columns, features].
        let result = vars.last().map(|var| self.graph.node(*var));
        let axes = result.map_or(&[][..], |node| &node.shape.axes);
        let [rows @ .., _, _] = axes else { return Ok((Binding::new(), calls)) };
        Ok((Binding::new().with("rows", self.at(&rows.iter().map(|a| &a.size).product())?), calls))
    }

    /// Attention, by one function or by its chain.
    pub(super) fn core(&self, node: &Node) -> Calls {
        let (Op::Attention(op), [q, k, v, more @ ..]) = (&node.op, &node.inputs[..]) else {
            return Err(self.unwritten(node, "attention of queries, keys and values".to_owned()));
        };
        let sizes = self.attention(*q, *k, *v)?;
        let Some(keep) = more.last().filter(|own| self.graph.of_positions(**own)) else {
            let masked = !more.is_empty() || !op.mask.is_none();
            return self.core_of(node, (op, masked), sizes);
        };
        // Windows of one image are attended to one by one.
        let (mut module, mut calls) = (None, Vec::new());
        for (window, many) in self.windows_of(node, *keep)? {
            let batch = size(&sizes, "batch") * many;
            let own = sizes.clone().with("batch", batch);
            let own = own.with("queries", window).with("keys", window);
            let (sizes, more) = self.core_of(node, (op, false), own)?;
            module = module.or(Some(sizes));
            calls.extend(more);
        }
        Ok((module.unwrap_or(sizes), calls))
    }

    /// The windows that a mask leaves, by their tokens, and how many there are of as many.
    fn windows_of(
        &self,
        node: &Node,
        keep: Var,
    ) -> Result<BTreeMap<usize, usize>, ConventionError> {
        let none = || self.unwritten(node, "attention under this mask".to_owned());
        let seen = self.graph.whole_numbers(keep, self.binding, &|_| None);
        let seen = seen.ok().flatten().ok_or_else(none)?;
        let [queries, keys] = seen.shape() else { return Err(none()) };
        let mut windows: BTreeMap<&[i64], usize> = BTreeMap::new();
        for row in seen.data().chunks((*keys).max(1)).take(*queries) {
            *windows.entry(row).or_default() += 1;
        }
        let mut many = BTreeMap::new();
        for (row, tokens) in windows {
            // Each of its tokens sees all of them and no others.
            if row.iter().filter(|sees| **sees != 0).count() != tokens {
                return Err(none());
            }
            *many.entry(tokens).or_default() += 1;
        }
        Ok(many)
    }

    /// Attention of sizes, by one function or by its chain.
    fn core_of(&self, node: &Node, (op, masked): (&Attention, bool), sizes: Binding) -> Calls {
        let [q, k, v, more @ ..] = &node.inputs[..] else {
            return Err(self.unwritten(node, "attention of queries, keys and values".to_owned()));
        };
        let rows = size(&sizes, "batch") * size(&sizes, "heads") * size(&sizes, "queries");
        let scores = &rows * size(&sizes, "keys");
        let module = sizes.clone().with("rows", rows.clone()).with("elements", scores.clone());
        let grad = [*q, *k, *v].into_iter().map(|var| self.grad(var)).sum::<Integer>();
        // The fused function knows no soft cap and no sinks.
        let spelled = (&Manner::Function, &Scaled::Scores, false);
        let chain = match self.core_at(node) {
            Core::Chain { softmax, scaled, baddbmm, .. } => Some((softmax, scaled, *baddbmm)),
            Core::Sdpa => (op.soft_cap.is_some() || op.sinks).then_some(spelled),
        };
        let Some((softmax, scaled, baddbmm)) = chain else {
            // A bias that is trained and values of another width than keys keep attention off the fused
            // kernel, and so does, in training, dropout of the weights.
            let apart = is_apart(&sizes) || more.iter().any(|bias| self.gradient(*bias));
            let dropped = apart || self.drops_out(node);
            let sizes = sizes
                .with("grad", grad)
                .with("masked", u32::from(masked))
                .with("math", u32::from(apart))
                .with("math_training", u32::from(dropped));
            return Ok((module, vec![Call::new("sdpa", Manner::Function, sizes)]));
        };
        let batch = size(&sizes, "batch") * size(&sizes, "heads");
        let grad = grad.min(2.into());
        let shape = |n, k| product(batch.clone(), (size(&sizes, "queries"), n, k), grad.clone());
        let mut calls = Vec::new();
        if op.scale.is_some() && *scaled == Scaled::Queries {
            let queries = &rows * size(&sizes, "head_dim");
            calls.push(Call::new("mul", Manner::Operator, pointwise(queries)));
        }
        let products = shape(size(&sizes, "keys"), size(&sizes, "head_dim"));
        calls.push(match baddbmm {
            true => Call::new("baddbmm", Manner::Method, products),
            false => self.matmul(node, products),
        });
        let scores_scaled = match scaled {
            Scaled::Queries => false,
            Scaled::Scores => op.scale.is_some() && !baddbmm,
            Scaled::Always => true,
        };
        if scores_scaled {
            calls.push(Call::new("mul", Manner::Operator, pointwise(scores.clone())));
        }
        if op.soft_cap.is_some() {
            let capped =
                [("div", Manner::Operator), ("tanh", Manner::Function), ("mul", Manner::Operator)];
            calls.extend(capped.map(|(op, by)| Call::new(op, by, pointwise(scores.clone()))));
        }
        if op.bias || (masked && !op.mask.is_none()) {
            calls.push(Call::new("add", Manner::Operator, pointwise(scores.clone())));
        }
        // Sinks are put beside the scores, whose maximum is subtracted before softmax does so again.
        let entries = if op.sinks { &scores + &rows } else { scores.clone() };
        if op.sinks {
            let largest = pointwise(entries.clone()).with("results", rows.clone());
            calls.push(Call::new("amax", Manner::Method, largest));
            calls.push(Call::new("sub", Manner::Operator, pointwise(entries.clone())));
        }
        let by = if self.is_softmax_module(node) { Manner::Function } else { *softmax };
        calls.push(Call::new("softmax", by, pointwise(entries).with("rows", rows)));
        if self.drops(node, DropoutPlace::Weights) {
            calls.push(Call::new("dropout", Manner::Function, pointwise(scores)));
        }
        let products = shape(size(&sizes, "value_dim"), size(&sizes, "keys"));
        calls.push(match baddbmm {
            true => Call::new("bmm", Manner::Function, products),
            false => self.matmul(node, products),
        });
        Ok((module, calls))
    }

    /// The fused function for attention that the graph has node by node.
    pub(super) fn core_calls(&self, vars: &[Var]) -> Calls {
        let of = |role| vars.iter().copied().find(|var| self.graph.node(*var).role == Some(role));
        let found = (of(Role::Scores), of(Role::AttentionWeights), of(Role::Context));
        let (Some(scores), Some(weights), Some(context)) = found else {
            let missing = "attention without scores, weights or context".to_owned();
            return match vars.first() {
                Some(var) => Err(self.unwritten(self.graph.node(*var), missing)),
                None => Ok(<_>::default()),
            };
        };
        let [scores, weights, context] = [scores, weights, context].map(|v| self.graph.node(v));
        let [batch @ .., heads, queries, keys] = &weights.shape.axes[..] else {
            return Err(
                self.unwritten(weights, "weights [batch…, heads, queries, keys]".to_owned())
            );
        };
        let (left, right) = (self.batched(scores)?, self.batched(context)?);
        let sizes = Binding::new()
            .with("batch", self.at(&batch.iter().map(|a| &a.size).product())?)
            .with("heads", self.at(&heads.size)?)
            .with("queries", self.at(&queries.size)?)
            .with("keys", self.at(&keys.size)?)
            .with("head_dim", size(&left, "k"))
            .with("value_dim", size(&right, "n"));
        let biases = vars.iter().map(|var| self.graph.node(*var));
        let biases: Vec<_> = biases.filter(|node| node.role == Some(Role::ScoreBias)).collect();
        let masked = !biases.is_empty() || scores.inputs.len() > 2;
        let mut added = biases.iter().filter_map(|node| node.inputs.get(1));
        let apart = is_apart(&sizes) || added.any(|bias| self.gradient(*bias));
        let grad = size(&left, "grad") + size(&right, "grad").min(1.into());
        let call = sizes
            .clone()
            .with("grad", grad)
            .with("masked", u32::from(masked))
            .with("math", u32::from(apart))
            .with("math_training", u32::from(apart || self.drops_out(weights)));
        // Biases are added up before.
        let scores = ["batch", "heads", "queries", "keys"].map(|name| size(&sizes, name));
        let sum = pointwise(scores.iter().product());
        let sums = biases.iter().skip(1).map(|_| Call::new("add", Manner::Operator, sum.clone()));
        let sdpa = Call::new("sdpa", Manner::Function, call);
        Ok((sizes, sums.chain([sdpa]).collect()))
    }

    /// Whether training drops attention weights out at a node.
    fn drops_out(&self, node: &Node) -> bool {
        if self.drops_weights(node) {
            return true;
        }
        self.torch_layer(node).is_some_and(|layer| {
            self.inside(layer).any(|var| matches!(self.graph.node(var).op, Op::Dropout(_)))
        })
    }
}

/// Whether values are of another width than keys.
fn is_apart(sizes: &Binding) -> bool {
    size(sizes, "head_dim") != size(sizes, "value_dim")
}
