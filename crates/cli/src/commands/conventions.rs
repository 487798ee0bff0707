//! `opledger conventions`: the conventions by which tools count.

use opledger_conventions::conventions;
use opledger_conventions::framework::{Framework, frameworks};
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
    let step = |framework: Framework| KnownConvention {
        name: framework.name,
        unit: framework.unit,
        source: framework.source,
        checked: framework.checked,
        bugs: Vec::new(),
    };
    let steps = frameworks()?.into_iter().map(step);
    let conventions = conventions()?.into_iter().map(known).chain(steps).collect();
    output::show(&KnownConventions { conventions }, args.format)
}
