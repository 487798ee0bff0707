//! Random contractions: axes in any order in each factor and in the result, the shared ones innermost
//! too, sizes of one among them. Derived cost = the oracle's count = the kernels' useful count, and the
//! kernels' values are those of textbook loops, exactly, on dyadic data.

use opledger_dims::Binding;
use opledger_interp::{Feeds, prove};
use opledger_ir::Graph;
use opledger_ir::ops::Source;
use proptest::prelude::*;

const AXES: [&str; 5] = ["a", "d", "f", "g", "k"];

/// The axes of both factors, the result's, the axes' sizes, and whether the right factor is a
/// parameter.
type Contraction = ([Vec<&'static str>; 2], Vec<&'static str>, Vec<u64>, bool);

fn axes() -> impl Strategy<Value = Vec<&'static str>> {
    (Just(AXES.to_vec()).prop_shuffle(), 1usize..=3).prop_map(|(mut axes, count)| {
        axes.truncate(count);
        axes
    })
}

fn contraction() -> impl Strategy<Value = Contraction> {
    let sizes = prop::collection::vec(prop::sample::select(vec![1, 1, 2, 3, 5, 17]), AXES.len());
    let kept = prop::collection::vec(any::<bool>(), AXES.len());
    ([axes(), axes()], kept, sizes, any::<bool>()).prop_flat_map(
        |([left, right], kept, sizes, weight)| {
            let stays = |(axis, kept): (&&'static str, bool)| {
                let both = [&left, &right].map(|axes| axes.contains(axis));
                (both[0] != both[1] || both[0] && kept).then_some(*axis)
            };
            let out: Vec<_> = AXES.iter().zip(kept).filter_map(stays).collect();
            (Just([left, right]), Just(out).prop_shuffle(), Just(sizes), Just(weight))
        },
    )
}

fn check(([left, right], out, sizes, weight): &Contraction) {
    let text = format!("{}, {} -> {}", left.join(" "), right.join(" "), out.join(" "));
    let used = |(axis, _): &(&str, u64)| left.contains(axis) || right.contains(axis);
    let sizes = AXES.into_iter().zip(sizes.iter().copied()).filter(used);
    let binding: Binding = sizes.collect();
    let mut g = Graph::new();
    let x = g.input("x", left.iter().copied()).unwrap();
    let y = match weight {
        true => g.param("y", Source::weight(right[0]), right.iter().copied()).unwrap(),
        false => g.input("y", right.iter().copied()).unwrap(),
    };
    let z = g.einsum(&text, x, y).unwrap();
    g.output("z", z);
    let proof = prove(&g, &binding, &Feeds::seeded(3).dyadic()).unwrap();
    assert!(proof.theorem.holds(), "{text} at {binding}: {}", proof.theorem.mismatches[0]);
    let (fast, oracle) = (proof.fast.output("z").unwrap(), proof.oracle.output("z").unwrap());
    let equal = fast.iter().zip(oracle.iter()).all(|(x, y)| *x == y.0);
    assert!(equal, "{text} at {binding}: other values than textbook loops");
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(600)
    })]
    #[test]
    fn agree_with_textbook_loops(contraction in contraction()) {
        check(&contraction);
    }
}

/// One row and one column, alone or for each item, the sum strided in both factors.
#[test]
fn dot_products_along_an_outer_axis() {
    let plain = |left: &[&'static str], right: &[&'static str], out: &[&'static str], sizes| {
        check(&([left.to_vec(), right.to_vec()], out.to_vec(), sizes, false));
    };
    plain(&["a"], &["a"], &[], vec![1; 5]);
    plain(&["a", "d"], &["a", "d"], &["d"], vec![3, 4, 1, 1, 1]);
    plain(&["a", "d", "f", "g"], &["a", "d", "f", "g"], &["a", "f", "g"], vec![2, 3, 4, 5, 1]);
    plain(&["a", "d", "f"], &["a", "g", "f"], &["d", "g", "f"], vec![3, 1, 5, 1, 1]);
    plain(&["k", "f", "g"], &["f", "k", "g"], &["k", "g"], vec![1, 1, 3, 4, 1]);
}
