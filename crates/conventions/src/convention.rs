//! A convention: a named, versioned file of rules from calls, or from the ledger's classes, to one
//! number.

use std::collections::BTreeMap;

use opledger_dims::{Binding, Class, Integer, Poly, Quantity, escaped};
use serde::Deserialize;

use crate::call::Manner;
use crate::names::ModuleNames;
use crate::{ConventionError, Share};

/// A way of counting.
#[derive(Clone, Debug)]
pub struct Convention {
    /// Name and version: `fvcore@0.1.5`.
    pub name: String,
    /// What one unit of its number is.
    pub unit: String,
    /// Whether a multiply-accumulate is two of them.
    pub twice: bool,
    /// Where its rules were read.
    pub source: String,
    /// Which printed numbers it was held against.
    pub checked: String,
    /// How it counts.
    pub counting: Counting,
    /// What the tool does with what it does not know, as its users are told.
    pub unseen: Option<String>,
    /// Operators and classes of modules that it was seen to pass over.
    pub passes: Vec<String>,
    /// Whether it counts whatever runs, so that what a library computes beside the model counts too.
    pub counts_all: bool,
    /// Classes of modules that run as one native operator while it looks, which it counts as nothing.
    pub native: Vec<String>,
    /// Whether it counts the backward pass as well.
    pub backward: bool,
    /// What it does with what no result of the model is of.
    pub unused: Unused,
    /// With which power of the number of its names it counts a module: 0 where one of two names counts once.
    pub by_names: u32,
    /// What in its rules is no intent but a mistake, by name.
    pub bugs: Vec<Bug>,
}

/// What a tool does with what runs and no result of the model is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unused {
    /// It watches a run, and counts it.
    #[default]
    Counted,
    /// It traces a run, and leaves it out.
    LeftOut,
    /// It was never seen to meet any.
    Unseen,
}

/// What a convention counts by.
#[derive(Clone, Debug)]
pub enum Counting {
    /// By the ledger: the weight of each class in some shares.
    Classes(BTreeMap<Share, Vec<(Class, i64)>>),
    /// By rules for modules and for calls; both apply to a module that makes calls.
    Rules {
        /// Rules for classes of modules.
        modules: Vec<Rule>,
        /// Rules for operators.
        calls: Vec<Rule>,
    },
}

impl Counting {
    /// As a quantity of the runtime counts.
    fn of_quantity(quantity: Quantity) -> Counting {
        let weights = |share: Share| {
            let weight = |class| quantity.weight(class, share.is_contraction()).unwrap_or(0);
            let mut weights: Vec<(Class, i64)> =
                Class::ALL.into_iter().map(|class| (class, i64::from(weight(class)))).collect();
            weights.retain(|(_, weight)| *weight != 0);
            weights.sort_by_key(|(class, _)| class.name());
            weights
        };
        let all = Share::ALL.iter().map(|share| (*share, weights(*share)));
        Counting::Classes(all.filter(|(_, weights)| !weights.is_empty()).collect())
    }
}

/// A mistake of a tool that its convention repeats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bug {
    /// Its name.
    pub name: String,
    /// What happens.
    pub text: String,
}

/// A rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The operators or classes it is for.
    of: Vec<String>,
    /// How the operator is called; however it is when empty.
    by: Vec<Manner>,
    /// What each share is, by the sizes of the call.
    pub counts: BTreeMap<Share, Formula>,
    /// How the tool rounds, where it reads what it counts off a text.
    pub rounded: Option<Rounding>,
    /// Why, where that is not plain.
    pub why: Option<String>,
}

/// How a tool rounds a count: to so many digits, as it was printed, then over a number, rounded down.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rounding {
    digits: u32,
    #[serde(default = "one")]
    over: u32,
    /// The size that is 1 where it has a formula instead and rounds nothing.
    #[serde(default)]
    unless: Option<String>,
}

fn one() -> u32 {
    1
}

impl Rounding {
    /// A formula as it is rounded.
    pub(crate) fn told(&self, formula: &str) -> String {
        match self.over {
            1 => format!("{formula} to {} digits", self.digits),
            over => format!("({formula})/{over} to {} digits", self.digits),
        }
    }

    /// A count of a call of some sizes.
    pub(crate) fn of(&self, count: Integer, sizes: &Binding) -> Integer {
        let is_exact = self.unless.as_deref().and_then(|size| sizes.get(&size.into()));
        let count = match is_exact == Some(&1.into()) {
            true => count,
            false => to_digits(count, self.digits),
        };
        count / self.over
    }
}

/// A number to so many digits, as C prints it: to the nearest, to the even one of two.
fn to_digits(count: Integer, digits: u32) -> Integer {
    let (ten, mut unit) = (Integer::from(10), Integer::from(1));
    let most = (0..digits).fold(Integer::from(1), |all, _| all * &ten);
    while &count / &unit >= most {
        unit *= &ten;
    }
    let (below, rest) = (&count / &unit, &count % &unit * 2u32);
    let is_odd = &below % 2u32 == 1.into();
    let up = rest > unit || rest == unit && is_odd;
    (below + u32::from(up)) * unit
}

/// A formula of a rule.
#[derive(Clone, Debug)]
pub struct Formula {
    /// As the file writes it.
    pub text: String,
    /// The same.
    pub poly: Poly,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    #[serde(default)]
    version: Option<String>,
    unit: String,
    #[serde(default)]
    twice: bool,
    source: String,
    checked: String,
    #[serde(default)]
    quantity: Option<String>,
    #[serde(default)]
    classes: Vec<Weights>,
    #[serde(default)]
    modules: Vec<RuleText>,
    #[serde(default)]
    calls: Vec<RuleText>,
    #[serde(default)]
    unseen: Option<String>,
    #[serde(default)]
    passes: Vec<String>,
    #[serde(default)]
    counts_all: bool,
    #[serde(default)]
    native: Vec<String>,
    #[serde(default)]
    backward: bool,
    #[serde(default)]
    unused: Unused,
    #[serde(default)]
    by_names: u32,
    #[serde(default)]
    bugs: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Weights {
    shares: Vec<Share>,
    weights: BTreeMap<String, i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleText {
    of: Vec<String>,
    #[serde(default)]
    by: Vec<Manner>,
    counts: BTreeMap<Share, String>,
    #[serde(default)]
    rounded: Option<Rounding>,
    #[serde(default)]
    why: Option<String>,
    /// The bug that makes the rule what it is, and what it would be without.
    #[serde(default)]
    bug: Option<String>,
    #[serde(default)]
    mended: Option<BTreeMap<Share, String>>,
}

impl Rule {
    /// The operators or classes it is for.
    pub(crate) fn names(&self) -> String {
        self.of.join(", ")
    }

    /// Whether it is for an operator or a class.
    pub(crate) fn is_for(&self, name: &str) -> bool {
        self.of.iter().any(|of| of == name)
    }

    /// Whether it is for calls of a manner.
    pub(crate) fn is_called(&self, by: Manner) -> bool {
        self.by.is_empty() || self.by.contains(&by)
    }
}

/// What a rule applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Match {
    /// The module.
    Module,
    /// The call at a place among those of the module.
    Call(usize),
}

impl Convention {
    /// The rules for a module of a class and for the calls it makes.
    ///
    /// # Errors
    /// When it has no rule for one of them, and was not seen to pass over it.
    pub(crate) fn matches<'c, 'u>(
        &'c self,
        class: Option<&str>,
        calls: impl Iterator<Item = (&'u str, Manner)>,
        path: &str,
    ) -> Result<Vec<(Match, &'c Rule)>, ConventionError> {
        let Counting::Rules { modules, calls: rules } = &self.counting else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        let mut keep = |matched: Match, rule: Option<&'c Rule>, name: &str| match rule {
            Some(rule) => {
                found.push((matched, rule));
                Ok(())
            }
            None if self.passes.iter().any(|passed| passed == name) => Ok(()),
            None => Err(ConventionError::NoRule {
                convention: self.name.clone(),
                op: name.to_owned(),
                path: path.to_owned(),
            }),
        };
        // A tool without rules for modules looks at none, nor at calls without rules for them.
        if let Some(class) = class.filter(|_| !modules.is_empty()) {
            keep(Match::Module, modules.iter().find(|rule| rule.is_for(class)), class)?;
        }
        for (at, (op, by)) in calls.enumerate().filter(|_| !rules.is_empty()) {
            let rule = rules.iter().find(|rule| rule.is_for(op) && rule.is_called(by));
            keep(Match::Call(at), rule, op)?;
        }
        Ok(found)
    }

    /// How often a rule counts what it is for, whose module has some names: once for each of them and more, of
    /// what the convention counts by modules.
    ///
    /// # Errors
    /// When it is not known how many they are.
    pub(crate) fn times(
        &self,
        (matched, rule): (Match, &Rule),
        names: &ModuleNames,
        path: &str,
    ) -> Result<u64, ConventionError> {
        // Where modules have rules of their own, calls are counted for no module.
        let of_module = match &self.counting {
            Counting::Rules { modules, .. } => modules.is_empty() || matched == Match::Module,
            Counting::Classes(_) => false,
        };
        match names {
            _ if !of_module || self.by_names == 0 || rule.counts.is_empty() => Ok(1),
            ModuleNames::Known(names) => Ok(names.saturating_pow(self.by_names)),
            ModuleNames::Unsure { other } => Err(ConventionError::Names {
                convention: self.name.clone(),
                path: path.to_owned(),
                other: other.clone(),
            }),
        }
    }

    /// Reads a convention, without some of its bugs.
    ///
    /// # Errors
    /// What in the file is no convention, and which bugs it does not have.
    pub fn read(file: &str, text: &str, without: &[String]) -> Result<Convention, ConventionError> {
        let malformed =
            |problem: String| ConventionError::Malformed { file: file.to_owned(), problem };
        let raw: File = serde_json::from_str(text).map_err(|e| malformed(e.to_string()))?;
        let name = match &raw.version {
            Some(version) => format!("{}@{version}", raw.name),
            None => raw.name.clone(),
        };
        if let Some(bug) = without.iter().find(|bug| !raw.bugs.contains_key(*bug)) {
            let known = raw.bugs.keys().cloned().collect::<Vec<_>>().join(", ");
            let known = if known.is_empty() { "none".to_owned() } else { known };
            return Err(ConventionError::Bug { convention: name, bug: bug.clone(), known });
        }
        let rules = |texts: Vec<RuleText>| -> Result<Vec<Rule>, ConventionError> {
            let rule = |text: RuleText| {
                if let Some(bug) = text.bug.as_ref().filter(|bug| !raw.bugs.contains_key(*bug)) {
                    return Err(malformed(format!("the bug `{bug}` of a rule is not described")));
                }
                let is_mended = text.bug.as_ref().is_some_and(|bug| without.contains(bug));
                let counts = match (is_mended, text.mended) {
                    (true, Some(mended)) => mended,
                    _ => text.counts,
                };
                let formula = |text: String| -> Result<Formula, ConventionError> {
                    let poly = text.parse().map_err(|source| ConventionError::Formula {
                        file: file.to_owned(),
                        source,
                    })?;
                    Ok(Formula { text: text.replace('*', "·"), poly })
                };
                let counts = counts.into_iter().map(|(share, text)| Ok((share, formula(text)?)));
                let counts = counts.collect::<Result<_, ConventionError>>()?;
                let (rounded, why) = (text.rounded, text.why);
                Ok(Rule { of: text.of, by: text.by, counts, rounded, why })
            };
            texts.into_iter().map(rule).collect()
        };
        let counting = if let Some(name) = &raw.quantity {
            let quantity = name.parse::<Quantity>().map_err(|e| malformed(e.to_string()))?;
            if !quantity.counts_operations() {
                return Err(malformed(format!("`{quantity}` counts no operations")));
            }
            Counting::of_quantity(quantity)
        } else if raw.classes.is_empty() {
            Counting::Rules { modules: rules(raw.modules)?, calls: rules(raw.calls)? }
        } else {
            let mut classes = BTreeMap::new();
            for entry in raw.classes {
                let weights = entry.weights.iter().map(|(name, weight)| {
                    let class = Class::ALL.into_iter().find(|class| class.name() == name);
                    let class = class.ok_or_else(|| malformed(format!("`{name}` is no class")))?;
                    Ok((class, *weight))
                });
                let weights = weights.collect::<Result<Vec<_>, ConventionError>>()?;
                classes.extend(entry.shares.into_iter().map(|share| (share, weights.clone())));
            }
            Counting::Classes(classes)
        };
        Ok(Convention {
            name,
            unit: raw.unit,
            twice: raw.twice,
            source: raw.source,
            checked: raw.checked,
            counting,
            unseen: raw.unseen,
            passes: raw.passes,
            counts_all: raw.counts_all,
            native: raw.native,
            backward: raw.backward,
            unused: raw.unused,
            by_names: raw.by_names,
            bugs: raw.bugs.into_iter().map(|(name, text)| Bug { name, text }).collect(),
        })
    }
}

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        const FILES: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../data/", $name, ".json")))),*];
    };
}

files! {
    "macs",
    "flops",
    "matmul-flops",
    "multiplications",
    "torch-flop-counter",
    "torch-flop-counter-training",
    "torch-flop-counter-backward",
    "fvcore",
    "thop",
    "ultralytics-thop",
    "ptflops",
    "ptflops-aten",
    "calflops",
    "calflops-macs",
    "deepspeed",
    "deepspeed-macs",
    "torchinfo",
    "torchlens",
    "onnx-tool",
    "tract",
    "xla",
}

/// The names of all conventions, without versions.
pub fn convention_names() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|(name, _)| *name)
}

/// All conventions.
///
/// # Errors
/// When a file is no convention.
pub fn conventions() -> Result<Vec<Convention>, ConventionError> {
    FILES.iter().map(|(name, text)| Convention::read(name, text, &[])).collect()
}

/// A convention by name, with its version or without: `fvcore`, `fvcore@0.1.5`; and without some of
/// its bugs.
///
/// # Errors
/// When there is none of that name or version; when it has no such bug.
pub fn convention(name: &str, without: &[String]) -> Result<Convention, ConventionError> {
    let plain = name.split_once('@').map_or(name, |(plain, _)| plain);
    let unknown = || ConventionError::Unknown {
        kind: "convention",
        name: escaped(name),
        known: convention_names().chain(crate::framework::framework_names()).collect(),
    };
    let (file, text) = FILES.iter().find(|(known, _)| *known == plain).ok_or_else(unknown)?;
    let found = Convention::read(file, text, without)?;
    if name != plain && found.name != name { Err(unknown()) } else { Ok(found) }
}
