//! Any bytes as a safetensors file: an answer, and of what is accepted, all elements.

#![no_main]

use std::io::Write;

use libfuzzer_sys::fuzz_target;
use opledger_weights::{Checkpoint, parse_header};

fuzz_target!(|bytes: &[u8]| {
    let Some((size, rest)) = bytes.split_first_chunk() else { return };
    // The claimed length is checked by tests; the header's text is what is worth searching.
    let size = usize::from(u16::from_le_bytes(*size)).min(rest.len());
    let (header, data) = rest.split_at(size);
    let Ok(tensors) = parse_header(header, data.len() as u64) else { return };
    let bits = tensors.values().map(|tensor| {
        tensor.shape.iter().map(|n| *n as u128).product::<u128>() * tensor.dtype.bitsize() as u128
    });
    assert_eq!(bits.sum::<u128>(), 8 * data.len() as u128);
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    for part in [&(size as u64).to_le_bytes(), header, data] {
        file.write_all(part).expect("a file that can be written");
    }
    let checkpoint = Checkpoint::open_file(file.path()).expect("what the parser accepts");
    assert!(checkpoint.names().eq(tensors.keys()));
    for name in checkpoint.names() {
        if let Ok(value) = checkpoint.read(name) {
            assert_eq!(value.shape(), tensors[name].shape);
        }
    }
});
