//! ONNX's own node tests (`onnx/write.py`): each case by the operation that the graph has for it, in both
//! interpreters, and what each node counts.

mod attention;
mod flexible;
mod recorder;
mod resized;

use std::path::Path;

use opledger_dims::{Binding, Scalar, Symbol};
use opledger_interp::{Fast, Feeds, Oracle, Prepared, Quiet, prove};
use opledger_ir::{Graph, Value, Var};
use opledger_tensor::Tensor;
use opledger_weights::Checkpoint;
use serde_json::Value as Json;

use self::recorder::{Recorder, named};

/// A case: its attributes, its inputs, and the result that ONNX gives.
struct Case {
    name: String,
    op: String,
    attributes: Json,
    inputs: Vec<Option<Value<f32>>>,
    expected: Value<f32>,
}

impl Case {
    fn int(&self, name: &str, default: i64) -> i64 {
        self.attributes[name].as_i64().unwrap_or(default)
    }

    fn float(&self, name: &str, default: f64) -> f64 {
        self.attributes[name].as_f64().unwrap_or(default)
    }

    fn ints(&self, name: &str) -> Option<Vec<i64>> {
        let list = self.attributes[name].as_array()?;
        Some(list.iter().map(|value| value.as_i64().unwrap()).collect())
    }

    fn input(&self, at: usize) -> Option<&Value<f32>> {
        self.inputs.get(at)?.as_ref()
    }

    fn whole(&self, at: usize) -> Option<&[i64]> {
        self.input(at).map(|value| value.index().unwrap().data())
    }

    fn sizes(&self, at: usize) -> &[usize] {
        self.input(at).unwrap().shape()
    }

    fn rank(&self) -> usize {
        self.sizes(0).len()
    }

    /// A dimension of the first input, counted from the end where it is below 0.
    fn dim(&self, name: &str, default: i64) -> usize {
        let dim = self.int(name, default);
        if dim < 0 { (dim + self.rank() as i64) as usize } else { dim as usize }
    }

    /// Whole numbers for each of the axes that a window slides along.
    fn each(&self, name: &str, axes: usize) -> Vec<usize> {
        let given = self.ints(name);
        given.map_or(vec![1; axes], |given| given.into_iter().map(|n| n as usize).collect())
    }

    /// Positions of padding before and after these axes.
    fn pads(&self, axes: usize) -> Vec<(usize, usize)> {
        let pads = self.ints("pads").unwrap_or_else(|| vec![0; 2 * axes]);
        (0..axes).map(|axis| (pads[axis] as usize, pads[axes + axis] as usize)).collect()
    }
}

fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("onnx");
    let text = std::fs::read_to_string(folder.join("node.json")).unwrap();
    let all: Json = serde_json::from_str(&text).unwrap();
    let tensors = Checkpoint::open_file(&folder.join("node.safetensors")).unwrap();
    let read =
        |name: String| tensors.names().any(|own| own == name).then(|| tensors.read(&name).unwrap());
    let case = |(name, case): (&String, &Json)| Case {
        op: case["op"].as_str().unwrap().to_owned(),
        attributes: case["attributes"].clone(),
        inputs: (0..7).map(|at| read(format!("{name}.input.{at}"))).collect(),
        expected: read(format!("{name}.output.0")).unwrap(),
        name: name.clone(),
    };
    all["cases"].as_object().unwrap().iter().map(case).collect()
}

/// Elements in the order of ONNX, whatever order the axes of the result have; dimensions of one that a
/// result lacks hold none.
fn ordered(graph: &Graph, var: Var, result: &Value<f32>, case: &Case) -> Vec<f64> {
    let expected = case.expected.shape();
    let own: Vec<Symbol> = graph.shape(var).axes.iter().map(|axis| axis.name.clone()).collect();
    let wanted: Vec<Symbol> = named(expected).into_iter().map(|axis| axis.name).collect();
    let numbers: Vec<f64> = match result {
        Value::Real(tensor) => tensor.data().iter().map(|x| f64::from(*x)).collect(),
        Value::Index(tensor) => tensor.data().iter().map(|x| *x as f64).collect(),
    };
    // Softmax and choices put an axis last.
    let moved = matches!(case.op.as_str(), "Softmax" | "TopK");
    if !moved || own == wanted {
        return numbers;
    }
    let last = case.dim("axis", -1);
    let strides = opledger_ir::strides(result.shape());
    let place = |dim: usize| match dim {
        dim if dim < last => dim,
        dim if dim == last => expected.len() - 1,
        dim => dim - 1,
    };
    let along: Vec<usize> = (0..expected.len()).map(|dim| strides[place(dim)]).collect();
    let index = opledger_ir::indices(expected);
    index.map(|at| numbers[at.iter().zip(&along).map(|(i, s)| i * s).sum::<usize>()]).collect()
}

/// The inputs of a case that its graph has, since bounds and numbers of results are constants; places
/// below 0 are counted from the end.
fn fed(case: &Case, graph: &Graph) -> Feeds {
    let mut feeds = Feeds::seeded(1);
    let looks_up = ["Gather", "Scatter"].iter().any(|name| case.op.starts_with(name));
    for (at, value) in case.inputs.iter().enumerate() {
        let Some(value) = value else { continue };
        if !graph.nodes().iter().any(|node| node.path == at.to_string()) {
            continue;
        }
        let value = match value {
            Value::Index(ids) if at == 1 && looks_up => {
                let last = ids.shape().last().copied().unwrap_or(1).max(1);
                let size = |place: usize| match case.op.ends_with("ND") {
                    true => case.sizes(0)[place % last] as i64,
                    false => case.sizes(0)[case.dim("axis", 0)] as i64,
                };
                let ids = ids.data().iter().enumerate();
                let ids = ids.map(|(at, id)| if *id < 0 { id + size(at) } else { *id }).collect();
                Value::Index(Tensor::new(value.shape(), ids).unwrap())
            }
            value => value.clone(),
        };
        feeds = feeds.with(&at.to_string(), value);
    }
    feeds
}

#[test]
fn onnx_has_these_values() {
    let (mut run, mut wrong) = (0, Vec::new());
    let elsewhere = ["Attention", "FlexAttention", "RotaryEmbedding"];
    for case in cases().iter().filter(|case| !elsewhere.contains(&&*case.op)) {
        let mut recorder = Recorder { case, g: Graph::new() };
        let y = recorder.record();
        recorder.g.output("y", y);
        let (graph, sizes) = (recorder.g, Binding::new());
        let feeds = fed(case, &graph);
        let prepared = Prepared::new(&graph, &sizes, &feeds).unwrap();
        let fast = prepared.run(&mut Fast::new().unwrap(), &mut Quiet).unwrap();
        let exact = prepared.run(&mut Oracle::<f64>::new(), &mut Quiet).unwrap();
        let exact = match &exact.outputs[0].1 {
            Value::Real(tensor) => Value::Real(tensor.map(|x| x.to_f64() as f32)),
            Value::Index(tensor) => Value::Index(tensor.clone()),
        };
        let expected: Vec<f64> = match &case.expected {
            Value::Real(tensor) => tensor.data().iter().map(|x| f64::from(*x)).collect(),
            Value::Index(tensor) => tensor.data().iter().map(|x| *x as f64).collect(),
        };
        let scale = expected.iter().fold(1.0_f64, |most, x| most.max(x.abs()));
        for result in [&fast.outputs[0].1, &exact] {
            let found = ordered(&graph, y, result, case);
            let close = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-5 * scale;
            if found.len() != expected.len() || !found.iter().zip(&expected).all(close) {
                wrong.push(case.name.clone());
            }
        }
        let proof = prove(&graph, &sizes, &feeds).unwrap();
        assert!(
            proof.theorem.mismatches.is_empty(),
            "{}: {:?}",
            case.name,
            proof.theorem.mismatches
        );
        run += 1;
    }
    assert!(wrong.is_empty(), "of {run} cases: {wrong:?}");
    assert!(run > 250, "{run}");
}
