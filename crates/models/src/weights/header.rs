//! The header of a safetensors file: which tensors there are, and that they fill the file.
//!
//! The format is 8 bytes with the length of the header, the header in JSON, and the elements
//! (<https://huggingface.co/docs/safetensors/index#format>). The parser is an own one: that of the
//! `safetensors` crate takes the last of two equal keys, and keys that it does not know.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use safetensors::Dtype;
use serde::Deserialize;
use serde::de::{Error, IntoDeserializer, MapAccess};

use super::MAX_TENSORS;
use super::error::escaped;
use super::json::{Object, Strict, unknown};

/// A tensor of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// What the elements are.
    pub dtype: Dtype,
    /// The sizes, outermost first.
    pub shape: Vec<usize>,
    /// Where the elements lie, in bytes after the header.
    pub(super) range: Range<u64>,
}

impl fmt::Display for TensorInfo {
    /// Kind and sizes: `F32 [2, 3]`, cut when they are many.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escaped(&format!("{} {:?}", self.dtype, self.shape)))
    }
}

/// Reads the header of a safetensors file, the JSON alone: the tensors by name. `data_len` is how
/// many bytes the file has after the header; the tensors fill them, each byte belonging to one.
///
/// # Errors
/// What is wrong, and with which tensor. The text may quote the header; see [`escaped`].
pub fn parse_header(text: &[u8], data_len: u64) -> Result<BTreeMap<String, TensorInfo>, String> {
    if text.first() != Some(&b'{') {
        return Err("its header does not begin with `{`".to_owned());
    }
    let header: Strict<Header> =
        serde_json::from_slice(text).map_err(|e| format!("its header: {e}"))?;
    let mut tensors = BTreeMap::new();
    for (name, entry) in header.0.tensors {
        let info =
            entry.info().map_err(|problem| format!("tensor `{}`: {problem}", escaped(&name)))?;
        tensors.insert(name, info);
    }
    let mut order: Vec<(&String, &TensorInfo)> = tensors.iter().collect();
    order.sort_by_key(|(_, info)| (info.range.start, info.range.end));
    let mut end = 0;
    for (name, info) in order {
        if info.range.start != end {
            let problem = if info.range.start < end { "overlaps another" } else { "leaves a hole" };
            let (name, start) = (escaped(name), info.range.start);
            return Err(format!("tensor `{name}` {problem}: it begins at byte {start}, not {end}"));
        }
        end = info.range.end;
    }
    if end != data_len {
        return Err(format!("its tensors take {end} bytes, {data_len} are there"));
    }
    Ok(tensors)
}

/// The header as it stands in the file.
#[derive(Default)]
struct Header {
    tensors: BTreeMap<String, Entry>,
    metadata: Option<BTreeMap<String, String>>,
}

impl Object for Header {
    fn take<'de, A: MapAccess<'de>>(
        &mut self,
        key: String,
        values: &mut A,
    ) -> Result<bool, A::Error> {
        if key == "__metadata__" {
            let Strict(metadata) = values.next_value()?;
            return Ok(self.metadata.replace(metadata).is_none());
        }
        if self.tensors.len() == MAX_TENSORS {
            return Err(A::Error::custom(format!("over {MAX_TENSORS} tensors")));
        }
        let entry = values.next_value::<Strict<Entry>>();
        let Strict(entry) = entry.map_err(|e| A::Error::custom(format!("tensor `{key}`: {e}")))?;
        Ok(self.tensors.insert(key, entry).is_none())
    }
}

/// A tensor as the header describes it.
#[derive(Default)]
struct Entry {
    dtype: Option<Dtype>,
    shape: Option<Vec<u64>>,
    offsets: Option<[u64; 2]>,
}

impl Object for Entry {
    fn take<'de, A: MapAccess<'de>>(
        &mut self,
        key: String,
        values: &mut A,
    ) -> Result<bool, A::Error> {
        Ok(match &*key {
            "dtype" => {
                let name: String = values.next_value()?;
                let dtype = Dtype::deserialize(name.into_deserializer())?;
                self.dtype.replace(dtype).is_none()
            }
            "shape" => self.shape.replace(values.next_value()?).is_none(),
            "data_offsets" => self.offsets.replace(values.next_value()?).is_none(),
            _ => return unknown(&key, "dtype, shape, data_offsets"),
        })
    }
}

impl Entry {
    /// The tensor, of which sizes and bytes agree.
    fn info(self) -> Result<TensorInfo, String> {
        let lacks = |key: &str| format!("it has no `{key}`");
        let dtype = self.dtype.ok_or_else(|| lacks("dtype"))?;
        let sizes = self.shape.ok_or_else(|| lacks("shape"))?;
        let [start, end] = self.offsets.ok_or_else(|| lacks("data_offsets"))?;
        let bits = sizes
            .iter()
            .try_fold(dtype.bitsize() as u128, |bits, size| bits.checked_mul(u128::from(*size)))
            .ok_or_else(|| format!("its sizes {sizes:?} have too large a product"))?;
        let there = end
            .checked_sub(start)
            .ok_or_else(|| format!("it ends at {end}, before its begin at {start}"))?;
        if bits != 8 * u128::from(there) {
            return Err(format!(
                "{dtype} {sizes:?} takes {bits} bits, its range has {there} bytes"
            ));
        }
        let fits = |size: &u64| {
            usize::try_from(*size).map_err(|_| format!("its size {size} does not fit this machine"))
        };
        let shape = sizes.iter().map(fits).collect::<Result<_, String>>()?;
        Ok(TensorInfo { dtype, shape, range: start..end })
    }
}
