//! Layers on stages.

use opledger_parallel::{CountingWire, Pipeline};

use super::layers::{GPT2, LLAMA};
use super::*;

const ENCODER: &str = "encoder:b=2,n=4,c=8,h=2,ff=12,l=8,mask=causal,padding=true";

/// Values are those of the uncut graph, and bytes those of the formulas, stage by stage.
fn holds(case: &Case, stages: u64) -> Poly {
    let pipeline = Pipeline::new(&case.graph, stages).unwrap();
    let run = pipeline.run(&case.binding, &|path| case.fed(path), CountingWire::new).unwrap();
    let whole = Oracle::<f64>::new().run(&case.graph, &case.free(), &Feeds::seeded(7)).unwrap();
    for (name, value) in &run.outputs {
        assert_eq!(value.real().unwrap().data(), whole.output_f64(name).unwrap().data(), "{name}");
    }
    let at = |formula: Poly| u64::try_from(&formula.at(&case.binding).unwrap()).unwrap();
    let last = stages as usize - 1;
    for (stage, (sent, weights)) in run.sent.iter().zip(&run.weights).enumerate() {
        assert_eq!(*sent, [if stage == last { 0 } else { at(pipeline.sent()) }], "{stage}");
        assert_eq!(*weights, at(pipeline.weights(stage as u64)), "{stage}");
    }
    pipeline.sent()
}

#[test]
fn a_stage_hands_on_what_goes_from_layer_to_layer() {
    for stages in [2, 4, 8] {
        let case = Case::layer(ENCODER);
        assert_eq!(holds(&case, stages).to_string(), "8·b·n·c");
    }
    for config in [GPT2, LLAMA] {
        assert_eq!(holds(&Case::model(config), 2).to_string(), "8·b·n·c");
    }
}

#[test]
fn stages_that_do_not_divide_the_layers_are_told_with_both_sides() {
    let case = Case::model(GPT2);
    let pipeline = Pipeline::new(&case.graph, 4).unwrap();
    let told = pipeline.check(&case.binding).unwrap_err().to_string();
    assert_eq!(told, "4 ranks do not divide 2 layers (l, of `transformer.h`)");
    let case = Case::layer("ffn:b=1,n=2,c=4,ff=8");
    let told = Pipeline::new(&case.graph, 2).unwrap_err().to_string();
    assert_eq!(told, "layers that are one repetition are cut into stages, and there are 0");
}
