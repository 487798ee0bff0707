//! Headers that lie.

use super::*;

/// A file byte by byte.
#[derive(Clone, Default)]
struct Written(Vec<u8>);

impl Written {
    fn new(tensors: u64, keys: u64) -> Self {
        Written(b"GGUF".to_vec()).u32(3).u64(tensors).u64(keys)
    }

    fn u32(mut self, x: u32) -> Self {
        self.0.extend(x.to_le_bytes());
        self
    }

    fn u64(mut self, x: u64) -> Self {
        self.0.extend(x.to_le_bytes());
        self
    }

    fn text(self, text: &str) -> Self {
        let mut own = self.u64(text.len() as u64);
        own.0.extend(text.as_bytes());
        own
    }

    fn key(self, key: &str, kind: u32) -> Self {
        self.text(key).u32(kind)
    }

    fn tensor(self, name: &str, shape: &[u64], kind: u32, place: u64) -> Self {
        let own = self.text(name).u32(shape.len() as u32);
        shape.iter().fold(own, |own, size| own.u64(*size)).u32(kind).u64(place)
    }

    /// The same with bytes of elements behind it.
    fn elements(mut self, bytes: usize) -> Self {
        let start = self.0.len().next_multiple_of(32);
        self.0.resize(start + bytes, 0);
        self
    }

    fn read(&self) -> Result<Gguf, GgufError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &self.0).unwrap();
        Gguf::open(file.path())
    }

    #[track_caller]
    fn refused(&self) -> GgufProblem {
        match self.read() {
            Err(GgufError::Malformed { problem, .. }) => problem,
            other => panic!("{other:?}"),
        }
    }
}

/// Two tensors, and a key of each kind.
fn sound() -> Written {
    Written::new(2, 4)
        .key("general.alignment", 4)
        .u32(32)
        .key("words", 9)
        .u32(8)
        .u64(2)
        .text("one")
        .text("two")
        .key("epsilon", 6)
        .u32(1e-5_f32.to_bits())
        .key("heads", 9)
        .u32(4)
        .u64(3)
        .u32(4)
        .u32(4)
        .u32(2)
        .tensor("b", &[32, 3], 2, 32)
        .tensor("a", &[5], 0, 0)
        .elements(32 + 3 * 18)
}

#[test]
fn a_header_says_what_there_is() {
    let file = sound().read().unwrap();
    assert_eq!(file.metadata["words"], serde_json::json!({ "length": 2 }));
    assert_eq!(file.metadata["epsilon"], serde_json::json!(1e-5));
    assert_eq!(file.metadata["heads"], serde_json::json!([4, 4, 2]));
    let b = &file.tensors["b"];
    assert_eq!((b.kind.name(), &b.shape[..]), ("Q4_0", &[3, 32][..]));
    assert_eq!((b.elements(), b.bytes()), (96.into(), 54.into()));
}

#[test]
fn a_file_that_is_cut_anywhere_is_refused() {
    let whole = sound();
    for length in 0..whole.0.len() {
        let cut = Written(whole.0[..length].to_vec());
        assert!(matches!(cut.refused(), GgufProblem::Short(_) | GgufProblem::Magic), "{length}");
    }
}

#[test]
fn lies_are_named() {
    let of = |written: Written| written.refused();
    assert_eq!(of(Written(b"GGML".to_vec())), GgufProblem::Magic);
    assert_eq!(of(Written(b"GGUF".to_vec()).u32(1)), GgufProblem::Version(1));
    for (tensors, keys) in [(u64::MAX, 0), (0, u64::MAX), (1 << 17, 0)] {
        assert!(matches!(of(Written::new(tensors, keys)), GgufProblem::Many { .. }));
    }
    // Lengths that the file does not bear out, in a text, an array of texts and one of numbers.
    let key = || Written::new(0, 1);
    assert_eq!(of(key().u64(u64::MAX)), GgufProblem::Short("keys"));
    for kind in [8, 4, 10, 1] {
        let array = key().key("k", 9).u32(kind).u64(u64::MAX);
        assert_eq!(of(array), GgufProblem::Short("metadata"), "{kind}");
    }
    assert_eq!(of(key().key("k", 9).u32(9).u64(1)), GgufProblem::Nested("k".into()));
    let unknown = GgufProblem::ValueKind { key: "k".into(), kind: 13 };
    assert_eq!(of(key().key("k", 13)), unknown);
    let twice = Written::new(0, 2).key("k", 7).u32(0);
    let twice = Written(twice.0[..twice.0.len() - 3].to_vec()).key("k", 7).u32(0);
    assert_eq!(of(twice), GgufProblem::Twice("k".into()));

    let tensor = |shape: &[u64], kind| Written::new(1, 0).tensor("t", shape, kind, 0).elements(64);
    assert!(matches!(of(tensor(&[1 << 40, 1 << 40], 0)), GgufProblem::Shape { .. }));
    assert!(matches!(of(tensor(&[33], 2)), GgufProblem::Shape { block: 32, .. }));
    assert!(matches!(of(tensor(&[1 << 40], 0)), GgufProblem::Short("tensors")));
    assert!(matches!(of(tensor(&[4; 5], 0)), GgufProblem::Many { .. }));
    assert_eq!(of(tensor(&[4], 4)), GgufProblem::TensorKind { name: "t".into(), kind: 4 });
    let two = |second: u64| {
        let both = Written::new(2, 0).tensor("a", &[16], 0, 0).tensor("b", &[16], 0, second);
        of(both.elements(256))
    };
    assert_eq!(two(32), GgufProblem::Place("b".into()));
    assert_eq!(two(70), GgufProblem::Place("b".into()));
    let same = Written::new(2, 0).tensor("a", &[1], 0, 0).tensor("a", &[1], 0, 32).elements(64);
    assert_eq!(of(same), GgufProblem::Twice("a".into()));
}
