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

/// Readers of models that generate: of each that none before it covers.
pub(super) fn readers(
    presets: &[Preset],
    models: &[PageModel],
    known: &BTreeSet<String>,
) -> Result<Vec<PageReader>, AccountError> {
    let mut probes: Vec<(&PageModel, Probe)> = Vec::new();
    let mut readers = Vec::new();
    for (at, model) in models.iter().enumerate() {
        let Some(preset) = presets.iter().find(|preset| preset.name == model.name) else {
            continue;
        };
        let config = preset.config();
        let covers = |(other, probe): &(&PageModel, Probe)| {
            (&other.family, other.plain) == (&model.family, model.plain) && probe.covers(&config)
        };
        if model.cached.is_none() || probes.iter().any(covers) {
            continue;
        }
        // Only its files say whether it has a head of its own.
        if config.leaves_head_open() {
            continue;
        }
        let probe = config.probe(known)?;
        if !probe.keys.is_empty() {
            readers.push(reader(at, probe.clone()));
            probes.push((model, probe));
        }
    }
    Ok(readers)
}

fn reader(model: usize, probe: Probe) -> PageReader {
    let size = |size: ProbedSize| (size.symbol, size.value.to_string(), size.powers);
    let (bound, even) = (probe.bound, probe.even);
    let keys = probe.keys.into_iter().map(|(key, value)| {
        let [is_bound, is_even] = [&bound, &even].map(|keys| keys.contains(&key));
        (key, (value, is_bound, is_even))
    });
    PageReader {
        model,
        sizes: probe.sizes.into_iter().map(size).collect(),
        positions: probe.positions.map(size),
        keys: keys.collect(),
        free: probe.free,
        fixed: probe.fixed,
        absent: probe.absent.into_iter().collect(),
    }
}
