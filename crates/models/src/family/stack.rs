//! Causal decoders: a table of words, layers, a norm, and what stands on them, recorded alike for every
//! family that says what the parts are.

use opledger_dims::{Binding, Poly, Symbol};
use opledger_ir::ops::{Activation, Factor, Table};
use opledger_ir::{Axis, Cached, Graph, Reach, Var};
use opledger_nn::{
    Attend, Embedding, EncoderLayer, LayerConfig, LearnedPositions, Linear, LinearConfig, LmHead,
    NnError, Norm, Sublayers,
};

use super::causal::{
    CausalHead, Kept, cached, carried, causal_masks, causal_sizes, first_position, logits,
    text_classes, token_classes,
};
use super::heads::answer;
use super::images::{added, placed, places};
use super::pattern::{DeclaredRun, Entries, LayerOrder};
use super::recorder::{Images, Problem, Recorder};
use super::request::Request;
use super::rope::angles;
use super::tokens::token_ids;
use crate::config::{ConfigError, Keys};
use crate::decoder_sizes::{DecoderSizes, NamedSizes, norm_parameters};

/// A causal decoder.
pub(super) struct CausalStack<'a> {
    /// The scopes of all but the head, and in it of the table of words, the layers, the last norm; that of a
    /// norm that is none is empty.
    pub(super) scopes: [&'a str; 4],
    /// Words.
    pub(super) vocabulary: Poly,
    /// The kinds of its layers.
    pub(super) kinds: Vec<Kind>,
    /// In which order they stand.
    pub(super) pattern: LayerOrder,
    /// What attention keeps of each token.
    pub(super) kept: Kept,
    /// What becomes of the rows of the table of words.
    pub(super) entering: Entering<'a>,
    /// Whether scores have linear biases.
    pub(super) linear_biases: bool,
    /// What stands on it.
    pub(super) head: Head<'a>,
}

/// Layers of a kind.
pub(super) struct Kind {
    /// What they are made of.
    pub(super) layer: LayerConfig,
    /// How far back a query sees; all before it when `None`.
    pub(super) reach: Option<Reach<u64>>,
}

/// What becomes of the rows of the table of words, in this order.
#[derive(Clone, Debug, Default)]
pub(super) struct Entering<'a> {
    /// Rows of words have a width of their own, and maps in two scopes to that of the layers and back.
    pub(super) mapped: Option<(Poly, [&'a str; 2])>,
    /// They are multiplied.
    pub(super) scale: Option<Factor>,
    /// A norm in a scope.
    pub(super) norm: Option<&'a str>,
    /// Learned positions are added.
    pub(super) positions: Option<Positions<'a>>,
}

/// A table of positions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Positions<'a> {
    /// Its scope.
    pub(super) scope: &'a str,
    /// How many positions there are.
    pub(super) positions: u64,
    /// Rows before that of the first.
    pub(super) before: u64,
}

/// What stands on a decoder.
#[derive(Clone, Debug)]
pub(super) struct Head<'a> {
    /// Which.
    pub(super) of: CausalHead,
    /// Whether the head of words is the table of words.
    pub(super) tied: bool,
    /// Whether it has a bias.
    pub(super) bias: bool,
    /// What the scores of words become, in this order.
    pub(super) scores: WordScores,
    /// The scope of the map to classes of tokens.
    pub(super) token_classes: &'a str,
}

/// What the scores of words become.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct WordScores {
    /// They are multiplied.
    pub(super) scale: Option<f64>,
    /// They are kept below a number, above its negative.
    pub(super) soft_cap: Option<f64>,
}

impl Head<'_> {
    /// A head whose words' scores stay as they are.
    pub(super) fn new(of: CausalHead, tied: bool) -> Self {
        Head { of, tied, bias: false, scores: WordScores::default(), token_classes: "classifier" }
    }
}

impl CausalStack<'_> {
    /// Records the decoder. Its width is `c`, that of a head `e`.
    pub(super) fn record(
        mut self,
        keys: &Keys<'_>,
        request: &Request,
        r: &mut Recorder,
    ) -> Result<(), Problem> {
        let images = r.images.take();
        if let Some(images) = images.as_ref().filter(|images| images.deeper > 0) {
            self.tell_first_apart(keys, images.deeper)?;
        }
        let CausalStack { scopes: [model, words, layers, last], kinds, kept, head, .. } = &self;
        let Some(first) = kinds.first().map(|kind| &kind.layer) else { return Ok(()) };
        let (c, v) = (Poly::from("c"), &self.vocabulary);
        r.decoder = Some(self.sizes(first, &r.sizes));
        let plan = self.pattern.plan(r);
        let g = &mut r.graph;
        let ids = token_ids(g, "input_ids", ["b", "n"], v.clone())?;
        causal_sizes(g, request);
        let pixels = images.as_ref().map(|images| images.encoder.input(g)).transpose()?;
        let reaches: Vec<Option<Reach<u64>>> = kinds.iter().map(|kind| kind.reach).collect();
        let masks = causal_masks(keys, g, request, &reaches)?;
        let mut scope = g.scope(model);
        let m = &mut *scope;
        let wide = self.entering.mapped.as_ref().map_or(&c, |(width, _)| width);
        let table = Embedding::new(&mut m.scope(words), v.clone(), wide.clone())?;
        let entering = self.entering.declare(m, first, request)?;
        let layers = plan.declare(m, layers, |g, kind| EncoderLayer::new(g, &kinds[kind].layer))?;
        let norm = match last.is_empty() {
            true => None,
            false => Some(Norm::new(&mut m.scope(last), ("c", &c), first.norm)?),
        };
        let out = match &self.entering.mapped {
            Some((width, [_, out])) => {
                let config = LinearConfig::bias(false);
                let from = Axis::new("c", &c);
                Some(Linear::new(&mut m.scope(out), from, ("c", width), config)?)
            }
            None => None,
        };
        let mut x = table.forward(m, ids)?;
        let (mut turning, mut deeper) = (None, None);
        if let (Some(Images { token, encoder, turning: three, .. }), Some(pixels)) =
            (images, pixels)
        {
            let rows = encoder.rows(m, pixels)?;
            x = placed(m, ids, x, (rows.entering, token))?;
            if let Some(three) = three {
                let visible = masks.first().and_then(|mask| mask.keep);
                let positions = three.of_tokens(m, ids, token, visible)?;
                turning = Some((three, positions));
            }
            if let Some(rows) = rows.deeper {
                deeper = Some((rows, places(m, ids, (rows, token))?));
            }
        }
        let x = entering.forward(m, x)?;
        let layers_of_kinds = kinds.iter().map(|kind| &kind.layer);
        let angles = angles(m, layers_of_kinds, |g, rope| match &turning {
            Some((three, positions)) => three.table(g, rope, *positions, &"e".into()),
            None => rope.angles(g, "n".into(), &"e".into()),
        })?;
        let bias = match self.linear_biases {
            true => Some(linear_biases(m, first, request)?),
            false => None,
        };
        let one =
            |g: &mut Graph, run: &DeclaredRun<EncoderLayer>, x: Var| -> Result<Var, Problem> {
                let layer = &kinds[run.kind].layer;
                let attention = &*layer.names.self_attn;
                let (mask, angles) = (masks[run.kind].clone(), angles[run.kind]);
                if layer.sublayers == Sublayers::Tokenwise {
                    return Ok(run.layer.forward(g, x, mask)?);
                }
                if let Some(states) = states(layer) {
                    return carried(g, request, (&run.scope, attention, &states), |g, past| {
                        let [state, memory] = past;
                        let call = Attend { mask, state, memory, ..Attend::default() };
                        run.layer.forward_with(g, x, call)
                    });
                }
                cached(g, request, (&run.scope, attention, kept), |g, past| {
                    run.layer.forward_with(
                        g,
                        x,
                        Attend { mask, bias, past, angles, ..Attend::default() },
                    )
                })
            };
        let own = Entries { stack: deeper.map(|(rows, _)| rows), kind: Some(0) };
        let x = layers.forward_with(m, x, own, |g, run, x, rows| {
            let x = one(g, run, x)?;
            match (rows, deeper) {
                (Some(rows), Some((_, places))) => Ok::<_, Problem>(added(g, x, rows, places)?),
                _ => Ok(x),
            }
        })?;
        let x = norm.map_or(Ok(x), |norm| norm.forward(m, x))?;
        let x = out.map_or(Ok(x), |out| out.forward(m, x))?;
        drop(scope);
        if head.tied {
            let table = format!("{model}.{words}.weight");
            r.names = std::mem::take(&mut r.names).tie("lm_head.weight", &table);
        }
        match head.of {
            CausalHead::None => r.graph.output("last_hidden_state", x),
            CausalHead::TextClasses => text_classes(keys, request, r, x)?,
            CausalHead::TokenClasses => token_classes(keys, head.token_classes, r, x)?,
            CausalHead::Answer => answer(&mut r.graph, x)?,
            CausalHead::Words => {
                let g = &mut r.graph;
                let map = match head.tied {
                    true => LmHead::tied(&mut g.scope("lm_head"), &table),
                    false => {
                        LmHead::new(&mut g.scope("lm_head"), wide.clone(), v.clone(), head.bias)?
                    }
                };
                logits(g, request, x, |g, x| {
                    let scores = map.forward(g, x)?;
                    head.scores.forward(g, scores)
                })?;
            }
        }
        Ok(())
    }

    /// Makes the first so many layers, which are like the others, a kind of their own.
    fn tell_first_apart(&mut self, keys: &Keys<'_>, first: usize) -> Result<(), ConfigError> {
        let alike = match (&self.pattern, &self.kinds[..]) {
            (LayerOrder::Uniform(layers), [kind]) => Some((*layers, kind)),
            _ => None,
        };
        let Some((layers, kind)) = alike else {
            let same = "layers that are alike, to the first of which rows of images are added";
            return Err(keys.unsupported("layer_types", same));
        };
        let layers = usize::try_from(layers).ok().filter(|layers| first <= *layers);
        let Some(layers) = layers else {
            let more =
                format!("{first} layers or more, behind each of which rows of images are added");
            return Err(keys.unsupported("num_hidden_layers", more));
        };
        let again = Kind { layer: kind.layer.clone(), reach: kind.reach };
        self.kinds.push(again);
        let order = (0..layers).map(|layer| usize::from(layer >= first)).collect();
        self.pattern = LayerOrder::kinds(&["l_deep", "l_plain"], order);
        Ok(())
    }

    /// The sizes of the decoder.
    fn sizes(&self, first: &LayerConfig, given: &Binding) -> DecoderSizes {
        let c = Poly::from("c");
        let layers = self.pattern.numbers(self.kinds.len());
        let rows = self.entering.positions.map_or(0, |own| own.positions + own.before);
        let mut whole = NamedSizes::default();
        let mut set = |name: &str, size: &Poly| {
            if let Ok(size) = size.at(given) {
                whole.sizes.set(Symbol::from(name), size);
            }
        };
        set("c", &c);
        set("v", &self.vocabulary);
        set("l", &layers.iter().sum::<u64>().into());
        set("pos", &rows.into());
        set("last", &norm_parameters(first.norm, &c));
        if let Some((words, _)) = &self.entering.mapped {
            set("cw", words);
            whole.traits.insert("narrow words");
        }
        whole.traits.insert(match (self.head.of, self.head.tied) {
            (CausalHead::Words, true) => "tied",
            (CausalHead::Words, false) => "untied",
            _ => "headless",
        });
        if self.head.bias {
            whole.traits.insert("head bias");
        }
        let kinds = layers.into_iter().zip(&self.kinds);
        let kinds = kinds.map(|(times, kind)| (times, kind.layer.clone(), kind.reach));
        DecoderSizes::of(whole, kinds.collect(), given)
    }
}

/// What a layer keeps that is a state, where it keeps no keys and values.
fn states(layer: &LayerConfig) -> Option<Vec<(Cached, Vec<Axis>)>> {
    let inputs =
        |reach: usize, channels| (Cached::Inputs, vec![Axis::new("n", reach as u64), channels]);
    let both = |reach: usize, channels: Axis, state: [Axis; 4]| {
        Some(vec![inputs(reach, channels), (Cached::Memory, state.to_vec())])
    };
    match (&layer.convolution, &layer.delta, &layer.state_space) {
        (Some(own), ..) => Some(vec![inputs(own.reach(), Axis::new("c", &own.d_model))]),
        (None, Some(own), _) => both(own.reach(), own.channels(), own.state()),
        (None, None, Some(own)) => both(own.reach(), own.channels(), own.state()),
        (None, None, None) => None,
    }
}

/// The parts between the table of words and the layers.
struct Entered {
    mapped: Option<Linear>,
    scale: Option<Factor>,
    norm: Option<Norm>,
    positions: Option<LearnedPositions>,
}

impl Entering<'_> {
    fn declare(
        &self,
        g: &mut Graph,
        layer: &LayerConfig,
        request: &Request,
    ) -> Result<Entered, NnError> {
        let c = Poly::from("c");
        let mapped = match &self.mapped {
            Some((width, [into, _])) => {
                let (from, config) = (Axis::new("c", width), LinearConfig::bias(false));
                Some(Linear::new(&mut g.scope(into), from, ("c", &c), config)?)
            }
            None => None,
        };
        let norm = match self.norm {
            Some(scope) => Some(Norm::new(&mut g.scope(scope), ("c", &c), layer.norm)?),
            None => None,
        };
        let positions = match self.positions {
            Some(Positions { scope, positions, before }) => {
                let rows = positions + before;
                let table = LearnedPositions::new(&mut g.scope(scope), rows, c)?;
                Some(table.starting_at(&first_position(request) + &Poly::from(before)))
            }
            None => None,
        };
        Ok(Entered { mapped, scale: self.scale.clone(), norm, positions })
    }
}

impl Entered {
    fn forward(&self, g: &mut Graph, x: Var) -> Result<Var, NnError> {
        let x = self.mapped.as_ref().map_or(Ok(x), |mapped| mapped.forward(g, x))?;
        let x = match &self.scale {
            Some(scale) => g.scale(x, scale.clone())?,
            None => x,
        };
        let x = self.norm.as_ref().map_or(Ok(x), |norm| norm.forward(g, x))?;
        self.positions.as_ref().map_or(Ok(x), |positions| positions.forward(g, x))
    }
}

impl WordScores {
    /// What scores become.
    pub(super) fn forward(&self, g: &mut Graph, scores: Var) -> Result<Var, NnError> {
        let mut scores = scores;
        if let Some(scale) = self.scale {
            scores = g.scale(scores, Factor::Number(scale))?;
        }
        if let Some(cap) = self.soft_cap {
            scores = g.scale(scores, Factor::Number(1.0 / cap))?;
            scores = g.activation(scores, Activation::Tanh)?;
            scores = g.scale(scores, Factor::Number(cap))?;
        }
        Ok(scores)
    }
}

/// The biases of scores by the position of the key, of the earlier tokens and the new ones.
fn linear_biases(g: &mut Graph, layer: &LayerConfig, request: &Request) -> Result<Var, Problem> {
    let head = Axis::new("h", &layer.attention.num_heads);
    let key = Axis::new("m", &first_position(request) + &Poly::from("n"));
    Ok(g.table("alibi", Table::LinearBiases { head, key })?)
}
