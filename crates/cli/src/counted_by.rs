//! A model as tools count it.

use opledger_conventions::{
    Convention, Share, Tally, Units, convention, convention_names, explain, written,
};
use opledger_dims::{Binding, Integer};
use opledger_report::{ConventionCounts, ConventionTotal, Explained, ExplainedLine, UnitCounts};

use crate::args::WatchedArgs;
use crate::failure::Failure;
use crate::found::Found;
use crate::subject::Subject;

/// A model as the tools watch it.
pub(crate) struct Watched<'a> {
    model: &'a str,
    binding: &'a Binding,
    units: Units,
    /// How the model is written.
    written: String,
    without: &'a [String],
}

/// The way of writing that is usual for a model.
fn usual(found: &Found, model: &str) -> &'static str {
    let kind = model.split(':').next().unwrap_or_default().trim();
    match (found, kind) {
        (Found::Config { .. }, _) => "transformers",
        (_, "vit-attention" | "window-attention") => "timm",
        (_, "self-attention") => "plain",
        _ => "torch.nn",
    }
}

impl<'a> Watched<'a> {
    /// Reads a model as tools do.
    pub(crate) fn new(
        found: &Found,
        subject: &'a Subject,
        args: &'a WatchedArgs,
    ) -> Result<Self, Failure> {
        let way = args.written.as_deref().unwrap_or_else(|| usual(found, &subject.name));
        let written = written(way)?;
        let units = Units::new(&subject.graph, &subject.binding, &written)?;
        Ok(Watched {
            model: &subject.name,
            binding: &subject.binding,
            units,
            written: format!("{} ({})", written.name, written.of),
            without: &args.without,
        })
    }

    /// A convention, without the bugs that are to be mended and that it has.
    fn convention(&self, name: &str) -> Result<Convention, Failure> {
        let found = convention(name, &[])?;
        let own = |bug: &&String| found.bugs.iter().any(|own| own.name == **bug);
        let mended: Vec<String> = self.without.iter().filter(own).cloned().collect();
        if mended.is_empty() { Ok(found) } else { Ok(convention(name, &mended)?) }
    }

    /// Conventions by their names; `all` is every one of the forward pass.
    fn conventions(&self, names: &[String]) -> Result<Vec<Convention>, Failure> {
        let all = names.iter().any(|name| name == "all");
        let names: Vec<&str> = match all {
            true => convention_names().collect(),
            false => names.iter().map(String::as_str).collect(),
        };
        let mut found: Vec<Convention> =
            names.into_iter().map(|name| self.convention(name)).collect::<Result<_, _>>()?;
        found.retain(|convention| !all || !convention.backward);
        for bug in self.without {
            if !found.iter().any(|one| convention_has(one, bug)) {
                let first = found.first().map_or("macs", |one| one.name.as_str());
                convention(first, std::slice::from_ref(bug))?;
            }
        }
        Ok(found)
    }

    /// The number of one convention.
    pub(crate) fn total(&self, name: &str) -> Result<Integer, Failure> {
        Ok(Tally::new(&self.convention(name)?, &self.units)?.total())
    }

    /// The numbers of some conventions, module by module.
    pub(crate) fn count(&self, names: &[String]) -> Result<ConventionCounts, Failure> {
        let conventions = self.conventions(names)?;
        let tallies: Vec<Tally> = conventions
            .iter()
            .map(|convention| Tally::new(convention, &self.units))
            .collect::<Result<_, _>>()?;
        let total = |(convention, tally): (&Convention, &Tally)| ConventionTotal {
            name: convention.name.clone(),
            unit: convention.unit.clone(),
            total: tally.total(),
        };
        let counts = |(at, unit): (usize, &opledger_conventions::Unit)| UnitCounts {
            path: unit.path.clone(),
            class: unit.class.map(str::to_owned),
            counts: tallies.iter().map(|tally| tally.of_unit(at)).collect(),
        };
        let units = self.units.units.iter().enumerate().map(counts);
        let zero = Integer::default();
        Ok(ConventionCounts {
            model: self.model.to_owned(),
            binding: self.binding.clone(),
            written: self.written.clone(),
            conventions: conventions.iter().zip(&tallies).map(total).collect(),
            units: units.filter(|unit| unit.counts.iter().any(|n| *n != zero)).collect(),
        })
    }

    /// Why two conventions differ.
    pub(crate) fn explain(&self, first: &str, second: &str) -> Result<Explained, Failure> {
        let names = [first.to_owned(), second.to_owned()];
        let conventions = self.conventions(&names)?;
        let [a, b] = &conventions[..] else {
            return Err(opledger_conventions::ConventionError::Malformed {
                file: "explain".to_owned(),
                problem: "takes two conventions, not `all`".to_owned(),
            }
            .into());
        };
        let explanation = explain(a, b, &self.units)?;
        let total = |at: usize| ConventionTotal {
            name: explanation.conventions[at].0.clone(),
            unit: conventions[at].unit.clone(),
            total: explanation.conventions[at].1.clone(),
        };
        let line = |line: &opledger_conventions::Line| ExplainedLine {
            what: what(line.share, line.module),
            difference: line.difference(),
            first: line.first.clone(),
            second: line.second.clone(),
            reason: line.reason.clone(),
        };
        Ok(Explained {
            model: self.model.to_owned(),
            binding: self.binding.clone(),
            written: self.written.clone(),
            conventions: [total(0), total(1)],
            difference: &explanation.conventions[0].1 - &explanation.conventions[1].1,
            lines: explanation.lines.iter().map(line).collect(),
            agreed: explanation.agreed.clone(),
            unaccounted: explanation.unaccounted(),
            notes: explanation.notes.clone(),
        })
    }
}

fn convention_has(convention: &Convention, bug: &str) -> bool {
    convention.bugs.iter().any(|own| own.name == bug)
}

fn what(share: Share, module: Option<&'static str>) -> String {
    match module {
        Some(class) => format!("{share} in {class}"),
        None => share.to_string(),
    }
}
