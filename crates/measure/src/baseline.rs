//! Saved benches, and how a later one is held against them.

use crate::comparison::{Comparison, PointComparison};
use crate::{BenchResult, MeasureError};

/// A bench that was saved.
#[derive(Clone, Debug, PartialEq)]
pub struct Baseline(pub BenchResult);

impl Baseline {
    /// Reads a bench that was saved.
    ///
    /// # Errors
    /// [`MeasureError::Saved`] when the text is none.
    pub fn parse(text: &str) -> Result<Baseline, MeasureError> {
        let parsed = serde_json::from_str(text);
        parsed.map(Baseline).map_err(|e| MeasureError::Saved { problem: e.to_string() })
    }
}

impl BenchResult {
    /// The text under which the bench is saved.
    ///
    /// # Errors
    /// [`MeasureError::Saved`] when a number is none that JSON has.
    pub fn saved(&self) -> Result<String, MeasureError> {
        let text = serde_json::to_string_pretty(self);
        text.map(|t| t + "\n").map_err(|e| MeasureError::Saved { problem: e.to_string() })
    }

    /// Compares each point with the saved point of the same key.
    pub fn compare(&mut self, Baseline(saved): &Baseline) {
        let mut matched = 0;
        for point in &mut self.points {
            let same = saved.points.iter().find(|then| then.key == point.key);
            point.against = same.map(|then| PointComparison {
                rate: then.rate(),
                best_rate: then.best_rate(),
                ratio: point.rate() / then.rate(),
                best_ratio: point.best_rate() / then.best_rate(),
            });
            matched += usize::from(same.is_some());
        }
        self.against = Some(Comparison {
            version: saved.version.clone(),
            roof: saved.roof.value,
            matched,
            differences: self.machine.differences(&saved.machine),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::tests::{decoding, products};

    #[test]
    fn what_is_saved_is_read_back() {
        for mut bench in [products(), decoding()] {
            assert_eq!(Baseline::parse(&bench.saved().unwrap()).unwrap().0, bench);
            let saved = Baseline(bench.clone());
            bench.compare(&saved);
            assert_eq!(Baseline::parse(&bench.saved().unwrap()).unwrap().0, bench);
        }
        for text in ["", "{}", "[1]", "{\"points\": []}"] {
            let error = Baseline::parse(text).unwrap_err().to_string();
            assert!(error.contains("no saved bench") && error.contains("--save"), "{error}");
        }
    }

    #[test]
    fn points_are_compared_by_key() {
        let mut bench = products();
        let mut saved = bench.clone();
        saved.points[0].key = "gemm:9x9x9; threads=2".to_owned();
        saved.points[1].gflop_per_s = bench.points[1].gflop_per_s / 2.0;
        saved.points[1].best_gflop_per_s = bench.points[1].best_gflop_per_s * 4.0;
        saved.points.swap(1, 2);
        saved.machine.processor = Some("another".to_owned());
        bench.compare(&Baseline(saved.clone()));
        assert_eq!(bench.points[0].against, None);
        let against = bench.points[1].against.unwrap();
        assert_eq!((against.ratio, against.best_ratio), (2.0, 0.25));
        assert_eq!(bench.points[2].against.unwrap().ratio, 1.0);
        let comparison = bench.against.unwrap();
        assert_eq!((comparison.matched, comparison.roof), (2, saved.roof.value));
        assert!(comparison.differences[0].starts_with("processor: then another, now "));
        assert_eq!(comparison.differences.len(), 1);
    }
}
