//! `opledger count`: exact counts without running.

use opledger_report::Format;

use crate::account::account;
use crate::args::CountArgs;
use crate::failure::Failure;
use crate::output;
use crate::subject::{Needs, Subject};

pub(crate) fn execute(args: &CountArgs) -> Result<(), Failure> {
    if args.format == Format::Mermaid {
        let subject = Subject::new(&args.model, Needs::Nothing)?;
        return output::print(&subject.graph.mermaid());
    }
    let subject = Subject::new(&args.model, Needs::Count)?;
    let at = |poly: &opledger_dims::Poly| poly.at(&subject.binding);
    let record = account(&subject, args.depth, at, ToString::to_string)?;
    output::show(&record, args.format)
}
