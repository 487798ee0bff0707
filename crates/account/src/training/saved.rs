//! What eager PyTorch saves of a model's forward pass, by module.

use opledger_conventions::{Saved, SavedOptions, dialect, saved};
use opledger_dims::{Binding, Poly};
use opledger_report::{SavedCost, SavedModule};

use crate::by_convention::usual;
use crate::{AccountError, Model, ModelReference};

impl Model {
    /// The bytes that eager PyTorch 2.15 keeps of a forward pass for its backward, in training mode on a CPU:
    /// those of all storages of tensors that autograd saves, each once, without those of parameters and of
    /// buffers. They are told by the module whose call saves them first, after so many segments of its path.
    /// The model is written as `written` says, or else as is usual for it.
    ///
    /// # Errors
    /// When a size is missing; when it was never observed what is saved of an operation, as it is written.
    pub fn saved(
        &self,
        sizes: &Binding,
        written: Option<&str>,
        options: SavedOptions,
        depth: usize,
    ) -> Result<SavedCost, AccountError> {
        #[cfg(feature = "files")]
        if let ModelReference::Program { .. } = self.reference() {
            return Err(AccountError::SavedOfProgram { model: self.name().to_owned() });
        }
        let sized = self.counted_at(sizes)?;
        let dialect = dialect(written.unwrap_or_else(|| usual(&sized)))?;
        let graph = sized.graph();
        let mut modules: Vec<(String, Poly)> = Vec::new();
        for Saved { at, bytes, times, .. } in saved(graph, sized.sizes(), &dialect, options)? {
            let path = graph.node(at).scope_to(depth);
            let bytes = bytes * times;
            match modules.iter_mut().find(|(own, _)| *own == path) {
                Some((_, sum)) => *sum = sum.clone() + bytes,
                None => modules.push((path, bytes)),
            }
        }
        let all: Poly = modules.iter().map(|(_, bytes)| bytes).sum();
        let told = |path: String, bytes: Poly| -> Result<SavedModule, AccountError> {
            let formula = graph.fold(&bytes).to_string();
            Ok(SavedModule { path, bytes: bytes.at(sized.sizes())?, formula })
        };
        Ok(SavedCost {
            policy: options.by.to_string(),
            dtype: options.elem.name(),
            written: format!("{} ({})", dialect.name, dialect.of),
            dropout: options.dropout,
            bytes: all.at(sized.sizes())?,
            formula: graph.fold(&all).to_string(),
            modules: modules
                .into_iter()
                .map(|(path, bytes)| told(path, bytes))
                .collect::<Result<_, _>>()?,
        })
    }
}
