//! Tensors in safetensors files.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use opledger_dims::{Binding, escaped};
use opledger_ir::ops::Source;
use opledger_ir::{Graph, Kind, Node, Op, Value, to_usize};
use opledger_models::Pattern;
use opledger_weights::{Checkpoint, TensorInfo, WeightsError, fits};
use safetensors::{Dtype, tensor};

/// A tensor and its name.
pub(crate) type NamedTensor = (String, Value<f32>);

/// Why a file of tensors could not be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TensorError {
    #[error(transparent)]
    File(#[from] WeightsError),
    #[error(
        "tensor `{name}` of `{}` is {found} where {expected} is needed ({axes})", path.display()
    )]
    Mismatch { path: PathBuf, name: String, expected: String, found: String, axes: String },
    #[error("tensor `{name}` of `{}` is no input or parameter of this model; it takes {known}", path.display())]
    Unknown { path: PathBuf, name: String, known: String },
    #[error("`{}` has tensor `{name}`, which stands for several inputs: {candidates}", path.display())]
    Ambiguous { path: PathBuf, name: String, candidates: String },
    #[error("`{}` has both `{first}` and `{second}`, which are one input", path.display())]
    Twice { path: PathBuf, first: String, second: String },
}

/// The name of an element kind in a file.
pub(crate) fn dtype_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Real => "F32",
        Kind::Whole => "I64",
    }
}

/// A file of inputs and parameters.
pub(crate) struct Inputs {
    path: PathBuf,
    file: Checkpoint,
}

impl Inputs {
    /// Reads the header of a file.
    pub(crate) fn open(path: &Path) -> Result<Inputs, TensorError> {
        Ok(Inputs { path: path.to_owned(), file: Checkpoint::open_file(path)? })
    }

    /// Whether the file has a tensor of a name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.file.info(name).is_some()
    }

    /// The sizes of a tensor of a name.
    pub(crate) fn shape(&self, name: &str) -> Option<&[usize]> {
        self.file.info(name).map(|(info, _)| &info.shape[..])
    }

    /// Whether the file has a tensor for a path, whichever iteration it is of.
    pub(crate) fn gives(&self, path: &str) -> bool {
        let pattern = Pattern::new(path);
        self.file.names().any(|name| name == path || pattern.matches(name))
    }

    /// Gives symbols without a size the one that a tensor of the file has along their axis.
    pub(crate) fn sizes(&self, graph: &Graph, binding: &mut Binding) {
        for name in self.file.names() {
            let Some((info, _)) = self.file.info(name) else { continue };
            let Ok(Some(node)) = source(&self.path, graph, name) else { continue };
            for (axis, size) in node.shape.axes.iter().zip(&info.shape) {
                if let Some(symbol) = axis.size.as_symbol()
                    && node.shape.axes.len() == info.shape.len()
                    && graph.complete(binding).is_ok_and(|all| all.get(symbol).is_none())
                {
                    binding.set(symbol, *size);
                }
            }
        }
    }

    /// Reads the tensors under the paths of the graph's sources. Sizes are compared before any
    /// element is read.
    pub(crate) fn read(
        &self,
        graph: &Graph,
        binding: &Binding,
    ) -> Result<Vec<NamedTensor>, TensorError> {
        read(&self.path, &self.file, graph, binding)
    }
}

fn read(
    path: &Path,
    file: &Checkpoint,
    graph: &Graph,
    binding: &Binding,
) -> Result<Vec<NamedTensor>, TensorError> {
    let mut targets: Vec<(&str, &Node, String)> = Vec::new();
    for name in file.names() {
        let (Some((info, _)), Some(node)) = (file.info(name), source(path, graph, name)?) else {
            let known: Vec<&str> = sources(graph).map(|node| node.path.as_str()).collect();
            let (path, name, known) = (path.to_owned(), escaped(name), known.join(", "));
            return Err(TensorError::Unknown { path, name, known });
        };
        check(path, name, info, node, binding)?;
        let instance = Pattern::new(&node.path).matches(name);
        let target = if instance { name } else { &node.path };
        if let Some((first, ..)) = targets.iter().find(|(.., path)| *path == target) {
            let (first, second) = (escaped(first), escaped(name));
            return Err(TensorError::Twice { path: path.to_owned(), first, second });
        }
        targets.push((name, node, target.to_owned()));
    }
    let value = |(name, node, target): (&str, &Node, String)| {
        let value = match (file.read(name)?, sizes(node, binding)) {
            (Value::Real(tensor), Some(sizes)) => {
                Value::Real(tensor.reshape(&sizes).unwrap_or(tensor))
            }
            (value, _) => value,
        };
        Ok((target, value))
    };
    targets.into_iter().map(value).collect()
}

fn sources(graph: &Graph) -> impl Iterator<Item = &Node> {
    graph.nodes().iter().filter(|node| node.op.is_source())
}

/// The source that a name stands for: the one of that path, else the only input whose path ends so.
fn source<'g>(path: &Path, graph: &'g Graph, name: &str) -> Result<Option<&'g Node>, TensorError> {
    if let Some(node) = sources(graph).find(|node| Pattern::new(&node.path).matches(name)) {
        return Ok(Some(node));
    }
    let input = |node: &&Node| !matches!(node.op, Op::Source(Source::Param { .. }));
    let named = |node: &&Node| node.path.rsplit('.').next() == Some(name);
    let found: Vec<&Node> = sources(graph).filter(input).filter(named).collect();
    match found[..] {
        [] => Ok(None),
        [node] => Ok(Some(node)),
        _ => {
            let paths: Vec<&str> = found.iter().map(|node| node.path.as_str()).collect();
            let (name, candidates) = (escaped(name), paths.join(", "));
            Err(TensorError::Ambiguous { path: path.to_owned(), name, candidates })
        }
    }
}

/// The sizes of a source; none when they do not fit the machine.
fn sizes(node: &Node, binding: &Binding) -> Option<Vec<usize>> {
    let size = |axis: &opledger_ir::Axis| to_usize(&axis.size.at(binding).ok()?).ok();
    node.shape.axes.iter().map(size).collect()
}

fn check(
    path: &Path,
    name: &str,
    info: &TensorInfo,
    node: &Node,
    binding: &Binding,
) -> Result<(), TensorError> {
    let kind = node.shape.elem.kind();
    let expected = sizes(node, binding);
    // Only parameters may be stored with axes merged.
    let parameter = matches!(node.op, Op::Source(Source::Param { .. }));
    let same =
        expected.is_some_and(|sizes| sizes == info.shape || parameter && fits(&sizes, &info.shape));
    if same && info.kind() == Some(kind) {
        return Ok(());
    }
    let sizes: Vec<String> = node
        .shape
        .axes
        .iter()
        .map(|axis| axis.size.at(binding).map_or_else(|_| axis.size.to_string(), |n| n.to_string()))
        .collect();
    Err(TensorError::Mismatch {
        path: path.to_owned(),
        name: escaped(name),
        expected: format!("{} [{}]", dtype_name(kind), sizes.join(", ")),
        found: info.to_string(),
        axes: node.shape.to_string(),
    })
}

/// Writes tensors as a safetensors file, with what is to be told of them as its metadata.
pub(crate) fn write(file: &File, tensors: &[NamedTensor], notes: &[String]) -> Result<(), String> {
    let mut infos = Vec::new();
    let mut offset = 0;
    for (name, value) in tensors {
        let count: usize = value.shape().iter().product();
        let end = offset
            + count
                * match value.kind() {
                    Kind::Real => size_of::<f32>(),
                    Kind::Whole => size_of::<i64>(),
                };
        let dtype = match value.kind() {
            Kind::Real => Dtype::F32,
            Kind::Whole => Dtype::I64,
        };
        let shape = value.shape().to_vec();
        let data_offsets = (offset, end);
        infos.push((name.clone(), tensor::TensorInfo { dtype, shape, data_offsets }));
        offset = end;
    }
    let told = (!notes.is_empty()).then(|| [("notes".to_owned(), notes.join("; "))].into());
    let header = tensor::Metadata::new(told, infos).map_err(|e| e.to_string())?;
    let mut header = serde_json::to_string(&header).map_err(|e| e.to_string())?;
    // The elements begin at a multiple of eight bytes.
    header += &" ".repeat(header.len().next_multiple_of(8) - header.len());
    let mut out = BufWriter::new(file);
    let mut put = |bytes: &[u8]| out.write_all(bytes).map_err(|e| e.to_string());
    put(&(header.len() as u64).to_le_bytes())?;
    put(header.as_bytes())?;
    for (_, value) in tensors {
        match value {
            Value::Real(t) => t.data().iter().try_for_each(|x| put(&x.to_le_bytes()))?,
            Value::Index(t) => t.data().iter().try_for_each(|x| put(&x.to_le_bytes()))?,
        }
    }
    out.flush().map_err(|e| e.to_string())
}
