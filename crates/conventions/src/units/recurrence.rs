//! Recurrences as the `transformers` library takes them where it has no kernels for them: in chunks of tokens,
//! the last filled up (`torch_chunk_gated_delta_rule` of `modeling_qwen3_5.py`, `mamba2_chunk_scan` of
//! `modeling_mamba2.py`, 5.23.0).

use opledger_dims::{Integer, Poly};
use opledger_ir::{ModuleClass, Node, Op, Recurrence};

use super::calls::Calls;
use super::lowering::Lowering;
use super::sizes::{divide, pointwise, product};
use crate::call::{Call, Manner};

impl Lowering<'_> {
    /// The end of the recurrence, of a node that brings its results in order.
    pub(super) fn end_of_recurrence(&self, node: &Node) -> Option<&Node> {
        let [operand] = node.inputs[..] else { return None };
        let end = self.graph.node(operand);
        matches!((&node.op, &end.op), (Op::Rearrange(_), Op::Exit(_))).then_some(end)
    }

    /// The recurrence that a node is of.
    pub(super) fn recurrence(&self, node: &Node) -> Option<Recurrence> {
        self.around(node).find_map(|(_, module)| match module.class {
            ModuleClass::Recurrence(own) => Some(own),
            _ => None,
        })
    }

    /// The products of all chunks of a recurrence.
    pub(super) fn chunks(&self, node: &Node, end: &Node, own: Recurrence) -> Calls {
        let (rule, chunk) = match own {
            Recurrence::GatedDelta => ("gated_delta_rule", self.dialect.delta_chunk),
            Recurrence::DeltaByChannel => ("chunk_kimi_delta_attention", self.dialect.delta_chunk),
            Recurrence::StateSpace { chunk } => {
                ("mamba2_chunk_scan", self.dialect.state_space_chunks.then_some(chunk))
            }
        };
        let Some(chunk) = chunk.map(Integer::from) else {
            // By a function of its own, which no tool was seen to meet.
            let sizes = pointwise(self.output_elements(node)?);
            return Ok((sizes.clone(), vec![Call::new(rule, Manner::Function, sizes)]));
        };
        match own {
            Recurrence::GatedDelta | Recurrence::DeltaByChannel => {
                self.delta_chunks(node, end, (&chunk, own))
            }
            Recurrence::StateSpace { .. } => self.state_space_chunks(node, end, &chunk),
        }
    }

    /// Those of a gated delta rule, whose end gives states `[b, g, d, r, f]` and results `[n, b, g, r, f]`.
    fn delta_chunks(
        &self,
        node: &Node,
        end: &Node,
        (chunk, rule): (&Integer, Recurrence),
    ) -> Calls {
        let missing = || self.unwritten(node, "a recurrence of another form".to_owned());
        let (state, results) = (&end.shape, end.further.first().ok_or_else(missing)?);
        let ([_, _, key, _, value], [tokens, ..]) = (&state.axes[..], &results.axes[..]) else {
            return Err(missing());
        };
        let heads: Poly = { results.axes[1..].iter() }.map(|axis| &axis.size).product();
        let (key, value) = (self.at(&key.size)?, self.at(&value.size)?);
        let (tokens, heads) = (self.at(&tokens.size)?, self.at(&heads)?);
        let batch = divide(&heads, &value) * chunks_of(&tokens, chunk);
        let own = |m: &Integer, n: &Integer, k: &Integer| matrices(&batch, [m, n, k]);
        // The same with what is left at each element of a key, which stands in sums over products of three
        // (`chunk_kimi_delta_attention` of `modeling_kimi_linear.py`, 5.23.0).
        if rule == Recurrence::DeltaByChannel {
            let calls = vec![
                own(chunk, &value, chunk),
                own(chunk, &key, chunk),
                own(chunk, &value, &key),
                own(chunk, &value, &key),
                own(chunk, &value, chunk),
                own(&key, &value, chunk),
                Call::new("segment_sum", Manner::Function, pointwise(batch.clone())),
            ];
            return Ok((pointwise(batch), calls));
        }
        let calls = vec![
            // Of keys and of queries with keys; the state read by keys and by queries; what each token
            // writes, read by those after it, and written.
            own(chunk, chunk, &key),
            own(chunk, chunk, &key),
            own(chunk, &value, &key),
            own(chunk, &value, &key),
            own(chunk, &value, chunk),
            own(&key, &value, chunk),
            Call::new("linalg_solve_triangular", Manner::Function, pointwise(batch.clone())),
        ];
        Ok((pointwise(batch), calls))
    }

    /// Those of a state space, whose end gives states `[b, g, r, d, s]` and results `[n, b, g, r, d]`.
    fn state_space_chunks(&self, node: &Node, end: &Node, chunk: &Integer) -> Calls {
        let missing = || self.unwritten(node, "a recurrence of another form".to_owned());
        let results = end.further.first().ok_or_else(missing)?;
        let ([items, groups, heads, width, key], [tokens, ..]) =
            (&end.shape.axes[..], &results.axes[..])
        else {
            return Err(missing());
        };
        let states = self.at(&(&items.size * &groups.size * &heads.size))?;
        let (width, key) = (self.at(&width.size)?, self.at(&key.size)?);
        let chunks = chunks_of(&self.at(&tokens.size)?, chunk);
        let batch = &states * &chunks;
        let all = chunks + Integer::from(1);
        let elements = &width * &key;
        // By `einsum`, which multiplies where one element alone is to be added up.
        let own = |batch: &Integer, sizes: [&Integer; 3]| match sizes {
            [m, n, k] if *k == Integer::from(1) => {
                Call::new("mul", Manner::Operator, pointwise(batch * m * n))
            }
            _ => matrices(batch, sizes),
        };
        let calls = vec![
            // Queries with keys, and what a chunk's tokens are by these; what each chunk writes; the states
            // that those of all chunks before leave to each; the states read by queries.
            own(&batch, [chunk, chunk, &key]),
            own(&batch, [chunk, &width, chunk]),
            own(&batch, [&key, &width, chunk]),
            own(&states, [&all, &elements, &all]),
            own(&batch, [chunk, &width, &key]),
            // Sums of what is forgotten between two tokens, or two chunks.
            Call::new("segment_sum", Manner::Function, pointwise(batch.clone())),
        ];
        Ok((pointwise(batch), calls))
    }
}

/// How many chunks tokens fill.
fn chunks_of(tokens: &Integer, chunk: &Integer) -> Integer {
    (tokens + chunk - Integer::from(1)) / chunk
}

/// A batched product of two values.
fn matrices(batch: &Integer, [m, n, k]: [&Integer; 3]) -> Call {
    let sizes = product(batch.clone(), (m.clone(), n.clone(), k.clone()), 0.into());
    Call::new("matmul", Manner::Operator, sizes)
}
