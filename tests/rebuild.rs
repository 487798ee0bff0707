//! A graph that is recorded anew is the same graph, for every kind of layer and every preset.

use opledger_dims::Binding;
use opledger_interp::{Fast, Feeds, prove};
use opledger_ir::ops::{Activation, Factor, Source};
use opledger_ir::{Elem, Graph, GraphError, Mask, Storage, Var};
use opledger_models::layer::{kinds, parse};
use opledger_models::{Request, preset, preset_names};

fn copied(graph: &Graph) -> Graph {
    graph.rebuild::<GraphError>(|to, node, operands| to.copy(node, operands)).unwrap()
}

fn assert_same(graph: &Graph, name: &str) {
    let copy = copied(graph);
    assert_eq!(copy.to_string(), graph.to_string(), "{name}");
    assert_eq!(copy.loops(), graph.loops(), "{name}");
    assert_eq!(copy.caches(), graph.caches(), "{name}");
    assert_eq!(copy.modules(), graph.modules(), "{name}");
    assert_eq!(copy.sizes_by_role(), graph.sizes_by_role(), "{name}");
    assert_eq!(copy.last_uses(), graph.last_uses(), "{name}");
    for (new, old) in copy.nodes().iter().zip(graph.nodes()) {
        assert_eq!(
            (new.role, new.module, new.repeat),
            (old.role, old.module, old.repeat),
            "{name}"
        );
    }
}

#[test]
fn every_layer_and_preset_is_what_it_was() {
    for kind in kinds() {
        assert_same(&parse(kind.name).unwrap().graph, kind.name);
    }
    for name in preset_names() {
        for past in [false, true] {
            let request = Request { past, attention_mask: past, ..Request::default() };
            // Not every family has a cache.
            let Ok(model) = preset(name).unwrap().config().model(name, &request) else { continue };
            assert_same(&model.graph, name);
        }
    }
}

#[test]
fn what_it_computes_is_the_same_bits() {
    for text in [
        "encoder:b=2,n=5,c=8,h=2,ff=12,l=3,mask=causal,padding=true",
        "mha:b=1,n=4,m=6,c=8,h=2,weights=mean,mask=window,window=3",
    ] {
        let model = parse(text).unwrap();
        let mut fast = Fast::new().unwrap();
        let mut bits = |graph: &Graph| -> Vec<u32> {
            let run = fast.run(graph, &model.binding, &Feeds::seeded(5)).unwrap();
            run.output("y").unwrap().iter().map(|x| x.to_bits()).collect()
        };
        assert_eq!(bits(&copied(&model.graph)), bits(&model.graph), "{text}");
    }
}

#[test]
fn bytes_are_those_of_the_types_that_values_are_stored_in() {
    let request = Request { past: true, ..Request::default() };
    let model = preset("llama-3.2-1b").unwrap().config().model("m", &request).unwrap();
    let sizes = model.binding.clone().with("b", 1).with("n", 1).with("p", 9);
    let sizes = model.graph.complete(&sizes).unwrap();
    let bits = |graph: &Graph, label: &str| {
        let node = graph.nodes().iter().find(|node| node.path.ends_with(label)).unwrap();
        (node.shape.elements().at(&sizes).unwrap()) * node.shape.elem.bits()
    };
    let half = model.graph.stored(Storage::uniform(Elem::Bf16));
    let int4 = Storage { weights: Elem::I4, cache: Elem::I8, activations: Elem::Bf16 };
    let int4 = model.graph.stored(int4);
    for (label, divisors) in [
        ("q_proj.weight", [2_u32, 8]),
        ("input_layernorm.weight", [2, 2]),
        ("past_key", [2, 4]),
        ("self_attn.keys", [2, 4]),
        ("q_proj.matmul", [2, 2]),
        ("input_ids", [1, 1]),
    ] {
        let single = bits(&model.graph, label);
        assert_eq!(bits(&half, label) * divisors[0], single, "{label}");
        assert_eq!(bits(&int4, label) * divisors[1], single, "{label}");
    }
    assert_eq!(half.cost(), model.graph.cost());
}

/// Layers one after the other, each under its own number, with a value that all of them read.
fn written_out(layers: usize) -> Graph {
    let mut g = Graph::new();
    let x = g.input("x", ["b", "n", "c"]).unwrap();
    let shift = g.input("shift", ["n", "c"]).unwrap();
    let mut y = x;
    for layer in 0..layers {
        let g = &mut *g.scope(&format!("model.layers.{layer}"));
        let map = |g: &mut Graph, name: &str| -> Result<Var, GraphError> {
            let weight =
                g.param(&format!("{name}.weight"), Source::weight("c"), ["h", "e", "c"])?;
            g.einsum("b n c, h e c -> b n h e", y, weight)
        };
        let [q, k, v] = ["q", "k", "v"].map(|name| map(g, name).unwrap());
        let (k, v) = (g.rename(k, "n", "m").unwrap(), g.rename(v, "n", "m").unwrap());
        let scale = Some(Factor::InverseSqrt("e".into()));
        let attended = g.attention((q, k, v), Mask::causal(), scale, None).unwrap();
        let weight = g.param("out.weight", Source::weight("c"), ["c", "h", "e"]).unwrap();
        let out = g.einsum("b n h e, c h e -> b n c", attended, weight).unwrap();
        let moved = g.add("", out, shift).unwrap();
        y = g.add("", moved, y).unwrap();
    }
    let norm = g.activation(y, Activation::GeluErf).unwrap();
    g.output("y", norm);
    g
}

#[test]
fn layers_that_are_written_out_are_recorded_once() {
    let sizes = Binding::new().with("b", 2).with("n", 5).with("c", 6).with("h", 2).with("e", 3);
    let mut fast = Fast::new().unwrap();
    for layers in [2, 3, 7] {
        let old = written_out(layers);
        let new = old.rerolled().unwrap().unwrap().graph;
        assert_eq!(new.loops().len(), 1);
        assert_eq!(new.cost(), old.cost());
        assert_eq!(new.parameters(), old.parameters());
        // Parameters of one path are drawn alike.
        let mut bits = |graph: &Graph| -> Vec<u32> {
            let run = fast.run(graph, &sizes, &Feeds::seeded(5)).unwrap();
            run.output("y").unwrap().iter().map(|x| x.to_bits()).collect()
        };
        assert_eq!(bits(&new), bits(&old), "{layers}");
        let proof = prove(&new, &sizes, &Feeds::seeded(5)).unwrap();
        assert!(proof.theorem.mismatches.is_empty(), "{:?}", proof.theorem.mismatches);
    }
}
