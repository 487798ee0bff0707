//! What a kernel refuses, checked before any work starts.

use std::error::Error;
use std::fmt;

/// Why a kernel did not run. Nothing has been written or counted when it is returned.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KernelError {
    /// A contiguous slice has not the length its shape asks for.
    Length {
        /// The slice.
        what: &'static str,
        /// Elements asked for.
        expected: usize,
        /// Elements given.
        found: usize,
    },
    /// A strided slice ends before its last element.
    Short {
        /// The slice.
        what: &'static str,
        /// Elements needed at least.
        needed: usize,
        /// Elements given.
        found: usize,
    },
    /// A relation between sizes fails.
    Shape {
        /// The relation that should hold.
        what: &'static str,
    },
    /// The number of elements of a shape, or the reach of its strides, exceeds the address space.
    TooLarge {
        /// The tensor.
        what: &'static str,
    },
    /// A reduction over an axis of size zero has no value.
    EmptyReduction {
        /// The axis.
        what: &'static str,
    },
    /// A row number that the table does not have.
    IdOutOfRange {
        /// The row asked for.
        id: i64,
        /// Where it stands in the list of ids.
        position: usize,
        /// Rows of the table.
        bound: usize,
    },
    /// `OPLEDGER_ISA` names no known instruction set.
    UnknownIsa {
        /// The value found.
        name: String,
    },
    /// `OPLEDGER_ISA` names an instruction set that this machine lacks.
    UnsupportedIsa {
        /// The instruction set.
        name: &'static str,
    },
}

impl fmt::Display for KernelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KernelError::Length { what, expected, found } => {
                write!(f, "{what} has {found} elements, its shape asks for {expected}")
            }
            KernelError::Short { what, needed, found } => {
                write!(f, "{what} has {found} elements, its strides reach {needed}")
            }
            KernelError::Shape { what } => write!(f, "sizes disagree: {what}"),
            KernelError::TooLarge { what } => {
                write!(f, "{what} has more elements than can be addressed")
            }
            KernelError::EmptyReduction { what } => {
                write!(f, "{what} is zero: a reduction over nothing has no value")
            }
            KernelError::IdOutOfRange { id, position, bound } => {
                write!(f, "id {id} at position {position} is outside 0..{bound}")
            }
            KernelError::UnknownIsa { name } => {
                write!(f, "OPLEDGER_ISA={name} is none of scalar, avx2, avx512")
            }
            KernelError::UnsupportedIsa { name } => {
                write!(f, "OPLEDGER_ISA={name}, but this machine does not support it")
            }
        }
    }
}

impl Error for KernelError {}

/// The product of sizes.
pub(crate) fn volume(what: &'static str, sizes: &[usize]) -> Result<usize, KernelError> {
    // A zero anywhere makes the tensor empty, whatever the other sizes are.
    if sizes.contains(&0) {
        return Ok(0);
    }
    sizes
        .iter()
        .try_fold(1usize, |product, &size| product.checked_mul(size))
        .filter(|&n| n <= isize::MAX as usize / size_of::<f32>())
        .ok_or(KernelError::TooLarge { what })
}

/// Checks the length of a contiguous slice.
pub(crate) fn exactly(
    what: &'static str,
    found: usize,
    sizes: &[usize],
) -> Result<(), KernelError> {
    let expected = volume(what, sizes)?;
    if found == expected { Ok(()) } else { Err(KernelError::Length { what, expected, found }) }
}

/// Checks that a slice has at least the elements of a shape, so that no two of them need be one.
pub(crate) fn holds(what: &'static str, found: usize, sizes: &[usize]) -> Result<(), KernelError> {
    let needed = volume(what, sizes)?;
    if needed <= found { Ok(()) } else { Err(KernelError::Short { what, needed, found }) }
}

/// Checks that a slice holds every element at `offset + Σ index·stride`, for `(size, stride)` axes.
pub(crate) fn reaches(
    what: &'static str,
    found: usize,
    offset: usize,
    axes: &[(usize, usize)],
) -> Result<(), KernelError> {
    if axes.iter().any(|&(size, _)| size == 0) {
        return Ok(());
    }
    let needed = axes
        .iter()
        .try_fold(offset, |reach, &(size, stride)| {
            (size - 1).checked_mul(stride).and_then(|step| reach.checked_add(step))
        })
        .and_then(|last| last.checked_add(1))
        .ok_or(KernelError::TooLarge { what })?;
    if needed <= found { Ok(()) } else { Err(KernelError::Short { what, needed, found }) }
}
