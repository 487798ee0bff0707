//! The judge: a claimed formula or number against what was derived and what was counted.

use opledger_dims::{Integer, Poly, Quantity};
use opledger_ir::{Graph, Selection};

use crate::bench::{Trials, binding};
use crate::claim::{Finding, Verdict};
use crate::error::VerifyError;
use crate::reading::{counted, in_words, is_of_parameters};

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
    /// Symbols that keep one value on the grid.
    pub(crate) fixed: &'a [(&'a str, i64)],
}

impl<'a> Question<'a> {
    /// A question about the whole of a graph.
    pub(crate) fn new(graph: &'a Graph, claimed: &'a str, readings: &'a [Quantity]) -> Self {
        Question { graph, scope: Selection::ALL, claimed, readings, fixed: &[] }
    }

    pub(crate) fn within(self, scope: Selection<'a>) -> Self {
        Question { scope, ..self }
    }

    pub(crate) fn fixed(self, fixed: &'a [(&'a str, i64)]) -> Self {
        Question { fixed, ..self }
    }

    /// Derives, executes, compares.
    pub(crate) fn judge(&self, bench: &mut Trials<'_>) -> Result<Finding, VerifyError> {
        let graph = self.graph;
        let claimed = graph.fold(&self.claimed.parse::<Poly>()?);
        let fits = |reading: &&Quantity| graph.quantity_of(**reading, &self.scope) == claimed;
        let fitting = self.readings.iter().find(fits).copied();
        let plain = self.readings[0];
        let reading = fitting.unwrap_or(plain);
        let derived = graph.quantity_of(reading, &self.scope);

        if is_of_parameters(plain) {
            let (points, settled) = bench.parameter_grid(graph, self.scope, reading, &derived)?;
            return Ok(Finding {
                verdict: verdict(fitting, plain),
                convention: fitting.filter(|r| *r != plain).map(in_words),
                claimed: claimed.to_string(),
                derived: derived.to_string(),
                measured: format!("elements in memory at {points} sizes"),
                note: String::new(),
                details: vec![format!("read as {}", in_words(reading))],
                settled,
            });
        }
        let grid = bench.grid(graph, self.fixed)?;
        let settled = grid.agrees(graph, self.scope, reading, &derived);
        Ok(Finding {
            verdict: verdict(fitting, plain),
            convention: fitting.filter(|r| *r != plain).map(in_words),
            claimed: claimed.to_string(),
            derived: derived.to_string(),
            measured: grid.describe(),
            note: String::new(),
            details: vec![format!("read as {}", in_words(reading))],
            settled,
        })
    }
}

/// A claimed number about one size of a graph.
pub(crate) struct Number<'a> {
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

impl Number<'_> {
    /// Derives, executes, compares. The count that decides is the measured one.
    pub(crate) fn judge(&self, bench: &mut Trials<'_>) -> Result<Finding, VerifyError> {
        let claimed = Integer::from(self.claimed);
        let plain = self.readings[0];
        let own = match plain {
            Quantity::Parameters | Quantity::TrainableParameters => None,
            _ => bench.own_size(self.graph, self.own_size)?,
        };
        let mut values = Vec::new();
        for &reading in self.readings {
            let derived =
                at(self.graph, &self.graph.quantity_of(reading, &self.scope), self.own_size)?;
            let measured = match (&own, reading) {
                (_, Quantity::Parameters | Quantity::TrainableParameters) => {
                    bench.stored(self.graph, self.own_size, self.scope, reading)?
                }
                (Some(own), _) => counted(self.graph, &own.ledger, &self.scope, reading),
                (None, _) => derived.clone(),
            };
            values.push((reading, derived, measured));
        }
        let fitting = values.iter().find(|(_, _, measured)| *measured == claimed);
        let (reading, derived, measured) = fitting.unwrap_or(&values[0]);
        let fitting = fitting.map(|(reading, ..)| *reading);
        let details =
            values.iter().map(|(r, _, m)| format!("{}: {}", r.name(), grouped(m))).collect();
        let formula = self.graph.quantity_of(*reading, &self.scope);
        Ok(Finding {
            verdict: verdict(fitting, plain),
            convention: fitting.filter(|r| *r != plain).map(in_words),
            claimed: grouped(&claimed),
            derived: if formula.as_integer().is_some() {
                grouped(derived)
            } else {
                format!("{formula} = {}", grouped(derived))
            },
            measured: match (&own, plain) {
                (None, Quantity::Flops | Quantity::Macs | Quantity::Multiplications) => {
                    "left out by --quick".into()
                }
                _ => grouped(measured),
            },
            note: String::new(),
            details,
            settled: values.iter().all(|(_, derived, measured)| derived == measured),
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

/// The value of a formula of a graph at a binding of its free symbols.
pub(crate) fn at(
    graph: &Graph,
    formula: &Poly,
    pairs: &[(&str, i64)],
) -> Result<Integer, VerifyError> {
    let complete = graph.complete(&binding(pairs)).map_err(opledger_interp::RunError::from)?;
    let value = formula.at(&complete).map_err(opledger_ir::BindingError::from);
    Ok(value.map_err(opledger_interp::RunError::from)?)
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
        let worst = if findings.iter().any(|(_, f)| f.verdict == Verdict::Refuted) {
            Verdict::Refuted
        } else if findings.iter().any(|(_, f)| f.verdict == Verdict::HoldsUnderConvention) {
            Verdict::HoldsUnderConvention
        } else {
            Verdict::Holds
        };
        Finding {
            verdict: worst,
            convention: findings.iter().find_map(|(_, f)| f.convention.clone()),
            claimed: join(|f| &f.claimed),
            derived: join(|f| &f.derived),
            measured: findings.iter().map(|(_, f)| f.measured.clone()).next().unwrap_or_default(),
            note: String::new(),
            details: findings
                .iter()
                .flat_map(|(name, f)| {
                    let head = format!("{name}: {} ({})", f.verdict.name(), f.measured);
                    std::iter::once(head).chain(f.details.iter().map(|d| format!("  {d}")))
                })
                .collect(),
            settled: findings.iter().all(|(_, f)| f.settled),
        }
    }
}
