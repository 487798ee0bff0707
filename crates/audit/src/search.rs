//! Searches: which sizes of an unknown make a column's cells round to what is printed.

use opledger_dims::{Binding, Integer, Poly, Symbol};
use opledger_report::{AuditedSearch, SearchedRow};

use crate::TableProblem;
use crate::number::{Fraction, Printed, whole};
use crate::quantity::Cells;
use crate::reading::Reading;

/// The whole numbers from the first to the second.
type Interval = (Integer, Integer);

/// Sizes of the unknown for each row, and those that most rows share.
pub(crate) fn search(
    reading: &Reading,
    unknown: &str,
    rows: &[(String, Cells, Printed)],
) -> Result<AuditedSearch, TableProblem> {
    let mut searched = Vec::new();
    for (name, row, printed) in rows {
        let found =
            interval(reading, unknown, row, printed).map_err(|e| e.of(format!("row `{name}`")))?;
        searched.push((name.clone(), found));
    }
    let intervals: Vec<&Interval> = searched.iter().filter_map(|(_, i)| i.as_ref()).collect();
    // The most intervals overlap where one of them begins.
    let holds = |at: &Integer| intervals.iter().filter(|(from, to)| from <= at && at <= to).count();
    let begins = intervals.iter().map(|(from, _)| from);
    let best = begins.max_by_key(|at| (holds(at), std::cmp::Reverse((*at).clone())));
    let shared = best.and_then(|at| {
        let sharing = intervals.iter().filter(|(from, to)| from <= at && at <= to);
        let from = sharing.clone().map(|(from, _)| from).max()?;
        let to = sharing.map(|(_, to)| to).min()?;
        Some((from.clone(), to.clone()))
    });
    let within = |found: &Option<Interval>| match (found, &shared) {
        (Some((from, to)), Some((a, b))) => from <= a && b <= to,
        _ => false,
    };
    let row = |(row, found): (String, Option<Interval>)| SearchedRow {
        shares: within(&found),
        row,
        found,
    };
    Ok(AuditedSearch {
        unknown: unknown.to_owned(),
        reading: reading.name.clone(),
        shared: shared.clone(),
        rows: searched.into_iter().map(row).collect(),
    })
}

/// The whole sizes for which a cell agrees; the value has to grow with the unknown, linearly.
fn interval(
    reading: &Reading,
    unknown: &str,
    row: &Cells,
    printed: &Printed,
) -> Result<Option<Interval>, TableProblem> {
    let (value, over) = reading.ratio(row)?;
    let symbol = Symbol::new(unknown);
    let at = |size: i64| -> Result<Integer, TableProblem> {
        let poly: Poly = value.bind(&Binding::new().with(&symbol, size));
        whole(&poly)
    };
    let (base, slope) = (at(0)?, at(1)? - at(0)?);
    let over = whole(&over)?;
    if value.degree_in(&symbol) != 1 || slope <= Integer::from(0) || over <= Integer::from(0) {
        return Err(TableProblem::NotLinear { value, unknown: unknown.to_owned() });
    }
    // base + slope·v = over·bound
    let root = |bound: Fraction| {
        let numerator = bound.numerator * &over - &base * &bound.denominator;
        Fraction::new(numerator, &slope * bound.denominator)
    };
    let (least, greatest) = (root(printed.with_halves(-1)), root(printed.with_halves(1)));
    let least = Fraction::new(-least.numerator, least.denominator);
    let (from, to) = (-least.floor(), greatest.floor());
    Ok((from <= to).then_some((from, to)))
}
