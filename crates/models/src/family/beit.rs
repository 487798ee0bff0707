//! BEiT (Bao et al. 2021): a Vision Transformer whose scores have biases by how far patches lie apart, of each
//! layer or of all. Named as in the files of the `transformers` library.

use opledger_dims::Poly;
use opledger_ir::ops::{Activation, Rearrange, Source};
use opledger_ir::{Axis, Graph, Mask, ModuleClass, Role, Scope, Var};
use opledger_nn::{
    Attend, AttentionConfig, EncoderLayer, LayerConfig, LayerNames, Linear, LinearConfig, Norm,
    NormConfig,
};

use super::checks::{classes, head, width_and_heads};
use super::heads::classifier;
use super::image::{self, Patches, behind, no_text, part, row, tokens};
use super::recorder::{Problem, Recorder};
use super::request::Request;
use super::tokens::token;
use super::vit;
use crate::config::{ConfigError, Keys};
use crate::names::Names;

/// What stands on the encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Head {
    /// One value of the whole image.
    Pooled,
    /// A score for each class.
    Classes,
    /// A score for each word of a codebook, of each patch.
    Words,
}

/// Keys of models that segment images, of backbones, and of training.
const WITHOUT_INFLUENCE: &[&str] = &[
    "add_fpn",
    "auxiliary_channels",
    "auxiliary_concat_input",
    "auxiliary_loss_weight",
    "auxiliary_num_convs",
    "drop_path_rate",
    "out_features",
    "out_indices",
    "pool_scales",
    "reshape_hidden_states",
    "segmentation_indices",
    "semantic_loss_ignore_index",
    "stage_names",
    "use_auxiliary_head",
];

/// The table of biases by distance, in its scope.
const TABLE: &str = "relative_position_bias";

pub(super) fn build(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    let head = head(
        keys,
        &[
            ("BeitForImageClassification", Head::Classes),
            ("BeitModel", Head::Pooled),
            ("BeitForMaskedImageModeling", Head::Words),
        ],
    )?;
    no_text(keys, request)?;
    keys.pass_over(WITHOUT_INFLUENCE);
    let patches = Patches::read_or(keys, [3, 224, 16])?;
    let grid = patches.square(keys)?;
    let [width, heads] = width_and_heads(keys)?;
    let layers = keys.times("num_hidden_layers")?;
    let norm = NormConfig { eps: keys.epsilon_or("layer_norm_eps", 1e-12)?, ..NormConfig::layer() };
    let mean = keys.flag_or("use_mean_pooling", true)?;
    let mask_token = keys.flag_or("use_mask_token", false)?;
    let positions = keys.flag_or("use_absolute_position_embeddings", false)?;
    let of_layer = keys.flag_or("use_relative_position_bias", false)?;
    let of_all = keys.flag_or("use_shared_relative_position_bias", false)?;
    let config = layer(keys, r, ([width, heads], norm))?;
    let (words, classes) = (keys.size_or("vocab_size", 8192)?, classes(keys)?);
    let (c, h, l) = (Poly::from("c"), Poly::from("h"), r.size("l", layers));
    let distances = Distances { grid, heads: h };

    let g = &mut r.graph;
    let pixels = patches.input(g)?;
    let mut scope = g.scope("beit");
    let m = &mut *scope;
    let mut embeddings = m.scope("embeddings");
    let e = &mut *embeddings;
    let x = patches.embed(e, pixels, grid, &c)?;
    let x = tokens(e, x)?;
    let mut x = behind(e, "cls_token", Poly::one(), &c, x)?;
    if mask_token {
        // Stands for patches that are hidden, and none is.
        row(e, "mask_token", Poly::one(), &c)?;
    }
    if positions {
        let table = row(e, "position_embeddings", distances.tokens().into(), &c)?;
        let sum = e.add("add_positions", x, table)?;
        x = e.mark(sum, Role::PositionSum);
    }
    drop(embeddings);
    let ids = if of_layer || of_all { Some(distances.ids(m)?) } else { None };
    let shared = match ids.filter(|_| of_all) {
        Some(ids) => {
            let g = &mut *m.scope("encoder");
            let table = distances.table(g)?;
            Some(distances.biases(g, &table, ids)?)
        }
        None => None,
    };
    let scope_of_layers = m.repeated("encoder.layer", l);
    let (layer, table) = {
        let g = &mut *m.enter(&scope_of_layers);
        let layer = EncoderLayer::new(g, &config)?;
        let table = of_layer.then(|| distances.table(&mut g.scope("attention.attention")));
        (layer, table.transpose()?)
    };
    let pooled_norm = head != Head::Words && mean;
    let pooled_norm = match pooled_norm {
        true => Some(Norm::new(&mut m.scope("pooler.layernorm"), ("c", &c), norm)?),
        false => None,
    };
    let last = match mean {
        true => None,
        false => Some(Norm::new(&mut m.scope("layernorm"), ("c", &c), norm)?),
    };
    let x = m.repeat(&scope_of_layers, x, |g, x| {
        let own = match (&table, ids) {
            (Some(table), Some(ids)) => Some(distances.biases(g, table, ids)?),
            _ => None,
        };
        let bias = match (own, shared) {
            (Some(own), Some(shared)) => Some(g.add("both_biases", own, shared)?),
            (own, shared) => own.or(shared),
        };
        let call = Attend { mask: Mask::none(), bias, ..Attend::default() };
        Ok::<_, Problem>(layer.forward_with(g, x, call)?.output)
    })?;
    let x = last.map_or(Ok(x), |norm| norm.forward(m, x))?;
    let patches = (1, distances.tokens() - 1);
    let pooled = |g: &mut Graph| -> Result<Var, Problem> {
        let Some(norm) = &pooled_norm else { return Ok(token(g, x, 0)?) };
        let mean = image::mean(g, x, patches)?;
        Ok(norm.forward(g, mean)?)
    };
    match head {
        Head::Pooled => {
            let pooled = pooled(m)?;
            drop(scope);
            g.output("last_hidden_state", x);
            g.output("pooler_output", pooled);
        }
        Head::Classes => {
            let pooled = pooled(m)?;
            drop(scope);
            let scores = classifier(g, "classifier", pooled, &classes.into())?;
            g.output("logits", scores);
        }
        Head::Words => {
            drop(scope);
            let norm = Norm::new(&mut g.scope("layernorm"), ("c", &c), norm)?;
            let x = norm.forward(g, x)?;
            let rows = part(g, x, patches)?;
            let (from, to) = (("c", &c), ("v", &Poly::from(words)));
            let map = Linear::new(&mut g.scope("lm_head"), from, to, LinearConfig::default())?;
            let scores = map.forward(g, rows)?;
            g.output("logits", scores);
        }
    }
    let index = "relative_position_bias.relative_position_index";
    r.names = Names::default()
        .prefix("beit.")
        .ignore(&format!("beit.encoder.layer.*.attention.attention.{index}"))
        .ignore(&format!("beit.encoder.{index}"));
    Ok(())
}

/// A layer of an encoder so wide, of so many heads.
fn layer(
    keys: &Keys<'_>,
    r: &mut Recorder,
    ([width, heads], norm): ([u64; 2], NormConfig),
) -> Result<LayerConfig, ConfigError> {
    let (c, h) = (r.size("c", width), r.size("h", heads));
    let ff = r.size("ff", keys.size("intermediate_size")?);
    let activation = keys.activation("hidden_act", Activation::GeluErf)?;
    let plain = vit::layer([&c, &h, &ff], activation, norm, true);
    let layer_scales = ["lambda_1", "lambda_2"].map(str::to_owned);
    Ok(LayerConfig {
        attention: AttentionConfig { key_bias: false, ..plain.attention },
        layer_scale: keys.number_or("layer_scale_init_value", 0.1)? > 0.0,
        names: LayerNames { layer_scales, ..plain.names },
        ..plain
    })
}

/// How far tokens lie apart: patches of a grid, and before them one for the whole.
struct Distances {
    grid: [u64; 2],
    heads: Poly,
}

impl Distances {
    fn tokens(&self) -> u64 {
        self.grid[0] * self.grid[1] + 1
    }

    /// Distances of two patches: so many down and across.
    fn apart(&self) -> [u64; 2] {
        self.grid.map(|side| 2 * side - 1)
    }

    /// The row of the table for each pair `[n, m]`: the distance of patches, then from the whole to a patch,
    /// from a patch to the whole, and of the whole.
    fn ids(&self, g: &mut Graph) -> Result<Var, Problem> {
        let ([down, across], [_, columns]) = (self.apart(), self.grid);
        let patches = down * across;
        let row = |query: u64, key: u64| match (query.checked_sub(1), key.checked_sub(1)) {
            (None, None) => patches + 2,
            (None, Some(_)) => patches,
            (Some(_), None) => patches + 1,
            (Some(query), Some(key)) => {
                let y = query / columns + self.grid[0] - 1 - key / columns;
                let x = query % columns + columns - 1 - key % columns;
                y * across + x
            }
        };
        let all = 0..self.tokens();
        let values =
            all.clone().flat_map(|query| all.clone().map(move |key| row(query, key) as i64));
        let axes = ["n", "m"].map(|name| Axis::new(name, self.tokens())).into();
        let source = Source::Known { axes, values: values.collect() };
        Ok(g.record("relative_position_index", source, &[])?)
    }

    /// The table `[t, h]`, in its scope.
    fn table(&self, g: &mut Graph) -> Result<(Scope, Var), Problem> {
        let [down, across] = self.apart();
        let axes = [Axis::new("t", down * across + 3), Axis::new("h", &self.heads)];
        let scope = g.scope(TABLE).module(ModuleClass::Distances);
        let name = "relative_position_bias_table";
        let table = g.enter(&scope).param(name, Source::shift(), axes)?;
        Ok((scope, table))
    }

    /// Biases `[h, n, m]`.
    fn biases(&self, g: &mut Graph, table: &(Scope, Var), ids: Var) -> Result<Var, Problem> {
        let (scope, table) = table;
        let g = &mut *g.enter(scope);
        let bias = g.embedding("", ids, *table)?;
        let order = ["h", "n", "m"].map(Into::into).to_vec();
        Ok(g.rearrange(bias, Rearrange::Permute { order })?)
    }
}
