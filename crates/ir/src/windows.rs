//! Recording windows: their taps that fall on the input are counted here, once for each axis.

use opledger_dims::Poly;

use crate::ops::{AdaptivePool, Convolution, ConvolutionTransposed, Pool, PoolKind};
use crate::{Axis, Definition, Graph, GraphError, Slide, Support, Var};

type Recorded = Result<Var, GraphError>;

/// The sizes of the last so many axes.
fn last(axes: &[Axis], count: usize) -> Vec<Poly> {
    axes[axes.len().saturating_sub(count)..].iter().map(|axis| axis.size.clone()).collect()
}

impl Graph {
    /// A convolution of `x [b, i, s…]` by weights `[o, i/groups, k…]`, along one to three axes; its taps
    /// that fall on the input are counted here.
    ///
    /// # Errors
    /// When the axes do not fit, or the result has other sizes than the windows give.
    #[track_caller]
    pub fn convolution(
        &mut self,
        label: &str,
        x: Var,
        weight: Var,
        convolution: Convolution,
    ) -> Recorded {
        let sizes = |axes: &[Axis]| axes.iter().skip(2).map(|a| a.size.clone()).collect::<Vec<_>>();
        let results = sizes(&convolution.axes);
        let (inputs, taps) = (sizes(&self.shape(x).axes), sizes(&self.shape(weight).axes));
        let slides = convolution.slides();
        let each = slides.into_iter().zip(results).zip(taps).zip(inputs);
        let taps = each.map(|(((slide, r), k), s)| self.taps(slide, r, k, s, true)).collect();
        self.record(label, Convolution { taps, ..convolution }, &[x, weight])
    }

    /// The maximum or mean of a window that slides along the last one to three axes of `x`; its taps that
    /// fall on the input are counted here.
    ///
    /// # Errors
    /// When the axes do not fit, or the result has other sizes than the windows give.
    #[track_caller]
    pub fn pool(&mut self, x: Var, pool: Pool) -> Recorded {
        let sliding = pool.window.len();
        let (results, inputs) = (last(&pool.axes, sliding), last(&self.shape(x).axes, sliding));
        let each = pool.slides().into_iter().zip(results).zip(&pool.window).zip(inputs);
        let taps =
            each.map(|(((slide, r), k), s)| self.taps(slide, r, (*k).into(), s, !pool.partial));
        let taps = taps.collect();
        self.record("", Pool { taps, ..pool }, &[x])
    }

    /// A transposed convolution of `x [b, i, s…]` by weights `[i, o/groups, k…]`, along one to three axes;
    /// its taps that fall on the result are counted here.
    ///
    /// # Errors
    /// When the axes do not fit, or the result has other sizes than the windows reach.
    #[track_caller]
    pub fn convolution_transposed(
        &mut self,
        label: &str,
        x: Var,
        weight: Var,
        op: ConvolutionTransposed,
    ) -> Recorded {
        let sizes = |axes: &[Axis]| last(axes, axes.len().saturating_sub(2));
        let results = sizes(&op.axes);
        let (inputs, taps) = (sizes(&self.shape(x).axes), sizes(&self.shape(weight).axes));
        // Each element of the input is where a window lies on the result.
        let each = op.slides().into_iter().zip(inputs).zip(taps).zip(results);
        let taps = each.map(|(((slide, s), k), r)| self.taps(slide, s, k, r, true).pairs).collect();
        self.record(label, ConvolutionTransposed { taps, ..op }, &[x, weight])
    }

    /// The maximum or mean of windows that cover `x` along its last axes, those after the first `items`,
    /// as many as `axes` has positions there.
    ///
    /// # Errors
    /// When the first axes are not those of `x`.
    #[track_caller]
    pub fn adaptive_pool<A: Into<Axis>>(
        &mut self,
        x: Var,
        kind: PoolKind,
        items: usize,
        axes: impl IntoIterator<Item = A>,
    ) -> Recorded {
        let axes: Vec<Axis> = axes.into_iter().map(Into::into).collect();
        let pooled = axes.len().saturating_sub(items);
        let (results, inputs) = (last(&axes, pooled), last(&self.shape(x).axes, pooled));
        let each = inputs.into_iter().zip(results);
        let taps = each
            .map(|(s, r)| &s + &r - self.common_divisor("common", [s.clone(), r.clone()]))
            .collect();
        self.record("", AdaptivePool { kind, axes, taps }, &[x])
    }

    /// How many taps of a window fall on the input, and how many results have such a tap, declaring
    /// the symbols that this takes. `whole` says that no window reaches beyond the padded input.
    fn taps(
        &mut self,
        slide: Slide,
        results: Poly,
        taps: Poly,
        input: Poly,
        whole: bool,
    ) -> Support {
        if let Some(support) = slide.plain_support(&results, &taps, &input, whole) {
            return support;
        }
        let all = whole && slide.always_meets(&taps);
        let make = |pairs, rows| Definition::Taps {
            pairs,
            rows,
            slide,
            results: results.clone(),
            taps: taps.clone(),
            input: input.clone(),
        };
        if !all {
            let two = |pairs, rows| make(pairs, Some(rows));
            let (pairs, rows) = self.declare(["taps", "reached"], two);
            return Support { pairs, rows };
        }
        let standing = self.definitions().iter().find_map(|d| match d {
            Definition::Taps { pairs, .. } if make(pairs.clone(), None) == *d => {
                Some(pairs.clone())
            }
            _ => None,
        });
        let pairs = standing.unwrap_or_else(|| self.fresh("taps"));
        self.define(make(pairs.clone(), None));
        Support { pairs: pairs.into(), rows: results }
    }
}
