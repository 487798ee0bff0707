//! The elements of a program's parameters, buffers and constants.

use std::collections::BTreeMap;
use std::path::Path;

use opledger_dims::Binding;
use opledger_ir::ops::Source;
use opledger_ir::{Graph, Op, Value};
use opledger_tensor::Tensor;

use crate::archive::{Archive, Payloads};
use crate::constants::Marks;
use crate::error::ImportError;
use crate::names::numbers;
use crate::schema::{PayloadMeta, SymInt, TensorMeta};

/// Every parameter of a program's graph that its archive has elements of, by its path.
///
/// # Errors
/// When the archive cannot be read, or holds other elements than it says.
pub fn weights(path: &Path, graph: &Graph) -> Result<Vec<(String, Value<f32>)>, ImportError> {
    let mut archive = Archive::open(path)?;
    let payloads = archive.payloads()?;
    let mut tensors = Vec::new();
    let stored = graph.nodes().iter().filter(|node| {
        let Op::Source(source) = &node.op else { return false };
        matches!(
            source,
            Source::Param { .. }
                | Source::Buffer { .. }
                | Source::Ids { .. }
                | Source::Whole { .. }
        )
    });
    // How often layers run is a number in a program.
    let paths = stored.flat_map(|node| graph.instances(node, &Binding::new()).unwrap_or_default());
    for node_path in paths {
        let Some((folder, meta)) = payloads.get(&node_path) else { continue };
        let value = read(&mut archive, folder, meta).map_err(|problem| match problem {
            Refused::Import(error) => error,
            Refused::Payload(problem) => ImportError::Archive {
                path: path.to_owned(),
                problem: format!("`{}`: {problem}", opledger_dims::escaped(&node_path)),
            },
        })?;
        tensors.push((node_path, value));
    }
    Ok(tensors)
}

/// The most elements of whole numbers that are looked at while a program is recorded.
const MOST_CONSTANTS: usize = 1 << 20;

/// What is no parameter and is known before a run, by its name.
#[derive(Debug, Default)]
pub(crate) struct Constants {
    /// Whole numbers: positions, places, counters.
    pub(crate) whole: BTreeMap<String, Vec<i64>>,
    /// Reals that mark places of a matrix.
    pub(crate) marks: BTreeMap<String, Marks>,
}

/// The constants of a program, as far as an archive has them.
pub(crate) fn constants(
    archive: &mut Archive,
    payloads: &Payloads,
) -> Result<Constants, ImportError> {
    let mut constants = Constants::default();
    for (name, (folder, meta)) in payloads {
        let Some(of) = &meta.tensor_meta else { continue };
        let whole = matches!(of.dtype, 1..=5 | 12);
        let marks = !meta.is_param && matches!(of.dtype, 6..=8 | 13) && of.sizes.len() != 1;
        let elements = numbers(of)
            .and_then(|shape| shape.iter().try_fold(1_usize, |all, size| all.checked_mul(*size)));
        if meta.use_pickle
            || !(whole || marks)
            || elements.is_none_or(|elements| elements > MOST_CONSTANTS)
        {
            continue;
        }
        // What cannot be read is told when the program is run.
        match read(archive, folder, meta) {
            Ok(Value::Index(tensor)) => {
                constants.whole.insert(name.clone(), tensor.data().to_vec());
            }
            Ok(Value::Real(tensor)) => {
                // One number alone is a constant only where it hides.
                let marks = Marks::of(tensor.data())
                    .filter(|marks| !of.sizes.is_empty() || matches!(marks, Marks::Hidden(_)));
                constants.marks.extend(marks.map(|marks| (name.clone(), marks)));
            }
            Err(_) => {}
        }
    }
    Ok(constants)
}

enum Refused {
    Import(ImportError),
    Payload(String),
}

/// How the elements of a type of PyTorch are stored (`ScalarType` of the schema).
fn width(dtype: u64) -> Option<usize> {
    match dtype {
        1 | 2 | 12 | 29 | 30 => Some(1),
        3 | 6 | 13 | 28 => Some(2),
        4 | 7 | 34 => Some(4),
        5 | 8 => Some(8),
        // Two numbers.
        9 => Some(4),
        10 => Some(8),
        11 => Some(16),
        _ => None,
    }
}

fn read(archive: &mut Archive, folder: &str, meta: &PayloadMeta) -> Result<Value<f32>, Refused> {
    let refuse = |problem: &str| Refused::Payload(problem.to_owned());
    if meta.use_pickle {
        return Err(refuse("its elements are pickled, and nothing is unpickled"));
    }
    let of = meta.tensor_meta.as_ref().ok_or_else(|| refuse("it has no shape"))?;
    let shape = numbers(of).ok_or_else(|| refuse("its shape is no numbers"))?;
    let is_complex = matches!(of.dtype, 9..=11);
    let width = width(of.dtype).ok_or_else(|| refuse("elements of this type are not read"))?;
    let place = Place::of(of, &shape).ok_or_else(|| refuse("its strides are not understood"))?;
    let bytes = place.last.checked_mul(width).ok_or_else(|| refuse("it is too large"))?;
    let data = archive.payload(folder, &meta.path_name, 1 << 40).map_err(Refused::Import)?;
    if data.len() < bytes {
        return Err(refuse("its elements are cut short"));
    }
    let at = |index: &[usize]| -> &[u8] {
        let flat: usize = index.iter().zip(&place.strides).map(|(i, s)| i * s).sum();
        let start = (place.offset + flat) * width;
        &data[start..start + width]
    };
    let places = opledger_ir::indices(&shape);
    let whole = |bytes: &[u8]| -> i64 {
        match *bytes {
            [a] if of.dtype == 2 => i64::from(a as i8),
            [a] => i64::from(a),
            [a, b] if of.dtype == 28 => i64::from(u16::from_le_bytes([a, b])),
            [a, b] => i64::from(i16::from_le_bytes([a, b])),
            [a, b, c, d] if of.dtype == 34 => i64::from(u32::from_le_bytes([a, b, c, d])),
            [a, b, c, d] => i64::from(i32::from_le_bytes([a, b, c, d])),
            _ => bytes.try_into().map_or(0, i64::from_le_bytes),
        }
    };
    let real = |bytes: &[u8]| -> f32 {
        match *bytes {
            [a] => eight_bits(a, of.dtype == 30),
            [a, b] if matches!(of.dtype, 6 | 9) => half::f16::from_le_bytes([a, b]).to_f32(),
            [a, b] => half::bf16::from_le_bytes([a, b]).to_f32(),
            [a, b, c, d] => f32::from_le_bytes([a, b, c, d]),
            _ => bytes.try_into().map_or(0.0, |eight| f64::from_le_bytes(eight) as f32),
        }
    };
    let laid = |problem: opledger_tensor::LayoutError| Refused::Payload(problem.to_string());
    match of.dtype {
        1..=5 | 12 | 28 | 34 => {
            let data = places.map(|index| whole(at(&index))).collect();
            Ok(Value::Index(Tensor::new(&shape, data).map_err(laid)?))
        }
        _ if is_complex => {
            let parts = places.flat_map(|index| {
                let both = at(&index);
                let (re, im) = both.split_at(both.len() / 2);
                [real(re), real(im)]
            });
            let data = parts.collect();
            Ok(Value::Real(Tensor::new(&[&shape[..], &[2]].concat(), data).map_err(laid)?))
        }
        _ => {
            let data = places.map(|index| real(at(&index))).collect();
            Ok(Value::Real(Tensor::new(&shape, data).map_err(laid)?))
        }
    }
}

/// A real of 8 bits: a sign, then as E5M2, the upper half of an `f16`, or as E4M3FN, with a bias of 7, no
/// infinities, and all ones not a number (OCP 8-bit floating point, table 1).
fn eight_bits(bits: u8, wide: bool) -> f32 {
    if wide {
        return half::f16::from_bits(u16::from(bits) << 8).to_f32();
    }
    let sign = if bits & 0x80 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (i32::from(bits >> 3 & 15), f32::from(bits & 7) / 8.0);
    match (exponent, bits & 7) {
        (15, 7) => f32::NAN,
        (0, _) => sign * fraction * 2f32.powi(-6),
        _ => sign * (1.0 + fraction) * 2f32.powi(exponent - 7),
    }
}

/// Where elements stand in a payload.
struct Place {
    offset: usize,
    strides: Vec<usize>,
    /// One beyond the last element.
    last: usize,
}

impl Place {
    fn of(meta: &TensorMeta, shape: &[usize]) -> Option<Place> {
        let number = |size: &SymInt| match size {
            SymInt::AsInt(size) => usize::try_from(*size).ok(),
            SymInt::AsExpr(_) => None,
        };
        let offset = meta.storage_offset.as_ref().map_or(Some(0), number)?;
        let strides: Vec<usize> = meta.strides.iter().map(number).collect::<Option<_>>()?;
        if strides.len() != shape.len() {
            return None;
        }
        let mut elements = 1_usize;
        let mut reach = offset;
        for (size, stride) in shape.iter().zip(&strides) {
            elements = elements.checked_mul(*size)?;
            reach = reach.checked_add(size.saturating_sub(1).checked_mul(*stride)?)?;
        }
        let last = if elements == 0 { 0 } else { reach.checked_add(1)? };
        Some(Place { offset, strides, last })
    }
}
