//! What cannot be cut, and rings that send what they should not.

use opledger_parallel::{CountingWire, Wire};

use super::*;

fn problem(case: &Case, strategy: Strategy, ranks: u64) -> String {
    let cut = Partition::new(&case.graph, strategy, ranks);
    cut.and_then(|cut| case.run(&cut).map(|_| ())).unwrap_err().to_string()
}

#[test]
fn ranks_that_do_not_divide_are_told_with_both_sides() {
    let case = Case::layer("mha:b=1,n=4,c=24,h=6");
    let told = problem(&case, TENSOR, 4);
    assert_eq!(told, "4 ranks do not divide 6 heads (h, of `q_proj.weight`)");
    // The heads of queries are divided, those of keys are not.
    let case = Case::layer("mha:b=1,n=4,c=32,h=8,kv=2");
    let told = problem(&case, TENSOR, 4);
    assert_eq!(told, "4 ranks do not divide 2 heads (kv, of `k_proj.weight`)");
    let case = Case::layer("ffn:b=1,n=4,c=4,ff=10");
    let told = problem(&case, TENSOR, 4);
    assert_eq!(told, "4 ranks do not divide 10 columns (ff, of `linear1.weight`)");
    let case = Case::layer("mha:b=1,n=6,c=8,h=2");
    let told = problem(&case, Strategy::Context, 4);
    assert_eq!(told, "4 ranks do not divide 6 tokens (n, of `x`)");
}

#[test]
fn a_cut_without_anything_to_cut_is_refused() {
    let case = Case::layer("layer-norm:b=1,n=4,c=8");
    assert_eq!(problem(&case, TENSOR, 1), "1 ranks are no cut: give at least 2");
    assert!(problem(&case, TENSOR, 2).starts_with("there are neither heads nor"));
    assert_eq!(problem(&case, Strategy::Experts, 2), "there are no experts");
    assert!(problem(&case, Strategy::Context, 2).starts_with("there is no attention"));
}

/// A wire that hands every buffer over, and its last chunk twice.
struct Stutter(CountingWire, usize);

impl Wire for Stutter {
    fn send<T: Copy>(&mut self, from: usize, to: usize, buffer: &[T]) -> Vec<T> {
        self.1 += 1;
        if self.1 == 3 {
            self.0.send(from, to, buffer);
        }
        self.0.send(from, to, buffer)
    }

    fn sent(&self) -> &[u64] {
        self.0.sent()
    }
}

#[test]
fn a_ring_that_sends_a_chunk_too_many_is_reported() {
    let case = Case::layer("ffn:b=2,n=4,c=6,ff=16");
    let cut = Partition::new(&case.graph, TENSOR, 4).unwrap();
    let fed = |path: &str| case.fed(path);
    let run = cut.run_over(&case.binding, &fed, |ranks| Stutter(CountingWire::new(ranks), 0));
    let miscounts = cut.miscounts(&run.unwrap(), &case.binding).unwrap();
    // Of 48 numbers of eight bytes, a chunk is a quarter; three are sent to be summed, three to be gathered.
    let [miscount] = &miscounts[..] else { panic!("{miscounts:?}") };
    assert_eq!((miscount.rank, &miscount.formula), (2, &(6 * 96).into()));
    assert_eq!(miscount.counted, (7 * 96).into());
}

#[test]
fn a_parameter_that_is_missing_is_named() {
    let case = Case::layer("ffn:b=2,n=4,c=6,ff=16");
    let cut = Partition::new(&case.graph, TENSOR, 4).unwrap();
    let run = cut.run::<f64>(&case.binding, &|_| None);
    assert!(run.unwrap_err().to_string().ends_with("has no tensor"));
}
