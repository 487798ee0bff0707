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

/// The claims whose experiments take other tokens.
const EXPERIMENTS: [&str; 2] = ["B5", "B6"];

/// Claims by what they are about.
const TOPICS: [(&str, &[&str]); 1] = [("permutation", &EXPERIMENTS)];

/// The claims of some names, in small letters or capitals, or of what they are about (`permutation`); all when none
/// is named.
///
/// # Errors
/// When a name is unknown.
pub fn claims_named(ids: &[String]) -> Result<Vec<&'static Claim>, VerifyError> {
    let has = |claim: &Claim, id: &String| {
        let topic = TOPICS.iter().find(|(name, _)| name.eq_ignore_ascii_case(id));
        claim.id.eq_ignore_ascii_case(id)
            || topic.is_some_and(|(_, claims)| claims.contains(&claim.id))
    };
    if let Some(id) = ids.iter().find(|id| !ALL.iter().any(|claim| has(claim, id))) {
        let ids = || ALL.iter().map(|claim| claim.id);
        let topics = || TOPICS.iter().map(|(name, _)| *name);
        let nearest = nearest(&id.to_ascii_uppercase(), ids())
            .or_else(|| nearest(&id.to_ascii_lowercase(), topics()));
        let known = ids().chain(topics()).collect::<Vec<_>>().join(", ");
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
    if options.own.is_any()
        && let Some(other) = claims.iter().find(|claim| !EXPERIMENTS.contains(&claim.id))
    {
        let (other, known) = (other.id, EXPERIMENTS.join(", "));
        return Err(VerifyError::NoExperiment { other, known });
    }
    let mut trials = Trials::new(options.quick, Witness::HONEST, progress);
    trials.own = options.own;
    let claims = claims.into_iter().map(|claim| settled(claim, &mut trials));
    let claims = claims.collect::<Result<Vec<_>, _>>()?;
    let (theorem, moved) = (trials.theorem(), std::mem::take(&mut trials.moved));
    Ok(Report { claims, theorem, moved })
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
