//! Training steps on 2, 4 and 8 ranks: gradients are those of the uncut step.

use opledger_grad::TrainingStep;
use opledger_parallel::{Collective, Zero};

use super::layers::{GPT2, LLAMA, MIXTRAL, RANKS};
use super::*;

/// The step of a model, of so many items of two tokens; the gradient of its scores is given.
fn step(config: &str, items: u64) -> Case {
    let config = Config::parse("test", config.as_bytes()).unwrap();
    let model = config.model("test", &Request::default()).unwrap();
    let step = TrainingStep::default().of(&model.graph, "logits").unwrap();
    Case::of(&step, &model.binding.with("b", items).with("n", 2))
}

/// All that goes round r ranks, of so many bytes.
fn around(bytes: &Poly, times: i64, ranks: u64) -> Poly {
    bytes.ratio(times * (ranks as i64 - 1), ranks as i64)
}

/// "Only two all-reduces in the forward path and two in the backward path" (Shoeybi et al. 2019, §3).
#[test]
fn heads_and_columns_have_four_all_reduces_a_layer() {
    for config in [GPT2, LLAMA, MIXTRAL] {
        let case = step(config, 1);
        for ranks in RANKS {
            let cut = Partition::new(&case.graph, TENSOR, ranks).unwrap();
            let each: Vec<Collective> =
                cut.collectives().map(|(_, collective)| collective).collect();
            assert_eq!(each, [Collective::AllReduce; 4]);
            let value: Poly = "8·b·n·c·l".parse().unwrap();
            assert_eq!(case.holds(TENSOR, ranks).0, around(&value, 2 * 4, ranks));
        }
    }
}

/// Sums for all, or parts of sums and then of parameters, come to the same (Rajbhandari et al. 2020, §7.2.1).
#[test]
fn gradients_go_round_twice() {
    for config in [GPT2, LLAMA] {
        let case = step(config, 8);
        for ranks in RANKS {
            for zero in [Zero::None, Zero::Gradients] {
                let cut = Partition::new(&case.graph, Strategy::Data(zero), ranks).unwrap();
                let (sent, weights) = case.holds(Strategy::Data(zero), ranks);
                assert_eq!(sent, around(&cut.whole_weights(), 2, ranks), "{zero:?} {ranks}");
                assert_eq!(weights, cut.whole_weights());
            }
        }
    }
}

/// Three times (§7.2.2), but for what a backward pass does not read: the table that words are looked up in.
#[test]
fn parameters_that_are_cut_are_gathered_in_both_passes() {
    let case = step(LLAMA, 8);
    let table: Poly = "8·v·c".parse().unwrap();
    for ranks in RANKS {
        let strategy = Strategy::Data(Zero::Parameters);
        let cut = Partition::new(&case.graph, strategy, ranks).unwrap();
        let (sent, weights) = case.holds(strategy, ranks);
        let all = cut.whole_weights();
        assert_eq!(sent, around(&all, 3, ranks) - around(&table, 1, ranks), "{ranks}");
        assert_eq!(weights, all.ratio(1, ranks as i64));
    }
}
