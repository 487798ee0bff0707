//! Tensors in safetensors files.

use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use opledger_dims::Binding;
use opledger_ir::ops::Source;
use opledger_ir::{Elem, Graph, Node, Op, Value, to_usize};
use opledger_tensor::Tensor;
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

/// The longest header that is read.
const MAX_HEADER: u64 = 64 << 20;

/// A tensor and its name.
pub(crate) type Named = (String, Value<f32>);

/// Why a file of tensors could not be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TensorError {
    #[error("`{}` could not be read: {problem}", path.display())]
    Unreadable { path: PathBuf, problem: String },
    #[error("`{}` is no safetensors file: {problem}", path.display())]
    Malformed { path: PathBuf, problem: String },
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
pub(crate) fn dtype_name(elem: Elem) -> &'static str {
    match elem {
        Elem::Real => "F32",
        Elem::Index => "I64",
    }
}

/// Reads the tensors of a file under the paths of the graph's sources. Sizes are compared before any
/// element is read.
pub(crate) fn read(
    path: &Path,
    graph: &Graph,
    binding: &Binding,
) -> Result<Vec<Named>, TensorError> {
    let unreadable = |problem: std::io::Error| TensorError::Unreadable {
        path: path.to_owned(),
        problem: problem.to_string(),
    };
    let mut file = File::open(path).map_err(unreadable)?;
    if !file.metadata().map_err(unreadable)?.is_file() {
        let problem = "it is no regular file".to_owned();
        return Err(TensorError::Unreadable { path: path.to_owned(), problem });
    }
    let (start, header) = header(path, &mut file)?;
    let mut wanted = Vec::new();
    for name in header.offset_keys() {
        let (Some(info), Some(source)) = (header.info(&name), source(path, graph, &name)?) else {
            let known: Vec<&str> = sources(graph).map(|node| node.path.as_str()).collect();
            let (path, known) = (path.to_owned(), known.join(", "));
            return Err(TensorError::Unknown { path, name, known });
        };
        check(path, &name, info, source, binding)?;
        wanted.push((name, info, source));
    }
    let mut tensors: Vec<(String, String, Value<f32>)> = Vec::new();
    for (name, info, node) in wanted {
        let target = if matches(&node.path, &name) { name.clone() } else { node.path.clone() };
        if let Some((first, ..)) = tensors.iter().find(|(_, path, _)| *path == target) {
            let (first, second) = (first.clone(), name);
            return Err(TensorError::Twice { path: path.to_owned(), first, second });
        }
        let (begin, end) = info.data_offsets;
        let mut bytes = vec![0; end - begin];
        file.seek(SeekFrom::Start(start + begin as u64)).map_err(unreadable)?;
        file.read_exact(&mut bytes).map_err(unreadable)?;
        let sizes = sizes(node, binding).unwrap_or_else(|| info.shape.clone());
        let value = match node.shape.elem {
            Elem::Real => Tensor::new(&sizes, numbers(&bytes, f32::from_le_bytes)).map(Value::Real),
            Elem::Index => {
                Tensor::new(&sizes, numbers(&bytes, i64::from_le_bytes)).map(Value::Index)
            }
        };
        let value = value.map_err(|problem| malformed(path, problem))?;
        tensors.push((name, target, value));
    }
    Ok(tensors.into_iter().map(|(_, target, value)| (target, value)).collect())
}

fn numbers<T, const N: usize>(bytes: &[u8], read: fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|chunk| read(*chunk)).collect()
}

fn malformed(path: &Path, problem: impl ToString) -> TensorError {
    TensorError::Malformed { path: path.to_owned(), problem: problem.to_string() }
}

/// The header of a file, checked against its length, and where the elements begin.
fn header(path: &Path, file: &mut File) -> Result<(u64, Metadata), TensorError> {
    let bad = |problem: String| malformed(path, problem);
    let length = file.metadata().map_err(|e| bad(e.to_string()))?.len();
    let mut bytes = [0; 8];
    file.read_exact(&mut bytes).map_err(|_| bad("it is shorter than 8 bytes".to_owned()))?;
    let size = u64::from_le_bytes(bytes);
    if size > MAX_HEADER || size > length - 8 {
        return Err(bad(format!("its header claims {size} bytes of a file of {length}")));
    }
    let mut text = vec![0; size as usize];
    file.read_exact(&mut text).map_err(|e| bad(e.to_string()))?;
    let header: Metadata =
        serde_json::from_slice(&text).map_err(|e| bad(format!("its header: {e}")))?;
    let (needed, there) = (header.data_len() as u64, length - 8 - size);
    if needed != there {
        return Err(bad(format!("its tensors take {needed} bytes, {there} are there")));
    }
    Ok((8 + size, header))
}

/// Whether a path of the graph, in which `*` stands for any iteration, has an instance of a name.
fn matches(path: &str, name: &str) -> bool {
    let (mut path, mut name) = (path.split('.'), name.split('.'));
    loop {
        match (path.next(), name.next()) {
            (None, None) => return true,
            (Some("*"), Some(n)) if !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()) => {}
            (Some(p), Some(n)) if p == n => {}
            _ => return false,
        }
    }
}

fn sources(graph: &Graph) -> impl Iterator<Item = &Node> {
    graph.nodes().iter().filter(|node| node.op.is_source())
}

/// The source that a name stands for: the one of that path, else the only input whose path ends so.
fn source<'g>(path: &Path, graph: &'g Graph, name: &str) -> Result<Option<&'g Node>, TensorError> {
    if let Some(node) = sources(graph).find(|node| matches(&node.path, name)) {
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
            let (name, candidates) = (name.to_owned(), paths.join(", "));
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
    let dtype = match node.shape.elem {
        Elem::Real => Dtype::F32,
        Elem::Index => Dtype::I64,
    };
    let expected = sizes(node, binding);
    let same = expected.as_ref().is_some_and(|sizes| fits(node, sizes, &info.shape));
    if same && info.dtype == dtype {
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
        name: name.to_owned(),
        expected: format!("{dtype:?} [{}]", sizes.join(", ")),
        found: format!("{:?} {:?}", info.dtype, info.shape),
        axes: node.shape.to_string(),
    })
}

/// Whether a shape in a file is a source's: the same sizes, or for parameters the same with
/// neighbouring axes merged, as other tools store the heads of a projection: `[h·e, c]`.
fn fits(node: &Node, sizes: &[usize], found: &[usize]) -> bool {
    if sizes == found {
        return true;
    }
    if !matches!(node.op, Op::Source(Source::Param { .. })) {
        return false;
    }
    let mut rest = sizes.iter();
    let merged = found.iter().all(|size| {
        let mut product = 1_usize;
        loop {
            match rest.next().and_then(|next| product.checked_mul(*next)) {
                Some(next) => product = next,
                None => return false,
            }
            if product >= *size {
                return product == *size;
            }
        }
    });
    merged && rest.all(|size| *size == 1)
}

/// Writes tensors as a safetensors file.
pub(crate) fn write(file: &File, tensors: &[Named]) -> Result<(), String> {
    let mut infos = Vec::new();
    let mut offset = 0;
    for (name, value) in tensors {
        let count: usize = value.shape().iter().product();
        let end = offset + count * value.elem().bytes() as usize;
        let dtype = match value.elem() {
            Elem::Real => Dtype::F32,
            Elem::Index => Dtype::I64,
        };
        let shape = value.shape().to_vec();
        infos.push((name.clone(), TensorInfo { dtype, shape, data_offsets: (offset, end) }));
        offset = end;
    }
    let header = Metadata::new(None, infos).map_err(|e| e.to_string())?;
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
