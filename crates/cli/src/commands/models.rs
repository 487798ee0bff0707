//! `opledger models`: the published models that are known by name.

use opledger_models::presets;
use opledger_report::{KnownModel, KnownModels};

use crate::args::ModelsArgs;
use crate::failure::Failure;
use crate::output;

pub(crate) fn execute(args: &ModelsArgs) -> Result<(), Failure> {
    let known = |preset: opledger_models::Preset| KnownModel {
        family: preset.family().to_owned(),
        name: preset.name,
        parameters: preset.parameters.into(),
        source: preset.source,
    };
    let models = presets()?.into_iter().map(known).collect();
    output::show(&KnownModels { models }, args.format)
}
