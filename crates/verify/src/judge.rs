//! The judge: a claimed formula or number against what was derived and what was counted.

use opledger_dims::{Integer, Poly, Quantity};
use opledger_ir::{Graph, Selection};

use crate::bench::{Trials, at};
use crate::claim::{Basis, Finding, Verdict};
use crate::error::VerifyError;
use crate::reading::{in_words, is_of_parameters};

/// One claimed formula about part of a graph.
pub(crate) struct Question<'a> {
    /// What is executed.
    pub(crate) graph: &'a Graph,
    /// What the claim speaks of.
    pub(crate) scope: Selection<'a>,
    /// The formula, in the symbols of the graph.
    pub(crate) claimed: &'a str,
    /// What the source's words say; then narrower readings, in the order they are tried.
    pub(crate) readings: &'a [Quantity],
    /// Symbols that take multiples of a formula only, where parameters are asked for.
    pub(crate) multiples: &'a [(&'a str, &'a str)],
}

impl<'a> Question<'a> {
    /// A question about the whole of a graph.
    pub(crate) fn new(graph: &'a Graph, claimed: &'a str, readings: &'a [Quantity]) -> Self {
        Question { graph, scope: Selection::ALL, claimed, readings, multiples: &[] }
    }

    pub(crate) fn within(self, scope: Selection<'a>) -> Self {
        Question { scope, ..self }
    }

    pub(crate) fn multiples(self, multiples: &'a [(&'a str, &'a str)]) -> Self {
        Question { multiples, ..self }
    }

    /// Derives, executes, compares.
    pub(crate) fn judge(&self, bench: &mut Trials<'_>) -> Result<Finding, VerifyError> {
        let graph = self.graph;
        let claimed = graph.fold(&self.claimed.parse::<Poly>()?);
        let derive = |reading: Quantity| bench.derived(graph, reading, &self.scope);
        let fitting = self.readings.iter().copied().find(|reading| derive(*reading) == claimed);
        let plain = self.readings[0];
        let reading = fitting.unwrap_or(plain);
        let derived = derive(reading);
        let grid = match is_of_parameters(plain) {
            true => bench.parameter_grid(graph, self.multiples)?,
            false => bench.grid(graph)?,
        };
        let of = if is_of_parameters(plain) { "parameters read in " } else { "" };
        Ok(Finding {
            verdict: verdict(fitting, plain),
            basis: Basis::Executed,
            convention: fitting.filter(|r| *r != plain).map(in_words),
            claimed: claimed.to_string(),
            derived: derived.to_string(),
            evidence: format!("{of}{}", grid.describe()),
            note: String::new(),
            details: vec![format!("read as {}", in_words(reading))],
            agrees: grid.agrees(graph, self.scope, reading, &derived),
        })
    }
}

/// A claimed number about one size of a graph.
pub(crate) struct ClaimedNumber<'a> {
    /// What is executed, or whose parameters are counted.
    pub(crate) graph: &'a Graph,
    /// What the claim speaks of.
    pub(crate) scope: Selection<'a>,
    /// The number.
    pub(crate) claimed: u64,
    /// What the source's words say; then narrower readings.
    pub(crate) readings: &'a [Quantity],
    /// The size.
    pub(crate) own_size: &'a [(&'a str, i64)],
}

impl ClaimedNumber<'_> {
    /// Derives, executes, compares. The count that decides is the executed one; where the run is left
    /// out, nothing is decided.
    pub(crate) fn judge(&self, bench: &mut Trials<'_>) -> Result<Finding, VerifyError> {
        let claimed = Integer::from(self.claimed);
        let (graph, plain) = (self.graph, self.readings[0]);
        let own = bench.own_size(graph, self.own_size)?;
        let mut values = Vec::new();
        for &reading in self.readings {
            let formula = bench.derived(graph, reading, &self.scope);
            let derived = at(graph, &formula, self.own_size)?;
            let told = own.as_ref().map(|own| bench.counted(graph, own, &self.scope, reading));
            values.push((reading, formula, derived, told));
        }
        let fitting = values.iter().find(|(.., told)| told.as_ref() == Some(&claimed));
        let (_, formula, derived, told) = fitting.unwrap_or(&values[0]);
        let fitting = fitting.map(|(reading, ..)| *reading);
        let left_out = "left out by --quick";
        let detail = |(reading, _, derived, told): &(Quantity, Poly, Integer, Option<Integer>)| {
            let told = told.as_ref().map(|told| format!("counted {}", grouped(told)));
            let told = told.unwrap_or(left_out.to_owned());
            format!("{}: derived {}, {told}", reading.name(), grouped(derived))
        };
        Ok(Finding {
            verdict: own.as_ref().map_or(Verdict::NotRun, |_| verdict(fitting, plain)),
            basis: Basis::Executed,
            convention: fitting.filter(|r| *r != plain).map(in_words),
            claimed: grouped(&claimed),
            derived: if formula.as_integer().is_some() {
                grouped(derived)
            } else {
                format!("{formula} = {}", grouped(derived))
            },
            evidence: told.as_ref().map_or(left_out.to_owned(), grouped),
            note: String::new(),
            details: values.iter().map(detail).collect(),
            agrees: values.iter().all(|(.., derived, told)| told.iter().all(|t| t == derived)),
        })
    }
}

/// The verdict on a claim that holds in one reading, or in none.
pub(crate) fn verdict(fitting: Option<Quantity>, plain: Quantity) -> Verdict {
    match fitting {
        Some(reading) if reading == plain => Verdict::Holds,
        Some(_) => Verdict::HoldsUnderConvention,
        None => Verdict::Refuted,
    }
}

/// An integer with its digits in groups of three.
pub(crate) fn grouped(value: &Integer) -> String {
    let digits = value.to_string();
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits.as_str()), |d| ("-", d));
    let mut out = String::from(sign);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

impl Finding {
    pub(crate) fn noting(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// The finding on a statement that several findings bear out or not: the worst verdict decides.
    pub(crate) fn all(findings: Vec<(&str, Finding)>) -> Self {
        let join = |of: fn(&Finding) -> &str| {
            findings
                .iter()
                .map(|(name, f)| format!("{name}: {}", of(f)))
                .collect::<Vec<_>>()
                .join("; ")
        };
        let worst = [Verdict::Refuted, Verdict::NotRun, Verdict::HoldsUnderConvention];
        let worst = worst.into_iter().find(|v| findings.iter().any(|(_, f)| f.verdict == *v));
        let verdict = worst.unwrap_or(Verdict::Holds);
        let derived = findings.iter().any(|(_, f)| f.basis == Basis::Derived);
        Finding {
            verdict,
            basis: if derived { Basis::Derived } else { Basis::Executed },
            convention: findings.iter().find_map(|(_, f)| f.convention.clone()),
            claimed: join(|f| &f.claimed),
            derived: join(|f| &f.derived),
            evidence: findings.iter().map(|(_, f)| f.evidence.clone()).next().unwrap_or_default(),
            note: String::new(),
            details: findings
                .iter()
                .flat_map(|(name, f)| {
                    let head = format!("{name}: {} ({})", f.verdict.name(), f.evidence);
                    std::iter::once(head).chain(f.details.iter().map(|d| format!("  {d}")))
                })
                .collect(),
            agrees: findings.iter().all(|(_, f)| f.agrees),
        }
    }
}
