//! ViT-MAE (He et al. 2021): a Vision Transformer that is given some of an image's patches, and a smaller one that is
//! given all places and tells the pixels of those that were hidden. Named as in the `transformers` library, which
//! draws which patches are kept; here their order is an input, the kept ones first.

use opledger_dims::Poly;
use opledger_ir::ops::{Activation, Rearrange, Source};
use opledger_ir::{Axis, Graph, GraphError, Mask, Role, Var};
use opledger_nn::{EncoderLayer, LayerConfig, Linear, LinearConfig, NnError, Norm, NormConfig};

use super::checks::{head, multiple, width_and_heads};
use super::image::{Patches, no_text, part, row, row_of, tokens};
use super::recorder::{Problem, Recorder};
use super::request::Request;
use super::vit::layer;
use crate::config::{ConfigError, Keys};
use crate::names::Names;

/// Sizes of the second model.
struct Decoder {
    c: Poly,
    l: Poly,
    layer: LayerConfig,
    /// Pixels of a patch, times channels.
    pixels: u64,
}

pub(super) fn build(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    let with_decoder = head(keys, &[("ViTMAEForPreTraining", true), ("ViTMAEModel", false)])?;
    no_text(keys, request)?;
    // What the loss compares with.
    keys.pass_over(&["norm_pix_loss"]);
    let patches = Patches::read_or(keys, [3, 224, 16])?;
    let grid = patches.grid(keys)?;
    let [width, heads] = width_and_heads(keys)?;
    let (hidden, layers) = (keys.size("intermediate_size")?, keys.times("num_hidden_layers")?);
    let activation = keys.activation("hidden_act", Activation::GeluErf)?;
    let norm = NormConfig { eps: keys.epsilon_or("layer_norm_eps", 1e-12)?, ..NormConfig::layer() };
    let bias = keys.flag_or("qkv_bias", true)?;
    let all = grid[0] * grid[1];
    let kept = kept(keys, all)?;
    let (c, h, l) = (r.size("c", width), r.size("h", heads), r.size("l", layers));
    let encoder = layer([&c, &h, &r.size("ff", hidden)], activation, norm, bias);
    let decoder = match with_decoder {
        true => Some(decoder(keys, r, &patches, (activation, norm, bias))?),
        false => {
            keys.pass_over(&[
                "decoder_hidden_size",
                "decoder_intermediate_size",
                "decoder_num_attention_heads",
                "decoder_num_hidden_layers",
            ]);
            None
        }
    };

    let g = &mut r.graph;
    let pixels = patches.input(g)?;
    let order = g.input_ids("ids_shuffle", [Axis::from("b"), Axis::new("n", all)], all)?;
    let mut scope = g.scope("vit");
    let m = &mut *scope;
    let x = {
        let e = &mut *m.scope("embeddings");
        let first = row(e, "cls_token", Poly::one(), &c)?;
        let positions = row_of(e, "position_embeddings", Source::shift().frozen(), all + 1, &c)?;
        let x = patches.embed(e, pixels, grid, &c)?;
        let x = tokens(e, x)?;
        let of_patches = part(e, positions, (1, all))?;
        let x = e.add("add_positions", x, of_patches)?;
        e.mark(x, Role::PositionSum);
        let x = taken(e, x, (order, kept), &c)?;
        let of_whole = part(e, positions, (0, 1))?;
        let first = e.add("add_position", first, of_whole)?;
        let first = e.rearrange(first, Rearrange::Expand { axis: "b".into() })?;
        e.concat(first, x, "n")?
    };
    let layers = m.repeated("encoder.layer", l);
    let encoder = EncoderLayer::new(&mut m.enter(&layers), &encoder)?;
    let last = Norm::new(&mut m.scope("layernorm"), ("c", &c), norm)?;
    let x = m.repeat(&layers, x, |g, x| encoder.forward(g, x, Mask::none()))?;
    let x = last.forward(m, x)?;
    drop(scope);
    // Version 5 of the library writes the second, and reads both.
    r.names = Names::default()
        .prefix("vit.")
        .scope("decoder.decoder_layers", "decoder.decoder_encoder.layer");
    if let Some(decoder) = decoder {
        let logits = decode(g, (x, order), (kept, all), &decoder, norm)?;
        g.output("logits", logits);
    } else {
        g.output("last_hidden_state", x);
    }
    Ok(())
}

/// How many patches of so many are kept, rounded as in the library.
fn kept(keys: &Keys<'_>, all: u64) -> Result<u64, ConfigError> {
    let ratio = keys.number_or("mask_ratio", 0.75)?;
    let kept = (all as f64 * (1.0 - ratio)) as u64;
    match (0.0..1.0).contains(&ratio) && kept > 0 {
        true => Ok(kept),
        false => Err(keys.unsupported("mask_ratio", "from 0 to below 1, of which a patch is left")),
    }
}

/// The second model, whose keys the first has as well.
fn decoder(
    keys: &Keys<'_>,
    r: &mut Recorder,
    patches: &Patches,
    (activation, norm, bias): (Activation, NormConfig, bool),
) -> Result<Decoder, ConfigError> {
    let (width_key, heads_key) = ("decoder_hidden_size", "decoder_num_attention_heads");
    let (width, heads) = (keys.size_or(width_key, 512)?, keys.size_or(heads_key, 16)?);
    multiple(keys, (width_key, width), (heads_key, heads))?;
    let layers = keys.whole_or("decoder_num_hidden_layers", 8)?;
    let hidden = keys.size_or("decoder_intermediate_size", 2048)?;
    let (c, l) = (r.size("cd", width), r.size("ld", layers));
    let layer = layer([&c, &r.size("hd", heads), &r.size("ffd", hidden)], activation, norm, bias);
    Ok(Decoder { c, l, layer, pixels: patches.pixels() })
}

/// The tokens of `x [b, n, c]` at the first places of an order `[b, n]`: `[b, n, c]`, so many.
fn taken(g: &mut Graph, x: Var, (order, kept): (Var, u64), c: &Poly) -> Result<Var, GraphError> {
    let own = part(g, order, (0, kept))?;
    let own = g.rename(own, "n", "k")?;
    let axes = [Axis::from("b"), Axis::new("k", kept), Axis::new("c", c)];
    let x = g.gather_nd(x, axes, &[("n", own)])?;
    g.rename(x, "k", "n")
}

/// The pixels of each patch `[b, n, p]`, from the tokens of the first model and the order of patches.
fn decode(
    g: &mut Graph,
    (x, order): (Var, Var),
    (kept, all): (u64, u64),
    decoder: &Decoder,
    norm: NormConfig,
) -> Result<Var, Problem> {
    let Decoder { c, l, layer, pixels } = decoder;
    let m = &mut *g.scope("decoder");
    let wide = m.last_axis(x).map_err(|error| NnError::Config(error.to_string()))?;
    let config = LinearConfig::default();
    let narrowed = Linear::new(&mut m.scope("decoder_embed"), wide, ("c", c), config)?;
    let hidden = row(m, "mask_token", Poly::one(), c)?;
    let positions = row_of(m, "decoder_pos_embed", Source::shift().frozen(), all + 1, c)?;
    let layers = m.repeated("decoder_layers", l.clone());
    let layer = EncoderLayer::new(&mut m.enter(&layers), layer)?;
    let last = Norm::new(&mut m.scope("decoder_norm"), ("c", c), norm)?;
    let to = ("p", &Poly::from(*pixels));
    let pixels = Linear::new(&mut m.scope("decoder_pred"), ("c", c), to, LinearConfig::default())?;

    let x = narrowed.forward(m, x)?;
    let axes = vec!["n".into(), "c".into()];
    let hidden = m.rearrange(hidden, Rearrange::Merge { axes, into: "c".into() })?;
    let hidden = m.rearrange(hidden, Rearrange::Expand { axis: Axis::new("n", all - kept) })?;
    let hidden = m.rearrange(hidden, Rearrange::Expand { axis: "b".into() })?;
    let given = part(m, x, (1, kept))?;
    let every = m.concat(given, hidden, "n")?;
    // The place in the order of each patch.
    let [_, places] = m.sort(order)?;
    let every = taken(m, every, (places, all), c)?;
    let first = part(m, x, (0, 1))?;
    let x = m.concat(first, every, "n")?;
    let x = m.add("add_positions", x, positions)?;
    m.mark(x, Role::PositionSum);
    let x = m.repeat(&layers, x, |g, x| layer.forward(g, x, Mask::none()))?;
    let x = last.forward(m, x)?;
    let x = pixels.forward(m, x)?;
    Ok(part(m, x, (1, all))?)
}
