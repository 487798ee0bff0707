//! The roofs of a machine, measured: fused multiply-adds and reading memory.

use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use opledger_interp::available_memory;
use opledger_kernels::{FmaChains, Isa, fma_chains, isa, read_sum};
use opledger_report::{Block, Cell, Column, Document, Record, Row, Table};
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use serde::Serialize;

use crate::machine::{binary, busy, load};
use crate::{Machine, MeasureError};

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RoofKind {
    /// Fused multiply-adds of `f32` in registers; each is two operations.
    FmaPeak,
    /// Reading a buffer that no cache holds.
    ReadBandwidth,
}

impl RoofKind {
    /// The name for people.
    pub fn name(self) -> &'static str {
        match self {
            RoofKind::FmaPeak => "FMA peak",
            RoofKind::ReadBandwidth => "read bandwidth",
        }
    }

    /// The unit of its values.
    pub fn unit(self) -> &'static str {
        match self {
            RoofKind::FmaPeak => "GFLOP/s",
            RoofKind::ReadBandwidth => "GB/s",
        }
    }
}

/// A number that was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// What it is.
    pub quantity: RoofKind,
    /// The instruction set.
    pub isa: String,
    /// On how many threads.
    pub threads: usize,
    /// The best of several repetitions.
    pub value: f64,
    /// Its unit.
    pub unit: &'static str,
}

/// A machine and its roofs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MachineReport {
    /// The machine.
    pub machine: Machine,
    /// The version of this library.
    pub version: String,
    /// Threads of all programs that ran or waited over the minute before.
    pub load: Option<f64>,
    /// Bytes of the buffer that was read.
    pub buffer_bytes: u64,
    /// Each number, by quantity, instruction set and threads.
    pub measured: Vec<Measured>,
}

/// A pool of so many threads.
pub(crate) fn pool(threads: usize) -> Result<ThreadPool, MeasureError> {
    ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .map_err(|e| MeasureError::Threads { threads, problem: e.to_string() })
}

/// Measures the roofs of this machine on one thread and on all.
///
/// # Errors
/// When threads are not to be had, or the instruction set that `OPLEDGER_ISA` asks for.
pub fn probe() -> Result<MachineReport, MeasureError> {
    let (machine, load) = (Machine::here()?, load());
    let all = rayon::current_num_threads();
    let counts = if all > 1 { vec![1, all] } else { vec![1] };
    let pools = counts.iter().map(|t| pool(*t)).collect::<Result<Vec<_>, _>>()?;
    let mut measured = Vec::new();
    for isa in Isa::available() {
        for pool in &pools {
            measured.push(told(RoofKind::FmaPeak, isa, pool, fma_peak(pool, isa)));
        }
    }
    let isa = isa()?;
    let buffer = ReadBuffer::new(&machine);
    for pool in &pools {
        measured.push(told(RoofKind::ReadBandwidth, isa, pool, buffer.bandwidth(pool, isa)));
    }
    let version = env!("CARGO_PKG_VERSION").to_owned();
    Ok(MachineReport { machine, version, load, buffer_bytes: buffer.bytes(), measured })
}

/// The roofs of this machine on all threads that were started.
#[derive(Clone, Debug, PartialEq)]
pub struct MachineRoofs {
    /// GFLOP/s of fused multiply-adds of `f32` by the instruction set that gives most.
    pub peak: f64,
    /// That instruction set.
    pub isa: String,
    /// GB/s of reading memory.
    pub bandwidth: f64,
    /// The threads.
    pub threads: usize,
    /// That other programs took a good part of the machine.
    pub busy: Option<String>,
}

/// Measures the roofs of this machine on all threads that were started.
///
/// # Errors
/// As [`probe`].
pub fn roofs() -> Result<MachineRoofs, MeasureError> {
    let (machine, load) = (Machine::here()?, load());
    let pool = pool(rayon::current_num_threads())?;
    let (best, peak) = best_peak(&pool);
    let bandwidth = ReadBuffer::new(&machine).bandwidth(&pool, isa()?);
    Ok(MachineRoofs {
        peak,
        isa: best.name().to_owned(),
        bandwidth,
        threads: pool.current_num_threads(),
        busy: busy(load, machine.usable_cores),
    })
}

fn told(quantity: RoofKind, isa: Isa, pool: &ThreadPool, value: f64) -> Measured {
    let (isa, threads) = (isa.name().to_owned(), pool.current_num_threads());
    Measured { quantity, isa, threads, value, unit: quantity.unit() }
}

/// How long one repetition of the peak lasts, about: less than a scheduler's turn, so that some
/// repetition has every core to itself.
const PEAK: Duration = Duration::from_millis(1);
/// Repetitions, of which the best counts.
const REPEAT: usize = 64;

/// Rest before each repetition.
const REST: Duration = Duration::from_micros(500);

/// GFLOP/s of fused multiply-adds on all threads of a pool.
pub(crate) fn fma_peak(pool: &ThreadPool, isa: Isa) -> f64 {
    let chains = |rounds| fma_chains(isa, rounds, black_box(-0.999), black_box(0.5));
    let mut rounds = 64;
    loop {
        let start = Instant::now();
        black_box(chains(rounds));
        let time = start.elapsed();
        if time >= PEAK / 4 || rounds > 1 << 40 {
            let scale = PEAK.as_secs_f64() / time.as_secs_f64();
            rounds = (rounds as f64 * scale).max(1.0) as u64;
            break;
        }
        rounds *= 2;
    }
    let time = best_together(pool, REPEAT, |_, _| chains(rounds));
    let operations = FmaChains::of(isa).operations(rounds) * pool.current_num_threads() as u64;
    per_nanosecond(operations, time)
}

/// GFLOP/s of the instruction set of this machine that gives most.
pub(crate) fn best_peak(pool: &ThreadPool) -> (Isa, f64) {
    let peaks = Isa::available().map(|isa| (isa, fma_peak(pool, isa)));
    let best = peaks.max_by(|(_, a), (_, b)| a.total_cmp(b));
    best.unwrap_or((Isa::SCALAR, f64::NAN))
}

/// Numbers that no cache holds.
pub(crate) struct ReadBuffer(Vec<u32>);

impl ReadBuffer {
    /// Four times the last-level cache, if memory has room: at most an eighth of what is available.
    pub(crate) fn new(machine: &Machine) -> ReadBuffer {
        let room = available_memory().and_then(|bytes| u64::try_from(bytes / 8u8).ok());
        let wanted = machine.last_level_bytes().unwrap_or(64 << 20).saturating_mul(4);
        let bytes = wanted.min(1 << 30).min(room.unwrap_or(256 << 20)).max(1 << 20);
        let mut data = vec![0u32; bytes as usize / 4];
        // A page that is never written is the system's page of zeros, which every cache holds.
        data.par_chunks_mut(1 << 16).for_each(|part| {
            for (i, x) in part.iter_mut().enumerate() {
                *x = i as u32;
            }
        });
        ReadBuffer(data)
    }

    pub(crate) fn bytes(&self) -> u64 {
        size_of_val(&*self.0) as u64
    }

    /// GB/s of all threads together. A repetition reads a part of the buffer, the next one the next
    /// part, so that no cache holds a part when its turn comes again.
    pub(crate) fn bandwidth(&self, pool: &ThreadPool, isa: Isa) -> f64 {
        let threads = pool.current_num_threads();
        let share = self.0.len() / PARTS / threads;
        let read = |thread: usize, repetition: usize| {
            let first = (repetition % PARTS * threads + thread) * share;
            read_sum(isa, &self.0[first..][..share])
        };
        let time = best_together(pool, REPEAT, read);
        per_nanosecond((share * threads * size_of::<u32>()) as u64, time)
    }
}

/// Parts of a read buffer.
const PARTS: usize = 4;

/// The shortest time of several repetitions of `work(thread, repetition)`, each from the start of its
/// first thread to the end of its last.
fn best_together<T>(
    pool: &ThreadPool,
    repetitions: usize,
    work: impl Fn(usize, usize) -> T + Sync,
) -> Duration {
    let (threads, arrived) = (pool.current_num_threads(), AtomicUsize::new(0));
    let spans = pool.broadcast(|thread| {
        let span = |repetition: usize| {
            // Whoever slept a little is given a core at once, even on a busy machine.
            std::thread::sleep(REST);
            arrived.fetch_add(1, Ordering::AcqRel);
            let mut turns = 0u32;
            // A thread that sleeps here would begin late.
            while arrived.load(Ordering::Acquire) < (repetition + 1) * threads {
                turns += 1;
                if turns.is_multiple_of(1 << 14) {
                    std::thread::yield_now();
                } else {
                    std::hint::spin_loop();
                }
            }
            let start = Instant::now();
            black_box(work(thread.index(), repetition));
            (start, Instant::now())
        };
        (0..repetitions).map(span).collect::<Vec<_>>()
    });
    let time = |repetition: usize| {
        let spans = || spans.iter().filter_map(|spans| spans.get(repetition));
        let (first, last) = (spans().map(|s| s.0).min()?, spans().map(|s| s.1).max()?);
        Some(last - first)
    };
    (0..repetitions).filter_map(time).min().unwrap_or(Duration::MAX)
}

fn per_nanosecond(number: u64, time: Duration) -> f64 {
    number as f64 / (time.as_nanos() as f64).max(1.0)
}

impl MachineReport {
    fn facts(&self) -> Vec<(&'static str, String)> {
        let machine = &self.machine;
        let unknown = || "unknown".to_owned();
        let number = |n: Option<usize>| n.map_or_else(unknown, |n| n.to_string());
        let caches: Vec<String> = machine.caches.iter().map(ToString::to_string).collect();
        let chosen = if machine.isa_forced { "forced by OPLEDGER_ISA" } else { "detected" };
        vec![
            ("system", machine.system.clone()),
            ("architecture", machine.architecture.clone()),
            ("processor", machine.processor.clone().unwrap_or_else(unknown)),
            (
                "cores",
                format!(
                    "{} logical, {} physical, {} usable",
                    number(machine.logical_cores),
                    number(machine.physical_cores),
                    machine.usable_cores,
                ),
            ),
            ("caches", if caches.is_empty() { unknown() } else { caches.join(", ") }),
            ("memory", machine.memory_bytes.map_or_else(unknown, binary)),
            ("instruction set", format!("{} ({chosen})", machine.isa)),
        ]
    }
}

impl Record for MachineReport {
    fn document(&self) -> Document {
        let facts = self.facts().into_iter().map(|(name, value)| [name.into(), value.into()]);
        let facts = Table {
            columns: vec![Column::word("machine"), Column::text("")],
            rows: facts.map(Row::new).collect(),
        };
        let buffer = binary(self.buffer_bytes);
        let notes = format!(
            "FMA peak = f32 multiply-adds in registers, one multiply-add being two operations; \
             scalar = portable code, which calls a function for each where the target that it was \
             built for has no such instruction; read bandwidth over {buffer}, by {}; best of {REPEAT} \
             repetitions",
            self.machine.isa,
        );
        let mut blocks = vec![
            Block::Title(format!("this machine, measured by opledger {}", self.version)),
            Block::Table(facts),
            Block::Table(self.rows()),
            Block::Text(notes),
        ];
        blocks.extend(busy(self.load, self.machine.usable_cores).map(Block::Text));
        Document { blocks }
    }

    fn rows(&self) -> Table {
        let columns = vec![
            Column::word("measured"),
            Column::word("instruction set"),
            Column::number("threads"),
            Column::number("value"),
            Column::word("unit"),
        ];
        let row = |measured: &Measured| {
            Row::new([
                measured.quantity.name().into(),
                measured.isa.as_str().into(),
                Cell::Number(measured.threads.into()),
                Cell::Real(measured.value, 1),
                measured.unit.into(),
            ])
        };
        Table { columns, rows: self.measured.iter().map(row).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_thread_works_and_the_span_holds_all_of_them() {
        let pool = pool(3).unwrap();
        let seen = std::sync::Mutex::new(Vec::new());
        let time = best_together(&pool, 2, |thread, repetition| {
            std::thread::sleep(Duration::from_millis(2 * thread as u64));
            seen.lock().unwrap().push((repetition, thread));
        });
        let mut seen = seen.into_inner().unwrap();
        seen.sort_unstable();
        assert_eq!(seen, [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]);
        assert!(time >= Duration::from_millis(4));
    }

    #[test]
    fn rates_are_finite_on_every_instruction_set() {
        let pool = pool(2).unwrap();
        for isa in Isa::available() {
            let peak = fma_peak(&pool, isa);
            assert!(peak.is_finite() && peak > 0.0, "{isa}: {peak}");
        }
        let buffer = ReadBuffer((0..1000).collect());
        assert_eq!(buffer.bytes(), 4000);
        assert!(buffer.bandwidth(&pool, Isa::SCALAR) > 0.0);
        assert_eq!(per_nanosecond(10, Duration::from_nanos(4)), 2.5);
    }
}
