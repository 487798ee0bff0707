//! What a graph is fed with: tensors by path, the rest drawn from a seed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use opledger_dims::{Binding, Integer, Poly};
use opledger_ir::ops::{Draw, Source};
use opledger_ir::{Band, Definition, Graph, Node, Op, Shape, Value, to_usize};
use opledger_tensor::{Fill, Tensor, seed_of};

use crate::RunError;
use crate::plan::Plan;

/// Tensors by the path of their source; what is not given is drawn from the seed.
#[derive(Clone, Debug, Default)]
pub struct Feeds {
    given: BTreeMap<String, Value<f32>>,
    zeros: BTreeSet<String>,
    seed: u64,
    fill: Option<Fill>,
}

impl Feeds {
    /// Everything is drawn from a seed.
    pub fn seeded(seed: u64) -> Self {
        Feeds { seed, ..Feeds::default() }
    }

    /// The same feeds, with small multiples of 1/8 for all reals that are drawn, so that short sums
    /// are exact.
    #[must_use]
    pub fn dyadic(self) -> Self {
        Feeds { fill: Some(Fill::Dyadic), ..self }
    }

    /// The same feeds, with zeros for all reals: for looking at sizes only.
    #[must_use]
    pub fn zeros(self) -> Self {
        Feeds { fill: Some(Fill::Zero), ..self }
    }

    /// The same feeds with one tensor given. Of a repeated layer the path names the iteration:
    /// `layers.0.linear1.weight`.
    #[must_use]
    pub fn with(mut self, path: &str, value: impl Into<Value<f32>>) -> Self {
        self.given.insert(path.to_owned(), value.into());
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

    /// The same feeds, with zeros for the ids of an input of this path, if there is one.
    #[must_use]
    pub fn zeros_at(mut self, path: &str) -> Self {
        self.zeros.insert(path.to_owned());
        self
    }

    /// Gives or draws every source of a graph at a complete binding, and adds to the binding what
    /// only the tensors tell (how many pairs a mask tensor leaves).
    ///
    /// # Errors
    /// When a given tensor does not fit or is not taken.
    pub fn store(&self, graph: &Graph, binding: &mut Binding) -> Result<Store, RunError> {
        let mut values = BTreeMap::new();
        for node in graph.nodes() {
            if let Op::Source(source) = &node.op {
                let paths =
                    graph.instances(node, binding).map_err(|problem| op_error(node, problem))?;
                for path in paths {
                    let value = self.value(node, source, &path, binding)?;
                    values.insert(path, value);
                }
            }
        }
        if let Some(path) = self.given.keys().find(|path| !values.contains_key(*path)) {
            let known = values.keys().take(20).cloned().collect::<Vec<_>>().join(", ");
            return Err(RunError::FeedUnknown { path: path.clone(), known });
        }
        let mut store = Store { values, plan: None };
        store.measure_masks(graph, binding)?;
        store.plan = Some(Arc::new(Plan::new(graph, binding, &store)?));
        Ok(store)
    }

    fn value(
        &self,
        node: &Node,
        source: &Source,
        path: &str,
        binding: &Binding,
    ) -> Result<Value<f32>, RunError> {
        let sizes = sizes_at(&node.shape, binding).map_err(|problem| op_error(node, problem))?;
        let below = match source {
            Source::Ids { below, .. } => Some(integer(below, binding)?),
            Source::Visible { .. } => Some(2),
            _ => None,
        };
        let Some(given) = self.given.get(path) else {
            return Ok(match below {
                Some(_) if self.zeros.contains(path) => self.draw_ids(source, path, &sizes, 1),
                Some(below) => self.draw_ids(source, path, &sizes, below),
                None => self.draw(source, path, &sizes, binding)?.into(),
            });
        };
        if given.shape() != sizes {
            return Err(RunError::FeedShape {
                path: path.to_owned(),
                axes: node.shape.to_string(),
                expected: sizes,
                found: given.shape().to_vec(),
            });
        }
        let wrong = |problem: String| RunError::FeedElements { path: path.to_owned(), problem };
        match (given, below) {
            (Value::Real(_), None) => Ok(given.clone()),
            (Value::Index(ids), Some(below)) => {
                match ids.data().iter().find(|id| !(0..below).contains(*id)) {
                    Some(id) => Err(wrong(format!("element {id} is not in 0..{below}"))),
                    None => Ok(given.clone()),
                }
            }
            (Value::Index(_), None) => {
                Err(wrong("whole numbers are given where reals are needed".into()))
            }
            (Value::Real(_), Some(_)) => {
                Err(wrong("reals are given where whole numbers are needed".into()))
            }
        }
    }

    fn draw_ids(&self, source: &Source, path: &str, sizes: &[usize], below: i64) -> Value<f32> {
        let seed = seed_of(self.seed, path);
        let mut ids = Tensor::random_index(sizes, seed, below).into_data();
        // A mask that hid every key would leave nothing to compute: the first one stays visible.
        if let (Source::Visible { .. }, Some(keys)) = (source, sizes.last()) {
            ids.iter_mut().step_by((*keys).max(1)).for_each(|id| *id = 1);
        }
        Value::Index(
            Tensor::new(sizes, ids).unwrap_or_else(|_| Tensor::random_index(sizes, seed, below)),
        )
    }

    fn draw(
        &self,
        source: &Source,
        path: &str,
        sizes: &[usize],
        binding: &Binding,
    ) -> Result<Tensor<f32>, RunError> {
        if let Some(fill) = self.fill {
            return Ok(Tensor::random(sizes, seed_of(self.seed, path), fill));
        }
        let uniform = |centre, radius| Fill::Uniform { centre, radius };
        let fill = match source {
            Source::Param { draw: Draw::Weight { fan_in }, .. } => {
                uniform(0.0, 1.0 / (integer(fan_in, binding)? as f64).sqrt())
            }
            Source::Param { draw: Draw::Gain, .. } => uniform(1.0, 0.1),
            Source::Param { draw: Draw::Shift, .. } => uniform(0.0, 0.1),
            _ => uniform(0.0, 1.0),
        };
        Ok(Tensor::random(sizes, seed_of(self.seed, path), fill))
    }
}

/// The tensors of all sources of a graph, by path, and the plan of runs that they are for.
#[derive(Clone, Debug)]
pub struct Store {
    values: BTreeMap<String, Value<f32>>,
    plan: Option<Arc<Plan>>,
}

impl Store {
    /// The tensor of a source.
    pub fn get(&self, path: &str) -> Option<&Value<f32>> {
        self.values.get(path)
    }

    /// Gives a source another tensor; runs at other sizes then need another plan.
    pub(crate) fn set(&mut self, path: &str, value: Value<f32>) {
        self.values.insert(path.to_owned(), value);
        self.plan = None;
    }

    /// Gives an input of ids other ids, checked as those of [`Feeds`].
    pub(crate) fn feed(
        &mut self,
        graph: &Graph,
        binding: &Binding,
        path: &str,
        ids: &[i64],
    ) -> Result<(), RunError> {
        let node = graph.nodes().iter().find(|node| node.path == path && node.op.is_source());
        let unknown = || {
            let known = self.values.keys().take(20).cloned().collect::<Vec<_>>().join(", ");
            RunError::FeedUnknown { path: path.to_owned(), known }
        };
        let node = node.ok_or_else(unknown)?;
        let Op::Source(source) = &node.op else { return Err(unknown()) };
        let sizes = sizes_at(&node.shape, binding).map_err(|problem| op_error(node, problem))?;
        let ids = Tensor::new(&sizes, ids.to_vec()).map_err(|problem| RunError::FeedElements {
            path: path.to_owned(),
            problem: problem.to_string(),
        })?;
        let feeds = Feeds::default().with(path, Value::Index(ids));
        let value = feeds.value(node, source, path, binding)?;
        self.set(path, value);
        Ok(())
    }

    /// All tensors by path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value<f32>)> {
        self.values.iter().map(|(path, value)| (path.as_str(), value))
    }

    /// The plan, made for a graph and a binding.
    pub(crate) fn plan(&self, graph: &Graph, binding: &Binding) -> Result<Arc<Plan>, RunError> {
        match &self.plan {
            Some(plan) if plan.is_for(graph, binding) => Ok(plan.clone()),
            _ => Ok(Arc::new(Plan::new(graph, binding, self)?)),
        }
    }

    /// Counts, by looking at every pair, what mask tensors leave.
    fn measure_masks(&self, graph: &Graph, binding: &mut Binding) -> Result<(), RunError> {
        for definition in graph.definitions() {
            let Definition::Kept { pairs, rows, keep, queries, offset, window } = definition else {
                continue;
            };
            let node = graph.node(*keep);
            let Some(keep) = self.get(&node.path).and_then(Value::index) else {
                let problem = "a key mask must be an input of the graph".to_owned();
                return Err(RunError::FeedElements { path: node.path.clone(), problem });
            };
            let size = |p: &Option<Poly>| p.as_ref().map(|p| integer(p, binding)).transpose();
            let band = Band { offset: size(offset)?, window: size(window)? };
            let keys = keep.shape().last().copied().unwrap_or(0);
            let queries = integer(queries, binding)? as usize;
            let (mut seen_pairs, mut seen_rows) = (0_u64, 0_u64);
            for item in keep.data().chunks(keys.max(1)) {
                for query in 0..queries {
                    let seen = item[band.keys(query, keys)].iter().filter(|k| **k != 0).count();
                    seen_pairs += seen as u64;
                    seen_rows += u64::from(seen > 0);
                }
            }
            binding.set(pairs, seen_pairs).set(rows, seen_rows);
        }
        Ok(())
    }
}

fn integer(size: &Poly, binding: &Binding) -> Result<i64, RunError> {
    let value: Integer = size.at(binding).map_err(opledger_ir::BindingError::from)?;
    i64::try_from(&value).map_err(|_| RunError::Memory {
        needed: value,
        available: crate::available_memory().unwrap_or_default(),
    })
}

pub(crate) fn sizes_at(
    shape: &Shape,
    binding: &Binding,
) -> Result<Vec<usize>, opledger_ir::OpError> {
    shape.axes.iter().map(|axis| to_usize(&axis.size.at(binding)?)).collect()
}

pub(crate) fn op_error(node: &Node, problem: opledger_ir::OpError) -> RunError {
    use opledger_ir::Operation;
    RunError::Op {
        path: node.path.clone(),
        op: node.op.name(),
        operands: node.shape.to_string(),
        problem,
    }
}
