//! How much memory a run has used, and may use; what it needs is told by
//! [`Graph::footprint`](opledger_ir::Graph::footprint).

use opledger_dims::Integer;
use opledger_ir::Value;

use crate::{RunError, available_memory};

/// Bytes that computed values took at the worst moments of a run, counted where buffers are made and
/// freed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Peak {
    /// In values alive.
    pub live: u64,
    /// In values alive, and in buffers of dead ones that are kept for later ones.
    pub held: u64,
}

/// Bytes of the elements of a value.
pub(crate) fn bytes_of<T>(value: &Value<T>) -> u64 {
    let each = match value {
        Value::Real(_) => size_of::<T>(),
        Value::Index(_) => size_of::<i64>(),
    };
    (value.shape().iter().product::<usize>() * each) as u64
}

/// Bytes that were there to be taken when the operating system was last asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Allowance(Integer);

impl Allowance {
    /// Checks that so many bytes can be taken, and asks for an eighth more, so that what grows little
    /// by little seldom asks.
    pub(crate) fn take(&mut self, needed: &Integer) -> Result<(), RunError> {
        if *needed <= self.0 {
            return Ok(());
        }
        let available = available_memory().unwrap_or_else(|| isize::MAX.into());
        if *needed > available {
            return Err(RunError::Memory { needed: needed.clone(), available });
        }
        self.0 = available.min(needed + needed / 8u8);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_refused_however_often_it_was_allowed() {
        let mut allowance = Allowance::default();
        allowance.take(&800.into()).unwrap();
        assert_eq!(allowance.0, 900.into());
        allowance.take(&900.into()).unwrap();
        let refused = allowance.take(&(Integer::from(u64::MAX) * 2)).unwrap_err();
        assert!(matches!(refused, RunError::Memory { .. }));
        assert_eq!(allowance.0, 900.into());
    }
}
