//! Scaled dot-product attention (Vaswani et al. 2017, equation 1), one operation because engines
//! fuse it: by definition the chain einsum → scale → bias → softmax → einsum over the allowed
//! (query, key) pairs.
//!
//! Count, with P allowed pairs and R rows that see a key, over batch and heads: scores P·e mul and
//! P·(e − 1) add; scale P mul; bias P add; softmax of P entries in R rows; context P·f mul and
//! (P − R)·f add. A row that sees no key is 0 and costs nothing; what a hidden key holds can never
//! reach a result. A row whose every allowed score is −∞ costs what any row does and is 0 whatever the
//! values hold. A bias of −∞ hides a pair from the weights, not from the count; the least float is a
//! number.

use opledger_dims::{Binding, Class, Counts, Poly, Scalar, Symbol};

use super::Factor;
use super::softmax::{softmax_counts, softmax_row};
use crate::cost::dot;
use crate::operation::Operation;
use crate::value::strides;
use crate::{
    AxisMap, Call, Cost, Facts, Kind, MaskRule, OpError, Part, Shape, ShapeError, Support, Value,
};

/// Attention of `q [batch…, n, h, e]`, `k [batch…, m, g, e]`, `v [batch…, m, g, f]`: query head i uses
/// key and value head ⌊i·g/h⌋. Then, where given, a bias whose last axes are query and key, and a
/// mask tensor `[batch…, m]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Attention {
    /// Which pairs exist.
    pub mask: MaskRule,
    /// The constant that scores are multiplied with.
    pub scale: Option<Factor>,
    /// Whether a bias is an operand.
    pub bias: bool,
    /// What the mask leaves.
    pub support: Support,
}

/// The sizes of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionSizes {
    /// The product of the batch axes.
    pub batch: usize,
    /// Queries.
    pub queries: usize,
    /// Keys.
    pub keys: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Width of a query and a key.
    pub head_dim: usize,
    /// Width of a value.
    pub value_dim: usize,
}

impl Attention {
    pub(crate) fn unmasked(support: Support) -> Self {
        Attention { mask: MaskRule::default(), scale: None, bias: false, support }
    }

    /// Batch, heads, queries and keys of the operands, as polynomials.
    pub(crate) fn domain(q: &Shape, k: &Shape) -> Result<(Poly, Poly, Poly, Poly), ShapeError> {
        let [batch @ .., n, h, _] = &q.axes[..] else {
            return Err(ShapeError::Rank { operand: 0, expected: 3, found: q.axes.len() });
        };
        let [.., m, _, _] = &k.axes[..] else {
            return Err(ShapeError::Rank { operand: 1, expected: 3, found: k.axes.len() });
        };
        let batch = batch.iter().map(|a| &a.size).product();
        Ok((batch, h.size.clone(), n.size.clone(), m.size.clone()))
    }

    /// The sizes of a call.
    ///
    /// # Errors
    /// When an operand is missing.
    pub fn sizes<T>(call: &Call<'_, T>) -> Result<AttentionSizes, OpError> {
        let shape = |i: usize| call.inputs.get(i).map(|v| v.shape()).ok_or(OpError::Operand(i));
        let ([batch @ .., queries, heads, head_dim], [.., keys, kv_heads, _], [.., value_dim]) =
            (shape(0)?, shape(1)?, shape(2)?)
        else {
            return Err(OpError::Operand(0));
        };
        Ok(AttentionSizes {
            batch: batch.iter().product(),
            queries: *queries,
            keys: *keys,
            heads: *heads,
            kv_heads: *kv_heads,
            head_dim: *head_dim,
            value_dim: *value_dim,
        })
    }

    /// For every (batch item, head), where its `[query, key]` matrix of the bias starts.
    ///
    /// # Errors
    /// When the bias is missing.
    pub fn bias_starts<T>(&self, call: &Call<'_, T>) -> Result<Vec<usize>, OpError> {
        let bias = call.inputs.get(3).ok_or(OpError::Operand(3))?;
        let (outer, own) = (call.shapes[0].axes.len() - 3, strides(bias.shape()));
        // The axes of batch and heads that the bias has, each with its stride in the bias.
        let head = &call.shapes[0].axes[outer + 1];
        let named = call.shapes[0].axes[..outer].iter().chain([head]);
        let along: Vec<usize> =
            named.map(|a| call.shapes[3].position(&a.name).map_or(0, |at| own[at])).collect();
        let mut sizes = call.inputs[0].shape()[..outer].to_vec();
        sizes.push(call.inputs[0].shape()[outer + 1]);
        Ok(crate::value::indices(&sizes)
            .map(|i| i.iter().zip(&along).map(|(i, s)| i * s).sum())
            .collect())
    }

    /// Where the mask tensor stands among the operands.
    pub fn keep_operand(&self) -> Option<usize> {
        self.mask.keep.then(|| 3 + usize::from(self.bias))
    }
}

impl Operation for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn signature(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let expected = 3 + usize::from(self.bias) + usize::from(self.mask.keep);
        if inputs.len() != expected {
            return Err(ShapeError::Arity { expected, found: inputs.len() });
        }
        let [q, k, v] = [inputs[0], inputs[1], inputs[2]];
        for (operand, shape) in [q, k, v].into_iter().enumerate() {
            shape.expect(operand, Kind::Real)?;
            if shape.axes.len() != q.axes.len() || shape.axes.len() < 3 {
                let (expected, found) = (q.axes.len().max(3), shape.axes.len());
                return Err(ShapeError::Rank { operand, expected, found });
            }
        }
        let outer = q.axes.len() - 3;
        let same = |a: &Shape, b: &Shape, at: usize| {
            let (x, y) = (&a.axes[at], &b.axes[at]);
            if x.size == y.size {
                return Ok(());
            }
            let (left, right) = (x.size.clone(), y.size.clone());
            Err(ShapeError::Size { axis: x.name.clone(), left, right })
        };
        for at in 0..outer {
            same(q, k, at)?;
            same(q, v, at)?;
        }
        same(q, k, outer + 2)?;
        same(k, v, outer)?;
        same(k, v, outer + 1)?;
        let keys = &k.axes[outer];
        if self.bias {
            let bias = inputs[3];
            bias.expect(3, Kind::Real)?;
            let [broadcast @ .., n, m] = &bias.axes[..] else {
                return Err(ShapeError::Rank { operand: 3, expected: 2, found: bias.axes.len() });
            };
            let rows = [(n, &q.axes[outer]), (m, keys)];
            let named = broadcast.iter().map(|axis| match q.position(&axis.name) {
                Some(at) if at < outer || at == outer + 1 => Ok((axis, &q.axes[at])),
                _ => Err(ShapeError::Missing { operand: 0, axis: axis.name.clone() }),
            });
            for pair in named.chain(rows.into_iter().map(Ok)) {
                let (axis, own) = pair?;
                if axis.size != own.size {
                    let (left, right) = (own.size.clone(), axis.size.clone());
                    return Err(ShapeError::Size { axis: axis.name.clone(), left, right });
                }
            }
        }
        if let Some(at) = self.keep_operand() {
            let keep = inputs[at];
            keep.expect(at, Kind::Whole)?;
            let needed: Vec<&Poly> =
                q.axes[..outer].iter().chain([keys]).map(|a| &a.size).collect();
            if !keep.axes.iter().map(|a| &a.size).eq(needed.iter().copied()) {
                let sizes: Vec<String> = needed.iter().map(|p| p.to_string()).collect();
                return Err(ShapeError::Sizes(format!(
                    "the mask has shape {keep} where [{}] is needed (batch, then keys)",
                    sizes.join(", ")
                )));
            }
        }
        let mut axes = q.axes.clone();
        axes[outer + 2] = v.axes[outer + 2].clone();
        Ok(vec![q.with_axes(axes)])
    }

    fn cost(&self, inputs: &[&Shape], output: &Shape) -> Cost {
        let Support { pairs, rows } = &self.support;
        let width = |s: &Shape| s.last().map_or_else(Poly::zero, |a| a.size.clone());
        let (e, f) = (width(inputs[0]), width(output));
        let context =
            Counts::zero().with(Class::Mul, pairs * &f).with(Class::Add, (pairs - rows) * &f);
        let mut parts = vec![(Part::Scores, dot(pairs, &e))];
        if self.scale.is_some() {
            parts.push((Part::Scale, Counts::zero().with(Class::Mul, pairs.clone())));
        }
        if self.bias {
            parts.push((Part::Bias, Counts::zero().with(Class::Add, pairs.clone())));
        }
        parts.push((Part::Softmax, softmax_counts(pairs, rows)));
        parts.push((Part::Context, context));
        parts.into_iter().collect()
    }

    fn summed(&self, inputs: &[&Shape]) -> Vec<(Symbol, Poly)> {
        let [.., m, _, e] = &inputs[1].axes[..] else { return Vec::new() };
        [m, e].map(|a| (a.name.clone(), a.size.clone())).into()
    }

    fn facts(&self) -> Facts<'_> {
        let parts: &'static [Part] = match (self.scale.is_some(), self.bias) {
            (false, false) => &[Part::Scores, Part::Softmax, Part::Context],
            (true, false) => &[Part::Scores, Part::Scale, Part::Softmax, Part::Context],
            (false, true) => &[Part::Scores, Part::Bias, Part::Softmax, Part::Context],
            (true, true) => &[Part::Scores, Part::Scale, Part::Bias, Part::Softmax, Part::Context],
        };
        let scale = self.scale.as_ref().and_then(Factor::size);
        Facts::of(parts).sizes(scale.into_iter().chain(self.mask.sizes()))
    }

    fn axis_map(&self, inputs: &[&Shape], output: &Shape) -> AxisMap {
        let (rank, outer) = (output.axes.len(), output.axes.len() - 3);
        let batch = || (0..outer).map(Some);
        // Query head i reads key head ⌊i·g/h⌋: the same place where there are as many.
        let own_heads = inputs[0].axes[outer + 1].size == inputs[1].axes[outer + 1].size;
        let heads = own_heads.then_some(outer + 1);
        let mut map = vec![
            batch().chain([Some(outer), Some(outer + 1), None]).collect(),
            batch().chain([None, heads, None]).collect(),
            batch().chain([None, heads, Some(rank - 1)]).collect(),
        ];
        if self.bias {
            let axes = &inputs[3].axes;
            let named = axes[..axes.len() - 2].iter().map(|axis| inputs[0].position(&axis.name));
            map.push(named.chain([Some(outer), None]).collect());
        }
        if self.mask.keep {
            map.push(batch().chain([None]).collect());
        }
        AxisMap::new(map)
    }

    fn detail(&self) -> String {
        {
            let mask = [
                self.mask.offset.as_ref().map(|o| format!("causal from {o}")),
                self.mask.window.as_ref().map(|w| format!("window {w}")),
                self.mask.keep.then(|| "key mask".to_owned()),
                self.bias.then(|| "bias".to_owned()),
            ];
            mask.into_iter().flatten().collect::<Vec<_>>().join(", ")
        }
    }

    fn conflict(&self, inputs: &[&Shape], binding: &Binding) -> Option<String> {
        let heads = |i: usize| inputs[i].axes[inputs[i].axes.len() - 2].size.at(binding).ok();
        let (h, g) = (heads(0)?, heads(1)?);
        let zero = opledger_dims::Integer::from(0);
        (g == zero || &h % &g != zero)
            .then(|| format!("{h} query heads do not divide into {g} key/value heads"))
    }

    fn reference<T: Scalar>(
        &self,
        call: &Call<'_, T>,
        mark: &mut dyn FnMut(Part),
    ) -> Result<Vec<Value<T>>, OpError> {
        let (q, k, v) = (call.real(0)?.data(), call.real(1)?.data(), call.real(2)?.data());
        let s = Attention::sizes(call)?;
        let scale = self.scale.as_ref().map(|f| f.value(call)).transpose()?.map(T::from_f64);
        let bias =
            if self.bias { Some((call.real(3)?.data(), self.bias_starts(call)?)) } else { None };
        let keep = self.keep_operand().map(|at| call.index(at)).transpose()?;
        let band = self.mask.band(call)?;
        let zero = T::from_f64(0.0);
        let mut out = vec![zero; call.output_len()];
        for b in 0..s.batch {
            for h in 0..s.heads {
                let g = h / (s.heads / s.kv_heads);
                for i in 0..s.queries {
                    let visible =
                        |j: &usize| keep.is_none_or(|keep| keep.data()[b * s.keys + j] != 0);
                    let keys: Vec<usize> = band.keys(i, s.keys).filter(visible).collect();
                    let query =
                        &q[((b * s.queries + i) * s.heads + h) * s.head_dim..][..s.head_dim];
                    let mut row = vec![zero; s.keys];
                    for &j in &keys {
                        let key =
                            &k[((b * s.keys + j) * s.kv_heads + g) * s.head_dim..][..s.head_dim];
                        let products = query.iter().zip(key).map(|(x, y)| *x * *y);
                        row[j] = super::norm::sum(products).unwrap_or(zero);
                    }
                    mark(Part::Scores);
                    if let Some(scale) = scale {
                        for &j in &keys {
                            row[j] = row[j] * scale;
                        }
                        mark(Part::Scale);
                    }
                    if let Some((bias, starts)) = &bias {
                        for &j in &keys {
                            row[j] = row[j] + bias[starts[b * s.heads + h] + i * s.keys + j];
                        }
                        mark(Part::Bias);
                    }
                    let sees = softmax_row(&mut row, &keys);
                    mark(Part::Softmax);
                    let start = ((b * s.queries + i) * s.heads + h) * s.value_dim;
                    for (column, out) in out[start..][..s.value_dim].iter_mut().enumerate() {
                        let value = |j: usize| {
                            v[((b * s.keys + j) * s.kv_heads + g) * s.value_dim + column]
                        };
                        let products = keys.iter().map(|&j| row[j] * value(j));
                        let sum = super::norm::sum(products).unwrap_or(zero);
                        *out = if sees { sum } else { zero };
                    }
                    mark(Part::Context);
                }
            }
        }
        call.result(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mask;
    use crate::ops::proof::{evaluate, prove};
    use crate::ops::{Einsum, Rearrange};
    use crate::{Axis, Graph, Var};
    use proptest::prelude::*;

    const SIZES: [&str; 7] = ["b", "n", "m", "g", "r", "e", "f"];

    struct Operands {
        q: Var,
        k: Var,
        v: Var,
        bias: Var,
        keep: Var,
    }

    fn operands(g: &mut Graph) -> Operands {
        let heads = Axis::new("h", Poly::from("g") * Poly::from("r"));
        let axis = Axis::from;
        Operands {
            q: g.input("q", [axis("b"), axis("n"), heads.clone(), axis("e")]).unwrap(),
            k: g.input("k", ["b", "m", "g", "e"]).unwrap(),
            v: g.input("v", ["b", "m", "g", "f"]).unwrap(),
            bias: g.input("bias", [heads, axis("n"), axis("m")]).unwrap(),
            keep: g.input_mask("keep", ["b", "m"]).unwrap(),
        }
    }

    /// Attention as the chain that defines it: scores, scale, bias, softmax, context.
    fn chain(g: &mut Graph, o: &Operands, mask: &Mask) -> [Var; 5] {
        let split =
            |axis: &str| Rearrange::Split { axis: axis.into(), into: vec!["g".into(), "r".into()] };
        let q = g.rearrange(o.q, split("h")).unwrap();
        let bias = g.rearrange(o.bias, split("h")).unwrap();
        let heads = Poly::from("g") * Poly::from("r");
        let support = g.support(mask, &"b".into(), &heads, &"n".into(), &"m".into());
        let masked = mask.over("n", "m", support);
        let over = |spec: &str| Einsum::parse(spec).unwrap().over(masked.masked.clone());
        let scores = over("b n g r e, b m g e -> b g r n m");
        let scores = g.record_masked("scores", scores, &[q, o.k], masked.keep).unwrap();
        let factor = Factor::InverseSqrt("e".into());
        let scaled = g.scale_masked(scores, factor, Some(masked.clone())).unwrap();
        let biased = g.add_masked("bias", scaled, bias, Some(masked.clone())).unwrap();
        let weights = g.softmax(biased, Some(masked.clone())).unwrap();
        let context = over("b g r n m, b m g f -> b n g r f");
        let context = g.record_masked("context", context, &[weights, o.v], masked.keep).unwrap();
        [scores, scaled, biased, weights, context]
    }

    fn masks(keep: Var) -> [Mask; 7] {
        [
            Mask::none(),
            Mask::causal(),
            Mask { offset: Some(Poly::from("m") - Poly::from("n")), ..Mask::none() },
            Mask::sliding(2),
            Mask::none().keeping(keep),
            Mask::causal().keeping(keep),
            Mask::sliding(3).keeping(keep),
        ]
    }

    proptest! {
        #[test]
        fn counted_reference_equals_cost(
            b in 0..3_usize, n in 1..6_usize, m in 1..6_usize, g in 1..3_usize, r in 1..3_usize, e in 1..4_usize,
        ) {
            let mut graph = Graph::new();
            let o = operands(&mut graph);
            for mask in masks(o.keep) {
                let scale = Some(Factor::InverseSqrt("e".into()));
                graph.attention((o.q, o.k, o.v), mask.clone(), scale, Some(o.bias)).unwrap();
                graph.attention((o.q, o.k, o.v), mask.clone(), None, None).unwrap();
                chain(&mut graph, &o, &mask);
            }
            let sizes: Vec<(&str, usize)> = SIZES.into_iter().zip([b, n, m, g, r, e, 3]).collect();
            prove(&graph, &sizes);
        }
    }

    #[test]
    fn the_cost_is_that_of_the_chain() {
        const PARTS: [Part; 5] =
            [Part::Scores, Part::Scale, Part::Bias, Part::Softmax, Part::Context];
        for i in 0..masks(Var::first(0)).len() {
            let cost_of = |fused: bool| {
                let mut g = Graph::new();
                let o = operands(&mut g);
                let mask = masks(o.keep)[i].clone();
                let parts = if fused {
                    let scale = Some(Factor::InverseSqrt("e".into()));
                    let y = g.attention((o.q, o.k, o.v), mask, scale, Some(o.bias)).unwrap();
                    let cost = g.node_cost(g.node(y));
                    PARTS.map(|part| cost.part(part))
                } else {
                    chain(&mut g, &o, &mask).map(|var| g.node_cost(g.node(var)).total())
                };
                (parts, g.cost().total(), g.definitions().to_vec())
            };
            assert_eq!(cost_of(true), cost_of(false), "mask {i}");
        }
    }

    #[test]
    fn causal_is_the_exact_triangle() {
        let mut g = Graph::new();
        let q = g.input("q", ["b", "n", "h", "e"]).unwrap();
        g.attention((q, q, q), Mask::causal(), None, None).unwrap();
        assert_eq!(g.cost().macs().to_string(), "b·n²·h·e + b·n·h·e");
        let mut g = Graph::new();
        let q = g.input("q", ["b", "n", "h", "e"]).unwrap();
        let k = g
            .input(
                "k",
                [
                    Axis::from("b"),
                    Axis::new("m", Poly::from("p") + Poly::from("n")),
                    Axis::from("h"),
                    Axis::from("e"),
                ],
            )
            .unwrap();
        let offset = Mask { offset: Some("p".into()), ..Mask::none() };
        g.attention((q, k, k), offset, None, None).unwrap();
        assert_eq!(g.cost().macs().to_string(), "2·b·n·h·e·p + b·n²·h·e + b·n·h·e");
    }

    #[test]
    fn a_hidden_key_never_matters_and_a_blind_row_is_zero() {
        let mut g = Graph::new();
        let axes = [("n", 2), ("h", 1), ("e", 1)].map(Axis::from);
        let q = g.input("q", axes.clone()).unwrap();
        let v = g.input("v", axes).unwrap();
        let causal = g.attention((q, q, v), Mask::causal(), None, None).unwrap();
        let before = Mask { offset: Some((-1).into()), ..Mask::none() };
        let strict = g.attention((q, q, v), before, None, None).unwrap();
        let feeds: [(&str, &[f64]); 2] = [("q", &[1.0, f64::NAN]), ("v", &[5.0, f64::NAN])];
        assert_eq!(evaluate(&g, causal, &feeds)[0], 5.0);
        assert_eq!(evaluate(&g, strict, &feeds)[0], 0.0);
    }

    #[test]
    fn a_row_of_minus_infinities_is_zero_and_one_of_least_floats_a_mean() {
        let mut g = Graph::new();
        let [n, m, h, e] = [("n", 2), ("m", 2), ("h", 1), ("e", 1)].map(Axis::from);
        let q = g.input("q", [n.clone(), h.clone(), e.clone()]).unwrap();
        let k = g.input("k", [m.clone(), h.clone(), e.clone()]).unwrap();
        let v = g.input("v", [m.clone(), h.clone(), e]).unwrap();
        let bias = g.input("bias", [h, n, m]).unwrap();
        let y = g.attention((q, k, v), Mask::none(), None, Some(bias)).unwrap();
        let (dark, least) = (f64::NEG_INFINITY, f64::from(f32::MIN));
        let of = |v: &[f64], bias: &[f64]| {
            evaluate(&g, y, &[("q", &[1.0, 2.0]), ("v", v), ("bias", bias)])
        };
        assert_eq!(of(&[3.0, 5.0], &[dark, dark, least, least]), [0.0, 4.0]);
        assert_eq!(of(&[3.0, f64::INFINITY], &[dark, dark, dark, 0.0])[0], 0.0);
        assert_eq!(of(&[3.0, 5.0], &[dark, least, 0.0, dark]), [5.0, 3.0]);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let mut g = Graph::new();
        let q = g.input("q", ["b", "n", "h", "e"]).unwrap();
        let narrow = g.input("k", [("b", "b"), ("m", "m"), ("h", "h"), ("e", "z")]).unwrap();
        let error =
            g.attention((q, narrow, q), Mask::none(), None, None).unwrap_err().problem.to_string();
        assert_eq!(error, "axis `e` is e in one operand and z in another");
        let bias = g.input("bias", ["q", "n", "n'"]).unwrap();
        let error =
            g.attention((q, q, q), Mask::none(), None, Some(bias)).unwrap_err().problem.to_string();
        assert_eq!(error, "operand 0 has no axis `q`");
        let keep = g.input_mask("keep", ["n"]).unwrap();
        let mask = Mask::none().keeping(keep);
        let error = g.attention((q, q, q), mask, None, None).unwrap_err().problem.to_string();
        assert_eq!(error, "the mask has shape [n] where [b, n] is needed (batch, then keys)");
    }
}
