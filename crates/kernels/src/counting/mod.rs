//! Every kernel on numbers that count themselves: what it says that it executed is what they counted.

mod attention;
mod products;
mod rows;

use std::sync::LazyLock;

use opledger_dims::{Class, Counted, Counts, counted};
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::isa::tests::on;
use crate::number::Number;
use crate::{AtomicMeter, Isa, Tally};

/// One thread, so that all is counted on it.
static ALONE: LazyLock<ThreadPool> =
    LazyLock::new(|| ThreadPoolBuilder::new().num_threads(1).build().unwrap());

/// What a run of a kernel gave: the bits of its result, what its meters say part by part, and what its
/// numbers counted.
type Ran<const PARTS: usize> = (Vec<u32>, [Tally; PARTS], Counts<u64>);

/// Runs a kernel that records to some meters.
pub(crate) fn run<T: Number, const PARTS: usize>(
    isa: Isa,
    kernel: impl FnOnce(&[AtomicMeter; PARTS]) -> Vec<T> + Send,
) -> Ran<PARTS> {
    let meters: [AtomicMeter; PARTS] = std::array::from_fn(|_| AtomicMeter::new());
    let (out, counts) = ALONE.install(|| counted(|| on(isa, || kernel(&meters))));
    // Which NaN comes of two is not defined.
    let one_nan = |x: f32| if x.is_nan() { f32::NAN } else { x };
    let bits = out.into_iter().map(|x| one_nan(x.value()).to_bits()).collect();
    (bits, meters.each_ref().map(AtomicMeter::read), counts)
}

/// Holds a run on plain numbers against one on numbers that count themselves.
pub(crate) fn compare<const PARTS: usize>(what: &str, plain: &Ran<PARTS>, counting: &Ran<PARTS>) {
    assert_eq!(plain.0, counting.0, "{what}: bits");
    assert_eq!(plain.1, counting.1, "{what}: tallies");
    let mut executed = Counts::zero();
    for tally in &counting.1 {
        executed += &tally.executed;
        let substituted = tally.substituted_counts();
        for class in Class::ALL {
            let (useful, executed) = (tally.useful[class], tally.executed[class]);
            assert!(substituted[class] <= useful, "{what}: substituted {class}");
            assert!(executed + substituted[class] >= useful, "{what}: executed {class}");
        }
    }
    assert_eq!(executed, counting.2, "{what}: executed");
}

/// Numbers to compute with.
pub(crate) fn numbers<T: Number>(x: &[f32]) -> Vec<T> {
    x.iter().map(|x| T::of(*x)).collect()
}

/// Pseudo-random numbers, some equal and some −∞ or NaN where `odd` says so.
fn data(len: usize, seed: u64, odd: bool) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as u32
    };
    let number = |bits: u32| bits as f32 / (1 << 21) as f32 - 4.0;
    (0..len)
        .map(|_| match next() {
            bits if odd && bits % 5 == 0 => f32::NEG_INFINITY,
            bits if odd && bits % 7 == 0 => f32::NAN,
            bits if odd && bits % 2 == 0 => number(bits).round(),
            bits => number(bits),
        })
        .collect()
}

/// Runs a kernel on plain numbers and on such that count themselves, on every instruction set, and holds
/// the runs against each other: `counts_itself!(what, T, |meters| numbers of T)`.
macro_rules! counts_itself {
    ($what:expr, $T:ident, |$meters:pat_param| $body:expr) => {
        for isa in $crate::Isa::available() {
            let plain = {
                type $T = f32;
                $crate::counting::run::<$T, _>(isa, |$meters| $body)
            };
            let counting = {
                type $T = opledger_dims::Counted<f32>;
                $crate::counting::run::<$T, _>(isa, |$meters| $body)
            };
            $crate::counting::compare(&format!("{} on {isa}", $what), &plain, &counting);
        }
    };
}
pub(crate) use counts_itself;

#[test]
#[should_panic(expected = "twice: executed")]
fn what_is_executed_twice_and_said_once_is_found() {
    let kernel = |meters: &[AtomicMeter; 1]| {
        let x = Counted(0.5_f32);
        let _ = x.exp();
        let mut tally = Tally::default();
        tally.both(Class::Exp, 1);
        crate::Meter::record(&meters[0], &tally);
        vec![x.exp()]
    };
    let ran = run(Isa::SCALAR, kernel);
    compare("twice", &ran, &ran);
}

/// The names of the functions of this crate that are given a meter, and the source of this module.
fn metered(dir: &std::path::Path, names: &mut Vec<String>, tests: &mut String) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            metered(&path, names, tests);
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        if path.parent().is_some_and(|dir| dir.ends_with("counting")) {
            tests.push_str(&text);
        } else {
            let public = text.lines().filter_map(|line| line.strip_prefix("pub fn "));
            let own = public.filter_map(|rest| rest.split_once('<'));
            let own = own.filter(|(_, generic)| generic.contains("M: Meter"));
            names.extend(own.map(|(name, _)| name.to_owned()));
        }
    }
}

#[test]
fn every_kernel_is_run_on_numbers_that_count() {
    let (mut names, mut tests) = (Vec::new(), String::new());
    let src = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    metered(&src, &mut names, &mut tests);
    assert!(names.len() > 10, "{names:?}");
    let missing: Vec<_> =
        names.iter().filter(|name| !tests.contains(&format!(" {name}("))).collect();
    assert!(missing.is_empty(), "not in counting: {missing:?}");
}
