//! What a run moves, by what it is of: weights, the cache, computed values.

use opledger_dims::{Integer, Poly};
use opledger_ir::{Elem, Graph, SizeRole, Storage, Var};
use opledger_report::Traffic;

use crate::{AccountError, SizedModel};

impl SizedModel<'_> {
    /// Bytes that a run moves: each operand of each operation read once and each result written once, of
    /// tables the rows looked up, of experts those that tokens meet at most. Of a cache what it holds is
    /// read (of layers with a window, the last tokens), and what is new is written. Ids and masks are
    /// among the values. Of a sum that ends within a byte the whole byte is moved.
    ///
    /// # Errors
    /// When a size is unbound.
    pub fn traffic(&self, elem: Elem, cache_elem: Elem) -> Result<Traffic, AccountError> {
        let storage = Storage { cache: cache_elem, ..Storage::uniform(elem) };
        self.moved(&self.graph().stored(storage), cache_elem)
    }

    /// The same of a graph that has the types.
    pub(crate) fn moved(&self, graph: &Graph, cache_elem: Elem) -> Result<Traffic, AccountError> {
        let is_weight = |var: Var| graph.node(var).is_parameter();
        let is_cache = |var: Var| {
            graph.caches().iter().any(|cache| [cache.past, cache.present].contains(&var))
        };
        let (mut weights, mut cached, mut read) = (Poly::zero(), Poly::zero(), Poly::zero());
        let (mut grown, mut written) = (Poly::zero(), Poly::zero());
        for (node, var) in graph.nodes().iter().zip(graph.vars()) {
            for (operand, moved) in node.inputs.iter().zip(graph.operand_bytes(node)) {
                let buffer = graph.buffer_of(*operand);
                let sum = match (is_weight(buffer), is_cache(buffer)) {
                    (true, _) => &mut weights,
                    (_, true) => &mut cached,
                    _ => &mut read,
                };
                *sum += &moved;
            }
            let sum = if is_cache(var) { &mut grown } else { &mut written };
            *sum += &graph.node_bytes(node).1;
        }
        // The last byte is full or not: an element may take half of one.
        let at = |poly: &Poly| -> Result<Integer, AccountError> {
            Ok((poly.ratio(2, 1).at(self.sizes())? + 1u32) / 2u32)
        };
        let size = |role| self.sizes().get(graph.size_of(role)?).cloned();
        let cache_read = match graph.caches() {
            [] => None,
            // The operand is the whole buffer, of which a window is the end.
            _ => {
                let tokens = size(SizeRole::Tokens).unwrap_or_default()
                    + size(SizeRole::Past).unwrap_or_default();
                let items = size(SizeRole::Batch).unwrap_or_else(|| Integer::from(1));
                let held = self.cache()?.map(|cache| cache.at(&tokens, &items)).transpose()?;
                held.map(|all| match all.held == all.given {
                    true => at(&cached),
                    false => Ok(all.bytes_held(cache_elem)),
                })
            }
        };
        Ok(Traffic {
            weights_read: at(&weights)?,
            cache_read: cache_read.transpose()?,
            cache_written: match graph.caches() {
                [] => None,
                _ => Some(at(&grown)?),
            },
            values_read: at(&read)?,
            values_written: at(&written)?,
        })
    }
}
