//! Dynamic-rank tensors on [`ndarray`], the [`Scalar`] trait, the scalar that counts itself, and
//! seeded data.
//!
//! ```
//! use opledger_dims::Class;
//! use opledger_tensor::{Counted, Scalar, counted};
//!
//! let (x, counts) = counted(|| (Counted(2.0_f64) + Counted(1.0)) * Counted(4.0));
//! assert_eq!(x.to_f64(), 12.0);
//! assert_eq!((counts[Class::Add], counts[Class::Mul]), (1, 1));
//! ```

mod counted;
mod data;
mod scalar;
mod tensor;

pub use counted::{Counted, counted, take_counts};
pub use data::{Fill, seed_of};
pub use scalar::Scalar;
pub use tensor::{LayoutError, Tensor};
