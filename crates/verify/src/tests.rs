//! Every check of a claim is shown to fail: by a claim that is wrong, by a derivation that lies, and by
//! a count that lies.

use opledger_dims::{Poly, Quantity};
use opledger_ir::ops::Source as Input;
use opledger_ir::{Axis, Graph, Selection};

use crate::bench::{Trials, Witness};
use crate::claim::{Claim, ClaimSource, Finding, Report, SettledClaim, Verdict};
use crate::claims::ALL;
use crate::judge::{ClaimedNumber, Question};
use crate::settle::settled;

const LYING: Witness = Witness { derived: |poly| poly + Poly::one(), ..Witness::HONEST };
const MISCOUNTING: Witness = Witness { counted: |count| count + 1, ..Witness::HONEST };

fn under<T>(witness: Witness, ask: impl FnOnce(&mut Trials<'_>) -> T) -> T {
    ask(&mut Trials::new(true, witness, &mut |_| {}))
}

/// Claims that agree under a witness: those that ask it nothing.
fn unmoved(witness: Witness) -> Vec<&'static str> {
    under(witness, |trials| {
        let agrees = |claim: &&Claim| settled(claim, trials).unwrap().agrees;
        ALL.iter().filter(agrees).map(|claim| claim.id).collect()
    })
}

#[test]
fn every_claim_notices_a_derivation_that_lies() {
    // C1 and C3 are definitions.
    assert_eq!(unmoved(LYING), ["C1", "C3"]);
}

#[test]
fn every_claim_notices_a_count_that_lies() {
    assert_eq!(unmoved(MISCOUNTING), ["C1", "C3"]);
}

/// A linear map with a bias.
fn linear() -> Graph {
    let mut g = Graph::new();
    let x = g.input("x", ["n", "c"]).unwrap();
    let weight = g.param("fc.weight", Input::weight("c"), ["f", "c"]).unwrap();
    let bias = g.param("fc.bias", Input::weight("c"), ["f"]).unwrap();
    let y = {
        let g = &mut *g.scope("fc");
        let y = g.einsum("n c, f c -> n f", x, weight).unwrap();
        g.add("bias", y, bias).unwrap()
    };
    g.output("y", y);
    g
}

/// One of each kind: a formula of operations, one of parameters, a number of each.
fn formula(claimed: &str, of: Quantity, witness: Witness) -> Finding {
    let graph = linear();
    under(witness, |t| Question::new(&graph, claimed, &[of]).judge(t)).unwrap()
}

fn number(claimed: u64, of: Quantity, witness: Witness) -> Finding {
    let graph = linear();
    let own_size = &[("n", 3), ("c", 4), ("f", 5)];
    let readings = &[of];
    let number =
        ClaimedNumber { graph: &graph, scope: Selection::ALL, claimed, readings, own_size };
    under(witness, |t| number.judge(t)).unwrap()
}

/// The verdict, and whether execution and derivation agree.
fn outcome(finding: Finding) -> (Verdict, bool) {
    (finding.verdict, finding.agrees)
}

#[test]
fn a_claim_that_is_off_by_one_is_refuted() {
    let honest = Witness::HONEST;
    let (holds, refuted) = ((Verdict::Holds, true), (Verdict::Refuted, true));
    for (of, right, wrong) in [
        (Quantity::Multiplications, "n·c·f", ["2·n·c·f", "n·c·f + 1", "n·c", "n·c·f·f"]),
        (Quantity::Parameters, "c·f + f", ["c·f + 2·f", "c·f", "c·f + f + 1", "c·c·f + f"]),
    ] {
        assert_eq!(outcome(formula(right, of, honest)), holds, "{right}");
        for wrong in wrong {
            assert_eq!(outcome(formula(wrong, of, honest)), refuted, "{wrong}");
        }
    }
    for (of, right) in [(Quantity::Multiplications, 60), (Quantity::Parameters, 25)] {
        assert_eq!(outcome(number(right, of, honest)), holds);
        for wrong in [right - 1, right + 1, 2 * right] {
            assert_eq!(outcome(number(wrong, of, honest)), refuted, "{wrong}");
        }
    }
}

#[test]
fn a_lie_of_either_witness_is_a_disagreement() {
    for witness in [LYING, MISCOUNTING] {
        for (of, claimed, own) in
            [(Quantity::Multiplications, "n·c·f", 60), (Quantity::Parameters, "c·f + f", 25)]
        {
            assert!(!formula(claimed, of, witness).agrees, "{claimed}");
            assert!(!number(own, of, witness).agrees, "{claimed} at its own size");
        }
    }
}

#[test]
fn every_field_of_a_question_decides() {
    let graph = linear();
    let plain = [Quantity::Multiplications];
    let ask = |question: Question<'_>| under(Witness::HONEST, |t| question.judge(t)).unwrap();
    let question = || Question::new(&graph, "n·c·f", &plain);
    assert_eq!(outcome(ask(question())), (Verdict::Holds, true));
    let elsewhere = question().within(Selection::within(&["other"]));
    assert_eq!(outcome(ask(elsewhere)), (Verdict::Refuted, true));
    let other = [Quantity::Flops];
    assert_eq!(outcome(ask(Question { readings: &other, ..question() })).0, Verdict::Refuted);
    let later = [Quantity::Flops, Quantity::Multiplications];
    let later = ask(Question { readings: &later, ..question() });
    assert_eq!(later.verdict, Verdict::HoldsUnderConvention);
    assert_eq!(later.convention.as_deref(), Some("multiplications"));
    let mut wider = Graph::new();
    let x = wider.input("x", [Axis::from("n"), Axis::from("c")]).unwrap();
    wider.softmax(x, None).unwrap();
    assert_eq!(outcome(ask(Question { graph: &wider, ..question() })).0, Verdict::Refuted);
}

/// A formula of a higher degree than the loops have is not proven by any grid, even one it agrees on.
#[test]
fn a_formula_beyond_the_degree_bound_does_not_agree() {
    let graph = linear();
    let of = Quantity::Multiplications;
    under(Witness::HONEST, |trials| {
        let grid = trials.grid(&graph).unwrap();
        assert_eq!(grid.len(), 2 * 2 * 2 + 3);
        let agrees = |formula: &str| {
            grid.agrees(&graph, Selection::ALL, of, &formula.parse::<Poly>().unwrap())
        };
        assert!(agrees("n·c·f"));
        // Equal at n = 1 and 2, which the grid would have taken for a proof, and not at 3.
        assert!(!agrees("n·c·f + n²·c·f - 3·n·c·f + 2·c·f"));
        // Equal at 1, 2 and 3 as well: only its degree gives it away.
        assert!(!agrees("n·c·f + n³·c·f - 6·n²·c·f + 11·n·c·f - 6·c·f"));
    });
}

/// Executions beyond the grid are there: what is counted to a higher degree shows at them alone.
#[test]
fn one_size_beyond_the_grid_is_executed_in_each_symbol() {
    let graph = linear();
    under(Witness::HONEST, |trials| {
        trials.grid(&graph).unwrap();
        let before = trials.grid(&graph).unwrap().len();
        assert_eq!(before, 11, "asked again, nothing is executed again");
    });
    let theorem = under(Witness::HONEST, |trials| {
        trials.grid(&graph).unwrap();
        trials.own_size(&graph, &[("n", 1), ("c", 1), ("f", 1)]).unwrap();
        trials.theorem()
    });
    assert_eq!(
        (theorem.nodes, theorem.points),
        (2, 2 * 11),
        "a size met again is no further point"
    );
}

fn tampered(trials: &mut Trials<'_>) -> Result<Finding, crate::VerifyError> {
    Question::new(&linear(), "n·c·f", &[Quantity::Multiplications]).judge(trials)
}

#[test]
fn a_report_agrees_when_claims_and_nodes_do() {
    let source = ClaimSource { name: "nobody", address: None };
    let claim = Claim { id: "T1", source, statement: "a product", settle: tampered };
    let report = |witness, quick| -> Report {
        let mut quiet = |_: &str| {};
        let mut trials = Trials::new(quick, witness, &mut quiet);
        let claims: Vec<SettledClaim> = vec![settled(&claim, &mut trials).unwrap()];
        Report { claims, theorem: trials.theorem(), moved: Vec::new() }
    };
    let honest = report(Witness::HONEST, false);
    assert!(honest.agrees() && honest.claims[0].settled());
    for witness in [LYING, MISCOUNTING] {
        let report = report(witness, false);
        assert!(!report.agrees() && !report.claims[0].settled());
    }
    let mut refuted = honest.clone();
    refuted.claims[0].verdict = Verdict::Refuted;
    assert!(refuted.agrees(), "a claim that is wrong is no disagreement");
    let mut left_out = honest.clone();
    left_out.claims[0].verdict = Verdict::NotRun;
    assert!(left_out.agrees() && !left_out.claims[0].settled());
    let mut mismatched = honest;
    mismatched.theorem.mismatches.push(opledger_interp::Mismatch {
        path: "fc".into(),
        op: "einsum",
        what: "useful mul".into(),
        binding: opledger_dims::Binding::new(),
        derived: "1".into(),
        interpreter: "the kernels",
        measured: "2".into(),
    });
    assert!(!mismatched.agrees());
}

#[test]
fn every_source_has_an_address_or_none_is_known() {
    let mut known: Vec<&str> = ALL.iter().filter_map(|claim| claim.source.address).collect();
    known.sort_unstable();
    known.dedup();
    assert_eq!(known, ["arXiv:1706.03762", "arXiv:2103.14030"]);
    for claim in ALL {
        let texts = ["lecture notes", "a tutorial"];
        let unknown = texts.iter().any(|text| claim.source.name.ends_with(text));
        assert_eq!(claim.source.address.is_none(), unknown, "{}", claim.id);
    }
}
