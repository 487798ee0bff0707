//! `opledger verify`: settles claims by execution.

use std::process::ExitCode;

use opledger_charts::{Bar, BarChart};
use opledger_dims::Symbol;
use opledger_report::{
    BasisRecord, ClaimList, ClaimRecord, SettledRecord, VerdictRecord, Verification,
};
use opledger_verify::{
    Basis, Claim, MovedOutput, Options, OwnExperiment, Report, SettledClaim, Verdict, claims_named,
    settle,
};

use crate::args::VerifyArgs;
use crate::commands::run::theorem_record;
use crate::destination::Destination;
use crate::failure::Failure;
use crate::output;
use crate::progress::Notes;
use crate::sizes::binding;
use crate::threads;

pub(crate) fn execute(args: &VerifyArgs) -> Result<ExitCode, Failure> {
    if args.list {
        output::show(&listed(claims_named(&args.ids)?), args.format)?;
        return Ok(ExitCode::SUCCESS);
    }
    threads::start(None)?;
    let notes = Notes::new();
    let destination = args.svg.as_deref().map(Destination::new).transpose()?;
    let options = Options { quick: args.quick, own: args.own()? };
    let report = settle(&args.ids, options, &mut |text| notes.say(text))?;
    drop(notes);
    if let Some(destination) = destination {
        destination.write_text(&drawn(&report.moved)?)?;
    }
    conclude(report, args)
}

/// How far outputs moved, as bars.
fn drawn(moved: &[MovedOutput]) -> Result<String, Failure> {
    let bar = |of: &MovedOutput| Bar {
        label: of.name.clone(),
        value: of.moved,
        text: format!("{:.1e}", of.moved),
        marked: of.moved < 1e-5,
    };
    let title = "how far outputs of attention move with the order of its tokens".to_owned();
    let subtitle = "two tokens exchanged: how far output 1 moves; orders: outputs against those of their tokens; green: rounding alone".to_owned();
    Ok(BarChart { title, subtitle, bars: moved.iter().map(bar).collect() }.svg()?)
}

impl VerifyArgs {
    /// The experiment that is asked for.
    fn own(&self) -> Result<OwnExperiment, Failure> {
        let sizes = binding(&self.sizes)?;
        let mut own = OwnExperiment { seed: self.seed, ..OwnExperiment::default() };
        let [n, c, h] = ["n", "c", "h"].map(Symbol::from);
        for (symbol, size) in sizes.iter() {
            let parts = [(&n, &mut own.tokens), (&c, &mut own.width), (&h, &mut own.heads)];
            let Some((_, part)) = parts.into_iter().find(|(known, _)| *known == symbol) else {
                return Err(Failure::ExperimentSize { symbol: symbol.clone() });
            };
            *part = Some(usize::try_from(size).unwrap_or(usize::MAX));
        }
        Ok(own)
    }
}

/// Shows what became of claims; the exit code says whether executions and derivations agree.
fn conclude(report: Report, args: &VerifyArgs) -> Result<ExitCode, Failure> {
    let agrees = report.agrees();
    // Who chooses an experiment asks for its numbers.
    let details = args.details || args.own()?.is_any();
    output::show(&record(report, details), args.format)?;
    Ok(if agrees { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn record(report: Report, details: bool) -> Verification {
    let settled = |claim: SettledClaim| SettledRecord {
        id: claim.id.to_owned(),
        source: claim.source.name.to_owned(),
        address: claim.source.address.map(str::to_owned),
        settled: claim.settled(),
        statement: claim.statement,
        verdict: verdict(claim.verdict),
        basis: basis(claim.basis),
        convention: claim.convention,
        claimed: claim.claimed,
        derived: claim.derived,
        evidence: claim.evidence,
        note: claim.note,
        details: if details { claim.details } else { Vec::new() },
    };
    Verification {
        theorem: theorem_record(&report.theorem),
        claims: report.claims.into_iter().map(settled).collect(),
        details,
    }
}

fn verdict(verdict: Verdict) -> VerdictRecord {
    match verdict {
        Verdict::Holds => VerdictRecord::Holds,
        Verdict::HoldsUnderConvention => VerdictRecord::HoldsUnderConvention,
        Verdict::Refuted => VerdictRecord::Refuted,
        Verdict::NotRun => VerdictRecord::NotRun,
    }
}

fn basis(basis: Basis) -> BasisRecord {
    match basis {
        Basis::Executed => BasisRecord::Executed,
        Basis::Derived => BasisRecord::Derived,
        Basis::Definition => BasisRecord::Definition,
    }
}

fn listed(claims: Vec<&Claim>) -> ClaimList {
    let claim = |claim: &Claim| ClaimRecord {
        id: claim.id.to_owned(),
        source: claim.source.name.to_owned(),
        address: claim.source.address.map(str::to_owned),
        statement: claim.statement.to_owned(),
    };
    ClaimList { claims: claims.into_iter().map(claim).collect() }
}

#[cfg(test)]
mod tests {
    use opledger_report::{Format, Style, render};

    use super::*;

    /// The exit code of a report, as [`conclude`] gives it.
    fn code(report: Report) -> ExitCode {
        let args = VerifyArgs {
            ids: Vec::new(),
            list: false,
            quick: false,
            details: true,
            sizes: Vec::new(),
            seed: None,
            svg: None,
            format: Format::Json,
        };
        conclude(report, &args).unwrap()
    }

    #[test]
    fn the_exit_code_says_whether_executions_and_derivations_agree() {
        let honest = settle(&["e7".into(), "d1".into()], Options::default(), &mut |_| {}).unwrap();
        assert_eq!(honest.claims[0].verdict, Verdict::Refuted);
        assert_eq!(code(honest.clone()), ExitCode::SUCCESS, "a refuted claim is no disagreement");
        let mut left_out = honest.clone();
        left_out.claims[0].verdict = Verdict::NotRun;
        assert_eq!(code(left_out), ExitCode::SUCCESS);
        let mut claim_disagrees = honest.clone();
        claim_disagrees.claims[0].agrees = false;
        assert_eq!(code(claim_disagrees), ExitCode::FAILURE);
    }

    #[test]
    fn what_was_not_run_is_said_and_counted() {
        let mut report = settle(&["e7".into()], Options::default(), &mut |_| {}).unwrap();
        report.claims[0].verdict = Verdict::NotRun;
        let record = record(report, false);
        for (format, told) in [
            (Format::Table, "not run: 1"),
            (Format::Json, "\"not-run\""),
            (Format::Csv, "not-run"),
            (Format::Markdown, "not run"),
        ] {
            let shown = render(&record, format, Style::plain()).unwrap();
            assert!(shown.contains(told), "{shown}");
        }
    }
}
