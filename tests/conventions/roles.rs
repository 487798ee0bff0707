//! What conventions say follows from what layers recorded: nothing is guessed from names.

use opledger_conventions::{Share, Unit, Units, dialect};
use opledger_dims::Binding;
use opledger_ir::{Graph, GraphError, ModuleClass, Node, Op, Operation, Role, Var, ops::Source};
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
    let Unit { class, native, sizes, calls, parameters, times, counts, .. } = unit;
    let Unit { nodes, names, unused, .. } = unit;
    format!(
        "{class:?} {native:?} {sizes} {calls:?} {parameters} {times} {counts:?} {nodes:?} {names:?} \
         {unused}"
    )
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
    // What is done token by token is called as one.
    let recurrent = |class| matches!(class, ModuleClass::Recurrence(_));
    if graph.modules_around(node).any(|(_, module)| recurrent(module.class)) {
        return None;
    }
    let linear = || {
        let is_linear = |class| matches!(class, ModuleClass::Linear(_));
        graph.modules_around(node).any(|(_, module)| is_linear(module.class))
    };
    let has = |roles: &[Role]| node.role.is_some_and(|role| roles.contains(&role));
    let (fine, missing) = match &node.op {
        Op::Einsum(_) if weighted => (linear(), "a linear module"),
        Op::Einsum(_) => {
            (has(&[Role::Scores, Role::Context, Role::Similarity]), "what it multiplies")
        }
        Op::Softmax(_) => (has(&[Role::AttentionWeights, Role::Routing]), "what softmax is of"),
        Op::Norm(_) => (
            within(&[ModuleClass::LayerNorm, ModuleClass::RmsNorm, ModuleClass::GroupNorm]),
            "a norm",
        ),
        Op::Dropout(_) => (within(&[ModuleClass::Dropout]), "a dropout"),
        Op::Embedding(_) => {
            let tables =
                [ModuleClass::Embedding, ModuleClass::WindowAttention, ModuleClass::Distances];
            (within(&tables), "a table")
        }
        Op::TopK(_) => (within(&[ModuleClass::Router]), "a router"),
        Op::Experts(_) => (within(&[ModuleClass::Experts]), "experts"),
        Op::Arithmetic(_) if weighted => {
            let roles = [Role::Bias, Role::PositionSum, Role::LayerScale, Role::NormedWeight];
            // A gain that a norm's groups have apart, by which it multiplies itself.
            (has(&roles) || within(&[ModuleClass::RmsNorm]), "what the parameter is for")
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

fn mixtral() -> Value {
    json!({
        "model_type": "mixtral", "architectures": ["MixtralForCausalLM"], "vocab_size": 101,
        "hidden_size": 48, "intermediate_size": 112, "num_hidden_layers": 2,
        "num_attention_heads": 6, "num_key_value_heads": 2, "hidden_act": "silu",
        "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "rope_theta": 10_000.0,
        "tie_word_embeddings": false, "num_local_experts": 8, "num_experts_per_tok": 2,
    })
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
            .map(|counts| counts.as_ref().unwrap()[opledger_dims::Class::Mul].clone())
            .sum::<opledger_dims::Integer>()
    };
    // l·b·n·k·c, and twice l·b·h·n²·e.
    assert_eq!(multiplied(Share::Combination), (2 * 3 * 17 * 2 * 48).into());
    assert_eq!(multiplied(Share::AttentionProducts), (2 * 2 * 3 * 6 * (17 * 18 / 2) * 8).into());
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
fn an_operation_that_no_layer_records_is_refused() {
    use opledger_ir::ops::{
        ArithmeticKind, CompareKind, Convolution, ConvolutionTransposed, Pointwise, Pool, PoolKind,
        ScatterKind,
    };
    type Record<'a> = &'a dyn Fn(&mut Graph, Var, Var) -> Var;
    let record: [Record<'_>; 13] = [
        &|g, x, _| g.pointwise(x, Pointwise::Abs).unwrap(),
        &|g, x, _| g.arithmetic("", ArithmeticKind::Sub, x, x).unwrap(),
        &|g, x, mask| g.select(["n"], mask, x, x).unwrap(),
        &|g, _, mask| g.to_real(mask).unwrap(),
        &|g, _, _| g.fill(["n"], 1.0).unwrap(),
        &|g, x, _| g.cumulative(x, "n").unwrap(),
        &|g, x, _| g.arg_max(x, "n").unwrap(),
        &|g, x, _| g.pool(x, Pool::new(PoolKind::Max, ["n"], &[1], &[1], &[(0, 0)])).unwrap(),
        &|g, _, _| {
            let image = g.input("image", ["b", "i", "n"]).unwrap();
            let weight = g.input("weight", ["o", "i", "k"]).unwrap();
            let axes = ["b", "o", "r"];
            let op = Convolution::new(axes, &[1], &[(0, 0)], &[1], 1);
            g.convolution("", image, weight, op).unwrap()
        },
        &|g, _, _| {
            let image = g.input("image", ["b", "i", "n"]).unwrap();
            let weight = g.input("weight", ["i", "o", "k"]).unwrap();
            let op = ConvolutionTransposed::new(["b", "o", "r"], &[1], &[(0, 0)], &[1], 1);
            g.convolution_transposed("", image, weight, op).unwrap()
        },
        &|g, x, _| g.compare(CompareKind::Less, ["n"], x, x).unwrap(),
        &|g, x, mask| g.scatter(ScatterKind::Add, x, x, &[("n", mask)]).unwrap(),
        &|g, x, _| g.adaptive_pool(x, PoolKind::Max, 0, ["r"]).unwrap(),
    ];
    for record in record {
        let mut g = Graph::new();
        let x = g.input("x", ["n"]).unwrap();
        let mask = g.input_mask("mask", ["n"]).unwrap();
        let y = record(&mut g, x, mask);
        let sizes = [("n", 3), ("b", 1), ("i", 1), ("o", 1), ("k", 1), ("r", 3)];
        let known = g.symbols();
        let sizes = sizes.into_iter().filter(|(name, _)| known.contains(&(*name).into()));
        let sizes = Binding::from_iter(sizes);
        let error = Units::new(&g, &sizes, &dialect("torch.nn").unwrap()).unwrap_err().to_string();
        let op = g.node(y).op.name();
        let expected =
            format!("models written as torch.nn have no calls for `{op}` at {op}: no layer");
        assert!(error.starts_with(&expected), "{error}");
    }
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
