//! The run that settles claims.

use opledger_dims::nearest;

use crate::bench::{Trials, Witness};
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
    let mut trials = Trials::new(options.quick, Witness::HONEST, progress);
    let claims = claims.into_iter().map(|claim| settled(claim, &mut trials));
    let claims = claims.collect::<Result<_, _>>()?;
    Ok(Report { claims, theorem: trials.theorem() })
}

/// One claim with its verdict.
pub(crate) fn settled(claim: &Claim, trials: &mut Trials<'_>) -> Result<SettledClaim, VerifyError> {
    (trials.progress)(claim.id);
    let finding = (claim.settle)(trials)?;
    Ok(SettledClaim {
        id: claim.id,
        source: claim.source,
        statement: claim.statement.to_owned(),
        verdict: finding.verdict,
        basis: finding.basis,
        convention: finding.convention,
        claimed: finding.claimed,
        derived: finding.derived,
        evidence: finding.evidence,
        note: finding.note,
        details: finding.details,
        agrees: finding.agrees,
    })
}
