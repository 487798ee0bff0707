//! The types of tensors in GGUF files.

/// How elements are stored: in blocks of so many, that take so many bytes together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TensorKind {
    id: u32,
    name: &'static str,
    block: u64,
    bytes: u64,
}

/// Every type that files have: the number, the name, the elements of a block and its bytes.
/// `GGMLQuantizationType` and `GGML_QUANT_SIZES` in `gguf-py/gguf/constants.py` of
/// `ggml-org/llama.cpp` at 0024aa7.
const KINDS: &[TensorKind] = &[
    kind(0, "F32", 1, 4),
    kind(1, "F16", 1, 2),
    kind(2, "Q4_0", 32, 2 + 16),
    kind(3, "Q4_1", 32, 2 + 2 + 16),
    kind(6, "Q5_0", 32, 2 + 4 + 16),
    kind(7, "Q5_1", 32, 2 + 2 + 4 + 16),
    kind(8, "Q8_0", 32, 2 + 32),
    kind(9, "Q8_1", 32, 4 + 4 + 32),
    kind(10, "Q2_K", 256, 2 + 2 + 16 + 64),
    kind(11, "Q3_K", 256, 2 + 64 + 32 + 12),
    kind(12, "Q4_K", 256, 2 + 2 + 128 + 12),
    kind(13, "Q5_K", 256, 2 + 2 + 128 + 32 + 12),
    kind(14, "Q6_K", 256, 2 + 128 + 64 + 16),
    kind(15, "Q8_K", 256, 4 + 256 + 32),
    kind(16, "IQ2_XXS", 256, 2 + 64),
    kind(17, "IQ2_XS", 256, 2 + 64 + 8),
    kind(18, "IQ3_XXS", 256, 2 + 64 + 32),
    kind(19, "IQ1_S", 256, 2 + 32 + 16),
    kind(20, "IQ4_NL", 32, 2 + 16),
    kind(21, "IQ3_S", 256, 2 + 64 + 32 + 8 + 4),
    kind(22, "IQ2_S", 256, 2 + 64 + 16),
    kind(23, "IQ4_XS", 256, 2 + 2 + 128 + 4),
    kind(24, "I8", 1, 1),
    kind(25, "I16", 1, 2),
    kind(26, "I32", 1, 4),
    kind(27, "I64", 1, 8),
    kind(28, "F64", 1, 8),
    kind(29, "IQ1_M", 256, 32 + 16 + 8),
    kind(30, "BF16", 1, 2),
    kind(34, "TQ1_0", 256, 2 + 4 * 13),
    kind(35, "TQ2_0", 256, 2 + 64),
    kind(39, "MXFP4", 32, 1 + 16),
    kind(40, "NVFP4", 64, 4 + 32),
    kind(41, "Q1_0", 128, 2 + 16),
];

const fn kind(id: u32, name: &'static str, block: u64, bytes: u64) -> TensorKind {
    TensorKind { id, name, block, bytes }
}

impl TensorKind {
    /// The type of a number in files.
    pub(crate) fn of(id: u32) -> Option<TensorKind> {
        KINDS.iter().find(|kind| kind.id == id).copied()
    }

    /// Its name, such as `Q4_K`.
    pub fn name(self) -> &'static str {
        self.name
    }

    /// The elements of a block, and the bytes that it takes.
    pub fn block(self) -> (u64, u64) {
        (self.block, self.bytes)
    }
}
