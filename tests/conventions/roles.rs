//! What conventions say follows from what layers recorded: nothing is guessed from names.

use std::collections::BTreeMap;

use opledger_conventions::{Share, Tally, Unit, Units, convention, dialect};
use opledger_dims::Binding;
use opledger_ir::{Graph, GraphError, ModuleClass, Node, Op, Operation, Role, ops::Source};
use opledger_models::{Config, Request, layer};
use serde_json::{Value, json};

use super::{models, ways};

/// The same graph, every node under a path that says something else.
fn renamed(graph: &Graph) -> Graph {
    let mut at = 0;
    let mut odd = |node: &Node| {
        at += 1;
        let path = match &node.op {
            // Feeds and checkpoints know parameters by their names, conventions do not.
            Op::Source(_) => format!("swin.qkv.{at}.past_key"),
            _ => format!("vit.residual_{at}.c_attn.attention.query.bias"),
        };
        Node { path, ..node.clone() }
    };
    let copy = |to: &mut opledger_ir::Rebuild, node: &Node, operands: &[opledger_ir::Var]| {
        to.copy(&odd(node), operands)
    };
    graph.rebuild::<GraphError>(copy).unwrap()
}

/// All that tools see of a unit but where it stands.
fn seen(unit: &Unit) -> String {
    let Unit { class, native, sizes, calls, parameters, times, counts, nodes, path: _ } = unit;
    format!("{class:?} {native:?} {sizes} {calls:?} {parameters} {times} {counts:?} {nodes:?}")
}

#[test]
fn other_paths_change_nothing() {
    for (name, graph, sizes) in models() {
        let other = renamed(&graph);
        for way in ways() {
            let units = |graph| {
                let units = Units::new(graph, &sizes, &way).unwrap();
                units.units.iter().map(seen).collect::<Vec<_>>()
            };
            assert_eq!(units(&graph), units(&other), "{name}, {}", way.name);
        }
    }
}

#[test]
fn every_node_is_in_one_unit() {
    for (name, graph, sizes) in models() {
        for way in ways() {
            let units = Units::new(&graph, &sizes, &way).unwrap();
            let mut found: Vec<_> = units.units.iter().flat_map(|unit| &unit.nodes).collect();
            found.sort();
            let silent = |op: &Op| matches!(op, Op::Source(_) | Op::Carry(_) | Op::Exit(_));
            let all: Vec<_> = graph.vars().filter(|var| !silent(&graph.node(*var).op)).collect();
            assert_eq!(found, all.iter().collect::<Vec<_>>(), "{name}, {}", way.name);
        }
    }
}

/// What a node lacks that conventions ask it for.
fn lacks(graph: &Graph, node: &Node) -> Option<&'static str> {
    let of_parameter =
        |var: &opledger_ir::Var| matches!(graph.node(*var).op, Op::Source(Source::Param { .. }));
    let weighted = node.inputs.iter().any(of_parameter);
    let within = |wanted: &[ModuleClass]| {
        graph.modules_around(node).any(|(_, module)| wanted.contains(&module.class))
    };
    let linear = || {
        let is_linear = |class| matches!(class, ModuleClass::Linear(_));
        graph.modules_around(node).any(|(_, module)| is_linear(module.class))
    };
    let has = |roles: &[Role]| node.role.is_some_and(|role| roles.contains(&role));
    let (fine, missing) = match &node.op {
        Op::Einsum(_) if weighted => (linear(), "a linear module"),
        Op::Einsum(_) => (has(&[Role::Scores, Role::Context]), "what it multiplies"),
        Op::Softmax(_) => (has(&[Role::AttentionWeights, Role::Routing]), "what softmax is of"),
        Op::Norm(_) => (
            within(&[ModuleClass::LayerNorm, ModuleClass::RmsNorm, ModuleClass::GroupNorm]),
            "a norm",
        ),
        Op::Dropout(_) => (within(&[ModuleClass::Dropout]), "a dropout"),
        Op::Embedding(_) => {
            (within(&[ModuleClass::Embedding, ModuleClass::WindowAttention]), "a table")
        }
        Op::TopK(_) => (within(&[ModuleClass::Router]), "a router"),
        Op::Experts(_) => (within(&[ModuleClass::Experts]), "experts"),
        Op::Arithmetic(_) if weighted => {
            (has(&[Role::Bias, Role::PositionSum]), "what the parameter is added for")
        }
        _ => return None,
    };
    (!fine).then_some(missing)
}

#[test]
fn layers_say_what_conventions_ask() {
    for (name, graph, _) in models() {
        let lacking =
            graph.nodes().iter().filter_map(|node| Some((&node.path, lacks(&graph, node)?)));
        assert_eq!(lacking.collect::<Vec<_>>(), [], "{name}");
    }
}

#[test]
fn a_node_without_a_role_is_told_apart() {
    let mut g = Graph::new();
    let x = g.input("x", ["b", "n", "c"]).unwrap();
    g.softmax(x, None).unwrap();
    let last = g.nodes().last().unwrap();
    assert_eq!(lacks(&g, last), Some("what softmax is of"));
}

/// The totals of a configuration of the `transformers` library.
fn totals(config: &Value, way: &str, names: &[&str]) -> BTreeMap<String, String> {
    let model = Config::parse("config.json", config.to_string().as_bytes()).unwrap();
    let model = model.model("config.json", &Request::default()).unwrap();
    let free = [("b", 3), ("n", 17)];
    let free = free.into_iter().filter(|(name, _)| model.graph.symbols().contains(&(*name).into()));
    let sizes = free.fold(model.binding.clone(), |all, (name, size)| all.with(name, size));
    let sizes = model.graph.complete(&sizes).unwrap();
    let units = Units::new(&model.graph, &sizes, &dialect(way).unwrap()).unwrap();
    let total = |name: &&str| {
        let tally = Tally::new(&convention(name, &[]).unwrap(), &units).unwrap();
        ((*name).to_owned(), tally.total().to_string())
    };
    names.iter().map(total).collect()
}

fn expect(config: &Value, way: &str, expected: &[(&str, u64)]) {
    let names: Vec<&str> = expected.iter().map(|(name, _)| *name).collect();
    let expected = expected.iter().map(|(name, n)| ((*name).to_owned(), n.to_string()));
    assert_eq!(totals(config, way, &names), expected.collect(), "{way}");
}

fn mixtral() -> Value {
    json!({
        "model_type": "mixtral", "architectures": ["MixtralForCausalLM"], "vocab_size": 101,
        "hidden_size": 48, "intermediate_size": 112, "num_hidden_layers": 2,
        "num_attention_heads": 6, "num_key_value_heads": 2, "hidden_act": "silu",
        "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "rope_theta": 10_000.0,
        "tie_word_embeddings": false, "num_local_experts": 8, "num_experts_per_tok": 2,
    })
}

/// The tools run on `MixtralForCausalLM` of transformers 5.23.0 and 5.24.0 with random weights, torch
/// 2.15.0, experts by `torch._grouped_mm`, which none of them has a rule for.
#[test]
fn a_mixture_of_experts_is_counted_as_the_tools_count_it() {
    let both = [("thop", 873_936), ("torchinfo", 105_840)];
    let eager = [
        ("torch-flop-counter", 2_159_136),
        ("torch-flop-counter-training", 2_159_136),
        ("torch-flop-counter-backward", 6_477_408),
        ("fvcore", 1_079_568),
        ("ptflops", 1_074_468),
        ("ptflops-aten", 1_079_568),
        ("calflops", 2_193_204),
        ("calflops-macs", 1_079_568),
    ];
    let fused = [
        ("torch-flop-counter", 2_159_136),
        ("torch-flop-counter-backward", 6_643_872),
        ("fvcore", 913_104),
        ("ptflops", 897_600),
        ("ptflops-aten", 913_104),
        ("calflops", 1_849_872),
        ("calflops-macs", 913_104),
    ];
    for (way, own) in [("transformers-eager", &eager[..]), ("transformers", &fused)] {
        expect(&mixtral(), way, own);
        expect(&mixtral(), way, &both);
    }
}

#[test]
fn routing_and_the_sum_of_experts_are_not_attention() {
    let model = Config::parse("it", mixtral().to_string().as_bytes()).unwrap();
    let model = model.model("it", &Request::default()).unwrap();
    let sizes = model.binding.clone().with("b", 3).with("n", 17);
    let sizes = model.graph.complete(&sizes).unwrap();
    let units = Units::new(&model.graph, &sizes, &dialect("transformers").unwrap()).unwrap();
    let shares = |name: &str| {
        let of =
            |unit: &&Unit| unit.nodes.iter().any(|var| model.graph.node(*var).op.name() == name);
        units.units.iter().filter(of).flat_map(|unit| unit.counts.keys()).collect::<Vec<_>>()
    };
    assert_eq!(shares("softmax"), [&Share::Routing]);
    let multiplied = |share| {
        let of_share = units.units.iter().filter_map(|unit| unit.counts.get(&share));
        of_share
            .map(|counts| counts[opledger_dims::Class::Mul].clone())
            .sum::<opledger_dims::Integer>()
    };
    // l·b·n·k·c, and twice l·b·h·n²·e.
    assert_eq!(multiplied(Share::Combination), (2 * 3 * 17 * 2 * 48).into());
    assert_eq!(multiplied(Share::AttentionProducts), (2 * 2 * 3 * 6 * (17 * 18 / 2) * 8).into());
}

/// torchinfo 1.8.0 run on `RobertaModel` and `RobertaForMaskedLM` of transformers 5.24.0: position
/// ids follow from each item's tokens, so the table counts for each item.
#[test]
fn positions_of_roberta_are_looked_up_for_each_item() {
    let config = |class: &str| {
        json!({
            "model_type": "roberta", "architectures": [class], "vocab_size": 101, "hidden_size": 48,
            "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 112,
            "hidden_act": "gelu", "max_position_embeddings": 64, "type_vocab_size": 1,
            "layer_norm_eps": 1e-5, "pad_token_id": 1,
        })
    };
    for way in ["transformers", "transformers-eager"] {
        expect(&config("RobertaModel"), way, &[("torchinfo", 154_320)]);
        expect(&config("RobertaForMaskedLM"), way, &[("torchinfo", 169_455)]);
    }
}

fn swin() -> Value {
    let labels: serde_json::Map<String, Value> =
        (0..10).map(|at| (at.to_string(), json!(at.to_string()))).collect();
    json!({
        "model_type": "swin", "architectures": ["SwinForImageClassification"], "image_size": 64,
        "patch_size": 4, "num_channels": 3, "embed_dim": 24, "depths": [2, 2], "num_heads": [2, 4],
        "window_size": 4, "mlp_ratio": 4.0, "qkv_bias": true, "hidden_act": "gelu",
        "layer_norm_eps": 1e-5, "use_absolute_embeddings": false, "id2label": labels,
    })
}

/// The tools run on `SwinForImageClassification` of transformers 5.23.0 and 5.24.0, torch 2.15.0.
#[test]
fn swin_calls_the_fused_function_and_a_module_that_pools() {
    let eager = [("thop", 23_640_624), ("ptflops", 25_539_006), ("calflops", 50_432_832)];
    expect(&swin(), "transformers-eager", &eager);
    let fused = [
        ("thop", 23_640_624),
        ("fvcore", 23_787_936),
        ("ptflops", 23_695_806),
        ("calflops", 46_820_160),
        ("calflops-macs", 23_004_576),
    ];
    expect(&swin(), "transformers", &fused);
}

#[test]
fn a_map_of_no_known_use_in_multi_head_attention_is_refused() {
    let mut g = Graph::new();
    let x = g.input("x", ["b", "n", "c"]).unwrap();
    let attention = g.scope("attn").module(ModuleClass::MultiheadAttention);
    let linear = g.enter(&attention).scope("extra").module(ModuleClass::Linear(<_>::default()));
    let weight = g.enter(&linear).param("weight", Source::weight("c"), ["f", "c"]).unwrap();
    g.enter(&linear).contract("matmul", x, weight, &["c".into()]).unwrap();
    let sizes = Binding::from_iter([("b", 2), ("n", 3), ("c", 4), ("f", 5)]);
    let refused = |way: &str| Units::new(&g, &sizes, &dialect(way).unwrap()).err();
    let error = refused("torch.nn").unwrap().to_string();
    let expected = "models written as torch.nn have no calls for `einsum` at attn.extra.matmul: a \
                    linear map of nn.MultiheadAttention that is none of its four";
    assert_eq!(error, expected);
    assert!(refused("transformers").is_none());
}

#[test]
fn an_activation_that_no_library_spells_is_refused() {
    let model = layer::parse("ffn:c=8,ff=16,act=silu").unwrap();
    let sizes = model.graph.complete(&model.binding.with("b", 1).with("n", 2)).unwrap();
    let mut way = dialect("transformers").unwrap();
    way.activations.insert("silu".to_owned(), opledger_conventions::ActivationManner::Spelled);
    let error = Units::new(&model.graph, &sizes, &way).unwrap_err().to_string();
    assert!(error.ends_with("`silu` as a formula of other operators"), "{error}");
}
