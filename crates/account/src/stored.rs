//! Weights as files store them.

use std::collections::BTreeMap;

use opledger_dims::Integer;
use opledger_report::StoredKind;

use crate::{AccountError, Model};

impl Model {
    /// How its files store its weights: tensors, elements and bytes of each type, scales and zeros
    /// included, the largest first; nothing where it has no files.
    pub fn stored_weights(&self) -> Vec<StoredKind> {
        let mut kinds: BTreeMap<&str, StoredKind> = BTreeMap::new();
        let mut add = |name: &'static str, elements: Integer, bytes: Integer| {
            let kind = kinds.entry(name).or_insert_with(|| StoredKind::none(name));
            kind.tensors += 1;
            kind.elements += elements;
            kind.bytes += bytes;
        };
        #[cfg(feature = "files")]
        {
            if let Some(header) = self.reference().gguf() {
                for tensor in header.tensors.values() {
                    add(tensor.kind.name(), tensor.elements(), tensor.bytes());
                }
            } else if let Some(checkpoint) = self
                .directory()
                .and_then(|directory| opledger_weights::Checkpoint::beside(directory).ok()?)
            {
                for name in checkpoint.names() {
                    if let Some((info, _)) = checkpoint.info(name) {
                        add(info.kind_name(), info.elements().into(), info.bytes().into());
                    }
                }
            }
        }
        let mut kinds: Vec<StoredKind> = kinds.into_values().collect();
        kinds.sort_by(|a, b| b.bytes.cmp(&a.bytes));
        kinds
    }

    /// Refuses a file that holds more or less than the model that its keys describe.
    pub(crate) fn check_stored(&self) -> Result<(), AccountError> {
        #[cfg(feature = "files")]
        if let Some(header) = self.reference().gguf() {
            let own = header.tensors.iter();
            let own = own.filter(|(name, _)| !opledger_models::GGUF_CONSTANTS.contains(&&***name));
            let held: Integer = own.map(|(_, tensor)| tensor.elements()).sum();
            let parameters = self.parameters().as_integer().unwrap_or_default();
            if held != parameters {
                let model = self.name().to_owned();
                return Err(AccountError::OtherParameters { model, held, parameters });
            }
        }
        Ok(())
    }
}
