//! A bench as a chart: its rates under the roof of the machine.

use opledger_charts::{Ceiling, RateChart, RatePoint};

use crate::{BenchPoint, BenchResult};

impl BenchResult {
    /// The rates under the roof and, after [`BenchResult::compare`], the saved ones behind them.
    pub fn chart(&self) -> RateChart {
        let machine = &self.machine;
        let processor = machine.processor.as_deref().unwrap_or("processor unknown");
        let (threads, isa, roof) = (self.threads_text(), &machine.isa, &self.roof);
        let rate = match self.decodes() {
            true => "GB/s of keys and values",
            false => "GFLOP/s (matmul-flops)",
        };
        let point = |point: &BenchPoint| RatePoint {
            label: point.at.clone(),
            size: point.size,
            rate: point.rate(),
            before: point.against.map(|against| against.rate),
        };
        RateChart {
            title: format!("opledger bench {}: {}", self.bench, self.subject),
            subtitle: format!(
                "{processor}, {threads}, kernels on {isa}, opledger {}",
                self.version
            ),
            x: self.axis.clone(),
            y: rate.to_owned(),
            ceiling: Ceiling {
                name: format!("measured {}, {threads} ({})", roof.name, roof.isa),
                value: roof.value,
                unit: roof.unit.clone(),
            },
            points: self.points.iter().map(point).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::Baseline;
    use crate::bench::tests::{decoding, products};

    #[test]
    fn every_point_stands_under_the_roof() {
        for bench in [products(), decoding()] {
            let chart = bench.chart();
            assert_eq!(chart.points.len(), bench.points.len());
            assert!(chart.points.iter().all(|point| point.before.is_none()));
            assert_eq!(
                (chart.ceiling.value, &chart.ceiling.unit),
                (bench.roof.value, &bench.roof.unit)
            );
            assert!(chart.svg().unwrap().contains(&format!("measured {}", bench.roof.name)));
        }
    }

    #[test]
    fn saved_points_are_drawn_too() {
        let mut bench = decoding();
        let mut saved = bench.clone();
        saved.points.pop();
        bench.compare(&Baseline(saved));
        let before: Vec<bool> = bench.chart().points.iter().map(|p| p.before.is_some()).collect();
        assert_eq!(before, [true, true, true, false]);
    }
}
