//! What the elements of a tensor are, and how wide.

use std::fmt;
use std::str::FromStr;

use opledger_dims::escaped;

/// The type of an element, as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Elem {
    /// False or true, a byte each.
    Bool,
    /// Whole numbers, such as token ids.
    I64,
    /// Reals in double precision.
    F64,
    /// Reals in single precision.
    F32,
    /// Reals, the upper half of an `f32`.
    Bf16,
    /// Reals in half precision (IEEE 754 binary16).
    F16,
    /// Reals in steps, as quantised to 8 bits.
    I8,
    /// Reals in steps, as quantised to 4 bits, two to a byte.
    I4,
    /// Reals in blocks with their scales, so many bytes for so many elements: as a file has them, on average
    /// where iterations of a repetition have several.
    Blocks {
        /// Elements.
        elements: u32,
        /// The bytes that they take.
        bytes: u32,
    },
}

/// What elements of a type stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Real numbers.
    Real,
    /// Whole numbers.
    Whole,
}

impl Elem {
    /// Every type whose elements stand by themselves.
    pub const ALL: [Elem; 8] =
        [Elem::Bool, Elem::I64, Elem::F64, Elem::F32, Elem::Bf16, Elem::F16, Elem::I8, Elem::I4];

    /// The bytes that so many elements take, a fraction: what to multiply by, and what to divide by.
    pub fn ratio(self) -> (u32, u32) {
        match self {
            Elem::Blocks { elements, bytes } => (bytes, elements.max(1)),
            Elem::I64 | Elem::F64 => (8, 1),
            Elem::F32 => (4, 1),
            Elem::Bf16 | Elem::F16 => (2, 1),
            Elem::Bool | Elem::I8 => (1, 1),
            Elem::I4 => (1, 2),
        }
    }

    /// The bytes of so many elements, the last byte full or not.
    pub fn bytes_of(self, elements: u64) -> u64 {
        let (bytes, of) = self.ratio();
        (elements * u64::from(bytes)).div_ceil(u64::from(of))
    }

    /// The width of an element in bits; of blocks the whole bits that it takes at most.
    pub fn bits(self) -> u64 {
        match self {
            Elem::I64 | Elem::F64 => 64,
            Elem::F32 => 32,
            Elem::Bf16 | Elem::F16 => 16,
            Elem::Bool | Elem::I8 => 8,
            Elem::I4 => 4,
            Elem::Blocks { .. } => {
                let (bytes, of) = self.ratio();
                (u64::from(bytes) * 8).div_ceil(u64::from(of))
            }
        }
    }

    /// What the elements stand for.
    pub fn kind(self) -> Kind {
        match self {
            Elem::Bool | Elem::I64 => Kind::Whole,
            Elem::F64
            | Elem::F32
            | Elem::Bf16
            | Elem::F16
            | Elem::I8
            | Elem::I4
            | Elem::Blocks { .. } => Kind::Real,
        }
    }

    /// The name, such as `bf16`.
    pub fn name(self) -> &'static str {
        match self {
            Elem::Bool => "bool",
            Elem::I64 => "i64",
            Elem::F64 => "f64",
            Elem::F32 => "f32",
            Elem::Bf16 => "bf16",
            Elem::F16 => "f16",
            Elem::I8 => "int8",
            Elem::I4 => "int4",
            Elem::Blocks { .. } => "blocks",
        }
    }
}

/// A type of elements as PyTorch has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredType {
    /// Its name.
    pub name: &'static str,
    /// The type that it is, or one as wide.
    pub elem: Elem,
    /// Whether it is that type of reals.
    pub exact: bool,
}

/// A name that no type of elements has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is no type of elements; there are {}", Elem::ALL.map(Elem::name).join(", "))]
pub struct UnknownElem {
    name: String,
}

impl FromStr for Elem {
    type Err = UnknownElem;

    /// ```
    /// # mod opledger { pub use opledger_ir::*; }
    /// use opledger::Elem;
    ///
    /// assert_eq!("int4".parse::<Elem>()?.bits(), 4);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn from_str(name: &str) -> Result<Self, UnknownElem> {
        let named = Elem::ALL.into_iter().find(|elem| elem.name() == name);
        named.ok_or_else(|| UnknownElem { name: escaped(name) })
    }
}

impl fmt::Display for Elem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Real => "reals",
            Kind::Whole => "whole numbers",
        })
    }
}
