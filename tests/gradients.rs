//! Gradients of exported programs against those of autograd, in double precision.

use opledger_account::Model;
use opledger_dims::{Counted, Scalar};
use opledger_grad::backward;
use opledger_interp::{Fast, Oracle, Prepared, Quiet, prove};
use opledger_ir::Value;
use opledger_tensor::Tensor;
use opledger_torch::Imported;
use rayon::prelude::*;
use safetensors::{Dtype, SafeTensors};

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
    for name in ["encoder_layer", "odd_letters", "divided"] {
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

/// Every published model can be trained: the gradients of all its parameters are a graph.
#[test]
fn every_preset_has_a_gradient() {
    let without: Vec<String> = opledger_models::preset_names()
        .collect::<Vec<_>>()
        .into_par_iter()
        .filter_map(|name| {
            let model = Model::open(name).unwrap();
            let result = &model.graph().outputs()[0].0;
            backward(model.graph(), result).err().map(|error| format!("{name}: {error}"))
        })
        .collect();
    assert!(without.is_empty(), "{without:#?}");
}
