//! The run that settles claims.

use opledger_dims::nearest;
use opledger_interp::Theorem;

use crate::bench::Trials;
use crate::claim::{Claim, Options, Report, SettledClaim};
use crate::claims::ALL;
use crate::error::VerifyError;

/// Every claim, in order.
pub fn claims() -> &'static [Claim] {
    ALL
}

/// The claims of some names, in small letters or capitals; all when none is named.
///
/// # Errors
/// When a name is unknown.
pub fn claims_named(ids: &[String]) -> Result<Vec<&'static Claim>, VerifyError> {
    let has = |claim: &Claim, id: &String| claim.id.eq_ignore_ascii_case(id);
    if let Some(id) = ids.iter().find(|id| !ALL.iter().any(|claim| has(claim, id))) {
        let nearest = nearest(&id.to_ascii_uppercase(), ALL.iter().map(|claim| claim.id));
        let known = ALL.iter().map(|claim| claim.id).collect::<Vec<_>>().join(", ");
        return Err(VerifyError::Unknown { id: id.clone(), nearest, known });
    }
    let wanted = |claim: &&Claim| ids.is_empty() || ids.iter().any(|id| has(claim, id));
    Ok(ALL.iter().filter(wanted).collect())
}

/// Settles the claims named, or all when none is named. `progress` hears of each before it is tried.
///
/// # Errors
/// When a name is unknown or an execution fails.
pub fn settle(
    ids: &[String],
    options: Options,
    progress: &mut dyn FnMut(&str),
) -> Result<Report, VerifyError> {
    let claims = claims_named(ids)?;
    let mut bench = Trials { quick: options.quick, progress, theorem: Theorem::default() };
    let mut settled = Vec::new();
    for claim in claims {
        (bench.progress)(claim.id);
        let finding = (claim.settle)(&mut bench)?;
        settled.push(SettledClaim {
            id: claim.id,
            source: claim.source,
            statement: claim.statement.to_owned(),
            verdict: finding.verdict,
            convention: finding.convention,
            claimed: finding.claimed,
            derived: finding.derived,
            measured: finding.measured,
            note: finding.note,
            details: finding.details,
            settled: finding.settled,
        });
    }
    Ok(Report { claims: settled, theorem: bench.theorem })
}
