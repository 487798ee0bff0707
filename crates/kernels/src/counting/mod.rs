//! Every kernel on numbers that count themselves: what it says that it executed is what they counted.

mod attention;
mod products;
mod rows;

use std::cell::{Cell, RefCell};
use std::sync::LazyLock;

use opledger_dims::{Class, Counted, Counts, take_counts};
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::isa::tests::on;
use crate::number::Number;
use crate::{AtomicMeter, Isa, Tally};

/// Parts that a kernel may name.
const NAMED: usize = 8;

/// One thread, so that all is counted on it.
static ALONE: LazyLock<ThreadPool> =
    LazyLock::new(|| ThreadPoolBuilder::new().num_threads(1).build().unwrap());

thread_local! {
    /// What numbers have counted of each part, and the part that they count now.
    static PARTS: RefCell<[Counts<u64>; NAMED]> = RefCell::new(std::array::from_fn(|_| Counts::zero()));
    static PRESENT: Cell<usize> = const { Cell::new(0) };
}

/// What is counted from here on belongs to a part.
pub(crate) fn turn_to(part: usize) {
    let counts = take_counts();
    PARTS.with_borrow_mut(|parts| parts[PRESENT.replace(part)] += &counts);
}

/// What numbers counted of each part in `work`; of the first where the kernel names none.
fn counted_apart<R>(work: impl FnOnce() -> R) -> (R, [Counts<u64>; NAMED]) {
    turn_to(0);
    PARTS.take();
    let result = work();
    turn_to(0);
    (result, PARTS.take())
}

/// What a run of a kernel gave: the bits of its result, what its meters say part by part, and what its
/// numbers counted of each part that the kernel names.
pub(crate) struct Ran<const PARTS: usize> {
    bits: Vec<u32>,
    tallies: [Tally; PARTS],
    counted: [Counts<u64>; NAMED],
}

impl<const PARTS: usize> Ran<PARTS> {
    fn counted(&self) -> Counts<u64> {
        self.counted.into_iter().fold(Counts::zero(), |sum, part| sum + part)
    }
}

/// Runs a kernel that records to some meters.
pub(crate) fn run<T: Number, const PARTS: usize>(
    isa: Isa,
    kernel: impl FnOnce(&[AtomicMeter; PARTS]) -> Vec<T> + Send,
) -> Ran<PARTS> {
    let meters: [AtomicMeter; PARTS] = std::array::from_fn(|_| AtomicMeter::new());
    let (out, counted) = ALONE.install(|| counted_apart(|| on(isa, || kernel(&meters))));
    // Which NaN comes of two is not defined.
    let one_nan = |x: f32| if x.is_nan() { f32::NAN } else { x };
    let bits = out.into_iter().map(|x| one_nan(x.value()).to_bits()).collect();
    Ran { bits, tallies: meters.each_ref().map(AtomicMeter::read), counted }
}

/// Holds a run on plain numbers against one on numbers that count themselves.
pub(crate) fn compare<const PARTS: usize>(what: &str, plain: &Ran<PARTS>, counting: &Ran<PARTS>) {
    assert_eq!(plain.bits, counting.bits, "{what}: bits");
    assert_eq!(plain.tallies, counting.tallies, "{what}: tallies");
    let mut executed = Counts::zero();
    for tally in &counting.tallies {
        executed += &tally.ran();
        let substituted = tally.substituted_counts();
        for class in Class::ALL {
            let (useful, executed) = (tally.useful[class], tally.executed[class]);
            assert!(substituted[class] <= useful, "{what}: substituted {class}");
            assert!(executed + substituted[class] >= useful, "{what}: executed {class}");
        }
    }
    assert_eq!(executed, counting.counted(), "{what}: executed");
}

/// The same, and each part against what the kernel computed where it named that part.
pub(crate) fn compare_parts(what: &str, plain: &Ran<6>, counting: &Ran<6>) {
    compare_parts_as(what, std::array::from_fn(|part| part), (plain, counting));
}

/// The same of a kernel whose meters are those of the parts at some places.
pub(crate) fn compare_parts_as<const PARTS: usize>(
    what: &str,
    places: [usize; PARTS],
    (plain, counting): (&Ran<PARTS>, &Ran<PARTS>),
) {
    compare(what, plain, counting);
    for (part, tally) in places.into_iter().zip(&counting.tallies) {
        assert_eq!(tally.executed, counting.counted[part], "{what}: executed of part {part}");
    }
}

/// Holds each part of a kernel against what it adds to the first, which runs by itself: `ran` runs the
/// kernel with some parts on numbers that count, and `on` are those of the whole.
pub(crate) fn add_up<const PARTS: usize>(
    what: &str,
    on: [bool; PARTS],
    ran: impl Fn([bool; PARTS]) -> Ran<PARTS>,
) {
    let with = |part| std::array::from_fn(|at| at == 0 || at == part);
    let (whole, first) = (ran(on), ran(with(0)).counted());
    assert_eq!(whole.tallies[0].ran(), first, "{what}: executed of the first part");
    for part in (1..PARTS).filter(|part| on[*part]) {
        let said = whole.tallies[part].executed + first;
        assert_eq!(said, ran(with(part)).counted(), "{what}: executed of part {part}");
    }
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
/// the runs against each other: `counts_itself!(what, T, |meters| numbers of T)`, and how if not as
/// [`compare`] does.
macro_rules! counts_itself {
    ($what:expr, $T:ident, |$meters:pat_param| $body:expr) => {
        $crate::counting::counts_itself!($what, $T, |$meters| $body, $crate::counting::compare)
    };
    ($what:expr, $T:ident, |$meters:pat_param| $body:expr, $compare:expr) => {
        for isa in $crate::Isa::available() {
            let plain = {
                type $T = f32;
                $crate::counting::run::<$T, _>(isa, |$meters| $body)
            };
            let counting = {
                type $T = opledger_dims::Counted<f32>;
                $crate::counting::run::<$T, _>(isa, |$meters| $body)
            };
            $compare(&format!("{} on {isa}", $what), &plain, &counting);
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
