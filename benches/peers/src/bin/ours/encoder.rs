//! An encoder of sentences from its folder, ledger included.

use opledger_interp::{Fast, Feeds, Metering, Prepared};
use opledger_models::Request;
use opledger_peers::Error;
use opledger_peers::problem::Encoder;
use opledger_peers::serve::Work;
use opledger_weights::{Checkpoint, read_config};

use crate::layer::Recorded;

pub(super) fn prepare(problem: &Encoder, variant: &str) -> Result<Box<dyn Work>, Error> {
    match variant {
        "counted" => Ok(Box::new(recorded(problem, Fast::new()?)?)),
        "not-counted" => Ok(Box::new(recorded(problem, Fast::uncounted()?)?)),
        _ => Err(format!("no variant {variant}").into()),
    }
}

fn recorded<M: Metering>(problem: &Encoder, fast: Fast<M>) -> Result<Recorded<M>, Error> {
    let folder = &problem.folder;
    let model = read_config(folder)?.without_pooler().model("encoder", &Request::default())?;
    let (batch, tokens) = (problem.batch, problem.tokens);
    let sizes = model.binding.clone().with("b", batch as u64).with("n", tokens as u64);
    let all_sizes = model.graph.complete(&sizes)?;
    let weights = Checkpoint::open(folder)?.load(&model.graph, &all_sizes, &model.names, None)?;
    let mut feeds = Feeds::default()
        .with_ids("input_ids", &[batch, tokens], problem.ids())?
        .zeros_at("token_type_ids");
    for (path, weight) in weights.tensors {
        feeds = feeds.with(&path, weight);
    }
    let prepared = Prepared::new(model.graph, &sizes, &feeds)?;
    Ok(Recorded { prepared, fast, output: "last_hidden_state" })
}
