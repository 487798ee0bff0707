//! A causal model that keeps keys and values: tokens go in, as many as there are at a time, and every
//! earlier one is read from the cache.

use opledger_dims::{Binding, Integer};
use opledger_ir::Graph;
use opledger_tensor::Tensor;

use crate::driver::{Caches, Observer, check_memory, run_cached};
use crate::{Feeds, Interpreter, Run, RunError, Store};

/// The input of tokens.
const IDS: &str = "input_ids";
/// The ending of the inputs that hold earlier keys and values, and of the results that hold all.
const ENDINGS: [(&str, &str); 2] =
    [(".past_key", ".present_key"), (".past_value", ".present_value")];

/// The state of one generation.
///
/// The graph has an input `input_ids` of `b` items of `n` tokens, and for every layer inputs
/// `past_key` and `past_value` of `p` tokens and results `present_key` and `present_value` of
/// `p + n`.
///
/// Of one item, the keys and values of a step are written behind the earlier ones, in buffers that
/// grow by doubling or have [`Session::with_room`]; of several items, each of which has its tokens
/// side by side, they are copied.
#[derive(Debug)]
pub struct Session<'g, I> {
    graph: &'g Graph,
    interpreter: I,
    sizes: Binding,
    store: Store,
    /// Keys and values, by the path of their input.
    caches: Caches<f32>,
    /// Tokens in the cache.
    past: usize,
}

impl<'g, I: Interpreter<Scalar = f32>> Session<'g, I> {
    /// An empty cache. `sizes` binds all symbols but `p` and `n`; `feeds` has the parameters.
    ///
    /// # Errors
    /// When a size or a parameter does not fit, or memory does not suffice.
    pub fn new(
        graph: &'g Graph,
        sizes: &Binding,
        feeds: &Feeds,
        interpreter: I,
    ) -> Result<Self, RunError> {
        let mut binding = graph.complete(&sizes.clone().with("p", 0).with("n", 1))?;
        graph.check(&binding)?;
        check_memory(graph, &binding, size_of::<f32>())?;
        let store = feeds.store(graph, &mut binding)?;
        let caches = empty(&store, 0);
        Ok(Session { graph, interpreter, sizes: sizes.clone(), store, caches, past: 0 })
    }

    /// The same empty cache with room for so many tokens of one item.
    #[must_use]
    pub fn with_room(self, tokens: usize) -> Self {
        Session { caches: empty(&self.store, tokens), past: 0, ..self }
    }

    /// How many tokens the cache holds.
    pub fn past(&self) -> usize {
        self.past
    }

    /// The sizes of a step of so many tokens.
    ///
    /// # Errors
    /// When they do not fit the model, such as more tokens than it has positions.
    pub fn binding(&self, tokens: usize) -> Result<Binding, RunError> {
        let sizes = self.sizes.clone().with("p", self.past).with("n", tokens);
        let binding = self.graph.complete(&sizes)?;
        self.graph.check(&binding)?;
        Ok(binding)
    }

    /// Runs the model on the next `n` tokens of each item, `[b, n]`, and keeps their keys and values.
    /// When an operation fails, the cache is empty afterwards.
    ///
    /// # Errors
    /// When the tokens do not fit, memory does not suffice, or an operation fails.
    pub fn step(
        &mut self,
        n: usize,
        tokens: &[i64],
        observer: &mut dyn Observer,
    ) -> Result<Run<f32>, RunError> {
        let binding = self.binding(n)?;
        check_memory(self.graph, &binding, size_of::<f32>())?;
        self.store.feed(self.graph, &binding, IDS, tokens)?;
        let past = std::mem::take(&mut self.past);
        let mut caches = std::mem::replace(&mut self.caches, empty(&self.store, 0));
        let (graph, interpreter) = (self.graph, &mut self.interpreter);
        let mut run = run_cached(graph, &binding, interpreter, &self.store, &mut caches, observer)?;
        let mut outputs = Vec::with_capacity(run.outputs.len());
        for (name, value) in run.outputs {
            let kept = ENDINGS.iter().find_map(|(past, present)| {
                name.strip_suffix(present).map(|layer| format!("{layer}{past}"))
            });
            match kept {
                Some(path) => {
                    self.caches.insert(path, value);
                }
                None => outputs.push((name, value)),
            }
        }
        run.outputs = outputs;
        self.past = past + n;
        Ok(run)
    }

    /// Bytes of the keys and values kept.
    pub fn cache_bytes(&self) -> Integer {
        let kept = self.caches.values();
        kept.map(|value| Integer::from(value.shape().iter().product::<usize>() * 4)).sum()
    }
}

/// Empty caches, with room for so many tokens of one item.
fn empty(store: &Store, tokens: usize) -> Caches<f32> {
    let kept =
        store.iter().filter(|(path, _)| ENDINGS.iter().any(|(past, _)| path.ends_with(past)));
    let emptied = kept.filter_map(|(path, value)| {
        let shape = value.shape();
        let (_, [_, token @ ..]) = shape.split_first()? else { return None };
        let mut room = Vec::new();
        // Without room the buffers grow as they must, and say so when they cannot.
        let _ = room.try_reserve_exact(token.iter().product::<usize>().saturating_mul(tokens));
        Some((path.to_owned(), Tensor::new(shape, room).ok()?.into()))
    });
    emptied.collect()
}

#[cfg(test)]
mod tests {
    use opledger_ir::Axis;
    use opledger_ir::ops::Source;

    use super::*;
    use crate::{Fast, Quiet};

    /// What a table says of every token so far.
    fn graph() -> Graph {
        let mut g = Graph::new();
        let ids = g.input_ids(IDS, ["b", "n"], 9).unwrap();
        let table = g.param("table", Source::embedding(), [Axis::new("v", 9), "e".into()]).unwrap();
        let new = g.embedding("", ids, table).unwrap();
        for [past, present] in [["past_key", "present_key"], ["past_value", "present_value"]] {
            let axes = [Axis::from("b"), Axis::new("n", "p"), Axis::from("e")];
            let past = g.input(&format!("layer.{past}"), axes).unwrap();
            let all = g.concat(past, new, "n").unwrap();
            g.output(&format!("layer.{present}"), all);
            let total = g.reduce(all, opledger_ir::ops::Reduce::Sum("n".into())).unwrap();
            g.output(present, total);
        }
        g
    }

    #[test]
    fn steps_are_written_behind_each_other() {
        let (graph, tokens) = (graph(), [1, 2, 3, 4, 5, 6, 7]);
        for (items, room) in [(1, 0), (1, 7), (1, 3), (2, 0), (2, 7)] {
            let sizes = Binding::from_iter([("b", items as u64), ("e", 5)]);
            let new = || {
                let fast = Fast::new().unwrap();
                Session::new(&graph, &sizes, &Feeds::seeded(1), fast).unwrap().with_room(room)
            };
            let (mut at_once, mut stepwise) = (new(), new());
            at_once.step(7, &tokens.repeat(items), &mut Quiet).unwrap();
            let (mut at, mut places) = (0, Vec::new());
            for n in [3, 1, 0, 1, 2] {
                let run = stepwise.step(n, &tokens[at..at + n].repeat(items), &mut Quiet).unwrap();
                assert_eq!(run.outputs.len(), 2);
                at += n;
                let cache = stepwise.caches["layer.past_key"].real().unwrap();
                assert_eq!(cache.shape(), [items, at, 5]);
                places.push(cache.data().as_ptr());
            }
            for (path, cache) in &stepwise.caches {
                assert_eq!(cache.real(), at_once.caches[path].real(), "{items} items, {path}");
            }
            assert_eq!(stepwise.cache_bytes(), (items * 7 * 5 * 2 * 4).into());
            if (items, room) == (1, 7) {
                assert!(places.iter().all(|place| *place == places[0]), "{places:?}");
            }
        }
    }

    #[test]
    fn a_step_that_does_not_fit_changes_nothing() {
        let graph = graph();
        let sizes = Binding::from_iter([("b", 1), ("e", 5)]);
        let fast = Fast::new().unwrap();
        let mut session = Session::new(&graph, &sizes, &Feeds::seeded(1), fast).unwrap();
        session.step(2, &[1, 2], &mut Quiet).unwrap();
        let before = session.caches["layer.past_value"].real().cloned();
        session.step(1, &[9], &mut Quiet).unwrap_err();
        session.step(2, &[1], &mut Quiet).unwrap_err();
        assert_eq!(
            (session.past(), session.caches["layer.past_value"].real().cloned()),
            (2, before)
        );
    }
}
