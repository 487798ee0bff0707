//! Dynamic-rank tensors on [`ndarray`], and seeded data.
//!
//! ```
//! use opledger_tensor::{Fill, Tensor};
//!
//! let x = Tensor::random(&[2, 3], 7, Fill::Dyadic);
//! assert_eq!(x.view().shape(), [2, 3]);
//! ```

mod data;
mod tensor;

pub use data::{Fill, seed_of};
pub use tensor::{LayoutError, Tensor};
