//! LLaVA (Liu et al. 2023): an encoder of images, two maps, and a decoder in whose text the rows of an image
//! stand. Named as in the `transformers` library.

use opledger_dims::Poly;
use opledger_ir::ops::{Activation, Rearrange};
use opledger_ir::{Axis, Graph, ModuleClass, SizeRole, Var};
use opledger_nn::{Linear, LinearConfig, NnError};
use serde_json::{Map, Value, json};

use super::clip;
use super::images::in_line;
use super::recorder::{ImageEncoder, ImageRows, Images, Problem, Recorder};
use super::request::Request;
use super::text_part::{WholeText, whole_text};
use super::towers::{ImageManner, ImageTower};
use crate::config::{ConfigError, Keys};

/// What encodes the images of a LLaVA.
struct Encoder {
    tower: ImageTower,
    /// Of which family it is.
    family: &'static str,
    /// After how many layers its rows are taken.
    until: u64,
    /// Rows that are left out before the others.
    left_out: u64,
    activation: Activation,
    bias: bool,
}

/// What a configuration without `vision_config` has.
fn usual() -> Map<String, Value> {
    let usual = json!({
        "intermediate_size": 4096, "hidden_size": 1024, "patch_size": 14, "image_size": 336,
        "num_hidden_layers": 24, "num_attention_heads": 16,
    });
    if let Value::Object(usual) = usual { usual } else { Map::new() }
}

pub(super) fn build(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    let encoder = Encoder::read(keys, r)?;
    let (rows, token) = (encoder.rows_of_one(), image_token(keys)?);
    // Of the processor and of losses; what of the text stands beside it as well, nothing reads.
    keys.pass_over(&[
        "image_seq_length",
        "ignore_index",
        "is_causal",
        "pad_token_id",
        "vocab_size",
    ]);
    r.graph.size_role(SizeRole::Images, "bi");
    r.images = Some(Images { token, encoder: Box::new(encoder), turning: None, deeper: 0 });
    r.notes.push(format!(
        "of the n tokens of each text, {rows} stand for each of its images, which are bi in all; their id is {token}"
    ));
    let text = WholeText::read(keys)?;
    whole_text(keys, &text, request, r)?;
    r.names = clip::of_tower(std::mem::take(&mut r.names), "model.vision_tower")
        .scope("model.vision_tower", "vision_tower.vision_model")
        .scope("model.vision_tower", "model.vision_tower.vision_model");
    Ok(())
}

fn image_token(keys: &Keys<'_>) -> Result<u64, ConfigError> {
    let other = keys.whole_or("image_token_id", 32000)?;
    keys.whole_or("image_token_index", other)
}

impl Encoder {
    fn read(keys: &Keys<'_>, r: &mut Recorder) -> Result<Encoder, Problem> {
        let missing = usual();
        let own = match keys.inner("vision_config")? {
            Some(own) => own,
            None => keys.in_place_of("vision_config", &missing),
        };
        let family = own.text("model_type")?.unwrap_or("clip_vision_model");
        let Some((family, tower)) = clip::image_tower(family, &own, r)? else {
            let supported = "clip_vision_model or siglip_vision_model";
            return Err(own.unsupported("model_type", supported).into());
        };
        let layers = i64::try_from(tower.layers.layers).unwrap_or(i64::MAX);
        let key = "vision_feature_layer";
        // What enters the layers is the first. The library takes 0 for no layer, and fails.
        let at = keys.signed(key)?.unwrap_or(-2);
        let until = if at < 0 { layers.saturating_add(at).saturating_add(1) } else { at };
        let until = u64::try_from(until).ok();
        let Some(until) = until.filter(|until| at != 0 && *until <= tower.layers.layers) else {
            let range = format!("-{} to {layers}, but 0", layers.saturating_add(1));
            return Err(keys.unsupported(key, range).into());
        };
        let key = "vision_feature_select_strategy";
        let left_out = match keys.text(key)? {
            None | Some("default") => 1,
            Some("full") => 0,
            Some(_) => return Err(keys.unsupported(key, "default or full").into()),
        };
        if tower.manner != ImageManner::OwnRow && tower.grid == [1, 1] && left_out == 1 {
            return Err(keys.unsupported(key, "full, since an image has one row").into());
        }
        Ok(Encoder {
            tower,
            family,
            until,
            left_out,
            activation: keys.activation("projector_hidden_act", Activation::GeluErf)?,
            bias: keys.flag_or("multimodal_projector_bias", true)?,
        })
    }

    /// How many rows the tower has of an image.
    fn in_tower(&self) -> u64 {
        let own = self.tower.manner == ImageManner::OwnRow;
        self.tower.grid[0] * self.tower.grid[1] + u64::from(own)
    }

    /// How many rows an image takes in a text.
    fn rows_of_one(&self) -> u64 {
        self.in_tower() - self.left_out
    }
}

impl ImageEncoder for Encoder {
    fn input(&self, g: &mut Graph) -> Result<Var, Problem> {
        self.tower.patches.input_of(g, "bi")
    }

    fn rows(self: Box<Self>, g: &mut Graph, pixels: Var) -> Result<ImageRows, Problem> {
        let (mut x, ..) = {
            let module = g.scope("vision_tower").module(ModuleClass::Model(self.family));
            let g = &mut *g.enter(&module);
            self.tower.forward_until(g, pixels, "bi", self.until)?
        };
        if self.left_out > 0 {
            let (axis, start, len) = ("n".into(), self.left_out.into(), self.rows_of_one().into());
            x = g.rearrange(x, Rearrange::Slice { axis, start, len })?;
        }
        let g = &mut *g.scope("multi_modal_projector");
        let (config, c) = (LinearConfig::bias(self.bias), Poly::from("c"));
        let from = g.last_axis(x).map_err(|error| NnError::Config(error.to_string()))?;
        let first = Linear::new(&mut g.scope("linear_1"), from, ("c", &c), config)?;
        let between = Axis::new("c", &c);
        let second = Linear::new(&mut g.scope("linear_2"), between, ("c", &c), config)?;
        let x = first.forward(g, x)?;
        let x = g.activation(x, self.activation)?;
        let x = second.forward(g, x)?;
        Ok(ImageRows { entering: in_line(g, x, "bi")?, deeper: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ModelGraph;
    use crate::config::Config;

    /// A small one with some keys changed.
    fn changed(changes: Value, request: &Request) -> Result<ModelGraph, ConfigError> {
        let mut config = json!({
            "model_type": "llava",
            "text_config": {
                "model_type": "llama", "vocab_size": 50, "hidden_size": 12, "num_attention_heads": 3,
                "num_hidden_layers": 2, "intermediate_size": 16,
            },
            "vision_config": {
                "model_type": "clip_vision_model", "hidden_size": 8, "num_attention_heads": 2,
                "num_hidden_layers": 3, "intermediate_size": 10, "image_size": 12, "patch_size": 4,
            },
        });
        config.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        Config::parse("it", config.to_string().as_bytes())?.model("it", request)
    }

    #[test]
    fn what_is_no_llava_is_refused() {
        for (keys, expected) in [
            (json!({"vision_feature_layer": 0}), "vision_feature_layer"),
            (json!({"vision_feature_layer": 4}), "-4 to 3"),
            (json!({"vision_feature_layer": [1, 2]}), "a whole number"),
            (json!({"vision_feature_select_strategy": "cls"}), "default or full"),
            (json!({"projector_hidden_act": "sponge"}), "sponge"),
            (json!({"architectures": ["LlavaModel"]}), "LlavaForConditionalGeneration"),
            (json!({"vision_config": 3}), "vision_config"),
        ] {
            let error = changed(keys, &Request::default()).unwrap_err().to_string();
            assert!(error.starts_with("it: ") && error.contains(expected), "{error}");
        }
    }

    /// With a cache, or with an encoder that is not known, it is the model of texts.
    #[test]
    fn what_is_left_out_is_told() {
        let other = json!({"vision_config": {"model_type": "pixtral"}});
        let past = Request { past: true, ..Request::default() };
        for model in [changed(other, &Request::default()), changed(json!({}), &past)] {
            let model = model.unwrap();
            assert!(model.graph.size_of(SizeRole::Images).is_none());
            assert!(model.notes.iter().any(|note| note.contains("left out")), "{:?}", model.notes);
        }
        let whole = changed(json!({}), &Request::default()).unwrap();
        assert!(whole.notes.iter().any(|note| note.contains("9 stand for each")));
        let kept = changed(json!({"vision_feature_select_strategy": "full"}), &Request::default());
        assert!(kept.unwrap().notes.iter().any(|note| note.contains("10 stand for each")));
    }

    /// The head is the table of words where either says so.
    #[test]
    fn a_head_is_tied_where_a_part_says_so() {
        let parameters = |keys| {
            let model = changed(keys, &Request::default()).unwrap();
            let sizes = model.graph.complete(&model.binding).unwrap();
            model.graph.parameters().0.at(&sizes).unwrap()
        };
        let apart = parameters(json!({}));
        let text = json!({
            "model_type": "llama", "vocab_size": 50, "hidden_size": 12, "num_attention_heads": 3,
            "num_hidden_layers": 2, "intermediate_size": 16, "tie_word_embeddings": true,
        });
        let head = 50u32 * 12;
        assert_eq!(&parameters(json!({"tie_word_embeddings": true})) + head, apart);
        assert_eq!(&parameters(json!({"text_config": text})) + head, apart);
    }
}
