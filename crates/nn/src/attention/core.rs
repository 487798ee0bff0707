//! Attention of projected heads: one fused operation, or the chain that defines it where its inside
//! is asked for.

use opledger_dims::{Poly, Symbol};
use opledger_ir::ops::{Einsum, Factor, Rearrange, Reduce};
use opledger_ir::{Axis, Graph, Mask, Masking, ModuleClass, Role, Scoring, Shape, Var};

use super::{Attended, Weights};
use crate::sizes::{Named, quotient};
use crate::{DropoutConfig, NnError};

/// How heads attend.
pub(crate) struct Core<'a> {
    /// Which pairs exist.
    pub(crate) mask: &'a Mask,
    /// What is added to the scores: axes query and key last, before them any of heads and batch.
    pub(crate) biases: &'a [Var],
    /// What the scores are multiplied with, if with anything.
    pub(crate) scale: Option<&'a Factor>,
    /// What the scores of each head `[h]` are multiplied with, if with anything.
    pub(crate) by_head: Option<Var>,
    /// What scaled scores are kept below, and the sinks `[h]` that join their softmax.
    pub(crate) soft_cap: Option<f64>,
    pub(crate) sinks: Option<Var>,
    /// Which weights are asked for.
    pub(crate) weights: Weights,
    /// Dropout of the weights.
    pub(crate) dropout: DropoutConfig,
}

impl Core<'_> {
    /// Attention of `q [batch…, n, h, e]`, `k [batch…, m, g, e]`, `v [batch…, m, g, f]`, giving
    /// `[batch…, n, h, f]` and the weights asked for.
    ///
    /// The one fused operation is recorded unless weights, several biases or dropout of the weights
    /// need its inside.
    pub(crate) fn attend(
        &self,
        g: &mut Graph,
        (q, k, v): (Var, Var, Var),
    ) -> Result<Attended, NnError> {
        let fused = self.weights == Weights::None
            && self.biases.len() <= 1
            && self.by_head.is_none()
            && !self.dropout.is_active();
        if fused {
            let (mask, scale, bias) =
                (self.mask.clone(), self.scale.cloned(), self.biases.first().copied());
            let (soft_cap, sinks) = (self.soft_cap, self.sinks);
            let scale = scale.map(Into::into);
            let scoring = Scoring { scale, soft_cap, bias, mask, sinks };
            let output = g.attention_by((q, k, v), scoring)?;
            return Ok(Attended {
                output,
                weights: None,
                present: None,
                state: None,
                memory: None,
            });
        }
        if self.by_head.is_some() && !self.mask.is_none() {
            let problem = "scores with a factor for each head are of all pairs";
            return Err(NnError::Config(problem.to_owned()));
        }
        if self.soft_cap.is_some() || self.sinks.is_some() {
            let problem = "attention with a soft cap or sinks gives no weights back, has one bias at \
                           most and no dropout of the weights";
            return Err(NnError::Config(problem.to_owned()));
        }
        let scope = match self.weights {
            Weights::None => g.module(ModuleClass::AttentionCore),
            Weights::Mean | Weights::Heads => g.here(),
        };
        self.chain(&mut g.enter(&scope), (q, k, v))
    }

    /// einsum → scale → bias → softmax → einsum, node by node.
    fn chain(&self, g: &mut Graph, (q, k, v): (Var, Var, Var)) -> Result<Attended, NnError> {
        let axes = Axes::of(g, q, k)?;
        let [k, v] = [axes.rename_keys(g, k)?, axes.rename_keys(g, v)?];
        let masked = self.masked(g, &axes);
        let of_groups = masked.clone().map(|mask| axes.split_mask(g, mask)).transpose()?;
        let grouped = axes.split_heads(g, q)?;
        let batch = axes.batch_names();
        let names = [&batch[..], &axes.heads(), &[axes.query.name.clone(), axes.key.clone()]];
        let scores = contract(g, "scores", grouped, k, names.concat(), of_groups.clone())?;
        g.mark(scores, Role::Scores);
        let mut scores = axes.merge_heads(g, scores)?;
        if let Some(scale) = self.scale {
            scores = g.scale_masked(scores, scale.clone(), masked.clone())?;
            g.mark(scores, Role::ScoreScale);
        }
        if let Some(factors) = self.by_head {
            scores = g.mul("scale_heads", scores, factors)?;
            g.mark(scores, Role::ScoreScale);
        }
        for bias in self.biases {
            scores = g.add_masked("bias", scores, *bias, masked.clone())?;
            g.mark(scores, Role::ScoreBias);
        }
        let softmax = g.softmax(scores, masked)?;
        g.mark(softmax, Role::AttentionWeights);
        let weights = self.dropout.apply(g, "dropout", softmax)?;
        let grouped = axes.split_heads(g, weights)?;
        let width = names_of(g.shape(v)).pop().into_iter().collect::<Vec<_>>();
        let names = [&batch[..], std::slice::from_ref(&axes.query.name), &axes.heads(), &width];
        let output = contract(g, "context", grouped, v, names.concat(), of_groups)?;
        g.mark(output, Role::Context);
        let output = axes.merge_heads(g, output)?;
        let weights = match self.weights {
            Weights::None => None,
            Weights::Heads => Some(weights),
            Weights::Mean => Some(g.reduce(weights, Reduce::Mean(axes.head.name.clone()))?),
        };
        Ok(Attended { output, weights, present: None, state: None, memory: None })
    }

    fn masked(&self, g: &mut Graph, axes: &Axes) -> Option<Masking> {
        if self.mask.is_none() {
            return None;
        }
        let mut entries = axes.batch.clone();
        let key = Axis::new(axes.key.clone(), axes.keys.clone());
        entries.extend([axes.head.clone(), axes.query.clone(), key]);
        Some(g.masking(self.mask, &entries))
    }
}

/// The names of a value's axes.
pub(super) fn names_of(shape: &Shape) -> Vec<Symbol> {
    shape.axes.iter().map(|a| a.name.clone()).collect()
}

/// A contraction to axes of these names, of which a mask leaves some pairs.
pub(super) fn contract(
    g: &mut Graph,
    label: &str,
    a: Var,
    b: Var,
    out: Vec<Symbol>,
    mask: Option<Masking>,
) -> Result<Var, NnError> {
    let (lhs, rhs) = (names_of(g.shape(a)), names_of(g.shape(b)));
    let keep = mask.as_ref().and_then(|mask| mask.keep);
    let einsum = Einsum { lhs, rhs, out, masked: mask.map(|mask| mask.masked) };
    Ok(g.record_masked(label, einsum, &[a, b], keep)?)
}

/// The axes of one attention.
struct Axes {
    batch: Vec<Axis>,
    query: Axis,
    /// The name of the key axis beside the query axis.
    key: Symbol,
    keys: Poly,
    head: Axis,
    /// Key and value heads, and how many query heads share each, when those are several.
    groups: Option<[Axis; 2]>,
}

impl Axes {
    fn of(g: &mut Graph, q: Var, k: Var) -> Result<Self, NnError> {
        let rank = |shape: &Shape| NnError::Rank {
            layer: "attention",
            expected: "[…, n, h, e]",
            found: shape.to_string(),
        };
        let [batch @ .., query, head, _] = &g.shape(q).axes[..] else {
            return Err(rank(g.shape(q)));
        };
        let [.., key, kv_head, _] = &g.shape(k).axes[..] else { return Err(rank(g.shape(k))) };
        let key_name = match (key.name == query.name, query.name.as_str()) {
            (false, _) => key.name.clone(),
            (true, "m") => "n".into(),
            (true, _) => "m".into(),
        };
        let mut axes = Axes {
            batch: batch.to_vec(),
            query: query.clone(),
            key: key_name,
            keys: key.size.clone(),
            head: head.clone(),
            groups: None,
        };
        let kv_head = kv_head.clone();
        if kv_head.size != axes.head.size {
            let (heads, kv_heads) =
                (Named("num_heads", &axes.head.size), Named("kv_heads", &kv_head.size));
            let shared = quotient(g, "r", heads, kv_heads, "fused attention")?;
            axes.groups = Some([Axis::new("g", kv_head.size), Axis::new("r", shared)]);
        }
        Ok(axes)
    }

    fn batch_names(&self) -> Vec<Symbol> {
        self.batch.iter().map(|axis| axis.name.clone()).collect()
    }

    /// The names of the head axes of a grouped value.
    fn heads(&self) -> Vec<Symbol> {
        match &self.groups {
            Some(groups) => groups.iter().map(|a| a.name.clone()).collect(),
            None => vec![self.head.name.clone()],
        }
    }

    /// Keys or values under the names of the chain.
    fn rename_keys(&self, g: &mut Graph, x: Var) -> Result<Var, NnError> {
        let at = self.batch.len();
        let mut renamed = x;
        for (axis, to) in [(at, &self.key), (at + 1, &self.heads()[0])] {
            let from = g.shape(renamed).axes[axis].name.clone();
            if from != *to {
                renamed = g.rename(renamed, from, to.clone())?;
            }
        }
        Ok(renamed)
    }

    /// The mask of contractions, whose heads are in groups.
    fn split_mask(&self, g: &mut Graph, mask: Masking) -> Result<Masking, NnError> {
        let by_head = |keep: &Var| g.shape(*keep).position(&self.head.name).is_some();
        let keep = match mask.keep.filter(by_head) {
            Some(keep) => Some(self.split_heads(g, keep)?),
            None => mask.keep,
        };
        Ok(Masking { keep, ..mask })
    }

    fn split_heads(&self, g: &mut Graph, x: Var) -> Result<Var, NnError> {
        let Some(groups) = &self.groups else { return Ok(x) };
        let axis = self.head.name.clone();
        Ok(g.rearrange(x, Rearrange::Split { axis, into: groups.to_vec() })?)
    }

    fn merge_heads(&self, g: &mut Graph, x: Var) -> Result<Var, NnError> {
        if self.groups.is_none() {
            return Ok(x);
        }
        let into = self.head.name.clone();
        Ok(g.rearrange(x, Rearrange::Merge { axes: self.heads(), into })?)
    }
}
