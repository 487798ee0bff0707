//! DeepSeek-V2 (DeepSeek-AI 2024, arXiv:2405.04434) and DeepSeek-V3 (arXiv:2412.19437): keys and values
//! are made from a latent, and behind the first layers experts stand in place of the feed-forward layer,
//! beside some that every token meets. Named as in the `transformers` library.

use opledger_nn::{
    Divisor, ExpertGroups, ExpertWeights, GroupScore, RopePairs, RouterScores, Routing,
    ScoreCorrection,
};

use super::causal::CausalHead;
use super::decoder;
use super::layer_types::dense_first;
use super::recorder::{Problem, Recorder};
use super::request::Request;
use super::variant::{CHOSEN, CommonExpert, ExpertFiles, KindOf, Latent, Mixture, Variant};
use crate::config::{ConfigError, Keys};

/// The keys of how many experts there are.
pub(super) const ROUTED: [&str; 2] = ["n_routed_experts", "num_local_experts"];

pub(super) fn v2(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    keys.only("scoring_func", "softmax")?;
    // The library never divides by the sum of those chosen.
    keys.only("norm_topk_prob", false)?;
    let variant = Variant {
        family: "DeepseekV2",
        heads: &[CausalHead::Words, CausalHead::None, CausalHead::TextClasses],
        mlp_bias: keys.flag_or("mlp_bias", false)?,
        pairs: RopePairs::Neighbours,
        ..variant(keys, 0, || {
            mixture(keys, ["n_routed_experts", "num_experts"], (limited(keys)?, 2))
        })?
    };
    decoder::build(keys, request, r, &variant)
}

/// The best of all experts, or of the groups whose best are the best.
fn limited(keys: &Keys<'_>) -> Result<Routing, ConfigError> {
    let groups = match keys.text("topk_method")?.unwrap_or("greedy") {
        "greedy" => {
            keys.pass_over(&["n_group", "topk_group"]);
            None
        }
        "group_limited_greedy" => groups(keys, [None, None], GroupScore::Highest)?,
        _ => {
            return Err(keys.unsupported("topk_method", "greedy, group_limited_greedy"));
        }
    };
    Ok(Routing {
        groups,
        scale: Some(keys.positive_or("routed_scaling_factor", 1.0)?),
        ..Routing::new(ExpertWeights::Share)
    })
}

pub(super) fn v3(keys: &Keys<'_>, request: &Request, r: &mut Recorder) -> Result<(), Problem> {
    keys.only("scoring_func", "sigmoid")?;
    keys.only("topk_method", "noaux_tc")?;
    let variant = Variant {
        family: "DeepseekV3",
        heads: CausalHead::NO_ANSWER,
        pairs: match keys.flag_or("rope_interleave", true)? {
            true => RopePairs::Neighbours,
            false => RopePairs::Halves,
        },
        layers_behind: predicting(keys)?,
        ..variant(keys, 3, || {
            mixture(keys, ROUTED, (corrected(keys, [Some(8), Some(4)], 2.5)?, 1))
        })?
    };
    decoder::build(keys, request, r, &variant)
}

/// What both have in common; so many layers have no experts where no key says.
fn variant(
    keys: &Keys<'_>,
    dense: u64,
    experts: impl FnOnce() -> Result<Mixture, ConfigError>,
) -> Result<Variant, ConfigError> {
    keys.only("moe_layer_freq", 1)?;
    // What layers with experts alone have not, training, and how the work is shared out among machines.
    keys.pass_over(&[
        "intermediate_size",
        "aux_loss_alpha",
        "seq_aux",
        "ep_size",
        "pretraining_tp",
    ]);
    let bias = keys.flag_or("attention_bias", false)?;
    let (kinds, pattern) = dense_first(keys, dense)?;
    Ok(Variant {
        mixture: behind_dense(keys, &kinds, experts)?,
        qkv_bias: bias,
        out_bias: bias,
        latent: Some(Latent {
            query_rank: keys.size_unless_null("q_lora_rank", Some(1536))?,
            rank: keys.size_or("kv_lora_rank", 512)?,
            head_dim: keys.size_or("qk_nope_head_dim", 128)?,
            rotated: keys.size_or("qk_rope_head_dim", 64)?,
            value_head_dim: keys.size_or("v_head_dim", 128)?,
        }),
        kinds,
        pattern: Some(pattern),
        ..Variant::default()
    })
}

/// How many layers behind the last predict further tokens, of which files have the weights.
pub(super) fn predicting(keys: &Keys<'_>) -> Result<u64, ConfigError> {
    let [own, other] = ["num_nextn_predict_layers", "num_mtp_layers"];
    keys.pass_over(&[other]);
    Ok(keys.whole_or(own, 1)?.min(64))
}

/// The experts of the layers that have some.
pub(super) fn behind_dense(
    keys: &Keys<'_>,
    kinds: &[KindOf],
    experts: impl FnOnce() -> Result<Mixture, ConfigError>,
) -> Result<Option<Mixture>, ConfigError> {
    if kinds.iter().any(|kind| !kind.dense) {
        return experts().map(Some);
    }
    keys.pass_over(&ROUTED);
    keys.pass_over(&[
        "num_experts",
        "num_experts_per_tok",
        "n_shared_experts",
        "n_group",
        "topk_group",
    ]);
    keys.pass_over(&[
        "moe_intermediate_size",
        "norm_topk_prob",
        "routed_scaling_factor",
        "topk_method",
    ]);
    Ok(None)
}

/// The experts, with so many that every token meets where no key says.
pub(super) fn mixture(
    keys: &Keys<'_>,
    experts: [&'static str; 2],
    (routing, shared): (Routing, u64),
) -> Result<Mixture, ConfigError> {
    let hidden = "moe_intermediate_size";
    let shared = keys.size_or("n_shared_experts", shared)?;
    let Some(width) = keys.size(hidden)?.checked_mul(shared) else {
        return Err(keys.unsupported("n_shared_experts", "fewer"));
    };
    Ok(Mixture {
        scope: "mlp",
        files: ExpertFiles::Apart(["gate_proj", "down_proj", "up_proj"]),
        experts,
        chosen: CHOSEN,
        hidden,
        routing,
        bias: false,
        clamped: None,
        shared: Some(CommonExpert { scope: "shared_experts", gate: None, hidden: width }),
        latent: None,
    })
}

/// The logistic function of each expert's score, corrected where experts are chosen, of groups by their two
/// highest; the defaults are those of the number of groups, of those chosen, and of the scale.
pub(super) fn corrected(
    keys: &Keys<'_>,
    defaults: [Option<u64>; 2],
    scale: f64,
) -> Result<Routing, ConfigError> {
    let weights = match keys.flag_or("norm_topk_prob", true)? {
        true => ExpertWeights::ShareOfChosen,
        false => ExpertWeights::Share,
    };
    Ok(Routing {
        scores: RouterScores::Sigmoid,
        correction: Some(ScoreCorrection { scope: "gate".to_owned(), parameter: false }),
        groups: groups(keys, defaults, GroupScore::HighestTwo)?,
        divisor: Divisor::SumPlus(1e-20),
        scale: Some(keys.positive_or("routed_scaling_factor", scale)?),
        ..Routing::new(weights)
    })
}

/// The groups of which experts are chosen; none where all are.
fn groups(
    keys: &Keys<'_>,
    [all, chosen]: [Option<u64>; 2],
    score: GroupScore,
) -> Result<Option<ExpertGroups>, ConfigError> {
    let (of_all, of_chosen, of_experts) = ("n_group", "topk_group", "num_experts_per_tok");
    let size = |key, default: Option<u64>| match default {
        Some(default) => keys.size_or(key, default),
        None => keys.size(key),
    };
    let (all, chosen) = (size(of_all, all)?, size(of_chosen, chosen)?);
    let routed = ROUTED.into_iter().chain(["num_experts"]).find(|key| keys.get(key).is_some());
    let routed = routed.unwrap_or(ROUTED[0]);
    let experts = keys.size(routed)?;
    if experts % all != 0 {
        return Err(keys.contradiction(routed, of_all, "the one is no multiple of the other"));
    }
    if chosen > all {
        return Err(keys.contradiction(
            of_chosen,
            of_all,
            "more groups are to be chosen than there are",
        ));
    }
    let each = experts / all;
    if score == GroupScore::HighestTwo && each < 2 {
        let why = "a group is chosen by its two best experts, and has one";
        return Err(keys.contradiction(routed, of_all, why));
    }
    if keys.size(of_experts)? > chosen * each {
        let why = "more experts are to run than the groups chosen have";
        return Err(keys.contradiction(of_experts, of_chosen, why));
    }
    if chosen == all {
        return Ok(None);
    }
    Ok(Some(ExpertGroups { all: all.into(), chosen: chosen.into(), score }))
}
