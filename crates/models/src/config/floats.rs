//! Numbers that JSON has not: infinity, and what is no number. Python writes their names bare, and the
//! `transformers` library from version 5 on as an object, `{"__float__": "Infinity"}`
//! (`configuration_utils.py`, 5.23.0).

use std::borrow::Cow;

use serde_json::Value;

/// The key of such an object.
const TAG: &str = "__float__";

/// Their names as Python writes them.
const NAMES: [&str; 3] = ["-Infinity", "Infinity", "NaN"];

/// A text with bare names of such numbers as objects.
pub(super) fn tagged(text: &[u8]) -> Cow<'_, [u8]> {
    let (mut out, mut rest, mut done) = (Vec::new(), text, 0);
    let mut quoted = false;
    while let Some(&byte) = rest.first() {
        let at = text.len() - rest.len();
        let len = match byte {
            b'\\' if quoted => 2.min(rest.len()),
            b'"' => {
                quoted = !quoted;
                1
            }
            _ => 1,
        };
        let name = NAMES.into_iter().find(|name| !quoted && rest.starts_with(name.as_bytes()));
        let len = name.map_or(len, str::len);
        if let Some(name) = name {
            out.extend_from_slice(&text[done..at]);
            out.extend_from_slice(format!("{{\"{TAG}\": \"{name}\"}}").as_bytes());
            done = at + len;
        }
        rest = &rest[len..];
    }
    match done {
        0 => Cow::Borrowed(text),
        _ => {
            out.extend_from_slice(&text[done..]);
            Cow::Owned(out)
        }
    }
}

/// Whether a value is infinity.
pub(crate) fn is_infinite(value: &Value) -> bool {
    value.as_object().is_some_and(|map| map.len() == 1 && map.get(TAG) == Some(&"Infinity".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_names_become_objects_but_in_texts() {
        let cases = [
            ("[0.0, Infinity]", "[0.0, {\"__float__\": \"Infinity\"}]"),
            ("[-Infinity,NaN]", "[{\"__float__\": \"-Infinity\"},{\"__float__\": \"NaN\"}]"),
            ("{\"a \\\" NaN\": 1}", "{\"a \\\" NaN\": 1}"),
            ("{\"Infinity\": \"NaN\"}", "{\"Infinity\": \"NaN\"}"),
            ("\"\\", "\"\\"),
            ("", ""),
        ];
        for (text, expected) in cases {
            assert_eq!(tagged(text.as_bytes()), expected.as_bytes(), "{text}");
        }
    }

    #[test]
    fn infinity_is_told_from_other_numbers() {
        let read = |text: &str| opledger_json::parse(&tagged(text.as_bytes())).unwrap();
        assert!(is_infinite(&read("Infinity")));
        for other in ["-Infinity", "NaN", "1e300", "\"Infinity\"", "{}"] {
            assert!(!is_infinite(&read(other)), "{other}");
        }
    }
}
