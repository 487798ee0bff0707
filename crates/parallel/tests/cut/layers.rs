//! Layers on 2, 4 and 8 ranks.

use super::*;

pub(crate) const RANKS: [u64; 3] = [2, 4, 8];

const LINEAR_PAIR: &str = "ffn:b=2,n=4,c=6,ff=16";
const MHA: &str = "mha:b=2,n=5,c=16,h=8,mask=causal";
const GQA: &str = "mha:b=1,n=5,c=32,h=16,kv=8,mask=causal,rope=true,bias=false";
const ENCODER_LAYER: &str = "encoder-layer:b=2,n=8,c=16,h=8,ff=24";

pub(crate) const GPT2: &str = r#"{"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "vocab_size": 24,
  "n_positions": 16, "n_embd": 16, "n_layer": 2, "n_head": 8, "activation_function": "gelu_new"}"#;

pub(crate) const LLAMA: &str = r#"{"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 24,
  "hidden_size": 32, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 16,
  "num_key_value_heads": 8, "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "hidden_act": "silu",
  "tie_word_embeddings": false}"#;

pub(crate) const MIXTRAL: &str = r#"{"model_type": "mixtral", "architectures": ["MixtralForCausalLM"], "vocab_size": 24,
  "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 8,
  "num_key_value_heads": 8, "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "hidden_act": "silu",
  "num_local_experts": 8, "num_experts_per_tok": 2, "sliding_window": null, "tie_word_embeddings": false}"#;

/// What one rank sends on so many ranks, as text.
fn sent(case: &Case, strategy: Strategy) -> [String; 3] {
    RANKS.map(|ranks| case.holds(strategy, ranks).0.to_string())
}

#[test]
fn a_linear_pair_has_one_all_reduce() {
    let case = Case::layer(LINEAR_PAIR);
    assert_eq!(sent(&case, TENSOR), ["8·b·n·c", "12·b·n·c", "14·b·n·c"]);
}

#[test]
fn attention_has_one_all_reduce() {
    let case = Case::layer(MHA);
    assert_eq!(sent(&case, TENSOR), ["8·b·n·c", "12·b·n·c", "14·b·n·c"]);
    let case = Case::layer(GQA);
    assert_eq!(sent(&case, TENSOR), ["8·b·n·c", "12·b·n·c", "14·b·n·c"]);
}

#[test]
fn an_encoder_layer_has_two() {
    let case = Case::layer(ENCODER_LAYER);
    assert_eq!(sent(&case, TENSOR), ["16·b·n·c", "24·b·n·c", "28·b·n·c"]);
}

#[test]
fn a_gpt_2_has_two_a_layer() {
    let case = Case::model(GPT2);
    assert_eq!(sent(&case, TENSOR), ["16·b·l·n·c", "24·b·l·n·c", "28·b·l·n·c"]);
}

#[test]
fn a_llama_has_two_a_layer() {
    let case = Case::model(LLAMA);
    assert_eq!(sent(&case, TENSOR), ["16·b·l·n·c", "24·b·l·n·c", "28·b·l·n·c"]);
}

#[test]
fn a_mixture_of_experts_has_two_a_layer() {
    let case = Case::model(MIXTRAL);
    assert_eq!(sent(&case, TENSOR), ["16·b·l·n·c", "24·b·l·n·c", "28·b·l·n·c"]);
}

#[test]
fn sequence_parallelism_sends_as_much() {
    for case in [Case::model(GPT2), Case::model(LLAMA), Case::layer(ENCODER_LAYER)] {
        for ranks in RANKS {
            let (tensor, sequence) = (case.holds(TENSOR, ranks).0, case.holds(SEQUENCE, ranks).0);
            assert_eq!(sequence, tensor, "{ranks}");
        }
    }
}

#[test]
fn context_parallelism_gathers_keys_and_values() {
    let case = Case::model(LLAMA);
    let expected = ["8·b·l·n·e·kv", "12·b·l·n·e·kv", "14·b·l·n·e·kv"];
    assert_eq!(sent(&case, Strategy::Context), expected);
}

#[test]
fn experts_are_cut() {
    let case = Case::model(MIXTRAL);
    assert_eq!(sent(&case, Strategy::Experts), ["8·b·l·n·c", "12·b·l·n·c", "14·b·l·n·c"]);
}

#[test]
fn words_are_cut_in_the_table_and_in_the_head() {
    let case = Case::model(LLAMA);
    let strategy = Strategy::Tensor { sequence: false, vocabulary: true };
    // One sum more, of embeddings; the scores stay cut.
    let expected = ["16·b·l·n·c + 8·b·n·c", "24·b·l·n·c + 12·b·n·c", "28·b·l·n·c + 14·b·n·c"];
    assert_eq!(sent(&case, strategy), expected);
}

#[test]
fn cached_keys_and_values_are_those_of_a_ranks_heads() {
    let config = Config::parse("test", LLAMA.as_bytes()).unwrap();
    let model = config.model("test", &Request { past: true, ..Request::default() }).unwrap();
    let case = Case::of(&model.graph, &model.binding.with("b", 2).with("n", 2).with("p", 3));
    assert_eq!(sent(&case, TENSOR), ["16·b·l·n·c", "24·b·l·n·c", "28·b·l·n·c"]);
}

/// Maps of queries and keys end in a norm over all heads (OLMo 2): they are whole on every rank.
#[test]
fn a_norm_over_all_heads_is_not_cut() {
    let olmo = LLAMA.replace("llama", "olmo2").replace("LlamaFor", "Olmo2For");
    let case = Case::model(&olmo);
    for ranks in RANKS {
        case.holds(TENSOR, ranks);
        let cut = Partition::new(&case.graph, TENSOR, ranks).unwrap();
        assert_eq!(cut.collectives().count(), 2);
        let lies = |path: &str| {
            let var = case.graph.vars().find(|var| case.graph.node(*var).path == path).unwrap();
            cut.layout(var)[0]
        };
        let of = |map: &str| lies(&format!("model.layers.*.self_attn.{map}.weight"));
        assert_eq!((of("q_proj"), of("k_proj")), (Placement::Whole, Placement::Whole));
        assert_eq!((of("v_proj"), of("q_norm")), (Placement::Cut(0), Placement::Whole));
    }
}
