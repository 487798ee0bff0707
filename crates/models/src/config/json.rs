//! JSON of which no key is lost: `serde_json` keeps the last of two equal keys, this refuses them.

use std::collections::BTreeSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// Reads JSON in which no object has a key twice.
///
/// # Errors
/// What is no JSON, and where; or the key that stands twice.
pub(crate) fn parse(text: &[u8]) -> Result<Value, serde_json::Error> {
    serde_json::from_slice::<Unique>(text)?;
    serde_json::from_slice(text)
}

/// Any JSON without equal keys; what it holds is passed over.
struct Unique;

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Unique)
    }
}

impl<'de> Visitor<'de> for Unique {
    type Value = Unique;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_unit<E: Error>(self) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Unique, A::Error> {
        while items.next_element::<Unique>()?.is_some() {}
        Ok(Unique)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Unique, A::Error> {
        let mut keys = BTreeSet::new();
        while let Some(key) = entries.next_key::<String>()? {
            // Numbers of any precision come as an object whose only value is no JSON of its own.
            if keys.is_empty() && key.starts_with("$serde_json::") {
                entries.next_value::<IgnoredAny>()?;
                continue;
            }
            entries.next_value::<Unique>()?;
            if !keys.insert(key.clone()) {
                return Err(A::Error::custom(format!(
                    "the key `{}` stands twice",
                    key.escape_debug()
                )));
            }
        }
        Ok(Unique)
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn equal_keys_are_refused_at_every_level() {
        for good in ["{}", r#"{"a": [1, 2.5e3, -7, null, true, "x"], "b": {"a": {}}}"#, "3"] {
            assert_eq!(
                parse(good.as_bytes()).unwrap(),
                serde_json::from_str::<serde_json::Value>(good).unwrap()
            );
        }
        for bad in [r#"{"a": 1, "a": 1}"#, r#"{"b": [{"a": 1, "c": 2, "a": 3}]}"#] {
            let error = parse(bad.as_bytes()).unwrap_err().to_string();
            assert!(error.contains("the key `a` stands twice"), "{error}");
        }
        assert!(parse(b"{\"a\": 1").is_err() && parse(&[0xff]).is_err());
        assert!(parse(&b"[".repeat(100_000)).is_err(), "no depth overflows the stack");
    }
}
