//! Causal decoders with norms, rotation by position and a gated feed-forward layer (Touvron et al. 2023),
//! of which many families are variants. Named as in the `transformers` library.

use opledger_dims::Poly;
use opledger_ir::{Axis, Definition};
use opledger_nn::{
    AttentionConfig, AttentionNames, ExpertGroups, FeedForwardConfig, FeedForwardNames,
    LatentExperts, LayerConfig, LayerNames, MixtureConfig, NormConfig, Origin, RotaryEmbedding,
    Routing, SharedExpert, ShortConvolutionConfig, Sublayers,
};

use super::causal::{CausalHead, Kept, causal_heads};
use super::checks::{either_size, head, multiple};
use super::delta;
use super::latent::{self, Attention};
use super::pattern::LayerOrder;
use super::recorder::{Problem, Recorder};
use super::request::Request;
use super::rotation::rotation;
use super::stack::{CausalStack, Entering, Head, Kind};
use super::state_space;
use super::variant::{
    Convolved, ExpertFiles, KindOf, Maps, Mixture, Projections, QkNorm, Rotation, Variant,
};
use crate::config::{ConfigError, Keys};
use crate::names::Names;

/// Records a decoder.
pub(super) fn build(
    keys: &Keys<'_>,
    request: &Request,
    r: &mut Recorder,
    variant: &Variant,
) -> Result<(), Problem> {
    let mut classes = causal_heads(variant.family, "ForCausalLM", variant.heads);
    classes.extend(variant.also.iter().map(|(class, head)| ((*class).to_owned(), *head)));
    let of = head(keys, &classes)?;
    keys.pass_over(&["pad_token_id"]);
    let tied = keys.flag_or("tie_word_embeddings", variant.tied)?;
    if tied && variant.head_bias {
        let apart = "false, since the head of words has a bias";
        return Err(keys.unsupported("tie_word_embeddings", apart).into());
    }
    let (attention, latent, kept) = match &variant.latent {
        _ if !variant.kinds.iter().any(KindOf::attends) => unattended(keys, r)?,
        Some(widths) => latent::attention(keys, request, r, (variant, widths))?,
        None => attention(keys, request, r, variant)?,
    };
    let v = keys.size("vocab_size")?;
    let pattern = match &variant.pattern {
        Some(pattern) => pattern.clone(),
        None => LayerOrder::Uniform(keys.times("num_hidden_layers")?),
    };
    let vocabulary = r.size("v", v);
    let parts = Parts::read(keys, r, variant)?;
    let rule = variant.kinds.iter().find_map(|kind| kind.delta.as_ref());
    let (key, norm) = (variant.activation, parts.norm);
    let delta = rule.map(|rule| delta::config(keys, r, rule, (key, norm))).transpose()?;
    let spaces = variant.kinds.iter().find_map(|kind| kind.state_space.as_ref());
    let space = spaces.map(|sizes| state_space::config(r, sizes));
    let kind = |kind: &KindOf| Kind {
        layer: LayerConfig {
            latent: latent.clone(),
            state_space: space.clone().filter(|_| kind.state_space.is_some()),
            delta: delta.clone().filter(|_| kind.delta.is_some()),
            ..parts.layer(variant, attention.clone(), kind)
        },
        reach: kind.reach,
    };
    let scope = if of == CausalHead::Answer { variant.answer_scope } else { "model" };
    r.names = names(variant, scope, pattern.layers());
    let stack = CausalStack {
        scopes: [scope, variant.words, "layers", variant.last_norm],
        vocabulary,
        kinds: variant.kinds.iter().map(kind).collect(),
        pattern,
        kept,
        entering: Entering { scale: variant.word_scale.clone(), ..Entering::default() },
        linear_biases: false,
        head: Head {
            bias: variant.head_bias,
            scores: variant.scores,
            token_classes: "score",
            ..Head::new(of, tied)
        },
    };
    stack.record(keys, request, r)
}

/// Where files have what layers hold in other forms.
fn names(variant: &Variant, model: &str, layers: u64) -> Names {
    let mut names = Names::default()
        .prefix(&format!("{model}."))
        .ignore(&format!("{model}.layers.*.self_attn.rotary_emb.inv_freq"));
    let mut joined = |scope: &str, parts: &[&str]| {
        for kind in ["weight", "bias"] {
            let whole = format!("{model}.layers.*.{scope}");
            let parts: Vec<String> =
                parts.iter().map(|part| format!("{whole}.{part}.{kind}")).collect();
            let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
            names = std::mem::take(&mut names).join(&parts, &format!("{whole}.{kind}"));
        }
    };
    if let Projections::Joined = variant.projections {
        joined("self_attn.qkv_proj", &["q", "k", "v"]);
    }
    if let Maps::GatedJoined = variant.maps {
        joined(&format!("{}.gate_up_proj", variant.feed_forward[0]), &["gate", "up"]);
    }
    for [first, second, file] in variant.joined {
        let own = [first, second].map(|own| format!("{model}.layers.*.{own}.weight"));
        let own = own.each_ref().map(String::as_str);
        names = names.join(&own, &format!("{model}.layers.*.{file}.weight"));
    }
    for [own, file] in variant.renamed {
        let layer = format!("{model}.layers.*");
        names = names.rename(&format!("{layer}.{own}"), &format!("{layer}.{file}"));
    }
    for [own, file] in variant.scopes {
        names = names.scope(own, file);
    }
    for scope in variant.ignored {
        names = names.ignore_scope(scope);
    }
    for layer in (0..variant.layers_behind).map(|behind| layers + behind) {
        names = names.ignore_scope(&format!("{model}.layers.{layer}"));
    }
    if variant.latent.is_some() {
        names = latent::names(names, &format!("{model}.layers.*.self_attn"));
    }
    match &variant.mixture {
        Some(mixture) => experts(names, &format!("{model}.layers.*.{}", mixture.scope), mixture),
        None => names,
    }
}

/// The same of a mixture at a path.
fn experts(mut names: Names, at: &str, mixture: &Mixture) -> Names {
    let own = |map: &str, kind: &str| format!("{at}.experts.{map}.{kind}");
    match mixture.files {
        ExpertFiles::Apart(maps) => {
            for (map, file) in ["w1", "w2", "w3"].into_iter().zip(maps) {
                let file = format!("{at}.experts.*.{file}.weight");
                names = names.stack(&own(map, "weight"), &file);
            }
            names
        }
        ExpertFiles::Joined([first, second, router]) => {
            let both = [own("w1", "weight"), own("w3", "weight")];
            names = names
                .join(&both.each_ref().map(String::as_str), &format!("{at}.{first}.weight"))
                .rename(&own("w2", "weight"), &format!("{at}.{second}.weight"))
                .rename(&format!("{at}.gate.weight"), &format!("{at}.{router}.weight"));
            both.iter().fold(names, |names, map| names.within_each(map))
        }
        ExpertFiles::Together | ExpertFiles::TakingTurns => {
            let take_turns = matches!(mixture.files, ExpertFiles::TakingTurns);
            for (kind, end) in [("weight", ""), ("bias", "_bias")] {
                let both = [own("w1", kind), own("w3", kind)];
                let both = both.each_ref().map(String::as_str);
                let file = format!("{at}.experts.gate_up_proj{end}");
                names = match take_turns {
                    true => names.interleave(&both, &file),
                    false => names.join(&both, &file),
                };
                names = names
                    .rename(&format!("{at}.gate.{kind}"), &format!("{at}.router.{kind}"))
                    .rename(&own("w2", kind), &format!("{at}.experts.down_proj{end}"));
                for map in ["w1", "w2", "w3"] {
                    names = names.within_each(&own(map, kind));
                }
            }
            ["w1", "w2", "w3"]
                .into_iter()
                .fold(names, |names, map| names.transpose(&own(map, "weight")))
        }
    }
}

/// What stands for the attention of a model that has none.
fn unattended(keys: &Keys<'_>, r: &mut Recorder) -> Result<Attention, Problem> {
    let rotation = ["rope_parameters", "rope_scaling", "rope_theta", "max_position_embeddings"];
    keys.pass_over(&rotation);
    keys.pass_over(&["head_dim", "num_attention_heads", "num_key_value_heads"]);
    let width = keys.size("hidden_size")?;
    let c = r.size("c", width);
    let attention = AttentionConfig { origin: Origin::Library, ..AttentionConfig::new(c, 1) };
    Ok((attention, None, Kept::heads("h".into(), "e".into())))
}

/// An attention with projections to keys and values.
fn attention(
    keys: &Keys<'_>,
    request: &Request,
    r: &mut Recorder,
    variant: &Variant,
) -> Result<Attention, Problem> {
    let (width, heads) = (keys.size("hidden_size")?, keys.size("num_attention_heads")?);
    let kv_heads = keys.size_unless_null("num_key_value_heads", variant.kv_heads)?;
    let kv_heads = kv_heads.unwrap_or(heads);
    multiple(keys, ("num_attention_heads", heads), ("num_key_value_heads", kv_heads))?;
    let head_dim = match keys.optional("head_dim")?.or(variant.head_dim) {
        Some(given) => given,
        None => {
            multiple(keys, ("hidden_size", width), ("num_attention_heads", heads))?;
            width / heads
        }
    };
    let turns = |kind: &KindOf| !matches!(kind.rotation, Rotation::None);
    if head_dim % 2 == 1 && variant.kinds.iter().any(turns) {
        let pairs = "an even head width, since the rotation turns pairs";
        return Err(keys.unsupported("head_dim", pairs).into());
    }
    let rope = rotation(keys, request, r, (variant, head_dim))?;
    let (c, h) = (r.size("c", width), r.size("h", heads));
    let kv = if kv_heads == heads { h.clone() } else { r.size("kv", kv_heads) };
    // With c = h·e formulas are written with c.
    let e = r.size("e", head_dim);
    if head_dim * heads == width {
        let factors = ["h".into(), "e".into()];
        r.graph.define(Definition::Product { whole: "c".into(), factors });
    }
    let shared = Axis::new(if kv == h { "h" } else { "g" }, kv.clone());
    let kept = Kept::heads(shared, Axis::new("e", e.clone()));
    let attention = AttentionConfig {
        kv_heads: Some(kv),
        head_dim: Some(e),
        bias: variant.qkv_bias,
        out_bias: variant.out_bias,
        qk_norm: match variant.qk_norm {
            Some(over) => {
                Some(NormConfig { weight: over != QkNorm::Turned, ..norm(keys, variant)? })
            }
            None => None,
        },
        qk_norm_joint: variant.qk_norm == Some(QkNorm::Heads),
        qk_norm_turned: variant.qk_norm == Some(QkNorm::Turned),
        rope,
        scale: variant.score_scale,
        soft_cap: variant.score_cap,
        sinks: variant.sinks,
        gated: variant.gated,
        origin: Origin::Library,
        names: match variant.projections {
            Projections::Apart(out) => AttentionNames::new("q_proj", "k_proj", "v_proj", out),
            Projections::Joined => AttentionNames::fused("qkv_proj", "o_proj"),
        },
        ..AttentionConfig::new(c, h)
    };
    Ok((attention, None, kept))
}

fn norm(keys: &Keys<'_>, variant: &Variant) -> Result<NormConfig, ConfigError> {
    let (key, default) = variant.epsilon;
    Ok(NormConfig { eps: keys.epsilon_or(key, default)?, ..variant.norm })
}

/// A choice of experts with symbols for its sizes.
fn named(routing: &Routing, r: &mut Recorder) -> Routing {
    let mut size = |symbol, size: &Poly| match size.as_integer().and_then(|n| n.try_into().ok()) {
        Some(size) => r.size(symbol, size),
        None => size.clone(),
    };
    let groups = routing.groups.as_ref().map(|groups| ExpertGroups {
        all: size("eg", &groups.all),
        chosen: size("ek", &groups.chosen),
        ..groups.clone()
    });
    Routing { groups, ..routing.clone() }
}

/// What layers have beside their attention.
struct Parts {
    feed_forward: FeedForwardConfig,
    mixture: Option<MixtureConfig>,
    norm: NormConfig,
}

impl Parts {
    fn read(keys: &Keys<'_>, r: &mut Recorder, variant: &Variant) -> Result<Parts, Problem> {
        let (key, default) = variant.activation;
        let activation = key.map_or(Ok(default), |key| keys.activation(key, default))?;
        let c = Poly::from("c");
        let feed_forward = |hidden: Poly| FeedForwardConfig {
            activation,
            gated: !matches!(variant.maps, Maps::Plain(_)),
            bias: variant.mlp_bias,
            names: match variant.maps {
                Maps::Gated => FeedForwardNames::gated("gate_proj", "down_proj", "up_proj"),
                Maps::GatedBy([gate, down, up]) => FeedForwardNames::gated(gate, down, up),
                Maps::GatedJoined => {
                    FeedForwardNames::gated("gate_up_proj.gate", "down_proj", "gate_up_proj.up")
                }
                Maps::Plain([first, second]) => FeedForwardNames::new(first, second),
            },
            ..FeedForwardConfig::new(c.clone(), hidden)
        };
        let norm = norm(keys, variant)?;
        let mixture = variant.mixture.as_ref();
        let dense = variant.kinds.iter().all(|kind| kind.dense);
        if let Some(mixture) = mixture.filter(|_| dense) {
            keys.pass_over(&mixture.experts);
            keys.pass_over(&[mixture.hidden, mixture.chosen]);
        }
        let mixture = mixture.filter(|_| !dense);
        let Some(Mixture {
            experts,
            chosen: per_token,
            hidden,
            routing,
            bias,
            clamped,
            shared,
            latent,
            ..
        }) = mixture
        else {
            if variant.kinds.iter().all(|kind| kind.sublayers == Sublayers::Mixing) {
                let feed_forward = feed_forward(Poly::one());
                return Ok(Parts { feed_forward, mixture: None, norm });
            }
            let hidden = variant.hidden.map_or_else(|| keys.size(variant.feed_forward[1]), Ok)?;
            let feed_forward = feed_forward(r.size("ff", hidden));
            return Ok(Parts { feed_forward, mixture: None, norm });
        };
        let ff = keys.size(hidden)?;
        let ff = r.size("ff", ff);
        let dense = match variant.kinds.iter().any(|kind| kind.dense) {
            true => {
                let hidden = keys.size(variant.feed_forward[1])?;
                r.size("fd", hidden)
            }
            false => ff.clone(),
        };
        let (all, chosen) = (either_size(keys, *experts)?, keys.size(per_token)?);
        if chosen > all {
            let why = "more experts are to run than there are";
            let given = experts.iter().find(|key| keys.get(key).is_some());
            let experts = given.unwrap_or(&experts[0]);
            return Err(keys.contradiction(per_token, experts, why).into());
        }
        let shared = shared.map(|shared| SharedExpert {
            feed_forward: feed_forward(r.size("fs", shared.hidden)),
            scope: shared.scope.to_owned(),
            gate: shared.gate.map(str::to_owned),
        });
        let latent = latent.map(|(width, maps)| LatentExperts {
            width: r.size("u", width),
            maps: maps.map(str::to_owned),
            bias: variant.mlp_bias,
        });
        let mixture = MixtureConfig {
            d_model: c.clone(),
            dim_feedforward: ff,
            num_experts: r.size("x", all),
            experts_per_token: r.size("k", chosen),
            activation,
            routing: named(routing, r),
            bias: *bias,
            gated: !matches!(variant.maps, Maps::Plain(_)),
            clamped: *clamped,
            latent,
            shared,
            frozen: false,
        };
        Ok(Parts { feed_forward: feed_forward(dense), mixture: Some(mixture), norm })
    }

    /// A layer of a kind.
    fn layer(&self, variant: &Variant, attention: AttentionConfig, kind: &KindOf) -> LayerConfig {
        let read = attention.rope.clone();
        let rope = match &kind.rotation {
            Rotation::None => None,
            Rotation::Read => read,
            // A base of its own; what turns is the same.
            Rotation::Given(own) => read.map(|read| RotaryEmbedding {
                theta: own.theta,
                scaling: own.scaling.clone(),
                ..read
            }),
        };
        let (c, h) = (attention.embed_dim.clone(), attention.num_heads.clone());
        let mixture = self.mixture.clone().filter(|_| !kind.dense);
        let mlp = match (&variant.mixture, &mixture) {
            (Some(mixture), Some(_)) => mixture.scope,
            _ => variant.feed_forward[0],
        };
        let qk_norm = attention.qk_norm.filter(|_| !attention.qk_norm_turned || rope.is_some());
        let temperature = kind.temperature.clone();
        let convolution = kind.convolution.map(|Convolved { taps, bias }| ShortConvolutionConfig {
            bias,
            ..ShortConvolutionConfig::new(&c, taps)
        });
        let mixer = match (&convolution, &kind.delta) {
            (Some(_), _) => "conv",
            (None, Some(_)) => kind.mixer.unwrap_or("linear_attn"),
            (None, None) => kind.mixer.unwrap_or("self_attn"),
        };
        LayerConfig {
            attention: AttentionConfig { rope, qk_norm, temperature, ..attention },
            feed_forward: self.feed_forward.clone(),
            mixture,
            convolution,
            sublayers: kind.sublayers,
            norm: self.norm,
            residual: variant.residual,
            residual_scale: variant.residual_scale,
            names: LayerNames::sandwich(mixer, mlp, variant.norms),
            ..LayerConfig::new(c, h, 1)
        }
    }
}
