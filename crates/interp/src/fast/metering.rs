//! What kernels are given to count with, and what they refuse.

use opledger_ir::{OpError, Part, Value};
use opledger_kernels::{AtomicMeter, KernelError, Meter, NoMeter};

use super::Fast;
use crate::{NodeCall, Row};

/// Where kernels count, if they do.
pub trait Metering: Meter + Send + Sized {
    /// The meter of a part of a row.
    fn of(row: &Row, part: Part) -> &Self;

    /// Executes a group of nodes. Each meter has its own, which is not generic: kernels are compiled
    /// in this crate, and not again where an interpreter is used.
    #[doc(hidden)]
    fn execute(
        fast: &mut Fast<Self>,
        group: &mut [NodeCall<'_, f32>],
    ) -> Result<Vec<Value<f32>>, OpError>;
}

impl Metering for AtomicMeter {
    fn of(row: &Row, part: Part) -> &Self {
        row.meter(part)
    }

    fn execute(
        fast: &mut Fast<Self>,
        group: &mut [NodeCall<'_, f32>],
    ) -> Result<Vec<Value<f32>>, OpError> {
        fast.execute(group)
    }
}

impl Metering for NoMeter {
    fn of(_: &Row, _: Part) -> &Self {
        &NoMeter
    }

    fn execute(
        fast: &mut Fast<Self>,
        group: &mut [NodeCall<'_, f32>],
    ) -> Result<Vec<Value<f32>>, OpError> {
        fast.execute(group)
    }
}

/// Why a kernel refused its arguments, as an operation says it.
pub(super) fn refused(error: KernelError) -> OpError {
    OpError::Kernel(error.to_string())
}
