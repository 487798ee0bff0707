//! A model as the tools of a framework count it.

use opledger_conventions::{
    Convention, ConventionError, Explanation, Share, Tally, Units, convention, convention_names,
    dialect, explain_tallies,
};
use opledger_dims::{EvalError, Integer};
use opledger_report::{
    ConventionCounts, ConventionRefusal, ConventionTotal, Explained, ExplainedLine, UnitCounts,
};

use crate::steps::is_framework;
use crate::{AccountError, ModelReference, SizedModel};

/// A model at sizes, read once as what tools see of it, and counted by conventions.
pub struct ConventionCounter<'a> {
    sized: &'a SizedModel<'a>,
    units: Units,
    /// How the model is written.
    written: String,
    mended: Vec<String>,
}

/// The way of writing that is usual for a model.
pub(crate) fn usual(sized: &SizedModel<'_>) -> &'static str {
    let model = sized.model();
    let kind = model.name().split(':').next().unwrap_or_default().trim();
    match (model.reference(), kind) {
        (ModelReference::Config { .. }, _) => "transformers",
        #[cfg(feature = "files")]
        (ModelReference::Gguf { .. }, _) => "transformers",
        (_, "vit-attention" | "window-attention") => "timm",
        (_, "self-attention") => "plain",
        _ => "torch.nn",
    }
}

impl SizedModel<'_> {
    /// The number that a convention gives, such as `fvcore` or `thop`; of a model written as usual.
    ///
    /// # Errors
    /// When there is no such convention, or it has no rule for a call of the model.
    pub fn convention(&self, name: &str) -> Result<Integer, AccountError> {
        if is_framework(name) {
            return Ok(self.step(name)?.values().map(|part| &part.count).sum());
        }
        self.convention_counter(None, &[])?.total(name)
    }

    /// Why two conventions give different numbers, line by line, until nothing is left of their
    /// difference.
    ///
    /// # Errors
    /// As [`SizedModel::convention`].
    pub fn explain(&self, first: &str, second: &str) -> Result<Explained, AccountError> {
        self.explained_by(first, second, None, &[])
    }

    /// The model as the tools of a framework see it: written in the way of a name, what is usual for
    /// the model if none, and with some bugs of the tools mended.
    ///
    /// # Errors
    /// When there is no such way of writing, or a size is unbound.
    pub fn convention_counter(
        &self,
        written: Option<&str>,
        mended: &[String],
    ) -> Result<ConventionCounter<'_>, AccountError> {
        ConventionCounter::new(self, written, mended)
    }
}

impl<'a> ConventionCounter<'a> {
    /// Reads a model as tools do.
    pub(crate) fn new(
        sized: &'a SizedModel<'a>,
        way: Option<&str>,
        mended: &[String],
    ) -> Result<Self, AccountError> {
        let mended = mended.to_vec();
        #[cfg(feature = "files")]
        if let Some(observations) = sized.model().reference().observations() {
            if way.is_some() {
                return Err(AccountError::Recorded { model: sized.model().name().to_owned() });
            }
            let units = Units::observed(sized.graph(), sized.sizes(), observations)?;
            let written = "its program has it (the calls that torch.export recorded)".to_owned();
            return Ok(ConventionCounter { sized, units, written, mended });
        }
        let dialect = dialect(way.unwrap_or_else(|| usual(sized)))?;
        let units = Units::new(sized.graph(), sized.sizes(), &dialect)?;
        let written = format!("{} ({})", dialect.name, dialect.of);
        Ok(ConventionCounter { sized, units, written, mended })
    }

    /// A convention, without the bugs that are to be mended and that it has.
    fn convention(&self, name: &str) -> Result<Convention, AccountError> {
        let found = convention(name, &[])?;
        let own = |bug: &&String| found.bugs.iter().any(|own| own.name == **bug);
        let mended: Vec<String> = self.mended.iter().filter(own).cloned().collect();
        if mended.is_empty() { Ok(found) } else { Ok(convention(name, &mended)?) }
    }

    /// What a convention counts.
    fn tally(&self, convention: &Convention) -> Result<Tally, AccountError> {
        let tally = Tally::new(convention, &self.units);
        if let Err(ConventionError::Size(EvalError::Unbound(_))) = tally {
            self.sized.model().check_bound(self.sized.sizes(), |_| true)?;
        }
        Ok(tally?)
    }

    /// Refuses a convention of the backward pass for a program, which has none.
    fn check_forward(&self, convention: &Convention) -> Result<(), AccountError> {
        #[cfg(feature = "files")]
        if convention.backward && self.sized.model().reference().program().is_some() {
            let model = self.sized.model().name().to_owned();
            return Err(AccountError::Forward { convention: convention.name.clone(), model });
        }
        Ok(())
    }

    /// Conventions by their names, and why some of them refuse; `all` is every one of the forward pass,
    /// of which those that refuse are apart.
    fn conventions(
        &self,
        names: &[String],
    ) -> Result<(Vec<Convention>, Vec<ConventionRefusal>), AccountError> {
        let all = names.iter().any(|name| name == "all");
        let names: Vec<&str> = match all {
            true => convention_names().collect(),
            false => names.iter().map(String::as_str).collect(),
        };
        let mut found: Vec<Convention> =
            names.into_iter().map(|name| self.convention(name)).collect::<Result<_, _>>()?;
        let mut refused = Vec::new();
        if all {
            found.retain(|convention| !convention.backward);
            found.retain(|convention| {
                let error = Tally::new(convention, &self.units).err();
                let refusal = error.filter(ConventionError::is_refusal);
                refused.extend(refusal.as_ref().map(|error| ConventionRefusal {
                    name: convention.name.clone(),
                    reason: error.to_string(),
                }));
                refusal.is_none()
            });
        }
        for one in &found {
            self.check_forward(one)?;
        }
        for bug in &self.mended {
            if !found.iter().any(|one| convention_has(one, bug)) {
                let first = found.first().map_or("macs", |one| one.name.as_str());
                convention(first, std::slice::from_ref(bug))?;
            }
        }
        Ok((found, refused))
    }

    /// The numbers of some conventions, each or why it gives none for the model.
    ///
    /// # Errors
    /// What is no refusal, such as a size that is unbound.
    pub(crate) fn totals(
        &self,
        conventions: &[Convention],
    ) -> Result<Vec<Result<Integer, String>>, AccountError> {
        let total = |convention: &Convention| match self.tally(convention) {
            Ok(tally) => Ok(Ok(tally.total())),
            Err(AccountError::Convention(error)) if error.is_refusal() => {
                Ok(Err(error.to_string()))
            }
            Err(error) => Err(error),
        };
        conventions.iter().map(total).collect()
    }

    /// The number of one convention.
    ///
    /// # Errors
    /// When there is no such convention, or it has no rule for a call of the model.
    pub fn total(&self, name: &str) -> Result<Integer, AccountError> {
        let convention = self.convention(name)?;
        self.check_forward(&convention)?;
        Ok(self.tally(&convention)?.total())
    }

    /// The numbers of some conventions, module by module; `all` is every one of the forward pass.
    ///
    /// # Errors
    /// As [`ConventionCounter::total`], and when none of them has a bug that is to be mended.
    pub fn count(&self, names: &[String]) -> Result<ConventionCounts, AccountError> {
        let (conventions, refused) = self.conventions(names)?;
        let tallies: Vec<Tally> = conventions
            .iter()
            .map(|convention| self.tally(convention))
            .collect::<Result<_, _>>()?;
        let total = |(convention, tally): (&Convention, &Tally)| ConventionTotal {
            name: convention.name.clone(),
            unit: convention.unit.clone(),
            total: tally.total(),
        };
        let counts = |(at, unit): (usize, &opledger_conventions::Unit)| UnitCounts {
            path: unit.path.clone(),
            class: unit.class.as_ref().map(|class| class.to_string()),
            counts: tallies.iter().map(|tally| tally.of_unit(at)).collect(),
        };
        let units = self.units.units.iter().enumerate().map(counts);
        let zero = Integer::default();
        Ok(ConventionCounts {
            model: self.sized.model().name().to_owned(),
            binding: self.sized.sizes().clone(),
            written: self.written.clone(),
            conventions: conventions.iter().zip(&tallies).map(total).collect(),
            refused,
            units: units.filter(|unit| unit.counts.iter().any(|n| *n != zero)).collect(),
        })
    }

    /// Why two conventions differ.
    ///
    /// # Errors
    /// As [`ConventionCounter::count`].
    pub fn explain(&self, first: &str, second: &str) -> Result<Explained, AccountError> {
        let names = [first.to_owned(), second.to_owned()];
        let (conventions, _) = self.conventions(&names)?;
        let [a, b] = &conventions[..] else {
            return Err(AccountError::TwoConventions);
        };
        if a.name == b.name && first != "all" {
            return Err(AccountError::OneConvention { name: first.to_owned() });
        }
        let explanation = explain_tallies([&self.tally(a)?, &self.tally(b)?], &self.units);
        Ok(explained(self.sized, &self.written, [&a.unit, &b.unit], &explanation))
    }
}

/// An explanation, told of a model.
pub(crate) fn explained(
    sized: &SizedModel<'_>,
    written: &str,
    units: [&String; 2],
    explanation: &Explanation,
) -> Explained {
    let total = |at: usize| ConventionTotal {
        name: explanation.conventions[at].0.clone(),
        unit: units[at].clone(),
        total: explanation.conventions[at].1.clone(),
    };
    let line = |line: &opledger_conventions::Line| ExplainedLine {
        what: what(line.share, line.of.as_deref()),
        difference: line.difference(),
        first: line.first.clone(),
        second: line.second.clone(),
        reason: line.reason.clone(),
    };
    Explained {
        model: sized.model().name().to_owned(),
        binding: sized.sizes().clone(),
        written: written.to_owned(),
        conventions: [total(0), total(1)],
        difference: &explanation.conventions[0].1 - &explanation.conventions[1].1,
        lines: explanation.lines.iter().map(line).collect(),
        agreed: explanation.agreed.clone(),
        unaccounted: explanation.unaccounted(),
        notes: explanation.notes.clone(),
    }
}

fn convention_has(convention: &Convention, bug: &str) -> bool {
    convention.bugs.iter().any(|own| own.name == bug)
}

fn what(share: Share, of: Option<&str>) -> String {
    match (share, of) {
        (Share::Other, Some(operations)) => operations.to_owned(),
        (share, Some(class)) => format!("{share} in {class}"),
        (share, None) => share.to_string(),
    }
}
