//! Presets: each file is listed, and gives a model of the published size.

#![allow(clippy::unwrap_used, reason = "tests")]

use opledger_dims::Quantity;
use opledger_models::{Request, preset_names, presets};

#[test]
fn every_file_is_listed() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/presets");
    let mut there: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().file_name().to_string_lossy().trim_end_matches(".json").to_owned())
        .collect();
    there.sort();
    assert_eq!(preset_names().collect::<Vec<_>>(), there);
}

#[test]
fn parameters_are_the_published_ones_to_the_unit() {
    let mut checked = 0;
    for preset in presets().unwrap() {
        let model = preset.config().model(&preset.name, &Request::default()).unwrap();
        let binding = model.graph.complete(&model.binding).unwrap();
        let parameters = model.graph.parameters().0.at(&binding).unwrap();
        assert_eq!(parameters, preset.parameters.into(), "{}", preset.name);
        let active = model.graph.quantity(Quantity::ActiveParameters).at(&binding).unwrap();
        let expected = preset.active_parameters.unwrap_or(preset.parameters);
        assert_eq!(active, expected.into(), "{}", preset.name);
        assert!(model.not_understood.is_empty(), "{}: {:?}", preset.name, model.not_understood);
        checked += 1;
    }
    assert!(checked >= 25);
}
