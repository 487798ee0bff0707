//! `opledger derive`: the closed form of every count.

use opledger_models::Request;

use crate::args::DeriveArgs;
use crate::failure::Failure;
use crate::notes;
use crate::output;

pub(crate) fn execute(args: &DeriveArgs) -> Result<(), Failure> {
    let (model, sizes) = args.model.open(Request::default())?;
    let sized = model.partly_at(&sizes)?;
    output::show_noted(&sized.formulas()?, &notes::about(&model, sized.sizes()), args.format)
}
