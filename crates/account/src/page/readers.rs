//! How sizes follow from configurations of models that are not published here.

use std::collections::BTreeSet;

use opledger_models::{Preset, Probe, ProbedSize};
use opledger_report::{PageModel, PageReader};

use crate::AccountError;

/// The keys of all configurations.
pub(super) fn known(presets: &[Preset]) -> BTreeSet<String> {
    let mut known = BTreeSet::new();
    for preset in presets {
        known.extend(preset.config().keys().map(str::to_owned));
    }
    known
}

/// A reader for each computation of each family of models that generate, of the first model that has it.
pub(super) fn readers(
    presets: &[Preset],
    models: &[PageModel],
    known: &BTreeSet<String>,
) -> Result<Vec<PageReader>, AccountError> {
    let mut seen = BTreeSet::new();
    let mut readers = Vec::new();
    for (at, model) in models.iter().enumerate() {
        let Some(preset) = presets.iter().find(|preset| preset.name == model.name) else {
            continue;
        };
        if model.cached.is_none() || !seen.insert((&model.family, model.plain)) {
            continue;
        }
        let config = preset.config();
        // Only its files say whether it has a head of its own.
        if config.leaves_head_open() {
            continue;
        }
        let probe = config.probe(known)?;
        if !probe.keys.is_empty() {
            readers.push(reader(at, probe));
        }
    }
    Ok(readers)
}

fn reader(model: usize, probe: Probe) -> PageReader {
    let size = |size: ProbedSize| (size.symbol, size.value.to_string(), size.powers);
    let bound = probe.bound;
    let keys = probe.keys.into_iter().map(|(key, value)| {
        let is_bound = bound.contains(&key);
        (key, (value, is_bound))
    });
    PageReader {
        model,
        sizes: probe.sizes.into_iter().map(size).collect(),
        positions: probe.positions.map(size),
        keys: keys.collect(),
        free: probe.free.into_iter().collect(),
        fixed: probe.fixed,
        absent: probe.absent.into_iter().collect(),
    }
}
