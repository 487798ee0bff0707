//! Dynamic-rank tensors on [`ndarray`], and seeded data.
//!
//! ```
//! # mod opledger { pub use opledger_tensor::{self as tensor, *}; }
//! use opledger::{Tensor, tensor::Distribution};
//!
//! let x = Tensor::random(&[2, 3], 7, Distribution::Dyadic);
//! assert_eq!(x.view().shape(), [2, 3]);
//! ```

mod data;
mod tensor;

pub use data::{Distribution, seed_of};
pub use tensor::{LayoutError, Tensor};
