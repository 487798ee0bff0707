//! `opledger train`: what a training step costs.

use opledger_account::{TrainingOptions, TrainingSizes};
use opledger_models::Request;

use crate::args::TrainArgs;
use crate::failure::Failure;
use crate::{notes, output};

pub(crate) fn execute(args: &TrainArgs) -> Result<(), Failure> {
    let (model, sizes) = args.model.open(Request::default())?;
    let options = TrainingOptions {
        result: args.result.clone(),
        loss: args.loss.map(|loss| loss.loss()),
        kept: args.recompute.clone(),
    };
    let step = model.training(&options)?;
    let elem = args.dtype.unwrap_or(model.storage());
    let cost = step.at(&sizes, TrainingSizes { elem, depth: args.depth })?;
    output::show_noted(&cost, &notes::about(&model, &sizes), args.format)
}
