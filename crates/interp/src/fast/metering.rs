//! What kernels are given to count with, and what they refuse.

use opledger_ir::{OpError, Part};
use opledger_kernels::{AtomicMeter, KernelError, Meter, NoMeter};

use crate::Row;

/// Where kernels count, if they do.
pub trait Metering: Meter + Send {
    /// The meter of a part of a row.
    fn of(row: &Row, part: Part) -> &Self;
}

impl Metering for AtomicMeter {
    fn of(row: &Row, part: Part) -> &Self {
        row.meter(part)
    }
}

impl Metering for NoMeter {
    fn of(_: &Row, _: Part) -> &Self {
        &NoMeter
    }
}

/// Why a kernel refused its arguments, as an operation says it.
pub(super) fn refused(error: KernelError) -> OpError {
    OpError::Kernel(error.to_string())
}
