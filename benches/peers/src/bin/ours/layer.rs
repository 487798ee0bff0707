//! Layers of the grammar through the fast interpreter, ledger included.

use opledger_dims::Binding;
use opledger_interp::{
    Counting, Fast, Feeds, Quiet, Run, Store, prepare as prepare_run, run_stored,
};
use opledger_models::{Model, layer::parse};
use opledger_peers::problem::{Layer, LayerKind};
use opledger_peers::serve::Work;
use opledger_peers::{Error, data};
use opledger_tensor::Tensor;
use serde_json::{Value, json};

struct Recorded<M> {
    model: Model,
    sizes: Binding,
    store: Store,
    fast: Fast<M>,
}

pub(super) fn prepare(problem: Layer, variant: &str) -> Result<Box<dyn Work>, Error> {
    match variant {
        "counted" => Ok(Box::new(recorded(problem, Fast::new()?)?)),
        "not-counted" => Ok(Box::new(recorded(problem, Fast::uncounted()?)?)),
        _ => Err(format!("no variant {variant}").into()),
    }
}

fn recorded<M: Counting>(problem: Layer, fast: Fast<M>) -> Result<Recorded<M>, Error> {
    let Layer { layer, batch, tokens, width, heads, hidden } = problem;
    let text = match layer {
        LayerKind::Mha => format!("mha:c={width},h={heads}"),
        LayerKind::EncoderLayer => {
            format!("encoder-layer:c={width},h={heads},ff={hidden},act=gelu")
        }
    };
    let model = parse(&text)?;
    let sizes = model.binding.clone().with("b", batch as u64).with("n", tokens as u64);
    let (_, shapes) = prepare_run::<Fast>(&model.graph, &sizes, &Feeds::default().zeros())?;
    let mut feeds = Feeds::default();
    for (path, value) in shapes.iter() {
        let len = value.shape().iter().product();
        let fan_in = if path.contains("linear2") { hidden } else { width };
        let numbers = match path {
            "x" => data::uniform("x", len, 0.0, 1.0),
            _ => data::parameter(path, len, fan_in),
        };
        feeds = feeds.with(path, Tensor::new(value.shape(), numbers)?);
    }
    let (sizes, store) = prepare_run::<Fast>(&model.graph, &sizes, &feeds)?;
    Ok(Recorded { model, sizes, store, fast })
}

impl<M: Counting> Recorded<M> {
    fn compute(&mut self) -> Result<Run<f32>, Error> {
        let Recorded { model, sizes, store, fast } = self;
        Ok(run_stored(&model.graph, sizes, fast, store, &mut Quiet)?)
    }
}

impl<M: Counting> Work for Recorded<M> {
    fn run(&mut self) -> Result<(), Error> {
        self.compute().map(drop)
    }

    fn output(&mut self) -> Result<(Vec<f32>, Value), Error> {
        let run = self.compute()?;
        let y = run.output("y").ok_or("the layer has no result y")?;
        let ledger = &run.ledger;
        let facts = json!({
            "useful": u64::try_from(ledger.useful().total()).ok(),
            "executed": u64::try_from(ledger.executed().total()).ok(),
            "macs": u64::try_from(ledger.macs()).ok(),
        });
        Ok((y.iter().copied().collect(), facts))
    }
}
