//! JSON objects read key by key: no key twice, and as deep only as the types that they become.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

use super::MAX_TENSORS;

/// What an object becomes.
pub(super) trait Object: Default {
    /// Takes the value of a key; false when the key was there before.
    fn take<'de, A: MapAccess<'de>>(
        &mut self,
        key: String,
        values: &mut A,
    ) -> Result<bool, A::Error>;
}

/// An object in which no key stands twice, where `serde` keeps the last of two in a map.
pub(super) struct Strict<T>(pub(super) T);

impl<'de, T: Object> Deserialize<'de> for Strict<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Keys(PhantomData))
    }
}

struct Keys<T>(PhantomData<T>);

impl<'de, T: Object> Visitor<'de> for Keys<T> {
    type Value = Strict<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut object = T::default();
        while let Some(key) = entries.next_key::<String>()? {
            if !object.take(key.clone(), &mut entries)? {
                return Err(A::Error::custom(format!("the key `{key}` stands twice")));
            }
        }
        Ok(Strict(object))
    }
}

impl<V: for<'de> Deserialize<'de>> Object for BTreeMap<String, V> {
    fn take<'de, A: MapAccess<'de>>(
        &mut self,
        key: String,
        values: &mut A,
    ) -> Result<bool, A::Error> {
        if self.len() == MAX_TENSORS {
            return Err(A::Error::custom(format!("an object of over {MAX_TENSORS} keys")));
        }
        Ok(self.insert(key, values.next_value()?).is_none())
    }
}

/// The error of a key that stands for nothing.
pub(super) fn unknown<T, E: Error>(key: &str, known: &str) -> Result<T, E> {
    Err(E::custom(format!("the key `{key}` is none of {known}")))
}
