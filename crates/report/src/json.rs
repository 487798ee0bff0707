//! JSON in which whole numbers of any size are numbers.

use std::collections::BTreeMap;

use opledger_dims::{Binding, Counts, Integer, Poly};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use serde_json::{Number, Value};

use crate::Cell;

/// What a record counts in: whole numbers, or formulas.
pub trait Amount {
    /// An integer as a JSON integer, a formula as a string.
    fn json(&self) -> Value;

    /// In a table.
    fn cell(&self) -> Cell;
}

impl Amount for Integer {
    fn json(&self) -> Value {
        // The digits of an integer are a JSON number.
        self.to_string().parse::<Number>().map_or(Value::Null, Value::Number)
    }

    fn cell(&self) -> Cell {
        Cell::Number(self.clone())
    }
}

impl Amount for Poly {
    fn json(&self) -> Value {
        Value::String(self.to_string())
    }

    fn cell(&self) -> Cell {
        Cell::Text(self.to_string())
    }
}

pub(crate) fn pretty(record: &impl Serialize) -> Result<String, serde_json::Error> {
    Ok(serde_json::to_string_pretty(record)? + "\n")
}

pub(crate) fn quantity<N: Amount, S: Serializer>(n: &N, out: S) -> Result<S::Ok, S::Error> {
    n.json().serialize(out)
}

pub(crate) fn quantities<N: Amount, S: Serializer>(
    list: &Option<Vec<N>>,
    out: S,
) -> Result<S::Ok, S::Error> {
    match list {
        Some(list) => self::list(list, out),
        None => out.serialize_none(),
    }
}

/// A number, or null.
pub(crate) fn optional<N: Amount, S: Serializer>(n: &Option<N>, out: S) -> Result<S::Ok, S::Error> {
    match n {
        Some(n) => quantity(n, out),
        None => out.serialize_none(),
    }
}

/// A list of numbers.
pub(crate) fn list<N: Amount, S: Serializer>(list: &[N], out: S) -> Result<S::Ok, S::Error> {
    let mut seq = out.serialize_seq(Some(list.len()))?;
    for n in list {
        seq.serialize_element(&n.json())?;
    }
    seq.end()
}

/// Every class, those that do not occur with zero.
pub(crate) fn counts<N: Amount, S: Serializer>(
    counts: &Counts<N>,
    out: S,
) -> Result<S::Ok, S::Error> {
    let mut map = out.serialize_map(None)?;
    for (class, n) in counts.iter() {
        map.serialize_entry(class.name(), &n.json())?;
    }
    map.end()
}

pub(crate) fn binding<S: Serializer>(binding: &Binding, out: S) -> Result<S::Ok, S::Error> {
    let mut map = out.serialize_map(None)?;
    for (symbol, value) in binding.iter() {
        map.serialize_entry(symbol.as_str(), &value.json())?;
    }
    map.end()
}

/// Lists of pairs as an object.
pub(crate) fn pairs<S: Serializer>(
    pairs: &[(&'static str, &'static str)],
    out: S,
) -> Result<S::Ok, S::Error> {
    pairs.iter().copied().collect::<BTreeMap<_, _>>().serialize(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_of_any_size_stay_integers() {
        let big: Integer = Integer::from(10).pow(40) + 1;
        assert_eq!(big.json().to_string(), "1".to_owned() + &"0".repeat(39) + "1");
        let small: Integer = -Integer::from(u64::MAX) - 5;
        assert_eq!(small.json().to_string(), "-18446744073709551620");
        assert_eq!("2·n".parse::<Poly>().unwrap().json().to_string(), "\"2·n\"");
    }
}
