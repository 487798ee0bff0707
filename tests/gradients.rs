//! Gradients of exported programs against those of autograd, in double precision.

use std::collections::{BTreeMap, BTreeSet};

use opledger_account::{Model, TrainingOptions};
use opledger_dims::{Counted, Scalar};
use opledger_grad::{Optimizer, Recompute, Update, backward};
use opledger_interp::{Fast, Oracle, Prepared, Quiet, prove};
use opledger_ir::Value;
use opledger_tensor::Tensor;
use opledger_torch::Imported;
use rayon::prelude::*;
use safetensors::{Dtype, SafeTensors};

use crate::models::{Case, cases};
use crate::programs::{file, given, imported};

/// The numbers of a tensor of double precision.
fn numbers(file: &SafeTensors<'_>, name: &str) -> Vec<f64> {
    let tensor = file.tensor(name).unwrap();
    assert_eq!(tensor.dtype(), Dtype::F64);
    let number = |bytes: &[u8]| f64::from_le_bytes(bytes.try_into().unwrap());
    tensor.data().chunks_exact(8).map(number).collect()
}

/// The largest difference of two tensors, of what the largest element is; NaN if any is.
fn apart(own: impl ExactSizeIterator<Item = f64>, torch: &[f64]) -> f64 {
    assert_eq!(own.len(), torch.len());
    let scale = torch.iter().fold(1.0_f64, |most, x| most.max(x.abs()));
    let larger = |a: f64, b: f64| if b > a || b.is_nan() { b } else { a };
    own.zip(torch).map(|(a, b)| (a - b).abs() / scale).fold(0.0, larger)
}

#[test]
fn gradients_are_those_of_autograd() {
    let names = [
        "encoder_layer",
        "odd_letters",
        "divided",
        "blocks",
        "groups",
        "merged",
        "modulated",
        "recurrent",
        "skipped",
        "vit",
        "windows",
    ];
    for name in names {
        let Imported { graph, .. } = imported(name);
        let (feeds, sizes, _) = given(name, &graph);
        let result = graph.outputs()[0].0.clone();
        let step = backward(&graph, &result).unwrap_or_else(|error| panic!("{name}: {error}"));
        let bytes = std::fs::read(file(&format!("gradients/{name}"), "safetensors")).unwrap();
        let torch = SafeTensors::deserialize(&bytes).unwrap();
        let given = numbers(&torch, "gradient").into_iter().map(|x| x as f32).collect();
        let shape = torch.tensor("gradient").unwrap().shape().to_vec();
        let feeds = feeds.with("gradient", Tensor::new(&shape, given).unwrap());
        let prepared = Prepared::new(&step, &sizes, &feeds).unwrap();
        let exact = prepared.run(&mut Oracle::<f64>::new(), &mut Quiet).unwrap();
        let fast = prepared.run(&mut Fast::new().unwrap(), &mut Quiet).unwrap();
        let mut compared = 0;
        for tensor in torch.names().into_iter().filter(|name| *name != "gradient") {
            let wanted = numbers(&torch, tensor);
            let of = |outputs: &[(String, Value<f32>)]| {
                let (_, value) = outputs.iter().find(|(own, _)| own == tensor).unwrap();
                apart(value.real().unwrap().data().iter().map(|x| f64::from(*x)), &wanted)
            };
            let exactly = |outputs: &[(String, Value<Counted<f64>>)]| {
                let found = outputs.iter().find(|(own, _)| own == tensor);
                let (_, value) = found.unwrap_or_else(|| panic!("{name} has no {tensor}"));
                apart(value.real().unwrap().data().iter().map(|x| x.to_f64()), &wanted)
            };
            let (by_oracle, by_kernels) = (exactly(&exact.outputs), of(&fast.outputs));
            assert!(
                by_oracle < 1e-10 && by_kernels < 1e-5,
                "{name}: {tensor}: {by_oracle} {by_kernels}"
            );
            compared += 1;
        }
        assert!(compared > 0);
        let theorem = prove(&step, &sizes, &feeds).unwrap().theorem;
        assert!(theorem.holds(), "{name}: {:?}", theorem.mismatches);
    }
}

/// Every published model can be trained by what it is trained by where nobody says another: its gradients,
/// whatever is computed again, and their update are a graph.
#[test]
fn every_preset_has_a_step() {
    let update = Some(Update { optimizer: Optimizer::ADAMW, clip: Some(1.0) });
    let without: Vec<String> = opledger_models::preset_names()
        .collect::<Vec<_>>()
        .into_par_iter()
        .filter_map(|name| {
            let model = Model::open(name).unwrap();
            let all = [Recompute::Nothing, Recompute::Selective, Recompute::Layers];
            all.into_iter().find_map(|recompute| {
                let options = TrainingOptions { recompute, update, ..Default::default() };
                model.training(&options).err().map(|error| format!("{name}: {error}"))
            })
        })
        .collect();
    assert!(without.is_empty(), "{without:#?}");
}

/// The numbers that `golden/gradients.py` takes for the gradient of a result.
fn seed(case: &Case, shape: &[usize]) -> Tensor<f32> {
    let count: usize = shape.iter().product();
    let mask = case.input("attention_mask");
    let mask = mask.filter(|mask| {
        case.input("decoder_input_ids").is_none() && shape.get(..2) == Some(mask.shape())
    });
    let width: usize = shape.iter().skip(2).product();
    let hidden = |at: usize| mask.is_some_and(|mask| mask.data()[at / width] == 0);
    let value = |at: usize| if hidden(at) { 0.0 } else { ((7 * at % 17) as f32 - 8.0) / 8.0 };
    Tensor::new(shape, (0..count).map(value).collect()).unwrap()
}

/// The first checkpoint of each family.
#[test]
fn gradients_of_families_are_those_of_autograd() {
    let mut families = BTreeSet::new();
    hold(cases().into_iter().filter(|case| families.insert(case.family())).collect());
}

#[test]
#[ignore = "minutes: every checkpoint"]
fn gradients_of_checkpoints_are_those_of_autograd() {
    hold(cases());
}

fn hold(cases: Vec<Case>) {
    let text =
        std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/golden/gradients.json")).unwrap();
    let all: BTreeMap<String, serde_json::Value> = serde_json::from_slice(&text).unwrap();
    let mut problems: Vec<String> = Vec::new();
    let mut held = 0;
    for case in cases {
        match compared(&case, &all[&case.name]) {
            Ok(()) => held += 1,
            Err(problem) => problems.push(format!("{}: {problem}", case.name)),
        }
    }
    // Where nothing is hidden, the gradient of what stands for hidden tokens would be a sum over nothing.
    let of_nothing = |problem: &String| problem.starts_with("vit_mae_all: decoder.sum");
    assert!(problems.iter().all(of_nothing) && held > 80, "{held} are equal: {problems:#?}");
}

/// What differs.
fn compared(case: &Case, torch: &serde_json::Value) -> Result<(), String> {
    let model = case.model(&case.request());
    let number = |key: &str| torch[key].as_f64().unwrap();
    let step = backward(&model.graph, torch["result"].as_str().unwrap())
        .map_err(|error| error.to_string())?;
    let binding = case.binding(&model);
    let feeds = case.feeds(&model, &binding);
    let sizes = step.complete(&binding).map_err(|error| error.to_string())?;
    let seeds = step.nodes().iter().find(|node| node.path == "gradient").unwrap();
    let size = |axis: &opledger_ir::Axis| usize::try_from(axis.size.at(&sizes).unwrap()).unwrap();
    let shape: Vec<usize> = seeds.shape.axes.iter().map(size).collect();
    let feeds = feeds.with("gradient", seed(case, &shape));
    let prepared = Prepared::new(&step, &binding, &feeds).map_err(|error| error.to_string())?;
    let run =
        prepared.run(&mut Oracle::<f64>::new(), &mut Quiet).map_err(|error| error.to_string())?;
    let parameters: BTreeMap<String, Value<f32>> = case.weights(&model, &binding).collect();
    let (mut squares, mut along, mut elements) = (0.0, 0.0, 0);
    for (name, value) in &run.outputs {
        let Some(path) = name.strip_prefix("gradient.") else { continue };
        let gradient = value.real().unwrap().data();
        let parameter = parameters[path].real().unwrap().data();
        elements += gradient.len();
        for (g, p) in gradient.iter().zip(parameter) {
            squares += g.to_f64() * g.to_f64();
            along += g.to_f64() * f64::from(*p);
        }
    }
    let near = |own: f64, torch: f64, scale: f64| (own - torch).abs() <= 1e-10 * scale.max(1.0);
    let torch = [number("squares"), number("along")];
    let scale = (torch[0] * number("elements")).sqrt();
    let same = elements as f64 == number("elements");
    match same && near(squares, torch[0], torch[0]) && near(along, torch[1], scale) {
        true => Ok(()),
        false => Err(format!("{elements} elements, {squares}, {along}; autograd {torch:?}")),
    }
}
