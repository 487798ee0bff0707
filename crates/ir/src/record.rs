//! One method per operation: what layers call.

use opledger_dims::{Foremost, Poly, Symbol};

use crate::ops::{
    Activation, ArgMax, Arithmetic, ArithmeticKind, Attention, AttentionGradient, Compare,
    CompareKind, Concat, Cumulative, CumulativeKind, Dropout, Einsum, Embedding, Experts,
    ExpertsOuter, Factor, Fill, Gather, GatherNd, Masked, Norm, Pointwise, Rearrange, Reduce, Rope,
    RopePairs, Scale, Scatter, ScatterKind, Select, Sinusoid, Softmax, Sort, Source, Table, ToReal,
    ToWhole, TopK,
};
use crate::{
    Axis, Graph, GraphError, Mask, Masking, Op, Role, Scoring, Shape, ShapeError, Support, Var,
};

type Recorded = Result<Var, GraphError>;

/// What an operation says of its mask, and the tensor that is its last operand.
fn parts(mask: Option<Masking>) -> (Option<Masked>, Option<Var>) {
    mask.map_or((None, None), |Masking { masked, keep }| (Some(masked), keep))
}

/// Axes that are looked up along, and the whole numbers for each.
fn apart(along: &[(impl Clone + Into<Symbol>, Var)]) -> (Vec<Symbol>, Vec<Var>) {
    along.iter().map(|(axis, ids)| (axis.clone().into(), *ids)).unzip()
}

impl Graph {
    /// An input of reals.
    ///
    /// # Errors
    /// When two axes share a name.
    #[track_caller]
    pub fn input<A: Into<Axis>>(
        &mut self,
        name: &str,
        axes: impl IntoIterator<Item = A>,
    ) -> Recorded {
        let axes = axes.into_iter().map(Into::into).collect();
        self.record(name, Source::Input { axes }, &[])
    }

    /// An input of ids in `0..below`.
    ///
    /// # Errors
    /// When two axes share a name.
    #[track_caller]
    pub fn input_ids<A: Into<Axis>>(
        &mut self,
        name: &str,
        axes: impl IntoIterator<Item = A>,
        below: impl Into<Poly>,
    ) -> Recorded {
        let axes = axes.into_iter().map(Into::into).collect();
        self.record(name, Source::Ids { axes, below: below.into() }, &[])
    }

    /// An input of whole numbers of any size.
    ///
    /// # Errors
    /// When two axes share a name.
    #[track_caller]
    pub fn input_whole<A: Into<Axis>>(
        &mut self,
        name: &str,
        axes: impl IntoIterator<Item = A>,
    ) -> Recorded {
        let axes = axes.into_iter().map(Into::into).collect();
        self.record(name, Source::Whole { axes }, &[])
    }

    /// An input of 0 (hidden) and 1 (visible).
    ///
    /// # Errors
    /// When two axes share a name.
    #[track_caller]
    pub fn input_mask<A: Into<Axis>>(
        &mut self,
        name: &str,
        axes: impl IntoIterator<Item = A>,
    ) -> Recorded {
        let axes = axes.into_iter().map(Into::into).collect();
        let mask = self.record(name, Source::Visible { axes }, &[])?;
        self.mark(mask, Role::Visible);
        Ok(mask)
    }

    /// A parameter; `like` says how it is drawn and whether it is trainable (see [`Source::weight`]
    /// and its kin).
    ///
    /// # Errors
    /// When two axes share a name.
    #[track_caller]
    pub fn param<A: Into<Axis>>(
        &mut self,
        name: &str,
        like: Source,
        axes: impl IntoIterator<Item = A>,
    ) -> Recorded {
        let source = like.with_axes(axes.into_iter().map(Into::into).collect());
        self.record(name, source, &[])
    }

    /// A table of constants.
    ///
    /// # Errors
    /// When two axes share a name.
    #[track_caller]
    pub fn table(&mut self, name: &str, table: Table) -> Recorded {
        self.record(name, table, &[])
    }

    /// As [`Graph::record`], with the tensor of the operation's mask, if there is one, as last operand.
    ///
    /// # Errors
    /// As [`Graph::record`].
    #[track_caller]
    pub fn record_masked(
        &mut self,
        label: &str,
        op: impl Into<Op>,
        operands: &[Var],
        keep: Option<Var>,
    ) -> Recorded {
        let operands: Vec<Var> = operands.iter().copied().chain(keep).collect();
        self.record(label, op, &operands)
    }

    /// A contraction such as `"b n c, f c -> b n f"`: letters name axes, an axis that stands in both
    /// operands and not in the result is summed. A primed axis of the result loses its primes when
    /// its plain name is free.
    ///
    /// # Errors
    /// When the text does not fit the operands' axes.
    #[track_caller]
    pub fn einsum(&mut self, spec: &str, a: Var, b: Var) -> Recorded {
        self.einsum_as("", spec, a, b)
    }

    /// The same under a label.
    ///
    /// # Errors
    /// As [`Graph::einsum`].
    #[track_caller]
    pub fn einsum_as(&mut self, label: &str, spec: &str, a: Var, b: Var) -> Recorded {
        match Einsum::parse(spec) {
            Ok(op) => self.record(label, op, &[a, b]),
            Err(problem) => {
                let op = Einsum::default().into();
                Err(self.error(
                    &op,
                    if label.is_empty() { "einsum" } else { label },
                    problem,
                    &[a, b],
                ))
            }
        }
    }

    /// Contracts `x` with `weight` over the axes named, which stand last in `weight`: the other axes
    /// of `x` come first in the result, those of the weight follow.
    ///
    /// # Errors
    /// When an axis is missing or has another size.
    #[track_caller]
    pub fn contract(&mut self, label: &str, x: Var, weight: Var, over: &[Symbol]) -> Recorded {
        let op = Einsum::contract(self.shape(x), self.shape(weight), over);
        self.record(label, op, &[x, weight])
    }

    /// `a + b`, where every axis of `b` stands in `a`.
    ///
    /// # Errors
    /// When it does not, or has another size.
    #[track_caller]
    pub fn add(&mut self, label: &str, a: Var, b: Var) -> Recorded {
        self.add_masked(label, a, b, None)
    }

    /// `a · b`, where every axis of `b` stands in `a`.
    ///
    /// # Errors
    /// When it does not, or has another size.
    #[track_caller]
    pub fn mul(&mut self, label: &str, a: Var, b: Var) -> Recorded {
        self.mul_masked(label, a, b, None)
    }

    /// `a / b`, where every axis of `b` stands in `a`.
    ///
    /// # Errors
    /// When it does not, or has another size.
    #[track_caller]
    pub fn div(&mut self, label: &str, a: Var, b: Var) -> Recorded {
        self.arithmetic(label, ArithmeticKind::Div, a, b)
    }

    /// An operation on two numbers, where every axis of `b` stands in `a`.
    ///
    /// # Errors
    /// When it does not, or has another size.
    #[track_caller]
    pub fn arithmetic(&mut self, label: &str, kind: ArithmeticKind, a: Var, b: Var) -> Recorded {
        self.record(label, Arithmetic { kind, masked: None }, &[a, b])
    }

    /// `a + b` where a mask allows it, 0 elsewhere; queries and keys are the last two axes.
    ///
    /// # Errors
    /// As [`Graph::add`], or the mask does not fit.
    #[track_caller]
    pub fn add_masked(&mut self, label: &str, a: Var, b: Var, mask: Option<Masking>) -> Recorded {
        let (masked, keep) = parts(mask);
        let op = Arithmetic { kind: ArithmeticKind::Add, masked };
        self.record_masked(label, op, &[a, b], keep)
    }

    /// `a · b` where a mask allows it, 0 elsewhere; queries and keys are the last two axes.
    ///
    /// # Errors
    /// As [`Graph::mul`], or the mask does not fit.
    #[track_caller]
    pub fn mul_masked(&mut self, label: &str, a: Var, b: Var, mask: Option<Masking>) -> Recorded {
        let (masked, keep) = parts(mask);
        let op = Arithmetic { kind: ArithmeticKind::Mul, masked };
        self.record_masked(label, op, &[a, b], keep)
    }

    /// `x` times a constant.
    ///
    /// # Errors
    /// When `x` holds whole numbers.
    #[track_caller]
    pub fn scale(&mut self, x: Var, factor: Factor) -> Recorded {
        self.scale_masked(x, factor, None)
    }

    /// `x` times a constant where a mask allows it, 0 elsewhere; queries and keys are the last two
    /// axes.
    ///
    /// # Errors
    /// As [`Graph::scale`], or the mask does not fit.
    #[track_caller]
    pub fn scale_masked(&mut self, x: Var, factor: Factor, mask: Option<Masking>) -> Recorded {
        let (masked, keep) = parts(mask);
        self.record_masked("", Scale { factor, masked }, &[x], keep)
    }

    /// Softmax over the last axis; a mask hides keys from queries, the last two axes.
    ///
    /// # Errors
    /// When the axes do not fit.
    #[track_caller]
    pub fn softmax(&mut self, x: Var, mask: Option<Masking>) -> Recorded {
        let (masked, keep) = parts(mask);
        self.record_masked("", Softmax { masked, sinks: false }, &[x], keep)
    }

    /// The same with a number for each row that joins its sum and is not kept; `sinks` has some of the
    /// axes before the last.
    ///
    /// # Errors
    /// When `x` has no axes, or `sinks` has others.
    #[track_caller]
    pub fn softmax_beside(&mut self, x: Var, sinks: Var, mask: Option<Masking>) -> Recorded {
        let (masked, keep) = parts(mask);
        self.record_masked("", Softmax { masked, sinks: true }, &[x, sinks], keep)
    }

    /// LayerNorm or RMSNorm over the last axis, with optional gain and shift over that axis.
    ///
    /// # Errors
    /// When gain or shift are not over the last axis.
    #[track_caller]
    pub fn norm(&mut self, x: Var, norm: Norm, gain: Option<Var>, shift: Option<Var>) -> Recorded {
        let norm = Norm { gain: gain.is_some(), shift: shift.is_some(), ..norm };
        let inputs: Vec<Var> = [Some(x), gain, shift].into_iter().flatten().collect();
        self.record("", norm, &inputs)
    }

    /// A pointwise function.
    ///
    /// # Errors
    /// When `x` holds whole numbers.
    #[track_caller]
    pub fn activation(&mut self, x: Var, function: Activation) -> Recorded {
        self.record("", function, &[x])
    }

    /// A pointwise function with constants.
    ///
    /// # Errors
    /// When `x` holds whole numbers.
    #[track_caller]
    pub fn pointwise(&mut self, x: Var, function: Pointwise) -> Recorded {
        self.record("", function, &[x])
    }

    /// `a` where a condition of whole numbers is not zero, else `b`, over `axes`; each operand has
    /// some of them, in any order.
    ///
    /// # Errors
    /// When an operand has another axis, or one of another size.
    #[track_caller]
    pub fn select<A: Into<Axis>>(
        &mut self,
        axes: impl IntoIterator<Item = A>,
        condition: Var,
        a: Var,
        b: Var,
    ) -> Recorded {
        let axes = axes.into_iter().map(Into::into).collect();
        self.record("", Select { axes }, &[condition, a, b])
    }

    /// Where a comparison holds of two values of reals, over `axes`; each operand has some of them, in any
    /// order.
    ///
    /// # Errors
    /// When an operand has another axis, or one of another size.
    #[track_caller]
    pub fn compare<A: Into<Axis>>(
        &mut self,
        kind: CompareKind,
        axes: impl IntoIterator<Item = A>,
        a: Var,
        b: Var,
    ) -> Recorded {
        let axes = axes.into_iter().map(Into::into).collect();
        self.record("", Compare { kind, axes }, &[a, b])
    }

    /// Whole numbers as reals.
    ///
    /// # Errors
    /// When `x` holds reals.
    #[track_caller]
    pub fn to_real(&mut self, x: Var) -> Recorded {
        self.record("", ToReal, &[x])
    }

    /// Reals cut to whole numbers.
    ///
    /// # Errors
    /// When `x` holds whole numbers.
    #[track_caller]
    pub fn to_whole(&mut self, x: Var) -> Recorded {
        self.record("", ToWhole, &[x])
    }

    /// Whole numbers in their order along the last axis, and the place of each before.
    ///
    /// # Errors
    /// When `x` holds reals or has no axis.
    #[track_caller]
    pub fn sort(&mut self, x: Var) -> Result<[Var; 2], GraphError> {
        let sorted = self.record("", Sort, &[x])?;
        Ok([sorted, sorted.sibling(1)])
    }

    /// A tensor of one number.
    ///
    /// # Errors
    /// When two axes share a name.
    #[track_caller]
    pub fn fill<A: Into<Axis>>(
        &mut self,
        axes: impl IntoIterator<Item = A>,
        value: f64,
    ) -> Recorded {
        let axes = axes.into_iter().map(Into::into).collect();
        self.record("", Fill { axes, value }, &[])
    }

    /// The rows of `table` (`[rows, width]`) named by `ids`.
    ///
    /// # Errors
    /// When `ids` holds reals or the table has not two axes.
    #[track_caller]
    pub fn embedding(&mut self, label: &str, ids: Var, table: Var) -> Recorded {
        self.record(label, Embedding, &[ids, table])
    }

    /// Moving without arithmetic.
    ///
    /// # Errors
    /// When the axes named are not there.
    #[track_caller]
    pub fn rearrange(&mut self, x: Var, how: Rearrange) -> Recorded {
        self.record("", how, &[x])
    }

    /// Two values side by side along an axis.
    ///
    /// # Errors
    /// When another axis differs.
    #[track_caller]
    pub fn concat(&mut self, a: Var, b: Var, axis: impl Into<Symbol>) -> Recorded {
        self.record("", Concat { axis: axis.into(), grows: false }, &[a, b])
    }

    /// Rotary position embedding of `[…, n, h, e]`, whose first elements turn by a table
    /// `[n, cos_sin=2, r]` (see [`RotaryAngles`](crate::ops::RotaryAngles)), or of each item.
    ///
    /// # Errors
    /// When there are fewer than three axes, or the table is of other tokens or wider than a head.
    #[track_caller]
    pub fn rope(&mut self, x: Var, pairs: RopePairs, angles: Var) -> Recorded {
        self.record("", Rope { pairs }, &[x, angles])
    }

    /// The sine and cosine position table of `[positions, width]`.
    ///
    /// # Errors
    /// When the axes share a name.
    #[track_caller]
    pub fn sinusoid(&mut self, positions: impl Into<Axis>, width: impl Into<Axis>) -> Recorded {
        self.record("", Sinusoid { positions: positions.into(), width: width.into() }, &[])
    }

    /// Softmax attention of `q [batch…, n, h, e]`, `k [batch…, m, g, e]`, `v [batch…, m, g, f]` with
    /// `h` a multiple of `g`; the result is `[batch…, n, h, f]`. An optional bias has the axes query
    /// and key last, or key alone; before them any of heads and batch by name.
    ///
    /// # Errors
    /// When the shapes do not fit.
    #[track_caller]
    pub fn attention(
        &mut self,
        attended: (Var, Var, Var),
        mask: Mask,
        scale: Option<Factor>,
        bias: Option<Var>,
    ) -> Recorded {
        let scale = scale.map(Into::into);
        self.attention_by(attended, Scoring { mask, scale, bias, ..Scoring::default() })
    }

    /// The same with all that can become of scores.
    ///
    /// # Errors
    /// When the shapes do not fit.
    #[track_caller]
    pub fn attention_by(
        &mut self,
        (q, k, v): (Var, Var, Var),
        Scoring { scale, soft_cap, bias, mask, sinks }: Scoring,
    ) -> Recorded {
        let support = match (&self.shape(q).axes[..], &self.shape(k).axes[..]) {
            ([batch @ .., query, head, _], [.., key, _, _]) => {
                let (query, keys) = (query.clone(), key.size.clone());
                let outer = [batch, std::slice::from_ref(head)].concat();
                self.support(&mask, &outer, &query, &keys)
            }
            // What is wrong with such shapes is told by the operation.
            _ => Support { pairs: Poly::zero(), rows: Poly::zero() },
        };
        let (rule, keep) = (mask.rule(), mask.keep);
        let (has_bias, has_sinks) = (bias.is_some(), sinks.is_some());
        let op =
            Attention { mask: rule, scale, soft_cap, bias: has_bias, sinks: has_sinks, support };
        let inputs: Vec<Var> =
            [Some(q), Some(k), Some(v), bias, sinks, keep].into_iter().flatten().collect();
        self.record("", op, &inputs)
    }

    /// The gradients of queries, keys and values of the attention that a value is the result of, whose own
    /// gradient is `dy`; none of what is no attention, or one with a bias, a soft cap or sinks.
    ///
    /// # Errors
    /// When the shapes do not fit.
    #[track_caller]
    pub fn attention_gradient(&mut self, of: Var, dy: Var) -> Result<Option<Vec<Var>>, GraphError> {
        let node = self.node(of);
        let Op::Attention(attention) = &node.op else { return Ok(None) };
        let Some(op) = AttentionGradient::new(attention) else { return Ok(None) };
        let operands = [&node.inputs[..], &[dy]].concat();
        self.record_all("", op, &operands).map(Some)
    }

    /// Sum, mean or maximum along an axis.
    ///
    /// # Errors
    /// When the axis is missing.
    #[track_caller]
    pub fn reduce(&mut self, x: Var, reduce: Reduce) -> Recorded {
        self.record("", reduce, &[x])
    }

    /// The sums of all elements up to each along an axis.
    ///
    /// # Errors
    /// When the axis is missing.
    #[track_caller]
    pub fn cumulative(&mut self, x: Var, axis: impl Into<Symbol>) -> Recorded {
        self.record("", Cumulative { kind: CumulativeKind::Sum, axis: axis.into() }, &[x])
    }

    /// The products of all elements up to each along an axis.
    ///
    /// # Errors
    /// When the axis is missing.
    #[track_caller]
    pub fn cumulative_product(&mut self, x: Var, axis: impl Into<Symbol>) -> Recorded {
        self.record("", Cumulative { kind: CumulativeKind::Product, axis: axis.into() }, &[x])
    }

    /// The place of the largest element along an axis, of equal ones the first.
    ///
    /// # Errors
    /// When the axis is missing, or `x` holds whole numbers.
    #[track_caller]
    pub fn arg_max(&mut self, x: Var, axis: impl Into<Symbol>) -> Recorded {
        self.record("", ArgMax { axis: axis.into() }, &[x])
    }

    /// The places of the `k` largest entries along the last axis, the largest first: `[…, x]` to ids
    /// `[…, k]`.
    ///
    /// # Errors
    /// When `k` is more than there are, or its name stands in `x` already.
    #[track_caller]
    pub fn top_k(&mut self, x: Var, k: impl Into<Axis>) -> Recorded {
        self.foremost(x, k, Foremost::Largest)
    }

    /// The places of the `k` foremost entries along the last axis, in this order: `[…, x]` to ids
    /// `[…, k]`.
    ///
    /// # Errors
    /// When `k` is more than there are, or its name stands in `x` already.
    #[track_caller]
    pub fn foremost(&mut self, x: Var, k: impl Into<Axis>, order: Foremost) -> Recorded {
        self.record("", TopK { k: k.into(), order }, &[x])
    }

    /// The entries of `x […, x]` at the places `ids […, k]` along its last axis: `[…, k]`.
    ///
    /// # Errors
    /// When `ids` holds reals, or another axis differs.
    #[track_caller]
    pub fn gather(&mut self, x: Var, ids: Var) -> Recorded {
        self.record("", Gather, &[x, ids])
    }

    /// The entries of `x` at the places that whole numbers name along some of its axes, over `axes`; the
    /// other axes of `x` are among these.
    ///
    /// # Errors
    /// When an axis is missing, or of another size.
    #[track_caller]
    pub fn gather_nd<A: Into<Axis>>(
        &mut self,
        x: Var,
        axes: impl IntoIterator<Item = A>,
        along: &[(impl Clone + Into<Symbol>, Var)],
    ) -> Recorded {
        let axes = axes.into_iter().map(Into::into).collect();
        let (along, ids) = apart(along);
        self.record("", GatherNd { axes, along }, &[vec![x], ids].concat())
    }

    /// `x` with each element of `v` written at the place that whole numbers name along some of the axes of
    /// `x`, or joined with what is there; its other axes are among those of `v`.
    ///
    /// # Errors
    /// When an axis is missing, or of another size.
    #[track_caller]
    pub fn scatter(
        &mut self,
        kind: ScatterKind,
        x: Var,
        v: Var,
        along: &[(impl Clone + Into<Symbol>, Var)],
    ) -> Recorded {
        let (along, ids) = apart(along);
        self.record("", Scatter { kind, along }, &[vec![x, v], ids].concat())
    }

    /// The linear map of `x […, c]` or `[…, k, c]` by the weights `[x, f, c]` of the experts that
    /// `ids […, k]` choose: `[…, k, f]`.
    ///
    /// # Errors
    /// When the axes do not fit.
    #[track_caller]
    pub fn experts(&mut self, label: &str, x: Var, ids: Var, weight: Var) -> Recorded {
        let all = self.shape(weight).axes.first().map_or_else(Poly::one, |axis| axis.size.clone());
        let met = {
            let chosen = self.shape(ids).elements();
            self.minimum("met", [all, chosen])
        };
        self.record(label, Experts { met }, &[x, ids, weight])
    }

    /// The outer products of `y […, k, f]` and `x […, c]` or `[…, k, c]`, added up by the expert that
    /// `ids […, k]` choose of those along an axis: `[x, f, c]`.
    ///
    /// # Errors
    /// When the axes do not fit.
    #[track_caller]
    pub fn experts_outer(
        &mut self,
        label: &str,
        y: Var,
        ids: Var,
        x: Var,
        experts: impl Into<Axis>,
    ) -> Recorded {
        self.record(label, ExpertsOuter { experts: experts.into() }, &[y, ids, x])
    }

    /// Dropout: the identity in inference, a seeded multiplication in training.
    ///
    /// # Errors
    /// When `x` holds whole numbers.
    #[track_caller]
    pub fn dropout(&mut self, label: &str, x: Var, dropout: Dropout) -> Recorded {
        self.record(label, dropout, &[x])
    }

    /// Renames one axis; a view.
    ///
    /// # Errors
    /// When the axis is missing or the new name taken.
    #[track_caller]
    pub fn rename(&mut self, x: Var, from: impl Into<Symbol>, to: impl Into<Symbol>) -> Recorded {
        self.rearrange(x, Rearrange::Rename { from: from.into(), to: to.into() })
    }

    /// The last axis of a value, for layers that work along it.
    ///
    /// # Errors
    /// When the value has no axes.
    pub fn last_axis(&self, x: Var) -> Result<Axis, ShapeError> {
        let shape: &Shape = self.shape(x);
        shape.last().cloned().ok_or(ShapeError::Rank { operand: 0, expected: 1, found: 0 })
    }
}
