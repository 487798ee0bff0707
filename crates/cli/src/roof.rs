//! The device that a lower bound is of: one that is known, or this machine, measured.

use opledger_account::{AccountError, DeviceRoof};
use opledger_ir::Elem;
use opledger_measure::{MachineRoofs, roofs};

use crate::failure::Failure;
use crate::progress::Notes;
use crate::threads;

/// What this machine is called.
const THIS: &str = "this";

/// What a device can do at most, and what a reader has to know of that.
pub(crate) fn roof(name: &str, elem: Elem) -> Result<(DeviceRoof, Vec<String>), Failure> {
    if name != THIS {
        return Ok((DeviceRoof::of(name, elem)?, Vec::new()));
    }
    if elem != Elem::F32 {
        let (device, known) = (THIS.to_owned(), vec![Elem::F32]);
        return Err(AccountError::NoPeak { device, elem, known }.into());
    }
    threads::start(None)?;
    measured()
}

/// This machine on all threads that were started.
pub(crate) fn measured() -> Result<(DeviceRoof, Vec<String>), Failure> {
    let notes = Notes::new();
    notes.say("measuring the peak and the read bandwidth");
    let MachineRoofs { peak, isa, bandwidth, threads, busy } = roofs()?;
    drop(notes);
    let giga = |rate: f64| (rate * 1e9) as u64;
    let source = format!("measured here on {threads} threads, as `opledger machine` does");
    let roof = DeviceRoof {
        device: THIS.to_owned(),
        elem: Elem::F32,
        operations: giga(peak),
        operations_source: format!("fused multiply-adds in registers by {isa}, {source}"),
        bytes: giga(bandwidth),
        bytes_source: format!("reading, {source}"),
    };
    Ok((roof, busy.into_iter().collect()))
}
