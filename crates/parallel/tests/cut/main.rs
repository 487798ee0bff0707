//! Layers and models really cut among ranks: the values of the uncut graph, the bytes of the formulas.

#![allow(clippy::unwrap_used, clippy::panic)]

mod kinds;
mod layers;
mod mesh;
mod refused;
mod stages;
mod steps;

use std::collections::BTreeMap;

use opledger_dims::{Binding, Poly};
use opledger_interp::{Feeds, Oracle, Prepared};
use opledger_ir::{Elem, Graph, Storage, Value};
use opledger_models::{Config, Request, layer};
use opledger_parallel::{CutRun, MeshAxis, Partition, PartitionError, Placement, Strategy};

/// Heads and inner width.
const TENSOR: Strategy = Strategy::Tensor { sequence: false, vocabulary: false };
/// The same with tokens cut in between.
const SEQUENCE: Strategy = Strategy::Tensor { sequence: true, vocabulary: false };

/// A graph with its sizes and tensors, in double precision.
struct Case {
    graph: Graph,
    binding: Binding,
    tensors: BTreeMap<String, Value<f64>>,
}

impl Case {
    fn of(graph: &Graph, binding: &Binding) -> Case {
        let graph = graph.stored(Storage::uniform(Elem::F64));
        let prepared = Prepared::new(&graph, binding, &Feeds::seeded(7)).unwrap();
        let wide = |value: Value<f32>| match value {
            Value::Real(t) => Value::Real(t.map(|x| f64::from(*x))),
            Value::Index(t) => Value::Index(t),
        };
        let all = prepared.tensors().iter();
        let tensors = all.map(|(_, fed)| (fed.path.clone(), wide(fed.value()))).collect();
        Case { binding: prepared.binding().clone(), graph, tensors }
    }

    /// A layer as text.
    fn layer(text: &str) -> Case {
        let model = layer::parse(text).unwrap();
        Case::of(&model.graph, &model.binding)
    }

    /// A model by its configuration, of two items of eight tokens.
    fn model(config: &str) -> Case {
        let config = Config::parse("test", config.as_bytes()).unwrap();
        let model = config.model("test", &Request::default()).unwrap();
        Case::of(&model.graph, &model.binding.with("b", 2).with("n", 8))
    }

    fn fed(&self, path: &str) -> Option<Value<f64>> {
        self.tensors.get(path).cloned()
    }

    fn run(&self, partition: &Partition<'_>) -> Result<CutRun<f64>, PartitionError> {
        partition.run(&self.binding, &|path| self.fed(path))
    }

    /// Cuts, executes, and holds values and bytes; what one rank sends and holds.
    fn holds(&self, strategy: Strategy, ranks: u64) -> (Poly, Poly) {
        let partition = Partition::new(&self.graph, strategy, ranks).unwrap();
        self.holds_cut(&partition);
        (partition.sent(), partition.weights())
    }

    /// Executes, and holds values and bytes.
    fn holds_cut(&self, partition: &Partition<'_>) {
        let run = self.run(partition).unwrap();
        self.holds_values(&run.outputs, &format!("{:?}", partition.mesh()));
        let miscounts = partition.miscounts(&run, &self.binding).unwrap();
        assert_eq!(miscounts, [], "{:?}", partition.mesh());
        let counted: u64 = run.sent.iter().map(|ranks| ranks[0]).sum();
        assert_eq!(partition.sent_at(&self.binding).unwrap(), counted.into());
    }

    /// Holds results against those of the uncut graph.
    fn holds_values(&self, outputs: &[(String, Value<f64>)], cut: &str) {
        let whole = Oracle::<f64>::new().run(&self.graph, &self.free(), &Feeds::seeded(7)).unwrap();
        assert_eq!(outputs.len(), whole.outputs.len(), "{cut}");
        for (name, value) in outputs {
            let expected = whole.output_f64(name).unwrap();
            let value = value.real().unwrap();
            assert_eq!(value.shape(), expected.shape());
            for (own, expected) in value.data().iter().zip(expected.data()) {
                let near = (own - expected).abs() <= 1e-9 * expected.abs().max(1.0);
                assert!(near, "{cut} {name}: {own} {expected}");
            }
        }
    }

    fn free(&self) -> Binding {
        let symbols = self.graph.symbols();
        let free = self.binding.iter().filter(|(symbol, _)| symbols.contains(*symbol));
        free.map(|(symbol, size)| (symbol.clone(), size.clone())).collect()
    }
}
