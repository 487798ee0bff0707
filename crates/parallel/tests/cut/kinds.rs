//! Layers of several kinds, layers that share their parameters, pairs, and experts: steps on 2 and 4 ranks.

use opledger_grad::TrainingStep;
use opledger_parallel::Zero;

use super::layers::{LLAMA, MIXTRAL};
use super::steps::{around, step};
use super::*;

const RANKS: [u64; 2] = [2, 4];

/// Two kinds of layers in turn.
const GEMMA2: &str = r#"{"model_type": "gemma2", "architectures": ["Gemma2ForCausalLM"], "vocab_size": 24,
  "hidden_size": 32, "intermediate_size": 40, "num_hidden_layers": 4, "num_attention_heads": 8,
  "num_key_value_heads": 4, "head_dim": 4, "query_pre_attn_scalar": 4, "sliding_window": 3,
  "attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0, "max_position_embeddings": 64,
  "rms_norm_eps": 1e-5, "hidden_activation": "gelu_pytorch_tanh", "tie_word_embeddings": false}"#;

/// Three layers of one set of parameters.
const ALBERT: &str = r#"{"model_type": "albert", "architectures": ["AlbertForMaskedLM"], "vocab_size": 24,
  "embedding_size": 8, "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 4,
  "intermediate_size": 24, "max_position_embeddings": 16, "type_vocab_size": 2, "num_hidden_groups": 1,
  "inner_group_num": 1, "hidden_act": "gelu_new"}"#;

const BART: &str = r#"{"model_type": "bart", "architectures": ["BartForConditionalGeneration"], "vocab_size": 24,
  "d_model": 16, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
  "decoder_attention_heads": 4, "encoder_ffn_dim": 24, "decoder_ffn_dim": 24, "max_position_embeddings": 16,
  "activation_function": "gelu"}"#;

const T5: &str = r#"{"model_type": "t5", "architectures": ["T5ForConditionalGeneration"], "vocab_size": 24,
  "d_model": 16, "d_kv": 4, "d_ff": 24, "num_heads": 4, "num_layers": 2, "num_decoder_layers": 2,
  "relative_attention_num_buckets": 8, "relative_attention_max_distance": 12, "feed_forward_proj": "relu",
  "layer_norm_epsilon": 1e-5}"#;

/// A step of a pair, of so many items, tokens and tokens of the other sequence.
fn pair(config: &str, (items, tokens): (u64, u64)) -> Case {
    let config = Config::parse("test", config.as_bytes()).unwrap();
    let model = config.model("test", &Request::default()).unwrap();
    let step = TrainingStep::default().of(&model.graph, "logits").unwrap();
    let sizes = model.binding.with("b", items).with("n", tokens).with("m", tokens);
    Case::of(&step, &sizes)
}

/// Each gradient is summed once, however its layers stand.
#[test]
fn gradients_of_all_kinds_go_round_twice() {
    let pairs = [BART, T5].map(|config| pair(config, (4, 3)));
    for case in [GEMMA2, ALBERT].map(|config| step(config, (4, 4))).into_iter().chain(pairs) {
        for ranks in RANKS {
            for zero in [Zero::None, Zero::Gradients] {
                let strategy = Strategy::Data(zero);
                let cut = Partition::new(&case.graph, strategy, ranks).unwrap();
                let gradients = case.graph.outputs().iter();
                let gradients = gradients.filter(|(name, _)| name.starts_with("gradient."));
                let trained: Poly = gradients.map(|(_, var)| cut.given(*var)).sum();
                let shares = if zero == Zero::None { 1 } else { ranks as i64 };
                let (sent, _) = case.holds(strategy, ranks);
                let at = |formula: Poly| formula.at(&case.binding).unwrap();
                assert_eq!(at(sent), at(around(&(trained * shares), 2, ranks)), "{zero:?} {ranks}");
            }
        }
    }
}

/// Parameters of layers that share them are gathered in each, as they are given up behind each.
#[test]
fn parameters_of_shared_layers_are_gathered_in_each() {
    let case = step(ALBERT, (4, 4));
    for ranks in RANKS {
        case.holds(Strategy::Data(Zero::Parameters), ranks);
    }
}

/// Of a step with its experts cut: the sums of what they give, of the gradients of what they are given, and of
/// the shares that a router gave; what experts hold stays where it is.
#[test]
fn a_step_of_experts_that_are_cut() {
    let case = step(MIXTRAL, (2, 4));
    let (values, shares): (Poly, Poly) =
        ("8·b·n·c·l".parse().unwrap(), "8·b·n·k·l".parse().unwrap());
    for ranks in RANKS {
        let (sent, _) = case.holds(Strategy::Experts, ranks);
        assert_eq!(sent, around(&values, 2 * 2, ranks) + around(&shares, 2, ranks), "{ranks}");
    }
}

/// With tokens cut, ids and shares of all choices are gathered beside.
#[test]
fn tokens_are_cut_beside_experts() {
    let case = Case::model(MIXTRAL);
    let beside: Poly = "16·b·n·k·l".parse().unwrap();
    for ranks in RANKS {
        let tensor = case.holds(TENSOR, ranks).0;
        let sequence = case.holds(SEQUENCE, ranks).0;
        assert_eq!(sequence - tensor, around(&beside, 1, ranks), "{ranks}");
    }
    step(MIXTRAL, (2, 4)).holds(SEQUENCE, 2);
}

/// Queries and keys of each head have a norm, whose gain is whole everywhere: its gradient is summed beside the four
/// sums of a layer.
#[test]
fn a_step_of_heads_with_norms() {
    let qwen = LLAMA.replace("llama", "qwen3").replace("LlamaFor", "Qwen3For");
    let qwen = qwen.replace("\"hidden_size\"", "\"head_dim\": 4, \"hidden_size\"");
    let case = step(&qwen, (2, 4));
    let (values, gains): (Poly, Poly) = ("8·b·n·c·l".parse().unwrap(), "8·e·l".parse().unwrap());
    for ranks in RANKS {
        let (sent, _) = case.holds(TENSOR, ranks);
        let expected = around(&values, 2 * 4, ranks) + around(&gains, 2 * 2, ranks);
        assert_eq!(sent, expected, "{ranks}");
    }
}
