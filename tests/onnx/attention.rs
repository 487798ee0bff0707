//! ONNX's cases of attention and of rotary embedding.

use opledger_dims::{Binding, Scalar, Symbol};
use opledger_interp::{Fast, Feeds, Oracle, Prepared, Quiet, prove};
use opledger_ir::ops::{Factor, IndexMap, Rearrange, RopePairs};
use opledger_ir::{Axis, Graph, IndexExpr, Mask, Reach, Scoring, Value, Var};
use opledger_tensor::Tensor;

use super::{Case, cases};

/// Which heads, tokens and width an operand has: `[b, h, n, e]`, or `[b, n, h·e]`.
pub(super) fn sizes(case: &Case, at: usize, heads: &str) -> [usize; 4] {
    match *case.sizes(at) {
        [items, heads, tokens, width] => [items, heads, tokens, width],
        [items, tokens, all] => {
            let heads = case.int(heads, 1) as usize;
            [items, heads, tokens, all / heads]
        }
        _ => panic!("{}", case.name),
    }
}

/// An operand as attention has it, tokens before heads.
pub(super) fn operand(
    g: &mut Graph,
    case: &Case,
    at: usize,
    [tokens, heads, width]: [&str; 3],
) -> Var {
    let key = if at == 0 { "q_num_heads" } else { "kv_num_heads" };
    let [items, h, n, e] = sizes(case, at, key);
    let (item, token) = (Axis::new("b", items), Axis::new(tokens, n));
    let (head, element) = (Axis::new(heads, h), Axis::new(width, e));
    let name = at.to_string();
    if case.sizes(at).len() == 4 {
        let x = g.input(&name, [item, head, token, element]).unwrap();
        let order = ["b", tokens, heads, width].map(Into::into).to_vec();
        return g.rearrange(x, Rearrange::Permute { order }).unwrap();
    }
    let x = g.input(&name, [item, token, Axis::new("all", h * e)]).unwrap();
    let into = vec![head, element];
    g.rearrange(x, Rearrange::Split { axis: "all".into(), into }).unwrap()
}

/// What of the mask hides pairs, and what is added to scores, each over the axes that it has more than one
/// of. A float mask hides by −∞.
fn masks(g: &mut Graph, case: &Case, keys: usize, feeds: &mut Feeds) -> (Option<Var>, Option<Var>) {
    let Some(mask) = case.input(3) else { return (None, None) };
    // Where a mask has fewer keys, nobody sees the others.
    let (mut shape, given) = (mask.shape().to_vec(), *mask.shape().last().unwrap());
    let missing = if given == 1 { 0 } else { keys - given };
    *shape.last_mut().unwrap() += missing;
    let names = &["b", "h", "n", "m"][4 - shape.len()..];
    let last = shape.len() - 1;
    let kept: Vec<usize> = (0..=last).filter(|at| shape[*at] != 1 || *at == last).collect();
    let axes: Vec<Axis> = kept.iter().map(|at| Axis::new(names[*at], shape[*at])).collect();
    let sizes: Vec<usize> = kept.iter().map(|at| shape[*at]).collect();
    let numbers: Vec<f32> = match mask {
        Value::Index(truths) => {
            truths.data().iter().map(|t| if *t == 0 { f32::NEG_INFINITY } else { 0.0 }).collect()
        }
        Value::Real(added) => added.data().to_vec(),
    };
    let row = |row: &[f32]| [row, &vec![f32::NEG_INFINITY; missing]].concat();
    let numbers: Vec<f32> = numbers.chunks(given).flat_map(row).collect();
    let hidden = numbers.contains(&f32::NEG_INFINITY) || matches!(mask, Value::Index(_));
    let keep = hidden.then(|| {
        let seen = numbers.iter().map(|x| i64::from(*x != f32::NEG_INFINITY)).collect();
        *feeds = feeds.clone().with_ids("seen", &sizes, seen).unwrap();
        g.input_mask("seen", axes.clone()).unwrap()
    });
    let finite: Vec<f32> = numbers.iter().map(|x| if x.is_finite() { *x } else { 0.0 }).collect();
    let bias = finite.iter().any(|x| *x != 0.0).then(|| {
        *feeds = feeds.clone().with("bias", Tensor::new(&sizes, finite).unwrap());
        let bias = g.input("bias", axes.clone()).unwrap();
        if axes.iter().any(|axis| axis.name == "n".into()) {
            return bias;
        }
        // The same for all queries.
        let [_, _, queries, _] = self::sizes(case, 0, "q_num_heads");
        let how = Rearrange::Expand { axis: Axis::new("n", queries) };
        let bias = g.rearrange(bias, how).unwrap();
        let mut order: Vec<Symbol> = axes.iter().map(|axis| axis.name.clone()).collect();
        order.insert(order.len() - 1, "n".into());
        g.rearrange(bias, Rearrange::Permute { order }).unwrap()
    });
    (keep, bias)
}

/// Keys or values with those of the past before them, which are `[b, g, p, e]`.
fn with_past(g: &mut Graph, case: &Case, at: usize, new: Var, width: &str) -> Var {
    let Some(past) = case.input(at) else { return new };
    let axes = ["b", "g", "m", width].into_iter().zip(past.shape());
    let past = g.input(&at.to_string(), axes.map(|(name, size)| Axis::new(name, *size))).unwrap();
    let order = ["b", "m", "g", width].map(Into::into).to_vec();
    let past = g.rearrange(past, Rearrange::Permute { order }).unwrap();
    g.concat(past, new, "m").unwrap()
}

/// Which keys are seen where each item has a number of them, the last of which stands where its last query
/// stands: those of a mask, and so many to the left and to the right of each query.
fn of_lengths(
    g: &mut Graph,
    case: &Case,
    keep: Option<Var>,
    [left, right]: [i64; 2],
) -> Option<Var> {
    if case.input(6).is_none() {
        return keep;
    }
    let [items, heads, queries, _] = sizes(case, 0, "q_num_heads");
    let [_, _, keys, _] = sizes(case, 1, "kv_num_heads");
    let of_mask: Vec<Axis> = keep.map(|keep| g.shape(keep).axes.clone()).unwrap_or_default();
    let by_head = of_mask.iter().any(|axis| axis.name == "h".into());
    let all = [("b", items), ("h", heads), ("n", queries), ("m", keys)];
    let all = all.into_iter().filter(|(name, _)| *name != "h" || by_head);
    let axes: Vec<Axis> = all.map(|(name, size)| Axis::new(name, size)).collect();
    let place = |axis: &Axis| {
        IndexExpr::Position(axes.iter().position(|own| own.name == axis.name).unwrap())
    };
    let last = axes.len() - 1;
    let (query, key) = (IndexExpr::Position(last - 1), IndexExpr::Position(last));
    let length = IndexExpr::Lookup { operand: 0, at: vec![IndexExpr::Position(0)] };
    let own = query.plus(&length).minus(&(queries as i64).into());
    let mut seen = key.below(&length);
    if right >= 0 {
        seen = seen.and(&key.below(&own.plus(&(right + 1).into())));
    }
    if left >= 0 {
        seen = seen.and(&own.below(&key.plus(&(left + 1).into())));
    }
    let mut operands = vec![g.input_whole("6", [Axis::new("b", items)]).unwrap()];
    if let Some(keep) = keep {
        let at = of_mask.iter().map(place).collect();
        seen = seen.and(&IndexExpr::Lookup { operand: 1, at });
        operands.push(keep);
    }
    Some(g.record("", IndexMap { axes, value: seen, truth: true }, &operands).unwrap())
}

/// Both interpreters give what ONNX gives, and every node counts what its formula says.
pub(super) fn holds(case: &Case, g: &Graph, feeds: &Feeds) {
    let expected = case.expected.real().unwrap();
    let sizes = Binding::new();
    let prepared = Prepared::new(g, &sizes, feeds).unwrap();
    let fast = prepared.run(&mut Fast::new().unwrap(), &mut Quiet).unwrap();
    let exact = prepared.run(&mut Oracle::<f64>::new(), &mut Quiet).unwrap();
    let by_kernels = fast.outputs[0].1.real().unwrap().data().iter().map(|x| f64::from(*x));
    let by_oracle = exact.outputs[0].1.real().unwrap().data().iter().map(|x| x.to_f64());
    for found in [by_kernels.collect::<Vec<_>>(), by_oracle.collect()] {
        assert_eq!(found.len(), expected.len(), "{}", case.name);
        for (a, b) in found.iter().zip(expected.data()) {
            assert!((a - f64::from(*b)).abs() <= 1e-5, "{}: {a} {b}", case.name);
        }
    }
    let mismatches = prove(g, &sizes, feeds).unwrap().theorem.mismatches;
    assert!(mismatches.is_empty(), "{}: {mismatches:?}", case.name);
}

#[test]
fn onnx_attends_as_attention_does() {
    let mut run = 0;
    for case in cases().iter().filter(|case| case.op == "Attention") {
        let (mut g, mut feeds) = (Graph::new(), Feeds::seeded(1));
        for at in [0, 1, 2, 4, 5, 6] {
            if let Some(value) = case.input(at) {
                feeds = feeds.with(&at.to_string(), value.clone());
            }
        }
        let q = operand(&mut g, case, 0, ["n", "h", "e"]);
        let k = operand(&mut g, case, 1, ["m", "g", "e"]);
        let v = operand(&mut g, case, 2, ["m", "g", "f"]);
        let (k, v) = (with_past(&mut g, case, 4, k, "e"), with_past(&mut g, case, 5, v, "f"));
        let past = case.input(4).map_or(0, |past| past.shape()[2]);
        let [_, _, _, width] = sizes(case, 0, "q_num_heads");
        let keys = sizes(case, 1, "kv_num_heads")[2] + past;
        let (keep, bias) = masks(&mut g, case, keys, &mut feeds);
        // Queries see `left` keys before their own place and `right` after it; −1 is all of them.
        let causal = case.int("is_causal", 0) == 1;
        let left = case.int("left_window_size", -1);
        let right = if causal { 0 } else { case.int("right_window_size", -1) };
        let keep = of_lengths(&mut g, case, keep, [left, right]);
        let past = past as i64;
        let offset = if right < 0 { keys as i64 } else { past + right };
        let banded = (causal || left >= 0 || right >= 0) && case.input(6).is_none();
        let mask = Mask {
            offset: banded.then(|| offset.into()),
            reach: (banded && left >= 0).then(|| Reach::Window((left + offset - past + 1).into())),
            keep,
        };
        let cap = case.float("softcap", 0.0);
        let scale = case.float("scale", 1.0 / (width as f64).sqrt());
        let scoring = Scoring {
            scale: Some(Factor::Number(scale).into()),
            soft_cap: (cap != 0.0).then_some(cap),
            bias,
            mask,
            sinks: None,
        };
        let y = g.attention_by((q, k, v), scoring).unwrap();
        let y = if case.expected.shape().len() == 4 {
            let order = ["b", "h", "n", "f"].map(Into::into).to_vec();
            g.rearrange(y, Rearrange::Permute { order }).unwrap()
        } else {
            y
        };
        g.output("y", y);
        holds(case, &g, &feeds);
        run += 1;
    }
    assert!(run >= 50, "{run}");
}

/// Cosines and sines of each token of each item: one run for each.
#[test]
fn onnx_rotates_as_rope_does() {
    let mut run = 0;
    for case in cases().iter().filter(|case| case.op == "RotaryEmbedding") {
        let x = case.input(0).unwrap().real().unwrap();
        let (shape, expected) = (x.shape().to_vec(), case.expected.real().unwrap());
        // [items, heads, tokens, width], or [items, tokens, heads·width].
        let (items, heads, tokens, width) = match shape[..] {
            [items, heads, tokens, width] => (items, heads, tokens, width),
            [items, tokens, all] => {
                let heads = case.int("num_heads", 1) as usize;
                (items, heads, tokens, all / heads)
            }
            _ => panic!("{shape:?}"),
        };
        let at = |item: usize, token: usize, head: usize, e: usize| match shape.len() {
            4 => ((item * heads + head) * tokens + token) * width + e,
            _ => ((item * tokens + token) * heads + head) * width + e,
        };
        let [cos, sin] = [1, 2].map(|at| case.input(at).unwrap().real().unwrap());
        let turned = *cos.shape().last().unwrap();
        let pairs = match case.int("interleaved", 0) {
            0 => RopePairs::Halves,
            _ => RopePairs::Neighbours,
        };
        for item in 0..items {
            let row = |token: usize| match case.whole(3) {
                Some(ids) => ids[item * tokens + token] as usize,
                None => item * tokens + token,
            };
            // Each pair has its cosine and its sine twice.
            let table: Vec<f32> = (0..tokens)
                .flat_map(|token| {
                    [cos, sin].map(|of| of.data()[row(token) * turned..][..turned].repeat(2))
                })
                .flatten()
                .collect();
            let places = |of: &Tensor<f32>| -> Vec<f32> {
                let all = (0..tokens)
                    .flat_map(|n| (0..heads).flat_map(move |h| (0..width).map(move |e| (n, h, e))));
                all.map(|(n, h, e)| of.data()[at(item, n, h, e)]).collect()
            };
            let mut g = Graph::new();
            let own = g.input("x", [("n", tokens), ("h", heads), ("e", width)]).unwrap();
            let angles =
                g.input("angles", [("n", tokens), ("cos_sin", 2), ("r", 2 * turned)]).unwrap();
            let y = g.rope(own, pairs, angles).unwrap();
            g.output("y", y);
            let feeds = Feeds::seeded(1)
                .with("x", Tensor::new(&[tokens, heads, width], places(x)).unwrap())
                .with("angles", Tensor::new(&[tokens, 2, 2 * turned], table).unwrap());
            let found = Fast::new().unwrap().run(&g, &Binding::new(), &feeds).unwrap();
            let found = found.output("y").unwrap().iter().copied().collect::<Vec<f32>>();
            for (a, b) in found.iter().zip(places(expected)) {
                assert!((a - b).abs() < 1e-5, "{}: {a} {b}", case.name);
            }
            run += 1;
        }
    }
    assert!(run > 4, "{run}");
}
