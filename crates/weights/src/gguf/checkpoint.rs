//! The tensors of a GGUF file as those of a checkpoint, under other names.

use opledger_ir::Value;
use safetensors::Dtype;

use super::{Gguf, GgufError, GgufTensor, TensorKind};
use crate::checkpoint::{Checkpoint, Located, Shard, unreadable};
use crate::error::WeightsError;
use crate::files::open_regular;
use crate::header::TensorInfo;

impl Gguf {
    /// Its tensors, by the names that `names` gives each: one, or one for each entry of its outermost axis. A
    /// tensor without names is left out.
    ///
    /// # Errors
    /// When the file cannot be opened or is not the one whose header was read.
    pub fn checkpoint(
        &self,
        names: impl Fn(&str, &GgufTensor) -> Vec<String>,
    ) -> Result<Checkpoint, WeightsError> {
        let path = &self.path;
        let (_, identity) = open_regular(path).map_err(|problem| unreadable(path, problem))?;
        if identity.length != self.length {
            return Err(WeightsError::Changed { path: path.clone() });
        }
        let mut checkpoint = Checkpoint::empty(path);
        for (own, tensor) in &self.tensors {
            let names = names(own, tensor);
            let size = |size: &u64| {
                usize::try_from(*size).map_err(|_| unreadable(path, "a size does not fit"))
            };
            let shape: Vec<usize> = tensor.shape.iter().map(size).collect::<Result<_, _>>()?;
            // The reader compared all of them with the length of the file.
            let whole = u64::try_from(tensor.bytes()).unwrap_or(0);
            let each = whole / names.len().max(1) as u64;
            let shape = if names.len() > 1 { shape[1..].to_vec() } else { shape };
            for (at, name) in names.into_iter().enumerate() {
                let start = tensor.begin + at as u64 * each;
                let range = start..start + each;
                let (dtype, blocks) = stored(tensor.kind);
                let info = TensorInfo { dtype, blocks, shape: shape.clone(), range };
                checkpoint.tensors.insert(name, Located { info, shard: 0 });
            }
        }
        checkpoint.shards.push(Shard { path: path.clone(), identity, start: self.start });
        Ok(checkpoint)
    }

    /// The elements of a tensor of `F32` of at most so many.
    ///
    /// # Errors
    /// As [`Gguf::checkpoint`]; when there is none such.
    pub fn reals(&self, name: &str, most: usize) -> Result<Vec<f32>, GgufError> {
        let unread = |problem: String| GgufError::Unreadable { path: self.path.clone(), problem };
        let checkpoint = self.checkpoint(|own, _| match own == name {
            true => vec![own.to_owned()],
            false => Vec::new(),
        });
        let checkpoint = checkpoint.map_err(|problem| unread(problem.to_string()))?;
        let few = checkpoint.info(name).is_some_and(|(info, _)| info.elements() <= most);
        match few.then(|| checkpoint.read(name)).transpose() {
            Ok(Some(Value::Real(tensor))) => Ok(tensor.data().to_vec()),
            Ok(_) => Err(unread(format!("`{name}` is no short list of reals"))),
            Err(problem) => Err(unread(problem.to_string())),
        }
    }
}

/// A type as a safetensors file has it, or in blocks.
fn stored(kind: TensorKind) -> (Dtype, Option<TensorKind>) {
    match kind.name() {
        "F32" => (Dtype::F32, None),
        "F16" => (Dtype::F16, None),
        "BF16" => (Dtype::BF16, None),
        "F64" => (Dtype::F64, None),
        "I8" => (Dtype::I8, None),
        "I16" => (Dtype::I16, None),
        "I32" => (Dtype::I32, None),
        "I64" => (Dtype::I64, None),
        _ => (Dtype::U8, Some(kind)),
    }
}
