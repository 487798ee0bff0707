//! How sizes follow from the keys of a configuration, found by asking the reader of configurations itself:
//! each key is changed, and what becomes of the graph and of its sizes is looked at.

use std::collections::{BTreeMap, BTreeSet};

use opledger_dims::{Integer, Symbol};
use serde_json::Value;

use crate::Request;
use crate::config::{Config, ConfigError, HARMLESS};

/// What of a configuration may be another while its formulas stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Sizes as products of powers of keys.
    pub sizes: Vec<ProbedSize>,
    /// The tokens that there are positions for, so.
    pub positions: Option<ProbedSize>,
    /// Keys that sizes follow from, with their values.
    pub keys: BTreeMap<String, u64>,
    /// Those of them that may not have every value: where one divided another, it has to.
    pub bound: BTreeSet<String>,
    /// Those of them that have to be even.
    pub even: BTreeSet<String>,
    /// Keys of any number, since no number was seen to change anything, with their values as JSON where they have
    /// one.
    pub free: BTreeMap<String, Option<String>>,
    /// Keys that have to be as they are, with their values as JSON.
    pub fixed: BTreeMap<String, String>,
    /// Keys that the reader asks for and that have to be absent; of those that are known, all others are not read.
    pub absent: BTreeSet<String>,
}

/// A size as a product: `numerator / denominator · keys`, each to its power.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbedSize {
    /// The size.
    pub symbol: String,
    /// What it has at the keys' values.
    pub value: Integer,
    /// Keys and their powers, 1 or −1.
    pub powers: Vec<(String, i64)>,
}

/// Keys that change nothing in any family.
pub fn harmless_keys() -> &'static [&'static str] {
    HARMLESS
}

/// What the reader makes of a configuration: the graph as text, and the sizes.
struct Reading {
    graph: String,
    sizes: BTreeMap<String, Integer>,
}

/// What tokens that there are positions for are called among sizes, which no symbol is called.
const POSITIONS: &str = "(positions)";

fn reading(config: &Config, request: Request) -> Result<Reading, ConfigError> {
    let model = config.model("probe", &request)?;
    let limit = model.positions.as_ref().map(|limit| (limit.key, limit.computed));
    let graph = format!("{} {:?} {limit:?}", model.graph, model.notes);
    let sizes = model.graph.derive(&model.binding).unwrap_or_else(|_| model.binding.clone());
    let named = |(symbol, size): (&Symbol, &Integer)| (symbol.to_string(), size.clone());
    let mut sizes: BTreeMap<String, Integer> = sizes.iter().map(named).collect();
    if let Some(limit) = &model.positions {
        sizes.insert(POSITIONS.to_owned(), limit.tokens.into());
    }
    Ok(Reading { graph, sizes })
}

/// The power of a factor by which a size became another, where it is one of −1, 0, 1.
fn power(before: &Integer, after: &Integer, [up, down]: [u64; 2]) -> Option<i64> {
    match () {
        () if before == after => Some(0),
        () if before * up == after * down => Some(1),
        () if before * down == after * up => Some(-1),
        () => None,
    }
}

impl Config {
    /// How sizes follow from its keys. `known` are keys that other configurations have.
    ///
    /// # Errors
    /// When the configuration itself cannot be read.
    pub fn probe(&self, known: &BTreeSet<String>) -> Result<Probe, ConfigError> {
        let own = reading(self, Request::default())?;
        let mut probe = Probe {
            sizes: Vec::new(),
            positions: None,
            keys: BTreeMap::new(),
            bound: BTreeSet::new(),
            even: BTreeSet::new(),
            free: BTreeMap::new(),
            fixed: BTreeMap::new(),
            absent: BTreeSet::new(),
        };
        let mut powers: BTreeMap<String, Vec<(String, i64)>> = BTreeMap::new();
        let mut changed: Vec<(String, Value)> = Vec::new();
        let (_, map) = self.content();
        for (key, value) in map {
            if HARMLESS.contains(&&**key) {
                continue;
            }
            match self.probed(key, value, &own) {
                Found::Size { of, bound, even, value, other } => {
                    for (symbol, power) in of {
                        powers.entry(symbol).or_default().push((key.clone(), power));
                    }
                    if bound {
                        probe.bound.insert(key.clone());
                    }
                    if even {
                        probe.even.insert(key.clone());
                    }
                    probe.keys.insert(key.clone(), value);
                    changed.push((key.clone(), other));
                }
                Found::Free => drop(probe.free.insert(key.clone(), Some(value.to_string()))),
                Found::Fixed => drop(probe.fixed.insert(key.clone(), value.to_string())),
            }
        }
        for (symbol, value) in &own.sizes {
            let powers = powers.remove(symbol).unwrap_or_default();
            let size = ProbedSize { symbol: symbol.clone(), value: value.clone(), powers };
            match symbol == POSITIONS {
                true => probe.positions = Some(size),
                false => probe.sizes.push(size),
            }
        }
        let whole = self.jointly(&probe, &changed);
        if !whole {
            // What one key does depends on another: every size is as it is.
            for size in probe.sizes.iter_mut().chain(&mut probe.positions) {
                size.powers.clear();
            }
            for (key, value) in std::mem::take(&mut probe.keys) {
                probe.fixed.insert(key, value.to_string());
            }
        }
        let others: BTreeSet<&String> =
            known.iter().filter(|key| !map.contains_key(*key)).collect();
        let with_all = others.iter().fold(self.clone(), |all, key| all.with(key, Value::Null));
        let unread = with_all.model("probe", &Request::default())?.not_understood;
        let read = others.into_iter().filter(|key| !HARMLESS.contains(&&***key));
        for key in read.filter(|key| !unread.contains(key)) {
            let same = [1_u64, 6].into_iter().all(|number| {
                let other = reading(&self.with(key, number.into()), Request::default());
                other.is_ok_and(|other| other.graph == own.graph && other.sizes == own.sizes)
            });
            match same {
                true => drop(probe.free.insert(key.clone(), None)),
                false => drop(probe.absent.insert(key.clone())),
            }
        }
        Ok(probe)
    }

    /// What a key is to the sizes.
    fn probed(&self, key: &str, value: &Value, own: &Reading) -> Found {
        let at = |value: Value| reading(&self.with(key, value), Request::default()).ok();
        let same = |other: &Reading| other.graph == own.graph && other.sizes == own.sizes;
        if let Some(number) = value.as_f64()
            && !value.is_u64()
        {
            let others = [number * 2.0, number * 0.75].map(|other| at(other.into()));
            let free = others.iter().all(|other| other.as_ref().is_some_and(same));
            return if free { Found::Free } else { Found::Fixed };
        }
        let Some(number) = value.as_u64().filter(|number| *number > 0) else { return Found::Fixed };
        let factors = [[2, 1], [1, 2]].into_iter().filter(|[_, down]| number % down == 0);
        let Some((factor, other)) = factors
            .filter_map(|factor| {
                at((number * factor[0] / factor[1]).into()).map(|other| (factor, other))
            })
            .find(|(_, other)| other.graph == own.graph)
        else {
            return Found::Fixed;
        };
        let of = |other: &Reading, factor| {
            let each = own.sizes.iter().map(|(symbol, before)| {
                Some((symbol.clone(), power(before, other.sizes.get(symbol)?, factor)?))
            });
            each.collect::<Option<BTreeMap<String, i64>>>()
        };
        let Some(found) = of(&other, factor) else { return Found::Fixed };
        // Others are refused, or the products hold for them; the primes divide no published size.
        let mut refused = Vec::new();
        for next in [1, number + 1, number + 2, 8191, 131_071] {
            match at(next.into()).filter(|next| next.graph == own.graph) {
                Some(read) if of(&read, [next, number]).as_ref() == Some(&found) => {}
                Some(_) => return Found::Fixed,
                None => refused.push(next),
            }
        }
        let bound = !refused.is_empty();
        let even = number % 2 == 0 && bound && !refused.contains(&(number + 2));
        let of = found.into_iter().filter(|(_, power)| *power != 0).collect();
        Found::Size {
            of,
            bound,
            even,
            value: number,
            other: (number * factor[0] / factor[1]).into(),
        }
    }

    /// Whether sizes are the products that they are said to be where several keys change at once, with a cache
    /// and without.
    fn jointly(&self, probe: &Probe, changed: &[(String, Value)]) -> bool {
        let cached = Request { past: true, ..Request::default() };
        let mut settled = false;
        for request in [Request::default(), cached] {
            let Ok(own) = reading(self, request) else { continue };
            for which in [0xffff_u32, 0x5555, 0xaaaa] {
                let chosen = changed.iter().enumerate();
                let chosen = chosen.filter(|(at, _)| (which >> (at % 16)) & 1 == 1);
                let chosen: BTreeMap<&str, &Value> =
                    chosen.map(|(_, (key, value))| (&**key, value)).collect();
                let one =
                    |all: Config, (key, value): (&&str, &&Value)| all.with(key, (*value).clone());
                let other = chosen.iter().fold(self.clone(), one);
                let Ok(read) = reading(&other, request) else { continue };
                if read.graph != own.graph || !probe.gives(&chosen, &read.sizes) {
                    return false;
                }
                settled = true;
            }
        }
        settled
    }
}

impl Probe {
    /// Whether a configuration is one of these, but for what sizes have to be to each other.
    pub fn covers(&self, config: &Config) -> bool {
        let (_, map) = config.content();
        let value = |key: &str| map.get(key).filter(|value| !value.is_null());
        let fixed = |(key, text): (&String, &String)| {
            let own = serde_json::from_str(text).unwrap_or(Value::Null);
            *value(key).unwrap_or(&Value::Null) == own
        };
        self.fixed.iter().all(fixed)
            && self.keys.keys().all(|key| value(key).is_some_and(Value::is_u64))
            && self.free.keys().all(|key| value(key).is_none_or(Value::is_number))
            && self.absent.iter().all(|key| value(key).is_none())
    }

    /// Whether sizes are its products where some keys have other values.
    fn gives(&self, keys: &BTreeMap<&str, &Value>, sizes: &BTreeMap<String, Integer>) -> bool {
        self.sizes.iter().chain(&self.positions).all(|size| {
            let (mut up, mut down) = (size.value.clone(), Integer::from(1));
            for (key, power) in &size.powers {
                let after = keys.get(&**key).and_then(|value| value.as_u64());
                let (Some(after), Some(before)) = (after, self.keys.get(key)) else { continue };
                let [by, of] = if *power > 0 { [after, *before] } else { [*before, after] };
                (up, down) = (up * by, down * of);
            }
            sizes.get(&size.symbol).is_none_or(|now| now * down == up)
        })
    }
}

/// What a key was found to be.
enum Found {
    Size { of: Vec<(String, i64)>, bound: bool, even: bool, value: u64, other: Value },
    Free,
    Fixed,
}
