//! `opledger derive`: the closed form of every count.

use crate::args::DeriveArgs;
use crate::failure::Failure;
use crate::output;
use crate::sizes::binding;

pub(crate) fn execute(args: &DeriveArgs) -> Result<(), Failure> {
    let model = args.model.open()?;
    let sized = model.partly_at(&binding(&args.model.sizes)?)?;
    output::show(&sized.formulas()?, args.format)
}
