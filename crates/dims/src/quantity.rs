//! Quantities: what can be asked of a computation, each a name and one rule.

use std::fmt;
use std::ops::AddAssign;
use std::str::FromStr;

use num_traits::Zero;

use crate::{Class, Counts, nearest};

/// A number that a computation has: of its scalar operations, its parameters, its bytes.
///
/// It is a polynomial of a recorded graph and a whole number of a run or of a graph at given sizes.
///
/// ```
/// # mod opledger { pub use opledger_dims::*; }
/// use opledger::{Class, Counts, Quantity};
///
/// let counts = Counts::zero().with(Class::Mul, 6_u64).with(Class::Add, 4);
/// assert_eq!("matmul-flops".parse(), Ok(Quantity::MatmulFlops));
/// assert_eq!(Quantity::MatmulFlops.of_counts(&counts, true), 12);
/// assert_eq!(Quantity::MatmulFlops.of_counts(&counts, false), 0);
/// assert_eq!(Quantity::Flops.of_counts(&counts, false), 10);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Quantity {
    /// Multiplications inside contractions.
    Macs,
    /// All scalar operations, each worth one.
    Flops,
    /// Twice the [`Quantity::Macs`].
    MatmulFlops,
    /// All multiplications.
    Multiplications,
    /// The operations of one class.
    Class(Class),
    /// Parameters, tied ones once.
    Parameters,
    /// Parameters that training changes.
    TrainableParameters,
    /// Parameters that a token meets: of experts, those of the ones that run.
    ActiveParameters,
    /// Bytes of operands, each read once by each operation.
    BytesRead,
    /// Bytes of results, each written once.
    BytesWritten,
    /// Elements of keys and values that a cache holds of the tokens so far; of windows, those of the
    /// last tokens.
    Cache,
}

impl Quantity {
    /// Every quantity but the single classes.
    pub const NAMED: [Quantity; 10] = [
        Quantity::Macs,
        Quantity::Flops,
        Quantity::MatmulFlops,
        Quantity::Multiplications,
        Quantity::Parameters,
        Quantity::TrainableParameters,
        Quantity::ActiveParameters,
        Quantity::BytesRead,
        Quantity::BytesWritten,
        Quantity::Cache,
    ];

    /// Every quantity.
    pub fn all() -> impl Iterator<Item = Quantity> {
        Quantity::NAMED.into_iter().chain(Class::ALL.map(Quantity::Class))
    }

    /// The name by which it is asked for and reported.
    pub const fn name(self) -> &'static str {
        match self {
            Quantity::Macs => "macs",
            Quantity::Flops => "flops",
            Quantity::MatmulFlops => "matmul-flops",
            Quantity::Multiplications => "multiplications",
            Quantity::Class(class) => class.name(),
            Quantity::Parameters => "params",
            Quantity::TrainableParameters => "trainable",
            Quantity::ActiveParameters => "active-params",
            Quantity::BytesRead => "bytes-read",
            Quantity::BytesWritten => "bytes-written",
            Quantity::Cache => "cache",
        }
    }

    /// What it is, in the words of reports.
    pub const fn meaning(self) -> &'static str {
        match self {
            Quantity::Macs => "multiplications inside contractions",
            Quantity::Flops => "all scalar operations, each worth one",
            Quantity::MatmulFlops => "2·macs",
            Quantity::Multiplications => "all multiplications",
            Quantity::Class(_) => "operations of this class",
            Quantity::Parameters => "parameters, tied ones once",
            Quantity::TrainableParameters => "parameters that training changes",
            Quantity::ActiveParameters => "parameters that a token meets",
            Quantity::BytesRead => "operands read once, of tables the rows looked up, f32",
            Quantity::BytesWritten => "each result written once, f32",
            Quantity::Cache => "elements of keys and values kept of earlier tokens",
        }
    }

    /// What an operation of a class is worth, inside a contraction or outside; none where it is not
    /// operations that are counted.
    pub fn weight(self, class: Class, in_contraction: bool) -> Option<u32> {
        let product = class == Class::Mul && in_contraction;
        Some(match self {
            Quantity::Macs => u32::from(product),
            Quantity::Flops => 1,
            Quantity::MatmulFlops => 2 * u32::from(product),
            Quantity::Multiplications => u32::from(class == Class::Mul),
            Quantity::Class(own) => u32::from(class == own),
            Quantity::Parameters
            | Quantity::TrainableParameters
            | Quantity::ActiveParameters
            | Quantity::BytesRead
            | Quantity::BytesWritten
            | Quantity::Cache => return None,
        })
    }

    /// Whether it is scalar operations that are counted.
    pub fn counts_operations(self) -> bool {
        self.weight(Class::Add, false).is_some()
    }

    /// The quantity of some operations, all inside contractions or none; zero where it is not
    /// operations that are counted.
    pub fn of_counts<N>(self, counts: &Counts<N>, in_contraction: bool) -> N
    where
        N: Clone + Zero + for<'a> AddAssign<&'a N>,
    {
        let mut sum = N::zero();
        for (class, number) in counts.iter() {
            for _ in 0..self.weight(class, in_contraction).unwrap_or(0) {
                sum += number;
            }
        }
        sum
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name that no quantity has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no quantity `{name}`{}; there are {}", nearest::did_you_mean(.nearest), known())]
pub struct UnknownQuantity {
    /// The name.
    pub name: String,
    /// The most similar name, if any is close.
    pub nearest: Option<&'static str>,
}

fn known() -> String {
    Quantity::all().map(Quantity::name).collect::<Vec<_>>().join(", ")
}

impl FromStr for Quantity {
    type Err = UnknownQuantity;

    fn from_str(name: &str) -> Result<Self, UnknownQuantity> {
        Quantity::all().find(|quantity| quantity.name() == name).ok_or_else(|| UnknownQuantity {
            name: crate::escaped(name),
            nearest: nearest::nearest(name, Quantity::all().map(Quantity::name)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_and_no_two_are_equal() {
        for quantity in Quantity::all() {
            assert_eq!(quantity.name().parse(), Ok(quantity));
        }
        let error = "flop".parse::<Quantity>().unwrap_err();
        assert_eq!(error.nearest, Some("flops"));
        assert!(error.to_string().contains("(did you mean `flops`?); there are macs, flops, "));
    }

    /// What an addition, a multiplication and a division are worth, outside contractions and inside.
    #[test]
    fn each_quantity_weighs_operations_by_their_class() {
        use Class::{Add, Div, Mul};
        for (quantity, outside, inside) in [
            (Quantity::Macs, [0, 0, 0], [0, 1, 0]),
            (Quantity::Flops, [1, 1, 1], [1, 1, 1]),
            (Quantity::MatmulFlops, [0, 0, 0], [0, 2, 0]),
            (Quantity::Multiplications, [0, 1, 0], [0, 1, 0]),
            (Quantity::Class(Div), [0, 0, 1], [0, 0, 1]),
        ] {
            for (inside, expected) in [(false, outside), (true, inside)] {
                let weights = [Add, Mul, Div].map(|class| quantity.weight(class, inside).unwrap());
                assert_eq!(weights, expected, "{quantity}");
            }
            assert!(quantity.counts_operations(), "{quantity}");
        }
        for quantity in [Quantity::Parameters, Quantity::BytesRead, Quantity::Cache] {
            assert!(quantity.weight(Mul, true).is_none() && !quantity.counts_operations());
        }
    }
}
