//! Checkpoints in 16 bits: weights stay so in memory, and every result and count is that of the same
//! checkpoint widened before.

use std::fs;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde_json::Value;

use super::checkpoints::copied;
use super::stdout;

/// The bits of a number in 16, as which it is the same in 32: of bf16 the upper half, of f16 the upper
/// seven bits of the mantissa and no number too small.
fn halved(x: f32, dtype: Dtype) -> (u16, f32) {
    let upper = (x.to_bits() >> 16) as u16;
    if dtype == Dtype::BF16 {
        return (upper, f32::from_bits(u32::from(upper) << 16));
    }
    let (sign, exponent, mantissa) = (upper & 0x8000, (upper >> 7) & 0xff, upper & 0x7f);
    if exponent < 127 - 14 {
        return (sign, f32::from_bits(u32::from(sign) << 16));
    }
    assert!(exponent <= 127 + 15);
    let bits = sign | ((exponent + 15 - 127) << 10) | (mantissa << 3);
    (bits, f32::from_bits(u32::from(upper) << 16))
}

/// Two copies of a checkpoint: in 16 bits, and the same numbers in 32.
fn both(name: &str, dtype: Dtype) -> [tempfile::TempDir; 2] {
    let folders = [copied(name, &[]), copied(name, &[])];
    let file = folders[0].path().join("model.safetensors");
    let bytes = fs::read(&file).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let [mut narrow, mut wide] = [Vec::new(), Vec::new()];
    for (name, tensor) in tensors.tensors() {
        assert_eq!(tensor.dtype(), Dtype::F32);
        let numbers = tensor.data().as_chunks::<4>().0.iter().map(|x| f32::from_le_bytes(*x));
        let (halves, numbers): (Vec<u16>, Vec<f32>) = numbers.map(|x| halved(x, dtype)).unzip();
        let shape = tensor.shape().to_vec();
        let bytes: Vec<u8> = halves.iter().flat_map(|x| x.to_le_bytes()).collect();
        narrow.push((name.clone(), shape.clone(), bytes));
        wide.push((name, shape, numbers.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>()));
    }
    for (folder, all, dtype) in [(&folders[0], narrow, dtype), (&folders[1], wide, Dtype::F32)] {
        let views = all.iter().map(|(name, shape, bytes)| {
            (name.clone(), TensorView::new(dtype, shape.clone(), bytes).unwrap())
        });
        let path = folder.path().join("model.safetensors");
        fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
    }
    folders
}

fn record(command: &str, folder: &Path, more: &[&str]) -> Value {
    let all = [&[command, folder.to_str().unwrap(), "--format", "json"], more].concat();
    serde_json::from_str(&stdout(&all)).unwrap()
}

#[test]
fn a_checkpoint_in_16_bits_gives_the_bits_of_the_same_widened_and_reads_half() {
    let models = [
        ("llama_tied_scaled", Dtype::BF16, true),
        ("mixtral_window", Dtype::F16, true),
        ("gpt2_lm", Dtype::BF16, true),
        ("t5_encoder", Dtype::F16, false),
        ("bert_masked_lm", Dtype::BF16, false),
    ];
    for (name, dtype, generates) in models {
        let folders = both(name, dtype);
        let [narrow, wide] = folders.each_ref().map(|folder| {
            let output = folder.path().join("results.safetensors");
            let sizes = ["--set", "n=5", "--output", output.to_str().unwrap()];
            let run = record("run", folder.path(), &sizes);
            assert_eq!(run["theorem"]["mismatches"], 0, "{name}");
            (run, fs::read(output).unwrap())
        });
        assert!(narrow.1 == wide.1, "{name}: bits of the results");
        for key in ["useful", "executed", "outputs"] {
            assert_eq!(narrow.0[key], wide.0[key], "{name}: {key}");
        }
        let read = |run: &Value| run["bytes"]["read"].to_string().parse::<f64>().unwrap();
        assert!(read(&narrow.0) < 0.8 * read(&wide.0), "{name}");
        assert_eq!(narrow.0["bytes"]["written"], wide.0["bytes"]["written"], "{name}");
        if generates {
            let [narrow, wide] = folders.each_ref().map(|folder| {
                let generated =
                    record("generate", folder.path(), &["--ids", "5,17,3", "--new-tokens", "4"]);
                assert_eq!(generated["theorem"]["mismatches"], 0, "{name}");
                generated
            });
            assert_eq!(narrow["generated"], wide["generated"], "{name}");
        }
    }
}
