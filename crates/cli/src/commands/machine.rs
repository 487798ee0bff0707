//! `opledger machine`: what this machine is and what it can do at most.

use opledger_measure::probe;

use crate::args::MachineArgs;
use crate::failure::Failure;
use crate::output;
use crate::progress::Notes;
use crate::threads;

pub(crate) fn execute(args: &MachineArgs) -> Result<(), Failure> {
    threads::start(None)?;
    let notes = Notes::new();
    notes.say("measuring the peak and the read bandwidth");
    let report = probe()?;
    drop(notes);
    output::show(&report, args.format)
}
