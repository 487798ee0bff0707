//! Forward and backward pass of a layer of the grammar through the fast interpreter, ledger included.

use opledger_grad::{Recompute, TrainingStep};
use opledger_interp::{Fast, Prepared, Quiet, Run};
use opledger_models::layer::parse;
use opledger_peers::Error;
use opledger_peers::problem::Layer;
use opledger_peers::serve::Work;
use serde_json::{Value, json};

use super::layer::{prepared, text};

struct Step {
    prepared: Prepared,
    fast: Fast,
}

pub(super) fn prepare(problem: Layer, variant: &str) -> Result<Box<dyn Work>, Error> {
    let recompute = match variant {
        "kept" => Recompute::Nothing,
        "selective" => Recompute::Selective,
        _ => return Err(format!("no variant {variant}").into()),
    };
    let model = parse(&text(problem))?;
    let step = TrainingStep { recompute, ..TrainingStep::default() }.of(&model.graph, "y")?;
    let prepared = prepared(problem, step, &model.binding)?;
    Ok(Box::new(Step { prepared, fast: Fast::new()? }))
}

impl Step {
    fn compute(&mut self) -> Result<Run<f32>, Error> {
        Ok(self.prepared.run(&mut self.fast, &mut Quiet)?)
    }
}

impl Work for Step {
    fn run(&mut self) -> Result<(), Error> {
        self.compute().map(drop)
    }

    /// The gradients of all parameters, one after the other, by name.
    fn output(&mut self) -> Result<(Vec<f32>, Value), Error> {
        let run = self.compute()?;
        let names = run.outputs.iter().map(|(name, _)| name.as_str());
        let mut names: Vec<&str> = names.filter(|name| name.starts_with("gradient.")).collect();
        names.sort_unstable();
        let mut all = Vec::new();
        for name in names {
            all.extend(run.output(name)?.iter().copied());
        }
        let facts = json!({
            "useful": u64::try_from(run.ledger.useful().total()).ok(),
            "executed": u64::try_from(run.ledger.executed().total()).ok(),
            "macs": u64::try_from(run.ledger.macs()).ok(),
        });
        Ok((all, facts))
    }
}
