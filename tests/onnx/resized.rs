//! ONNX's cases of images on other grids.

use opledger_dims::{Poly, Symbol};
use opledger_ir::ops::{ArithmeticKind, IndexMap, Interpolation, Reduce, Table};
use opledger_ir::{Axis, IndexExpr, Var};

use super::recorder::{Recorder, name};

impl Recorder<'_> {
    /// Dimensions of other sizes, each result from the positions around its place.
    pub(super) fn resized(&mut self) -> Var {
        let rank = self.case.rank();
        let dims = self.case.ints("axes").unwrap_or_else(|| (0..rank as i64).collect());
        let mut x = self.input(0);
        for (at, dim) in dims.into_iter().enumerate() {
            let dim = dim as usize;
            let (before, after) = (self.case.sizes(0)[dim], self.case.expected.shape()[dim]);
            if before != after {
                let place = self.place(at, before as i64, after as i64);
                x = self.resized_along(x, name(dim, rank), [before, after], place);
            }
        }
        x
    }

    /// The place of a result r along a dimension, (a·r + b) / c.
    fn place(&self, at: usize, before: i64, after: i64) -> [i64; 3] {
        // So many positions for so many results.
        let (from, to) = match self.case.input(2) {
            None => (before, after),
            Some(scales) => {
                let scale = f64::from(scales.real().unwrap().data()[at]);
                let off = |by: i64| (scale * by as f64 - (scale * by as f64).round()).abs();
                let from = (1..1000).find(|by| off(*by) < 1e-5).unwrap();
                (from, (scale * from as f64).round() as i64)
            }
        };
        match self.case.attributes["coordinate_transformation_mode"].as_str() {
            Some("align_corners") => [(before - 1) * from, 0, before * to - from],
            Some("asymmetric") => [from, 0, to],
            Some("pytorch_half_pixel") if after == 1 => [0, 0, 1],
            Some("half_pixel" | "pytorch_half_pixel") | None => [2 * from, from - to, 2 * to],
            Some(other) => panic!("{other}"),
        }
    }

    fn resized_along(
        &mut self,
        x: Var,
        axis: Symbol,
        [before, after]: [usize; 2],
        [a, b, c]: [i64; 3],
    ) -> Var {
        let (result, place) = (Axis::new("result", after), IndexExpr::Position(0));
        let rounded = |times: i64, more: i64| {
            let above = place.scaled(&(a * times).into()).plus(&(b * times + more).into());
            above.floor_div(&(c * times).into())
        };
        let last = IndexExpr::from(before as i64 - 1);
        let inside = |place: &IndexExpr| {
            let above = place.is_positive().choose(place, &0.into());
            above.below(&last).choose(&above, &last)
        };
        let kind = match self.case.attributes["mode"].as_str() {
            Some("linear") => Interpolation::Linear,
            Some("cubic") => Interpolation::Cubic,
            _ => {
                let place = match self.case.attributes["nearest_mode"].as_str() {
                    Some("floor") => rounded(1, 0),
                    Some("ceil") => rounded(1, c - 1),
                    Some("round_prefer_ceil") => rounded(2, c),
                    _ => rounded(2, c - 1),
                };
                let y = self.taken(x, &axis, &[result], inside(&place));
                return self.g.rename(y, "result", axis).unwrap();
            }
        };
        let first = match kind {
            Interpolation::Linear => {
                let place = rounded(1, 0);
                place.is_positive().choose(&place, &0.into())
            }
            Interpolation::Cubic => rounded(1, 0).minus(&1.into()),
        };
        let tap = Axis::new("tap", kind.taps());
        let place = inside(&first.plus(&IndexExpr::Position(1)));
        let y = self.taken(x, &axis, &[result.clone(), tap.clone()], place);
        let source = [a, b, c].map(Poly::from);
        let table = Table::Interpolation { kind, source, result, tap };
        let weights = self.g.table("", table).unwrap();
        let y = self.g.arithmetic("", ArithmeticKind::Mul, y, weights).unwrap();
        let y = self.g.reduce(y, Reduce::Sum("tap".into())).unwrap();
        self.g.rename(y, "result", axis).unwrap()
    }

    /// Elements at places along an axis, which these axes take the place of.
    fn taken(&mut self, x: Var, axis: &Symbol, into: &[Axis], value: IndexExpr) -> Var {
        let map = IndexMap { axes: into.to_vec(), value, truth: false };
        let ids = self.g.record("", map, &[]).unwrap();
        let mut axes = self.g.shape(x).axes.clone();
        let at = axes.iter().position(|own| own.name == *axis).unwrap();
        axes.splice(at..=at, into.iter().cloned());
        self.g.gather_nd(x, axes, &[(axis.clone(), ids)]).unwrap()
    }
}
