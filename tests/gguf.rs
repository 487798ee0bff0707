//! GGUF files of llama.cpp's writer: what they hold, to the byte, and the model that they are.

use std::path::PathBuf;

use opledger_account::Model;
use opledger_execute::{Execute, Generator};
use opledger_interp::{BlockType, Fast, Feeds, Oracle, Quiet, compare};
use opledger_ir::{Elem, Op, Part, SizeRole, Value, ops};
use opledger_tensor::Tensor;
use opledger_weights::Gguf;
use serde_json::Value as Json;

fn folder() -> PathBuf {
    concat!(env!("CARGO_MANIFEST_DIR"), "/gguf").into()
}

fn files() -> serde_json::Map<String, Json> {
    json("files.json")
}

fn json(name: &str) -> serde_json::Map<String, Json> {
    serde_json::from_slice(&std::fs::read(folder().join(name)).unwrap()).unwrap()
}

/// Whole numbers.
fn ids(list: &Json) -> Vec<i64> {
    list.as_array().unwrap().iter().map(|id| id.as_i64().unwrap()).collect()
}

#[test]
fn headers_are_the_models_they_describe() {
    let mut models = 0;
    for (name, told) in files() {
        let path = folder().join(format!("{name}.gguf"));
        let Some(parameters) = told.get("parameters") else { continue };
        let model = Model::open(path.to_str().unwrap()).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(model.parameters().to_string(), parameters.to_string(), "{name}");
        assert_eq!(model.not_understood(), [""; 0], "{name}");
        let kinds = model.stored_weights();
        assert_eq!(kinds.len(), told["kinds"].as_object().unwrap().len(), "{name}");
        for kind in kinds {
            let of = &told["kinds"][kind.name];
            assert_eq!(kind.tensors.to_string(), of["tensors"].to_string(), "{name}");
            assert_eq!(kind.elements.to_string(), of["elements"].to_string(), "{name}");
            assert_eq!(kind.bytes.to_string(), of["bytes"].to_string(), "{name}");
        }
        let mut sizes = vec![("n", 5)];
        sizes.extend(model.graph().size_of(SizeRole::Memory).map(|_| ("m", 3)));
        let memory = model.at(sizes).unwrap().memory(model.storage()).unwrap();
        let cached = memory.cache_per_token.map(|bytes| bytes.to_string());
        let expected = told.get("cache_per_token").map(ToString::to_string);
        assert_eq!(cached, expected, "{name}");
        models += 1;
    }
    assert_eq!(models, 45);
}

#[test]
fn every_type_takes_the_bytes_that_the_writer_says() {
    let file = Gguf::open(&folder().join("types.gguf")).unwrap();
    let kinds = files()["types"]["kinds"].as_object().unwrap().clone();
    assert_eq!(file.tensors.len(), kinds.len());
    for (name, tensor) in &file.tensors {
        assert_eq!(tensor.kind.name(), name);
        assert_eq!(tensor.elements().to_string(), kinds[name]["elements"].to_string());
        assert_eq!(tensor.bytes().to_string(), kinds[name]["bytes"].to_string());
    }
}

/// Blocks of any bits are the numbers that the writer's library makes of them.
#[test]
fn blocks_are_the_numbers_that_the_library_makes_of_them() {
    let told = json("runs.json")["blocks"].clone();
    let bytes = |text: &Json| -> Vec<u8> {
        let digits = text.as_str().unwrap().as_bytes().chunks(2);
        digits
            .map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap())
            .collect()
    };
    assert_eq!(told.as_object().unwrap().len(), BlockType::ALL.len());
    for of in BlockType::ALL {
        let mut values = Vec::new();
        of.widen(&bytes(&told[of.name()]["bytes"]), &mut values);
        let bits = |x: &f32| x.to_bits();
        let expected = bytes(&told[of.name()]["values"]);
        let expected = expected.chunks(4).map(|x| u32::from_le_bytes(x.try_into().unwrap()));
        assert!(values.iter().map(bits).eq(expected), "{of:?}");
    }
}

/// What the library computes by the weights of a file, widened, is what is computed by them as they are kept: by
/// the oracle in double precision, by the kernels, and token by token.
#[test]
fn a_file_runs_by_its_weights_as_they_are_stored() {
    let told = json("runs.json");
    let prompt = ids(&told["prompt"]);
    let cases = told["runs"].as_object().unwrap();
    for (name, case) in cases {
        let path = folder().join("runs").join(format!("{name}.gguf"));
        let path = path.to_str().unwrap();
        let model = Model::open(path).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(model.not_understood(), [""; 0], "{name}");
        let sized = model.at([("b", 1), ("n", prompt.len())]).unwrap();
        let input = Tensor::new(&[1, prompt.len()], prompt.clone()).unwrap();
        let prepared =
            sized.prepare(Feeds::seeded(1).with("input_ids", Value::Index(input))).unwrap();
        let expected: Vec<f64> = case["logits"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|row| row.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()))
            .collect();
        let close = |found: &[f64], bound: f64| {
            assert_eq!(found.len(), expected.len(), "{name}");
            for (x, y) in found.iter().zip(&expected) {
                assert!((x - y).abs() <= bound, "{name}: {x} for {y}");
            }
        };
        let oracle = prepared.run(&mut Oracle::<f64>::new(), &mut Quiet).unwrap();
        close(oracle.output_f64("logits").unwrap().data(), 1e-9);
        let fast = prepared.run(&mut Fast::new().unwrap(), &mut Quiet).unwrap();
        close(fast.output_f64("logits").unwrap().data(), 1e-3);
        for (run, by) in [(&oracle.ledger, "the oracle"), (&fast.ledger, "the kernels")] {
            let theorem = compare(prepared.graph(), prepared.binding(), run, by).unwrap();
            assert!(theorem.holds(), "{name}: {:?}", theorem.mismatches);
        }
        // Weights are in memory as they are in the file, those of norms and of rotation as `f32`.
        let in_file = case["bytes"].as_u64().unwrap();
        let graph = prepared.graph();
        let parameters = prepared.tensors().iter().filter(|(at, _)| {
            matches!(graph.nodes()[*at].op, Op::Source(ops::Source::Param { .. }))
        });
        let held: u64 = parameters.map(|(_, fed)| fed.bytes()).sum();
        assert!(held >= in_file && held < in_file + in_file / 4, "{name}: {held} for {in_file}");
        let blocks =
            graph.nodes().iter().any(|node| matches!(node.shape.elem, Elem::Blocks { .. }));
        let widened = |ledger: &opledger_interp::Ledger| {
            let widened =
                ledger.rows().iter().map(|row| row.counts().executed.part(Part::Widening).total());
            widened.sum::<u64>()
        };
        assert_eq!(widened(&fast.ledger) > 0, blocks, "{name}");
        assert_eq!(widened(&oracle.ledger), 0, "{name}");
        let mut generator = Generator::open(path, Feeds::seeded(1)).unwrap().past_end_tokens();
        let wanted = ids(&case["generated"]);
        assert_eq!(generator.generate(&prompt, wanted.len()).unwrap(), wanted, "{name}");
    }
    assert_eq!(cases.len(), 10);
}

#[test]
fn what_is_counted_alone_is_told() {
    let refused = |name: &str| {
        let path = folder().join(name);
        Generator::open(path.to_str().unwrap(), Feeds::seeded(1)).unwrap_err().to_string()
    };
    let architecture = refused("bloom.gguf");
    assert!(architecture.contains("weights of its architecture are not read"), "{architecture}");
}
