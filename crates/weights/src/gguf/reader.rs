//! Reading the header of a GGUF file, as it stands there.

use std::collections::BTreeMap;
use std::io::{BufReader, Read};
use std::path::Path;

use serde_json::{Map, Number, Value, json};

use super::{Gguf, GgufError, GgufProblem, GgufTensor, TensorKind};
use crate::files::open_regular;
use crate::limits::MAX_HEADER;

/// The most keys and the most tensors, and the most elements of an array that are kept.
const MOST: u64 = 1 << 16;
const KEPT: u64 = 1 << 12;
/// The longest text that is kept, and the most sizes of a tensor (four in ggml).
const TEXT: u64 = 1 << 20;
const AXES: u32 = 4;

/// Reads a header.
pub(super) fn read(path: &Path) -> Result<Gguf, GgufError> {
    let unreadable = |problem: String| GgufError::Unreadable { path: path.to_owned(), problem };
    let (file, identity) = open_regular(path).map_err(unreadable)?;
    parse(path, BufReader::new(file), identity.length)
}

/// Reads the header of a file of so many bytes.
pub(super) fn parse(path: &Path, file: impl Read, length: u64) -> Result<Gguf, GgufError> {
    let mut bytes = Bytes { file, at: 0, length };
    match header(&mut bytes) {
        Ok((metadata, tensors, start)) => {
            Ok(Gguf { path: path.to_owned(), metadata, tensors, start, length })
        }
        Err(problem) => Err(GgufError::Malformed { path: path.to_owned(), problem, at: bytes.at }),
    }
}

type Header = (Map<String, Value>, BTreeMap<String, GgufTensor>, u64);

fn header<R: Read>(bytes: &mut Bytes<R>) -> Result<Header, GgufProblem> {
    if bytes.take::<4>("first bytes").ok() != Some(*b"GGUF") {
        return Err(GgufProblem::Magic);
    }
    let version = bytes.u32("version")?;
    match version {
        2 | 3 => {}
        other if (2..=3).contains(&other.swap_bytes()) => return Err(GgufProblem::BigEndian),
        other => return Err(GgufProblem::Version(other)),
    }
    let tensors = bytes.number("tensors", MOST)?;
    let keys = bytes.number("keys", MOST)?;
    let mut metadata = Map::new();
    for _ in 0..keys {
        let key = bytes.text("keys")?;
        let kind = bytes.u32("keys")?;
        let value = bytes.value(&key, kind)?;
        if metadata.insert(key.clone(), value).is_some() {
            return Err(GgufProblem::Twice(key));
        }
    }
    let alignment = metadata.get("general.alignment").and_then(Value::as_u64).unwrap_or(32);
    let mut found = BTreeMap::new();
    let mut places = Vec::new();
    for _ in 0..tensors {
        let (name, tensor, place) = bytes.tensor()?;
        let taken = u64::try_from(tensor.bytes()).unwrap_or(u64::MAX);
        places.push((place, taken, name.clone()));
        if found.insert(name.clone(), tensor).is_some() {
            return Err(GgufProblem::Twice(name));
        }
    }
    let aligned = |at: u64| at.checked_next_multiple_of(alignment.max(1));
    let start = aligned(bytes.at).ok_or(GgufProblem::Short("header"))?;
    places.sort_unstable();
    let mut end = 0;
    for (place, taken, name) in places {
        if place < end || aligned(place) != Some(place) {
            return Err(GgufProblem::Place(name));
        }
        end = place.checked_add(taken).ok_or(GgufProblem::Short("tensors"))?;
    }
    match start.checked_add(end).is_some_and(|end| end <= bytes.length) {
        true => Ok((metadata, found, start)),
        false => Err(GgufProblem::Short("tensors")),
    }
}

/// A file, as far as it was read.
struct Bytes<R> {
    file: R,
    at: u64,
    length: u64,
}

impl<R: Read> Bytes<R> {
    fn take<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], GgufProblem> {
        let mut bytes = [0; N];
        self.file.read_exact(&mut bytes).map_err(|_| GgufProblem::Short(what))?;
        self.at += N as u64;
        match self.at > MAX_HEADER {
            true => Err(GgufProblem::Many {
                what: "bytes of header",
                number: self.at,
                most: MAX_HEADER,
            }),
            false => Ok(bytes),
        }
    }

    fn u32(&mut self, what: &'static str) -> Result<u32, GgufProblem> {
        self.take(what).map(u32::from_le_bytes)
    }

    fn u64(&mut self, what: &'static str) -> Result<u64, GgufProblem> {
        self.take(what).map(u64::from_le_bytes)
    }

    /// A number of things that follow, each of which takes a byte at least.
    fn number(&mut self, what: &'static str, most: u64) -> Result<u64, GgufProblem> {
        let number = self.u64(what)?;
        match number > most {
            true => Err(GgufProblem::Many { what, number, most }),
            false => Ok(number),
        }
    }

    /// A text, kept where it is not too long.
    fn text(&mut self, what: &'static str) -> Result<String, GgufProblem> {
        let length = self.u64(what)?;
        if length > self.length.saturating_sub(self.at) {
            return Err(GgufProblem::Short(what));
        }
        if length > TEXT {
            self.skip(length, what)?;
            return Ok(String::new());
        }
        let mut text = vec![0; length as usize];
        self.file.read_exact(&mut text).map_err(|_| GgufProblem::Short(what))?;
        self.at += length;
        String::from_utf8(text).map_err(|_| GgufProblem::Text)
    }

    /// Passes over so many bytes.
    fn skip(&mut self, bytes: u64, what: &'static str) -> Result<(), GgufProblem> {
        let end = self.at.checked_add(bytes).filter(|end| *end <= self.length.min(MAX_HEADER));
        let end = end.ok_or(GgufProblem::Short(what))?;
        let passed = std::io::copy(&mut self.file.by_ref().take(bytes), &mut std::io::sink());
        self.at = end;
        match passed.is_ok_and(|passed| passed == bytes) {
            true => Ok(()),
            false => Err(GgufProblem::Short(what)),
        }
    }

    fn value(&mut self, key: &str, kind: u32) -> Result<Value, GgufProblem> {
        const WHAT: &str = "metadata";
        // What is no number stays a text, which no size and no constant is.
        let real = |x: f64| Number::from_f64(x).map_or_else(|| x.to_string().into(), Value::Number);
        Ok(match kind {
            0 => u8::from_le_bytes(self.take(WHAT)?).into(),
            1 => i8::from_le_bytes(self.take(WHAT)?).into(),
            2 => u16::from_le_bytes(self.take(WHAT)?).into(),
            3 => i16::from_le_bytes(self.take(WHAT)?).into(),
            4 => self.u32(WHAT)?.into(),
            5 => i32::from_le_bytes(self.take(WHAT)?).into(),
            // The shortest decimal of an f32, as its writer meant it: 0.00001, not 0.0000099999997.
            6 => {
                let x = f32::from_le_bytes(self.take(WHAT)?);
                real(x.to_string().parse().unwrap_or(f64::from(x)))
            }
            7 => Value::Bool(self.take::<1>(WHAT)? != [0]),
            8 => self.text(WHAT)?.into(),
            9 => self.array(key)?,
            10 => self.u64(WHAT)?.into(),
            11 => i64::from_le_bytes(self.take(WHAT)?).into(),
            12 => real(f64::from_le_bytes(self.take(WHAT)?)),
            kind => return Err(GgufProblem::ValueKind { key: key.to_owned(), kind }),
        })
    }

    /// An array: its values, or its length where these are texts or many.
    fn array(&mut self, key: &str) -> Result<Value, GgufProblem> {
        const WHAT: &str = "metadata";
        let (kind, length) = (self.u32(WHAT)?, self.u64(WHAT)?);
        let bytes = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            10..=12 => 8,
            8 => {
                // Each text has its length of 8 bytes before it, so the file ends the loop.
                for _ in 0..length {
                    let text = self.u64(WHAT)?;
                    self.skip(text, WHAT)?;
                }
                return Ok(json!({ "length": length }));
            }
            9 => return Err(GgufProblem::Nested(key.to_owned())),
            kind => return Err(GgufProblem::ValueKind { key: key.to_owned(), kind }),
        };
        if length > KEPT {
            self.skip(length.checked_mul(bytes).ok_or(GgufProblem::Short(WHAT))?, WHAT)?;
            return Ok(json!({ "length": length }));
        }
        (0..length).map(|_| self.value(key, kind)).collect()
    }

    /// A tensor with its name and where it begins.
    fn tensor(&mut self) -> Result<(String, GgufTensor, u64), GgufProblem> {
        const WHAT: &str = "list of tensors";
        let (name, axes) = (self.text(WHAT)?, self.u32(WHAT)?);
        if axes > AXES {
            let (what, number) = ("sizes of a tensor", u64::from(axes));
            return Err(GgufProblem::Many { what, number, most: AXES.into() });
        }
        let mut shape: Vec<u64> = (0..axes).map(|_| self.u64(WHAT)).collect::<Result<_, _>>()?;
        let (kind, place) = (self.u32(WHAT)?, self.u64(WHAT)?);
        let known = TensorKind::of(kind);
        let kind = known.ok_or_else(|| GgufProblem::TensorKind { name: name.clone(), kind })?;
        let (block, _) = kind.block();
        let whole = shape.iter().try_fold(1_u64, |all, size| all.checked_mul(*size));
        if whole.is_none() || shape.first().copied().unwrap_or(1) % block != 0 {
            return Err(GgufProblem::Shape { name, shape, block });
        }
        shape.reverse();
        Ok((name, GgufTensor { kind, shape, begin: place }, place))
    }
}
