//! `opledger page`: formulas of the published models in a file that any browser shows.

use opledger_account::page;

use crate::args::PageArgs;
use crate::destination::Destination;
use crate::failure::Failure;

pub(crate) fn execute(args: &PageArgs) -> Result<(), Failure> {
    let destination = Destination::new(&args.output)?;
    destination.write_text(&page()?.html()?)
}
