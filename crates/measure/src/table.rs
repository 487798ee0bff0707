//! A bench as people and spreadsheets read it.

use opledger_report::{Block, Cell, Column, Document, Record, Row, Table, Tone};

use crate::BenchResult;
use crate::machine::busy;

impl BenchResult {
    pub(crate) fn decodes(&self) -> bool {
        self.points.iter().any(|point| point.gb_per_s.is_some())
    }

    pub(crate) fn threads_text(&self) -> String {
        format!("{} thread{}", self.threads, if self.threads == 1 { "" } else { "s" })
    }

    fn notes(&self) -> Vec<String> {
        let roof = &self.roof;
        let mut lines = vec![format!(
            "{}, {}; {} {:.1} {} ({}), measured with as many threads before and after the points",
            self.machine.processor.as_deref().unwrap_or("processor unknown"),
            self.threads_text(),
            roof.name,
            roof.value,
            roof.unit,
            roof.isa,
        )];
        lines.extend(busy(self.load, self.machine.usable_cores));
        if let Some(against) = &self.against {
            let (matched, all) = (against.matched, self.points.len());
            lines.push(format!(
                "× saved = rate now / rate saved by opledger {}; {matched} of {all} points have a \
                 saved one; its roof was {:.1} {}",
                against.version, against.roof, roof.unit,
            ));
            for difference in &against.differences {
                lines.push(format!("  the machine differs: {difference}"));
            }
        }
        lines
    }
}

impl Record for BenchResult {
    fn document(&self) -> Document {
        let decodes = self.decodes();
        let rate = |decode, other| Column::number(if decodes { decode } else { other });
        let mut columns = vec![
            Column { right: true, ..Column::word(axis_title(&self.axis)) },
            Column::number("runs").dispensable(2),
            Column::number("median ms"),
            Column::number("best ms").dispensable(1),
            rate("cache bytes", "matmul-flops").dispensable(3),
            rate("GB/s", "GFLOP/s"),
            rate("best GB/s", "best GFLOP/s"),
            rate("% of bandwidth", "% of peak"),
        ];
        if self.against.is_some() {
            columns.extend([Column::number("× saved"), Column::number("best × saved")]);
        }
        let row = |point: &crate::BenchPoint| {
            let work = point.cache_bytes.unwrap_or(point.macs.saturating_mul(2));
            let mut cells = vec![
                point.at.as_str().into(),
                Cell::Number(point.times.runs.into()),
                Cell::Real(point.times.median_ms, 3),
                Cell::Real(point.times.best_ms, 3),
                Cell::Number(work.into()),
                Cell::Real(point.rate(), 1),
                Cell::Real(point.best_rate(), 1),
                Cell::Real(100.0 * point.share, 1),
            ];
            if self.against.is_some() {
                let ratio = |ratio: Option<f64>| match ratio {
                    Some(ratio) => set_off(ratio),
                    None => "none".into(),
                };
                cells.push(ratio(point.against.map(|a| a.ratio)));
                cells.push(ratio(point.against.map(|a| a.best_ratio)));
            }
            Row::new(cells)
        };
        let told = "a multiplication and its addition count apart, contractions only";
        let meaning = if decodes {
            "GB/s = bytes of keys and values, each read once, / time of the median run; caches that \
             the processor's own caches hold can exceed the bandwidth of main memory"
                .to_owned()
        } else {
            format!(
                "GFLOP/s = matmul-flops / time of the median run; matmul-flops = 2·macs of the \
                 ledger of the timed run ({told})"
            )
        };
        let blocks = vec![
            Block::Title(format!("bench {}: {}", self.bench, self.subject)),
            Block::Table(Table { columns, rows: self.points.iter().map(row).collect() }),
            Block::Lines(self.notes()),
            Block::Text(meaning),
        ];
        Document { blocks }
    }

    fn rows(&self) -> Table {
        let titles = [
            "key",
            "at",
            "runs",
            "median_ms",
            "best_ms",
            "macs",
            "useful_flops",
            "executed_flops",
            "gflop_per_s",
            "best_gflop_per_s",
            "gb_per_s",
            "best_gb_per_s",
            "share",
            "ratio",
            "best_ratio",
        ];
        let row = |point: &crate::BenchPoint| {
            Row::new([
                point.key.as_str().into(),
                point.at.as_str().into(),
                Cell::Number(point.times.runs.into()),
                Cell::Real(point.times.median_ms, 6),
                Cell::Real(point.times.best_ms, 6),
                Cell::Number(point.macs.into()),
                Cell::Number(point.useful_flops.into()),
                Cell::Number(point.executed_flops.into()),
                Cell::Real(point.gflop_per_s, 6),
                Cell::Real(point.best_gflop_per_s, 6),
                Cell::real(point.gb_per_s, 6),
                Cell::real(point.best_gb_per_s, 6),
                Cell::Real(point.share, 6),
                Cell::real(point.against.map(|a| a.ratio), 6),
                Cell::real(point.against.map(|a| a.best_ratio), 6),
            ])
        };
        let columns = titles.map(Column::word).to_vec();
        Table { columns, rows: self.points.iter().map(row).collect() }
    }
}

/// A ratio; one that noise hardly explains has a tone.
fn set_off(ratio: f64) -> Cell {
    match ratio {
        r if r < 0.9 => Cell::Toned(format!("{r:.2}"), Tone::Bad),
        r if r > 1.1 => Cell::Toned(format!("{r:.2}"), Tone::Good),
        r => Cell::Real(r, 2),
    }
}

/// The title of the first column.
fn axis_title(axis: &str) -> &'static str {
    let known = ["b", "c", "e", "ff", "h", "kv", "l", "m", "n", "m×k×n"];
    known.into_iter().find(|title| *title == axis).unwrap_or("size")
}

#[cfg(test)]
mod tests {
    use opledger_report::{Format, Style, render};

    use super::*;
    use crate::Baseline;
    use crate::bench::tests::{decoding, products};

    #[test]
    fn a_table_has_a_row_for_each_point_and_names_its_convention() {
        let mut bench = products();
        let text = |bench: &BenchResult| render(bench, Format::Table, Style::plain()).unwrap();
        let alone = text(&bench);
        assert!(alone.starts_with("bench gemm: small\n"), "{alone}");
        for at in ["2×3×4", "5×6×7", "8×8×8", "matmul-flops = 2·macs", "2 threads", "FMA peak"]
        {
            assert!(alone.contains(at), "{at}: {alone}");
        }
        assert!(!alone.contains("saved"), "{alone}");
        let mut saved = bench.clone();
        saved.points.remove(0);
        saved.machine.usable_cores += 1;
        bench.compare(&Baseline(saved));
        let compared = text(&bench);
        for part in
            ["× saved", "1.00", "none", "2 of 3 points", "the machine differs: usable cores"]
        {
            assert!(compared.contains(part), "{part}: {compared}");
        }
        let csv = render(&bench, Format::Csv, Style::plain()).unwrap();
        assert_eq!(csv.lines().count(), 4, "{csv}");
        let caches = text(&decoding());
        assert!(caches.contains("% of bandwidth") && caches.contains("GB/s"), "{caches}");
    }

    #[test]
    fn only_ratios_far_from_one_are_set_off() {
        let tones = [0.5, 0.95, 1.05, 2.0].map(|r| match set_off(r) {
            Cell::Toned(_, tone) => Some(tone),
            _ => None,
        });
        assert_eq!(tones, [Some(Tone::Bad), None, None, Some(Tone::Good)]);
    }
}
