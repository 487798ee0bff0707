//! The gated delta rule as the `transformers` library takes it where it has no kernels for it: in chunks of
//! tokens, the last filled up (`torch_chunk_gated_delta_rule` of `modeling_qwen3_5.py`, 5.23.0).

use opledger_dims::{Integer, Poly};
use opledger_ir::{Node, Op};

use super::calls::Calls;
use super::lowering::Lowering;
use super::sizes::{pointwise, product};
use crate::call::{Call, Manner};

impl Lowering<'_> {
    /// The end of the recurrence, of a node that brings its results in order.
    pub(super) fn end_of_recurrence(&self, node: &Node) -> Option<&Node> {
        let [operand] = node.inputs[..] else { return None };
        let end = self.graph.node(operand);
        matches!((&node.op, &end.op), (Op::Rearrange(_), Op::Exit(_))).then_some(end)
    }

    /// The products of all chunks, of a recurrence whose end gives states `[b, g, d, r, f]` and results
    /// `[n, b, g, r, f]`.
    pub(super) fn chunks(&self, node: &Node, end: &Node) -> Calls {
        let missing = || self.unwritten(node, "a recurrence of another form".to_owned());
        let Some(chunk) = self.dialect.delta_chunk.map(Integer::from) else {
            // By a function of its own, which no tool was seen to meet.
            let sizes = pointwise(self.output_elements(node)?);
            return Ok((
                sizes.clone(),
                vec![Call::new("gated_delta_rule", Manner::Function, sizes)],
            ));
        };
        let (state, results) = (&end.shape, end.further.first().ok_or_else(missing)?);
        let ([_, _, key, _, value], [tokens, ..]) = (&state.axes[..], &results.axes[..]) else {
            return Err(missing());
        };
        let heads: Poly = { results.axes[1..].iter() }.map(|axis| &axis.size).product();
        let (key, value) = (self.at(&key.size)?, self.at(&value.size)?);
        let (tokens, heads) = (self.at(&tokens.size)?, self.at(&heads)?);
        let chunks = (tokens + &chunk - Integer::from(1)) / &chunk;
        let batch = match value == Integer::default() {
            true => Integer::default(),
            false => heads / &value * chunks,
        };
        let own = |m: &Integer, n: &Integer, k: &Integer| {
            let sizes = product(batch.clone(), (m.clone(), n.clone(), k.clone()), 0.into());
            Call::new("matmul", Manner::Operator, sizes)
        };
        let calls = vec![
            // Of keys and of queries with keys; the state read by keys and by queries; what each token
            // writes, read by those after it, and written.
            own(&chunk, &chunk, &key),
            own(&chunk, &chunk, &key),
            own(&chunk, &value, &key),
            own(&chunk, &value, &key),
            own(&chunk, &value, &chunk),
            own(&key, &value, &chunk),
            Call::new("linalg_solve_triangular", Manner::Function, pointwise(batch.clone())),
        ];
        Ok((pointwise(batch), calls))
    }
}
