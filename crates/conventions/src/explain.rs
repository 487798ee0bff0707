//! The difference between two conventions, as an exact sum of lines with reasons.

use std::collections::{BTreeMap, BTreeSet};

use opledger_dims::{Class, Counts, EvalError, Integer};
use opledger_ir::LeftOut;

use crate::{Convention, ConventionError, Share, Tally, Unit, Units};

/// The module whose inside is seen by some tools only.
const MULTIHEAD: &str = "MultiheadAttention";

/// One line: what two conventions count for one share, and why they differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What for.
    pub share: Share,
    /// In which module, where its inside is seen by some tools only; by which operations, where the share does
    /// not say what it is for.
    pub of: Option<String>,
    /// How many places it is about.
    pub places: usize,
    /// One of them.
    pub place: String,
    /// What the first counts.
    pub first: Integer,
    /// What the second counts.
    pub second: Integer,
    /// Why they differ; none when no rule says.
    pub reason: Option<String>,
}

impl Line {
    /// The first less the second.
    pub fn difference(&self) -> Integer {
        &self.first - &self.second
    }
}

/// Why two conventions give different numbers for a graph.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The conventions' names and totals.
    pub conventions: [(String, Integer); 2],
    /// The lines that differ, the largest first.
    pub lines: Vec<Line>,
    /// What both count alike.
    pub agreed: Integer,
    /// What each convention does with what it has no rule for, where a line says that it has none.
    pub notes: Vec<String>,
}

impl Explanation {
    /// The difference that no line with a reason accounts for.
    pub fn unaccounted(&self) -> Integer {
        let [(_, first), (_, second)] = &self.conventions;
        let told = self.lines.iter().filter(|line| line.reason.is_some());
        first - second - told.map(Line::difference).sum::<Integer>()
    }

    /// Whether every line has a reason and the lines add up to the difference.
    pub fn is_complete(&self) -> bool {
        self.unaccounted() == 0.into() && self.lines.iter().all(|line| line.reason.is_some())
    }
}

/// What one convention says of one share of one unit.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Said {
    count: Integer,
    /// The formulas, each with how often it occurs.
    rules: BTreeMap<String, usize>,
}

impl Said {
    fn text(&self) -> String {
        let each = |(rule, times): (&String, &usize)| match times {
            1 => rule.clone(),
            _ => format!("{times} × ({rule})"),
        };
        self.rules.iter().map(each).collect::<Vec<_>>().join(" + ")
    }
}

fn said(tally: &Tally) -> BTreeMap<(usize, Share), Said> {
    let mut all: BTreeMap<(usize, Share), Said> = BTreeMap::new();
    for entry in &tally.entries {
        let said = all.entry((entry.unit, entry.share)).or_default();
        said.count += &entry.count;
        *said.rules.entry(entry.rule.clone()).or_insert(0) += 1;
    }
    all
}

/// Why two conventions give different numbers for the units of a graph.
///
/// # Errors
/// When one of them has no rule for a call.
pub fn explain(
    first: &Convention,
    second: &Convention,
    units: &Units,
) -> Result<Explanation, ConventionError> {
    Ok(explain_tallies([&Tally::new(first, units)?, &Tally::new(second, units)?], units))
}

/// Why two tallies of the units of a graph differ.
pub fn explain_tallies(tallies: [&Tally; 2], units: &Units) -> Explanation {
    let [a, b] = tallies.map(said);
    let mut keys: Vec<(usize, Share)> = a.keys().chain(b.keys()).copied().collect();
    keys.sort_unstable();
    keys.dedup();
    let (mut agreed, mut notes) = (Integer::default(), BTreeSet::new());
    let mut lines: BTreeMap<(Share, Option<String>, Option<String>), Line> = BTreeMap::new();
    for (at, share) in keys {
        let nothing = Said::default();
        let [x, y] = [&a, &b].map(|all| all.get(&(at, share)).unwrap_or(&nothing));
        let unit = &units.units[at];
        let of = match (share, unit.class.as_deref()) {
            (Share::Other, _) if !unit.operations.is_empty() => Some(unit.operations.clone()),
            (_, Some(MULTIHEAD)) => Some(MULTIHEAD.to_owned()),
            (_, _) => None,
        };
        let mut add = |counts: [&Integer; 2], reason: Option<String>| {
            let line = lines.entry((share, of.clone(), reason.clone())).or_insert_with(|| Line {
                share,
                of: of.clone(),
                places: 0,
                place: unit.path.clone(),
                first: 0.into(),
                second: 0.into(),
                reason,
            });
            line.places += 1;
            line.first += counts[0];
            line.second += counts[1];
        };
        let mut counts = [x.count.clone(), y.count.clone()];
        for (who, why, more) in in_full([x, y], tallies, unit, share) {
            counts[who] -= &more;
            let mut both = [Integer::default(), Integer::default()];
            both[who] = more;
            let name = plain(&tallies[who].convention);
            add([&both[0], &both[1]], Some(format!("{} {name} counts", told(why))));
        }
        if counts[0] == counts[1] {
            agreed += &counts[0];
            continue;
        }
        let reason = reason([x, y], tallies, at, &mut notes);
        add([&counts[0], &counts[1]], reason);
    }
    let mut lines: Vec<Line> = lines.into_values().collect();
    let size = |line: &Line| line.difference().magnitude().clone();
    lines.sort_by_key(|line| std::cmp::Reverse(size(line)));
    let conventions = tallies.map(|tally| (tally.convention.clone(), tally.total()));
    Explanation { conventions, lines, agreed, notes: notes.into_iter().collect() }
}

/// What one of two conventions counts of a share beside what the other, the ledger's, leaves out: which of
/// the two, why the other does, and how many.
fn in_full(
    said: [&Said; 2],
    tallies: [&Tally; 2],
    unit: &Unit,
    share: Share,
) -> Vec<(usize, LeftOut, Integer)> {
    let who = match tallies.map(|tally| tally.ledger) {
        [false, true] => 0,
        [true, false] => 1,
        [true, true] | [false, false] => return Vec::new(),
    };
    let Some(class) = told_by(share).filter(|_| said.iter().all(|said| !said.rules.is_empty()))
    else {
        return Vec::new();
    };
    let known =
        |counts: &Result<Counts<Integer>, EvalError>| Some(counts.as_ref().ok()?[class].clone());
    let own = unit.counts.get(&share).map_or_else(|| Some(Integer::default()), known);
    let left = unit.left_out.iter().filter(|((of, _), _)| *of == share);
    let left: Option<Vec<(LeftOut, Integer)>> =
        left.map(|((_, why), counts)| Some((*why, known(counts)?))).collect();
    let (Some(own), Some(left)) = (own, left) else { return Vec::new() };
    let all = own + left.iter().map(|(_, count)| count).sum::<Integer>();
    // Of each pair or tap as many as of any other.
    let none = Integer::default();
    let more = left.into_iter().filter(|(_, count)| *count != none).filter_map(|(why, count)| {
        let of = &said[who].count * count;
        (&of % &all == none).then(|| (who, why, of / &all))
    });
    more.collect()
}

/// The class of which the ledger has as many of each pair or tap, of what masks and padding leave out.
fn told_by(share: Share) -> Option<Class> {
    match share {
        Share::LinearProducts
        | Share::ConvolutionProducts
        | Share::Products
        | Share::AttentionProducts
        | Share::Again
        | Share::AttentionScale
        | Share::Multiplication => Some(Class::Mul),
        Share::AttentionBias | Share::Addition => Some(Class::Add),
        Share::AttentionCap => Some(Class::Tanh),
        Share::Softmax => Some(Class::Exp),
        Share::LinearBias
        | Share::ConvolutionBias
        | Share::Combination
        | Share::Normalisation
        | Share::Activation
        | Share::Rotation
        | Share::Embedding
        | Share::Routing
        | Share::Other => None,
    }
}

fn told(why: LeftOut) -> &'static str {
    match why {
        LeftOut::Hidden => "pairs that a mask hides, which",
        LeftOut::Padding => "taps of the window that fall on padding, which",
        LeftOut::Cut => "results that padding cuts off, which",
    }
}

/// Why two counts differ: a rule that the other lacks, or two rules.
fn reason(
    said: [&Said; 2],
    tallies: [&Tally; 2],
    unit: usize,
    notes: &mut BTreeSet<String>,
) -> Option<String> {
    match [said[0].rules.is_empty(), said[1].rules.is_empty()] {
        [false, false] if said[0].rules == said[1].rules => None,
        [false, false] => Some(format!("{} against {}", said[0].text(), said[1].text())),
        [blind, _] => {
            let tally = tallies[usize::from(!blind)];
            let name = plain(&tally.convention);
            if let Some(own) = &tally.reasons[unit] {
                return Some(format!("not counted by {name}: {own}"));
            }
            // Without a word on what it does not know, it has a rule for every call there is.
            let Some(unseen) = &tally.unseen else {
                return Some(format!("no such operation where {name} looks"));
            };
            notes.insert(format!("{name}: {unseen}"));
            Some(format!("not counted by {name}"))
        }
    }
}

/// The name of a convention without its version.
fn plain(name: &str) -> &str {
    name.split_once('@').map_or(name, |(plain, _)| plain)
}
