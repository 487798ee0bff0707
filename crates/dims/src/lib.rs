//! Exact polynomials over named sizes, counts per class of scalar operation, the quantities that are
//! taken from them, and the numbers that count themselves.
//!
//! A size (`n` tokens, `h` heads) is a [`Symbol`]; what depends on sizes is a [`Poly`] with
//! rational coefficients. Coefficients and values are unbounded integers, so nothing wraps or
//! rounds, and every polynomial has one canonical form, so `==` is mathematical equality.
//!
//! ```
//! # mod opledger { pub use opledger_dims::*; }
//! use opledger::{Binding, Poly};
//!
//! let cost: Poly = "4·b·n·c² + 2·b·n²·c".parse()?;
//! let factored: Poly = "2*b*n*c*(2*c + n)".parse()?;
//! assert_eq!(cost, factored);
//! assert_eq!(cost.to_string(), "4·b·n·c² + 2·b·n²·c");
//! let at = Binding::from_iter([("b", 32), ("n", 1024), ("c", 512)]);
//! assert_eq!(cost.at(&at)?.to_string(), "68719476736");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod activation;
mod binding;
mod compiled;
mod counted;
mod counts;
mod display;
mod escape;
mod foremost;
mod monomial;
mod nearest;
mod parse;
mod parts;
mod pointwise;
mod poly;
mod quantity;
mod scalar;
mod symbol;
#[cfg(test)]
mod tests;
mod whole;

pub use activation::Activation;
pub use binding::Binding;
pub use compiled::Compiled;
pub use counted::{Counted, count, counted, take_counts};
pub use counts::{Class, Counts};
pub use escape::{escaped, escaped_within};
pub use foremost::Foremost;
pub use nearest::{did_you_mean, nearest, nearest_by_words};
pub use num_bigint::BigInt as Integer;
pub use parse::ParseError;
pub use pointwise::{Pointwise, PowerSign, power};
pub use poly::{EvalError, Poly};
pub use quantity::{Quantity, UnknownQuantity};
pub use scalar::Scalar;
pub use symbol::Symbol;
pub use whole::WholeTerms;
