//! Scaled dot-product attention (Vaswani et al. 2017, equation 1), one operation because engines
//! fuse it: by definition the chain einsum → scale → soft cap → bias → softmax → einsum over the
//! allowed (query, key) pairs. The soft cap is `c·tanh(s / c)` (Gemma 2, Riviere et al. 2024, §2),
//! before any bias; a sink is a number for each head that joins the softmax of its rows as one more
//! score and weighs no value (gpt-oss, OpenAI 2025; Xiao et al. 2023).
//!
//! Count, with P allowed pairs and R rows that see a key, over batch and heads: scores P·e mul and
//! P·(e − 1) add; scale P mul, or P div where a program divides by a number; soft cap P div, P tanh and P mul; bias P add; softmax of P entries in R
//! rows, with sinks R max, 2·R add and R exp more; context P·f mul and (P − R)·f add. A row that sees
//! no key is 0 and costs nothing; what a hidden key holds can never reach a result. A row whose every
//! allowed score is −∞ costs what any row does and is 0 whatever the values hold. A bias of −∞ hides a
//! pair from the weights, not from the count; the least float is a number.

#[cfg(test)]
mod tests;

use opledger_dims::{Binding, Class, Counts, Poly, Scalar, Symbol};

use super::Factor;
use super::norm::sum;
use super::softmax::{sink_counts, softmax_counts, softmax_row};
use crate::cost::dot;
use crate::mask::{KeepLayout, starts};
use crate::operation::Operation;
use crate::value::strides;
use crate::{
    Axis, AxisMap, Call, Cost, Facts, Kind, MaskRule, OpError, Part, Reach, Shape, ShapeError,
    Support, Value,
};

/// What scores are multiplied with, or divided by.
#[derive(Clone, Debug, PartialEq)]
pub enum Scaling {
    /// A constant: one mul per pair.
    Times(Factor),
    /// A number: one div per pair.
    Over(f64),
}

impl From<Factor> for Scaling {
    fn from(factor: Factor) -> Self {
        Scaling::Times(factor)
    }
}

impl Scaling {
    /// The class of one application.
    pub(super) fn class(&self) -> Class {
        match self {
            Scaling::Times(_) => Class::Mul,
            Scaling::Over(_) => Class::Div,
        }
    }

    /// The size it depends on.
    pub(super) fn size(&self) -> Option<&Poly> {
        match self {
            Scaling::Times(factor) => factor.size(),
            Scaling::Over(_) => None,
        }
    }
}

/// Attention of `q [batch…, n, h, e]`, `k [batch…, m, g, e]`, `v [batch…, m, g, f]`: query head i uses
/// key and value head ⌊i·g/h⌋. Then, where given, a bias whose last axis is the keys, and the one before
/// the queries unless it is one of batch and heads; sinks `[h]`; and a mask tensor whose last axis is the
/// keys. Their other axes are some of the queries', by name.
#[derive(Clone, Debug, PartialEq)]
pub struct Attention {
    /// Which pairs exist.
    pub mask: MaskRule,
    /// What scores are multiplied with, or divided by.
    pub scale: Option<Scaling>,
    /// What scaled scores are kept below, above its negative.
    pub soft_cap: Option<f64>,
    /// Whether a bias is an operand.
    pub bias: bool,
    /// Whether sinks are an operand.
    pub sinks: bool,
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

    /// Where each (batch item, head) of the bias starts, and the elements from a query to the next: zero
    /// where it is the same for all of them.
    ///
    /// # Errors
    /// When the bias is missing.
    pub fn bias_layout<T>(&self, call: &Call<'_, T>) -> Result<(Vec<usize>, usize), OpError> {
        let bias = call.inputs.get(3).ok_or(OpError::Operand(3))?;
        let (q, shape) = (call.shapes[0], call.shapes[3]);
        let strides = strides(bias.shape());
        let query = Attention::bias_query(q, shape);
        let named = &shape.axes[..query.unwrap_or(shape.axes.len() - 1)];
        let starts = starts(&Attention::matrices(call), named, &strides);
        Ok((starts, query.map_or(0, |at| strides[at])))
    }

    /// Where a bias has the queries, if it has: before the keys, where no axis of batch or heads stands.
    fn bias_query(q: &Shape, bias: &Shape) -> Option<usize> {
        let at = bias.axes.len().checked_sub(2)?;
        let outer = q.axes.len() - 3;
        let named = q.position(&bias.axes[at].name);
        named.is_none_or(|own| own >= outer && own != outer + 1).then_some(at)
    }

    /// The axes of batch and heads with their sizes: each of their places has scores of its own.
    fn matrices<'a, T>(call: &'a Call<'_, T>) -> Vec<(&'a Symbol, usize)> {
        let (axes, sizes) = (&call.shapes[0].axes, call.inputs[0].shape());
        let outer = axes.len() - 3;
        (0..outer).chain([outer + 1]).map(|at| (&axes[at].name, sizes[at])).collect()
    }

    /// What scores are multiplied with, or divided by where so.
    pub(super) fn scale_of<T: Scalar>(
        &self,
        call: &Call<'_, T>,
    ) -> Result<Option<(bool, T)>, OpError> {
        let scale = self.scale.as_ref().map(|scale| {
            Ok(match scale {
                Scaling::Times(factor) => (false, T::from_f64(factor.value(call)?)),
                Scaling::Over(number) => (true, T::from_f64(*number)),
            })
        });
        scale.transpose()
    }

    /// Where the sinks stand among the operands.
    pub fn sinks_operand(&self) -> Option<usize> {
        self.sinks.then(|| 3 + usize::from(self.bias))
    }

    /// Where the mask tensor stands among the operands.
    pub fn keep_operand(&self) -> Option<usize> {
        self.mask.keep.then(|| 3 + usize::from(self.bias) + usize::from(self.sinks))
    }

    /// How the mask tensor is read, where there is one.
    ///
    /// # Errors
    /// When it is missing.
    pub fn keep_layout<T>(&self, call: &Call<'_, T>) -> Result<Option<KeepLayout>, OpError> {
        let Some(at) = self.keep_operand() else { return Ok(None) };
        let keep = call.inputs.get(at).ok_or(OpError::Operand(at))?;
        let query = &call.shapes[0].axes[call.shapes[0].axes.len() - 3].name;
        let matrices = Attention::matrices(call);
        Ok(Some(KeepLayout::new((call.shapes[at], keep.shape()), &matrices, query)))
    }

    /// Checks that axes are some of the queries', but their width, of the same sizes.
    fn check_named(q: &Shape, axes: &[Axis], query: bool) -> Result<(), ShapeError> {
        let outer = q.axes.len() - 3;
        for axis in axes {
            let own = match q.position(&axis.name) {
                Some(at) if at < outer || at == outer + 1 || (query && at == outer) => &q.axes[at],
                _ => return Err(ShapeError::Missing { operand: 0, axis: axis.name.clone() }),
            };
            same(own, axis)?;
        }
        Ok(())
    }
}

/// Checks that two axes have the same size.
fn same(x: &Axis, y: &Axis) -> Result<(), ShapeError> {
    if x.size == y.size {
        return Ok(());
    }
    let (left, right) = (x.size.clone(), y.size.clone());
    Err(ShapeError::Size { axis: x.name.clone(), left, right })
}

/// The parts by whether there is a scale, a soft cap, a bias.
fn parts(scale: bool, soft_cap: bool, bias: bool) -> &'static [Part] {
    use Part::{Bias, Context, Scale, Scores, SoftCap, Softmax};
    match (scale, soft_cap, bias) {
        (false, false, false) => &[Scores, Softmax, Context],
        (true, false, false) => &[Scores, Scale, Softmax, Context],
        (false, false, true) => &[Scores, Bias, Softmax, Context],
        (true, false, true) => &[Scores, Scale, Bias, Softmax, Context],
        (false, true, false) => &[Scores, SoftCap, Softmax, Context],
        (true, true, false) => &[Scores, Scale, SoftCap, Softmax, Context],
        (false, true, true) => &[Scores, SoftCap, Bias, Softmax, Context],
        (true, true, true) => &[Scores, Scale, SoftCap, Bias, Softmax, Context],
    }
}

impl Operation for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn signature(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let more = [self.bias, self.sinks, self.mask.keep];
        let expected = 3 + more.into_iter().filter(|given| *given).count();
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
        for at in 0..outer {
            same(&q.axes[at], &k.axes[at])?;
            same(&q.axes[at], &v.axes[at])?;
        }
        same(&q.axes[outer + 2], &k.axes[outer + 2])?;
        same(&k.axes[outer], &v.axes[outer])?;
        same(&k.axes[outer + 1], &v.axes[outer + 1])?;
        let keys = &k.axes[outer];
        if self.bias {
            let bias = inputs[3];
            bias.expect(3, Kind::Real)?;
            let [before @ .., m] = &bias.axes[..] else {
                return Err(ShapeError::Rank { operand: 3, expected: 1, found: 0 });
            };
            let query = Attention::bias_query(q, bias);
            Attention::check_named(q, &before[..query.unwrap_or(before.len())], false)?;
            query.map_or(Ok(()), |at| same(&q.axes[outer], &before[at]))?;
            same(keys, m)?;
        }
        if let Some(operand) = self.sinks_operand() {
            let sinks = inputs[operand];
            sinks.expect(operand, Kind::Real)?;
            let [head] = &sinks.axes[..] else {
                return Err(ShapeError::Rank { operand, expected: 1, found: sinks.axes.len() });
            };
            same(&q.axes[outer + 1], head)?;
        }
        if let Some(operand) = self.keep_operand() {
            let keep = inputs[operand];
            keep.expect(operand, Kind::Whole)?;
            let [named @ .., m] = &keep.axes[..] else {
                return Err(ShapeError::Rank { operand, expected: 1, found: 0 });
            };
            Attention::check_named(q, named, true)?;
            same(keys, m)?;
        }
        let mut axes = q.axes.clone();
        axes[outer + 2] = v.axes[outer + 2].clone();
        Ok(vec![q.with_axes(axes)])
    }

    fn cost(&self, inputs: &[&Shape], output: &Shape) -> Cost {
        let Support { pairs, rows } = &self.support;
        let width = |s: &Shape| s.last().map_or_else(Poly::zero, |a| a.size.clone());
        let (e, f) = (width(inputs[0]), width(output));
        let each = |classes: &[Class]| {
            let one = |counts: Counts<Poly>, class: &Class| counts.with(*class, pairs.clone());
            classes.iter().fold(Counts::zero(), one)
        };
        let mut softmax = softmax_counts(pairs, rows);
        if self.sinks {
            softmax += &sink_counts(rows);
        }
        let context =
            Counts::zero().with(Class::Mul, pairs * &f).with(Class::Add, (pairs - rows) * &f);
        let of = |part: Part| match part {
            Part::Scores => dot(pairs, &e),
            Part::Scale => {
                self.scale.as_ref().map_or_else(Counts::zero, |scale| each(&[scale.class()]))
            }
            Part::SoftCap => each(&[Class::Div, Class::Tanh, Class::Mul]),
            Part::Bias => each(&[Class::Add]),
            Part::Softmax => softmax.clone(),
            Part::Context => context.clone(),
            Part::Contraction | Part::Pointwise | Part::Widening | Part::Unforeseen => {
                Counts::zero()
            }
        };
        self.facts().parts.iter().map(|part| (*part, of(*part))).collect()
    }

    fn summed(&self, inputs: &[&Shape]) -> Vec<(Symbol, Poly)> {
        let [.., m, _, e] = &inputs[1].axes[..] else { return Vec::new() };
        [m, e].map(|a| (a.name.clone(), a.size.clone())).into()
    }

    fn facts(&self) -> Facts<'_> {
        let parts = parts(self.scale.is_some(), self.soft_cap.is_some(), self.bias);
        let scale = self.scale.as_ref().and_then(Scaling::size);
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
        let named = |axes: &[Axis]| -> Vec<Option<usize>> {
            axes.iter().map(|axis| inputs[0].position(&axis.name)).collect()
        };
        if self.bias {
            let axes = &inputs[3].axes;
            let mut places = named(&axes[..axes.len() - 1]);
            if let Some(at) = Attention::bias_query(inputs[0], inputs[3]) {
                places[at] = Some(outer);
            }
            map.push([places, vec![None]].concat());
        }
        if self.sinks {
            map.push(vec![Some(outer + 1)]);
        }
        if let Some(at) = self.keep_operand() {
            let axes = &inputs[at].axes;
            map.push([named(&axes[..axes.len() - 1]), vec![None]].concat());
        }
        AxisMap::new(map)
    }

    fn detail(&self) -> String {
        let details = [
            self.mask.offset.as_ref().map(|o| format!("causal from {o}")),
            self.mask.reach.as_ref().map(|reach| match reach {
                Reach::Window(window) => format!("window {window}"),
                Reach::Chunk(chunk) => format!("chunks of {chunk}"),
            }),
            self.mask.keep.then(|| "mask".to_owned()),
            self.soft_cap.map(|cap| format!("soft cap {cap}")),
            self.bias.then(|| "bias".to_owned()),
            self.sinks.then(|| "sinks".to_owned()),
        ];
        details.into_iter().flatten().collect::<Vec<_>>().join(", ")
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
        let scale = self.scale_of::<T>(call)?;
        let cap = self.soft_cap.map(T::from_f64);
        let bias =
            if self.bias { Some((call.real(3)?.data(), self.bias_layout(call)?)) } else { None };
        let sinks = self.sinks_operand().map(|at| call.real(at)).transpose()?;
        let keep = self.keep_operand().map(|at| call.index(at)).transpose()?;
        let keep = keep.zip(self.keep_layout(call)?);
        let band = self.mask.band(call)?;
        let zero = T::from_f64(0.0);
        let mut out = vec![zero; call.output_len()];
        for b in 0..s.batch {
            for h in 0..s.heads {
                let g = h / (s.heads / s.kv_heads);
                let matrix = b * s.heads + h;
                for i in 0..s.queries {
                    let visible = |j: &usize| {
                        keep.as_ref().is_none_or(|(keep, layout)| {
                            keep.data()[layout.starts[matrix] + i * layout.query_stride + j] != 0
                        })
                    };
                    let keys: Vec<usize> = band.keys(i, s.keys).filter(visible).collect();
                    let query =
                        &q[((b * s.queries + i) * s.heads + h) * s.head_dim..][..s.head_dim];
                    let mut row = vec![zero; s.keys];
                    for &j in &keys {
                        let key =
                            &k[((b * s.keys + j) * s.kv_heads + g) * s.head_dim..][..s.head_dim];
                        let products = query.iter().zip(key).map(|(x, y)| *x * *y);
                        row[j] = sum(products).unwrap_or(zero);
                    }
                    mark(Part::Scores);
                    if let Some((divides, by)) = scale {
                        for &j in &keys {
                            row[j] = if divides { row[j] / by } else { row[j] * by };
                        }
                        mark(Part::Scale);
                    }
                    if let Some(cap) = cap {
                        for &j in &keys {
                            row[j] = (row[j] / cap).tanh() * cap;
                        }
                        mark(Part::SoftCap);
                    }
                    if let Some((bias, (starts, query_stride))) = &bias {
                        for &j in &keys {
                            row[j] = row[j] + bias[starts[matrix] + i * query_stride + j];
                        }
                        mark(Part::Bias);
                    }
                    let sees = softmax_row(&mut row, &keys, sinks.map(|sinks| sinks.data()[h]));
                    mark(Part::Softmax);
                    let start = ((b * s.queries + i) * s.heads + h) * s.value_dim;
                    for (column, out) in out[start..][..s.value_dim].iter_mut().enumerate() {
                        let value = |j: usize| {
                            v[((b * s.keys + j) * s.kv_heads + g) * s.value_dim + column]
                        };
                        let products = keys.iter().map(|&j| row[j] * value(j));
                        let sum = sum(products).unwrap_or(zero);
                        *out = if sees { sum } else { zero };
                    }
                    mark(Part::Context);
                }
            }
        }
        call.result(out)
    }
}
