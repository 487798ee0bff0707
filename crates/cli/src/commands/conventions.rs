//! `opledger conventions`: the conventions by which tools count.

use opledger_conventions::conventions;
use opledger_report::{KnownConvention, KnownConventions};

use crate::args::ConventionsArgs;
use crate::failure::Failure;
use crate::output;

pub(crate) fn execute(args: &ConventionsArgs) -> Result<(), Failure> {
    let known = |convention: opledger_conventions::Convention| KnownConvention {
        name: convention.name,
        unit: convention.unit,
        source: convention.source,
        checked: convention.checked,
        bugs: convention.bugs.into_iter().map(|bug| bug.name).collect(),
    };
    let conventions = conventions()?.into_iter().map(known).collect();
    output::show(&KnownConventions { conventions }, args.format)
}
