//! `opledger derive`: the closed form of every count.

use opledger_models::Request;
use opledger_report::RowOrder;

use crate::args::DeriveArgs;
use crate::failure::Failure;
use crate::notes::{self, note};
use crate::output;

pub(crate) fn execute(args: &DeriveArgs) -> Result<(), Failure> {
    let (model, sizes) = args.model.open(Request::default())?;
    let sized = model.partly_at(&sizes)?;
    if let Some(language) = args.emit {
        notes::about(&model, sized.sizes()).iter().for_each(|text| note(text));
        return output::print(&sized.emit(language)?);
    }
    let formulas = match args.sort.or(args.top.map(|_| RowOrder::Flops)) {
        Some(order) => sized.formulas_sorted(args.depth, order, args.top)?,
        None => sized.formulas_to(args.depth)?,
    };
    output::show_noted(&formulas, &notes::about(&model, sized.sizes()), args.format)
}
