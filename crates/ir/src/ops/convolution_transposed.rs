//! Transposed convolution over one to three axes: each product of an element and a tap is added to its
//! place in a result of zeros, `out[b, o, stride·s + dilation·k − before, …] += x[b, i, s…] · w[i, o, k…]`
//! (Dumoulin and Visin 2016, §4; Zeiler et al. 2010). With groups, each group of results is of its own
//! group of inputs.
//!
//! Count: what falls beside the result is neither computed nor added. Along each axis let T be the pairs of
//! a position and a tap that fall on the result: b·o·(i/groups)·ΠT mul and as many add.

use opledger_dims::{Binding, Class, Counts, Integer, Poly, Scalar, Symbol};

use crate::expect::expect_distinct;
use crate::operation::{Operation, operands};
use crate::slide::Slide;
use crate::value::{strides, to_usize};
use crate::{
    Axis, AxisMap, Call, Cost, Facts, Kind, OpError, Part, Shape, ShapeError, Value, indices,
};

/// `x [b, i, s…]` by weights `[i, o/groups, k…]` to `[b, o, r…]`.
#[derive(Clone, Debug, PartialEq)]
pub struct ConvolutionTransposed {
    /// The axes of the result: that of batch, as `x` has it, one of channels, then one for each axis
    /// that the window slides along.
    pub axes: Vec<Axis>,
    /// For each of these, positions of the result from an element to the next.
    pub strides: Vec<usize>,
    /// Positions that are cut off before and after the result.
    pub padding: Vec<(usize, usize)>,
    /// Positions of the result from a tap to the next.
    pub dilations: Vec<usize>,
    /// How many groups of channels there are.
    pub groups: Poly,
    /// For each axis that the window slides along, the pairs of a position and a tap that fall on the
    /// result; as [`Graph::convolution_transposed`](crate::Graph::convolution_transposed) finds them.
    pub taps: Vec<Poly>,
}

impl ConvolutionTransposed {
    /// A transposed convolution whose taps are not known yet.
    pub fn new(
        axes: impl IntoIterator<Item = impl Into<Axis>>,
        strides: &[usize],
        padding: &[(usize, usize)],
        dilations: &[usize],
        groups: impl Into<Poly>,
    ) -> Self {
        ConvolutionTransposed {
            axes: axes.into_iter().map(Into::into).collect(),
            strides: strides.to_vec(),
            padding: padding.to_vec(),
            dilations: dilations.to_vec(),
            groups: groups.into(),
            taps: Vec::new(),
        }
    }

    /// How the window slides over the result along each axis; as many as all attributes are given for.
    pub fn slides(&self) -> Vec<Slide> {
        Slide::along(&self.strides, &self.padding, &self.dilations)
    }

    /// What is wrong with the sizes at a binding, where they are known.
    fn problem(&self, x: &Shape, weight: &Shape, binding: &Binding) -> Option<String> {
        let at = |size: &Poly| size.at(binding).ok();
        if let (Some(size), Some(groups)) = (at(&x.axes[1].size), at(&self.groups))
            && (groups == 0.into() || size.clone() % &groups != 0.into())
        {
            let axis = &x.axes[1].name;
            return Some(format!("axis `{axis}` of {size} channels is not {groups} groups"));
        }
        let along = self.axes[2..].iter().zip(&x.axes[2..]).zip(&weight.axes[2..]);
        along.zip(self.slides()).find_map(|(((result, input), taps), slide)| {
            let (found, input, taps) = (at(&result.size)?, at(&input.size)?, at(&taps.size)?);
            let one = Integer::from(1);
            let reached = (&input - &one) * slide.stride + (&taps - &one) * slide.dilation + one;
            let (axis, spare) = (&result.name, slide.stride.max(slide.dilation));
            let more = &found + slide.padding.0 + slide.padding.1 - &reached;
            let fits = more >= Integer::from(0) && more < spare.into();
            (!fits).then(|| {
                let least = reached - slide.padding.0 - slide.padding.1;
                format!(
                    "axis `{axis}` is {found}, but {input} positions of {taps} taps reach {least}, \
                         and fewer than {spare} are added"
                )
            })
        })
    }
}

impl Operation for ConvolutionTransposed {
    fn name(&self) -> &'static str {
        "convolution_transposed"
    }

    fn signature(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [x, weight] = operands(inputs)?;
        x.expect(0, Kind::Real)?;
        weight.expect(1, Kind::Real)?;
        expect_distinct(&self.axes)?;
        let expected = self.axes.len();
        let sliding = expected.saturating_sub(2);
        if !(1..=3).contains(&sliding) {
            let problem = format!("a window slides along 1 to 3 axes, {sliding} are given");
            return Err(ShapeError::Sizes(problem));
        }
        for (operand, shape) in [x, weight].into_iter().enumerate() {
            if shape.axes.len() != expected {
                let found = shape.axes.len();
                return Err(ShapeError::Rank { operand, expected, found });
            }
        }
        let given = [self.strides.len(), self.padding.len(), self.dilations.len(), self.taps.len()];
        if given != [sliding; 4] || self.groups == Poly::zero() {
            return Err(ShapeError::Sizes(format!(
                "{sliding} strides, paddings, dilations and counts of taps and at least 1 group are \
                 needed; there are {given:?} and {}",
                self.groups
            )));
        }
        Slide::expect_steps(&self.slides())?;
        x.expect_leading(0, &self.axes[..1], expected - 1)?;
        let sizes = [
            (&weight.axes[0], weight.axes[0].size.clone(), &x.axes[1]),
            (&weight.axes[1], &weight.axes[1].size * &self.groups, &self.axes[1]),
        ];
        for (axis, left, right) in sizes {
            if left != right.size {
                let (axis, right) = (axis.name.clone(), right.size.clone());
                return Err(ShapeError::Size { axis, left, right });
            }
        }
        match self.conflict(inputs, &Binding::new()) {
            Some(problem) => Err(ShapeError::Sizes(problem)),
            None => Ok(vec![x.with_axes(self.axes.clone())]),
        }
    }

    fn cost(&self, inputs: &[&Shape], _: &Shape) -> Cost {
        let channels = &inputs[0].axes[1].size * &inputs[1].axes[1].size;
        let products = &self.axes[0].size * channels * self.taps.iter().product::<Poly>();
        let counts = Counts::zero().with(Class::Mul, products.clone()).with(Class::Add, products);
        Cost::of(Part::Contraction, counts)
    }

    fn summed(&self, _: &[&Shape]) -> Vec<(Symbol, Poly)> {
        Vec::new()
    }

    fn facts(&self) -> Facts<'_> {
        Facts::of(&[Part::Contraction]).sizes([&self.groups])
    }

    fn axis_map(&self, inputs: &[&Shape], _: &Shape) -> AxisMap {
        // Items run along; channels of inputs, places and taps are summed, and channels of results are in
        // groups.
        AxisMap::new(inputs.iter().enumerate().map(|(operand, shape)| {
            let mut along = vec![None; shape.axes.len()];
            match operand {
                0 => along[0] = Some(0),
                _ if self.groups == Poly::one() => along[1] = Some(1),
                _ => {}
            }
            along
        }))
    }

    fn detail(&self) -> String {
        let groups = (self.groups != Poly::one()).then(|| format!("{} groups", self.groups));
        let slides = Slide::detail(&self.slides());
        [slides, groups].into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    fn conflict(&self, inputs: &[&Shape], binding: &Binding) -> Option<String> {
        let [x, weight] = inputs else { return None };
        self.problem(x, weight, binding)
    }

    fn reference<T: Scalar>(
        &self,
        call: &Call<'_, T>,
        mark: &mut dyn FnMut(Part),
    ) -> Result<Vec<Value<T>>, OpError> {
        let (x, weight) = (call.real(0)?, call.real(1)?);
        let [w_strides, out_strides] = [weight.shape(), call.output].map(strides);
        let slides = self.slides();
        let groups = to_usize(&self.groups.at(call.binding)?)?;
        let inputs = x.shape()[1].checked_div(groups).unwrap_or(0);
        let outputs = weight.shape()[1];
        let mut out = vec![T::from_f64(0.0); call.output_len()];
        for (element, at) in x.data().iter().zip(indices(x.shape())) {
            let group = at[1] / inputs.max(1);
            for tap in indices(&weight.shape()[2..]) {
                let place = |axis: usize| {
                    slides[axis].place(at[axis + 2], tap[axis], call.output[axis + 2])
                };
                let places: Option<Vec<usize>> = (0..slides.len()).map(place).collect();
                let Some(places) = places else { continue };
                for output in 0..outputs {
                    let taps = tap.iter().zip(&w_strides[2..]).map(|(tap, step)| tap * step);
                    let of_weight =
                        at[1] * w_strides[0] + output * w_strides[1] + taps.sum::<usize>();
                    let along = places.iter().zip(&out_strides[2..]).map(|(at, step)| at * step);
                    let to = at[0] * out_strides[0]
                        + (group * outputs + output) * out_strides[1]
                        + along.sum::<usize>();
                    out[to] = out[to] + *element * weight.data()[of_weight];
                }
            }
        }
        mark(Part::Contraction);
        call.result(out)
    }
}

#[cfg(test)]
mod tests {
    use super::ConvolutionTransposed;
    use crate::ops::proof::{evaluate, prove};
    use crate::{Axis, Graph};
    use opledger_dims::Binding;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn counted_reference_equals_cost(
            [b, i, o] in [0..3_usize, 1..3_usize, 1..3_usize],
            groups in 1..3_usize,
            axes in prop::collection::vec(
                ((1..4_usize, 1..3_usize), (0..2_usize, 0..2_usize), 1..4_usize, 1..4_usize, 0..2_usize),
                1..3,
            ),
            free: bool,
        ) {
            let mut sizes = vec![("b", b)];
            let [mut x, mut weight, mut result] = [
                vec![Axis::from("b"), Axis::new("i", groups * i)],
                vec![Axis::new("i", groups * i), Axis::new("o'", o)],
                vec![Axis::from("b"), Axis::new("o", groups * o)],
            ];
            let (mut strides, mut padding, mut dilations) = (vec![], vec![], vec![]);
            for (((stride, dilation), pad, k, s, more), [of_x, of_w, of_result]) in
                axes.into_iter().zip([["s", "k", "r"], ["s1", "k1", "r1"]])
            {
                let reached = (s - 1) * stride + (k - 1) * dilation + 1;
                let all = reached + more.min(stride.max(dilation) - 1);
                let pad = if all > pad.0 + pad.1 { pad } else { (0, 0) };
                let r = all - pad.0 - pad.1;
                let axis = |name: &'static str, size: usize| match free {
                    true => Axis::from(name),
                    false => Axis::new(name, size),
                };
                if free {
                    sizes.extend([(of_x, s), (of_w, k), (of_result, r)]);
                }
                x.push(axis(of_x, s));
                weight.push(axis(of_w, k));
                result.push(axis(of_result, r));
                strides.push(stride);
                padding.push(pad);
                dilations.push(dilation);
            }
            let mut g = Graph::new();
            let x = g.input("x", x).unwrap();
            let weight = g.input("weight", weight).unwrap();
            let op = ConvolutionTransposed::new(result, &strides, &padding, &dilations, groups);
            g.convolution_transposed("", x, weight, op).unwrap();
            prove(&g, &sizes);
        }
    }

    #[test]
    fn each_product_is_added_to_its_place() {
        let mut g = Graph::new();
        let x = g.input("x", [("b", 1), ("i", 1), ("s", 3)]).unwrap();
        let w = g.input("w", [("i", 1), ("o", 1), ("k", 3)]).unwrap();
        let mut of = |r: i64, stride, padding| {
            let axes = [("b", 1), ("o", 1), ("r", r)];
            let op = ConvolutionTransposed::new(axes, &[stride], &[padding], &[1], 1);
            let y = g.convolution_transposed("", x, w, op)?;
            let cost = g.node_cost(g.node(y)).macs().to_string();
            Ok::<_, crate::GraphError>((
                evaluate(&g, y, &[("x", &[1., 2., 3.]), ("w", &[1., 10., 100.])]),
                cost,
            ))
        };
        // 1, 10, 100 times each element, two positions apart.
        let whole = [1., 10., 102., 20., 203., 30., 300.];
        assert_eq!(of(7, 2, (0, 0)).unwrap(), (whole.to_vec(), "9".to_owned()));
        assert_eq!(of(5, 2, (1, 1)).unwrap(), (whole[1..6].to_vec(), "7".to_owned()));
        assert_eq!(of(8, 2, (0, 0)).unwrap().0, [&whole[..], &[0.]].concat());
        let error = of(9, 2, (0, 0)).unwrap_err().problem.to_string();
        assert_eq!(
            error,
            "axis `r` is 9, but 3 positions of 3 taps reach 7, and fewer than 2 are added"
        );
        let op =
            ConvolutionTransposed::new([("b", 1), ("o", 2), ("r", 7)], &[2], &[(0, 0)], &[1], 1);
        let error = g.convolution_transposed("", x, w, op).unwrap_err().problem.to_string();
        assert_eq!(error, "axis `o` is 1 in one operand and 2 in another");
        let free = Binding::new();
        assert!(g.check(&g.complete(&free).unwrap()).is_ok());
    }
}
