//! What the grammar reads, and what it refuses.

use opledger_dims::{Binding, Integer, Poly};
use opledger_ir::Operation;
use proptest::prelude::*;

use super::*;

fn layer(text: &str) -> ModelGraph {
    parse(text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn error(text: &str) -> String {
    parse(text).map(|_| ()).unwrap_err().to_string()
}

fn parameters(text: &str) -> (String, Option<Integer>) {
    let model = layer(text);
    let total = model.graph.parameters().0;
    let binding = model.graph.complete(&model.binding).unwrap();
    (total.to_string(), total.at(&binding).ok())
}

fn macs(text: &str) -> Poly {
    layer(text).graph.cost().macs()
}

#[test]
fn every_kind_stands_without_any_key() {
    for kind in kinds() {
        let model = layer(kind.name);
        assert!(!model.graph.outputs().is_empty(), "{}", kind.name);
        let free = model.graph.symbols();
        // Bind every free symbol to something even, and the graph checks.
        let sizes = free.iter().map(|s| (s, if ["h", "kv"].contains(&s.as_str()) { 2 } else { 8 }));
        let mut binding: Binding = sizes.collect();
        model.binding.iter().for_each(|(s, v)| {
            binding.set(s, v.clone());
        });
        let binding = model.graph.complete(&binding).unwrap();
        model.graph.check(&binding).unwrap_or_else(|e| panic!("{}: {e}", kind.name));
    }
}

#[test]
fn every_key_is_described_and_its_default_is_a_value() {
    for kind in kinds() {
        assert!(!kind.summary.is_empty());
        for (i, key) in kind.keys.iter().enumerate() {
            assert!(
                !key.meaning.is_empty() && !key.default.is_empty(),
                "{}.{}",
                kind.name,
                key.name
            );
            assert!(
                kind.keys[..i].iter().all(|k| k.name != key.name),
                "{}.{}",
                kind.name,
                key.name
            );
            if !matches!(key.values, Domain::Size { .. } | Domain::Optional { .. }) {
                let default =
                    kind.keys.iter().find(|k| k.name == key.default).unwrap_or(key).default;
                layer(&format!("{}:{}={default}", kind.name, key.name));
            }
        }
    }
}

#[test]
fn published_parameters() {
    let is = |text: &str, formula: &str, number: u64| {
        assert_eq!(parameters(text), (formula.to_owned(), Some(number.into())), "{text}");
    };
    is(
        "bert-embedding:v=30522,types=2,p=512,c=1024",
        "c·v + c·types + c·p + 2·c",
        (30_522 + 2 + 512) * 1024 + 2 * 1024,
    );
    is("mha:c=512,h=8", "4·c² + 4·c", 1_050_624);
    is("mha:c=512,h=8,e=64,bias=false", "4·h·e·c", 4 * 512 * 512);
    is("mha:c=512,h=8,kv=2,e=64,bias=false", "2·e·c·kv + 2·h·e·c", 2 * 512 * 64 * (8 + 2));
    is("ffn:c=512,ff=2048", "2·c·ff + ff + c", 2_099_712);
    is("layer-norm:c=512", "2·c", 1_024);
    is("encoder-layer:c=512,h=8,ff=2048", "2·c·ff + 4·c² + ff + 9·c", 3_152_384);
    is("decoder-layer:c=512,h=8,ff=2048", "2·c·ff + 8·c² + ff + 15·c", 4_204_032);
    is("lm-head:c=512,v=37000", "c·v", 512 * 37_000);
    is("lm-head:c=512,v=37000,tied=true", "c·v", 512 * 37_000);
    let stack = "attention-mlp-stack:c=64,h=4,ff=128,b=32,n=10";
    assert_eq!(parameters(stack).1, Some(66_432.into()));
    let model = layer(stack);
    let binding = model.graph.complete(&model.binding).unwrap();
    assert_eq!(model.graph.cost().macs().at(&binding), Ok(21_790_720.into()));
}

#[test]
fn numbers_bind_and_formulas_replace() {
    let model = layer(" ffn : c = 64 , ff = 4*c ");
    assert_eq!(model.binding.to_string(), "c=64");
    assert_eq!(model.graph.parameters().0.to_string(), "8·c² + 5·c");
    assert_eq!(macs("mha:c=d,h=k,bias=false").to_string(), "4·b·n·d² + 2·b·n²·d");
    assert_eq!(macs("self-attention:c=c1"), "b·n·c1² + 2·b·n·c1² + 2·b·n²·c1".parse().unwrap());
    assert_eq!(
        macs("self-attention:c=c1,c2=c2").to_string(),
        "2·b·n·c1·c2 + b·n·c1² + b·n²·c2 + b·n²·c1"
    );
    let huge = layer("linear:in=1000000000000000000000000000000,out=1");
    let total = huge.graph.parameters().0.at(&huge.binding).unwrap();
    assert_eq!(total.to_string(), "1000000000000000000000000000001");
}

#[test]
fn sequences_and_memories() {
    let inputs = |text: &str| -> String {
        let model = layer(text);
        let nodes = model.graph.nodes().iter().filter(|n| n.op.detail().is_empty());
        let inputs = nodes.filter(|n| opledger_ir::Operation::name(&n.op) == "input");
        inputs.map(|n| format!("{} {}", n.path, n.shape)).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(inputs("mha"), "x [b, n, c]");
    assert_eq!(
        inputs("mha:m=7,padding=true"),
        "x [b, n, c] memory [b, m, c] attention_mask [b, m]"
    );
    assert_eq!(inputs("cross-attention:kdim=k,vdim=k"), "x [b, n, c] memory [b, m, c=k]");
    assert_eq!(inputs("cross-attention:kdim=5"), "x [b, n, c] key [b, m, c=kdim] value [b, m, c]");
    assert_eq!(
        inputs("transformer:padding=true,embed=true"),
        "src [b, m] tgt [b, n] encoder_attention_mask [b, m]"
    );
    assert_eq!(inputs("window-attention"), "x [b, y=height, x=width, c]");
}

#[test]
fn options_reach_the_graph() {
    let has =
        |text: &str, label: &str| layer(text).graph.nodes().iter().any(|n| n.path.ends_with(label));
    assert!(has("mha:weights=mean", "softmax") && !has("mha", "softmax"));
    assert!(has("mha:kv=kv,weights=heads,mask=window,window=3", "scores"));
    layer("mha:mask=chunks,window=3");
    layer("encoder-layer:mask=window,window=3,padding=true,training=true,dropout=0.1");
    assert!(has("mha:rope=true", "rope") && !has("mha", "rope"));
    assert!(has("mha:training=true,dropout=0.1", "dropout") && !has("mha:dropout=0.1", "dropout"));
    assert!(has("ffn:act=gelu-tanh", "gelu_tanh") && has("ffn:act=silu,gated=true", "gate"));
    assert!(
        has("encoder-layer:rms=true", "rms_norm") && has("encoder:final_norm=true", "norm.weight")
    );
    assert!(
        has("window-attention:shift=3,side=7", "shift_mask")
            && !has("window-attention", "shift_mask")
    );
    assert!(has("embedding:positions=learned", "positions.weight"));
    assert!(!has("mha:bias=false", "bias") && has("mha:bias=false,qkv_bias=true", "q_proj.bias"));
    assert_eq!(layer("mha:weights=mean").graph.outputs()[1].0, "weights");
    let detail = |text: &str| -> String {
        let nodes = layer(text).graph;
        let attention = nodes.nodes().iter().find(|node| node.op.name() == "attention");
        attention.map(|node| node.op.detail()).unwrap_or_default()
    };
    assert_eq!(
        detail("mha:soft_cap=50,sinks=true,mask=causal"),
        "causal from 0, soft cap 50, sinks"
    );
    assert_eq!(detail("decoder-layer:soft_cap=2"), "causal from 0, soft cap 2");
    assert_eq!(detail("encoder:pairs=true,mask=causal"), "causal from 0, mask");
    assert!(has("mha:sinks=true", "sinks") && !has("mha", "sinks"));
    // Of each item and each pair one truth value, for all heads.
    for text in ["mha:pairs=true", "self-attention:pairs=true", "cross-attention:pairs=true"] {
        let graph = layer(text).graph;
        let mask = graph.nodes().iter().find(|node| node.path == "attention_mask").unwrap();
        let keys = if text.starts_with("cross") { "m" } else { "m=n" };
        assert_eq!(mask.shape.to_string(), format!("[b, n, {keys}]"), "{text}");
    }
    let causal = macs("mha:mask=causal,bias=false").to_string();
    assert_eq!(causal, "4·b·n·c² + b·n²·c + b·n·c");
}

#[test]
fn what_is_wrong_is_named() {
    assert_eq!(error("mhaa:c=1"), "`mhaa` is no kind of layer (did you mean `mha`?)");
    assert_eq!(error(""), "`` is no kind of layer");
    assert_eq!(error("linear:z=1"), "`linear` has no key `z`; its keys are b, n, in, out, bias");
    assert_eq!(
        error("layer-norm:epss=1"),
        "`layer-norm` has no key `epss` (did you mean `eps`?); its keys are b, n, c, eps, bias"
    );
    assert_eq!(error("mha:c=1,c=2"), "`c` is given twice");
    assert_eq!(error("mha:c"), "`c` is not of the form key=value");
    assert_eq!(error("mha:c=0"), "c=0: expected a whole number from 1 to 10^30");
    assert_eq!(error("mha:c=-4"), "c=-4: expected a whole number from 1 to 10^30");
    assert_eq!(error("mha:c=1/2"), "c=1/2: expected a whole number from 1 to 10^30");
    assert_eq!(
        error("mha:c=1000000000000000000000000000001"),
        "c=1000000000000000000000000000001: expected a whole number from 1 to 10^30"
    );
    assert_eq!(error("mha:c=*"), "c=*: expected a whole number or a formula of sizes such as 4*c");
    assert_eq!(error("mha:c=x^9"), "c=x^9: expected a formula of at most 8 terms and degree 8");
    assert_eq!(error("mha:bias=yes"), "bias=yes: expected true or false");
    assert_eq!(
        error("mha:mask=casual"),
        "mask=casual: expected one of none, causal, window, chunks (did you mean `causal`?)"
    );
    assert_eq!(error("ffn:dropout=1"), "dropout=1: expected a number from 0.0 to below 1.0");
    assert_eq!(error("layer-norm:eps=nan"), "eps=nan: expected a number from 0.0 to below 1.0");
    assert_eq!(error("mha:c=10,h=3"), "c = 10 is not a multiple of h = 3");
    assert_eq!(error("mha:h=6,kv=4"), "h = 6 is not a multiple of kv = 4");
    assert_eq!(error("mha:window=4"), "`window` has no effect on this `mha`");
    assert_eq!(
        error("mha:c=2*d,h=h"),
        "embed_dim = 2·d and num_heads = h must both be numbers or both be symbols; \
         otherwise give head_dim itself"
    );
    assert_eq!(error("ffn:c=2*n,ff=c"), "`ff` is a formula of `c`, which is a formula itself");
    assert!(error("mha:padding=true,pairs=true").contains("two inputs where a mask has one"));
    assert!(error("mha:sinks=true,weights=mean").contains("gives no weights back"));
    assert_eq!(error("mha:soft_cap=-1"), "soft_cap=-1: expected a number from 0.0 to below 1e30");
    assert_eq!(error("window-attention:side=4,shift=4"), "shift = 4 is not below side = 4");
    assert_eq!(
        error("window-attention:side=4,shift=2,height=4"),
        "shift = 2, but one window of side = 4 covers the image"
    );
    assert_eq!(error("lm-head:tied=true,bias=true"), "a tied head has no bias");
    assert_eq!(error(&"x".repeat(5000)), "a layer of 5000 characters; 4096 are read");
    assert!(error(&format!("mha:c={}", "9".repeat(4000))).len() < 200);
}

/// Text that looks like a layer: known and unknown names with values of all sorts.
fn soup() -> impl Strategy<Value = String> {
    let kinds: Vec<&str> = kinds().iter().map(|k| k.name).collect();
    let keys: Vec<&str> = super::kinds().iter().flat_map(|k| k.keys).map(|k| k.name).collect();
    let values = [
        "1",
        "2",
        "3",
        "8",
        "64",
        "0",
        "-1",
        "1000000000000000000000000000000",
        "c",
        "h",
        "4*c",
        "n+1",
        "c*h",
        "m-n",
        "1/2*c",
        "x^8",
        "true",
        "false",
        "none",
        "causal",
        "window",
        "chunks",
        "mean",
        "heads",
        "pre",
        "gelu",
        "0.1",
        "1e-5",
        "nan",
        "",
        "(",
        "e",
        "r",
        "pairs",
        "rows",
    ];
    let piece = (prop::sample::select(keys), prop::sample::select(values.to_vec()));
    (prop::sample::select(kinds), prop::collection::vec(piece, 0..6)).prop_map(|(kind, pieces)| {
        let pieces: Vec<String> = pieces.iter().map(|(k, v)| format!("{k}={v}")).collect();
        format!("{kind}:{}", pieces.join(","))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_text_panics(text in "\\PC*") {
        let _ = parse(&text);
    }

    #[test]
    fn no_soup_panics_and_every_layer_has_a_cost(text in soup()) {
        if let Ok(model) = parse(&text) {
            let _ = model.graph.to_string();
            let binding = model.graph.complete(&model.binding).unwrap();
            let _ = model.graph.cost().total().at(&binding);
            let _ = model.graph.check(&binding);
        }
    }
}

#[test]
fn rotation_may_leave_a_part_of_each_head() {
    let counts = |text: &str| {
        let model = layer(text);
        let all = model.graph.complete(&model.binding).unwrap();
        (model.graph.check(&all).map_err(|e| e.to_string()), model.graph.counts_at(&all).ok())
    };
    let text = |rot: &str| format!("mha:b=1,n=3,c=24,h=2,bias=false,rope=true{rot}");
    let (all, some) = (counts(&text("")), counts(&text(",rot=4")));
    let counted = |counts: (_, Option<opledger_dims::Counts<Integer>>)| counts.1.unwrap();
    assert_eq!(counted(counts(&text(",rot=12"))), counted(all.clone()));
    let sines = |counts: (_, Option<opledger_dims::Counts<Integer>>)| {
        counted(counts)[opledger_dims::Class::Sin].clone()
    };
    assert_eq!((sines(all), sines(some)), (36.into(), 12.into()));
    let refused = |rot: &str| counts(&text(rot)).0.unwrap_err();
    assert!(refused(",rot=3").contains("rotation turns pairs"), "{}", refused(",rot=3"));
    assert!(refused(",rot=14").contains("it has 12"), "{}", refused(",rot=14"));
    let error = error("mha:c=24,h=2,rot=4");
    assert_eq!(error, "`rot` has no effect on this `mha`");
}
