//! How often something is run, and how long it took.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// How something is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Threads that execute.
    pub threads: usize,
    /// The least number of timed runs of each point.
    pub runs: usize,
    /// The least time over which each point is run, after the warm-up, which lasts a third of it.
    pub time: Duration,
}

/// The most runs of one point.
const MOST: usize = 100_000;

/// Milliseconds of the runs of one thing.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Times {
    /// How many runs.
    pub runs: usize,
    /// The one in the middle; the mean of both where there are two.
    pub median_ms: f64,
    /// The shortest.
    pub best_ms: f64,
}

impl Times {
    /// The times of some runs; `None` of none.
    pub fn of(runs: &[Duration]) -> Option<Times> {
        let mut sorted: Vec<f64> = runs.iter().map(|run| run.as_secs_f64() * 1e3).collect();
        sorted.sort_by(f64::total_cmp);
        let best_ms = *sorted.first()?;
        let (low, high) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
        Some(Times { runs: runs.len(), median_ms: f64::midpoint(low, high), best_ms })
    }
}

/// Warms up, then times runs until there are enough of them and they took long enough.
pub(crate) fn repeat<E>(
    settings: &Timing,
    mut work: impl FnMut() -> Result<(), E>,
) -> Result<Times, E> {
    let started = Instant::now();
    work()?;
    while started.elapsed() < settings.time / 3 {
        work()?;
    }
    let (mut runs, started) = (Vec::new(), Instant::now());
    loop {
        let run = Instant::now();
        work()?;
        runs.push(run.elapsed());
        let enough = runs.len() >= settings.runs && started.elapsed() >= settings.time;
        if (enough || runs.len() >= MOST)
            && let Some(times) = Times::of(&runs)
        {
            return Ok(times);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_stands_in_the_middle() {
        let of = |ms: &[u64]| {
            let runs: Vec<Duration> = ms.iter().map(|ms| Duration::from_millis(*ms)).collect();
            Times::of(&runs).map(|t| (t.runs, t.median_ms, t.best_ms))
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[7]), Some((1, 7.0, 7.0)));
        assert_eq!(of(&[9, 2]), Some((2, 5.5, 2.0)));
        assert_eq!(of(&[100, 3, 5]), Some((3, 5.0, 3.0)));
        assert_eq!(of(&[4, 1, 100, 2]), Some((4, 3.0, 1.0)));
    }

    #[test]
    fn runs_are_as_many_as_asked_for_after_a_warm_up() {
        let settings = Timing { threads: 1, runs: 5, time: Duration::ZERO };
        let mut calls = 0;
        let times = repeat(&settings, || {
            calls += 1;
            Ok::<(), ()>(())
        });
        assert_eq!((times.unwrap().runs, calls), (5, 6));
        let settings = Timing { runs: 1, time: Duration::from_millis(20), ..settings };
        let times = repeat(&settings, || {
            std::thread::sleep(Duration::from_millis(1));
            Ok::<(), ()>(())
        });
        assert!(times.unwrap().runs > 1);
        assert_eq!(repeat(&settings, || Err(3)), Err(3));
    }
}
