//! Weights as files store them.

use std::collections::BTreeMap;

use opledger_dims::Integer;
#[cfg(feature = "files")]
use opledger_dims::Poly;
#[cfg(feature = "files")]
use opledger_ir::{Op, ops::Source};
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

    /// The elements of what a model has beside its parameters.
    #[cfg(feature = "files")]
    fn buffers(&self) -> Result<Integer, AccountError> {
        let graph = self.graph();
        let sizes = graph.complete(self.sizes())?;
        let own = graph.nodes().iter();
        let own = own.filter(|node| matches!(node.op, Op::Source(Source::Buffer { .. })));
        let elements = own.map(|node| node.shape.elements() * graph.multiplicity(node));
        Ok(elements.sum::<Poly>().at(&sizes)?)
    }

    /// Refuses a file that holds more or less than the model that its keys describe.
    pub(crate) fn check_stored(&self) -> Result<(), AccountError> {
        #[cfg(feature = "files")]
        if let Some(header) = self.reference().gguf() {
            let first = opledger_models::gguf_layers_behind(&header.metadata);
            let behind = |name: &str| {
                let layer = name.strip_prefix("blk.").and_then(|rest| rest.split('.').next());
                let layer = layer.and_then(|layer| layer.parse::<u64>().ok());
                layer.zip(first).is_some_and(|(layer, first)| layer >= first)
            };
            let constant = |name: &str| opledger_models::GGUF_CONSTANTS.contains(&name);
            let own = header.tensors.iter();
            let own = own.filter(|(name, _)| !constant(name) && !behind(name));
            let held: Integer = own.map(|(_, tensor)| tensor.elements()).sum();
            let parameters = self.parameters().as_integer().unwrap_or_default();
            // What training leaves alone is no parameter, and stands in files all the same.
            if held != &parameters + self.buffers()? {
                let model = self.name().to_owned();
                return Err(AccountError::OtherParameters { model, held, parameters });
            }
        }
        Ok(())
    }
}
