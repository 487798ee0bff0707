//! Weights from files into the layout that kernels read, each as it comes.

use std::collections::BTreeMap;

use opledger_account::Model;
use opledger_dims::Binding;
use opledger_interp::{
    Elements, Feeds, RunError, Weight, WeightLayout, WeightType, WeightWriter, available_memory,
    bf16, f16,
};
use opledger_ir::{Elem, Value};
use opledger_tensor::Tensor;
use opledger_weights::{Checkpoint, FoundParameters, Sink};

use crate::{ExecuteError, ModelWeights};

/// Reads the parameters of a model.
pub(crate) fn load(
    model: &Model,
    sizes: &Binding,
    checkpoint: &Checkpoint,
    mut feeds: Feeds,
) -> Result<ModelWeights, ExecuteError> {
    let (graph, names) = (model.graph(), &model.recorded().names);
    let available = available_memory();
    let mut found = checkpoint.find(graph, sizes, names, available.as_ref())?;
    let layouts = WeightLayout::of(graph);
    let kept = Kept { layouts: &layouts, types: types(&found) };
    let nodes: Vec<usize> = (0..found.len()).map(|at| found.node(at)).collect();
    found.fits(available.as_ref(), |at, sizes, _| kept.bytes(nodes[at], sizes))?;
    for (at, node) in nodes.into_iter().enumerate() {
        let (path, sizes) = (found.path(at).to_owned(), found.sizes(at).to_vec());
        let wrong = |problem: String| RunError::FeedElements { path: path.clone(), problem };
        let writer = match kept.layouts[node] {
            Some(layout) => WeightWriter::new(layout, &sizes, kept.weight_type(node))
                .map_err(|problem| wrong(problem.to_string()))?,
            None => None,
        };
        feeds = match writer {
            Some(writer) => {
                let mut sink = Writing(Ok(writer));
                found.read(at, kept.elem(node), &mut sink)?;
                let weight = sink.finish().map_err(wrong)?;
                feeds.with_weight(&path, weight)
            }
            None => {
                let mut data = Vec::new();
                data.try_reserve_exact(sizes.iter().product())
                    .map_err(|problem| wrong(problem.to_string()))?;
                found.read(at, Elem::F32, &mut data)?;
                let tensor =
                    Tensor::new(&sizes, data).map_err(|problem| wrong(problem.to_string()))?;
                feeds.with(&path, Value::Real(tensor))
            }
        };
    }
    let read = found.finish()?;
    let (non_finite, aside) = (read.non_finite, read.aside);
    Ok(ModelWeights { feeds, read: true, non_finite, aside })
}

/// Adds tensors that are in memory, each of which goes as it becomes a weight.
pub(crate) fn packed(
    model: &Model,
    sizes: &Binding,
    tensors: Vec<(String, Value<f32>)>,
    mut feeds: Feeds,
) -> Result<Feeds, ExecuteError> {
    let graph = model.graph();
    let mut layouts = BTreeMap::new();
    for (node, layout) in graph.nodes().iter().zip(WeightLayout::of(graph)) {
        // Sizes that name no instances are refused when the run is prepared.
        let paths = layout.and_then(|_| graph.instances(node, sizes).ok()).unwrap_or_default();
        layouts.extend(paths.into_iter().zip(std::iter::repeat(layout)));
    }
    for (path, value) in tensors {
        let layout = layouts.get(&path).copied().flatten();
        let weight = match (&value, layout) {
            (Value::Real(tensor), Some(layout)) => {
                Weight::pack(layout, tensor).map_err(|problem| RunError::FeedElements {
                    path: path.clone(),
                    problem: problem.to_string(),
                })?
            }
            _ => None,
        };
        feeds = match weight {
            Some(weight) => feeds.with_weight(&path, weight),
            None => feeds.with(&path, value),
        };
    }
    Ok(feeds)
}

/// How the parameters of each node are kept.
struct Kept<'l> {
    layouts: &'l [Option<WeightLayout>],
    types: BTreeMap<usize, Elem>,
}

/// The type of each node's parameters in the files, the same in all iterations; `f32` where they differ.
fn types(found: &FoundParameters<'_>) -> BTreeMap<usize, Elem> {
    let mut types = BTreeMap::new();
    for at in 0..found.len() {
        let elem = found.elem(at);
        let known = types.entry(found.node(at)).or_insert(elem);
        if *known != elem {
            *known = Elem::F32;
        }
    }
    types
}

impl Kept<'_> {
    fn elem(&self, node: usize) -> Elem {
        self.types.get(&node).copied().unwrap_or(Elem::F32)
    }

    fn weight_type(&self, node: usize) -> WeightType {
        match self.elem(node) {
            Elem::Bf16 => WeightType::Bf16,
            Elem::F16 => WeightType::F16,
            Elem::F32 | Elem::F64 | Elem::I64 | Elem::I8 | Elem::I4 | Elem::Bool => WeightType::F32,
        }
    }

    /// Bytes that a parameter of a node takes in memory.
    fn bytes(&self, node: usize, sizes: &[usize]) -> Option<usize> {
        match self.layouts[node] {
            Some(layout) => layout.bytes(sizes, self.weight_type(node)),
            None => sizes.iter().try_fold(size_of::<f32>(), |all, size| all.checked_mul(*size)),
        }
    }
}

/// Elements on their way into a weight, or what went wrong.
struct Writing(Result<WeightWriter, String>);

impl Writing {
    fn take(&mut self, elements: Elements<'_>) {
        if let Ok(writer) = &mut self.0
            && let Err(problem) = writer.extend(elements)
        {
            self.0 = Err(problem.to_string());
        }
    }

    fn finish(self) -> Result<Weight, String> {
        self.0?.finish().map_err(|problem| problem.to_string())
    }
}

impl Sink for Writing {
    fn f32(&mut self, elements: &[f32]) {
        self.take(Elements::F32(elements));
    }
    fn bf16(&mut self, elements: &[bf16]) {
        self.take(Elements::Bf16(elements));
    }
    fn f16(&mut self, elements: &[f16]) {
        self.take(Elements::F16(elements));
    }
}
