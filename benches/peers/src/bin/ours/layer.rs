//! Layers of the grammar through the fast interpreter, ledger included.

use opledger_dims::Binding;
use opledger_interp::{Fast, Feeds, Metering, Prepared, Quiet, Run};
use opledger_ir::Graph;
use opledger_models::layer::parse;
use opledger_peers::problem::{Layer, LayerKind};
use opledger_peers::serve::Work;
use opledger_peers::{Error, data};
use opledger_tensor::Tensor;
use serde_json::{Value, json};

pub(super) struct Recorded<M> {
    pub(super) prepared: Prepared,
    pub(super) fast: Fast<M>,
    pub(super) output: &'static str,
}

pub(super) fn prepare(problem: Layer, variant: &str) -> Result<Box<dyn Work>, Error> {
    match variant {
        "counted" => Ok(Box::new(recorded(problem, Fast::new()?)?)),
        "not-counted" => Ok(Box::new(recorded(problem, Fast::uncounted()?)?)),
        _ => Err(format!("no variant {variant}").into()),
    }
}

fn recorded<M: Metering>(problem: Layer, fast: Fast<M>) -> Result<Recorded<M>, Error> {
    let model = parse(&text(problem))?;
    let prepared = prepared(problem, model.graph, &model.binding)?;
    Ok(Recorded { prepared, fast, output: "y" })
}

/// The layer in the grammar.
pub(super) fn text(Layer { layer, width, heads, hidden, .. }: Layer) -> String {
    match layer {
        LayerKind::Mha => format!("mha:c={width},h={heads}"),
        LayerKind::EncoderLayer => {
            format!("encoder-layer:c={width},h={heads},ff={hidden},act=gelu")
        }
        LayerKind::Gpt2Block => format!(
            "encoder-layer:c={width},h={heads},ff={hidden},act=gelu-tanh,norm=pre,mask=causal"
        ),
    }
}

/// A graph of the layer with the seeded inputs and parameters.
pub(super) fn prepared(
    Layer { batch, tokens, width, hidden, .. }: Layer,
    graph: Graph,
    binding: &Binding,
) -> Result<Prepared, Error> {
    let sizes = binding.clone().with("b", batch as u64).with("n", tokens as u64);
    let mut prepared = Prepared::new(graph, &sizes, &Feeds::default().zeros())?;
    let shapes: Vec<_> = prepared.tensors().iter().map(|(_, fed)| fed.clone()).collect();
    for fed in shapes {
        let path = &fed.path;
        let len = fed.shape().iter().product();
        let fan_in = if path.contains("linear2") { hidden } else { width };
        let numbers = match path.as_str() {
            "x" | "gradient" => data::uniform(path, len, 0.0, 1.0),
            _ => data::parameter(path, len, fan_in),
        };
        prepared.feed(path, Tensor::new(fed.shape(), numbers)?)?;
    }
    Ok(prepared)
}

impl<M: Metering> Recorded<M> {
    fn compute(&mut self) -> Result<Run<f32>, Error> {
        Ok(self.prepared.run(&mut self.fast, &mut Quiet)?)
    }
}

impl<M: Metering> Work for Recorded<M> {
    fn run(&mut self) -> Result<(), Error> {
        self.compute().map(drop)
    }

    fn output(&mut self) -> Result<(Vec<f32>, Value), Error> {
        let run = self.compute()?;
        let y = run.output(self.output)?;
        let ledger = &run.ledger;
        let facts = json!({
            "useful": u64::try_from(ledger.useful().total()).ok(),
            "executed": u64::try_from(ledger.executed().total()).ok(),
            "macs": u64::try_from(ledger.macs()).ok(),
        });
        Ok((y.iter().copied().collect(), facts))
    }
}
