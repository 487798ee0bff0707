//! Weights that are kept in 16 bits: the bits and counts of the same weights widened before, and half the
//! bytes.

use super::*;
use crate::{
    Elements, Tensors, Weight, WeightLayout, WeightType, WeightWriter, bf16, compare, f16,
};
use opledger_ir::{Elem, Op, Value};

/// Words, their rows, a layer repeated, a choice of experts, and scores by the table of words.
fn graph() -> Graph {
    let mut g = Graph::new();
    let ids = g.input_ids("ids", ["n"], "v").unwrap();
    let table = g.param("table", Source::embedding(), ["v", "c"]).unwrap();
    let apart = g.param("apart", Source::embedding(), ["v", "c"]).unwrap();
    let words = g.embedding("", ids, table).unwrap();
    let more = g.embedding("", ids, apart).unwrap();
    let x = g.add("words", words, more).unwrap();
    let layers = g.repeated("layers", "l");
    let axes = [Axis::new("c'", "c"), Axis::from("c")];
    let w = g.enter(&layers).param("w", Source::weight("c"), axes).unwrap();
    let heads = [Axis::from("c"), Axis::from("h"), Axis::from("e")];
    let wide = g.enter(&layers).param("wide", Source::weight("c"), heads).unwrap();
    let back = g.enter(&layers).param("back", Source::weight("c"), ["c", "h", "e"]).unwrap();
    let y = g
        .repeat(&layers, x, |g, x| {
            let y = g.einsum("n c, c' c -> n c'", x, w)?;
            let inner = g.einsum("n c, c h e -> n h e", y, wide)?;
            let y = g.einsum("n h e, c h e -> n c", inner, back)?;
            g.add("residual", y, x)
        })
        .unwrap();
    let choice = g.input_ids("choice", ["n", "k"], 3).unwrap();
    let axes = [Axis::new("x", 3), Axis::from("f"), Axis::from("c")];
    let experts = g.param("experts", Source::weight("c"), axes).unwrap();
    let chosen = g.experts("", y, choice, experts).unwrap();
    g.output("chosen", chosen);
    let scores = g.einsum("n c, v c -> n v", y, table).unwrap();
    g.output("scores", scores);
    g
}

/// The parameters of a run in 16 bits, and the same widened.
fn narrowed(graph: &Graph, tensors: &Tensors, of: WeightType) -> [Feeds; 2] {
    let layouts = WeightLayout::of(graph);
    let [mut narrow, mut wide] = [Feeds::seeded(1), Feeds::seeded(1)];
    for (at, fed) in tensors.iter() {
        let (Some(layout), Value::Real(tensor)) = (layouts[at], fed.value()) else { continue };
        let mut writer = WeightWriter::new(layout, tensor.shape(), of).unwrap().unwrap();
        if of == WeightType::Bf16 {
            let halves: Vec<bf16> = tensor.data().iter().map(|x| bf16::from_f32(*x)).collect();
            writer.extend(Elements::Bf16(&halves)).unwrap();
        } else {
            let halves: Vec<f16> = tensor.data().iter().map(|x| f16::from_f32(*x)).collect();
            writer.extend(Elements::F16(&halves)).unwrap();
        }
        let weight = writer.finish().unwrap();
        wide = wide.with(&fed.path, weight.unpack());
        narrow = narrow.with_weight(&fed.path, weight);
    }
    [narrow, wide]
}

#[test]
fn weights_in_16_bits_give_the_same_bits_and_counts_and_half_the_bytes() {
    let g = graph();
    let at = |n: u64| {
        let sizes = [("n", n), ("v", 37), ("c", 24), ("l", 2), ("h", 3), ("e", 8)];
        Binding::from_iter([("k", 2), ("f", 20)].into_iter().chain(sizes))
    };
    for (n, of) in [(1, WeightType::Bf16), (3, WeightType::F16), (50, WeightType::Bf16)] {
        let drawn = Prepared::new(&g, &at(n), &Feeds::seeded(1)).unwrap();
        let [narrow, wide] = narrowed(&g, drawn.tensors(), of);
        let [narrow, wide] = [narrow, wide].map(|f| Prepared::new(&g, &at(n), &f).unwrap());
        assert!(wide.tensors().iter().all(|(_, fed)| fed.weight().is_none_or(is_wide)));
        assert!(narrow.tensors().bytes() < wide.tensors().bytes() * 6 / 10);
        let runs = [&narrow, &wide].map(|prepared| {
            let run = prepared.run(&mut Fast::new().unwrap(), &mut Quiet).unwrap();
            let theorem = compare(prepared.graph(), &run.binding, &run.ledger, "kernels").unwrap();
            assert!(theorem.holds(), "{:?}", theorem.mismatches);
            run
        });
        for name in ["chosen", "scores"] {
            assert_eq!(runs[0].output(name).unwrap(), runs[1].output(name).unwrap(), "{n} rows");
        }
        for ((node, narrow), wide) in
            g.nodes().iter().zip(runs[0].ledger.rows()).zip(runs[1].ledger.rows())
        {
            let (narrow, wide) = (narrow.counts(), wide.counts());
            assert_eq!((narrow.useful, narrow.executed), (wide.useful, wide.executed));
            assert_eq!(narrow.bytes_written, wide.bytes_written);
            let weight = node
                .inputs
                .iter()
                .any(|var| matches!(g.node(*var).op, Op::Source(Source::Param { .. })));
            assert_eq!(narrow.bytes_read < wide.bytes_read, weight, "{}", node.path);
        }
        // By hand: the scores read 37 rows of the table in 16 bits, and n rows of values in 32.
        let scores = g.nodes().len() - 1;
        let read = runs[0].ledger.row(scores).counts().bytes_read;
        assert_eq!(read, 37 * 24 * 2 + n * 24 * 4);
        let elem = |prepared: &Prepared, at: usize| prepared.graph().nodes()[at].shape.elem;
        let narrow_elem = if of == WeightType::Bf16 { Elem::Bf16 } else { Elem::F16 };
        let table = parameter_of(&g, |op| matches!(op, Op::Embedding(_)));
        assert_eq!((elem(&narrow, table), elem(&wide, table)), (narrow_elem, Elem::F32));
    }
}

/// The parameter of the first node of a kind.
fn parameter_of(g: &Graph, is: impl Fn(&Op) -> bool) -> usize {
    g.nodes().iter().find(|node| is(&node.op)).unwrap().inputs[1].index()
}

fn is_wide(weight: &Weight) -> bool {
    weight.weight_type() == WeightType::F32
}

#[test]
fn definitions_and_kernels_agree_on_weights_in_16_bits() {
    let g = graph();
    let sizes = [("n", 5), ("v", 19), ("c", 8), ("l", 2), ("h", 2), ("e", 4), ("k", 2), ("f", 9)];
    let at = Binding::from_iter(sizes);
    let drawn = Prepared::new(&g, &at, &Feeds::seeded(1)).unwrap();
    let [narrow, _] = narrowed(&g, drawn.tensors(), WeightType::F16);
    let proof = prove(&g, &at, &narrow).unwrap();
    assert!(proof.theorem.holds(), "{:?}", proof.theorem.mismatches);
}

#[test]
fn a_plain_tensor_in_place_of_a_weight_makes_the_node_f32_again() {
    let g = graph();
    let sizes = [("n", 2), ("v", 19), ("c", 8), ("l", 2), ("h", 2), ("e", 4), ("k", 2), ("f", 9)];
    let at = Binding::from_iter(sizes);
    let drawn = Prepared::new(&g, &at, &Feeds::seeded(1)).unwrap();
    let [narrow, wide] = narrowed(&g, drawn.tensors(), WeightType::Bf16);
    let mut prepared = Prepared::new(&g, &at, &narrow).unwrap();
    let wide = Prepared::new(&g, &at, &wide).unwrap();
    let path = "layers.1.w";
    prepared.feed(path, wide.tensors().get(path).unwrap()).unwrap();
    let w = parameter_of(&g, |op| matches!(op, Op::Einsum(_)));
    assert_eq!(prepared.graph().nodes()[w].shape.elem, Elem::F32);
    let of = |prepared: &Prepared| {
        let run = prepared.run(&mut Fast::new().unwrap(), &mut Quiet).unwrap();
        assert!(compare(prepared.graph(), &run.binding, &run.ledger, "").unwrap().holds());
        run.output("scores").unwrap()
    };
    assert_eq!(of(&prepared), of(&wide));
}
