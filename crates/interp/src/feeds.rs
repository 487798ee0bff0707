//! What a graph is fed with: tensors by path, the rest drawn from a seed.

use std::collections::{BTreeMap, BTreeSet};

use opledger_dims::{Binding, Integer, Poly};
use opledger_ir::ops::{Draw, Source};
use opledger_ir::{Graph, Node, Value};
use opledger_tensor::{Distribution, Tensor, seed_of};

use opledger_kernels::WeightType;

use crate::RunError;
use crate::memory::bytes_of;
use crate::program::sizes_at;
use crate::weight::{Held, Weight};

/// Tensors by the path of their source; what is not given is drawn from the seed.
#[derive(Clone, Debug, Default)]
pub struct Feeds {
    given: BTreeMap<String, Held>,
    zeros: BTreeSet<String>,
    seed: u64,
    /// What is added to the seed of all that is no parameter.
    batch: u64,
    fill: Option<Distribution>,
}

impl Feeds {
    /// Everything is drawn from a seed.
    pub fn seeded(seed: u64) -> Self {
        Feeds { seed, ..Feeds::default() }
    }

    /// The same feeds, where all that is drawn but parameters is another with each number.
    #[must_use]
    pub fn batch(self, batch: u64) -> Self {
        Feeds { batch, ..self }
    }

    /// The same feeds, with small multiples of 1/8 for all reals that are drawn, so that short sums
    /// are exact.
    #[must_use]
    pub fn dyadic(self) -> Self {
        Feeds { fill: Some(Distribution::Dyadic), ..self }
    }

    /// The same feeds, with zeros for all reals: for looking at sizes only.
    #[must_use]
    pub fn zeros(self) -> Self {
        Feeds { fill: Some(Distribution::Zero), ..self }
    }

    /// The same feeds with one tensor given. Of a repeated layer the path names the iteration:
    /// `layers.0.linear1.weight`.
    #[must_use]
    pub fn with(mut self, path: &str, value: impl Into<Value<f32>>) -> Self {
        self.given.insert(path.to_owned(), Held::Plain(value.into()));
        self
    }

    /// The same feeds with a parameter given in the layout that kernels read, which shares its memory.
    #[must_use]
    pub fn with_weight(mut self, path: &str, weight: Weight) -> Self {
        self.given.insert(path.to_owned(), Held::Weight(weight));
        self
    }

    /// The same feeds with the ids of one input given.
    ///
    /// # Errors
    /// When there are not as many ids as the shape says.
    pub fn with_ids(self, path: &str, shape: &[usize], ids: Vec<i64>) -> Result<Self, RunError> {
        let ids = Tensor::new(shape, ids).map_err(|problem| RunError::FeedElements {
            path: path.to_owned(),
            problem: problem.to_string(),
        })?;
        Ok(self.with(path, Value::Index(ids)))
    }

    /// The same feeds, with zeros for an input of this path, if there is one.
    #[must_use]
    pub fn zeros_at(mut self, path: &str) -> Self {
        self.zeros.insert(path.to_owned());
        self
    }

    /// The same feeds with those tensors alone that a graph takes at these sizes, such as one that is a
    /// part of another.
    ///
    /// # Errors
    /// When how often a layer is repeated is not known.
    pub fn taken_by(&self, graph: &Graph, binding: &Binding) -> Result<Self, RunError> {
        let mut taken = Feeds { given: BTreeMap::new(), ..self.clone() };
        for node in graph.nodes().iter().filter(|node| node.op.is_source()) {
            let paths = graph.instances(node, binding).map_err(|e| RunError::of(node, e))?;
            let given = paths.into_iter().filter_map(|path| self.given.get_key_value(&path));
            taken.given.extend(given.map(|(path, value)| (path.clone(), value.clone())));
        }
        Ok(taken)
    }

    /// The tensor given for a path.
    pub(crate) fn given(&self, path: &str) -> Option<&Held> {
        self.given.get(path)
    }

    /// Whether a tensor is given for a path.
    pub(crate) fn gives(&self, path: &str) -> bool {
        self.given.contains_key(path)
    }

    /// Whether no tensor is given.
    pub(crate) fn gives_none(&self) -> bool {
        self.given.is_empty()
    }

    /// Bytes that the tensors given would take if they were drawn: those of plain ones, and of weights.
    pub(crate) fn bytes(&self) -> [Integer; 2] {
        let mut bytes = [Integer::default(), Integer::default()];
        for held in self.given.values() {
            match held {
                Held::Plain(value) => bytes[0] += bytes_of(value),
                Held::Weight(weight) => {
                    let drawn = weight.layout().bytes(weight.shape(), WeightType::F32);
                    bytes[1] += drawn.unwrap_or(weight.bytes());
                }
            }
        }
        bytes
    }

    /// The paths that tensors are given for.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        self.given.keys().map(String::as_str)
    }

    /// Draws the tensor of a source.
    pub(crate) fn draw(
        &self,
        source: &Source,
        path: &str,
        sizes: &[usize],
        binding: &Binding,
    ) -> Result<Value<f32>, RunError> {
        if let Some(known) = source.known(sizes) {
            return Ok(Value::Index(known));
        }
        Ok(match below(source, binding)? {
            Some(_) if self.zeros.contains(path) => self.draw_ids(source, path, sizes, 1),
            Some(below) => self.draw_ids(source, path, sizes, below),
            None => self.draw_reals(source, path, sizes, binding)?.into(),
        })
    }

    /// The seed of a source.
    fn seed_at(&self, source: &Source, path: &str) -> u64 {
        let batch = if matches!(source, Source::Param { .. }) { 0 } else { self.batch };
        seed_of(self.seed.wrapping_add(batch), path)
    }

    fn draw_ids(&self, source: &Source, path: &str, sizes: &[usize], below: i64) -> Value<f32> {
        let seed = self.seed_at(source, path);
        let mut ids = Tensor::random_index(sizes, seed, below).into_data();
        // A mask that hid every key would leave nothing to compute: the first one stays visible.
        if let (Source::Visible { .. }, Some(keys)) = (source, sizes.last()) {
            ids.iter_mut().step_by((*keys).max(1)).for_each(|id| *id = 1);
        }
        Value::Index(
            Tensor::new(sizes, ids).unwrap_or_else(|_| Tensor::random_index(sizes, seed, below)),
        )
    }

    fn draw_reals(
        &self,
        source: &Source,
        path: &str,
        sizes: &[usize],
        binding: &Binding,
    ) -> Result<Tensor<f32>, RunError> {
        if self.zeros.contains(path) {
            let none = Tensor::new(sizes, vec![0.0; sizes.iter().product()]);
            return none.map_err(|problem| RunError::FeedElements {
                path: path.to_owned(),
                problem: problem.to_string(),
            });
        }
        if let Some(fill) = self.fill {
            return Ok(Tensor::random(sizes, self.seed_at(source, path), fill));
        }
        let uniform = |centre, radius| Distribution::Uniform { centre, radius };
        let fill = match source {
            Source::Param { draw: Draw::Weight { fan_in }, .. } => {
                uniform(0.0, 1.0 / (integer(fan_in, binding)? as f64).sqrt())
            }
            Source::Param { draw: Draw::Gain, .. } | Source::Buffer { .. } => uniform(1.0, 0.1),
            Source::Param { draw: Draw::Shift, .. } => uniform(0.0, 0.1),
            Source::Param { draw: Draw::Table, .. }
            | Source::Input { .. }
            | Source::Ids { .. }
            | Source::Whole { .. }
            | Source::Visible { .. }
            | Source::Known { .. } => uniform(0.0, 1.0),
        };
        Ok(Tensor::random(sizes, self.seed_at(source, path), fill))
    }
}

/// Checks that a tensor fits a source.
pub(crate) fn check(
    node: &Node,
    source: &Source,
    path: &str,
    binding: &Binding,
    given: &Held,
) -> Result<(), RunError> {
    let sizes = sizes_at(&node.shape, binding).map_err(|problem| RunError::of(node, problem))?;
    if given.shape() != sizes {
        return Err(RunError::FeedShape {
            path: path.to_owned(),
            axes: node.shape.to_string(),
            expected: sizes,
            found: given.shape().to_vec(),
        });
    }
    let wrong = |problem: String| Err(RunError::FeedElements { path: path.to_owned(), problem });
    match (given, below(source, binding)?) {
        (Held::Weight(_) | Held::Plain(Value::Real(_)), None) => Ok(()),
        (Held::Plain(Value::Index(_)), Some(_))
            if matches!(source, Source::Whole { .. } | Source::Known { .. }) =>
        {
            Ok(())
        }
        (Held::Plain(Value::Index(ids)), Some(below)) => {
            match ids.data().iter().find(|id| !(0..below).contains(*id)) {
                Some(id) => wrong(format!("element {id} is not in 0..{below}")),
                None => Ok(()),
            }
        }
        (Held::Plain(Value::Index(_)), None) => {
            wrong("whole numbers are given where reals are needed".into())
        }
        (Held::Weight(_) | Held::Plain(Value::Real(_)), Some(_)) => {
            wrong("reals are given where whole numbers are needed".into())
        }
    }
}

/// What every whole number of a source is below, or is drawn below; `None` for reals.
pub(crate) fn below(source: &Source, binding: &Binding) -> Result<Option<i64>, RunError> {
    match source {
        Source::Ids { below, .. } => integer(below, binding).map(Some),
        Source::Whole { .. } | Source::Visible { .. } | Source::Known { .. } => Ok(Some(2)),
        Source::Input { .. } | Source::Buffer { .. } | Source::Param { .. } => Ok(None),
    }
}

pub(crate) fn integer(size: &Poly, binding: &Binding) -> Result<i64, RunError> {
    let value: Integer = size.at(binding).map_err(opledger_ir::BindingError::from)?;
    i64::try_from(&value).map_err(|_| RunError::Memory {
        needed: value,
        available: crate::available_memory().unwrap_or_default(),
    })
}
