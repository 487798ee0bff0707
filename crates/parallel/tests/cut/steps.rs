//! Training steps on 2, 4 and 8 ranks: gradients are those of the uncut step.

use opledger_grad::TrainingStep;
use opledger_ir::Phase;
use opledger_parallel::{Collective, Zero};

use super::layers::{GPT2, LLAMA, MIXTRAL, RANKS};
use super::*;

/// The step of a model, of so many items and tokens; the gradient of its scores is given.
pub(crate) fn step(config: &str, (items, tokens): (u64, u64)) -> Case {
    let config = Config::parse("test", config.as_bytes()).unwrap();
    let model = config.model("test", &Request::default()).unwrap();
    let step = TrainingStep::default().of(&model.graph, "logits").unwrap();
    Case::of(&step, &model.binding.with("b", items).with("n", tokens))
}

/// All that goes round r ranks, of so many bytes.
pub(crate) fn around(bytes: &Poly, times: i64, ranks: u64) -> Poly {
    bytes.ratio(times * (ranks as i64 - 1), ranks as i64)
}

/// "Only two all-reduces in the forward path and two in the backward path" (Shoeybi et al. 2019, §3).
#[test]
fn heads_and_columns_have_four_all_reduces_a_layer() {
    let value: Poly = "8·b·n·c·l".parse().unwrap();
    for config in [GPT2, LLAMA] {
        let case = step(config, (1, 2));
        for ranks in RANKS {
            let cut = Partition::new(&case.graph, TENSOR, ranks).unwrap();
            let each: Vec<Collective> =
                cut.collectives().map(|(_, collective)| collective).collect();
            assert_eq!(each, [Collective::AllReduce; 4]);
            assert_eq!(case.holds(TENSOR, ranks).0, around(&value, 2 * 4, ranks));
        }
    }
    // Of experts the shares that a router gave, too: a number for each choice.
    let case = step(MIXTRAL, (4, 2));
    let shares: Poly = "8·b·n·k·l".parse().unwrap();
    for ranks in RANKS {
        let sent = around(&value, 2 * 4, ranks) + around(&shares, 2, ranks);
        assert_eq!(case.holds(TENSOR, ranks).0, sent);
    }
}

/// "Four all-gathers and four reduce-scatters", and an "extra all-gather in the backward pass" of what a
/// first map reads (Korthikanti et al. 2022, §4.2.2): one for each of two sublayers.
#[test]
fn tokens_that_are_cut_are_gathered_once_more() {
    for config in [GPT2, LLAMA] {
        let case = step(config, (2, 4));
        for ranks in RANKS.into_iter().take(2) {
            case.holds(SEQUENCE, ranks);
            let cut = Partition::new(&case.graph, SEQUENCE, ranks).unwrap();
            let of_layers = cut.collectives().filter(|(transfer, _)| {
                transfer.times.to_string() == "l" && transfer.bytes == "8·b·n·c".parse().unwrap()
            });
            let mut each: Vec<Collective> = of_layers.map(|(_, collective)| collective).collect();
            each.sort();
            let [gathers, scatters] = [Collective::AllGather, Collective::ReduceScatter];
            assert_eq!(each, [[gathers; 6].to_vec(), [scatters; 4].to_vec()].concat());
            // The rest is sums of gradients of what is whole everywhere: gains, shifts, biases.
            for (transfer, collective) in cut.collectives() {
                let whole = transfer.bytes == "8·b·n·c".parse().unwrap();
                let node = case.graph.node(transfer.value);
                assert!(
                    whole || node.phase == Phase::Backward,
                    "{} {}",
                    collective.name(),
                    node.path
                );
            }
        }
    }
}

/// Sums for all, or parts of sums and then of parameters, come to the same (Rajbhandari et al. 2020, §7.2.1).
#[test]
fn gradients_go_round_twice() {
    for config in [GPT2, LLAMA] {
        let case = step(config, (8, 2));
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
    let case = step(LLAMA, (8, 2));
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
