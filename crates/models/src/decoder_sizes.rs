//! The sizes of a causal decoder: what frameworks that estimate the work of training read of a
//! configuration.

use std::collections::BTreeSet;

use opledger_dims::{Binding, Poly, Symbol};
use opledger_ir::Reach;
use opledger_nn::{
    AttentionConfig, FeedForwardConfig, LayerConfig, MixtureConfig, NormConfig, NormKind, Sublayers,
};

/// What of a part, or a model, is known by a name.
#[derive(Clone, Debug, Default)]
pub struct NamedSizes {
    /// Sizes by name.
    pub sizes: Binding,
    /// What is true of it: `gated`, `experts`, `window`.
    pub traits: BTreeSet<&'static str>,
}

/// The sizes of a causal decoder.
///
/// Of the whole: `c` width, `v` words, `l` layers, `pos` rows of the table of positions, `last` parameters of
/// the last norm; it is `tied` or `untied`, has a `head bias`, or is `headless`; with `narrow words`, `cw` their
/// width.
///
/// Of a layer with `heads`: `h` heads, `g` of keys and values, `e` and `f` the widths of a key and a value,
/// `ab` biases of the maps, `ob` of the output map, `qn` parameters of the norms of queries and keys. With a
/// `latent`: `d` its width, `q` that of queries (`query latent`), `rot` what turns, `nope` what does not, `e`
/// both together. `full`, or `window` of `w` keys, or `chunk` of `ch`. `dense`: `ff` hidden width, `m` maps, `fb`
/// biases. `experts`: `x` of them, `k` run, `ff`, `m`, `xb` biases of one, `rb` of the router, `fs` the hidden
/// width of what every token meets (0 where there is none), `u` the width that they work in (`latent
/// experts`).
#[derive(Clone, Debug, Default)]
pub struct DecoderSizes {
    /// What belongs to no layer.
    pub whole: NamedSizes,
    /// The kinds of layers, with how many there are of each.
    pub layers: Vec<(u64, NamedSizes)>,
}

impl DecoderSizes {
    /// Puts numbers in place of symbols: the sizes that a configuration gave.
    pub(crate) fn of(
        whole: NamedSizes,
        layers: Vec<(u64, LayerConfig, Option<Reach<u64>>)>,
        given: &Binding,
    ) -> DecoderSizes {
        let layer = |(times, config, reach): (u64, LayerConfig, Option<Reach<u64>>)| {
            let mut own = Reader { named: NamedSizes::default(), given };
            own.layer(&config, reach);
            (times, own.named)
        };
        let layers = layers.into_iter().filter(|(times, ..)| *times > 0).map(layer).collect();
        DecoderSizes { whole, layers }
    }
}

/// Parameters of a norm of so many columns.
pub(crate) fn norm_parameters(norm: NormConfig, columns: &Poly) -> Poly {
    let each = u64::from(norm.weight) + u64::from(norm.bias);
    match norm.kind {
        NormKind::Rms | NormKind::Layer => columns.clone() * Poly::from(each),
    }
}

struct Reader<'a> {
    named: NamedSizes,
    given: &'a Binding,
}

impl Reader<'_> {
    fn set(&mut self, name: &str, size: &Poly) {
        // A size that no configuration gives is left out, and what asks for it says so.
        if let Ok(size) = size.at(self.given) {
            self.named.sizes.set(Symbol::from(name), size);
        }
    }

    fn is(&mut self, name: &'static str) {
        self.named.traits.insert(name);
    }

    fn layer(&mut self, layer: &LayerConfig, reach: Option<Reach<u64>>) {
        let mixes = layer.sublayers != Sublayers::Tokenwise;
        match (&layer.convolution, &layer.delta, &layer.state_space) {
            _ if !mixes => self.is("no attention"),
            (Some(_), ..) => self.is("convolution"),
            (_, Some(_), _) => self.is("delta rule"),
            (.., Some(_)) => self.is("state space"),
            (None, None, None) => {
                self.attention(layer);
                match reach {
                    None => self.is("full"),
                    Some(Reach::Window(keys)) => {
                        self.is("window");
                        self.set("w", &keys.into());
                    }
                    Some(Reach::Chunk(keys)) => {
                        self.is("chunk");
                        self.set("ch", &keys.into());
                    }
                }
            }
        }
        if layer.sublayers == Sublayers::Mixing {
            return self.is("no feed-forward");
        }
        match &layer.mixture {
            Some(mixture) => self.experts(mixture),
            None => self.dense(&layer.feed_forward),
        }
    }

    fn attention(&mut self, layer: &LayerConfig) {
        let own = &layer.attention;
        let (c, h) = (&own.embed_dim, &own.num_heads);
        self.set("h", h);
        if own.gated {
            self.is("attention gate");
        }
        if own.keys_as_values || own.given_heads || !own.out_proj {
            self.is("shared keys");
        }
        self.set("ob", &if own.out_bias { c.clone() } else { Poly::zero() });
        if let Some(latent) = &layer.latent {
            self.is("latent");
            self.set("d", &latent.rank);
            self.set("nope", &latent.head_dim);
            self.set("rot", &latent.rotated);
            self.set("e", &(&latent.head_dim + &latent.rotated));
            self.set("f", &latent.value_head_dim);
            if let Some(rank) = &latent.query_rank {
                self.is("query latent");
                self.set("q", rank);
            }
            if own.bias {
                self.is("latent biases");
            }
            return;
        }
        self.heads(own);
    }

    fn heads(&mut self, own: &AttentionConfig) {
        self.is("heads");
        let (c, h) = (&own.embed_dim, &own.num_heads);
        let kv = own.kv_heads.as_ref().unwrap_or(h);
        let shared_out = match (c.at(self.given), h.at(self.given)) {
            (Ok(c), Ok(h)) if h > 0.into() => Poly::from(c / h),
            _ => Poly::zero(),
        };
        let e = own.head_dim.clone().unwrap_or(shared_out);
        let f = own.value_head_dim.as_ref().unwrap_or(&e);
        self.set("g", kv);
        self.set("e", &e);
        self.set("f", f);
        let queries = if own.gated { h * &e * Poly::from(2) } else { h * &e };
        let keys = if own.key_bias { kv * &e } else { Poly::zero() };
        let biases = queries + keys + kv * f;
        self.set("ab", &if own.bias { biases } else { Poly::zero() });
        let normed = match own.qk_norm {
            None => Poly::zero(),
            Some(norm) if own.qk_norm_joint => norm_parameters(norm, &(h * &e + kv * &e)),
            Some(norm) => norm_parameters(norm, &(Poly::from(2) * &e)),
        };
        self.set("qn", &normed);
    }

    fn dense(&mut self, own: &FeedForwardConfig) {
        self.is("dense");
        self.maps(own);
        self.set("ff", &own.dim_feedforward);
        self.set("fb", &feed_forward_biases(own));
    }

    fn maps(&mut self, own: &FeedForwardConfig) {
        self.set("m", &Poly::from(2 + u64::from(own.gated)));
    }

    fn experts(&mut self, own: &MixtureConfig) {
        self.is("experts");
        let ff = &own.dim_feedforward;
        self.set("x", &own.num_experts);
        self.set("k", &own.experts_per_token);
        self.set("ff", ff);
        self.set("m", &Poly::from(2 + u64::from(own.gated)));
        let one = ff * Poly::from(1 + u64::from(own.gated)) + &own.d_model;
        self.set("xb", &if own.bias { one } else { Poly::zero() });
        self.set("rb", &if own.bias { own.num_experts.clone() } else { Poly::zero() });
        match &own.shared {
            Some(shared) => {
                self.is("shared expert");
                self.set("fs", &shared.feed_forward.dim_feedforward);
                if shared.gate.is_some() {
                    self.is("gate of the shared expert");
                }
                if shared.feed_forward.bias {
                    self.is("biases of the shared expert");
                }
            }
            None => self.set("fs", &Poly::zero()),
        }
        if let Some(latent) = &own.latent {
            self.is("latent experts");
            self.set("u", &latent.width);
        }
    }
}

fn feed_forward_biases(own: &FeedForwardConfig) -> Poly {
    match own.bias {
        true => &own.dim_feedforward * Poly::from(1 + u64::from(own.gated)) + &own.d_model,
        false => Poly::zero(),
    }
}
