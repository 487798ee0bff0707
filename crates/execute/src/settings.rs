//! What the files of a model say of generating.

use opledger_account::{AccountError, Model, ModelReference};
use opledger_models::GenerationSettings;
use opledger_weights::read_config;

use crate::ExecuteError;

/// The file that says how a model generates.
const FILE: &str = "generation_config.json";

/// What the files of a model say of generating, and which of them does: `generation_config.json` where it
/// stands beside the configuration, else the configuration itself.
pub(crate) fn settings(model: &Model) -> Result<(GenerationSettings, &'static str), ExecuteError> {
    let file = model.directory().map(|folder| folder.join(FILE)).filter(|file| file.exists());
    if let Some(file) = file {
        let config = read_config(&file).map_err(AccountError::from)?;
        return Ok((config.generation().map_err(AccountError::from)?, FILE));
    }
    match model.reference() {
        ModelReference::Config { config, .. } => {
            Ok((config.generation().map_err(AccountError::from)?, "its configuration"))
        }
        ModelReference::Layer(_) => Ok((GenerationSettings::default(), "its configuration")),
    }
}
