//! What a convention says of the units of a graph.

use opledger_dims::{Binding, EvalError, Integer};

use crate::convention::{Convention, Counting, Match, Rule, Unused};
use crate::{ConventionError, Share, Unit, Units};

/// What a convention counts for a share of a unit, all runs of the unit together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which unit, by its place in [`Units::units`].
    pub unit: usize,
    /// What for.
    pub share: Share,
    /// How many.
    pub count: Integer,
    /// The formula or weight it comes from.
    pub rule: String,
}

/// What a convention counts for a graph.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Whose.
    pub convention: String,
    /// The entries, in the order of units.
    pub entries: Vec<Entry>,
    /// What the convention does with what no rule names.
    pub unseen: Option<String>,
    /// Whether it counts by the ledger, which leaves out what a mask hides and what falls on padding.
    pub ledger: bool,
    /// For each unit, why the convention does not count it, where that is for another reason.
    pub reasons: Vec<Option<String>>,
}

impl Tally {
    /// Counts by a convention.
    ///
    /// # Errors
    /// When the convention has no rule for a call or a module, and was not seen to pass over it; when it
    /// counts whatever runs, and the library computes more than the model; when a rule names a size that
    /// its call does not have.
    pub fn new(convention: &Convention, units: &Units) -> Result<Tally, ConventionError> {
        let mut tally = Tally {
            convention: convention.name.clone(),
            entries: Vec::new(),
            unseen: convention.unseen.clone(),
            ledger: matches!(convention.counting, Counting::Classes(_)),
            reasons: Vec::new(),
        };
        if let Some(beside) = units.beside.as_ref().filter(|_| convention.counts_all) {
            return Err(ConventionError::Beside {
                convention: convention.name.clone(),
                beside: beside.clone(),
            });
        }
        for (at, unit) in units.units.iter().enumerate() {
            let (unused, manner) = (unit.unused, convention.unused);
            if unused && manner == Unused::Unseen {
                return Err(ConventionError::NoRule {
                    convention: convention.name.clone(),
                    op: "what no result is of".to_owned(),
                    path: unit.path.clone(),
                });
            }
            if unused && manner == Unused::LeftOut {
                let reason = "no result is of it, so a trace of the run leaves it out".to_owned();
                tally.reasons.push(Some(reason));
                continue;
            }
            let native = unit.native.iter().find(|c| convention.native.iter().any(|n| n == *c));
            let reason =
                native.map(|class| format!("{class} runs as one native operator, counted as 0"));
            tally.reasons.push(reason);
            if native.is_none() {
                tally.count(convention, at, unit)?;
            }
        }
        Ok(tally)
    }

    /// The same, of some units as another tally has it.
    #[must_use]
    pub fn with_units_of(mut self, other: &Tally, theirs: impl Fn(usize) -> bool) -> Tally {
        self.entries.retain(|entry| !theirs(entry.unit));
        self.entries.extend(other.entries.iter().filter(|entry| theirs(entry.unit)).cloned());
        for (at, reason) in self.reasons.iter_mut().enumerate().filter(|(at, _)| theirs(*at)) {
            reason.clone_from(&other.reasons[at]);
        }
        self
    }

    /// The same, with what another tally has of some units once more, as computed again.
    #[must_use]
    pub fn again(mut self, once_more: &Tally, units: impl Fn(usize) -> bool) -> Tally {
        let more = once_more.entries.iter().filter(|entry| units(entry.unit)).cloned();
        self.entries.extend(more.map(|entry| Entry { share: Share::Again, ..entry }));
        self
    }

    /// The sum.
    pub fn total(&self) -> Integer {
        self.entries.iter().map(|entry| &entry.count).sum()
    }

    /// What is counted for a unit.
    pub fn of_unit(&self, unit: usize) -> Integer {
        self.entries.iter().filter(|entry| entry.unit == unit).map(|entry| &entry.count).sum()
    }

    fn count(
        &mut self,
        convention: &Convention,
        at: usize,
        unit: &Unit,
    ) -> Result<(), ConventionError> {
        match &convention.counting {
            Counting::Classes(classes) => {
                for (share, counts) in &unit.counts {
                    let Some(weights) = classes.get(share) else { continue };
                    let counts = counts.as_ref().map_err(EvalError::clone)?;
                    let used = weights.iter().filter(|(class, _)| counts[*class] != 0.into());
                    let used: Vec<_> = used.collect();
                    let count = used.iter().map(|(class, weight)| &counts[*class] * weight).sum();
                    let each = |(class, weight): &&(opledger_dims::Class, i64)| match weight {
                        1 => class.name().to_owned(),
                        _ => format!("{weight}·{}", class.name()),
                    };
                    let rule = used.iter().map(each).collect::<Vec<_>>().join(" + ");
                    self.add(at, *share, count, rule);
                }
            }
            Counting::Rules { .. } => {
                let calls = unit.calls.iter().map(|call| (&*call.op, call.by));
                let rules = convention.matches(unit.class.as_deref(), calls, &unit.path)?;
                for (matched, rule) in rules {
                    let names = convention.times((matched, rule), &unit.names, &unit.path)?;
                    match matched {
                        Match::Module => {
                            let sizes = unit.sizes.clone().with("params", unit.parameters.clone());
                            let class = unit.class.as_deref().unwrap_or_default();
                            self.apply(convention, (at, unit), (rule, names), class, &sizes)?;
                        }
                        Match::Call(call) => {
                            let call = &unit.calls[call];
                            self.apply(
                                convention,
                                (at, unit),
                                (rule, names),
                                &call.op,
                                &call.sizes,
                            )?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn apply(
        &mut self,
        convention: &Convention,
        (at, unit): (usize, &Unit),
        (rule, names): (&Rule, u64),
        op: &str,
        sizes: &Binding,
    ) -> Result<(), ConventionError> {
        if rule.counts.is_empty()
            && let Some(reason) = self.reasons.get_mut(at)
        {
            reason.clone_from(&rule.why);
        }
        for (share, formula) in &rule.counts {
            let once = formula.poly.at(sizes).map_err(|source| {
                let (convention, op, path) =
                    (convention.name.clone(), op.to_owned(), unit.path.clone());
                match source {
                    EvalError::Unbound(size) => {
                        ConventionError::NoSize { convention, op, path, size: size.to_string() }
                    }
                    source => ConventionError::Rule { convention, op, path, source },
                }
            })?;
            let once = match &rule.rounded {
                Some(rounded) => rounded.of(once, sizes),
                None => once,
            };
            let own = match &rule.rounded {
                Some(rounded) => rounded.told(&formula.text),
                None => formula.text.clone(),
            };
            let mut text = match &rule.why {
                Some(why) => format!("{own} ({why})"),
                None => own,
            };
            if names > 1 {
                text += &format!(" ({names} times, by the names of the module)");
            }
            self.add(
                at,
                own_share(*share, op, unit),
                once * &unit.times * Integer::from(names),
                text,
            );
        }
        Ok(())
    }

    fn add(&mut self, unit: usize, share: Share, count: Integer, rule: String) {
        if count != 0.into() {
            self.entries.push(Entry { unit, share, count, rule });
        }
    }
}

/// Where a share of a call belongs in its unit: a sum or product is for what the unit is for, and so
/// is the one product of matrices, or the softmax of a router.
fn own_share(share: Share, op: &str, unit: &Unit) -> Share {
    if share == Share::Again {
        return share;
    }
    let plain = matches!(share, Share::Addition | Share::Multiplication | Share::Other);
    let only = unit.counts.keys().next().filter(|_| unit.counts.len() == 1);
    match only {
        Some(Share::Routing) if plain || share == Share::Softmax => Share::Routing,
        Some(own) if plain && !own.is_contraction() => *own,
        Some(own) if share.is_contraction() && own.is_contraction() => *own,
        _ if plain && unit.counts.contains_key(&Share::Softmax) => match op {
            "mul" => Share::AttentionScale,
            "add" => Share::AttentionBias,
            _ => share,
        },
        _ => share,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opledger_ir::{
        Axis, Graph,
        ops::{Activation, Source},
    };

    /// Whether what counts a plain operation of a unit says what the unit is for.
    #[test]
    fn a_sum_is_for_what_its_unit_is_for() {
        let mut g = Graph::new();
        let x = g.input("x", ["b", "c"]).unwrap();
        let w = g.param("weight", Source::weight("c"), [Axis::from("f"), "c".into()]).unwrap();
        let y = g.einsum("b c, f c -> b f", x, w).unwrap();
        let y = g.activation(y, Activation::Relu).unwrap();
        g.output("y", y);
        let sizes = Binding::from_iter([("b", 2), ("c", 3), ("f", 5)]);
        let dialect = crate::dialect("torch.nn").unwrap();
        let units = Units::new(&g, &sizes, &dialect).unwrap();
        let shares: Vec<Vec<Share>> =
            units.units.iter().map(|unit| unit.counts.keys().copied().collect()).collect();
        let [product, activation] = &units.units[..] else { panic!("{shares:?}") };
        let own = shares[1][0];
        assert!(shares[0][0].is_contraction() && !own.is_contraction(), "{shares:?}");
        for plain in [Share::Addition, Share::Multiplication, Share::Other] {
            assert_eq!(own_share(plain, "add", activation), own);
            assert_eq!(own_share(plain, "add", product), plain);
        }
        assert_eq!(own_share(Share::Softmax, "softmax", activation), Share::Softmax);
    }
}
