//! Model families: a configuration becomes a graph with the names of its checkpoint.
//!
//! One file per family. A family reads its keys, gives sizes to the symbols that the layers use (`c`
//! width, `h` heads, `kv` key and value heads, `e` head width, `ff` hidden width, `v` vocabulary, `l`
//! layers), and records the graph; `b` items, `n` tokens and `p` cached tokens stay free. The size of
//! an image is a number, as are all widths where they change from stage to stage.

mod bart;
mod beit;
mod bert;
mod bloom;
mod causal;
mod checks;
mod clip;
mod cohere;
mod convnext;
mod deberta;
mod decoder;
mod deepseek;
mod delta;
mod dinov2;
mod dinov3;
mod encoder;
mod falcon;
mod gemma;
mod gemma4;
mod gemma4_layer;
mod gemma4_stack;
mod glm;
mod gpt2;
mod gpt_neo;
mod gpt_neox;
mod gpt_oss;
mod gptj;
mod granite;
mod granite_hybrid;
mod heads;
mod image;
mod images;
mod kimi_linear;
mod latent;
mod layer_types;
mod lfm2;
mod llama;
mod llama4;
mod llava;
mod mamba2;
mod mixtures;
mod modernbert;
mod nemotron_h;
mod olmo2;
mod opt;
mod pairs;
mod patch_grid;
mod patch_positions;
mod pattern;
mod qwen;
mod qwen_linear;
mod qwen_vl;
mod qwen_vl_tower;
mod recorder;
mod relative;
mod request;
mod rope;
mod rotation;
mod smollm3;
mod stack;
mod state_space;
mod swin;
mod t5;
mod text_part;
mod three_positions;
mod tokens;
mod towers;
mod variant;
mod vit;
mod vit_mae;
mod wav2vec2;
mod whisper;

use std::collections::BTreeMap;

use crate::config::{Config, ConfigError, Keys};
use crate::model::ModelGraph;
use opledger_dims::{escaped, nearest};
use opledger_ir::{Module, ModuleClass, Recurrence, SizeRole};
use opledger_nn::LatentForm;
use recorder::{Problem, Recorder};
use text_part::{file_names, text_part};

pub use request::{Logits, Request};
pub use text_part::families_with_text;

/// A family of models.
#[derive(Clone, Copy)]
struct Family {
    /// What `model_type` says.
    name: &'static str,
    /// The family whose code it is in the `transformers` library, where it is only called otherwise.
    code: &'static str,
    /// Whether its models are an encoder and a decoder.
    pair: bool,
    /// Whether its attention makes keys and values from a latent.
    latent: bool,
    /// Whether its weights are those of images of any size.
    any_image: bool,
    build: Build,
}

type Build = fn(&Keys<'_>, &Request, &mut Recorder) -> Result<(), Problem>;

const fn family(name: &'static str, build: Build) -> Family {
    Family { name, code: name, pair: false, latent: false, any_image: false, build }
}

const FAMILIES: &[Family] = &[
    family("albert", bert::albert),
    Family { pair: true, ..family("bart", bart::bart) },
    family("bert", bert::bert),
    family("roberta", bert::roberta),
    Family { code: "roberta", ..family("xlm-roberta", bert::xlm_roberta) },
    Family { code: "roberta", ..family("camembert", bert::camembert) },
    family("deberta-v2", deberta::build),
    Family { latent: true, ..family("deepseek_v2", deepseek::v2) },
    Family { latent: true, ..family("deepseek_v3", deepseek::v3) },
    family("distilbert", bert::distilbert),
    family("electra", bert::electra),
    family("bloom", bloom::build),
    family("clip", clip::clip),
    family("clip_text_model", clip::clip_text),
    family("clip_vision_model", clip::clip_image),
    family("cohere", cohere::cohere),
    family("cohere2", cohere::cohere2),
    Family { any_image: true, ..family("convnext", convnext::build) },
    family("ernie4_5_moe", mixtures::ernie4_5_moe),
    family("falcon", falcon::build),
    family("gemma", gemma::gemma),
    family("gemma2", gemma::gemma2),
    family("gemma3_text", gemma::gemma3),
    family("gemma4_text", gemma4::text),
    family("glm", glm::glm),
    family("glm4", glm::glm4),
    family("glm4_moe", mixtures::glm4_moe),
    family("gpt2", gpt2::build),
    family("gpt_neo", gpt_neo::build),
    family("gpt_neox", gpt_neox::build),
    family("gpt_oss", gpt_oss::build),
    family("gptj", gptj::build),
    family("granite", granite::build),
    family("granitemoehybrid", granite_hybrid::build),
    Family { latent: true, ..family("kimi_linear", kimi_linear::build) },
    family("lfm2", lfm2::lfm2),
    family("lfm2_moe", lfm2::lfm2_moe),
    family("llama", llama::llama),
    family("llama4_text", llama4::text),
    family("llava", llava::build),
    family("mamba2", mamba2::build),
    Family { pair: true, ..family("marian", bart::marian) },
    Family { pair: true, code: "bart", ..family("mbart", bart::mbart) },
    family("minimax_m2", mixtures::minimax_m2),
    family("mistral", llama::mistral),
    family("mixtral", llama::mixtral),
    family("modernbert", modernbert::build),
    family("mpnet", bert::mpnet),
    family("nemotron_h", nemotron_h::build),
    family("olmo2", olmo2::build),
    family("opt", opt::build),
    Family { pair: true, code: "marian", ..family("pegasus", bart::pegasus) },
    family("phi", llama::phi),
    family("phi3", llama::phi3),
    family("starcoder2", llama::starcoder2),
    family("qwen2", qwen::qwen2),
    family("qwen2_moe", qwen::qwen2_moe),
    family("qwen3", qwen::qwen3),
    family("qwen3_moe", qwen::qwen3_moe),
    family("qwen3_next", qwen_linear::qwen3_next),
    family("qwen3_5_text", qwen_linear::qwen3_5),
    family("qwen3_5_moe_text", qwen_linear::qwen3_5_moe),
    Family { any_image: true, ..family("qwen2_vl", qwen_vl::qwen2_vl) },
    Family { any_image: true, ..family("qwen2_5_vl", qwen_vl::qwen2_5_vl) },
    Family { any_image: true, ..family("qwen3_vl", qwen_vl::qwen3_vl) },
    family("smollm3", smollm3::build),
    Family { pair: true, code: "t5", ..family("mt5", t5::mt5) },
    Family { pair: true, ..family("t5", t5::t5) },
    family("dinov2", dinov2::dinov2),
    family("dinov2_with_registers", dinov2::with_registers),
    family("beit", beit::build),
    Family { any_image: true, ..family("dinov3_vit", dinov3::build) },
    family("vit", vit::vit),
    family("vit_mae", vit_mae::build),
    family("deit", vit::deit),
    family("siglip", clip::siglip),
    family("siglip_text_model", clip::siglip_text),
    family("siglip_vision_model", clip::siglip_image),
    Family { any_image: true, ..family("swin", swin::swin) },
    Family { any_image: true, ..family("swinv2", swin::swinv2) },
    family("hubert", wav2vec2::hubert),
    family("wav2vec2", wav2vec2::wav2vec2),
    Family { pair: true, ..family("whisper", whisper::build) },
];

/// The values of `model_type` that are supported.
pub fn families() -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().map(|family| family.name)
}

/// Those of which the model of texts alone is read.
fn parts_alone() -> impl Iterator<Item = &'static str> {
    families_with_text().filter(|name| families().all(|family| family != *name))
}

/// Which algorithm of several is counted, where others give the same values.
fn algorithm(recurrence: Recurrence) -> &'static str {
    match recurrence {
        Recurrence::GatedDelta | Recurrence::DeltaByChannel => {
            "the gated delta rule of linear attention is recurrent here, token by token; taken in \
             chunks, it has other products"
        }
        Recurrence::StateSpace { .. } => {
            "the state space is recurrent here, token by token, as in steps of one token; taken in \
             chunks, as its duality with attention allows, it has other products"
        }
    }
}

impl Config {
    /// Builds the model that the configuration describes. `name` is what it is called.
    ///
    /// # Errors
    /// Which key is missing, contradicts another, or asks for what is not supported.
    pub fn model(&self, name: &str, request: &Request) -> Result<ModelGraph, ConfigError> {
        if let Some((text, note)) = text_part(self, request)? {
            let model = text.model(name, request)?;
            let notes = model.notes.into_iter().chain([note]).collect();
            return Ok(ModelGraph { notes, names: file_names(model.names), ..model });
        }
        let build = |keys: &Keys<'_>| {
            let found = keys.text("model_type")?.ok_or_else(|| ConfigError::Missing {
                origin: keys.origin(),
                key: "model_type".to_owned(),
            })?;
            let family = FAMILIES.iter().find(|family| family.name == found);
            let family = family.ok_or_else(|| {
                let text = keys.inner("text_config").ok().flatten();
                let text = text.and_then(|text| text.text("model_type").ok().flatten());
                if let Some(text) = families().find(|known| Some(*known) == text) {
                    let (origin, found) = (keys.origin(), escaped(found));
                    return ConfigError::Whole { origin, found, text };
                }
                ConfigError::Family {
                    origin: keys.origin(),
                    found: escaped(found),
                    nearest: nearest(found, families()),
                    known: families().chain(parts_alone()).collect::<Vec<_>>().join(", "),
                }
            })?;
            // The name of a file with other weights than those that are read here.
            keys.only("transformers_weights", serde_json::Value::Null)?;
            if !family.pair {
                keys.only("is_encoder_decoder", false)?;
            }
            if !family.latent && request.latent != LatentForm::default() {
                let families = FAMILIES.iter().filter(|family| family.latent);
                let families: Vec<_> = families.map(|family| family.name).collect();
                return Err(ConfigError::Request {
                    origin: keys.origin(),
                    problem: format!(
                        "attention of `{}` has no latent, so it has one form; that of {} has several",
                        family.name,
                        families.join(", "),
                    ),
                });
            }
            if let Some([height, width]) = request.image.filter(|_| !family.any_image) {
                let problem = format!(
                    "an image of {height} × {width} pixels is of another size than the model's, and \
                     the weights of `{}` are those of one size",
                    family.name,
                );
                return Err(ConfigError::Request { origin: keys.origin(), problem });
            }
            let mut recorder = Recorder::new(family.code);
            (family.build)(keys, request, &mut recorder).map_err(|problem| match problem {
                Problem::Config(error) => error,
                Problem::Layer(problem) => ConfigError::Layer { origin: keys.origin(), problem },
            })?;
            if request.source && recorder.graph.size_of(SizeRole::Memory).is_none() {
                let problem = "this model has no encoder that its decoder attends to".to_owned();
                return Err(ConfigError::Request { origin: keys.origin(), problem });
            }
            Ok(recorder)
        };
        let (recorded, not_understood) = self.with_keys(build)?;
        let Recorder { mut graph, mut sizes, names, positions, decoder, notes: told, .. } =
            recorded;
        // Sizes of a decoder say nothing of the images in its texts.
        let decoder = decoder.filter(|_| graph.size_of(SizeRole::Images).is_none());
        // The encoder alone and the decoder alone have not all sizes of the pair.
        let pair = graph.size_of(SizeRole::Memory).is_some();
        if pair && (request.source || request.past) {
            let symbols = graph.symbols();
            let own = sizes.iter().filter(|(size, _)| symbols.contains(*size));
            sizes = own.map(|(size, value)| (size.clone(), value.clone())).collect();
        }
        let mut notes: Vec<String> = self.against_keys().into_iter().collect();
        notes.extend(told);
        notes.extend(self.fit_pooler(&mut graph));
        let recurrence = |module: &Module| match module.class {
            ModuleClass::Recurrence(own) => Some(own),
            _ => None,
        };
        notes.extend(
            graph.modules().iter().find_map(recurrence).map(|own| algorithm(own).to_owned()),
        );
        Ok(ModelGraph {
            conditions: Vec::new(),
            only: None,
            notes,
            aliases: BTreeMap::new(),
            name: name.to_owned(),
            graph,
            binding: sizes,
            names,
            not_understood,
            positions,
            decoder,
            rows: Vec::new(),
        })
    }
}
