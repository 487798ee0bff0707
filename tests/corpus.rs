//! `corpus.json`: layers at sizes for which another tool printed its count. Every case goes through
//! the derived cost; cases small enough go through the kernels too, and with sizes cut down through
//! the oracle.

use opledger_dims::{Binding, Integer};
use opledger_interp::{Fast, Feeds, prove};
use opledger_models::layer::parse;
use serde_json::Value;

/// The largest case that the kernels execute here, in multiply-accumulates.
const EXECUTED: u64 = 2_000_000_000;

#[test]
fn contractions_and_parameters_are_those_of_other_tools() {
    let corpus: Value = serde_json::from_str(include_str!("corpus.json")).unwrap();
    for case in corpus["cases"].as_array().unwrap() {
        let text = case["layer"].as_str().unwrap();
        let model = parse(text).unwrap();
        let sizes = case["sizes"].as_object().unwrap();
        let at: Binding = sizes
            .iter()
            .fold(model.binding.clone(), |at, (s, v)| at.with(s.as_str(), v.as_i64().unwrap()));
        let complete = model.graph.complete(&at).unwrap();
        let macs = Integer::from(case["flop_counter"].as_u64().unwrap() / 2);
        assert_eq!(model.graph.cost().macs().at(&complete).unwrap(), macs, "{text}");
        let parameters = Integer::from(case["parameters"].as_u64().unwrap());
        assert_eq!(model.graph.parameters().0.at(&complete).unwrap(), parameters, "{text}");
        if macs < EXECUTED.into() {
            let run = Fast::new().unwrap().run(&model.graph, &at, &Feeds::seeded(1)).unwrap();
            assert_eq!(run.ledger.macs(), macs, "{text}");
            assert_eq!(run.ledger.useful(), model.graph.counts_at(&at).unwrap(), "{text}");
        }
        let small =
            ["c", "in", "out", "ff"].into_iter().fold(at, |at, s| match at.get(&s.into()) {
                Some(_) => at.with(s, 16),
                None => at,
            });
        let small = ["b", "n", "m"].into_iter().fold(small, |at, s| match at.get(&s.into()) {
            Some(_) => at.with(s, 3),
            None => at,
        });
        let theorem = prove(&model.graph, &small, &Feeds::seeded(1)).unwrap().theorem;
        assert!(theorem.holds(), "{text}: {}", theorem.mismatches[0]);
    }
}
