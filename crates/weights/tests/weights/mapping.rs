//! How names and layouts of files meet the parameters of a graph.

use opledger_dims::{Binding, Integer};
use opledger_ir::ops::Source;
use opledger_ir::{Axis, Graph};
use opledger_models::{Names, Pattern};
use opledger_weights::{Checkpoint, Differences, Dtype, Loaded, WeightsError, fits};

use crate::{Folder, file, ramp, reals, single};

/// A graph of parameters: paths and sizes.
fn graph(parameters: &[(&str, &[usize])]) -> Graph {
    let mut g = Graph::new();
    for (path, sizes) in parameters {
        let axes = sizes.iter().enumerate().map(|(i, n)| Axis::new(&*format!("a{i}"), *n as i64));
        g.param(path, Source::gain(), axes.collect::<Vec<_>>()).unwrap();
    }
    g
}

fn load(checkpoint: &Checkpoint, graph: &Graph, names: &Names) -> Result<Loaded, WeightsError> {
    checkpoint.load(graph, &Binding::new(), names, None)
}

/// The elements of a parameter.
fn data<'l>(loaded: &'l Loaded, path: &str) -> &'l [f32] {
    let (_, value) = loaded.tensors.iter().find(|(name, _)| name == path).unwrap();
    value.real().unwrap().data()
}

fn differences(result: Result<Loaded, WeightsError>) -> Differences {
    match result.unwrap_err() {
        WeightsError::Different { differences, .. } => differences,
        other => panic!("{other}"),
    }
}

#[test]
fn every_iteration_has_its_tensors() {
    let mut g = Graph::new();
    let layers = g.repeated("layers", "l");
    g.enter(&layers).param("weight", Source::weight("c"), ["f", "c"]).unwrap();
    g.param("norm", Source::gain(), ["c"]).unwrap();
    let bytes = reals(&[
        ("norm", &[2], vec![9.0; 2]),
        ("layers.1.weight", &[3, 2], vec![1.0; 6]),
        ("layers.0.weight", &[3, 2], ramp(6)),
    ]);
    let (_folder, checkpoint) = single(&bytes);
    let sizes = Binding::from_iter([("l", 2), ("f", 3), ("c", 2)]);
    let loaded = checkpoint.load(&g, &sizes, &Names::default(), None).unwrap();
    assert_eq!(loaded.tensors.len(), 3);
    assert_eq!(data(&loaded, "layers.0.weight"), ramp(6));
    assert_eq!(data(&loaded, "layers.1.weight"), [1.0; 6]);
    assert_eq!((loaded.bytes_read, loaded.non_finite.len()), (56, 0));
    let three = Binding::from_iter([("l", 3), ("f", 3), ("c", 2)]);
    let missing = differences(checkpoint.load(&g, &three, &Names::default(), None)).missing;
    assert_eq!(missing, ["`layers.2.weight`"]);
    let unbound = checkpoint.load(&g, &Binding::new(), &Names::default(), None);
    assert!(matches!(unbound, Err(WeightsError::Size { .. })));
}

#[test]
fn all_differences_are_told_together() {
    let (_folder, checkpoint) = single(&reals(&[
        ("a", &[2], ramp(2)),
        ("c", &[3, 2], ramp(6)),
        ("x", &[1], ramp(1)),
        ("y", &[], ramp(1)),
    ]));
    let g = graph(&[("a", &[2]), ("b", &[2]), ("c", &[2, 3]), ("d", &[2])]);
    let error = load(&checkpoint, &g, &Names::default()).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("2 missing, 2 too many, 1 different"), "{text}");
    assert!(
        text.contains("different: `c` is F32 [3, 2] where [2, 3] is needed (for `c`)"),
        "{text}"
    );
    let found = differences(Err(error));
    assert_eq!(found.missing, ["`b`", "`d`"]);
    assert_eq!(found.extra, ["`x`, F32 [1]", "`y`, F32 []"]);
    let many: Vec<String> = (0..25).map(|i| format!("p{i}")).collect();
    let many: Vec<(&str, &[usize])> = many.iter().map(|name| (&**name, &[1_usize][..])).collect();
    let text = load(&checkpoint, &graph(&many), &Names::default()).unwrap_err().to_string();
    assert!(text.contains("25 missing, 4 too many") && text.contains("missing: and 15 more"));
    assert_eq!(text.lines().count(), 1 + 11 + 4, "{text}");
}

#[test]
fn elements_of_other_kinds_are_named() {
    for (dtype, bytes) in [("F64", 8), ("I64", 8), ("I8", 1), ("F8_E4M3", 1)] {
        let header =
            format!(r#"{{"w":{{"dtype":"{dtype}","shape":[1],"data_offsets":[0,{bytes}]}}}}"#);
        let (_folder, checkpoint) = single(&file(&header, &vec![0; bytes]));
        let found = differences(load(&checkpoint, &graph(&[("w", &[1])]), &Names::default()));
        assert_eq!(
            found.mismatched,
            [format!("`w` is {dtype}; F32, F16 and BF16 are read (for `w`)")]
        );
    }
}

/// Every number of 16 bits, against the definitions of the formats.
#[test]
fn half_precision_becomes_single_precision() {
    let bits: Vec<u16> = (0..=u16::MAX).collect();
    let bytes: Vec<u8> = bits.iter().flat_map(|x| x.to_le_bytes()).collect();
    let read = |dtype: Dtype| {
        let header =
            format!(r#"{{"w":{{"dtype":"{dtype}","shape":[65536],"data_offsets":[0,131072]}}}}"#);
        let (_folder, checkpoint) = single(&file(&header, &bytes));
        let loaded = load(&checkpoint, &graph(&[("w", &[1 << 16])]), &Names::default()).unwrap();
        assert_eq!(loaded.bytes_read, 131_072);
        loaded
    };
    let value = |bits: u16, fraction: u32, bias: i32| {
        let (sign, rest) = (if bits >> 15 == 0 { 1.0 } else { -1.0 }, u32::from(bits & 0x7fff));
        let (exponent, mantissa) =
            ((rest >> fraction) as i32, f64::from(rest & ((1 << fraction) - 1)));
        let unit = 2_f64.powi(-(fraction as i32));
        match exponent {
            0 => sign * mantissa * unit * 2_f64.powi(1 - bias),
            e if e == 2 * bias + 1 => sign * if mantissa == 0.0 { f64::INFINITY } else { f64::NAN },
            e => sign * (1.0 + mantissa * unit) * 2_f64.powi(e - bias),
        }
    };
    for (dtype, fraction, bias, non_finite) in
        [(Dtype::F16, 10, 15, 2 << 10), (Dtype::BF16, 7, 127, 2 << 7)]
    {
        let loaded = read(dtype);
        assert_eq!(loaded.non_finite, [("w".to_owned(), non_finite)]);
        for (bits, found) in bits.iter().zip(data(&loaded, "w")) {
            let expected = value(*bits, fraction, bias) as f32;
            let same = expected.to_bits() == found.to_bits() || expected.is_nan() && found.is_nan();
            assert!(same, "{dtype} {bits:#x}: {found} where {expected} is right");
        }
    }
}

#[test]
fn elements_that_are_no_numbers_are_told() {
    let (_folder, checkpoint) = single(&reals(&[
        ("good", &[2], ramp(2)),
        ("bad", &[4], vec![1.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY]),
    ]));
    let loaded = load(&checkpoint, &graph(&[("good", &[2]), ("bad", &[4])]), &Names::default());
    assert_eq!(loaded.unwrap().non_finite, [("bad".to_owned(), 3)]);
}

#[test]
fn what_does_not_fit_in_memory_is_refused() {
    let (_folder, checkpoint) = single(&reals(&[("w", &[4], ramp(4))]));
    let g = graph(&[("w", &[4])]);
    let load = |available: u32| {
        checkpoint.load(&g, &Binding::new(), &Names::default(), Some(&Integer::from(available)))
    };
    assert!(load(16).is_ok());
    let message = load(15).unwrap_err().to_string();
    assert!(message.contains("need 16 bytes of memory, 15 are available"), "{message}");
    // Sizes that the file has not are no reason to allocate anything.
    let mut huge = Graph::new();
    let layers = huge.repeated("layers", "l");
    huge.enter(&layers).param("w", Source::gain(), ["c"]).unwrap();
    let load = |l: u64, c: u64, available: Option<&Integer>| {
        let sizes = Binding::from_iter([("l", l), ("c", c)]);
        checkpoint.load(&huge, &sizes, &Names::default(), available).unwrap_err()
    };
    assert!(matches!(
        load(1, u64::MAX, Some(&Integer::from(u64::MAX))),
        WeightsError::Memory { .. }
    ));
    assert!(matches!(load(1 << 60, 0, None), WeightsError::Size { .. }));
    assert_eq!(differences(Err(load(1, 1 << 60, None))).missing, ["`layers.0.w`"]);
    let three = load(3, 2, Some(&Integer::from(23))).to_string();
    assert!(three.contains("need 24 bytes of memory, 23 are available"), "{three}");
    let experts = graph(&[("experts", &[1 << 50, 1])]);
    let names = Names::default().stack("experts", "experts.*");
    let missing = differences(checkpoint.load(&experts, &Binding::new(), &names, None)).missing;
    assert_eq!(missing, ["`experts.0` (for `experts`)", "`experts.1` (for `experts`)"]);
}

#[test]
fn prefixes_may_be_there_or_not() {
    let g = graph(&[("model.norm", &[1]), ("head", &[1])]);
    let names = Names::default().prefix("model.").prefix("bert.").ignore("ids");
    for file in [
        ["model.norm", "head", "ids"],
        ["norm", "bert.head", "bert.ids"],
        ["bert.model.norm", "model.head", "model.ids"],
    ] {
        let [norm, head, ids] = file;
        let tensors: [(&str, &[usize], _); 3] =
            [(norm, &[1], vec![1.0]), (head, &[1], vec![2.0]), (ids, &[1], vec![3.0])];
        let (_folder, checkpoint) = single(&reals(&tensors));
        let loaded = load(&checkpoint, &g, &names).unwrap();
        assert_eq!((data(&loaded, "model.norm"), data(&loaded, "head")), (&[1.0][..], &[2.0][..]));
        assert_eq!((loaded.bytes_read, loaded.ignored), (8, vec![ids.to_owned()]));
    }
    // With and without the prefix, one of them is too many; and none is two parameters.
    let (_folder, both) = single(&reals(&[("head", &[1], ramp(1)), ("bert.head", &[1], ramp(1))]));
    let extra = differences(load(&both, &graph(&[("head", &[1])]), &names)).extra;
    assert_eq!(extra, ["`bert.head`, F32 [1]"]);
    let twice = graph(&[("head", &[1]), ("bert.head", &[1])]);
    let (_folder, one) = single(&reals(&[("head", &[1], ramp(1))]));
    let mismatched = differences(load(&one, &twice, &names)).mismatched;
    assert_eq!(mismatched, ["`head` is both `head` and `bert.head`"]);
}

#[test]
fn parameters_have_other_names_in_files() {
    let g = graph(&[("layers.0.norm", &[1]), ("layers.12.norm", &[1])]);
    let names = Names::default().rename("layers.*.norm", "h.*.LayerNorm.gamma");
    let (_folder, checkpoint) = single(&reals(&[
        ("h.0.LayerNorm.gamma", &[1], vec![1.0]),
        ("layers.12.norm", &[1], vec![2.0]),
    ]));
    let loaded = load(&checkpoint, &g, &names).unwrap();
    assert_eq!(data(&loaded, "layers.0.norm"), [1.0]);
    assert_eq!(data(&loaded, "layers.12.norm"), [2.0], "the path itself is a name as well");
    let (_folder, none) = single(&reals(&[("layers.00.norm", &[1], ramp(1))]));
    let found = differences(load(&none, &g, &names));
    assert_eq!(found.missing[1], "`h.12.LayerNorm.gamma` (for `layers.12.norm`)");
    assert_eq!(
        (found.missing.len(), found.extra),
        (2, vec!["`layers.00.norm`, F32 [1]".to_owned()])
    );
}

/// GPT-2 has queries, keys and values in one matrix `[in, out]`, and the output projection over
/// heads.
#[test]
fn matrices_may_be_stored_with_inputs_first() {
    let (s, h, e) = (3, 2, 5);
    let c = h * e;
    let g = graph(&[("qkv", &[s, h, e, c]), ("out", &[c, h, e]), ("bias", &[s, h, e])]);
    let names = Names::default().transpose("qkv").transpose("out");
    let (_folder, checkpoint) = single(&reals(&[
        ("qkv", &[c, s * c], ramp(c * s * c)),
        ("out", &[c, c], ramp(c * c)),
        ("bias", &[s * c], ramp(s * c)),
    ]));
    let loaded = load(&checkpoint, &g, &names).unwrap();
    let transposed = |ins: usize, outs: usize| -> Vec<f32> {
        (0..outs).flat_map(|o| (0..ins).map(move |i| (i * outs + o) as f32)).collect()
    };
    assert_eq!(data(&loaded, "qkv"), transposed(c, s * c));
    assert_eq!(data(&loaded, "out"), transposed(c, c));
    assert_eq!(data(&loaded, "bias"), ramp(s * c));
    for shape in [&[s * c, c][..], &[c, s, c], &[s * c * c]] {
        let (_folder, other) = single(&reals(&[("qkv", shape, ramp(s * c * c))]));
        let found = differences(load(&other, &graph(&[("qkv", &[s, h, e, c])]), &names));
        assert!(found.mismatched[0].contains("stored as [in, out]"), "{found}");
    }
}

/// Matrices larger than what is converted at a time, in one, several and more than one row of it.
#[test]
fn large_matrices_are_transposed_as_small_ones() {
    for (ins, outs) in [(300, 700), (3, 70_001), (70_001, 3), (1, 131_072), (131_072, 1)] {
        let (_folder, checkpoint) = single(&reals(&[("w", &[ins, outs], ramp(ins * outs))]));
        let names = Names::default().transpose("w");
        let loaded = load(&checkpoint, &graph(&[("w", &[outs, ins])]), &names).unwrap();
        let right = data(&loaded, "w").iter().enumerate();
        assert!({ right }.all(|(at, x)| *x == (at % ins * outs + at / ins) as f32), "{ins} {outs}");
    }
}

/// Mixtral has each expert's matrix as a tensor.
#[test]
fn entries_of_the_outermost_axis_may_be_tensors() {
    let g = graph(&[("layers.7.experts.w1", &[3, 2, 2]), ("layers.7.experts.w2", &[2, 3, 2])]);
    let names = Names::default()
        .stack("layers.*.experts.w1", "layers.*.experts.*.w1.weight")
        .stack("layers.*.experts.w2", "layers.*.experts.*.w2.weight")
        .transpose("layers.*.experts.w2");
    let tensor = |name: &str, from: f32| (name.to_owned(), from);
    let mut tensors: Vec<_> = (0..3)
        .map(|x| tensor(&format!("layers.7.experts.{x}.w1.weight"), 4.0 * x as f32))
        .collect();
    tensors
        .extend((0..2).map(|x| tensor(&format!("layers.7.experts.{x}.w2.weight"), 6.0 * x as f32)));
    let file = |count: usize| {
        let tensors: Vec<(&str, &[usize], Vec<f32>)> = tensors[..count]
            .iter()
            .map(|(name, from)| {
                let shape: &[usize] = if name.contains("w1") { &[2, 2] } else { &[2, 3] };
                let n = shape.iter().product();
                (&**name, shape, ramp(n).iter().map(|x| x + from).collect())
            })
            .collect();
        single(&reals(&tensors))
    };
    let loaded = load(&file(5).1, &g, &names).unwrap();
    assert_eq!(data(&loaded, "layers.7.experts.w1"), ramp(12));
    let w2 = [0.0, 3.0, 1.0, 4.0, 2.0, 5.0, 6.0, 9.0, 7.0, 10.0, 8.0, 11.0];
    assert_eq!(data(&loaded, "layers.7.experts.w2"), w2);
    let missing = differences(load(&file(4).1, &g, &names)).missing;
    assert_eq!(missing, ["`layers.7.experts.1.w2.weight` (for `layers.7.experts.w2`)"]);
    let (_folder, stacked) = single(&reals(&[("layers.7.experts.w1", &[3, 2, 2], ramp(12))]));
    let whole = load(&stacked, &graph(&[("layers.7.experts.w1", &[3, 2, 2])]), &names).unwrap();
    assert_eq!(data(&whole, "layers.7.experts.w1"), ramp(12));
}

#[test]
fn parameters_may_be_parts_of_one_tensor() {
    // Four query heads and two of keys and of values, of width 2, over 3 inputs.
    let sizes: [(&str, &[usize]); 3] =
        [("a.q", &[4, 2, 3]), ("a.k", &[2, 2, 3]), ("a.v", &[2, 2, 3])];
    let names = Names::default().join(&["a.q", "a.k", "a.v"], "a.qkv");
    let (_folder, rows) = single(&reals(&[("a.qkv", &[16, 3], ramp(48))]));
    let loaded = load(&rows, &graph(&sizes), &names).unwrap();
    let parts = ["a.q", "a.k", "a.v"].map(|path| data(&loaded, path));
    assert_eq!(parts.concat(), ramp(48));
    assert_eq!((parts[1].len(), loaded.bytes_read), (12, 192));
    let (_folder, columns) = single(&reals(&[("a.qkv", &[3, 16], ramp(48))]));
    let transposed = names.clone().transpose("a.q").transpose("a.k").transpose("a.v");
    let loaded = load(&columns, &graph(&sizes), &transposed).unwrap();
    let expected: Vec<f32> = (0..48).map(|at| (at % 3 * 16 + at / 3) as f32).collect();
    assert_eq!(["a.q", "a.k", "a.v"].map(|path| data(&loaded, path)).concat(), expected);
    for shape in [&[15, 3][..], &[3, 16], &[45]] {
        let n = shape.iter().product();
        let (_folder, other) = single(&reals(&[("a.qkv", shape, ramp(n))]));
        assert_eq!(differences(load(&other, &graph(&sizes), &names)).mismatched.len(), 3);
    }
    let mismatched = differences(load(&rows, &graph(&sizes[..2]), &names)).mismatched;
    assert!(mismatched[0].contains("as one of several parts"), "{mismatched:?}");
}

#[test]
fn parts_of_one_tensor_may_take_turns() {
    let names = Names::default().interleave(&["a.q", "a.k", "a.v"], "a.qkv");
    let read = |heads: [usize; 3], shape: &[usize]| {
        let sizes = heads.map(|heads| [heads, 2, 3]);
        let graph = graph(&[("a.q", &sizes[0]), ("a.k", &sizes[1]), ("a.v", &sizes[2])]);
        let n = shape.iter().product();
        let (_folder, file) = single(&reals(&[("a.qkv", shape, ramp(n))]));
        load(&file, &graph, &names)
    };
    // Rows of two, of width 3: those of the file at which each head of a parameter begins.
    let begins = |loaded: &Loaded, path: &str| -> Vec<usize> {
        data(loaded, path).chunks(6).map(|head| head[0] as usize / 6).collect()
    };
    // As many heads of each: a head of queries, of keys, of values, three times.
    let loaded = read([3, 3, 3], &[18, 3]).unwrap();
    assert_eq!(data(&loaded, "a.k")[..6], [6., 7., 8., 9., 10., 11.]);
    assert_eq!(begins(&loaded, "a.q"), [0, 3, 6]);
    assert_eq!(begins(&loaded, "a.k"), [1, 4, 7]);
    assert_eq!(begins(&loaded, "a.v"), [2, 5, 8]);
    assert_eq!(loaded.bytes_read, 4 * 54);
    // Groups: two heads of queries, then theirs of keys and of values.
    let loaded = read([4, 2, 2], &[16, 3]).unwrap();
    assert_eq!(begins(&loaded, "a.q"), [0, 1, 4, 5]);
    assert_eq!((begins(&loaded, "a.k"), begins(&loaded, "a.v")), (vec![2, 6], vec![3, 7]));
    // Heads that cannot take turns, too many rows, too few.
    for (heads, shape) in [([3, 2, 2], [14, 3]), ([4, 2, 2], [17, 3]), ([4, 2, 2], [14, 3])] {
        let mismatched = differences(read(heads, &shape)).mismatched;
        assert!(mismatched[0].contains("as one of several parts"), "{mismatched:?}");
    }
}

#[test]
fn a_copy_of_a_parameter_is_one() {
    let g = graph(&[("model.embed", &[2, 2])]);
    let names = Names::default().prefix("model.").tie("head.weight", "model.embed");
    let with = |copy: &[f32], shape: &[usize]| {
        let tensors: [(&str, &[usize], _); 2] =
            [("embed", &[2, 2], ramp(4)), ("head.weight", shape, copy.to_vec())];
        let (_folder, checkpoint) = single(&reals(&tensors));
        load(&checkpoint, &g, &names)
    };
    let loaded = with(&ramp(4), &[2, 2]).unwrap();
    // The parameter, and both tensors to compare them.
    assert_eq!((loaded.tensors.len(), loaded.bytes_read), (1, 3 * 16));
    let message = with(&[0.0, 1.0, 2.0, 4.0], &[2, 2]).unwrap_err().to_string();
    assert!(message.contains("`head.weight`") && message.contains("a copy of `model.embed`"));
    // -0 and 0 are equal numbers and other bytes.
    assert!(matches!(with(&[-0.0, 1.0, 2.0, 3.0], &[2, 2]), Err(WeightsError::Untied { .. })));
    assert_eq!(differences(with(&ramp(6), &[3, 2])).mismatched.len(), 1);
    let (_folder, copy) = single(&reals(&[("head.weight", &[2, 2], ramp(4))]));
    assert_eq!(data(&load(&copy, &g, &names).unwrap(), "model.embed"), ramp(4));
    let large = 100_000;
    let (mut other, g) = (ramp(large), graph(&[("model.embed", &[large])]));
    other[large - 1] = 0.5;
    let (_folder, late) =
        single(&reals(&[("embed", &[large], ramp(large)), ("head.weight", &[large], other)]));
    assert!(matches!(load(&late, &g, &names), Err(WeightsError::Untied { .. })));
}

#[test]
fn a_model_may_lie_in_several_files() {
    let folder = Folder::new()
        .with("1.safetensors", reals(&[("a", &[4], ramp(4)), ("b", &[1], ramp(1))]))
        .with("2.safetensors", reals(&[("c", &[2], ramp(2))]))
        .with(
            "model.safetensors.index.json",
            r#"{"weight_map":{"a":"1.safetensors","b":"1.safetensors","c":"2.safetensors"}}"#,
        );
    let g = graph(&[("c", &[2]), ("a", &[4]), ("b", &[1])]);
    let checkpoint = folder.open().unwrap();
    let loaded = load(&checkpoint, &g, &Names::default()).unwrap();
    assert_eq!((data(&loaded, "a").len(), data(&loaded, "c").len(), loaded.bytes_read), (4, 2, 28));
    std::fs::write(folder.file("2.safetensors"), b"").unwrap();
    let changed = load(&checkpoint, &g, &Names::default()).unwrap_err();
    assert_eq!(changed, WeightsError::Changed { path: folder.file("2.safetensors") });
}

#[test]
fn a_star_is_a_number_as_paths_have_it() {
    let pattern = Pattern::new("layers.*.norm");
    for (name, right) in
        [("0", true), ("12", true), ("07", false), ("+7", false), ("", false), ("x", false)]
    {
        assert_eq!(pattern.matches(&format!("layers.{name}.norm")), right, "{name}");
    }
    assert!(!pattern.matches("layers.0.norm.weight") && !pattern.matches("layers.0"));
}

#[test]
fn neighbouring_axes_may_be_merged() {
    let sizes = [3, 2, 8, 16];
    for found in [&[3, 2, 8, 16][..], &[6, 8, 16], &[3, 256], &[768], &[48, 16]] {
        assert!(fits(&sizes, found), "{found:?}");
    }
    for found in
        [&[2, 3, 8, 16][..], &[16, 48], &[767], &[3, 2, 8], &[768, 1], &[], &[3, 2, 8, 16, 1]]
    {
        assert!(!fits(&sizes, found), "{found:?}");
    }
    assert!(fits(&[], &[]) && fits(&[1, 4, 1], &[4]) && !fits(&[4], &[]) && !fits(&[0], &[1]));
}
