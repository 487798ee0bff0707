//! Pooling: the maximum or the mean of a window that slides along one to three axes (LeCun et al. 1998;
//! Dumoulin and Visin 2016, §1.2). Taps on padding are left out; a mean may count their number.
//!
//! Count: along each axis let T be the taps of all results that fall on the input. Per item of the other
//! axes, a maximum ΠT − Πr max; a mean as many add and Πr div.

use opledger_dims::{Binding, Class, Counts, Poly, Scalar, Symbol};

use super::norm::sum;
use crate::expect::expect_distinct;
use crate::operation::{Operation, operands};
use crate::slide::Slide;
use crate::value::strides;
use crate::{
    Axis, AxisMap, Call, Cost, Facts, Kind, OpError, Part, Shape, ShapeError, Support, Value,
    indices,
};

/// What becomes of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolKind {
    /// Its largest element; NaN if any is.
    Max,
    /// The mean of its elements on the input.
    Mean,
    /// Their sum over the number of its taps on the input and its padding.
    MeanWithPadding,
}

/// `x […, s…]` to `[…, r…]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    /// What becomes of a window.
    pub kind: PoolKind,
    /// The axes of the result: as `x` has them, then one for each axis that the window slides along.
    pub axes: Vec<Axis>,
    /// For each of these, the taps of the window.
    pub window: Vec<usize>,
    /// Positions from a result to the next.
    pub strides: Vec<usize>,
    /// Positions of padding before and after the input.
    pub padding: Vec<(usize, usize)>,
    /// Positions from a tap to the next.
    pub dilations: Vec<usize>,
    /// Whether a last window may reach beyond the padded input, if it begins before the padding after
    /// the input.
    pub partial: bool,
    /// For each axis that the window slides along, the pairs of a result and a tap that falls on the
    /// input, and the results that have such a tap; as [`Graph::pool`](crate::Graph::pool) finds them.
    pub taps: Vec<Support>,
}

impl Pool {
    /// Pooling whose taps are not known yet; no window reaches beyond the padded input, and taps are
    /// neighbours.
    pub fn new(
        kind: PoolKind,
        axes: impl IntoIterator<Item = impl Into<Axis>>,
        window: &[usize],
        strides: &[usize],
        padding: &[(usize, usize)],
    ) -> Self {
        Pool {
            kind,
            axes: axes.into_iter().map(Into::into).collect(),
            window: window.to_vec(),
            strides: strides.to_vec(),
            padding: padding.to_vec(),
            dilations: vec![1; window.len()],
            partial: false,
            taps: Vec::new(),
        }
    }

    /// How the window slides along each axis; as many as all attributes are given for.
    pub fn slides(&self) -> Vec<Slide> {
        Slide::along(&self.strides, &self.padding, &self.dilations)
    }

    /// Along each axis that the window slides along: how, with the axis of the result, the size of the
    /// input and the taps.
    fn sliding<'a>(
        &'a self,
        x: &'a Shape,
    ) -> impl Iterator<Item = (Slide, &'a Axis, &'a Poly, Poly)> {
        let first = self.axes.len() - self.window.len();
        let axes = self.axes[first..].iter().zip(&x.axes[first..]).zip(&self.window);
        self.slides()
            .into_iter()
            .zip(axes)
            .map(|(slide, ((result, input), taps))| (slide, result, &input.size, Poly::from(*taps)))
    }
}

impl Operation for Pool {
    fn name(&self) -> &'static str {
        match self.kind {
            PoolKind::Max => "max_pool",
            PoolKind::Mean | PoolKind::MeanWithPadding => "mean_pool",
        }
    }

    fn signature(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [x] = operands(inputs)?;
        x.expect(0, Kind::Real)?;
        expect_distinct(&self.axes)?;
        let sliding = self.window.len();
        if !(1..=3).contains(&sliding) || self.axes.len() < sliding {
            let problem = format!("a window slides along 1 to 3 axes, {sliding} are given");
            return Err(ShapeError::Sizes(problem));
        }
        let given = [self.strides.len(), self.padding.len(), self.dilations.len(), self.taps.len()];
        if given != [sliding; 4] || self.window.contains(&0) {
            return Err(ShapeError::Sizes(format!(
                "{sliding} strides, paddings, dilations and counts of taps and no empty window are \
                 needed; there are {given:?} and {:?}",
                self.window
            )));
        }
        Slide::expect_steps(&self.slides())?;
        x.expect_leading(0, &self.axes[..self.axes.len() - sliding], sliding)?;
        match self.conflict(inputs, &Binding::new()) {
            Some(problem) => Err(ShapeError::Sizes(problem)),
            None => Ok(vec![x.with_axes(self.axes.clone())]),
        }
    }

    fn cost(&self, _: &[&Shape], output: &Shape) -> Cost {
        let first = self.axes.len() - self.window.len();
        let items: Poly = self.axes[..first].iter().map(|axis| &axis.size).product();
        let taps = items * self.taps.iter().map(|taps| &taps.pairs).product::<Poly>();
        let results = output.elements();
        let joins = taps - &results;
        let counts = match self.kind {
            PoolKind::Max => Counts::zero().with(Class::Max, joins),
            PoolKind::Mean | PoolKind::MeanWithPadding => {
                Counts::zero().with(Class::Add, joins).with(Class::Div, results)
            }
        };
        Cost::of(Part::Pointwise, counts)
    }

    fn summed(&self, _: &[&Shape]) -> Vec<(Symbol, Poly)> {
        Vec::new()
    }

    fn facts(&self) -> Facts<'_> {
        Facts::of(&[Part::Pointwise])
    }

    fn axis_map(&self, inputs: &[&Shape], _: &Shape) -> AxisMap {
        let items = self.axes.len() - self.window.len();
        let along = |at: usize| (at < items).then_some(at);
        AxisMap::new(inputs.iter().map(|x| (0..x.axes.len()).map(along).collect()))
    }

    fn detail(&self) -> String {
        let window: Vec<String> = self.window.iter().map(ToString::to_string).collect();
        let window = format!("window {}", window.join("×"));
        let with_padding =
            (self.kind == PoolKind::MeanWithPadding).then(|| "padding counts".to_owned());
        let partial = self.partial.then(|| "the last window in part".to_owned());
        let slides = Slide::detail(&self.slides());
        [Some(window), slides, with_padding, partial]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(", ")
    }

    fn conflict(&self, inputs: &[&Shape], binding: &Binding) -> Option<String> {
        self.sliding(inputs.first()?).find_map(|(slide, result, input, taps)| {
            slide.problem(result, input, &taps, self.partial, binding).or_else(|| {
                let at = |size: &Poly| size.at(binding).ok();
                let (found, input, taps) = (at(&result.size)?, at(input)?, at(&taps)?);
                let reached = slide.support(&found, &taps, &input).1;
                let axis = &result.name;
                (reached != found)
                    .then(|| format!("along axis `{axis}` a window lies on padding alone"))
            })
        })
    }

    fn reference<T: Scalar>(
        &self,
        call: &Call<'_, T>,
        mark: &mut dyn FnMut(Part),
    ) -> Result<Vec<Value<T>>, OpError> {
        let x = call.real(0)?;
        let (own, slides) = (strides(x.shape()), self.slides());
        let items = self.axes.len() - self.window.len();
        let mut out = Vec::with_capacity(call.output_len());
        for index in indices(call.output) {
            let first: usize = index[..items].iter().zip(&own).map(|(i, stride)| i * stride).sum();
            let (mut places, mut counted) = (vec![first], 1);
            for (axis, (slide, taps)) in slides.iter().zip(&self.window).enumerate() {
                let (at, size) = (index[items + axis], x.shape()[items + axis]);
                let inside: Vec<usize> =
                    (0..*taps).filter_map(|tap| slide.place(at, tap, size)).collect();
                counted *= match self.kind {
                    PoolKind::Max | PoolKind::Mean => inside.len(),
                    PoolKind::MeanWithPadding => {
                        (0..*taps).filter(|tap| slide.on_padded(at, *tap, size)).count()
                    }
                };
                let stride = own[items + axis];
                let further = |from: usize| inside.iter().map(move |place| from + place * stride);
                places = places.into_iter().flat_map(further).collect();
            }
            let elements = places.into_iter().map(|place| x.data()[place]);
            let pooled = match self.kind {
                PoolKind::Max => elements.reduce(T::max),
                PoolKind::Mean | PoolKind::MeanWithPadding => {
                    sum(elements).map(|sum| sum / T::from_f64(counted as f64))
                }
            };
            out.push(pooled.ok_or(OpError::Operand(0))?);
        }
        mark(Part::Pointwise);
        call.result(out)
    }
}

#[cfg(test)]
mod tests {
    use super::{Pool, PoolKind};
    use crate::ops::proof::{evaluate, prove};
    use crate::{Axis, Graph};
    use opledger_dims::Binding;
    use proptest::prelude::*;

    const KINDS: [PoolKind; 3] = [PoolKind::Max, PoolKind::Mean, PoolKind::MeanWithPadding];

    proptest! {
        #[test]
        fn counted_reference_equals_cost(
            b in 0..3_usize,
            axes in prop::collection::vec(
                (1..4_usize, 1..4_usize, (0..3_usize, 0..3_usize), 1..3_usize, 1..6_usize),
                1..4,
            ),
            free: bool,
            partial: bool,
        ) {
            let mut sizes = vec![("b", b)];
            let [mut x, mut result] = [vec![Axis::from("b")], vec![Axis::from("b")]];
            let (mut window, mut strides, mut padding, mut dilations) = (vec![], vec![], vec![], vec![]);
            for ((stride, k, pad, dilation, more), [s, r]) in
                axes.into_iter().zip([["s", "r"], ["s1", "r1"], ["s2", "r2"]])
            {
                // Every window meets the input: a tap falls on it however far it reaches over.
                let pad = (pad.0.min((k - 1) * dilation), pad.1.min((k - 1) * dilation));
                let reach = (k - 1) * dilation + 1;
                let input = reach + more;
                let left = input + pad.0 + pad.1 - reach;
                let results = match partial {
                    false => left / stride + 1,
                    true => {
                        let results = left.div_ceil(stride) + 1;
                        if (results - 1) * stride >= input + pad.0 { results - 1 } else { results }
                    }
                };
                let axis = |name: &'static str, size: usize| match free {
                    true => Axis::from(name),
                    false => Axis::new(name, size),
                };
                if free {
                    sizes.extend([(s, input), (r, results)]);
                }
                x.push(axis(s, input));
                result.push(axis(r, results));
                window.push(k);
                strides.push(stride);
                padding.push(pad);
                dilations.push(dilation);
            }
            let mut g = Graph::new();
            let x = g.input("x", x).unwrap();
            for kind in KINDS {
                let pool = Pool::new(kind, result.clone(), &window, &strides, &padding);
                let pool = Pool { dilations: dilations.clone(), partial, ..pool };
                g.pool(x, pool).unwrap();
            }
            prove(&g, &sizes);
        }
    }

    #[test]
    fn padding_is_left_out_and_counts_where_it_is_said() {
        let mut g = Graph::new();
        let x = g.input("x", [("b", 1), ("n", 4)]).unwrap();
        let mut of = |kind, r: i64, padding, partial| {
            let pool = Pool::new(kind, [("b", 1), ("r", r)], &[3], &[2], &[padding]);
            let y = g.pool(x, Pool { partial, ..pool }).unwrap();
            let values = evaluate(&g, y, &[("x", &[-4., -2., -6., -9.])]);
            (values, g.node(y).op.clone())
        };
        assert_eq!(of(PoolKind::Max, 2, (1, 0), false).0, [-2., -2.]);
        assert_eq!(of(PoolKind::Mean, 2, (1, 1), false).0, [-3., -17. / 3.]);
        assert_eq!(of(PoolKind::MeanWithPadding, 2, (1, 1), false).0, [-2., -17. / 3.]);
        // The last window is of two elements, one of padding and one of nothing.
        assert_eq!(of(PoolKind::MeanWithPadding, 3, (1, 1), true).0, [-2., -17. / 3., -4.5]);
        let op = of(PoolKind::MeanWithPadding, 3, (1, 1), true).1;
        let told = "window 3, stride 2, padding 1, padding counts, the last window in part";
        assert_eq!(crate::Operation::detail(&op), told);
    }

    #[test]
    fn a_window_on_padding_alone_and_other_sizes_are_refused() {
        let mut g = Graph::new();
        let x = g.input("x", ["b", "n"]).unwrap();
        let pool = Pool::new(PoolKind::Max, ["b", "r"], &[2], &[1], &[(2, 0)]);
        g.pool(x, pool).unwrap();
        let at = |n: i64, r: i64| {
            let sizes = [("b", 1), ("n", n), ("r", r)];
            g.check(&g.complete(&Binding::from_iter(sizes)).unwrap()).unwrap_err().to_string()
        };
        assert_eq!(at(5, 6), "max_pool: along axis `r` a window lies on padding alone");
        assert!(at(5, 5).contains("axis `r` is 5, but a window of 2 taps"));
        let mut refused = |pool| g.pool(x, pool).unwrap_err().problem.to_string();
        let pool = Pool::new(PoolKind::Max, ["c", "r"], &[2], &[1], &[(0, 0)]);
        assert_eq!(refused(pool), "axis 0 of operand 0 is `b` where `c` is needed");
        let pool = Pool::new(PoolKind::Max, ["b", "r"], &[0], &[1], &[(0, 0)]);
        assert!(
            refused(pool).starts_with("1 strides, paddings, dilations and counts of taps and no")
        );
    }
}
