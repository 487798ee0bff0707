//! The parameters of a graph, read from a checkpoint.

use half::{bf16, f16};
use opledger_dims::{Binding, Integer};
use opledger_ir::{Elem, Graph, Value};
use opledger_models::Names;
use opledger_tensor::Tensor;
use safetensors::Dtype;

use crate::checkpoint::{Checkpoint, Located, unreadable};
use crate::error::WeightsError;
use crate::kinds::TensorKind;
use crate::plan::{Parameter, Piece, Plan, parameters, plan};
use crate::read::{FileElement, PIECE, Reader};

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

/// Takes the elements of a parameter in the order of its tensor, as they are read.
pub trait Sink {
    /// Some more, as `f32`.
    fn f32(&mut self, elements: &[f32]);
    /// Some more of a parameter that is asked for in bf16.
    fn bf16(&mut self, elements: &[bf16]);
    /// Some more of a parameter that is asked for in half precision.
    fn f16(&mut self, elements: &[f16]);
    /// Some more whole blocks of a parameter that is kept in blocks of a GGUF file.
    fn blocks(&mut self, of: TensorKind, bytes: &[u8]);
}

impl Sink for Vec<f32> {
    fn f32(&mut self, elements: &[f32]) {
        self.extend_from_slice(elements);
    }
    fn bf16(&mut self, elements: &[bf16]) {
        self.extend(elements.iter().map(|x| x.to_f32()));
    }
    fn f16(&mut self, elements: &[f16]) {
        self.extend(elements.iter().map(|x| x.to_f32()));
    }
    /// Of what is in blocks [`FoundParameters::blocks`] tells before.
    fn blocks(&mut self, _: TensorKind, _: &[u8]) {}
}

/// The parameters of a graph, found in a checkpoint and not yet read.
pub struct FoundParameters<'c> {
    checkpoint: &'c Checkpoint,
    parameters: Vec<Parameter>,
    plan: Plan<'c>,
    names: &'c Names,
    reader: Reader<'c>,
    non_finite: Vec<(String, usize)>,
}

impl Checkpoint {
    /// Finds the parameters of a graph at a complete binding ([`Graph::complete`]), each iteration of
    /// repeated scopes its own; sizes of inputs need no value. `available` is how many bytes they may
    /// take in the types of the files, when that is known.
    ///
    /// # Errors
    /// Sizes without a value, tensors that do not fit in memory, and all tensors together that are missing,
    /// not taken, or of another shape or kind.
    pub fn find<'c>(
        &'c self,
        graph: &Graph,
        binding: &Binding,
        names: &'c Names,
        available: Option<&Integer>,
    ) -> Result<FoundParameters<'c>, WeightsError> {
        let parameters = parameters(self, graph, binding, available)?;
        let plan = plan(self, &parameters, names).map_err(|differences| {
            WeightsError::Different { path: self.path.clone(), differences }
        })?;
        let (checkpoint, reader, non_finite) = (self, Reader::new(self), Vec::new());
        Ok(FoundParameters { checkpoint, parameters, plan, names, reader, non_finite })
    }

    /// Reads the parameters of a graph as `f32`. `available` is how many bytes the tensors may take, when
    /// that is known.
    ///
    /// # Errors
    /// As [`Checkpoint::find`], before any element is read. After that: a file that cannot be read or has
    /// changed, a copy that differs.
    pub fn load(
        &self,
        graph: &Graph,
        binding: &Binding,
        names: &Names,
        available: Option<&Integer>,
    ) -> Result<Loaded, WeightsError> {
        let mut found = self.find(graph, binding, names, available)?;
        found.fits(available, |_, sizes, _| Some(sizes.iter().product::<usize>() * 4))?;
        let mut tensors = Vec::new();
        for at in 0..found.len() {
            let (path, sizes) = (found.path(at).to_owned(), found.sizes(at).to_vec());
            let mut data = self.room(sizes.iter().product())?;
            found.read(at, Elem::F32, &mut data)?;
            let tensor = Tensor::new(&sizes, data);
            let tensor = tensor.map_err(|problem| unreadable(&self.path, problem))?;
            tensors.push((path, Value::Real(tensor)));
        }
        let Read { bytes_read, non_finite, ignored, aside } = found.finish()?;
        Ok(Loaded { tensors, bytes_read, non_finite, ignored, aside })
    }
}

/// What reading showed.
#[derive(Clone, Debug)]
pub struct Read {
    /// Bytes of elements that were read.
    pub bytes_read: u64,
    /// The parameters with elements that are infinite or no numbers, and how many these are.
    pub non_finite: Vec<(String, usize)>,
    /// Tensors of the files that were passed over.
    pub ignored: Vec<String>,
    /// Tensors of parts that the model does not have, and those that an index does not name.
    pub aside: Vec<String>,
}

impl FoundParameters<'_> {
    /// How many there are: every parameter in every iteration.
    pub fn len(&self) -> usize {
        self.parameters.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.parameters.is_empty()
    }

    /// The path of a parameter.
    pub fn path(&self, at: usize) -> &str {
        &self.parameters[at].path
    }

    /// The sizes of a parameter.
    pub fn sizes(&self, at: usize) -> &[usize] {
        &self.parameters[at].sizes
    }

    /// The position in the graph of the node of a parameter.
    pub fn node(&self, at: usize) -> usize {
        self.parameters[at].node
    }

    /// The type of a parameter's elements in the files; `f32` where it has several.
    pub fn elem(&self, at: usize) -> Elem {
        let mut types = self.plan.pieces[at].0.iter().map(|piece| piece.tensor.1.info.dtype);
        let first = types.next().unwrap_or(Dtype::F32);
        match first {
            // What one is taken from is not as it was stored.
            _ if self.names.is_raised(self.path(at)) => Elem::F32,
            Dtype::BF16 if types.all(|dtype| dtype == first) => Elem::Bf16,
            Dtype::F16 if types.all(|dtype| dtype == first) => Elem::F16,
            _ => Elem::F32,
        }
    }

    /// The blocks that a parameter is kept in, whole ones in each of its rows.
    pub fn blocks(&self, at: usize) -> Option<TensorKind> {
        self.plan.pieces[at].0.first()?.tensor.1.info.blocks
    }

    /// Refuses parameters that take more bytes than are `available`: each, by its position and sizes, as
    /// many as `bytes` says.
    ///
    /// # Errors
    /// [`WeightsError::Memory`].
    pub fn fits(
        &self,
        available: Option<&Integer>,
        bytes: impl Fn(usize, &[usize], Elem) -> Option<usize>,
    ) -> Result<(), WeightsError> {
        let each = (0..self.len()).map(|at| bytes(at, self.sizes(at), self.elem(at)));
        let needed = each.map(|bytes| Integer::from(bytes.unwrap_or(usize::MAX))).sum::<Integer>();
        match available {
            Some(available) if needed > *available => Err(WeightsError::Memory {
                path: self.checkpoint.path.clone(),
                needed,
                available: Some(available.clone()),
            }),
            _ => Ok(()),
        }
    }

    /// Reads a parameter into a sink: in its own type, [`FoundParameters::elem`], or as `f32`.
    ///
    /// # Errors
    /// When a file cannot be read, or the elements are of another type.
    pub fn read(&mut self, at: usize, elem: Elem, sink: &mut dyn Sink) -> Result<(), WeightsError> {
        if let Some(of) = self.blocks(at) {
            return self.read_blocks(at, of, sink);
        }
        let wrong = match elem {
            Elem::Bf16 => self.elements(at, |some: &[bf16]| sink.bf16(some)),
            Elem::F16 => self.elements(at, |some: &[f16]| sink.f16(some)),
            _ => self.elements(at, |some: &[f32]| sink.f32(some)),
        }?;
        if wrong > 0 {
            self.non_finite.push((self.path(at).to_owned(), wrong));
        }
        Ok(())
    }

    /// Hands over the blocks of a parameter.
    fn read_blocks(
        &mut self,
        at: usize,
        of: TensorKind,
        sink: &mut dyn Sink,
    ) -> Result<(), WeightsError> {
        let (pieces, transposed) = &self.plan.pieces[at];
        let path = &self.parameters[at].path;
        let (block, bytes) = of.block();
        let (block, bytes) = (block as usize, bytes as usize);
        // Blocks of one row each are read, and of one type.
        let refused = |what: &str| {
            let problem = format!("`{path}` is kept in {} {what}", of.name());
            unreadable(&self.checkpoint.path, problem)
        };
        for piece in pieces {
            let Piece { tensor: (_, located), begin, part, step, ins, .. } = piece;
            if located.info.blocks != Some(of) {
                return Err(refused("and in another type"));
            }
            if *transposed || !ins.is_multiple_of(block) || !begin.is_multiple_of(block) {
                return Err(refused("that do not stand along its rows"));
            }
            let [begin, row] = [*begin, *ins].map(|elements| elements / block * bytes);
            let range = begin + part.start * row..begin + part.end * row;
            let (unit, mut own) = (if *step == 1 { bytes } else { row.max(1) }, Vec::new());
            self.reader.stream_bytes(located, range, unit, |first, some| {
                if *step == 1 {
                    return sink.blocks(of, some);
                }
                own.clear();
                for (at, row) in some.chunks_exact(unit).enumerate() {
                    if (first / unit + at).is_multiple_of(*step) {
                        own.extend_from_slice(row);
                    }
                }
                sink.blocks(of, &own);
            })?;
        }
        Ok(())
    }

    /// Hands over the elements of a parameter, and says how many are infinite or no numbers.
    fn elements<E: FileElement>(
        &mut self,
        at: usize,
        mut take: impl FnMut(&[E]),
    ) -> Result<usize, WeightsError> {
        let mut wrong = 0;
        let raised = self.names.is_raised(&self.parameters[at].path);
        let mut lowered = Vec::new();
        let mut counted = |some: &[E]| {
            wrong += some.iter().filter(|x| !x.is_finite()).count();
            if raised {
                lowered.clear();
                lowered.extend(some.iter().map(|x| x.lowered()));
                return take(&lowered);
            }
            take(some);
        };
        let (pieces, transposed) = &self.plan.pieces[at];
        let Parameter { path, sizes, .. } = &self.parameters[at];
        for piece in pieces {
            if *transposed {
                let mut rows = self.checkpoint.room(piece.rows() * piece.ins)?;
                read_transposed(&mut self.reader, piece, &mut rows)?;
                counted(&rows);
            } else {
                read_rows(&mut self.reader, piece, &mut counted)?;
            }
        }
        if pieces.is_empty() && self.names.is_sinusoids(path) {
            let table: Vec<u8> = sinusoids(sizes).iter().flat_map(|x| x.to_le_bytes()).collect();
            if let Some((_, convert)) = E::conversion(Dtype::F32) {
                let mut elements = Vec::new();
                convert(&table, &mut elements);
                counted(&elements);
            }
        }
        Ok(wrong)
    }

    /// Compares tensors that are copies of parameters, and checks that no file has changed meanwhile.
    ///
    /// # Errors
    /// When a copy differs, or a file has changed or cannot be read.
    pub fn finish(mut self) -> Result<Read, WeightsError> {
        for (name, located, at) in std::mem::take(&mut self.plan.copies) {
            if !self.is_copy((name, located), at)? {
                let (name, parameter) = (name.to_owned(), self.path(at).to_owned());
                let path = self.checkpoint.path.clone();
                return Err(WeightsError::Untied { path, name, parameter });
            }
        }
        let unlisted = self.checkpoint.unlisted.iter().map(String::as_str);
        Ok(Read {
            bytes_read: self.reader.finish()?,
            non_finite: self.non_finite,
            ignored: self.plan.ignored.into_iter().map(str::to_owned).collect(),
            aside: self.plan.aside.into_iter().chain(unlisted).map(str::to_owned).collect(),
        })
    }

    /// Whether a tensor of a file has the elements of a parameter, bit by bit. A parameter that is a whole
    /// tensor is read beside it piece by piece.
    fn is_copy(&mut self, copy: (&str, &Located), at: usize) -> Result<bool, WeightsError> {
        let len = copy.1.info.elements();
        if len != self.sizes(at).iter().product::<usize>() {
            return Ok(false);
        }
        let whole = match &self.plan.pieces[at] {
            (pieces, false) => match &pieces[..] {
                [piece] if piece.step == 1 && piece.rows() * piece.ins == len => {
                    Some((piece.tensor, piece.begin + piece.part.start * piece.ins))
                }
                _ => None,
            },
            (_, true) => None,
        };
        let mut original: Vec<f32> = Vec::new();
        if whole.is_none() {
            original = self.checkpoint.room(len)?;
            self.elements(at, |some: &[f32]| original.extend_from_slice(some))?;
        }
        let mut same = true;
        for first in (0..len).step_by(PIECE) {
            let some = first..len.min(first + PIECE);
            if let Some((tensor, begin)) = whole {
                original.clear();
                let range = begin + some.start..begin + some.end;
                self.reader.stream(tensor, range, |new: &[f32]| original.extend_from_slice(new))?;
            }
            let beside = if whole.is_some() { &original[..] } else { &original[some.clone()] };
            self.reader.stream(copy, some, |new: &[f32]| {
                same &= beside.iter().map(|x| x.to_bits()).eq(new.iter().map(|x| x.to_bits()));
            })?;
        }
        Ok(same)
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

/// Hands over the rows of a piece, whose file holds the matrix row by row.
fn read_rows<E: FileElement>(
    reader: &mut Reader<'_>,
    piece: &Piece<'_>,
    mut take: impl FnMut(&[E]),
) -> Result<(), WeightsError> {
    let Piece { tensor, begin, part, step, ins, .. } = piece;
    let range = begin + part.start * ins..begin + part.end * ins;
    let (mut at, mut taken) = (0, Vec::new());
    reader.stream(*tensor, range, |numbers: &[E]| {
        match step {
            1 => take(numbers),
            step => {
                let own = numbers.iter().enumerate().filter(|(i, _)| (at + i) / ins % step == 0);
                taken.clear();
                taken.extend(own.map(|(_, number)| *number));
                take(&taken);
            }
        }
        at += numbers.len();
    })
}

/// Appends the rows of a piece, whose file holds the matrix column by column.
fn read_transposed<E: FileElement>(
    reader: &mut Reader<'_>,
    piece: &Piece<'_>,
    data: &mut Vec<E>,
) -> Result<(), WeightsError> {
    let Piece { tensor, begin, part, step, outs, ins } = piece;
    let filled = data.len();
    data.resize(filled + piece.rows() * ins, E::default());
    let rows = &mut data[filled..];
    let mut at = 0;
    reader.stream(*tensor, *begin..begin + outs * ins, |numbers: &[E]| {
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
