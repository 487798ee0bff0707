//! JSON in which no object has a key twice, where `serde` keeps the last of two.
//!
//! [`parse`] reads any document. [`Strict`] reads an object into a type that takes it key by key, and
//! so goes as deep only as the types say.
//!
//! ```
//! assert_eq!(opledger_json::parse(br#"{"a": [1, 2.5]}"#)?["a"][1], 2.5);
//! let twice = opledger_json::parse(br#"{"b": {"a": 1, "a": 2}}"#).unwrap_err();
//! assert_eq!(twice.to_string(), "the key `a` stands twice at line 1 column 22");
//! # Ok::<(), serde_json::Error>(())
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// The most keys of one object that is read into a map.
const MAX_KEYS: usize = 1 << 20;

/// Reads a document.
///
/// # Errors
/// What is no JSON, or the key that stands twice; and where.
pub fn parse(text: &[u8]) -> Result<Value, serde_json::Error> {
    serde_json::from_slice::<Document>(text).map(|document| document.0)
}

/// What an object becomes.
pub trait Object: Default {
    /// Takes the value of a key from `values`; false when the key was there before.
    ///
    /// # Errors
    /// What is wrong with the key or its value.
    fn take<'de, A: MapAccess<'de>>(
        &mut self,
        key: String,
        values: &mut A,
    ) -> Result<bool, A::Error>;
}

/// An object, and none of its keys twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strict<T>(pub T);

/// The error of a key that is none of those known.
///
/// # Errors
/// Always.
pub fn unknown<T, E: Error>(key: &str, known: &str) -> Result<T, E> {
    Err(E::custom(format!("the key `{}` is none of {known}", named(key))))
}

/// The most characters of a key that an error repeats.
const SHOWN: usize = 80;

/// A key as errors show it.
fn named(key: &str) -> String {
    key.chars().take(SHOWN).flat_map(char::escape_debug).collect()
}

/// Gives an object a key and all that follow it.
fn fill<'de, A: MapAccess<'de>, T: Object>(
    mut next: Option<String>,
    mut entries: A,
) -> Result<T, A::Error> {
    let mut object = T::default();
    while let Some(key) = next {
        if !object.take(key.clone(), &mut entries)? {
            return Err(A::Error::custom(format!("the key `{}` stands twice", named(&key))));
        }
        next = entries.next_key()?;
    }
    Ok(object)
}

impl<'de, T: Object> Deserialize<'de> for Strict<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Object> Visitor<'de> for ObjectVisitor<T> {
    type Value = Strict<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let first = entries.next_key()?;
        fill(first, entries).map(Strict)
    }
}

impl<V: for<'de> Deserialize<'de>> Object for BTreeMap<String, V> {
    fn take<'de, A: MapAccess<'de>>(
        &mut self,
        key: String,
        values: &mut A,
    ) -> Result<bool, A::Error> {
        if self.len() == MAX_KEYS {
            return Err(A::Error::custom(format!("an object of over {MAX_KEYS} keys")));
        }
        Ok(self.insert(key, values.next_value()?).is_none())
    }
}

impl Object for Map<String, Value> {
    fn take<'de, A: MapAccess<'de>>(
        &mut self,
        key: String,
        values: &mut A,
    ) -> Result<bool, A::Error> {
        Ok(self.insert(key, values.next_value::<Document>()?.0).is_none())
    }
}

/// A document, and no object in it with a key twice.
struct Document(Value);

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DocumentVisitor).map(Document)
    }
}

struct DocumentVisitor;

impl<'de> Visitor<'de> for DocumentVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(Document(item)) = items.next_element()? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let first: Option<String> = entries.next_key()?;
        // Under `arbitrary_precision` a number comes as an object of this one key.
        if first.as_deref() == Some("$serde_json::private::Number") {
            let number: String = entries.next_value()?;
            return number.parse().map(Value::Number).map_err(A::Error::custom);
        }
        fill(first, entries).map(Value::Object)
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_document_is_what_serde_reads() {
        let number = "123456789012345678901234567890.5";
        for good in
            ["{}", r#"{"a": [1, 2.5e3, -7, null, true, "xé"], "b": {"a": {}}}"#, "3", number]
        {
            let expected = serde_json::from_str::<serde_json::Value>(good).unwrap();
            assert_eq!(parse(good.as_bytes()).unwrap(), expected);
        }
    }

    #[test]
    fn equal_keys_are_refused_at_every_level() {
        for bad in [r#"{"a": 1, "a": 1}"#, r#"{"b": [{"a": 1, "c": 2, "a": 3}]}"#] {
            let error = parse(bad.as_bytes()).unwrap_err().to_string();
            assert!(error.contains("the key `a` stands twice"), "{error}");
        }
    }

    #[test]
    fn what_is_no_json_is_refused() {
        assert!(parse(b"{\"a\": 1").is_err() && parse(&[0xff]).is_err() && parse(b"1 2").is_err());
        assert!(parse(br#"{"$serde_json::private::Number": "x"}"#).is_err());
        assert!(parse(&b"[".repeat(100_000)).is_err(), "no depth overflows the stack");
    }
}
