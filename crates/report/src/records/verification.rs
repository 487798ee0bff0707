//! Claims, and what became of them.

use serde::Serialize;

use super::TheoremRecord;
use crate::{Block, Cell, Column, Document, Record, Row, Table, Tone, latex};

/// A claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClaimRecord {
    /// Its id.
    pub id: String,
    /// Who makes it.
    pub source: String,
    /// Where that can be read, where an address is known.
    pub address: Option<String>,
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
            let source = format!("{} ({})", claim.source, addressed(&claim.address));
            Row::new([&claim.id, &claim.statement, &source].map(|t| t.as_str().into()))
        };
        Table { columns, rows: self.claims.iter().map(row).collect() }
    }
}

fn addressed(address: &Option<String>) -> &str {
    address.as_deref().unwrap_or("no address known")
}

/// What becomes of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum VerdictRecord {
    /// As stated.
    Holds,
    /// As stated, when the numbers mean what a named convention says.
    HoldsUnderConvention,
    /// Not as stated.
    Refuted,
    /// Left open, since what it takes was left out.
    NotRun,
}

impl VerdictRecord {
    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            VerdictRecord::Holds => "holds",
            VerdictRecord::HoldsUnderConvention => "holds-under-convention",
            VerdictRecord::Refuted => "refuted",
            VerdictRecord::NotRun => "not-run",
        }
    }

    fn tone(self) -> Tone {
        match self {
            VerdictRecord::Holds => Tone::Good,
            VerdictRecord::HoldsUnderConvention | VerdictRecord::NotRun => Tone::Careful,
            VerdictRecord::Refuted => Tone::Bad,
        }
    }
}

/// What a verdict stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BasisRecord {
    /// Executions.
    Executed,
    /// Graphs alone.
    Derived,
    /// The meaning of a word, or what the product is made to do.
    Definition,
}

impl BasisRecord {
    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            BasisRecord::Executed => "executed",
            BasisRecord::Derived => "derived",
            BasisRecord::Definition => "definition",
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
    /// Where that can be read, where an address is known.
    pub address: Option<String>,
    /// What it says.
    pub statement: String,
    /// What becomes of it.
    pub verdict: VerdictRecord,
    /// What the verdict stands on.
    pub basis: BasisRecord,
    /// The convention under which it holds.
    pub convention: Option<String>,
    /// The closed form or number that it claims.
    pub claimed: String,
    /// The closed form that the graph derives.
    pub derived: String,
    /// What was executed and counted, or that nothing was.
    pub evidence: String,
    /// What a reader should know.
    pub note: String,
    /// Whether what the verdict takes was executed, and nothing disagreed.
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
    /// Whether people see the evidence of each claim, and not a line each.
    #[serde(skip)]
    pub details: bool,
}

impl Verification {
    /// Claims that are settled by verdict, and those that are not; then the settled by what they stand
    /// on.
    fn summary(&self) -> [String; 2] {
        let settled = || self.claims.iter().filter(|c| c.settled);
        let of = |verdict| settled().filter(|c| c.verdict == verdict).count();
        let on = |basis| settled().filter(|c| c.basis == basis).count();
        let not_run = self.claims.iter().filter(|c| c.verdict == VerdictRecord::NotRun).count();
        [
            format!(
                "claims: {}; hold: {}; hold under a named convention: {}; refuted: {}; \
                 not run: {not_run}; not settled: {}",
                self.claims.len(),
                of(VerdictRecord::Holds),
                of(VerdictRecord::HoldsUnderConvention),
                of(VerdictRecord::Refuted),
                self.claims.len() - settled().count() - not_run,
            ),
            format!(
                "settled by execution: {}; derived alone: {}; by definition: {}",
                on(BasisRecord::Executed),
                on(BasisRecord::Derived),
                on(BasisRecord::Definition),
            ),
        ]
    }
}

impl SettledRecord {
    /// The verdict in words, with the convention it takes and what it stands on where that is no
    /// execution.
    fn outcome(&self) -> String {
        let verdict = match (&self.convention, self.verdict) {
            (_, VerdictRecord::NotRun) => return "not run".to_owned(),
            _ if !self.settled => return format!("not settled ({})", self.verdict.name()),
            (Some(convention), VerdictRecord::HoldsUnderConvention) => {
                format!("holds under {convention}")
            }
            _ => self.verdict.name().to_owned(),
        };
        match self.basis {
            BasisRecord::Executed => verdict,
            BasisRecord::Derived => format!("{verdict} (derived)"),
            BasisRecord::Definition => format!("{verdict} (by definition)"),
        }
    }
}

impl SettledRecord {
    fn tone(&self) -> Tone {
        match self.verdict {
            VerdictRecord::NotRun => Tone::Careful,
            _ if self.settled => self.verdict.tone(),
            _ => Tone::Bad,
        }
    }
}

/// What a verdict rests on, in plain words.
const RESTS_ON: &str = "holds = the formula derived from the recorded graph is what the source says, and two programs that ran \
                        it, textbook loops on numbers that count themselves and the kernels, counted as much at \
                        every node, at enough sizes to fix the polynomial; (derived) = from the graph alone, nothing \
                        ran; (by definition) = no execution could decide it.";

impl Verification {
    /// A line each.
    fn lines(&self) -> Vec<Block> {
        let columns = vec![
            Column::word("id"),
            Column { narrowest: Some(16), cut: true, ..Column::text("verdict") },
            Column { narrowest: Some(24), cut: true, ..Column::text("claim") },
        ];
        let row = |claim: &SettledRecord| {
            let verdict = Cell::Toned(claim.outcome(), claim.tone());
            Row::new([claim.id.as_str().into(), verdict, claim.statement.as_str().into()])
        };
        let rows = self.claims.iter().map(row).collect();
        let mut sources: Vec<(String, Vec<&str>)> = Vec::new();
        for claim in &self.claims {
            let source = format!("{} ({})", claim.source, addressed(&claim.address));
            match sources.iter_mut().find(|(own, _)| *own == source) {
                Some((_, ids)) => ids.push(&claim.id),
                None => sources.push((source, vec![&claim.id])),
            }
        }
        let told = sources.iter().map(|(source, ids)| format!("{}: {source}", ids.join(" ")));
        vec![Block::Table(Table { columns, rows }), Block::Lines(told.collect())]
    }

    /// The evidence of each.
    fn evidence(&self) -> Vec<Block> {
        let columns = vec![
            Column::word("id"),
            Column { narrowest: Some(16), ..Column::text("statement and source") },
            Column { narrowest: Some(16), ..Column::text("closed form") },
            Column { narrowest: Some(12), ..Column::text("executed") },
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
            let row = Row::new([
                claim.id.as_str().into(),
                format!("{}\n({})", claim.statement, claim.source).into(),
                form.into(),
                claim.evidence.as_str().into(),
                Cell::Toned(claim.outcome(), claim.tone()),
            ]);
            rows.push(Row { ruled: i > 0, ..row });
        }
        let mut blocks = vec![Block::Table(Table { columns, rows })];
        for claim in &self.claims {
            let mut lines = Vec::new();
            if !claim.note.is_empty() {
                lines.push(format!("{}: {}", claim.id, claim.note));
            }
            let address = addressed(&claim.address);
            lines.push(format!("{}: source: {}, {address}", claim.id, claim.source));
            lines.extend(claim.details.iter().map(|line| format!("  {line}")));
            blocks.push(Block::Lines(lines));
        }
        blocks
    }
}

impl Record for Verification {
    fn document(&self) -> Document {
        let mut blocks = if self.details { self.evidence() } else { self.lines() };
        let mut summary = self.summary().to_vec();
        summary.extend(self.theorem.lines());
        blocks.push(Block::Lines(summary));
        let more = if self.details { "" } else { " --details shows the evidence." };
        blocks.push(Block::Text(format!("{RESTS_ON}{more}")));
        Document { blocks }
    }

    fn rows(&self) -> Table {
        let titles = [
            "id",
            "source",
            "address",
            "statement",
            "verdict",
            "basis",
            "convention",
            "claimed",
            "derived",
            "evidence",
            "note",
            "settled",
        ];
        let row = |claim: &SettledRecord| {
            Row::new([
                claim.id.as_str().into(),
                claim.source.as_str().into(),
                claim.address.as_deref().unwrap_or_default().into(),
                claim.statement.as_str().into(),
                claim.verdict.name().into(),
                claim.basis.name().into(),
                claim.convention.as_deref().unwrap_or_default().into(),
                claim.claimed.as_str().into(),
                claim.derived.as_str().into(),
                claim.evidence.as_str().into(),
                claim.note.as_str().into(),
                if claim.settled { "true" } else { "false" }.into(),
            ])
        };
        let columns = titles.map(Column::word).to_vec();
        Table { columns, rows: self.claims.iter().map(row).collect() }
    }

    fn latex(&self) -> Option<String> {
        let mut document = self.document().without_bars();
        document.blocks.insert(0, Block::Title("Published claims, settled".to_owned()));
        Some(latex::document(&document.steady()))
    }
}
