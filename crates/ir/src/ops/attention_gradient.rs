//! The gradients of attention in its queries, keys and values, for which the weights are computed again
//! (Dao et al. 2022, §3.1 and appendix B): with weights `w = softmax(s)` and the gradient `dy` of the result,
//! `dv = wᵀ·dy`, `dw = dy·vᵀ`, `ds = w·(dw − Σ dw·w)`, and, times the scale, `dq = ds·k` and `dk = dsᵀ·q`.
//!
//! Count, with P allowed pairs and R rows that see a key: scores, scale and softmax as [`Attention`] counts
//! them; the contractions P·f mul and P·(f − 1) add for `dw`, P·f mul and add for `dv`, P·e mul and
//! (P − R)·e add for `dq`, P·e mul and add for `dk`; pointwise 2·P mul and 2·P − R add for `ds`, with a scale
//! P mul more, or P div. Under a mask sums over queries begin at 0, since a key may be seen by none; without
//! one the first term joins nothing. A row that sees no key gives and has zeros.
//!
//! It is what the rules of the chain that defines attention make of it, but that a hidden pair is in no sum.

use opledger_dims::{Binding, Class, Counts, Poly, Scalar, Symbol};

use super::attention::{Attention, Scaling};
use super::norm::sum;
use super::softmax::softmax_row;
use crate::cost::dot;
use crate::operation::Operation;
use crate::{AxisMap, Call, Cost, Facts, Kind, OpError, Part, Shape, ShapeError, Support, Value};

/// `q`, `k`, `v` and, where there is one, the mask tensor of an attention, then the gradient of its result, to
/// the gradients of `q`, `k` and `v`.
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionGradient {
    of: Attention,
}

impl AttentionGradient {
    /// The gradient of an attention whose scores have no bias, no soft cap and no sinks.
    pub fn new(of: &Attention) -> Option<AttentionGradient> {
        let plain = !of.bias && !of.sinks && of.soft_cap.is_none();
        plain.then(|| AttentionGradient { of: of.clone() })
    }

    /// The attention.
    pub fn of(&self) -> &Attention {
        &self.of
    }
}

/// The sizes but the width.
fn places(shape: &Shape) -> Poly {
    shape.axes.iter().rev().skip(1).map(|axis| &axis.size).product()
}

fn width(shape: &Shape) -> Poly {
    shape.last().map_or_else(Poly::zero, |axis| axis.size.clone())
}

impl Operation for AttentionGradient {
    fn name(&self) -> &'static str {
        "attention_gradient"
    }

    fn signature(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let expected = 4 + usize::from(self.of.mask.keep);
        let [attended @ .., dy] = inputs else {
            return Err(ShapeError::Arity { expected, found: 0 });
        };
        if inputs.len() != expected {
            return Err(ShapeError::Arity { expected, found: inputs.len() });
        }
        let operand = attended.len();
        dy.expect(operand, Kind::Real)?;
        for result in self.of.signature(attended)? {
            dy.expect_leading(operand, &result.axes, 0)?;
        }
        Ok(attended[..3].iter().map(|shape| (*shape).clone()).collect())
    }

    fn cost(&self, inputs: &[&Shape], output: &Shape) -> Cost {
        let Support { pairs, rows } = &self.of.support;
        let (e, f) = (width(output), width(inputs[2]));
        let first = match self.of.mask.is_none() {
            true => places(inputs[1]),
            false => Poly::zero(),
        };
        let sums = pairs * (&f - &Poly::one()) + (pairs - rows) * &e + (pairs - &first) * (&e + &f);
        let products = Counts::zero()
            .with(Class::Mul, pairs * (&e + &f) * Poly::from(2))
            .with(Class::Add, sums);
        let mut slopes =
            Counts::zero().with(Class::Mul, pairs + pairs).with(Class::Add, pairs + pairs - rows);
        if let Some(scale) = &self.of.scale {
            slopes += &Counts::zero().with(scale.class(), pairs.clone());
        }
        let forward = self.of.cost(inputs, output);
        let of = |part: Part| match part {
            Part::Scores => dot(pairs, &e),
            Part::Scale | Part::Softmax => forward.part(part),
            Part::Contraction => products.clone(),
            Part::Pointwise => slopes.clone(),
            Part::SoftCap | Part::Bias | Part::Context | Part::Widening | Part::Unforeseen => {
                Counts::zero()
            }
        };
        self.facts().parts.iter().map(|part| (*part, of(*part))).collect()
    }

    fn summed(&self, inputs: &[&Shape]) -> Vec<(Symbol, Poly)> {
        let ([.., n, _, e], [.., m, _, _]) = (&inputs[0].axes[..], &inputs[1].axes[..]) else {
            return Vec::new();
        };
        let mut axes = vec![m, e];
        axes.extend(inputs[2].last());
        if self.of.mask.is_none() {
            axes.push(n);
        }
        axes.into_iter().map(|axis| (axis.name.clone(), axis.size.clone())).collect()
    }

    fn facts(&self) -> Facts<'_> {
        use Part::{Contraction, Pointwise, Scale, Scores, Softmax};
        let parts: &[Part] = match self.of.scale {
            Some(_) => &[Scores, Scale, Softmax, Contraction, Pointwise],
            None => &[Scores, Softmax, Contraction, Pointwise],
        };
        let scale = self.of.scale.as_ref().and_then(Scaling::size);
        Facts::of(parts)
            .again(&[Scores, Scale, Softmax])
            .sizes(scale.into_iter().chain(self.of.mask.sizes()))
    }

    fn axis_map(&self, inputs: &[&Shape], output: &Shape) -> AxisMap {
        // Of all three results alike: items, and heads that have keys of their own.
        let outer = output.axes.len() - 3;
        let own_heads = inputs[0].axes[outer + 1].size == inputs[1].axes[outer + 1].size;
        let heads = own_heads.then_some(outer + 1);
        let along = |_| (0..outer).map(Some).chain([None, heads, None]).collect::<Vec<_>>();
        let mut map: Vec<Vec<Option<usize>>> = (0..3).map(along).collect();
        if self.of.mask.keep {
            let named = |axis: &crate::Axis| match inputs[0].position(&axis.name) {
                Some(at) if at < outer || Some(at) == heads => Some(at),
                Some(_) | None => None,
            };
            let axes = &inputs[3].axes;
            let named = axes[..axes.len() - 1].iter().map(named);
            map.push(named.chain([None]).collect());
        }
        map.push(along(3));
        AxisMap::new(map)
    }

    fn detail(&self) -> String {
        self.of.detail()
    }

    fn conflict(&self, inputs: &[&Shape], binding: &Binding) -> Option<String> {
        self.of.conflict(inputs, binding)
    }

    fn reference<T: Scalar>(
        &self,
        call: &Call<'_, T>,
        mark: &mut dyn FnMut(Part),
    ) -> Result<Vec<Value<T>>, OpError> {
        let [q, k, v] = [call.real(0)?, call.real(1)?, call.real(2)?];
        let dy = call.real(call.inputs.len() - 1)?.data();
        let s = Attention::sizes(call)?;
        let scale = self.of.scale_of::<T>(call)?;
        let scaled = |x: T| match scale {
            Some((true, by)) => x / by,
            Some((false, by)) => x * by,
            None => x,
        };
        let keep = self.of.keep_operand().map(|at| call.index(at)).transpose()?;
        let keep = keep.zip(self.of.keep_layout(call)?);
        let band = self.of.mask.band(call)?;
        let zero = T::from_f64(0.0);
        let [mut dq, mut dk, mut dv] = [q, k, v].map(|x| vec![zero; x.len()]);
        let (q, k, v) = (q.data(), k.data(), v.data());
        let group = s.heads / s.kv_heads.max(1);
        for b in 0..s.batch {
            for h in 0..s.heads {
                let (g, matrix) = (h / group, b * s.heads + h);
                for i in 0..s.queries {
                    // The first of the rows that a key head adds up.
                    let begins = self.of.mask.is_none() && i == 0 && h % group == 0;
                    let visible = |j: &usize| {
                        keep.as_ref().is_none_or(|(keep, layout)| {
                            keep.data()[layout.starts[matrix] + i * layout.query_stride + j] != 0
                        })
                    };
                    let keys: Vec<usize> = band.keys(i, s.keys).filter(visible).collect();
                    let row = (b * s.queries + i) * s.heads + h;
                    let query = &q[row * s.head_dim..][..s.head_dim];
                    let gradient = &dy[row * s.value_dim..][..s.value_dim];
                    let key = |j: usize| ((b * s.keys + j) * s.kv_heads + g) * s.head_dim;
                    let value = |j: usize| ((b * s.keys + j) * s.kv_heads + g) * s.value_dim;
                    let product = |x: &[T], y: &[T]| {
                        sum(x.iter().zip(y).map(|(x, y)| *x * *y)).unwrap_or(zero)
                    };
                    let mut weights = vec![zero; s.keys];
                    for &j in &keys {
                        weights[j] = product(query, &k[key(j)..][..s.head_dim]);
                    }
                    mark(Part::Scores);
                    if scale.is_some() {
                        keys.iter().for_each(|&j| weights[j] = scaled(weights[j]));
                        mark(Part::Scale);
                    }
                    softmax_row(&mut weights, &keys, None);
                    mark(Part::Softmax);
                    let mut slopes = vec![zero; s.keys];
                    for &j in &keys {
                        slopes[j] = product(gradient, &v[value(j)..][..s.value_dim]);
                        let into = &mut dv[value(j)..][..s.value_dim];
                        add(into, gradient, weights[j], begins);
                    }
                    mark(Part::Contraction);
                    let all = sum(keys.iter().map(|&j| slopes[j] * weights[j])).unwrap_or(zero);
                    for &j in &keys {
                        slopes[j] = weights[j] * (slopes[j] - all);
                    }
                    if scale.is_some() {
                        keys.iter().for_each(|&j| slopes[j] = scaled(slopes[j]));
                    }
                    mark(Part::Pointwise);
                    for (at, &j) in keys.iter().enumerate() {
                        add(&mut dk[key(j)..][..s.head_dim], query, slopes[j], begins);
                        let own = &mut dq[row * s.head_dim..][..s.head_dim];
                        add(own, &k[key(j)..][..s.head_dim], slopes[j], at == 0);
                    }
                    mark(Part::Contraction);
                }
            }
        }
        let results = [dq, dk, dv].into_iter().zip(call.inputs);
        let result = |(data, like): (Vec<T>, &&Value<T>)| {
            Ok(opledger_tensor::Tensor::new(like.shape(), data)?.into())
        };
        results.map(result).collect()
    }
}

/// Adds a row times a number; what begins a sum is its first term.
fn add<T: Scalar>(sums: &mut [T], row: &[T], by: T, begins: bool) {
    for (sum, x) in sums.iter_mut().zip(row) {
        let product = by * *x;
        *sum = if begins { product } else { *sum + product };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ops::proof::{evaluate, prove};
    use crate::ops::{Factor, IndexMap};
    use crate::{Axis, Graph, GraphError, IndexExpr, Mask, Scoring, Var};

    fn record(g: &mut Graph, attended: [Var; 3], scoring: Scoring) -> Result<Vec<Var>, GraphError> {
        let [q, k, v] = attended;
        let y = g.attention_by((q, k, v), scoring)?;
        let dy = g.input("dy", g.shape(y).axes.clone())?;
        g.attention_gradient(y, dy).map(Option::unwrap)
    }

    fn operands(g: &mut Graph) -> [Var; 3] {
        let heads = Axis::new("h", Poly::from("g") * Poly::from("r"));
        let q = g.input("q", ["b".into(), "n".into(), heads, Axis::from("e")]).unwrap();
        let k = g.input("k", ["b", "m", "g", "e"]).unwrap();
        [q, k, g.input("v", ["b", "m", "g", "f"]).unwrap()]
    }

    fn masks(g: &mut Graph) -> Vec<Mask> {
        let heads = Axis::new("h", Poly::from("g") * Poly::from("r"));
        let keep = g.input_mask("keep", ["b", "m"]).unwrap();
        let pairs = ["n".into(), heads, "b".into(), Axis::from("m")];
        let pairs = g.input_mask("pairs", pairs).unwrap();
        let [i, j] = [0, 1].map(IndexExpr::Position);
        let value = i.plus(&j.scaled(&Poly::from(2))).modulo(&3.into()).truth();
        let axes = ["n", "m"].map(Axis::from).to_vec();
        let apart = g.record("", IndexMap { axes, value, truth: true }, &[]).unwrap();
        vec![
            Mask::none(),
            Mask::causal(),
            Mask { offset: Some(Poly::from("m") - Poly::from("n")), ..Mask::none() },
            Mask::sliding(2),
            Mask::chunked(2),
            Mask::around(2),
            Mask::none().keeping(keep),
            Mask::causal().keeping(keep),
            Mask::none().keeping(pairs),
            Mask::none().keeping(apart),
        ]
    }

    proptest! {
        #[test]
        fn counted_reference_equals_cost(
            b in 0..3_usize, n in 1..6_usize, m in 1..6_usize, g in 1..3_usize, r in 1..3_usize,
            e in 1..4_usize, f in 1..4_usize,
        ) {
            let mut graph = Graph::new();
            let attended = operands(&mut graph);
            for mask in masks(&mut graph) {
                for scale in [None, Some(Factor::InverseSqrt("e".into()).into()), Some(Scaling::Over(4.0))] {
                    let scoring = Scoring { scale, mask: mask.clone(), ..Scoring::default() };
                    let made = record(&mut graph, attended, scoring).unwrap();
                    let shapes = made.iter().map(|var| graph.shape(*var));
                    prop_assert!(shapes.eq(attended.iter().map(|var| graph.shape(*var))));
                }
            }
            prove(&graph, &[("b", b), ("n", n), ("m", m), ("g", g), ("r", r), ("e", e), ("f", f)]);
        }
    }

    /// By hand: scores 0 and ln 3, so weights of 1/4 and 3/4; values 2 and 6.
    #[test]
    fn gradients_are_those_of_two_weights() {
        let mut g = Graph::new();
        let axes = |n: &str, size: u64| [Axis::new(n, size), Axis::new("h", 1), Axis::new("e", 1)];
        let q = g.input("q", axes("n", 1)).unwrap();
        let [k, v] = ["k", "v"].map(|name| g.input(name, axes("m", 2)).unwrap());
        let made = record(&mut g, [q, k, v], Scoring::default()).unwrap();
        let three = 3_f64.ln();
        let feeds: [(&str, &[f64]); 4] =
            [("q", &[1.0]), ("k", &[0.0, three]), ("v", &[2.0, 6.0]), ("dy", &[4.0])];
        // dw = 8 and 24, Σ dw·w = 20, ds = 1/4·(8 − 20) and 3/4·(24 − 20).
        let expected: [&[f64]; 3] = [&[3.0 * three], &[-3.0, 3.0], &[1.0, 3.0]];
        for (var, expected) in made.into_iter().zip(expected) {
            for (found, expected) in evaluate(&g, var, &feeds).into_iter().zip(expected) {
                assert!((found - expected).abs() < 1e-12, "{found} for {expected}");
            }
        }
    }

    #[test]
    fn a_hidden_pair_gives_nothing_and_a_blind_row_is_zero() {
        let mut g = Graph::new();
        let axes = [("n", 2), ("h", 1), ("e", 1)].map(Axis::from);
        let x = g.input("x", axes.clone()).unwrap();
        let before = Mask { offset: Some((-1).into()), ..Mask::none() };
        let scoring = Scoring { mask: before, ..Scoring::default() };
        let made = record(&mut g, [x, x, x], scoring).unwrap();
        let feeds: [(&str, &[f64]); 2] = [("x", &[2.0, f64::NAN]), ("dy", &[f64::NAN, 3.0])];
        assert_eq!(evaluate(&g, made[0], &feeds)[0], 0.0);
        assert_eq!(evaluate(&g, made[1], &feeds)[1], 0.0);
        assert_eq!(evaluate(&g, made[2], &feeds)[1], 0.0);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let mut g = Graph::new();
        let [q, k, v] = operands(&mut g);
        let y = g.attention((q, k, v), Mask::causal(), None, None).unwrap();
        let error = g.attention_gradient(y, q).unwrap_err().problem.to_string();
        assert_eq!(error, "axis 3 of operand 3 is `e` where `f` is needed");
        let capped = Scoring { soft_cap: Some(2.0), ..Scoring::default() };
        let capped = g.attention_by((q, k, v), capped).unwrap();
        assert!(g.attention_gradient(capped, y).unwrap().is_none());
        assert!(g.attention_gradient(q, y).unwrap().is_none());
    }
}
