//! Layers against PyTorch: the cases that `golden/make.py` wrote, executed by the oracle in both
//! precisions and by the kernels.

use std::collections::BTreeSet;
use std::path::PathBuf;

use opledger_interp::{Fast, Feeds, Interpreter, Oracle, Prepared, Quiet, prove};
use opledger_ir::{Operation, Value, to_usize};
use opledger_models::{ModelGraph, layer};
use opledger_tensor::Tensor;
use safetensors::{Dtype, SafeTensors};

/// Roundings of one result beside those of its sums: a pointwise function as the references write it
/// takes at most six operations, its library function errs by at most two units in the last place.
const ROUNDINGS_OF_A_RESULT: usize = 8;

/// No case may need a bound so wide that a wrong formula could hide in it: the two forms of GELU, the
/// closest pair there is, differ by up to 5e-4.
const WIDEST_BOUND: f64 = 1e-4;

/// The unit roundoff of each precision: half the distance from 1 to the next number.
const SINGLE: f64 = 1.0 / (1 << 24) as f64;
const DOUBLE: f64 = 1.0 / (1_u64 << 53) as f64;

/// A case as it lies on the disk.
struct Case {
    name: String,
    model: ModelGraph,
    feeds: Feeds,
    fed: BTreeSet<String>,
    expected: Vec<(String, Tensor<f64>)>,
}

fn numbers<T, const N: usize>(bytes: &[u8], read: fn([u8; N]) -> T) -> Vec<T> {
    bytes.chunks_exact(N).map(|chunk| read(chunk.try_into().unwrap())).collect()
}

fn read(path: &PathBuf) -> Case {
    let bytes = std::fs::read(path).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let spec = &header.metadata().as_ref().unwrap()["spec"];
    let model = layer::parse(spec).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let (mut feeds, mut fed, mut expected) = (Feeds::seeded(0), BTreeSet::new(), Vec::new());
    for (name, view) in SafeTensors::deserialize(&bytes).unwrap().iter() {
        let shape = view.shape();
        match (view.dtype(), name.strip_prefix("expected.")) {
            (Dtype::F64, Some(output)) => {
                let data = numbers(view.data(), f64::from_le_bytes);
                expected.push((output.to_owned(), Tensor::new(shape, data).unwrap()));
            }
            (Dtype::F32, None) => {
                let data = numbers(view.data(), f32::from_le_bytes);
                feeds = feeds.with(name, Tensor::new(shape, data).unwrap());
                fed.insert(name.to_owned());
            }
            (Dtype::I64, None) => {
                let data = numbers(view.data(), i64::from_le_bytes);
                let ids = Value::Index(Tensor::new(shape, data).unwrap());
                feeds = feeds.with(name, ids);
                fed.insert(name.to_owned());
            }
            other => panic!("{}: {name} is {other:?}", path.display()),
        }
    }
    let name = path.file_stem().unwrap().to_string_lossy().into_owned();
    Case { name, model, feeds, fed, expected }
}

fn cases() -> Vec<Case> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/cases");
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(read).collect()
}

impl Case {
    /// How many roundings lie behind a result on the longest way through the graph: a sum of k terms
    /// rounds k − 1 additions and, of products, one multiplication a term. To first order the error
    /// is at most this many times the unit roundoff times the size of the values (Higham 2002, §3.1).
    fn roundings(&self) -> usize {
        let graph = &self.model.graph;
        let binding = graph.complete(&self.model.binding).unwrap();
        let size = |size: &opledger_dims::Poly| to_usize(&size.at(&binding).unwrap()).unwrap();
        let mut behind: Vec<usize> = Vec::new();
        for node in graph.nodes() {
            let before = node.inputs.iter().map(|var| behind[var.index()]).max().unwrap_or(0);
            let summed = node.op.summed(&graph.operand_shapes(node));
            let terms: usize = summed.iter().map(|(_, axis)| size(axis)).product();
            let own = match node.op.is_source() || node.op.is_view() {
                true => 0,
                false => size(&graph.multiplicity(node)) * (terms + ROUNDINGS_OF_A_RESULT),
            };
            behind.push(before + own);
        }
        graph.outputs().iter().map(|(_, var)| behind[var.index()]).max().unwrap_or(0)
    }

    /// The largest difference from PyTorch's result, in units of the bound.
    fn worst<I: Interpreter>(&self, mut interpreter: I, roundoff: f64) -> f64 {
        let ModelGraph { graph, binding, .. } = &self.model;
        let prepared = Prepared::new(graph, binding, &self.feeds);
        let prepared = prepared.unwrap_or_else(|e| panic!("{}: {e}", self.name));
        let taken: BTreeSet<String> =
            prepared.tensors().iter().map(|(_, fed)| fed.path.clone()).collect();
        assert_eq!(taken, self.fed, "{}: every input and parameter is given", self.name);
        let run = prepared.run(&mut interpreter, &mut Quiet);
        let run = run.unwrap_or_else(|e| panic!("{}: {e}", self.name));
        assert_eq!(run.outputs.len(), self.expected.len(), "{}", self.name);
        let mut worst = 0.0_f64;
        for (name, _) in &run.outputs {
            let result = run.output_f64(name).unwrap();
            let (_, expected) = self.expected.iter().find(|(n, _)| n == name).unwrap();
            assert_eq!(result.shape(), expected.shape(), "{} {name}", self.name);
            let largest = expected.data().iter().fold(1.0_f64, |max, x| max.max(x.abs()));
            let bound = self.roundings() as f64 * roundoff * largest;
            assert!(bound <= WIDEST_BOUND * largest, "{} {name}: bound {bound:e}", self.name);
            for (x, y) in result.data().iter().zip(expected.data()) {
                let error = (x - y).abs();
                assert!(error <= bound, "{} {name}: {x} for {y}, bound {bound:e}", self.name);
                worst = worst.max(error / bound);
            }
        }
        worst
    }
}

#[test]
fn the_oracle_agrees_with_pytorch_in_double_precision() {
    for case in cases() {
        let worst = case.worst(Oracle::<f64>::new(), DOUBLE);
        println!("{:40} {worst:.3} of the bound", case.name);
    }
}

#[test]
fn the_oracle_agrees_with_pytorch_in_single_precision() {
    for case in cases() {
        let worst = case.worst(Oracle::<f32>::new(), SINGLE);
        println!("{:40} {worst:.3} of the bound", case.name);
    }
}

#[test]
fn the_kernels_agree_with_pytorch() {
    for case in cases() {
        let worst = case.worst(Fast::new().unwrap(), SINGLE);
        println!("{:40} {worst:.3} of the bound", case.name);
    }
}

#[test]
fn every_case_costs_what_is_counted() {
    for case in cases() {
        let ModelGraph { graph, binding, .. } = &case.model;
        let theorem = prove(graph, binding, &case.feeds).unwrap().theorem;
        assert!(theorem.holds(), "{}: {:?}", case.name, theorem.mismatches);
    }
}

#[test]
fn there_are_cases_of_every_kind_of_layer() {
    let cases = cases();
    let specs: Vec<&str> = cases.iter().map(|c| c.model.name.as_str()).collect();
    for kind in layer::kinds() {
        let covered = specs.iter().any(|s| s.split(':').next() == Some(kind.name));
        assert!(covered, "no golden case of `{}`", kind.name);
    }
}
