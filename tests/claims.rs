//! The claims: each is settled, by execution, with the verdict that is known of it from hand and
//! from PyTorch 2.15, fvcore 0.1.5 and thop 0.1.1. What a quick look leaves out is not settled.

use opledger_verify::{Basis, Options, SettledClaim, Verdict, claims, settle};

const KNOWN: &[(&str, &str)] = &[
    ("A1", "holds"),
    ("A2", "holds"),
    ("A3", "holds"),
    ("A4", "holds-under-convention"),
    ("A5", "holds"),
    ("A6", "holds-under-convention"),
    ("B1", "holds"),
    ("B2", "not-run"),
    ("B3", "holds"),
    ("B4", "holds"),
    ("B5", "holds"),
    ("B6", "holds"),
    ("B7", "refuted"),
    ("C1", "refuted"),
    ("C2", "refuted"),
    ("C3", "holds"),
    ("D1", "refuted"),
    ("D2", "holds"),
    ("D3", "holds"),
    ("D4", "holds-under-convention"),
    ("D5", "refuted"),
    ("D6", "holds"),
    ("D7", "holds"),
    ("D8", "holds"),
    ("E1", "holds"),
    ("E2", "holds"),
    ("E3", "holds"),
    ("E4", "holds"),
    ("E5", "holds"),
    ("E6", "holds"),
    ("E7", "holds"),
    ("E8", "holds-under-convention"),
];

#[test]
fn every_claim_is_settled_as_known() {
    let mut heard = Vec::new();
    let report = settle(&[], Options { quick: true, ..Options::default() }, &mut |id| {
        heard.push(id.to_owned())
    })
    .unwrap();
    let verdicts: Vec<_> = report.claims.iter().map(|c| (c.id, c.verdict.name())).collect();
    assert_eq!(verdicts, KNOWN);
    assert!(report.agrees(), "{:?}", report.theorem.mismatches.first());
    assert_eq!(heard, KNOWN.iter().map(|(id, _)| *id).collect::<Vec<_>>());
    assert!(report.theorem.points > 5000, "{} points", report.theorem.points);
    let that = |test: fn(&SettledClaim) -> bool| -> Vec<&str> {
        report.claims.iter().filter(|claim| test(claim)).map(|claim| claim.id).collect()
    };
    assert_eq!(that(|claim| !claim.settled()), ["B2"], "60 thousand million multiplications");
    assert_eq!(that(|claim| claim.basis == Basis::Definition), ["C1", "C3"]);
    assert!(that(|claim| claim.basis == Basis::Derived).is_empty());
}

/// What a quick look leaves out, run in full.
#[test]
#[ignore = "minutes without optimisation: `opledger verify` runs it"]
fn the_numbers_of_a_tool_are_multiply_accumulates() {
    let report = settle(&["B2".into()], Options::default(), &mut |_| {}).unwrap();
    let claim = &report.claims[0];
    assert!(report.agrees() && claim.settled());
    assert_eq!(claim.verdict, Verdict::HoldsUnderConvention);
}

#[test]
fn claims_are_found_by_name() {
    assert_eq!(claims().len(), KNOWN.len());
    let report = settle(&["d1".into()], Options::default(), &mut |_| {}).unwrap();
    assert_eq!(report.claims.len(), 1);
    assert_eq!(
        (report.claims[0].claimed.as_str(), report.claims[0].derived.as_str()),
        ("3·c²", "3·b·n·c²")
    );
    let error = settle(&["Z9".into()], Options::default(), &mut |_| {}).unwrap_err().to_string();
    assert!(error.starts_with("there is no claim `Z9`; the claims are A1, A2"), "{error}");
}
