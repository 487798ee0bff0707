//! Claims, and what became of them.

use serde::Serialize;

use super::TheoremRecord;
use crate::{Block, Cell, Column, Document, Record, Row, Table, Tone};

/// A claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClaimRecord {
    /// Its id.
    pub id: String,
    /// Who makes it.
    pub source: String,
    /// What it says.
    pub statement: String,
}

/// Claims that can be settled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClaimList {
    /// Each claim.
    pub claims: Vec<ClaimRecord>,
}

impl Record for ClaimList {
    fn document(&self) -> Document {
        Document { blocks: vec![Block::Table(self.rows())] }
    }

    fn rows(&self) -> Table {
        let columns = vec![
            Column::word("id"),
            Column { narrowest: Some(30), ..Column::text("statement") },
            Column::text("source"),
        ];
        let row = |claim: &ClaimRecord| {
            Row::new([&claim.id, &claim.statement, &claim.source].map(|t| t.as_str().into()))
        };
        Table { columns, rows: self.claims.iter().map(row).collect() }
    }
}

/// What execution shows of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum VerdictRecord {
    /// As stated.
    Holds,
    /// As stated, when the numbers mean what a named convention says.
    HoldsUnderConvention,
    /// Not as stated.
    Refuted,
}

impl VerdictRecord {
    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            VerdictRecord::Holds => "holds",
            VerdictRecord::HoldsUnderConvention => "holds-under-convention",
            VerdictRecord::Refuted => "refuted",
        }
    }

    fn tone(self) -> Tone {
        match self {
            VerdictRecord::Holds => Tone::Good,
            VerdictRecord::HoldsUnderConvention => Tone::Careful,
            VerdictRecord::Refuted => Tone::Bad,
        }
    }
}

/// A claim with its verdict.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SettledRecord {
    /// Its id.
    pub id: String,
    /// Who makes it.
    pub source: String,
    /// What it says.
    pub statement: String,
    /// What execution shows of it.
    pub verdict: VerdictRecord,
    /// The convention under which it holds.
    pub convention: Option<String>,
    /// The closed form or number that it claims.
    pub claimed: String,
    /// The closed form that the graph derives.
    pub derived: String,
    /// What was counted while executing.
    pub measured: String,
    /// What a reader should know.
    pub note: String,
    /// Whether the evidence suffices for the verdict.
    pub settled: bool,
    /// The evidence line by line, when asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
}

/// Claims with their verdicts, and the theorem behind them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verification {
    /// Each claim.
    pub claims: Vec<SettledRecord>,
    /// All counts against all derived costs.
    pub theorem: TheoremRecord,
}

impl Verification {
    fn summary(&self) -> String {
        let of = |verdict| self.claims.iter().filter(|c| c.verdict == verdict).count();
        format!(
            "claims: {}; hold: {}; hold under a named convention: {}; refuted: {}; not settled: {}",
            self.claims.len(),
            of(VerdictRecord::Holds),
            of(VerdictRecord::HoldsUnderConvention),
            of(VerdictRecord::Refuted),
            self.claims.iter().filter(|c| !c.settled).count(),
        )
    }
}

impl Record for Verification {
    fn document(&self) -> Document {
        let columns = vec![
            Column::word("id"),
            Column { narrowest: Some(16), ..Column::text("statement and source") },
            Column { narrowest: Some(16), ..Column::text("closed form") },
            Column { narrowest: Some(12), ..Column::text("measured") },
            Column { narrowest: Some(10), ..Column::text("verdict") },
        ];
        let mut rows = Vec::new();
        for (i, claim) in self.claims.iter().enumerate() {
            let form = match (claim.claimed == claim.derived, claim.claimed.is_empty()) {
                (true, _) => claim.derived.clone(),
                (false, true) => claim.derived.clone(),
                (false, false) if claim.derived.is_empty() => format!("claimed {}", claim.claimed),
                (false, false) => format!("claimed {}\nderived {}", claim.claimed, claim.derived),
            };
            let verdict = match &claim.convention {
                _ if !claim.settled => format!("not settled ({})", claim.verdict.name()),
                Some(convention) if claim.verdict == VerdictRecord::HoldsUnderConvention => {
                    format!("holds under {convention}")
                }
                _ => claim.verdict.name().to_owned(),
            };
            let tone = if claim.settled { claim.verdict.tone() } else { Tone::Bad };
            let row = Row::new([
                claim.id.as_str().into(),
                format!("{}\n({})", claim.statement, claim.source).into(),
                form.into(),
                claim.measured.as_str().into(),
                Cell::Toned(verdict, tone),
            ]);
            rows.push(Row { ruled: i > 0, ..row });
        }
        let mut blocks = vec![Block::Table(Table { columns, rows })];
        for claim in &self.claims {
            let mut lines = Vec::new();
            if !claim.note.is_empty() {
                lines.push(format!("{}: {}", claim.id, claim.note));
            }
            lines.extend(claim.details.iter().map(|line| format!("  {line}")));
            if !lines.is_empty() {
                blocks.push(Block::Lines(lines));
            }
        }
        let mut summary = vec![self.summary()];
        summary.extend(self.theorem.lines());
        blocks.push(Block::Lines(summary));
        Document { blocks }
    }

    fn rows(&self) -> Table {
        let titles = [
            "id",
            "source",
            "statement",
            "verdict",
            "convention",
            "claimed",
            "derived",
            "measured",
            "note",
            "settled",
        ];
        let row = |claim: &SettledRecord| {
            Row::new([
                claim.id.as_str().into(),
                claim.source.as_str().into(),
                claim.statement.as_str().into(),
                claim.verdict.name().into(),
                claim.convention.as_deref().unwrap_or_default().into(),
                claim.claimed.as_str().into(),
                claim.derived.as_str().into(),
                claim.measured.as_str().into(),
                claim.note.as_str().into(),
                if claim.settled { "true" } else { "false" }.into(),
            ])
        };
        let columns = titles.map(Column::word).to_vec();
        Table { columns, rows: self.claims.iter().map(row).collect() }
    }
}
