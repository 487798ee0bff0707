//! The parameters of a graph, read from a checkpoint.

use opledger_dims::{Binding, Integer};
use opledger_ir::{Graph, Value};
use opledger_models::Names;
use opledger_tensor::Tensor;

use crate::checkpoint::{Checkpoint, Located, unreadable};
use crate::error::WeightsError;
use crate::plan::{Piece, parameters, plan};
use crate::read::Reader;

/// The parameters of a graph, and what reading them showed.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Every parameter in every iteration, by its path.
    pub tensors: Vec<(String, Value<f32>)>,
    /// Bytes of elements that were read.
    pub bytes_read: u64,
    /// The parameters with elements that are infinite or no numbers, and how many these are.
    pub non_finite: Vec<(String, usize)>,
    /// Tensors of the files that were passed over.
    pub ignored: Vec<String>,
    /// Tensors of parts that the model does not have, and those that an index does not name.
    pub aside: Vec<String>,
}

impl Checkpoint {
    /// Reads the parameters of a graph at a complete binding ([`Graph::complete`]), each iteration of
    /// repeated scopes its own; sizes of inputs need no value. `available` is how many bytes the
    /// tensors may take, when that is known.
    ///
    /// # Errors
    /// Before any element is read: sizes without a value, tensors that do not fit in memory, and all
    /// tensors together that are missing, not taken, or of another shape or kind. After that: a file
    /// that cannot be read or has changed, a copy that differs.
    pub fn load(
        &self,
        graph: &Graph,
        binding: &Binding,
        names: &Names,
        available: Option<&Integer>,
    ) -> Result<Loaded, WeightsError> {
        let parameters = parameters(self, graph, binding, available)?;
        let plan = plan(self, &parameters, names).map_err(|differences| {
            WeightsError::Different { path: self.path.clone(), differences }
        })?;
        let mut reader = Reader::new(self);
        let (mut tensors, mut non_finite) = (Vec::new(), Vec::new());
        for (parameter, (pieces, transposed)) in parameters.into_iter().zip(&plan.pieces) {
            let mut data = self.room(pieces.iter().map(|piece| piece.rows() * piece.ins).sum())?;
            for piece in pieces {
                if *transposed {
                    read_transposed(&mut reader, piece, &mut data)?;
                } else {
                    read_rows(&mut reader, piece, &mut data)?;
                }
            }
            if pieces.is_empty() && names.is_sinusoids(&parameter.path) {
                data = sinusoids(&parameter.sizes);
            }
            let wrong = data.iter().filter(|x| !x.is_finite()).count();
            if wrong > 0 {
                non_finite.push((parameter.path.clone(), wrong));
            }
            let tensor = Tensor::new(&parameter.sizes, data);
            let tensor = tensor.map_err(|problem| unreadable(&self.path, problem))?;
            tensors.push((parameter.path, Value::Real(tensor)));
        }
        for (name, located, at) in plan.copies {
            let (parameter, value) = &tensors[at];
            let same = is_copy(&mut reader, (name, located), value.real())?;
            if !same {
                let (name, parameter) = (name.to_owned(), parameter.clone());
                return Err(WeightsError::Untied { path: self.path.clone(), name, parameter });
            }
        }
        let ignored = plan.ignored.into_iter().map(str::to_owned).collect();
        let aside = plan.aside.into_iter().chain(self.unlisted.iter().map(String::as_str));
        let aside = aside.map(str::to_owned).collect();
        Ok(Loaded { tensors, bytes_read: reader.finish()?, non_finite, ignored, aside })
    }
}

/// A table `[positions, width]` whose row p has sin(p / 10000^(2i/width)) in its first half and the cosines
/// in its second.
fn sinusoids(sizes: &[usize]) -> Vec<f32> {
    let [positions, width] = *sizes else { return Vec::new() };
    let angle = |position: usize, pair: usize| {
        position as f64 / 10_000_f64.powf((2 * pair) as f64 / width as f64)
    };
    let row = |position| {
        let sines = (0..width.div_ceil(2)).map(move |pair| angle(position, pair).sin() as f32);
        sines.chain((0..width / 2).map(move |pair| angle(position, pair).cos() as f32))
    };
    (0..positions).flat_map(row).collect()
}

/// Whether a tensor of a file has the elements of another, bit by bit.
fn is_copy(
    reader: &mut Reader<'_>,
    tensor: (&str, &Located),
    original: Option<&Tensor<f32>>,
) -> Result<bool, WeightsError> {
    let (mut rest, mut same) = (original.map_or(&[][..], Tensor::data), true);
    reader.stream(tensor, 0..tensor.1.info.elements(), |numbers| {
        let (compared, left) = rest.split_at(numbers.len().min(rest.len()));
        same &= compared.iter().map(|x| x.to_bits()).eq(numbers.iter().map(|x| x.to_bits()));
        rest = left;
    })?;
    Ok(same && rest.is_empty())
}

/// Appends the rows of a piece, whose file holds the matrix row by row.
fn read_rows(
    reader: &mut Reader<'_>,
    piece: &Piece<'_>,
    data: &mut Vec<f32>,
) -> Result<(), WeightsError> {
    let Piece { tensor, begin, part, step, ins, .. } = piece;
    let range = begin + part.start * ins..begin + part.end * ins;
    let mut at = 0;
    reader.stream(*tensor, range, |numbers| {
        match step {
            1 => data.extend_from_slice(numbers),
            step => {
                let taken = numbers.iter().enumerate().filter(|(i, _)| (at + i) / ins % step == 0);
                data.extend(taken.map(|(_, number)| *number));
            }
        }
        at += numbers.len();
    })
}

/// Appends the rows of a piece, whose file holds the matrix column by column.
fn read_transposed(
    reader: &mut Reader<'_>,
    piece: &Piece<'_>,
    data: &mut Vec<f32>,
) -> Result<(), WeightsError> {
    let Piece { tensor, begin, part, step, outs, ins } = piece;
    let filled = data.len();
    data.resize(filled + piece.rows() * ins, 0.0);
    let rows = &mut data[filled..];
    let mut at = 0;
    reader.stream(*tensor, *begin..begin + outs * ins, |numbers| {
        // All of a row that is here goes at once, so that writes lie next to each other.
        for first in 0..numbers.len().min(*outs) {
            let (column, row) = ((at + first) / outs, (at + first) % outs);
            if part.contains(&row) && (row - part.start).is_multiple_of(*step) {
                let row = &mut rows[(row - part.start) / step * ins..][column..];
                row.iter_mut()
                    .zip(numbers[first..].iter().step_by(*outs))
                    .for_each(|(d, s)| *d = *s);
            }
        }
        at += numbers.len();
    })
}
