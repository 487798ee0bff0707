//! Random files: what is written is read, and no damage to a header makes the reader panic.

use std::collections::BTreeMap;

use opledger_weights::{Dtype, parse_header};
use proptest::prelude::*;
use safetensors::tensor::TensorView;

use crate::{Folder, single};

const DTYPES: [Dtype; 9] = [
    Dtype::F32,
    Dtype::F16,
    Dtype::BF16,
    Dtype::I64,
    Dtype::I32,
    Dtype::U8,
    Dtype::BOOL,
    Dtype::F64,
    Dtype::F8_E4M3,
];

/// Names, kinds, sizes and bytes of tensors.
fn tensors() -> impl Strategy<Value = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>> {
    let tensor = (prop::sample::select(&DTYPES[..]), prop::collection::vec(0..4_usize, 0..4));
    let tensor = tensor.prop_flat_map(|(dtype, shape)| {
        let bytes = shape.iter().product::<usize>() * dtype.bitsize() / 8;
        (Just(dtype), Just(shape), prop::collection::vec(any::<u8>(), bytes))
    });
    let name = any::<String>().prop_filter("a name of its own", |name| name != "__metadata__");
    prop::collection::btree_map(name, tensor, 0..6)
}

fn written(tensors: &BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>) -> Vec<u8> {
    let views = tensors.iter().map(|(name, (dtype, shape, bytes))| {
        (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap())
    });
    let metadata = Some([("format".to_owned(), "pt".to_owned())].into());
    safetensors::serialize(views, metadata).unwrap()
}

/// The header of a file, and how many bytes follow it.
fn parts(bytes: &[u8]) -> (&[u8], u64) {
    let (size, rest) = bytes.split_first_chunk().unwrap();
    let (header, data) = rest.split_at(u64::from_le_bytes(*size) as usize);
    (header, data.len() as u64)
}

/// A header that is accepted describes all of the data.
fn check(header: &[u8], data_len: u64) -> bool {
    let Ok(tensors) = parse_header(header, data_len) else { return false };
    let bits = tensors.values().map(|tensor| {
        tensor.shape.iter().map(|n| *n as u128).product::<u128>() * tensor.dtype.bitsize() as u128
    });
    assert_eq!(bits.sum::<u128>(), 8 * u128::from(data_len));
    true
}

proptest! {
    /// Files of the format's own library, read by this one.
    #[test]
    fn what_is_written_is_read(tensors in tensors()) {
        let (_folder, checkpoint) = single(&written(&tensors));
        prop_assert!(checkpoint.names().eq(tensors.keys()));
        for (name, (dtype, shape, bytes)) in &tensors {
            let (info, _) = checkpoint.info(name).unwrap();
            prop_assert_eq!((info.dtype, &info.shape), (*dtype, shape));
            let value = checkpoint.read(name);
            match dtype {
                Dtype::F32 => {
                    let value = value.unwrap();
                    let read = value.real().unwrap().data().iter().flat_map(|x| x.to_le_bytes());
                    prop_assert!(read.eq(bytes.iter().copied()));
                }
                Dtype::I64 => {
                    let value = value.unwrap();
                    let read = value.index().unwrap().data().iter().flat_map(|x| x.to_le_bytes());
                    prop_assert!(read.eq(bytes.iter().copied()));
                }
                Dtype::I32 => {
                    let value = value.unwrap();
                    let read = value.index().unwrap().data().iter();
                    let read = read.flat_map(|x| i32::try_from(*x).unwrap().to_le_bytes());
                    prop_assert!(read.eq(bytes.iter().copied()));
                }
                Dtype::U8 => {
                    let value = value.unwrap();
                    let read = value.index().unwrap().data().iter();
                    prop_assert!(read.eq(bytes.iter().map(|x| i64::from(*x)).collect::<Vec<_>>().iter()));
                }
                Dtype::BOOL => {
                    let value = value.unwrap();
                    let read = value.index().unwrap().data().iter().map(|x| *x == 1);
                    prop_assert!(read.eq(bytes.iter().map(|x| *x != 0)));
                }
                Dtype::F16 | Dtype::BF16 => prop_assert!(value.unwrap().shape() == shape),
                _ => prop_assert!(value.is_err()),
            }
        }
    }

    #[test]
    fn no_cut_and_no_damage_makes_it_panic(
        tensors in tensors(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = written(&tensors);
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        for end in [bytes.len(), cut.index(bytes.len())] {
            let folder = Folder::new().with("model.safetensors", &bytes[..end]);
            if let Ok(checkpoint) = folder.open() {
                for name in checkpoint.names() {
                    // Whatever it is: an answer.
                    let _ = checkpoint.read(name);
                }
            } else {
                prop_assert!(!folder.refused().contains(char::is_control));
            }
        }
    }
}

/// Every byte of a header, replaced by every other one.
#[test]
fn no_single_byte_makes_it_panic() {
    let tensor = |shape: &[usize]| {
        (Dtype::F32, shape.to_vec(), vec![0; 4 * shape.iter().product::<usize>()])
    };
    let tensors = [("a".to_owned(), tensor(&[2, 3])), ("b.0".to_owned(), tensor(&[1]))].into();
    let bytes = written(&tensors);
    let (header, data_len) = parts(&bytes);
    assert!(check(header, data_len));
    let mut accepted = 0;
    for at in 0..header.len() {
        let mut damaged = header.to_vec();
        for byte in 0..=u8::MAX {
            damaged[at] = byte;
            accepted += usize::from(check(&damaged, data_len));
        }
    }
    // Names, metadata and blanks may be others; sizes, offsets and keys may not.
    assert!(accepted > header.len() && accepted < 30 * header.len(), "{accepted}");
}
