//! Where the patches of an image stand that is cut into a grid of them.

use opledger_dims::Poly;
use opledger_ir::ops::IndexMap;
use opledger_ir::{Axis, Graph, GraphError, IndexExpr, Mask};

/// Patches of an image, and the rows that they make in a text.
#[derive(Clone)]
pub(super) struct PatchGrid {
    /// How many patches a row is made of, down as across.
    pub(super) side: u64,
    /// The rows of an image, down and across, and in all.
    pub(super) rows: [Poly; 2],
    pub(super) all: Poly,
}

impl PatchGrid {
    /// Patches of an image.
    pub(super) fn patches(&self) -> Axis {
        Axis::new("n", &self.all * &Poly::from(self.side * self.side))
    }

    /// Where a patch stands, down and across: those of one row follow one another.
    pub(super) fn places(&self, patch: &IndexExpr) -> [IndexExpr; 2] {
        let side = IndexExpr::size(self.side);
        let within = patch.modulo(&side.times(&side));
        let [down, across] = self.rows_of(patch);
        let down = down.times(&side).plus(&within.floor_div(&side));
        [down, across.times(&side).plus(&within.modulo(&side))]
    }

    /// Where the row of a patch stands, down and across.
    fn rows_of(&self, patch: &IndexExpr) -> [IndexExpr; 2] {
        let row = patch.floor_div(&IndexExpr::size(self.side * self.side));
        let [_, across] = self.rows.clone().map(IndexExpr::size);
        [row.floor_div(&across), row.modulo(&across)]
    }

    /// Which patches `[n, m]` see one another where each sees a window of so many rows down and across.
    pub(super) fn windows(&self, g: &mut Graph, window: u64) -> Result<Mask, GraphError> {
        let window = IndexExpr::size(window);
        let [query, key] = [0, 1]
            .map(|at| self.rows_of(&IndexExpr::Position(at)).map(|place| place.floor_div(&window)));
        let value = query[0].equals(&key[0]).and(&query[1].equals(&key[1]));
        let axes = vec![self.patches(), Axis::new("m", self.patches().size)];
        Ok(Mask::none().keeping(g.record("windows", IndexMap { axes, value, truth: true }, &[])?))
    }
}
