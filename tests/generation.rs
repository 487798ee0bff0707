//! Generation: what a token costs beside the kernels, and where a text may not go on.

use std::time::{Duration, Instant};

use opledger_interp::{Fast, Feeds, Quiet, Session};
use opledger_models::{Config, Logits, Request};

/// The depth of Qwen2-0.5B, and so little width that the kernels take next to nothing.
const CONFIG: &str = r#"{
    "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "vocab_size": 96,
    "hidden_size": 56, "intermediate_size": 64, "num_hidden_layers": 24,
    "num_attention_heads": 14, "num_key_value_heads": 2, "hidden_act": "silu",
    "max_position_embeddings": 131072, "rms_norm_eps": 1e-06, "rope_theta": 1000000.0,
    "use_sliding_window": false, "tie_word_embeddings": true
}"#;

/// `cargo test -p opledger-tests generation -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn time_beside_the_kernels() {
    let request = Request { past: true, logits: Logits::Last, ..Request::default() };
    let config = Config::parse("small", CONFIG.as_bytes()).unwrap();
    let model = config.model("small", &request).unwrap();
    let sizes = model.binding.clone().with("b", 1);
    let fast = Fast::new().unwrap();
    let session = Session::new(&model.graph, &sizes, &Feeds::seeded(1), fast).unwrap();
    let mut session = session.with_room(100);
    session.step(16, &[1; 16], &mut Quiet).unwrap();
    let (mut all, mut run, mut kernels) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..64 {
        let start = Instant::now();
        let step = session.step(1, &[2], &mut Quiet).unwrap();
        all.push(start.elapsed());
        run.push(step.wall);
        kernels.push(step.ledger.rows().iter().map(|row| row.counts().time).sum::<Duration>());
    }
    let [all, run, kernels] = [all, run, kernels].map(|times| *times.iter().min().unwrap());
    println!("a token: {all:?}; its run {run:?}, its kernels {kernels:?}");
}

/// LongRoPE beyond 32 tokens: keys in the cache were turned as up to there.
#[test]
fn a_generation_does_not_pass_where_heads_turn_otherwise() {
    use opledger_execute::{ExecuteError, Generator};
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/models/phi3_within");
    let generator = Generator::open(folder, opledger_interp::Feeds::seeded(1)).unwrap();
    let refused = |prompt, new| match generator.check_room(prompt, new) {
        Err(ExecuteError::OtherTurns { alike: 32, room, .. }) => Some(room),
        other => other.map(|()| None).unwrap(),
    };
    assert_eq!((refused(8, 25), refused(8, 26)), (None, Some(25)));
    assert_eq!((refused(32, 1), refused(32, 2), refused(33, 20)), (None, Some(1), None));
}
