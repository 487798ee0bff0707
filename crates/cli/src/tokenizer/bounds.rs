//! What a tokenizer may ask memory for, told from its file before anything is built.
//!
//! Steps are judged by the fields that they have, not by their type alone: the library reads a step whose
//! type it does not know as whatever its fields fit.

use serde::Deserialize;
use serde_json::Value;

/// The longest that a text may become between the steps, in bytes; the library takes some twenty bytes for
/// each.
pub(crate) const MAX_TEXT: u128 = 32 << 20;

/// The longest added token and all of them together, in bytes. What the library builds of them takes
/// time that grows with the square of a token's length.
const MAX_TOKEN: usize = 512;
const MAX_TOKENS: usize = 1 << 20;

/// The most pieces of a template, over all templates that follow each other, and the most ids of a
/// special token.
const MAX_PIECES: usize = 64;

/// The most tokens for each byte of a text, and beside those. The longest normal form of a character is
/// that of U+FDFA, 18 characters of 33 bytes for 3, each byte of which may be a token.
pub(super) const TOKENS_PER_BYTE: usize = 16;
pub(super) const MAX_SPECIAL: usize = 256;

/// How the text between two steps of a tokenizer may grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Growth {
    /// Bytes for each byte.
    times: u128,
    /// Bytes for each place between bytes, first and last; nothing grows out of nothing.
    plus: u128,
}

impl Growth {
    fn after(self, bytes: u128) -> u128 {
        let places = if bytes == 0 { 0 } else { bytes.saturating_add(1) };
        bytes.saturating_mul(self.times).saturating_add(places.saturating_mul(self.plus))
    }
}

/// How texts grow from step to step.
#[derive(Clone, Debug)]
pub(super) struct Bounds {
    encoding: Vec<Growth>,
    decoding: Vec<Growth>,
}

/// The parts of a file that bounds are told from.
#[derive(Deserialize)]
struct Parts {
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    post_processor: Value,
    #[serde(default)]
    decoder: Value,
}

#[derive(Deserialize)]
struct AddedToken {
    content: String,
}

impl Bounds {
    /// Reads the bounds of a file.
    ///
    /// # Errors
    /// What is beyond them.
    pub(super) fn read(bytes: &[u8]) -> Result<Bounds, String> {
        let parts: Parts = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        let mut bounds = Bounds { encoding: Vec::new(), decoding: Vec::new() };
        steps(&parts.normalizer, &mut bounds.encoding)?;
        let lengths = parts.added_tokens.iter().map(|token| token.content.len());
        if let Some(length) = lengths.clone().find(|length| *length > MAX_TOKEN) {
            return Err(format!("an added token has {length} bytes, over {MAX_TOKEN}"));
        }
        let total: usize = lengths.sum();
        if total > MAX_TOKENS {
            return Err(format!("its added tokens have {total} bytes, over {MAX_TOKENS}"));
        }
        bounds.encoded(total)?;
        steps(&parts.pre_tokenizer, &mut bounds.encoding)?;
        steps(&parts.decoder, &mut bounds.decoding)?;
        let pieces = pieces(&parts.post_processor)?;
        if pieces > MAX_PIECES {
            return Err(format!("its templates have {pieces} pieces, over {MAX_PIECES}"));
        }
        Ok(bounds)
    }

    /// Checks that a text of so many bytes can be encoded.
    pub(super) fn encoded(&self, bytes: usize) -> Result<(), String> {
        grown(&self.encoding, bytes)
    }

    /// Checks that tokens of so many bytes can be decoded.
    pub(super) fn decoded(&self, bytes: usize) -> Result<(), String> {
        grown(&self.decoding, bytes)
    }
}

fn grown(steps: &[Growth], bytes: usize) -> Result<(), String> {
    let most = steps.iter().fold(bytes as u128, |bytes, step| step.after(bytes));
    match most > MAX_TEXT {
        true => Err(format!("a text of {bytes} bytes may grow to {most} by it, over {MAX_TEXT}")),
        false => Ok(()),
    }
}

/// Appends the growth of a step, or of the steps that it has inside.
fn steps(step: &Value, all: &mut Vec<Growth>) -> Result<(), String> {
    let Some(fields) = step.as_object() else { return Ok(()) };
    let text = |name: &str| fields.get(name).and_then(Value::as_str);
    // Factors of the normal forms: <https://www.unicode.org/faq/normalization.html>, in UTF-8.
    let times = match text("type").unwrap_or_default() {
        "NFC" | "NFD" => 3,
        "NFKC" | "NFKD" => 11,
        "Lowercase" | "ByteLevel" => 2,
        // A character for each that is replaced, of up to four bytes.
        "Metaspace" => 4,
        "Strip" | "StripAccents" | "Nmt" | "Sequence" | "Replace" | "Prepend" | "Precompiled" => 1,
        // Spaces around a character, its normal form, small letters.
        _ => 12,
    };
    let prefix = if matches!(text("type"), Some("ByteLevel" | "Metaspace")) { 4 } else { 0 };
    all.push(Growth { times, plus: prefix });
    if let Some(content) = text("content") {
        let new = content.len() as u128;
        let pattern = fields.get("pattern").and_then(|pattern| pattern.get("String"));
        let growth = match pattern.and_then(Value::as_str).map_or(0, str::len) as u128 {
            // What may match nothing is found between all characters.
            0 => Growth { times: 1, plus: new },
            old => Growth { times: new.div_ceil(old).max(1), plus: 0 },
        };
        all.push(growth);
    }
    if let Some(prepended) = text("prepend") {
        all.push(Growth { times: 1, plus: prepended.len() as u128 });
    }
    if let Some(map) = text("precompiled_charsmap") {
        all.push(Growth { times: longest_entry(map)?.max(1) as u128, plus: 0 });
    }
    for inside in ["normalizers", "pretokenizers", "decoders"] {
        let list = fields.get(inside).and_then(Value::as_array);
        list.into_iter().flatten().try_for_each(|step| steps(step, all))?;
    }
    Ok(())
}

/// The longest text that a character becomes by a map of SentencePiece: the length of a trie, the
/// trie, and texts that end with a zero byte.
fn longest_entry(map: &str) -> Result<usize, String> {
    let bad = || "its precompiled map of characters is none".to_owned();
    let bytes = base64::decode(map).map_err(|_| bad())?;
    let (length, rest) = bytes.split_first_chunk().ok_or_else(bad)?;
    let texts = rest.get(u32::from_le_bytes(*length) as usize / 4 * 4..).ok_or_else(bad)?;
    Ok(texts.split(|byte| *byte == 0).map(<[u8]>::len).max().unwrap_or(0))
}

/// How often a text may stand in what processors make of it, one after the other.
fn pieces(processor: &Value) -> Result<usize, String> {
    let Some(fields) = processor.as_object() else { return Ok(1) };
    let list = |name: &str| fields.get(name).and_then(Value::as_array);
    let own = ["single", "pair"].into_iter().filter_map(list).map(Vec::len).max().unwrap_or(1);
    let special = fields.get("special_tokens").and_then(Value::as_object);
    for (name, token) in special.into_iter().flatten() {
        let ids = token.get("ids").and_then(Value::as_array).map_or(0, Vec::len);
        if ids > MAX_PIECES {
            let name = opledger_dims::escaped(name);
            return Err(format!("its special token `{name}` has {ids} ids, over {MAX_PIECES}"));
        }
    }
    let inside = list("processors").into_iter().flatten();
    inside.map(pieces).try_fold(own.max(1), |all, one| Ok(all.saturating_mul(one?)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(file: &Value) -> Result<Bounds, String> {
        Bounds::read(file.to_string().as_bytes())
    }

    fn replace(pattern: &Value, content: &str) -> Value {
        json!({"type": "Replace", "pattern": pattern, "content": content})
    }

    #[test]
    fn texts_grow_from_step_to_step() {
        let space = replace(&json!({"String": " "}), "▁");
        let llama = json!({"normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "▁"}, space,
        ]}});
        let bounds = read(&llama).unwrap();
        assert!(bounds.encoded(128 << 10).is_ok() && bounds.decoded(32 << 20).is_ok());
        let (most, _) = (MAX_TEXT as usize / 12 - 3, bounds.encoded(usize::MAX).unwrap_err());
        assert!(bounds.encoded(most).is_ok() && bounds.encoded(most + 8).is_err());

        let grows = replace(&json!({"String": "a"}), &"a".repeat(100));
        let found = replace(&json!({"Regex": "b*"}), &"a".repeat(100));
        for step in [&grows, &found] {
            for (part, key) in [
                ("normalizer", "normalizers"),
                ("pre_tokenizer", "pretokenizers"),
                ("decoder", "decoders"),
            ] {
                // Whatever the outer step calls itself.
                for name in ["Sequence", "BertNormalizer", "Unknown"] {
                    let file = json!({part: {"type": name, key: vec![step; 6]}});
                    let bounds = read(&file).unwrap();
                    let refused = [bounds.encoded(10), bounds.decoded(10)];
                    assert_eq!(refused.iter().filter(|bound| bound.is_err()).count(), 1, "{file}");
                }
            }
        }
        let bytes = json!({"pre_tokenizer": {"type": "Sequence", "pretokenizers":
            vec![json!({"type": "ByteLevel"}); 30]}});
        assert!(read(&bytes).unwrap().encoded(10).is_err());
    }

    #[test]
    fn added_tokens_are_few_and_short() {
        let tokens = |length: usize, number: usize| {
            read(
                &json!({"added_tokens": vec![json!({"id": 1, "content": "x".repeat(length)}); number]}),
            )
        };
        assert!(tokens(512, 2048).is_ok());
        assert!(tokens(513, 1).unwrap_err().contains("an added token has 513 bytes"));
        assert!(tokens(512, 2049).unwrap_err().contains("its added tokens have 1049088 bytes"));
        let grows = replace(&json!({"String": "x"}), &"y".repeat(100));
        let file = json!({"added_tokens": vec![json!({"content": "x".repeat(500)}); 2000],
            "normalizer": grows});
        assert!(read(&file).unwrap_err().contains("may grow to 100000000"));
    }

    #[test]
    fn templates_are_short() {
        let template = |pieces: usize, ids: usize| {
            json!({"type": "TemplateProcessing", "single": vec![json!({"Sequence": {}}); pieces],
                "special_tokens": {"s\u{1b}": {"ids": vec![0; ids]}}})
        };
        let file = |processor: &Value| read(&json!({"post_processor": processor}));
        assert!(file(&template(64, 64)).is_ok());
        assert!(file(&template(65, 1)).unwrap_err().contains("65 pieces"));
        assert!(file(&template(1, 65)).unwrap_err().contains(r"`s\u{1b}` has 65 ids"));
        let both = |n| json!({"type": "Sequence", "processors": [template(8, 1), template(n, 1)]});
        assert!(file(&both(8)).is_ok() && file(&both(9)).unwrap_err().contains("72 pieces"));
    }

    #[test]
    fn a_map_of_characters_says_how_long_they_become() {
        let map = |trie: u32, texts: &[u8]| {
            base64::encode([&trie.to_le_bytes()[..], &[0; 8], texts].concat())
        };
        assert_eq!(longest_entry(&map(8, b"ab\0cdefg\0x")), Ok(5));
        assert_eq!(longest_entry(&map(8, b"")), Ok(0));
        for bad in [&*map(13, b""), "AAA", "?", ""] {
            assert!(longest_entry(bad).is_err(), "{bad}");
        }
    }
}
