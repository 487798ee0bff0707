//! Convolution over one to three axes: `out[b, o, r…] = Σ_{i, k…} x[b, i, stride·r + dilation·k − before,
//! …] · w[o, i, k…]`, where positions outside the input are zero (LeCun et al. 1989; Dumoulin and Visin
//! 2016, §2). With groups, each group of results is of its own group of inputs.
//!
//! Count: what falls on padding is absent from a sum. Along each axis let T be the taps of all results
//! that fall on the input, and R the results that have such a tap: b·o·(i/groups)·ΠT mul, and one add
//! fewer for each of the b·o·ΠR results that are no empty sum.

use opledger_dims::{Binding, Class, Counts, Poly, Scalar, Symbol};

use crate::expect::expect_distinct;
use crate::operation::{Operation, operands};
use crate::slide::Slide;
use crate::value::{strides, to_usize};
use crate::{
    Axis, AxisMap, Call, Cost, Facts, Kind, OpError, Part, Shape, ShapeError, Support, Value,
    indices,
};

/// `x [b, i, s…]` by weights `[o, i/groups, k…]` to `[b, o, r…]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Convolution {
    /// The axes of the result: that of batch, as `x` has it, one of channels, then one for each axis
    /// that the window slides along.
    pub axes: Vec<Axis>,
    /// For each of these, positions from a result to the next.
    pub strides: Vec<usize>,
    /// Positions of padding before and after the input.
    pub padding: Vec<(usize, usize)>,
    /// Positions from a tap to the next.
    pub dilations: Vec<usize>,
    /// How many groups of channels there are: one, as many as channels in a depthwise convolution.
    pub groups: Poly,
    /// For each axis that the window slides along, the pairs of a result and a tap that falls on the
    /// input, and the results that have such a tap; as [`Graph::convolution`](crate::Graph::convolution)
    /// finds them.
    pub taps: Vec<Support>,
}

impl Convolution {
    /// A convolution whose taps are not known yet.
    pub fn new(
        axes: impl IntoIterator<Item = impl Into<Axis>>,
        strides: &[usize],
        padding: &[(usize, usize)],
        dilations: &[usize],
        groups: impl Into<Poly>,
    ) -> Self {
        Convolution {
            axes: axes.into_iter().map(Into::into).collect(),
            strides: strides.to_vec(),
            padding: padding.to_vec(),
            dilations: dilations.to_vec(),
            groups: groups.into(),
            taps: Vec::new(),
        }
    }

    /// How the window slides along each axis; as many as all attributes are given for.
    pub fn slides(&self) -> Vec<Slide> {
        Slide::along(&self.strides, &self.padding, &self.dilations)
    }

    /// What is wrong with the sizes at a binding, where they are known.
    fn problem(&self, x: &Shape, weight: &Shape, binding: &Binding) -> Option<String> {
        let channels = &self.axes[1];
        if let (Ok(size), Ok(groups)) = (channels.size.at(binding), self.groups.at(binding))
            && (groups == 0.into() || size.clone() % &groups != 0.into())
        {
            let axis = &channels.name;
            return Some(format!("axis `{axis}` of {size} channels is not {groups} groups"));
        }
        let along = self.axes[2..].iter().zip(&x.axes[2..]).zip(&weight.axes[2..]);
        along.zip(self.slides()).find_map(|(((result, input), taps), slide)| {
            slide.problem(result, &input.size, &taps.size, false, binding)
        })
    }
}

impl Operation for Convolution {
    fn name(&self) -> &'static str {
        "convolution"
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
        let sizes = [
            (&x.axes[0], x.axes[0].size.clone(), &self.axes[0]),
            (&weight.axes[0], weight.axes[0].size.clone(), &self.axes[1]),
            (&x.axes[1], &weight.axes[1].size * &self.groups, &x.axes[1]),
        ];
        for (axis, left, right) in sizes {
            if left != right.size {
                let (axis, right) = (axis.name.clone(), right.size.clone());
                return Err(ShapeError::Size { axis, left, right });
            }
        }
        if x.axes[0].name != self.axes[0].name {
            let (expected, found) = (self.axes[0].name.clone(), x.axes[0].name.clone());
            return Err(ShapeError::Name { operand: 0, position: 0, expected, found });
        }
        match self.conflict(inputs, &Binding::new()) {
            Some(problem) => Err(ShapeError::Sizes(problem)),
            None => Ok(vec![x.with_axes(self.axes.clone())]),
        }
    }

    fn cost(&self, inputs: &[&Shape], _: &Shape) -> Cost {
        let each = &self.axes[0].size * &self.axes[1].size;
        let all = |of: fn(&Support) -> &Poly| self.taps.iter().map(of).product::<Poly>();
        let products = &each * &inputs[1].axes[1].size * all(|taps| &taps.pairs);
        let sums = each * all(|taps| &taps.rows);
        let counts =
            Counts::zero().with(Class::Mul, products.clone()).with(Class::Add, products - sums);
        Cost::of(Part::Contraction, counts)
    }

    fn summed(&self, inputs: &[&Shape]) -> Vec<(Symbol, Poly)> {
        inputs[1].axes[1..].iter().map(|axis| (axis.name.clone(), axis.size.clone())).collect()
    }

    fn facts(&self) -> Facts<'_> {
        Facts::of(&[Part::Contraction]).sizes([&self.groups])
    }

    fn axis_map(&self, inputs: &[&Shape], _: &Shape) -> AxisMap {
        // Items and channels of results run along; channels of inputs, places and taps are summed.
        AxisMap::new(inputs.iter().enumerate().map(|(result, shape)| {
            let first = std::iter::once(Some(result));
            first.chain(std::iter::repeat(None)).take(shape.axes.len()).collect()
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
        let (x_strides, w_strides) = (strides(x.shape()), strides(weight.shape()));
        let (slides, inner) = (self.slides(), weight.shape()[1]);
        let groups = to_usize(&self.groups.at(call.binding)?)?;
        let per_group = call.output[1].checked_div(groups).unwrap_or(1).max(1);
        let mut out = Vec::with_capacity(call.output_len());
        for index in indices(call.output) {
            // Where the taps that fall on the input lie in both operands.
            let mut taps = vec![(0, 0)];
            for (axis, slide) in slides.iter().enumerate().map(|(i, slide)| (i + 2, slide)) {
                let (size, count) = (x.shape()[axis], weight.shape()[axis]);
                let places = |tap| Some((tap, slide.place(index[axis], tap, size)?));
                let places: Vec<_> = (0..count).filter_map(places).collect();
                let further = |(in_x, in_w): (usize, usize)| {
                    let at = |(tap, place): &(usize, usize)| {
                        (in_x + place * x_strides[axis], in_w + tap * w_strides[axis])
                    };
                    places.iter().map(at).collect::<Vec<_>>()
                };
                taps = taps.into_iter().flat_map(further).collect();
            }
            let channel = index[1] / per_group * inner;
            let (in_x, in_w) = (index[0] * x_strides[0], index[1] * w_strides[0]);
            let products = (0..inner).flat_map(|i| taps.iter().map(move |tap| (i, tap)));
            let product = |(i, (of_x, of_w)): (usize, &(usize, usize))| {
                let a = x.data()[in_x + (channel + i) * x_strides[1] + of_x];
                a * weight.data()[in_w + i * w_strides[1] + of_w]
            };
            let sum = products.map(product).reduce(|sum, term| sum + term);
            out.push(sum.unwrap_or_else(|| T::from_f64(0.0)));
        }
        mark(Part::Contraction);
        call.result(out)
    }
}

#[cfg(test)]
mod tests {
    use super::Convolution;
    use crate::ops::proof::{evaluate, prove};
    use crate::{Axis, Graph};
    use opledger_dims::{Binding, Quantity};
    use proptest::prelude::*;

    fn slides() -> impl Strategy<Value = (usize, usize, (usize, usize), usize)> {
        (1..4_usize, 1..4_usize, (0..4_usize, 0..3_usize), 1..4_usize)
    }

    proptest! {
        #[test]
        fn counted_reference_equals_cost(
            [b, o, i, groups] in [0..3_usize, 1..3, 1..3, 1..3],
            axes in prop::collection::vec((slides(), 0..4_usize), 1..4),
            free: bool,
        ) {
            let names = [["s", "k", "r"], ["s1", "k1", "r1"], ["s2", "k2", "r2"]];
            let mut sizes = vec![("b", b), ("i", i), ("o", o * groups)];
            let [mut x, mut weight, mut result] = [
                vec![Axis::from("b"), Axis::new("c", opledger_dims::Poly::from("i") * groups as i64)],
                vec![Axis::from("o"), Axis::from("i")],
                vec![Axis::from("b"), Axis::from("o")],
            ];
            let (mut strides, mut padding, mut dilations) = (vec![], vec![], vec![]);
            for (((stride, k, pad, dilation), more), [s, t, r]) in axes.into_iter().zip(names) {
                let window = (k - 1) * dilation + 1;
                let input = window.saturating_sub(pad.0 + pad.1) + more;
                let results = (input + pad.0 + pad.1 - window) / stride + 1;
                let axis = |name: &'static str, size: usize| match free {
                    true => Axis::from(name),
                    false => Axis::new(name, size),
                };
                if free {
                    sizes.extend([(s, input), (t, k), (r, results)]);
                }
                x.push(axis(s, input));
                weight.push(axis(t, k));
                result.push(axis(r, results));
                strides.push(stride);
                padding.push(pad);
                dilations.push(dilation);
            }
            let mut g = Graph::new();
            let x = g.input("x", x).unwrap();
            let weight = g.input("weight", weight).unwrap();
            let op = Convolution::new(result, &strides, &padding, &dilations, groups);
            g.convolution("", x, weight, op).unwrap();
            prove(&g, &sizes);
        }
    }

    #[test]
    fn a_plane_meets_its_weights_where_they_stand() {
        let mut g = Graph::new();
        let x = g.input("x", [("b", 1), ("i", 1), ("h", 2), ("w", 3)]).unwrap();
        let w = g.input("taps", [("o", 1), ("i", 1), ("k", 2), ("l", 2)]).unwrap();
        let axes = [("b", 1), ("o", 1), ("r", 1), ("s", 2)].map(Axis::from).to_vec();
        let op = Convolution::new(axes, &[1, 1], &[(0, 0), (0, 0)], &[1, 1], 1);
        let y = g.convolution("", x, w, op).unwrap();
        let feeds: [(&str, &[f64]); 2] =
            [("x", &[1., 2., 3., 4., 5., 6.]), ("taps", &[1., 10., 100., 1000.])];
        assert_eq!(evaluate(&g, y, &feeds), [5421., 6532.]);
    }

    fn line(padding: (usize, usize), results: &str) -> (Graph, crate::Var) {
        let mut g = Graph::new();
        let x = g.input("x", ["b", "i", "n"]).unwrap();
        let w = g.input("w", ["o", "i", "k"]).unwrap();
        let axes = [
            Axis::from("b"),
            Axis::from("o"),
            Axis::new("r", results.parse::<opledger_dims::Poly>().unwrap()),
        ];
        let y = g.convolution("", x, w, Convolution::new(axes, &[1], &[padding], &[1], 1)).unwrap();
        (g, y)
    }

    #[test]
    fn the_formula_has_a_symbol_only_where_taps_fall_on_padding() {
        let (g, y) = line((0, 0), "n - k + 1");
        assert_eq!(g.quantity(Quantity::Macs), "b·o·i·k·(n - k + 1)".parse().unwrap());
        assert!(g.definitions().is_empty());
        assert_eq!(g.shape(y).to_string(), "[b, o, r=-k + n + 1]");
        let (g, _) = line((1, 1), "n + 3 - k");
        assert_eq!(g.quantity(Quantity::Macs).to_string(), "b·i·o·taps");
        let sizes = Binding::from_iter([("b", 2), ("o", 3), ("i", 5), ("k", 3), ("n", 10)]);
        assert_eq!(g.complete(&sizes).unwrap().get(&"taps".into()), Some(&28.into()));
        let text = g.to_string();
        let expected = "where taps = number of (i, k) with i < ";
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn a_window_is_turned_over_no_axis_and_padding_is_zero() {
        let mut g = Graph::new();
        let x = g.input("x", [("b", 1), ("i", 1), ("n", 4)]).unwrap();
        let w = g.input("w", [("o", 1), ("i", 1), ("k", 3)]).unwrap();
        let op = Convolution::new([("b", 1), ("o", 1), ("r", 3)], &[2], &[(1, 2)], &[1], 1);
        let y = g.convolution("", x, w, op).unwrap();
        let feeds: [(&str, &[f64]); 2] = [("x", &[1., 2., 3., 4.]), ("w", &[1., 10., 100.])];
        assert_eq!(evaluate(&g, y, &feeds), [210., 432., 4.]);
        assert!(g.to_string().contains("{stride 2, padding 1+2}"), "{g}");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut g = Graph::new();
        let x = g.input("x", [("b", 1), ("i", 4), ("n", 9)]).unwrap();
        let w = g.input("w", [("o", 6), ("i", 2), ("k", 3)]).unwrap();
        let axes = |o: i64, r: i64| [("b", 1), ("o", o), ("r", r)].map(Axis::from);
        let mut refused =
            |op: Convolution| g.convolution("", x, w, op).unwrap_err().problem.to_string();
        let of = |axes, stride, groups| Convolution::new(axes, &[stride], &[(0, 0)], &[1], groups);
        assert_eq!(refused(of(axes(6, 7), 1, 1)), "axis `i` is 2 in one operand and 4 in another");
        assert_eq!(refused(of(axes(5, 7), 1, 2)), "axis `o` is 6 in one operand and 5 in another");
        assert_eq!(
            refused(of(axes(6, 8), 1, 2)),
            "axis `r` is 8, but a window of 3 taps over 9 positions and their padding has 7 results"
        );
        assert_eq!(refused(of(axes(6, 7), 0, 2)), "strides and dilations are at least 1");
        let op = Convolution::new(axes(6, 7), &[1, 1], &[(0, 0)], &[1], 2);
        assert!(refused(op).starts_with("1 strides, paddings, dilations and counts of taps"));
        let op = Convolution::new(axes(6, 1), &[1], &[(0, 0)], &[8], 2);
        assert_eq!(
            refused(op),
            "a window of 3 taps, 8 apart, is longer than 9 positions and their padding"
        );
        let (g, _) = line((1, 0), "r");
        let at = |r| {
            let sizes = [("b", 1), ("i", 1), ("o", 1), ("n", 5), ("k", 2), ("r", r)];
            g.check(&g.complete(&Binding::from_iter(sizes)).unwrap()).err().map(|e| e.to_string())
        };
        assert_eq!(at(5), None);
        assert!(at(4).unwrap().contains("axis `r` is 4, but a window of 2 taps"));
    }
}
