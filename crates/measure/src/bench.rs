//! A bench: problems timed one after the other, held against the roof of the machine.

use std::collections::BTreeMap;

use opledger_kernels::isa;
use opledger_report::CONVENTIONS;
use rayon::ThreadPool;
use serde::{Deserialize, Serialize};

use crate::comparison::{Comparison, PointComparison};
use crate::machine::load;
use crate::probes::{ReadBuffer, best_peak, pool};
use crate::times::repeat;
use crate::work::{RunCounts, prepared};
use crate::{Machine, MeasureError, RoofKind, Times, Timing, Workload};

/// What is to be measured.
#[derive(Clone, Debug)]
pub struct BenchPlan<'g> {
    /// The name of the bench, such as `attention`.
    pub bench: String,
    /// What all points share.
    pub subject: String,
    /// What tells the points apart: a symbol, or `m×k×n`.
    pub axis: String,
    /// The points.
    pub cases: Vec<BenchCase<'g>>,
}

/// A point that is to be measured.
#[derive(Clone, Debug)]
pub struct BenchCase<'g> {
    /// Its place on the axis.
    pub at: String,
    /// Its place on a logarithmic axis; `None` where the axis has names.
    pub size: Option<u64>,
    /// What is computed.
    pub workload: Workload<'g>,
}

/// What was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BenchResult {
    /// The name of the bench.
    pub bench: String,
    /// What all points share.
    pub subject: String,
    /// What tells the points apart.
    pub axis: String,
    /// The version of this library.
    pub version: String,
    /// The machine.
    pub machine: Machine,
    /// Threads of all programs that ran or waited over the minute before.
    #[serde(default)]
    pub load: Option<f64>,
    /// Threads that executed.
    pub threads: usize,
    /// What no point can exceed while it works from main memory.
    pub roof: Roof,
    /// The points.
    pub points: Vec<BenchPoint>,
    /// What the bench was compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub against: Option<Comparison>,
    /// What the numbers mean.
    #[serde(default)]
    pub conventions: BTreeMap<String, String>,
}

/// A roof, measured with the threads of the bench, before and after its points.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Roof {
    /// What it is.
    pub name: String,
    /// The instruction set that gave it.
    pub isa: String,
    /// The greater of the two.
    pub value: f64,
    /// Its unit.
    pub unit: String,
}

/// A point that was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BenchPoint {
    /// Which problem on how many threads.
    pub key: String,
    /// Its place on the axis.
    pub at: String,
    /// Its place on a logarithmic axis; `None` where the axis has names.
    pub size: Option<u64>,
    /// How long it took.
    pub times: Times,
    /// Multiplications inside contractions.
    pub macs: u64,
    /// All scalar operations that the mathematics asks for.
    pub useful_flops: u64,
    /// All scalar operations that ran.
    pub executed_flops: u64,
    /// `matmul-flops` per nanosecond of the median run.
    pub gflop_per_s: f64,
    /// The same of the best run.
    pub best_gflop_per_s: f64,
    /// Bytes of keys and values, where these bound the work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_bytes: Option<u64>,
    /// Those bytes per nanosecond of the median run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gb_per_s: Option<f64>,
    /// The same of the best run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best_gb_per_s: Option<f64>,
    /// The rate of the median run over the roof.
    pub share: f64,
    /// The same point when it was saved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub against: Option<PointComparison>,
}

impl BenchPoint {
    fn new(
        case: &BenchCase<'_>,
        threads: usize,
        times: Times,
        counted: RunCounts,
        roof: &Roof,
    ) -> BenchPoint {
        let per_nanosecond = |number: u64, ms: f64| number as f64 / (ms * 1e6).max(1.0);
        let flops = counted.macs.saturating_mul(2);
        let cache_bytes = match &case.workload {
            Workload::Decode(sizes) => u64::try_from(sizes.cache_bytes()).ok(),
            _ => None,
        };
        let mut point = BenchPoint {
            key: format!("{}; threads={threads}", case.workload.key()),
            at: case.at.clone(),
            size: case.size,
            times,
            macs: counted.macs,
            useful_flops: counted.useful,
            executed_flops: counted.executed,
            gflop_per_s: per_nanosecond(flops, times.median_ms),
            best_gflop_per_s: per_nanosecond(flops, times.best_ms),
            cache_bytes,
            gb_per_s: cache_bytes.map(|bytes| per_nanosecond(bytes, times.median_ms)),
            best_gb_per_s: cache_bytes.map(|bytes| per_nanosecond(bytes, times.best_ms)),
            share: 0.0,
            against: None,
        };
        point.share = point.rate() / roof.value;
        point
    }

    /// What is held against the roof, of the median run and in the roof's unit.
    pub fn rate(&self) -> f64 {
        self.gb_per_s.unwrap_or(self.gflop_per_s)
    }

    /// The same of the best run.
    pub fn best_rate(&self) -> f64 {
        self.best_gb_per_s.unwrap_or(self.best_gflop_per_s)
    }
}

/// What bounds a plan: reading memory where one query passes over a cache, else arithmetic.
fn quantity(plan: &BenchPlan<'_>) -> RoofKind {
    let decodes = plan.cases.iter().any(|case| matches!(case.workload, Workload::Decode(_)));
    if decodes { RoofKind::ReadBandwidth } else { RoofKind::FmaPeak }
}

fn roof(quantity: RoofKind, machine: &Machine, pool: &ThreadPool) -> Result<Roof, MeasureError> {
    let (isa, value) = match quantity {
        RoofKind::FmaPeak => best_peak(pool),
        RoofKind::ReadBandwidth => {
            let isa = isa()?;
            (isa, ReadBuffer::new(machine).bandwidth(pool, isa))
        }
    };
    let (name, unit) = (quantity.name().to_owned(), quantity.unit().to_owned());
    Ok(Roof { name, isa: isa.name().to_owned(), value, unit })
}

/// Measures every point, and the roof before and after. `note` is told what is at work.
///
/// # Errors
/// When a point cannot be computed, which is checked as far as possible before the first one is, or
/// threads are not to be had.
pub fn run(
    plan: &BenchPlan<'_>,
    settings: &Timing,
    note: &mut dyn FnMut(&str),
) -> Result<BenchResult, MeasureError> {
    for case in &plan.cases {
        case.workload.check()?;
    }
    let (machine, load) = (Machine::here()?, load());
    let pool = pool(settings.threads)?;
    let quantity = quantity(plan);
    note(quantity.name());
    let mut best = roof(quantity, &machine, &pool)?;
    let mut measured = Vec::new();
    for case in &plan.cases {
        note(&case.workload.key());
        measured.push((case, pool.install(|| measure(case, settings))?));
    }
    note(quantity.name());
    let after = roof(quantity, &machine, &pool)?;
    if after.value > best.value {
        best = after;
    }
    Ok(result(plan, settings.threads, (machine, load), best, measured))
}

/// A point with how long it took and what it counted.
type MeasuredCase<'p, 'g> = (&'p BenchCase<'g>, (Times, RunCounts));

fn result(
    plan: &BenchPlan<'_>,
    threads: usize,
    (machine, load): (Machine, Option<f64>),
    roof: Roof,
    measured: Vec<MeasuredCase<'_, '_>>,
) -> BenchResult {
    let point = |(case, (times, counted)): MeasuredCase<'_, '_>| {
        BenchPoint::new(case, threads, times, counted, &roof)
    };
    let told = CONVENTIONS.iter().filter(|(name, _)| ["macs", "matmul-flops"].contains(name));
    BenchResult {
        bench: plan.bench.clone(),
        subject: plan.subject.clone(),
        axis: plan.axis.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        machine,
        load,
        threads,
        points: measured.into_iter().map(point).collect(),
        roof,
        against: None,
        conventions: told.map(|(name, what)| ((*name).to_owned(), (*what).to_owned())).collect(),
    }
}

fn measure(case: &BenchCase<'_>, settings: &Timing) -> Result<(Times, RunCounts), MeasureError> {
    let mut work = prepared(&case.workload)?;
    let mut counted = RunCounts::default();
    let times = repeat(settings, || {
        counted = work.run()?;
        Ok::<(), MeasureError>(())
    })?;
    Ok((times, counted))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{AttentionWorkload, GemmWorkload};

    const SETTINGS: Timing = Timing { threads: 2, runs: 3, time: Duration::from_millis(1) };

    /// A bench of small products, of made-up times.
    pub(crate) fn products() -> BenchResult {
        made_up(&plan_of_products())
    }

    /// A bench of one query over small caches, of made-up times.
    pub(crate) fn decoding() -> BenchResult {
        made_up(&plan_of_decoding())
    }

    fn made_up(plan: &BenchPlan<'_>) -> BenchResult {
        let quantity = quantity(plan);
        let (name, unit) = (quantity.name().to_owned(), quantity.unit().to_owned());
        let roof = Roof { name, isa: "avx2".to_owned(), value: 80.0, unit };
        let measured = plan.cases.iter().zip(1_u64..).map(|(case, number)| {
            let times = Times { runs: 3, median_ms: 1e-5, best_ms: 5e-6 };
            (case, (times, RunCounts { macs: number, useful: 2 * number, executed: 3 * number }))
        });
        let machine = (Machine::here().unwrap(), None);
        result(plan, SETTINGS.threads, machine, roof, measured.collect())
    }

    fn plan_of_products() -> BenchPlan<'static> {
        let cases = [[2, 3, 4], [5, 6, 7], [8, 8, 8]].map(|[m, k, n]| BenchCase {
            at: format!("{m}×{k}×{n}"),
            size: None,
            workload: Workload::Gemm(GemmWorkload { m, k, n }),
        });
        plan("gemm", cases.into())
    }

    fn plan_of_decoding() -> BenchPlan<'static> {
        let sizes = AttentionWorkload {
            batch: 1,
            tokens: 0,
            heads: 2,
            kv_heads: 1,
            width: 8,
            causal: false,
        };
        let cases = [16, 32, 64, 128].map(|tokens| BenchCase {
            at: tokens.to_string(),
            size: Some(tokens as u64),
            workload: Workload::Decode(AttentionWorkload { tokens, ..sizes }),
        });
        plan("decode", cases.into())
    }

    fn plan(name: &str, cases: Vec<BenchCase<'static>>) -> BenchPlan<'static> {
        let (bench, subject) = (name.to_owned(), "small".to_owned());
        BenchPlan { bench, subject, axis: "n".to_owned(), cases }
    }

    #[test]
    fn rates_follow_from_counts_times_and_the_roof() {
        let measured = |plan| run(&plan, &SETTINGS, &mut |_| ()).unwrap();
        let bench = measured(plan_of_products());
        assert_eq!((bench.roof.unit.as_str(), bench.threads), ("GFLOP/s", 2));
        for (point, macs) in bench.points.iter().zip([24, 210, 512]) {
            assert_eq!(point.macs, macs);
            assert!(point.executed_flops >= point.useful_flops);
            assert!(point.times.runs >= 3 && point.times.best_ms <= point.times.median_ms);
            let rate = 2.0 * macs as f64 / (point.times.median_ms * 1e6).max(1.0);
            assert_eq!((point.gflop_per_s, point.gb_per_s), (rate, None));
            assert_eq!(point.share, rate / bench.roof.value);
            assert!(point.key.ends_with("; threads=2"), "{}", point.key);
        }
        let decoding = measured(plan_of_decoding());
        assert_eq!(decoding.roof.unit, "GB/s");
        let point = &decoding.points[1];
        assert_eq!(point.cache_bytes, Some(2 * 32 * 8 * 4));
        assert_eq!(point.share, point.rate() / decoding.roof.value);
        assert_eq!(Some(point.rate()), point.gb_per_s);
    }

    #[test]
    fn nothing_is_measured_when_a_point_cannot_be() {
        let case = |m| BenchCase {
            at: String::new(),
            size: None,
            workload: Workload::Gemm(GemmWorkload { m, k: 1, n: 1 }),
        };
        let named = || "x".to_owned();
        let plan = BenchPlan {
            bench: named(),
            subject: named(),
            axis: named(),
            cases: vec![case(1), case(0)],
        };
        let settings = Timing { threads: 1, runs: 1, time: Duration::ZERO };
        let mut notes = 0;
        let error = run(&plan, &settings, &mut |_| notes += 1).unwrap_err();
        assert!(matches!(error, MeasureError::Zero { size: "m", .. }) && notes == 0);
    }
}
