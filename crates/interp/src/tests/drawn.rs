//! What is drawn where nothing is given.

use super::*;
use opledger_ir::Value;
use opledger_tensor::Tensor;

/// 400 ids below 5, twice, a mask of as many keys, a weight and a gain.
fn drawn(feeds: &Feeds) -> Prepared {
    let mut g = Graph::new();
    for name in ["ids", "others"] {
        let ids = g.input_ids(name, ["b", "n"], "v").unwrap();
        g.output(name, ids);
    }
    let mask = g.input_mask("mask", ["b", "n"]).unwrap();
    g.output("mask", mask);
    for (name, source) in [("weight", Source::weight("b")), ("gain", Source::gain())] {
        let parameter = g.param(name, source, ["n", "b"]).unwrap();
        g.output(name, parameter);
    }
    Prepared::new(&g, &Binding::from_iter([("b", 4), ("n", 100), ("v", 5)]), feeds).unwrap()
}

fn ids(prepared: &Prepared, path: &str) -> Tensor<i64> {
    match prepared.tensors().get(path) {
        Some(Value::Index(ids)) => ids.clone(),
        other => panic!("{path}: {other:?}"),
    }
}

fn reals(prepared: &Prepared, path: &str) -> Vec<f32> {
    match prepared.tensors().get(path) {
        Some(Value::Real(reals)) => reals.data().to_vec(),
        other => panic!("{path}: {other:?}"),
    }
}

fn distinct(ids: &Tensor<i64>) -> Vec<i64> {
    let mut ids = ids.data().to_vec();
    ids.sort_unstable();
    ids.dedup();
    ids
}

#[test]
fn ids_are_of_the_whole_table_and_zeros_where_they_are_asked_for() {
    let all = drawn(&Feeds::seeded(1));
    assert_eq!(distinct(&ids(&all, "ids")), [0, 1, 2, 3, 4]);
    let zeros = drawn(&Feeds::seeded(1).zeros_at("ids"));
    assert_eq!(distinct(&ids(&zeros, "ids")), [0]);
    assert_eq!(ids(&zeros, "others"), ids(&all, "others"));
}

#[test]
fn a_mask_hides_some_keys_and_never_the_first() {
    let mask = ids(&drawn(&Feeds::seeded(2)), "mask");
    assert_eq!(distinct(&mask), [0, 1]);
    assert!(mask.data().iter().step_by(100).all(|first| *first == 1));
}

#[test]
fn a_seed_and_a_path_say_what_is_drawn() {
    let [one, again, other] = [1, 1, 2].map(|seed| drawn(&Feeds::seeded(seed)));
    for path in ["ids", "others", "mask"] {
        assert_eq!(ids(&one, path), ids(&again, path));
        assert_ne!(ids(&one, path), ids(&other, path));
    }
    assert_ne!(ids(&one, "ids"), ids(&one, "others"));
    for path in ["weight", "gain"] {
        assert_eq!(reals(&one, path), reals(&again, path));
        assert_ne!(reals(&one, path), reals(&other, path));
    }
}

#[test]
fn weights_lie_about_nothing_within_one_over_the_root_of_their_inputs_and_gains_about_one() {
    let drawn = drawn(&Feeds::seeded(3));
    let within = |path: &str, centre: f32, radius: f32| {
        let all = reals(&drawn, path);
        let far = all.iter().map(|x| (x - centre).abs()).fold(0.0, f32::max);
        assert!(far <= radius && far > 0.9 * radius, "{path}: {far}");
        assert!(all.iter().any(|x| *x < centre) && all.iter().any(|x| *x > centre));
    };
    within("weight", 0.0, 0.5);
    within("gain", 1.0, 0.1);
}

#[test]
fn reals_are_eighths_or_zeros_where_that_is_asked_for() {
    let eighths = drawn(&Feeds::seeded(4).dyadic());
    let zeros = drawn(&Feeds::seeded(4).zeros());
    for path in ["weight", "gain"] {
        assert!(reals(&eighths, path).iter().all(|x| (x * 8.0).fract() == 0.0), "{path}");
        assert!(reals(&eighths, path).iter().any(|x| *x != 0.0), "{path}");
        assert!(reals(&zeros, path).iter().all(|x| *x == 0.0), "{path}");
    }
    assert_eq!(ids(&zeros, "ids"), ids(&drawn(&Feeds::seeded(4)), "ids"));
}

#[test]
fn of_tensors_given_a_graph_takes_its_own() {
    let mut g = Graph::new();
    let x = g.input("x", [("n", 2)]).unwrap();
    g.output("x", x);
    let given = || Tensor::new(&[2], vec![3.0, 4.0]).unwrap();
    let feeds = Feeds::seeded(5).with("x", given()).with("y", given());
    assert!(Prepared::new(&g, &Binding::new(), &feeds).is_err());
    let own = feeds.taken_by(&g, &Binding::new()).unwrap();
    let prepared = Prepared::new(&g, &Binding::new(), &own).unwrap();
    assert_eq!(reals(&prepared, "x"), [3.0, 4.0]);
}
