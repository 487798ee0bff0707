//! `opledger verify`: settles claims by execution.

use std::process::ExitCode;

use opledger_dims::nearest;
use opledger_report::{Claim, ClaimList, Settled, Verdict, Verification};
use opledger_verify::{Options, claims, settle};

use crate::args::VerifyArgs;
use crate::commands::run::theorem_record;
use crate::failure::Failure;
use crate::output;
use crate::progress::Notes;

pub(crate) fn execute(args: &VerifyArgs) -> Result<ExitCode, Failure> {
    check_ids(&args.ids)?;
    if args.list {
        output::show(&listed(&args.ids), args.format)?;
        return Ok(ExitCode::SUCCESS);
    }
    let notes = Notes::new();
    let options = Options { quick: args.quick };
    let report = settle(&args.ids, options, &mut |text| notes.say(text))?;
    drop(notes);
    let complete = report.complete();
    let settled = |claim: opledger_verify::Settled| Settled {
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

fn verdict(verdict: opledger_verify::Verdict) -> Verdict {
    match verdict {
        opledger_verify::Verdict::Holds => Verdict::Holds,
        opledger_verify::Verdict::HoldsUnderConvention => Verdict::HoldsUnderConvention,
        opledger_verify::Verdict::Refuted => Verdict::Refuted,
    }
}

/// Refuses an id that no claim has, naming the nearest.
fn check_ids(ids: &[String]) -> Result<(), Failure> {
    let known = |id: &&String| claims().iter().any(|claim| claim.id.eq_ignore_ascii_case(id));
    let Some(id) = ids.iter().find(|id| !known(id)) else { return Ok(()) };
    let nearest = nearest(&id.to_ascii_uppercase(), claims().iter().map(|claim| claim.id));
    let known = claims().iter().map(|claim| claim.id).collect::<Vec<_>>().join(", ");
    Err(Failure::Claim { id: id.clone(), nearest, known })
}

fn listed(ids: &[String]) -> ClaimList {
    let wanted = |id: &str| ids.is_empty() || ids.iter().any(|i| i.eq_ignore_ascii_case(id));
    let claims = claims().iter().filter(|claim| wanted(claim.id));
    let claim = |claim: &opledger_verify::Claim| Claim {
        id: claim.id.to_owned(),
        source: claim.source.to_owned(),
        statement: claim.statement.to_owned(),
    };
    ClaimList { claims: claims.map(claim).collect() }
}
