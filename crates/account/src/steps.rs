//! What frameworks say a training step of a model costs.

use std::collections::BTreeSet;

use opledger_conventions::ConventionError;
use opledger_conventions::framework::{
    CountedParts, DescribedDecoder, DescribedSizes, FormulaWork, Framework, PartCount, framework,
    framework_names, part_names,
};
use opledger_dims::{Binding, Integer, Quantity, Symbol};
use opledger_ir::{ModuleClass, SizeRole};
use opledger_models::NamedSizes;
use opledger_report::{ConventionCounts, ConventionTotal, Explained, ExplainedLine, UnitCounts};

use crate::{AccountError, SizedModel};

/// Whether a name is that of a framework's formula.
pub(crate) fn is_framework(name: &str) -> bool {
    let plain = name.split_once('@').map_or(name, |(plain, _)| plain);
    framework_names().any(|known| known == plain)
}

fn total(counts: &CountedParts) -> Integer {
    counts.values().map(|part| &part.count).sum()
}

impl SizedModel<'_> {
    /// What a framework says a training step costs, part by part: of `b` sequences of `n` tokens.
    ///
    /// # Errors
    /// When there is no such framework, it is not for the model, or the model is no causal decoder.
    pub fn step(&self, name: &str) -> Result<CountedParts, AccountError> {
        let framework = framework(name)?;
        let (decoder, work) = self.decoder(framework.work)?;
        Ok(framework.count(&decoder, &work)?)
    }

    /// The numbers of some names: conventions of a forward pass, or frameworks of a training step.
    ///
    /// # Errors
    /// As [`ConventionCounter::count`](crate::ConventionCounter::count) and [`SizedModel::step`], and when both
    /// kinds are asked for at once.
    pub fn counted_by(
        &self,
        names: &[String],
        written: Option<&str>,
        mended: &[String],
    ) -> Result<ConventionCounts, AccountError> {
        match Asked::of(names)? {
            Asked::Forward => self.convention_counter(written, mended)?.count(names),
            Asked::Step => self.steps(names),
        }
    }

    /// Why two names give different numbers.
    ///
    /// # Errors
    /// As [`SizedModel::counted_by`].
    pub fn explained_by(
        &self,
        first: &str,
        second: &str,
        written: Option<&str>,
        mended: &[String],
    ) -> Result<Explained, AccountError> {
        match Asked::of(&[first.to_owned(), second.to_owned()])? {
            Asked::Forward => self.convention_counter(written, mended)?.explain(first, second),
            Asked::Step => self.explained_steps(first, second),
        }
    }

    fn steps(&self, names: &[String]) -> Result<ConventionCounts, AccountError> {
        let frameworks: Vec<Framework> =
            names.iter().map(|name| framework(name)).collect::<Result<_, _>>()?;
        let (decoder, work) = self.decoder(one_work(&frameworks)?)?;
        let counted: Vec<CountedParts> = frameworks
            .iter()
            .map(|framework| framework.count(&decoder, &work))
            .collect::<Result<_, _>>()?;
        let of = |(framework, counts): (&Framework, &CountedParts)| ConventionTotal {
            name: framework.name.clone(),
            unit: framework.unit.clone(),
            total: total(counts),
        };
        let zero = Integer::default();
        let part = |part: &&'static str| UnitCounts {
            path: (*part).to_owned(),
            class: None,
            counts: counted.iter().map(|counts| of_part(counts, part).count).collect(),
        };
        let units = part_names().iter().map(part);
        Ok(ConventionCounts {
            model: self.model().name().to_owned(),
            binding: self.sizes().clone(),
            written: FORMULAS.to_owned(),
            conventions: frameworks.iter().zip(&counted).map(of).collect(),
            refused: Vec::new(),
            units: units.filter(|unit| unit.counts.iter().any(|n| *n != zero)).collect(),
        })
    }

    fn explained_steps(&self, first: &str, second: &str) -> Result<Explained, AccountError> {
        let both = [framework(first)?, framework(second)?];
        let (decoder, work) = self.decoder(one_work(&both)?)?;
        if both[0].name == both[1].name {
            return Err(AccountError::OneConvention { name: first.to_owned() });
        }
        let counts = [both[0].count(&decoder, &work)?, both[1].count(&decoder, &work)?];
        let totals = [total(&counts[0]), total(&counts[1])];
        let mut agreed = Integer::default();
        let mut lines = Vec::new();
        for part in part_names() {
            let [a, b] = [of_part(&counts[0], part), of_part(&counts[1], part)];
            if a.count == b.count {
                agreed += a.count;
                continue;
            }
            lines.push(ExplainedLine {
                what: (*part).to_owned(),
                difference: &a.count - &b.count,
                reason: Some(reason([&both[0].name, &both[1].name], [&a, &b])),
                first: a.count,
                second: b.count,
            });
        }
        let size = |line: &ExplainedLine| {
            let zero = Integer::default();
            if line.difference < zero { -&line.difference } else { line.difference.clone() }
        };
        lines.sort_by_key(|line| std::cmp::Reverse(size(line)));
        let difference = &totals[0] - &totals[1];
        let explained: Integer = lines.iter().map(|line| &line.difference).sum();
        let of = |at: usize| ConventionTotal {
            name: both[at].name.clone(),
            unit: both[at].unit.clone(),
            total: totals[at].clone(),
        };
        let mut notes: Vec<String> =
            both.iter().map(|own| format!("{}: {}", own.name, own.source)).collect();
        notes.push("letters: docs/frameworks.md".to_owned());
        Ok(Explained {
            model: self.model().name().to_owned(),
            binding: self.sizes().clone(),
            written: FORMULAS.to_owned(),
            conventions: [of(0), of(1)],
            unaccounted: &difference - explained,
            difference,
            lines,
            agreed,
            notes,
        })
    }

    /// The model as formulas of frameworks ask for it, and the sizes of the work.
    fn decoder(&self, of: FormulaWork) -> Result<(DescribedDecoder, Binding), AccountError> {
        let recorded = self.model().recorded();
        let refused = |why: &str| AccountError::NoDecoder {
            model: self.model().name().to_owned(),
            why: why.to_owned(),
        };
        let known = recorded.decoder.as_ref();
        let known = known.ok_or_else(|| refused("it is no causal decoder of a known family"))?;
        let graph = self.graph();
        let past = graph.size_of(SizeRole::Past).and_then(|symbol| self.sizes().get(symbol));
        let past = past.cloned().unwrap_or_default();
        if of == FormulaWork::Step && past != Integer::default() {
            return Err(refused("in training there is no cache: leave out p"));
        }
        let mut work = Binding::new().with(Symbol::from("p"), past);
        for (role, name) in [(SizeRole::Batch, "b"), (SizeRole::Tokens, "n")] {
            let own = graph.size_of(role).and_then(|symbol| self.sizes().get(symbol));
            let size = own.ok_or_else(|| refused("it has no size for b or n"))?;
            work.set(Symbol::from(name), size.clone());
        }
        let family = graph.modules().iter().find_map(|module| match module.class {
            ModuleClass::Model(family) => Some(family.to_owned()),
            _ => None,
        });
        let layers = known.layers.iter();
        let mut decoder = DescribedDecoder {
            family: family.unwrap_or_default(),
            whole: sizes(&known.whole),
            layers: layers.map(|(times, layer)| ((*times).into(), sizes(layer))).collect(),
        };
        let one = Binding::from_iter([("b", 1), ("n", 1)]);
        let held = Framework::parameters()?.count(&decoder, &one).map_err(|error| match error {
            ConventionError::NotCovered { why, .. } => refused(&why),
            other => other.into(),
        })?;
        let held = total(&held);
        let parameters = self.quantity(Quantity::Parameters)?;
        decoder.whole.sizes.set(Symbol::from("rest"), &parameters - &held);
        // The sizes are all there is to the model where its products follow from them.
        let products = total(&framework("forward-products")?.count(&decoder, &work)?);
        let own = self.quantity(Quantity::MatmulFlops)?;
        if products != own {
            return Err(refused(&format!(
                "its products cost {own}, and {products} by its sizes: it has more than these"
            )));
        }
        Ok((decoder, work))
    }
}

/// The work of which all formulas are.
fn one_work(frameworks: &[Framework]) -> Result<FormulaWork, AccountError> {
    let of = |work| frameworks.iter().find(|own| own.work == work).map(|own| own.name.clone());
    match (of(FormulaWork::Step), of(FormulaWork::Forward)) {
        (Some(step), Some(other)) => Err(AccountError::StepAndForward { step, other }),
        (Some(_), None) => Ok(FormulaWork::Step),
        (None, _) => Ok(FormulaWork::Forward),
    }
}

const FORMULAS: &str = "formulas of its configuration; nothing is executed";

fn of_part(counts: &CountedParts, part: &str) -> PartCount {
    counts.get(part).cloned().unwrap_or_default()
}

fn sizes(named: &NamedSizes) -> DescribedSizes {
    DescribedSizes {
        sizes: named.sizes.clone(),
        traits: named.traits.iter().map(|name| (*name).to_owned()).collect(),
    }
}

/// Why two formulas differ: which is counted by one alone, else both.
fn reason(names: [&String; 2], parts: [&PartCount; 2]) -> String {
    let formulas = |part: &PartCount| {
        let all: BTreeSet<&str> = part.formulas.iter().map(String::as_str).collect();
        all.into_iter().collect::<Vec<_>>().join(" and ")
    };
    let plain = names.map(|name| name.split('@').next().unwrap_or_default());
    match parts.map(|part| part.formulas.is_empty()) {
        [true, _] => format!("not counted by {}; {}", plain[0], formulas(parts[1])),
        [_, true] => format!("not counted by {}; {}", plain[1], formulas(parts[0])),
        [false, false] => format!("{} beside {}", formulas(parts[0]), formulas(parts[1])),
    }
}

/// What is asked for.
enum Asked {
    Forward,
    Step,
}

impl Asked {
    fn of(names: &[String]) -> Result<Asked, AccountError> {
        let (steps, others): (Vec<&String>, Vec<&String>) =
            names.iter().partition(|name| is_framework(name));
        match (steps.first(), others.first()) {
            (Some(step), Some(other)) => {
                Err(AccountError::StepAndForward { step: (*step).clone(), other: (*other).clone() })
            }
            (Some(_), None) => Ok(Asked::Step),
            (None, _) => Ok(Asked::Forward),
        }
    }
}
