//! Learned positions of patches, a table for a square grid that is resampled to that of an image, each position
//! from the four around it (Qwen3-VL). As in the `transformers` library, corners fall on corners.

use opledger_dims::Poly;
use opledger_ir::ops::{IndexMap, Interpolation, Rearrange, Reduce, Table};
use opledger_ir::{Axis, Graph, IndexExpr, Role, Var};
use opledger_nn::Embedding;

use super::patch_grid::PatchGrid;
use super::recorder::Problem;

/// A table of positions for patches of a grid.
pub(super) struct PatchPositions<'a> {
    pub(super) grid: &'a PatchGrid,
    /// Rows of the table.
    pub(super) rows: u64,
    /// How many of them a side of its grid has.
    pub(super) side: u64,
}

impl PatchPositions<'_> {
    /// Rows `[bi, n, c]` plus those of their positions.
    pub(super) fn added(&self, g: &mut Graph, x: Var, c: &Poly) -> Result<Var, Problem> {
        let table = Embedding::new(&mut g.scope("pos_embed"), self.rows, c.clone())?;
        let last = self.side.saturating_sub(1);
        let places = self.grid.places(&IndexExpr::Position(0));
        let taps = || ["down", "across"].map(|name| Axis::new(name, 2));
        let patches = self.grid.patches();
        // The weights of the two around each place, down and across.
        let mut weights = Vec::new();
        for ((place, rows), tap) in places.iter().zip(&self.grid.rows).zip(taps()) {
            let all = rows * &Poly::from(self.grid.side);
            let source = [last.into(), Poly::zero(), &all - &Poly::one()];
            let result = Axis::new("place", all);
            let kind = Interpolation::Linear;
            let by_place = Table::Interpolation { kind, source, result, tap: tap.clone() };
            let by_place = g.table("weights", by_place)?;
            let (axes, value) = (vec![patches.clone()], place.clone());
            let place = g.record("places", IndexMap { axes, value, truth: false }, &[])?;
            weights.push((by_place, place, tap));
        }
        let [(down, at_down, tap), (across, at_across, other)] = &weights[..] else {
            return Ok(x);
        };
        let all = [patches.clone(), tap.clone(), other.clone()];
        let down = g.gather_nd(*down, all.clone(), &[("place", *at_down)])?;
        let own = [patches.clone(), other.clone()];
        let across = g.gather_nd(*across, own, &[("place", *at_across)])?;
        let weight = g.mul("weight", down, across)?;
        let axes = || vec![tap.name.clone(), other.name.clone()];
        let weight = g.rearrange(weight, Rearrange::Merge { axes: axes(), into: "tap".into() })?;
        // The first position at or before each place, and the one behind it within the table.
        let row = |place: &IndexExpr, rows: &Poly, tap: usize| {
            let steps = rows * &Poly::from(self.grid.side) - Poly::one();
            let first = place.times(&IndexExpr::size(last)).floor_div(&IndexExpr::size(steps));
            let own = first.plus(&IndexExpr::Position(tap));
            let last = IndexExpr::size(last);
            own.below(&last).choose(&own, &last)
        };
        let [rows, columns] = &self.grid.rows;
        let value = row(&places[0], rows, 1)
            .times(&IndexExpr::size(self.side))
            .plus(&row(&places[1], columns, 2));
        let ids = g.record("ids", IndexMap { axes: all.into(), value, truth: false }, &[])?;
        let ids = g.rearrange(ids, Rearrange::Merge { axes: axes(), into: "tap".into() })?;
        let own = table.forward(g, ids)?;
        let own = g.mul("weighted", own, weight)?;
        let own = g.reduce(own, Reduce::Sum("tap".into()))?;
        let sum = g.add("add_positions", x, own)?;
        Ok(g.mark(sum, Role::PositionSum))
    }
}
