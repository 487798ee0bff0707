//! What the workers of the comparison share: problems, their seeded data, and the lines they speak.

pub mod data;
pub mod problem;
pub mod serve;

/// For all workers in Rust: large blocks begin on cache lines, as PyTorch's and onnxruntime's do.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Why a worker cannot do what it is asked for; the text reaches the report.
pub type Error = Box<dyn std::error::Error>;
