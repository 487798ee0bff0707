//! `opledger train`: what a training step costs.

use opledger_account::{TrainingOptions, TrainingSizes};
use opledger_grad::{Optimizer, Update};
use opledger_models::Request;

use crate::args::{TrainArgs, TrainedBy};
use crate::failure::Failure;
use crate::{notes, output};

pub(crate) fn execute(args: &TrainArgs) -> Result<(), Failure> {
    let (model, sizes) = args.model.open(Request::default())?;
    let options = TrainingOptions {
        result: args.result.clone(),
        loss: args.loss.map(|loss| loss.loss()),
        recompute: args.recompute.clone(),
        update: args.update(),
    };
    let step = model.training(&options)?;
    let elem = args.dtype.unwrap_or(model.storage());
    let sized = TrainingSizes {
        elem,
        state: args.state_dtype,
        masters: args.master_dtype,
        depth: args.depth,
    };
    let cost = step.at(&sizes, sized)?;
    output::show_noted(&cost, &notes::about(&model, &sizes), args.format)
}

impl TrainArgs {
    fn update(&self) -> Option<Update> {
        let optimizer = match self.optimizer? {
            TrainedBy::Sgd => Optimizer::SGD,
            TrainedBy::Momentum => Optimizer::MOMENTUM,
            TrainedBy::Adam => Optimizer::ADAM,
            TrainedBy::Adamw => Optimizer::ADAMW,
        };
        Some(Update { optimizer, clip: self.clip })
    }
}
