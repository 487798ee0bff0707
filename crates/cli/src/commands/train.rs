//! `opledger train`: what a training step costs.

use std::path::Path;

use opledger_account::{Model, Training, TrainingOptions, TrainingSizes};
use opledger_conventions::SavedOptions;
use opledger_dims::Binding;
use opledger_execute::{Trainer, weights};
use opledger_grad::{Optimizer, Recompute, Update};
use opledger_interp::Feeds;
use opledger_ir::Phase;
use opledger_models::Request;
use opledger_report::{TrainedLoss, TrainedSteps};

use crate::args::{TrainArgs, TrainedBy};
use crate::destination::{Destination, distinct, spares};
use crate::failure::Failure;
use crate::roof::roof;
use crate::tensors::{self, Inputs};
use crate::{notes, output};

pub(crate) fn execute(args: &TrainArgs) -> Result<(), Failure> {
    let (model, sizes) = args.model.open(Request::default())?;
    let options = TrainingOptions {
        result: args.result.clone(),
        loss: args.loss.map(|loss| loss.loss()),
        recompute: args.recompute.clone(),
        accumulate: Some(args.accumulate),
        update: args.update(),
    };
    let step = model.training(&options)?;
    if let Some(steps) = args.steps {
        return run(args, &model, &step, &sizes, steps);
    }
    if !args.conventions.is_empty() {
        let tools = step.tools(&sizes, args.written.as_deref(), args.attention)?;
        let notes = notes::about(&model, &sizes);
        return output::show_noted(&tools.count(&args.conventions)?, &notes, args.format);
    }
    let elem = args.dtype.unwrap_or(model.storage());
    if let Some(device) = &args.device {
        let (roof, told) = roof(device, elem)?;
        let notes = [notes::about(&model, &sizes), told].concat();
        let depth = args.depth;
        let bound = match args.dtype {
            Some(_) => step.lower_bound(&sizes, &roof, depth)?,
            None => step.lower_bound_as_stored(&sizes, &roof, depth)?,
        };
        return output::show_noted(&bound, &notes, args.format);
    }
    let sized = TrainingSizes {
        elem,
        as_stored: args.dtype.is_none(),
        state: args.state_dtype,
        masters: args.master_dtype,
        depth: args.depth.unwrap_or(2),
    };
    let mut cost = step.at(&sizes, sized)?;
    if let Some((seconds, peak)) = args.time.zip(args.peak) {
        cost = cost.timed(seconds, peak);
    }
    if let Some(by) = args.kept {
        let options = SavedOptions { by, dropout: !args.no_dropout, elem };
        let written = args.written.as_deref();
        cost.saved = Some(model.saved(&sizes, written, options, sized.depth)?);
    }
    let mut notes = notes::about(&model, &sizes);
    let again = cost.phases.iter().any(|own| own.phase == Phase::Recomputation.to_string());
    if args.recompute != Recompute::Nothing && !again {
        notes.push(format!("--recompute {}: no gradient reads anything of that", args.recompute));
    }
    output::show_noted(&cost, &notes, args.format)
}

/// Executes steps on one random batch.
fn run(
    args: &TrainArgs,
    model: &Model,
    step: &Training<'_>,
    sizes: &Binding,
    steps: u32,
) -> Result<(), Failure> {
    distinct([("input", args.input.as_deref()), ("save", args.save.as_deref())])?;
    spares(Path::new(&args.model.model), args.save.as_deref())?;
    let destination = args.save.as_deref().map(Destination::new).transpose()?;
    let input = args.input.as_deref().map(Inputs::open).transpose()?;
    let sized = model.counted_at(sizes)?;
    let mut given = weights(model, sized.sizes(), Feeds::seeded(args.seed))?;
    if let Some(input) = &input {
        for (path, value) in input.read(step.graph(), &step.sized(sizes)?)? {
            given.feeds = given.feeds.with(&path, value);
        }
    }
    let mut trainer = Trainer::new(step, sizes, given.feeds)?.after(args.after);
    let cost = step.at(sizes, TrainingSizes::default())?;
    let mut record = TrainedSteps {
        model: model.name().to_owned(),
        binding: cost.binding,
        rate: args.rate,
        flops: cost.flops,
        macs: cost.hardware_flops / 2u32,
        tokens: cost.tokens,
        nodes: 0,
        mismatches: 0,
        steps: Vec::new(),
    };
    for step in 1..=steps {
        let done = trainer.step(args.rate)?;
        record.nodes = done.theorem.nodes;
        record.mismatches += done.theorem.mismatches.len();
        let (loss, wall_ms) = (done.loss, done.wall.as_secs_f64() * 1e3);
        record.steps.push(TrainedLoss { step, loss, wall_ms });
    }
    let mut notes = notes::about(model, sized.sizes());
    if let Some(destination) = destination {
        let changed = trainer.changed();
        let changed: Vec<_> = changed.map(|(path, of)| (path.to_owned(), of.clone())).collect();
        destination.write(|file| tensors::write(file, &changed, &notes))?;
        let done = i64::from(args.after) + i64::from(steps);
        notes.push(format!("state after {done} steps: go on with --input FILE --after {done}"));
    }
    if !given.read {
        notes.push(format!("parameters are random, of seed {}", args.seed));
    }
    output::show_noted(&record, &notes, args.format)
}

impl TrainArgs {
    fn update(&self) -> Option<Update> {
        let optimizer = match self.optimizer? {
            TrainedBy::Sgd => Optimizer::SGD,
            TrainedBy::Momentum => Optimizer::MOMENTUM,
            TrainedBy::Adam => Optimizer::ADAM,
            TrainedBy::Adamw => Optimizer::ADAMW,
            TrainedBy::Adafactor => Optimizer::ADAFACTOR,
            TrainedBy::Muon => Optimizer::MUON,
        };
        Some(Update { optimizer, clip: self.clip })
    }
}
