//! `opledger verify`: settles claims by execution.

use std::process::ExitCode;

use opledger_report::{ClaimList, ClaimRecord, SettledRecord, VerdictRecord, Verification};
use opledger_verify::{Claim, SettledClaim, Verdict};
use opledger_verify::{Options, claims_named, settle};

use crate::args::VerifyArgs;
use crate::commands::run::theorem_record;
use crate::failure::Failure;
use crate::output;
use crate::progress::Notes;

pub(crate) fn execute(args: &VerifyArgs) -> Result<ExitCode, Failure> {
    if args.list {
        output::show(&listed(claims_named(&args.ids)?), args.format)?;
        return Ok(ExitCode::SUCCESS);
    }
    let notes = Notes::new();
    let options = Options { quick: args.quick };
    let report = settle(&args.ids, options, &mut |text| notes.say(text))?;
    drop(notes);
    let complete = report.complete();
    let settled = |claim: SettledClaim| SettledRecord {
        id: claim.id.to_owned(),
        source: claim.source.to_owned(),
        statement: claim.statement,
        verdict: verdict(claim.verdict),
        convention: claim.convention,
        claimed: claim.claimed,
        derived: claim.derived,
        measured: claim.measured,
        note: claim.note,
        settled: claim.settled,
        details: if args.details { claim.details } else { Vec::new() },
    };
    let record = Verification {
        theorem: theorem_record(&report.theorem),
        claims: report.claims.into_iter().map(settled).collect(),
    };
    output::show(&record, args.format)?;
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn verdict(verdict: Verdict) -> VerdictRecord {
    match verdict {
        Verdict::Holds => VerdictRecord::Holds,
        Verdict::HoldsUnderConvention => VerdictRecord::HoldsUnderConvention,
        Verdict::Refuted => VerdictRecord::Refuted,
    }
}

fn listed(claims: Vec<&Claim>) -> ClaimList {
    let claim = |claim: &Claim| ClaimRecord {
        id: claim.id.to_owned(),
        source: claim.source.to_owned(),
        statement: claim.statement.to_owned(),
    };
    ClaimList { claims: claims.into_iter().map(claim).collect() }
}
