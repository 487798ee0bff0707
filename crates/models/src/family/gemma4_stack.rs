//! How the layers of Gemma 4 follow one another: those that make keys and values, of which the last of each
//! type are recorded apart, and those that take what these made.

use opledger_dims::Poly;
use opledger_ir::ops::{Factor, Rearrange};
use opledger_ir::{Axis, Graph, Mask, Reach, Scope, Var};
use opledger_nn::{Attend, Embedding, Linear, LinearConfig, LmHead, NnError, Norm, NormConfig};

use super::causal::{CausalHead, Kept, cached, causal_masks, causal_sizes, logits, past, present};
use super::gemma4_layer::{Layer, LayerParts};
use super::pattern::{Entries, LayerOrder, entries, entry};
use super::recorder::{Problem, Recorder};
use super::request::{Logits, Request};
use super::stack::Head;
use super::tokens::token_ids;
use crate::config::Keys;

/// The scope of attention in a layer.
const ATTENTION: &str = "self_attn";

/// The model.
pub(super) struct Gemma4Stack<'a> {
    /// Words.
    pub(super) vocabulary: Poly,
    /// Layers that see all, and those that see a window.
    pub(super) kinds: [Kind; 2],
    /// The kind of each layer.
    pub(super) layers: Vec<usize>,
    /// How many at the end take keys and values of others.
    pub(super) shared: usize,
    /// The table of inputs of each layer.
    pub(super) own_inputs: Option<OwnInputs>,
    /// What stands on it.
    pub(super) head: Head<'a>,
}

/// Layers of a kind.
pub(super) struct Kind {
    /// Those that make keys and values.
    pub(super) parts: LayerParts,
    /// Those that take them of another.
    pub(super) sharing: LayerParts,
    /// What attention keeps of each token.
    pub(super) kept: Kept,
    /// How far back a query sees.
    pub(super) reach: Option<Reach<u64>>,
}

/// A table of inputs of each layer.
pub(super) struct OwnInputs {
    /// Words.
    pub(super) rows: Poly,
    /// The width of one layer's.
    pub(super) width: Poly,
}

/// What a layer is told beside its inputs.
#[derive(Clone)]
struct Told {
    masks: Vec<Mask>,
    angles: [Option<Var>; 2],
}

impl Told {
    fn call(&self, kind: usize, past: Option<(Var, Var)>) -> Attend {
        let mask = self.masks.get(kind).cloned().unwrap_or_default();
        Attend { mask, past, angles: self.angles[kind], ..Attend::default() }
    }
}

/// A layer recorded apart, with what it keeps.
struct Maker {
    scope: Scope,
    kind: usize,
    layer: Layer,
}

impl Gemma4Stack<'_> {
    /// Records the model.
    pub(super) fn record(
        self,
        keys: &Keys<'_>,
        request: &Request,
        r: &mut Recorder,
    ) -> Result<(), Problem> {
        let Gemma4Stack { vocabulary: v, kinds, layers, head, .. } = &self;
        let c = Poly::from("c");
        // Layers with keys and values of their own, and the first of those that others share.
        let own = layers.len() - self.shared;
        let apart = self.first_shared(own);
        let plan = |r: &mut Recorder, symbols: &[&str], layers: &[usize]| match layers {
            [] => None,
            _ => Some(LayerOrder::kinds(symbols, layers.to_vec()).plan(r)),
        };
        let before = match self.shared {
            0 => plan(r, &["l_full", "l_window"], layers),
            _ => plan(r, &["l_full_before", "l_window_before"], &layers[..apart]),
        };
        let behind = plan(r, &["l_full_shared", "l_window_shared"], &layers[own..]);
        let behind = behind.map(|plan| plan.after(own as u64));
        let counted = [&before, &behind].into_iter().flatten().map(|plan| plan.layers());
        let all = counted.sum::<Poly>() + Poly::from((own - apart) as u64);
        let g = &mut r.graph;
        let ids = token_ids(g, "input_ids", ["b", "n"], v.clone())?;
        causal_sizes(g, request);
        let reaches: Vec<_> = kinds.iter().map(|kind| kind.reach).collect();
        let masks = causal_masks(keys, g, request, &reaches)?;
        let mut scope = g.scope("model");
        let m = &mut *scope;
        let table = Embedding::new(&mut m.scope("embed_tokens"), v.clone(), c.clone())?;
        let inputs = match &self.own_inputs {
            Some(own) => Some(own.declare(m, &all, kinds[0].parts.norm)?),
            None => None,
        };
        let width = self.own_inputs.as_ref().map(|own| own.width.clone());
        let parts = |parts: &LayerParts| LayerParts { own_input: width.clone(), ..parts.clone() };
        let of_before = before.map(|plan| {
            plan.declare(m, "layers", |g, kind| Layer::new(g, &parts(&kinds[kind].parts)))
        });
        let of_before = of_before.transpose()?;
        let mut makers = Vec::new();
        for (at, kind) in layers.iter().enumerate().take(own).skip(apart) {
            let g = &mut *m.scope(&format!("layers.{at}"));
            let layer = Layer::new(g, &parts(&kinds[*kind].parts))?;
            makers.push(Maker { scope: g.here(), kind: *kind, layer });
        }
        let of_behind = behind.map(|plan| {
            plan.declare(m, "layers", |g, kind| Layer::new(g, &parts(&kinds[kind].sharing)))
        });
        let of_behind = of_behind.transpose()?;
        let norm = Norm::new(&mut m.scope("norm"), ("c", &c), kinds[0].parts.norm)?;

        let x = table.forward(m, ids)?;
        let mut x = m.scale(x, Factor::Sqrt(c.clone()))?;
        let stack = inputs.map(|inputs| inputs.forward(m, x, ids)).transpose()?;
        let told = Told { masks, angles: self.angles(m)? };
        let mut first = Poly::zero();
        if let Some(layers) = &of_before {
            let len = layers.layers();
            let stack = stack.map(|stack| entries(m, stack, &mut first, &len)).transpose()?;
            x = layers.forward_with(m, x, Entries::of_all(stack), |g, run, x, own| {
                let kept = &kinds[run.kind].kept;
                cached(g, request, (&run.scope, ATTENTION, kept), |g, past| {
                    run.layer.forward(g, x, (told.call(run.kind, past), None), own)
                })
            })?;
        }
        let mut made = [None; 2];
        let mut keep = Vec::new();
        for Maker { scope, kind, layer } in &makers {
            let own = stack.map(|stack| {
                let own = entries(m, stack, &mut first, &Poly::one())?;
                entry(m, own)
            });
            let own = own.transpose()?;
            let g = &mut *m.enter(scope);
            let past = past(g, ATTENTION, request, &kinds[*kind].kept)?;
            let given = layer.forward(g, x, (told.call(*kind, past), None), own)?;
            x = given.output;
            made[*kind] = given.present;
            keep.push((scope, *kind, [past, given.present]));
        }
        // Where scores of the last token alone are asked for, no other one goes on.
        let only_last =
            self.shared > 0 && head.of == CausalHead::Words && request.logits == Logits::Last;
        if let Some(layers) = &of_behind {
            let stack = stack.map(|stack| entries(m, stack, &mut first, &layers.layers()));
            let mut stack = stack.transpose()?;
            let mut told = told.clone();
            if only_last {
                x = last(m, x)?;
                stack = stack.map(|stack| last(m, stack)).transpose()?;
                for angles in told.angles.iter_mut().flatten() {
                    *angles = last(m, *angles)?;
                }
                for mask in &mut told.masks {
                    let offset = mask.offset.take();
                    mask.offset = offset.map(|offset| offset + Poly::from("n") - Poly::one());
                }
            }
            x = layers.forward_with(m, x, Entries::of_all(stack), |g, run, x, own| {
                let call = told.call(run.kind, None);
                Ok::<_, Problem>(run.layer.forward(g, x, (call, made[run.kind]), own)?.output)
            })?;
        }
        for (scope, kind, kept) in keep {
            present(m, (scope, ATTENTION, &kinds[kind].kept), kept);
        }
        let x = norm.forward(m, x)?;
        drop(scope);
        if head.tied {
            let table = "model.embed_tokens.weight";
            r.names = std::mem::take(&mut r.names).tie("lm_head.weight", table);
        }
        let g = &mut r.graph;
        if head.of == CausalHead::None {
            g.output("last_hidden_state", x);
            return Ok(());
        }
        let map = match head.tied {
            true => LmHead::tied(&mut g.scope("lm_head"), &table),
            false => LmHead::new(&mut g.scope("lm_head"), c, v.clone(), false)?,
        };
        let logits_of = if only_last { Logits::All } else { request.logits };
        logits(g, &Request { logits: logits_of, ..*request }, x, |g, x| {
            let scores = map.forward(g, x)?;
            head.scores.forward(g, scores)
        })
    }

    /// The first layer whose keys and values others share, or how many have their own where none are shared.
    fn first_shared(&self, own: usize) -> usize {
        let last = |kind| self.layers[..own].iter().rposition(|of| *of == kind);
        match self.shared {
            0 => own,
            _ => [0, 1].into_iter().filter_map(last).min().unwrap_or(own),
        }
    }

    /// The tables by which the heads of each kind of layers turn, where there are such layers.
    fn angles(&self, g: &mut Graph) -> Result<[Option<Var>; 2], NnError> {
        let g = &mut *g.scope("rotary_emb");
        let mut table = |kind: usize| {
            let attention = &self.kinds[kind].parts.attention;
            let used = self.layers.contains(&kind);
            match (&attention.rope, &attention.head_dim) {
                (Some(rope), Some(width)) if used => rope.angles(g, "n".into(), width).map(Some),
                _ => Ok(None),
            }
        };
        Ok([table(0)?, table(1)?])
    }
}

/// The last token alone.
fn last(g: &mut Graph, x: Var) -> Result<Var, NnError> {
    let (start, len) = (Poly::from("n") - Poly::one(), Poly::one());
    Ok(g.rearrange(x, Rearrange::Slice { axis: "n".into(), start, len })?)
}

/// The inputs of each layer: a table's row for each word, and a map of what enters the first layer.
struct DeclaredInputs {
    table: Embedding,
    map: Linear,
    norm: Norm,
    layers: Axis,
    width: Axis,
}

impl OwnInputs {
    fn declare(
        &self,
        g: &mut Graph,
        layers: &Poly,
        norm: NormConfig,
    ) -> Result<DeclaredInputs, NnError> {
        let (layers, width) = (Axis::new("l", layers), Axis::new("pl", &self.width));
        let columns = Axis::new("lp", &layers.size * &width.size);
        let table = g.within("embed_tokens_per_layer", |g| {
            Embedding::table(g, ("v", &self.rows), columns, false)
        })?;
        let to = vec![layers.clone(), width.clone()];
        let map = g.within("per_layer_model_projection", |g| {
            Linear::between(g, vec!["c".into()], to, LinearConfig::bias(false))
        })?;
        let norm = Norm::new(&mut g.scope("per_layer_projection_norm"), width.clone(), norm)?;
        Ok(DeclaredInputs { table, map, norm, layers, width })
    }
}

impl DeclaredInputs {
    /// `[l, b, n, pl]` of what enters the first layer and the words.
    fn forward(&self, g: &mut Graph, x: Var, ids: Var) -> Result<Var, NnError> {
        let rows = self.table.forward(g, ids)?;
        let rows = g.scale(rows, Factor::Sqrt(self.width.size.clone()))?;
        let into = vec![self.layers.clone(), self.width.clone()];
        let rows = g.rearrange(rows, Rearrange::Split { axis: "lp".into(), into })?;
        let mapped = self.map.forward(g, x)?;
        let mapped = g.scale(mapped, Factor::InverseSqrt("c".into()))?;
        let mapped = self.norm.forward(g, mapped)?;
        let sum = g.add("own_inputs", mapped, rows)?;
        let sum = g.scale(sum, Factor::Number(0.5_f64.sqrt()))?;
        let order = ["l", "b", "n", "pl"].map(Into::into).to_vec();
        Ok(g.rearrange(sum, Rearrange::Permute { order })?)
    }
}
