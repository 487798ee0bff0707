//! `opledger models`: the published models that are known by name.

use opledger_models::presets;
use opledger_report::{KnownModel, KnownModels};

use crate::args::ModelsArgs;
use crate::failure::Failure;
use crate::output;

/// Whether one of some texts has another in it, in any case.
pub(super) fn contains<'t>(texts: impl IntoIterator<Item = &'t str>, part: &str) -> bool {
    let part = part.to_lowercase();
    texts.into_iter().any(|text| text.to_lowercase().contains(&part))
}

pub(crate) fn execute(args: &ModelsArgs) -> Result<(), Failure> {
    let known = |preset: opledger_models::Preset| KnownModel {
        family: preset.family().to_owned(),
        name: preset.name,
        parameters: preset.parameters.into(),
        source: preset.source,
    };
    let mut models: Vec<KnownModel> = presets()?.into_iter().map(known).collect();
    if let Some(text) = &args.text {
        models.retain(|model| contains([&*model.name, &*model.family, &*model.source], text));
        if models.is_empty() {
            return Err(Failure::NoneNamed { what: "published model", text: text.clone() });
        }
    }
    output::show(&KnownModels { models }, args.format)
}
