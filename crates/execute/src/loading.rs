//! Weights from files into the layout that kernels read, each as it comes.

use std::collections::BTreeMap;

use opledger_account::Model;
use opledger_dims::Binding;
use opledger_interp::{
    BlockType, Blocks, Elements, Feeds, RunError, Weight, WeightLayout, WeightType, WeightWriter,
    available_memory, bf16, f16,
};
use opledger_ir::{Elem, Value};
use opledger_models::{GGUF_CONSTANTS, Names};
use opledger_tensor::Tensor;
use opledger_weights::{Checkpoint, FoundParameters, Gguf, Sink, TensorKind};

use crate::{ExecuteError, ModelWeights};

/// Reads the parameters of a model.
pub(crate) fn load(
    model: &Model,
    sizes: &Binding,
    (checkpoint, names): (&Checkpoint, &Names),
    mut feeds: Feeds,
) -> Result<ModelWeights, ExecuteError> {
    let graph = model.graph();
    let available = available_memory();
    let mut found = checkpoint.find(graph, sizes, names, available.as_ref())?;
    let layouts = WeightLayout::of(graph);
    let kept = Kept { layouts: &layouts, types: types(&found) };
    let mut blocks = Vec::with_capacity(found.len());
    for at in 0..found.len() {
        let of = found.blocks(at).map(|of| known(of, found.path(at))).transpose()?;
        blocks.push(of);
    }
    let nodes: Vec<usize> = (0..found.len()).map(|at| found.node(at)).collect();
    found.fits(available.as_ref(), |at, sizes, _| kept.bytes((nodes[at], blocks[at]), sizes))?;
    for (at, node) in nodes.into_iter().enumerate() {
        let (path, sizes) = (found.path(at).to_owned(), found.sizes(at).to_vec());
        let wrong = |problem: String| RunError::FeedElements { path: path.clone(), problem };
        let of = kept.weight_type((node, blocks[at]), &sizes);
        let writer = match kept.layouts[node] {
            Some(layout) => WeightWriter::new(layout, &sizes, of)
                .map_err(|problem| wrong(problem.to_string()))?,
            None => None,
        };
        feeds = match writer {
            Some(writer) => {
                let mut sink = Writing { to: Ok(writer), of };
                found.read(at, kept.elem(node), &mut sink)?;
                let weight = sink.finish().map_err(wrong)?;
                feeds.with_weight(&path, weight)
            }
            None => {
                let mut data = Vec::new();
                data.try_reserve_exact(sizes.iter().product())
                    .map_err(|problem| wrong(problem.to_string()))?;
                let mut plain = Plain(data);
                found.read(at, Elem::F32, &mut plain)?;
                let tensor =
                    Tensor::new(&sizes, plain.0).map_err(|problem| wrong(problem.to_string()))?;
                feeds.with(&path, Value::Real(tensor))
            }
        };
    }
    let read = found.finish()?;
    let (non_finite, aside) = (read.non_finite, read.aside);
    Ok(ModelWeights { feeds, read: true, non_finite, aside })
}

/// Reads the parameters of the model of a GGUF file.
pub(crate) fn gguf(
    model: &Model,
    sizes: &Binding,
    header: &Gguf,
    feeds: Feeds,
) -> Result<ModelWeights, ExecuteError> {
    let names =
        model.gguf_names().ok_or_else(|| ExecuteError::Gguf { path: header.path.clone() })?;
    let checkpoint = header.checkpoint(|own, tensor| match GGUF_CONSTANTS.contains(&own) {
        true => Vec::new(),
        false => names.of(own, tensor.shape.first().copied().unwrap_or(0)),
    })?;
    load(model, sizes, (&checkpoint, &names.applied(model.recorded().names.clone())), feeds)
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

    /// The type in which a parameter of a node is kept: its blocks, where its layout has room for them.
    fn weight_type(
        &self,
        (node, blocks): (usize, Option<BlockType>),
        sizes: &[usize],
    ) -> WeightType {
        if let (Some(of), Some(layout)) = (blocks.map(WeightType::Blocks), self.layouts[node]) {
            return if layout.keeps(sizes, of) { of } else { WeightType::F32 };
        }
        match self.elem(node) {
            Elem::Bf16 => WeightType::Bf16,
            Elem::F16 => WeightType::F16,
            Elem::F32
            | Elem::F64
            | Elem::I64
            | Elem::I8
            | Elem::I4
            | Elem::Bool
            | Elem::Blocks { .. } => WeightType::F32,
        }
    }

    /// Bytes that a parameter of a node takes in memory.
    fn bytes(&self, of: (usize, Option<BlockType>), sizes: &[usize]) -> Option<usize> {
        match self.layouts[of.0] {
            Some(layout) => layout.bytes(sizes, self.weight_type(of, sizes)),
            None => sizes.iter().try_fold(size_of::<f32>(), |all, size| all.checked_mul(*size)),
        }
    }
}

/// Blocks of a file as kernels know them.
fn known(kind: TensorKind, path: &str) -> Result<BlockType, ExecuteError> {
    let found = BlockType::ALL.into_iter().find(|of| of.name() == kind.name());
    found.ok_or_else(|| ExecuteError::Blocks { path: path.to_owned(), kind: kind.name() })
}

/// Elements on their way into a weight of a type, or what went wrong.
struct Writing {
    to: Result<WeightWriter, String>,
    of: WeightType,
}

impl Writing {
    fn take(&mut self, elements: Elements<'_>) {
        if let Ok(writer) = &mut self.to
            && let Err(problem) = writer.extend(elements)
        {
            self.to = Err(problem.to_string());
        }
    }

    fn finish(self) -> Result<Weight, String> {
        self.to?.finish().map_err(|problem| problem.to_string())
    }
}

/// Elements on their way into a tensor, widened.
struct Plain(Vec<f32>);

impl Sink for Plain {
    fn f32(&mut self, elements: &[f32]) {
        self.0.extend_from_slice(elements);
    }
    fn bf16(&mut self, elements: &[bf16]) {
        self.0.extend(elements.iter().map(|x| x.to_f32()));
    }
    fn f16(&mut self, elements: &[f16]) {
        self.0.extend(elements.iter().map(|x| x.to_f32()));
    }
    fn blocks(&mut self, of: TensorKind, bytes: &[u8]) {
        if let Ok(of) = known(of, "") {
            of.widen(bytes, &mut self.0);
        }
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
    fn blocks(&mut self, of: TensorKind, bytes: &[u8]) {
        let Ok(of) = known(of, "") else { return };
        if self.of == WeightType::Blocks(of) {
            return self.take(Elements::Blocks(Blocks { of, bytes }));
        }
        let mut wide = Vec::new();
        of.widen(bytes, &mut wide);
        self.take(Elements::F32(&wide));
    }
}
