//! Any text as the program of an archive, and any bytes as an archive: an error with words, or a graph
//! that can be counted, of which a second reading finds the same.

#![no_main]

use std::io::Write;

use libfuzzer_sys::fuzz_target;
use opledger_torch::{ImportOptions, open};
use rawzip::ZipArchiveWriter;

/// An archive of one entry, stored as PyTorch stores it.
fn archive(program: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut zip = ZipArchiveWriter::new(&mut bytes);
    let (mut entry, config) = zip.new_file("p/models/model.json").start().expect("an entry");
    let mut writer = config.wrap(&mut entry);
    writer.write_all(program).expect("memory");
    let (_, descriptor) = writer.finish().expect("memory");
    entry.finish(descriptor).expect("memory");
    zip.finish().expect("memory");
    bytes
}

fuzz_target!(|bytes: &[u8]| {
    let zip = if bytes.starts_with(b"PK") { bytes.to_vec() } else { archive(bytes) };
    let mut file = tempfile::Builder::new().suffix(".pt2").tempfile().expect("a temporary file");
    file.write_all(&zip).expect("a file that can be written");
    for partial in [false, true] {
        let options = ImportOptions { partial, ..ImportOptions::default() };
        match open(file.path(), &options) {
            Err(error) => assert!(!error.to_string().is_empty()),
            Ok(imported) => {
                let again = open(file.path(), &options).expect("what was read before");
                assert_eq!(imported.graph.cost().flops(), again.graph.cost().flops());
            }
        }
    }
});
