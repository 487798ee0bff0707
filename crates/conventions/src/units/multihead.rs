//! The calls of `nn.MultiheadAttention`, which keeps its projections to itself: projections by
//! functions, then the fused function, or two batched products where weights are asked for.

use opledger_dims::{Binding, Integer};
use opledger_ir::{Node, Op, Projection, Role, Var};

use super::calls::Calls;
use super::lowering::Lowering;
use super::sizes::{pointwise, product, size};
use crate::ConventionError;
use crate::call::{Call, Manner};
use crate::dialect::AttentionModule;

impl Lowering<'_> {
    pub(super) fn multihead_calls(&self, vars: &[Var]) -> Calls {
        let (mut module, mut calls) = (Binding::new(), Vec::new());
        for &var in vars {
            let node = self.graph.node(var);
            if self.is_linear(var) {
                calls.push(self.projection_call(vars, var, &mut module)?);
                continue;
            }
            match &node.op {
                Op::Attention(_) => {
                    if let [q, k, v, ..] = &node.inputs[..] {
                        for (name, value) in self.attention(*q, *k, *v)?.iter() {
                            module.set(name, value.clone());
                        }
                    }
                    match self.dialect.attention {
                        AttentionModule::Multihead | AttentionModule::MultiheadInBlock => {
                            calls.extend(self.core(node)?.1);
                        }
                        AttentionModule::Linears | AttentionModule::Timm => {
                            calls.extend(self.with_weights(node, &module)?);
                        }
                    }
                }
                Op::Einsum(_) => {
                    calls.push(Call::new("bmm", Manner::Function, self.batched(node)?));
                }
                // Queries are scaled where the graph scales scores.
                Op::Scale(_) => {
                    let queries = self.scaled_queries(node);
                    let elements = queries.map_or(Ok(0.into()), |v| self.elements(v))?;
                    calls.push(Call::new("mul", Manner::Operator, pointwise(elements)));
                }
                // Part of the projection's call.
                Op::Arithmetic(_) if node.role == Some(Role::Bias) => {}
                // Part of the function's.
                Op::Dropout(_) => {}
                Op::Softmax(_) => {
                    let sizes = self.softmax_sizes(node)?;
                    if let [batch @ .., heads, queries, keys] = &node.shape.axes[..] {
                        let batch = batch.iter().map(|a| &a.size).product();
                        module.set("batch", self.at(&batch)?);
                        for (name, axis) in [("heads", heads), ("queries", queries), ("keys", keys)]
                        {
                            module.set(name, self.at(&axis.size)?);
                        }
                        module.set("given_keys", self.at(&keys.size)?);
                    }
                    calls.push(Call::new("softmax", Manner::Function, sizes));
                }
                Op::Arithmetic(_)
                | Op::Norm(_)
                | Op::Activation(_)
                | Op::Embedding(_)
                | Op::Pointwise(_)
                | Op::Convolution(_)
                | Op::Pool(_)
                | Op::Cumulative(_)
                | Op::ArgMax(_)
                | Op::Compare(_)
                | Op::ConvolutionTransposed(_)
                | Op::AdaptivePool(_)
                | Op::Scatter(_)
                | Op::Select(_)
                | Op::ToReal(_)
                | Op::ToWhole(_)
                | Op::Sort(_)
                | Op::Fill(_)
                | Op::Rearrange(_)
                | Op::Concat(_)
                | Op::RotaryAngles(_)
                | Op::Rope(_)
                | Op::Sinusoid(_)
                | Op::Reduce(_)
                | Op::TopK(_)
                | Op::Gather(_)
                | Op::GatherNd(_)
                | Op::Experts(_)
                | Op::ExpertsOuter(_)
                | Op::AttentionGradient(_)
                | Op::Table(_)
                | Op::TokenPositions(_)
                | Op::IndexMap(_)
                | Op::Source(_)
                | Op::Carry(_)
                | Op::Exit(_) => calls.extend(self.node_calls(var)?.1),
            }
        }
        Ok((module, calls))
    }

    /// The calls of attention whose weights are given as well, their mean over the heads.
    fn with_weights(&self, node: &Node, sizes: &Binding) -> Result<Vec<Call>, ConventionError> {
        let [q, k, v, ..] = node.inputs[..] else {
            return Err(self.unwritten(node, "attention of queries, keys and values".to_owned()));
        };
        let all = |names: &[&str]| names.iter().map(|name| size(sizes, name)).product::<Integer>();
        let (rows, batch) = (all(&["batch", "heads", "queries"]), all(&["batch", "heads"]));
        let entries = pointwise(&rows * size(sizes, "keys"));
        let grad = [q, k, v].into_iter().map(|var| self.grad(var)).sum::<Integer>().min(2.into());
        let product = |n: &str, k: &str| {
            let shape = (size(sizes, "queries"), size(sizes, n), size(sizes, k));
            Call::new("bmm", Manner::Function, product(batch.clone(), shape, grad.clone()))
        };
        let mean = entries.clone().with("results", all(&["batch", "queries", "keys"]));
        Ok(vec![
            Call::new("mul", Manner::Operator, pointwise(self.elements(q)?)),
            product("keys", "head_dim"),
            Call::new("softmax", Manner::Function, entries.with("rows", rows)),
            product("value_dim", "keys"),
            Call::new("mean", Manner::Method, mean),
        ])
    }

    /// The call of one projection; what the module is told by it goes to its sizes.
    fn projection_call(
        &self,
        vars: &[Var],
        var: Var,
        module: &mut Binding,
    ) -> Result<Call, ConventionError> {
        let node = self.graph.node(var);
        let own = self.linear(var)?;
        let projection = self.projection(node);
        match projection {
            Some(Projection::Query) => {
                for (name, from) in [("embed", "in"), ("bias", "bias"), ("first", "first")] {
                    module.set(name, size(&own, from));
                }
            }
            Some(Projection::Key) => drop(module.set("kdim", size(&own, "in"))),
            Some(Projection::Value) => drop(module.set("vdim", size(&own, "in"))),
            Some(Projection::Output) => {}
            Some(Projection::QueryKeyValue) | None => {
                let missing = "a linear map of nn.MultiheadAttention that is none of its four";
                return Err(self.unwritten(node, missing.to_owned()));
            }
        }
        let out = projection == Some(Projection::Output);
        // The operands of the others are transposed, so that a bias is added apart.
        let fused = out || self.dialect.sequence_first || self.is_one_row(var)?;
        let sizes = own
            .with("fused_bias", u32::from(fused))
            .with("split", u32::from(!out && self.packed(vars)?))
            .with("split_bias", u32::from(!out && !self.attends_to_itself(vars)));
        Ok(Call::new("linear", Manner::Function, sizes))
    }

    /// The operands of the projections to heads among some nodes.
    fn projected(&self, vars: &[Var]) -> Vec<Var> {
        let to_heads = |var: &&Var| {
            let of = self.projection(self.graph.node(**var));
            let to_heads = of.is_some_and(|of| of != Projection::Output);
            to_heads && self.is_linear(**var)
        };
        let operand = |var: &Var| self.graph.node(*var).inputs.first().copied();
        vars.iter().filter(to_heads).filter_map(operand).collect()
    }

    /// Whether the projections among some nodes are of one value.
    pub(super) fn attends_to_itself(&self, vars: &[Var]) -> bool {
        self.projected(vars).windows(2).all(|pair| pair[0] == pair[1])
    }

    /// Whether the projections among some nodes are parts of one parameter that are cut apart: those of
    /// two values of one width.
    fn packed(&self, vars: &[Var]) -> Result<bool, ConventionError> {
        let width = |var: &Var| match self.graph.shape(*var).axes.last() {
            Some(axis) => self.at(&axis.size),
            None => Ok(1.into()),
        };
        let widths = self.projected(vars).iter().map(width).collect::<Result<Vec<_>, _>>()?;
        Ok(!self.attends_to_itself(vars) && widths.windows(2).all(|pair| pair[0] == pair[1]))
    }

    /// Whether the axes of items and tokens of an operand can be swapped in place.
    fn is_one_row(&self, var: Var) -> Result<bool, ConventionError> {
        let operand = self.graph.node(var).inputs.first();
        let Some([.., items, tokens, _]) = operand.map(|v| &self.graph.shape(*v).axes[..]) else {
            return Ok(true);
        };
        let one = Integer::from(1);
        Ok(self.at(&items.size)? == one || self.at(&tokens.size)? == one)
    }
}
