//! What the files of a model say of generating.

use opledger_account::{AccountError, Model, ModelReference};
use opledger_models::GenerationSettings;
use opledger_weights::{GENERATION, read_config};

use crate::ExecuteError;

/// What the files of a model say of generating, and which of them does: `generation_config.json` where it
/// stands beside the configuration, else the configuration itself.
pub(crate) fn settings(model: &Model) -> Result<(GenerationSettings, &'static str), ExecuteError> {
    let file = model.directory().map(|folder| folder.join(GENERATION)).filter(|file| file.exists());
    if let Some(file) = file {
        let config = read_config(&file).map_err(AccountError::from)?;
        let mut settings = config.generation().map_err(AccountError::from)?;
        if let (None, ModelReference::Config { config, .. }) = (settings.start, model.reference()) {
            settings.start = config.generation().map_err(AccountError::from)?.start;
        }
        return Ok((settings, GENERATION));
    }
    match model.reference() {
        ModelReference::Config { config, .. } => {
            Ok((config.generation().map_err(AccountError::from)?, "its configuration"))
        }
        ModelReference::Gguf { header, .. } => {
            let end = header.metadata.get("tokenizer.ggml.eos_token_id");
            let end = end.and_then(|id| id.as_i64());
            let end_tokens = end.into_iter().collect();
            Ok((GenerationSettings { end_tokens, ..GenerationSettings::default() }, "its header"))
        }
        ModelReference::Layer(_) | ModelReference::Program { .. } => {
            Ok((GenerationSettings::default(), "its configuration"))
        }
    }
}
