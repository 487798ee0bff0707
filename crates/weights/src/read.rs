//! Elements out of files, a piece at a time: as `f32`, or in the 16 bits in which they are there.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::ops::Range;

use half::{bf16, f16};
use opledger_ir::{Kind, Value};
use opledger_tensor::Tensor;
use safetensors::Dtype;

use crate::checkpoint::{Checkpoint, Located, Shard, unreadable};
use crate::error::WeightsError;
use crate::header::TensorInfo;

/// Elements that are converted at a time.
pub(crate) const PIECE: usize = 1 << 16;

/// How elements become `f32` or whole numbers: their width in bytes, and the conversion.
type Conversion<T> = (usize, fn(&[u8], &mut Vec<T>));

/// An element of a parameter as it is read.
pub(crate) trait FileElement: Copy + Default {
    /// How elements of a kind become it; none when they are not read as it.
    fn conversion(dtype: Dtype) -> Option<Conversion<Self>>;
    fn is_finite(self) -> bool;
    /// One less.
    fn lowered(self) -> Self;
}

impl FileElement for f32 {
    fn conversion(dtype: Dtype) -> Option<Conversion<f32>> {
        conversion(dtype)
    }
    fn is_finite(self) -> bool {
        f32::is_finite(self)
    }
    fn lowered(self) -> Self {
        self - 1.0
    }
}

impl FileElement for bf16 {
    fn conversion(dtype: Dtype) -> Option<Conversion<bf16>> {
        let convert: Conversion<bf16> = (2, |bytes, out| extend(bytes, out, bf16::from_le_bytes));
        (dtype == Dtype::BF16).then_some(convert)
    }
    fn is_finite(self) -> bool {
        bf16::is_finite(self)
    }
    fn lowered(self) -> Self {
        bf16::from_f32(self.to_f32() - 1.0)
    }
}

impl FileElement for f16 {
    fn conversion(dtype: Dtype) -> Option<Conversion<f16>> {
        let convert: Conversion<f16> = (2, |bytes, out| extend(bytes, out, f16::from_le_bytes));
        (dtype == Dtype::F16).then_some(convert)
    }
    fn is_finite(self) -> bool {
        f16::is_finite(self)
    }
    fn lowered(self) -> Self {
        f16::from_f32(self.to_f32() - 1.0)
    }
}

/// The conversion of a kind of elements; none when it is not read as `f32`.
pub(crate) fn conversion(dtype: Dtype) -> Option<Conversion<f32>> {
    match dtype {
        Dtype::F32 => Some((4, |bytes, out| extend(bytes, out, f32::from_le_bytes))),
        Dtype::F16 => {
            Some((2, |bytes, out| extend(bytes, out, |x| f16::from_le_bytes(x).to_f32())))
        }
        Dtype::BF16 => {
            Some((2, |bytes, out| extend(bytes, out, |x| bf16::from_le_bytes(x).to_f32())))
        }
        _ => None,
    }
}

/// The conversion of a kind of elements; none when it is not read as whole numbers. Truth values are
/// 0 and 1.
fn whole_conversion(dtype: Dtype) -> Option<Conversion<i64>> {
    match dtype {
        Dtype::I64 => Some((8, |bytes, out| extend(bytes, out, i64::from_le_bytes))),
        Dtype::I32 => {
            Some((4, |bytes, out| extend(bytes, out, |x| i64::from(i32::from_le_bytes(x)))))
        }
        Dtype::U32 => {
            Some((4, |bytes, out| extend(bytes, out, |x| i64::from(u32::from_le_bytes(x)))))
        }
        Dtype::I16 => {
            Some((2, |bytes, out| extend(bytes, out, |x| i64::from(i16::from_le_bytes(x)))))
        }
        Dtype::U16 => {
            Some((2, |bytes, out| extend(bytes, out, |x| i64::from(u16::from_le_bytes(x)))))
        }
        Dtype::I8 => {
            Some((1, |bytes, out| extend(bytes, out, |x| i64::from(i8::from_le_bytes(x)))))
        }
        Dtype::U8 => Some((1, |bytes, out| extend(bytes, out, |[x]| i64::from(x)))),
        Dtype::BOOL => Some((1, |bytes, out| extend(bytes, out, |[x]| i64::from(x != 0)))),
        _ => None,
    }
}

impl TensorInfo {
    /// What its elements are read as; none of a kind that is not read.
    pub fn kind(&self) -> Option<Kind> {
        let real = conversion(self.dtype).map(|_| Kind::Real);
        real.or_else(|| whole_conversion(self.dtype).map(|_| Kind::Whole))
    }
}

fn extend<T, const N: usize>(bytes: &[u8], out: &mut Vec<T>, read: impl Fn([u8; N]) -> T) {
    out.extend(bytes.as_chunks::<N>().0.iter().map(|chunk| read(*chunk)));
}

/// The files of a checkpoint, opened when they are first read.
pub(crate) struct Reader<'c> {
    checkpoint: &'c Checkpoint,
    files: BTreeMap<usize, File>,
    bytes: Vec<u8>,
    read: u64,
}

impl<'c> Reader<'c> {
    pub(crate) fn new(checkpoint: &'c Checkpoint) -> Self {
        let files = BTreeMap::new();
        Reader { checkpoint, files, bytes: Vec::new(), read: 0 }
    }

    /// Hands over the elements of a range, in their order.
    pub(crate) fn stream<E: FileElement>(
        &mut self,
        (name, located): (&str, &Located),
        range: Range<usize>,
        mut take: impl FnMut(&[E]),
    ) -> Result<(), WeightsError> {
        let (width, convert) = E::conversion(located.info.dtype)
            .ok_or_else(|| self.checkpoint.dtype_error(name, located))?;
        let (mut at, mut numbers) = (range.start, Vec::new());
        while at < range.end {
            let count = PIECE.min(range.end - at);
            self.fill(located, at as u64 * width as u64, count * width)?;
            numbers.clear();
            convert(&self.bytes, &mut numbers);
            take(&numbers);
            at += count;
        }
        Ok(())
    }

    /// Hands over the bytes of a range, whole rows of so many at a time, with where each begins in the range.
    pub(crate) fn stream_bytes(
        &mut self,
        located: &Located,
        range: Range<usize>,
        row: usize,
        mut take: impl FnMut(usize, &[u8]),
    ) -> Result<(), WeightsError> {
        let (mut at, piece) = (range.start, (PIECE / row).max(1) * row);
        while at < range.end {
            let count = piece.min(range.end - at);
            self.fill(located, at as u64, count)?;
            take(at - range.start, &self.bytes);
            at += count;
        }
        Ok(())
    }

    /// Reads `count` bytes of a tensor from its byte `offset` on.
    fn fill(&mut self, located: &Located, offset: u64, count: usize) -> Result<(), WeightsError> {
        let shard = &self.checkpoint.shards[located.shard];
        let file = match self.files.entry(located.shard) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(new) => new.insert(shard.open()?),
        };
        self.bytes.resize(count, 0);
        file.seek(SeekFrom::Start(shard.start + located.info.range.start + offset))
            .and_then(|_| file.read_exact(&mut self.bytes))
            .map_err(|e| match e.kind() {
                ErrorKind::UnexpectedEof => shard.changed(),
                _ => unreadable(&shard.path, e),
            })?;
        self.read += count as u64;
        Ok(())
    }

    /// Checks that no file changed meanwhile, and says how many bytes were read.
    pub(crate) fn finish(self) -> Result<u64, WeightsError> {
        for (shard, file) in &self.files {
            self.checkpoint.shards[*shard].check(file)?;
        }
        Ok(self.read)
    }
}

impl Checkpoint {
    /// Reads one tensor: reals from F32, F16 and BF16, whole numbers from I64, I32, U8 and BOOL.
    ///
    /// # Errors
    /// When there is none of that name, its elements are of another kind, it does not fit in memory,
    /// or the file cannot be read or has changed.
    pub fn read(&self, name: &str) -> Result<Value<f32>, WeightsError> {
        let located = self.tensors.get(name).ok_or_else(|| WeightsError::Unknown {
            path: self.path.clone(),
            name: name.to_owned(),
        })?;
        let TensorInfo { dtype, shape, .. } = &located.info;
        let (len, mut reader) = (located.info.elements(), Reader::new(self));
        let value = if let Some((width, convert)) = whole_conversion(*dtype) {
            let mut ids = self.room(len)?;
            for at in (0..len).step_by(PIECE) {
                reader.fill(located, (width * at) as u64, width * PIECE.min(len - at))?;
                convert(&reader.bytes, &mut ids);
            }
            Tensor::new(shape, ids).map(Value::Index)
        } else {
            let mut data = self.room(len)?;
            reader
                .stream((name, located), 0..len, |piece: &[f32]| data.extend_from_slice(piece))?;
            Tensor::new(shape, data).map(Value::Real)
        };
        reader.finish()?;
        value.map_err(|problem| unreadable(&self.path, problem))
    }

    /// Whether two tensors of one type and one shape differ in any bit.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(crate) fn differ(&self, [a, b]: [&Located; 2]) -> Result<bool, WeightsError> {
        let [x, y] = [a, b].map(|located| &located.info);
        if (x.dtype, &x.shape) != (y.dtype, &y.shape) {
            return Ok(false);
        }
        let [mut left, mut right] = [Reader::new(self), Reader::new(self)];
        let bytes = x.range.end - x.range.start;
        let mut at = 0;
        while at < bytes {
            let count = PIECE.min(usize::try_from(bytes - at).unwrap_or(PIECE));
            left.fill(a, at, count)?;
            right.fill(b, at, count)?;
            if left.bytes != right.bytes {
                return Ok(true);
            }
            at += count as u64;
        }
        Ok(false)
    }

    /// An empty buffer for `len` elements.
    pub(crate) fn room<T>(&self, len: usize) -> Result<Vec<T>, WeightsError> {
        let mut data = Vec::new();
        data.try_reserve_exact(len).map_err(|_| WeightsError::Memory {
            path: self.path.clone(),
            needed: (len as u128 * size_of::<T>() as u128).into(),
            available: None,
        })?;
        Ok(data)
    }

    fn dtype_error(&self, name: &str, located: &Located) -> WeightsError {
        let Shard { path, .. } = &self.shards[located.shard];
        let (path, dtype) = (path.clone(), located.info.dtype.to_string());
        WeightsError::Dtype { path, name: name.to_owned(), dtype }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write;

    use super::*;

    /// What happens to a file between two pieces of a tensor.
    #[test]
    fn a_file_that_changes_while_it_is_read_is_an_error() {
        let header = br#"{"w":{"dtype":"F32","shape":[131072],"data_offsets":[0,524288]}}"#;
        let length = (header.len() as u64).to_le_bytes();
        let bytes = [&length[..], header, &[0; 524_288]].concat();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        let between = |change: &dyn Fn(&mut File)| {
            std::fs::write(&path, &bytes).unwrap();
            let checkpoint = Checkpoint::open_file(&path).unwrap();
            let mut reader = Reader::new(&checkpoint);
            let mut file = OpenOptions::new().write(true).open(&path).unwrap();
            let (mut pieces, w) = (0, ("w", &checkpoint.tensors["w"]));
            let read = reader.stream(w, 0..131_072, |_: &[f32]| {
                pieces += 1;
                if pieces == 1 {
                    change(&mut file);
                }
            });
            (pieces, read.and_then(|()| reader.finish()))
        };
        let changed = || Err(WeightsError::Changed { path: path.clone() });
        assert_eq!(between(&|_| ()), (2, Ok(524_288)));
        assert_eq!(between(&|file| file.set_len(300_000).unwrap()), (1, changed()));
        let append = |file: &mut File| {
            file.seek(SeekFrom::End(0)).unwrap();
            file.write_all(b"x").unwrap();
        };
        assert_eq!(between(&append), (2, changed()));
    }
}
