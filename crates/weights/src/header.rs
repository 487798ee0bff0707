//! The header of a safetensors file: which tensors there are, and that they fill the file.
//!
//! The format is 8 bytes with the length of the header, the header in JSON, and the elements
//! (<https://huggingface.co/docs/safetensors/index#format>). The parser is an own one: that of the
//! `safetensors` crate takes the last of two equal keys, and keys that it does not know.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use opledger_dims::escaped;
use opledger_json::{Object, Strict, unknown};
use safetensors::Dtype;
use serde::Deserialize;
use serde::de::{Error, IntoDeserializer, MapAccess};

use crate::kinds::TensorKind;
use crate::limits::MAX_TENSORS;

/// A tensor of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// What the elements are; bytes of blocks, where they are kept so.
    pub dtype: Dtype,
    /// The blocks of a GGUF file in which they are kept.
    pub(crate) blocks: Option<TensorKind>,
    /// The sizes, outermost first.
    pub shape: Vec<usize>,
    /// Where the elements lie, in bytes after the header.
    pub(crate) range: Range<u64>,
}

impl fmt::Display for TensorInfo {
    /// Kind and sizes: `F32 [2, 3]`, cut when they are many.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dtype = self.blocks.map_or(self.dtype.to_string(), |blocks| blocks.name().to_owned());
        f.write_str(&escaped(&format!("{dtype} {:?}", self.shape)))
    }
}

impl TensorInfo {
    /// What the elements are called, such as `BF16`.
    pub fn kind_name(&self) -> &'static str {
        match self.dtype {
            Dtype::BOOL => "BOOL",
            Dtype::F4 => "F4",
            Dtype::F6_E2M3 => "F6_E2M3",
            Dtype::F6_E3M2 => "F6_E3M2",
            Dtype::U8 => "U8",
            Dtype::I8 => "I8",
            Dtype::F8_E5M2 => "F8_E5M2",
            Dtype::F8_E4M3 => "F8_E4M3",
            Dtype::F8_E8M0 => "F8_E8M0",
            Dtype::I16 => "I16",
            Dtype::U16 => "U16",
            Dtype::F16 => "F16",
            Dtype::BF16 => "BF16",
            Dtype::I32 => "I32",
            Dtype::U32 => "U32",
            Dtype::F32 => "F32",
            Dtype::C64 => "C64",
            Dtype::F64 => "F64",
            Dtype::I64 => "I64",
            Dtype::U64 => "U64",
            _ => "another type",
        }
    }

    /// The bytes that they take.
    pub fn bytes(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// How many elements the tensor has.
    pub fn elements(&self) -> usize {
        // The parser compared the sizes with the bytes that the file has; a product of others with a
        // size of 0 may still be large.
        self.shape.iter().fold(1, |product, size| product.saturating_mul(*size))
    }
}

/// Why bytes are no header of the data that follows it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Not even the length of the header.
    #[error("it is shorter than 8 bytes")]
    Short,
    /// A length beyond the file, or beyond what is read.
    #[error("its header claims {claimed} bytes of a file of {length}; at most {limit} are read")]
    TooLong {
        /// The length that the file claims.
        claimed: u64,
        /// How long the file is.
        length: u64,
        /// The longest header that is read.
        limit: u64,
    },
    /// Another first character than the format's.
    #[error("its header does not begin with `{{`")]
    Begin,
    /// No JSON object of tensors, each once.
    #[error("its header: {0}")]
    Json(String),
    /// A tensor that does not describe itself.
    #[error("tensor `{}`: {problem}", escaped(name))]
    Tensor {
        /// Its name.
        name: String,
        /// What is wrong with it.
        problem: EntryError,
    },
    /// A tensor that begins where another one has not ended, or leaves bytes before it.
    #[error(
        "tensor `{}` {}: it begins at byte {start}, not {end}",
        escaped(name),
        if start < end { "overlaps another" } else { "leaves a hole" }
    )]
    Place {
        /// Its name.
        name: String,
        /// Where it begins.
        start: u64,
        /// Where the one before it ends.
        end: u64,
    },
    /// Tensors that take more or fewer bytes than there are.
    #[error("its tensors take {taken} bytes, {there} are there")]
    Length {
        /// The bytes of all tensors.
        taken: u64,
        /// The bytes after the header.
        there: u64,
    },
}

/// Why an entry of a header describes no tensor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// A key that is needed and missing.
    #[error("it has no `{0}`")]
    Missing(&'static str),
    /// Sizes that no number of bits holds.
    #[error("its sizes {0:?} have too large a product")]
    Product(Vec<u64>),
    /// An end before the begin.
    #[error("it ends at {end}, before its begin at {start}")]
    Range {
        /// Its begin.
        start: u64,
        /// Its end.
        end: u64,
    },
    /// Elements that are more or fewer than the bytes.
    #[error("{dtype} {sizes:?} takes {bits} bits, its range has {bytes} bytes")]
    Bytes {
        /// The kind of elements.
        dtype: Dtype,
        /// The sizes.
        sizes: Vec<u64>,
        /// What these take.
        bits: u128,
        /// The bytes of the range.
        bytes: u64,
    },
    /// A size beyond what this machine addresses.
    #[error("its size {0} does not fit this machine")]
    Size(u64),
}

/// Reads the header of a safetensors file, the JSON alone: the tensors by name. `data_len` is how
/// many bytes the file has after the header; the tensors fill them, each byte belonging to one.
///
/// # Errors
/// What is wrong, and with which tensor. [`HeaderError::Json`] may quote the header; see [`escaped`].
pub fn parse_header(
    text: &[u8],
    data_len: u64,
) -> Result<BTreeMap<String, TensorInfo>, HeaderError> {
    if text.first() != Some(&b'{') {
        return Err(HeaderError::Begin);
    }
    let header: Strict<Header> =
        serde_json::from_slice(text).map_err(|e| HeaderError::Json(e.to_string()))?;
    let mut tensors = BTreeMap::new();
    for (name, entry) in header.0.tensors {
        match entry.info() {
            Ok(info) => tensors.insert(name, info),
            Err(problem) => return Err(HeaderError::Tensor { name, problem }),
        };
    }
    let mut order: Vec<(&String, &TensorInfo)> = tensors.iter().collect();
    order.sort_by_key(|(_, info)| (info.range.start, info.range.end));
    let mut end = 0;
    for (name, info) in order {
        let start = info.range.start;
        if start != end {
            return Err(HeaderError::Place { name: name.clone(), start, end });
        }
        end = info.range.end;
    }
    if end != data_len {
        return Err(HeaderError::Length { taken: end, there: data_len });
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
    fn info(self) -> Result<TensorInfo, EntryError> {
        let dtype = self.dtype.ok_or(EntryError::Missing("dtype"))?;
        let sizes = self.shape.ok_or(EntryError::Missing("shape"))?;
        let [start, end] = self.offsets.ok_or(EntryError::Missing("data_offsets"))?;
        let product = sizes
            .iter()
            .try_fold(dtype.bitsize() as u128, |bits, size| bits.checked_mul(u128::from(*size)));
        let Some(bits) = product else { return Err(EntryError::Product(sizes)) };
        let bytes = end.checked_sub(start).ok_or(EntryError::Range { start, end })?;
        if bits != 8 * u128::from(bytes) {
            return Err(EntryError::Bytes { dtype, sizes, bits, bytes });
        }
        let fits = |size: &u64| usize::try_from(*size).map_err(|_| EntryError::Size(*size));
        let shape = sizes.iter().map(fits).collect::<Result<_, _>>()?;
        Ok(TensorInfo { dtype, blocks: None, shape, range: start..end })
    }
}
