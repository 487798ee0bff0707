//! How much is read of a file that is not trusted.

/// The longest header or index that is read, in bytes: the limit of the `safetensors` library.
pub const MAX_HEADER: u64 = 100_000_000;

/// The most tensors that are read, of a file and of several together, and the most parameters.
pub const MAX_TENSORS: usize = 1 << 20;

/// The longest configuration that is read, in bytes.
pub(crate) const MAX_CONFIG: u64 = 4 << 20;
