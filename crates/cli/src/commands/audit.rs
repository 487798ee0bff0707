//! `opledger audit`: published tables and formulas, recomputed.

use opledger_audit::{PublishedTable, audit, table_names};
use opledger_charts::{LineChart, Series};
use opledger_report::{Audit, AuditedSeries, AuditedTable};

use crate::args::AuditArgs;
use crate::destination::Destination;
use crate::failure::Failure;
use crate::input::read_text;
use crate::output;

pub(crate) fn execute(args: &AuditArgs) -> Result<(), Failure> {
    let svg = args.svg.as_deref().map(Destination::new).transpose()?;
    let names = match args.tables.is_empty() {
        true => table_names().collect(),
        false => args.tables.iter().map(String::as_str).collect::<Vec<_>>(),
    };
    let tables = names.into_iter().map(settle).collect::<Result<Vec<_>, _>>()?;
    if let Some(destination) = svg {
        destination.write_text(&draw(&tables)?)?;
    }
    output::show(&Audit { tables, details: !args.tables.is_empty() }, args.format)
}

/// The table of a name, or of a file.
fn settle(name: &str) -> Result<AuditedTable, Failure> {
    if !name.ends_with(".json") {
        return Ok(audit(name)?);
    }
    let problem = |problem| Failure::Table { path: name.into(), problem };
    let text = read_text(name.as_ref()).map_err(problem)?;
    Ok(PublishedTable::read(name, &text)?.settle()?)
}

/// The errors of the first rule of these tables.
fn draw(tables: &[AuditedTable]) -> Result<String, Failure> {
    let rules =
        || tables.iter().flat_map(|table| table.rules.iter().map(move |rule| (table, rule)));
    let (table, rule) = rules().next().ok_or_else(|| {
        let with = |name: &&str| opledger_audit::table(name).is_ok_and(|table| table.has_rules());
        Failure::NoRule { known: table_names().filter(with).collect::<Vec<_>>().join(", ") }
    })?;
    let line = |series: &AuditedSeries| Series {
        name: series.name.clone(),
        points: series.points.iter().map(|(size, error)| (*size as f64, *error)).collect(),
    };
    let chart = LineChart {
        title: format!("opledger audit {}: {}", table.id, rule.name),
        subtitle: rule.states.clone(),
        x: rule.symbol.clone(),
        y: "percent above what is exact".to_owned(),
        series: rule.series.iter().map(line).collect(),
    };
    Ok(chart.svg()?)
}
