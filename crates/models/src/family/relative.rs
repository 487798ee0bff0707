//! A learned bias of scores by relative position, in buckets (Raffel et al. 2020, §2.1).

use opledger_dims::Poly;
use opledger_ir::ops::{Rearrange, Table};
use opledger_ir::{Axis, Graph, Var};
use opledger_nn::Embedding;

use super::recorder::Problem;
use crate::config::{ConfigError, Keys};

/// The buckets of relative positions.
pub(super) struct Buckets {
    count: u64,
    max_distance: u64,
    heads: Poly,
}

impl Buckets {
    /// The buckets that keys describe, one bias for each and for each of `heads`.
    pub(super) fn read(keys: &Keys<'_>, heads: Poly) -> Result<Buckets, ConfigError> {
        let (first, second) = ("relative_attention_num_buckets", "relative_attention_max_distance");
        let (count, max_distance) = (keys.size_or(first, 32)?, keys.size_or(second, 128)?);
        if count < 4 || max_distance <= count {
            let why =
                "there are at least 4 buckets, and the greatest distance is beyond their number";
            return Err(keys.contradiction(first, second, why));
        }
        Ok(Buckets { count, max_distance, heads })
    }

    /// `[h, query, key]`: the row of the table, in the present scope, for each relative position of
    /// tokens to those and the `past` ones before them; the same in every layer.
    pub(super) fn bias(
        &self,
        g: &mut Graph,
        bidirectional: bool,
        tokens: &str,
        past: &Poly,
    ) -> Result<Var, Problem> {
        let table = Embedding::table(g, ("t", self.count), ("h", &self.heads), false)?;
        let (query, key) =
            (Axis::from(tokens), Axis::new(format!("{tokens}'"), past + &Poly::from(tokens)));
        let ids = g.table(
            "",
            Table::RelativeBuckets {
                bidirectional,
                buckets: self.count as usize,
                max_distance: self.max_distance as usize,
                offset: past.clone(),
                query: query.clone(),
                key: key.clone(),
            },
        )?;
        let bias = table.forward(g, ids)?;
        let order = vec!["h".into(), query.name, key.name];
        Ok(g.rearrange(bias, Rearrange::Permute { order })?)
    }
}
