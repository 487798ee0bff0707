//! A causal model that keeps keys and values: tokens go in, as many as there are at a time, and every
//! earlier one is read from the cache.

use std::sync::Arc;

use opledger_dims::{Binding, Integer, Symbol};
use opledger_ir::{Cache, Graph, Role, SizeRole};
use opledger_tensor::Tensor;

use crate::driver::{Caches, Timetable};
use crate::memory::bytes_of;
use crate::program::{Instance, sizes_at};
use crate::{Feeds, Interpreter, Observer, Prepared, Run, RunError, Tensors};

/// The state of one generation: a prepared run with caches.
///
/// The graph has an input of token ids, sizes that count the tokens of a step and those of the cache
/// ([`SizeRole`]), and caches ([`Graph::caches`]). Those that were filled once are among the feeds.
///
/// Of one item, the keys and values of a step are written behind the earlier ones, in buffers that
/// grow by doubling or have [`Session::with_room`]; of several items, each of which has its tokens
/// side by side, they are copied, which the ledger keeps apart from what the operation moves.
#[derive(Debug)]
pub struct Session<I> {
    prepared: Prepared,
    timetable: Timetable,
    interpreter: I,
    sizes: Binding,
    /// The position of the input of token ids.
    ids: usize,
    /// The sizes that count the tokens of the cache and of a step.
    counts: [Symbol; 2],
    /// Keys and values.
    caches: Caches<f32>,
    /// Tokens in the cache.
    past: usize,
}

impl<I: Interpreter<Scalar = f32>> Session<I> {
    /// An empty cache. `sizes` binds all symbols but those that count tokens; `feeds` has the
    /// parameters.
    ///
    /// # Errors
    /// When the graph has no cache, a size or a parameter does not fit, or memory does not suffice.
    pub fn new(
        graph: impl Into<Arc<Graph>>,
        sizes: &Binding,
        feeds: &Feeds,
        interpreter: I,
    ) -> Result<Self, RunError> {
        let graph = graph.into();
        let ids = graph.inputs_of(Role::Tokens).next();
        let ids = ids.ok_or(RunError::NoSession { missing: "an input of token ids" })?.index();
        let count =
            |role, missing| graph.size_of(role).cloned().ok_or(RunError::NoSession { missing });
        let counts = [
            count(SizeRole::Past, "a size that counts the tokens of a cache")?,
            count(SizeRole::Tokens, "a size that counts the tokens of a step")?,
        ];
        let given = |cache: &Cache| graph.outputs().iter().any(|(_, var)| *var == cache.present);
        let mut growing = graph.caches().iter().filter(|cache| cache.grows()).peekable();
        if growing.peek().is_none() || !growing.all(given) {
            return Err(RunError::NoSession { missing: "caches that are given back" });
        }
        let [past, tokens] = &counts;
        let first = sizes.clone().with(past, 0).with(tokens, 1);
        let growing = graph.caches().iter().filter(|cache| cache.grows());
        let caches = growing.map(|cache| cache.past.index()).collect();
        let prepared = Prepared::with_caches(graph, &first, feeds, caches)?;
        let last_uses = &prepared.program().last_uses;
        let timetable = Timetable::new(prepared.graph(), last_uses, &interpreter);
        let caches = empty(&prepared, 0);
        let sizes = sizes.clone();
        Ok(Session { prepared, timetable, interpreter, sizes, ids, counts, caches, past: 0 })
    }

    /// The same empty cache with room for so many tokens of one item.
    #[must_use]
    pub fn with_room(self, tokens: usize) -> Self {
        Session { caches: empty(&self.prepared, tokens), past: 0, ..self }
    }

    /// The graph.
    pub fn graph(&self) -> &Graph {
        self.prepared.graph()
    }

    /// The tensors of all parameters, and of the inputs of the last step.
    pub fn tensors(&self) -> &Tensors {
        self.prepared.tensors()
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
        let [past, new] = &self.counts;
        let sizes = self.sizes.clone().with(past, self.past).with(new, tokens);
        let binding = self.graph().derive(&sizes)?;
        self.graph().check(&binding)?;
        Ok(binding)
    }

    /// Runs the model on the next `n` tokens of each item, `[b, n]`, and keeps their keys and values,
    /// which are no results then. When an operation fails, the cache is empty afterwards.
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
        let node = &self.graph().nodes()[self.ids];
        let shape = sizes_at(&node.shape, &binding).map_err(|e| RunError::of(node, e))?;
        let feeds = Feeds::default().with_ids(&node.path, &shape, tokens.to_vec())?;
        self.prepared.refit(binding, &feeds)?;
        let past = std::mem::take(&mut self.past);
        let mut caches = std::mem::take(&mut self.caches);
        let Session { prepared, timetable, interpreter, .. } = self;
        let finished = prepared.execute(timetable, interpreter, &mut caches, observer);
        let mut finished = match finished {
            Ok(finished) => finished,
            Err(problem) => {
                self.caches = empty(&self.prepared, 0);
                return Err(problem);
            }
        };
        let graph = prepared.graph();
        let mut results = Vec::with_capacity(finished.results.len());
        for result in finished.results {
            let (_, var) = graph.outputs()[result.output];
            let mut grown = graph.caches().iter().filter(|cache| cache.grows());
            match grown.find(|cache| cache.present == var) {
                Some(cache) => {
                    let (node, iteration) = (cache.past.index(), result.of.iteration);
                    self.caches.insert(Instance { node, iteration }, result.value);
                }
                None => results.push(result),
            }
        }
        finished.results = results;
        self.past = past + n;
        Ok(self.prepared.run_of(finished))
    }

    /// Bytes of the keys and values kept, those of caches that were filled once included.
    pub fn cache_bytes(&self) -> Integer {
        let filled = self.graph().caches().iter().filter(|cache| !cache.grows());
        let filled = filled.map(|cache| cache.past.index()).collect::<Vec<_>>();
        let fed = { self.prepared.tensors().iter() }.filter(|(at, _)| filled.contains(at));
        let fed = fed.map(|(_, fed)| fed.bytes());
        self.caches.values().map(bytes_of).chain(fed).map(Integer::from).sum()
    }
}

/// Empty caches, with room for so many tokens of one item; states are zeros.
fn empty(prepared: &Prepared, tokens: usize) -> Caches<f32> {
    let (sizes, mut caches) = (prepared.sizes(), Caches::new());
    for cache in prepared.graph().caches().iter().filter(|cache| cache.grows()) {
        let at = cache.past.index();
        if cache.of.is_state() {
            let shape = &sizes.nodes[at].output;
            let Ok(zeros) = Tensor::new(shape, vec![0.0; shape.iter().product()]) else { continue };
            for instance in sizes.instances(prepared.program(), at) {
                caches.insert(instance, zeros.clone().into());
            }
            continue;
        }
        let [items, _, token @ ..] = &sizes.nodes[at].output[..] else { continue };
        let shape = [&[*items, 0], token].concat();
        let room = token.iter().product::<usize>().saturating_mul(tokens);
        for instance in sizes.instances(prepared.program(), at) {
            let mut buffer = Vec::new();
            // Without room the buffers grow as they must, and say so when they cannot.
            let _ = buffer.try_reserve_exact(room);
            if let Ok(tensor) = Tensor::new(&shape, buffer) {
                caches.insert(instance, tensor.into());
            }
        }
    }
    caches
}

#[cfg(test)]
mod tests {
    use opledger_ir::ops::{Concat, Factor, Reduce, Source};
    use opledger_ir::{Axis, Cached, Var};

    use super::*;
    use crate::{Fast, Quiet, compare};

    /// What a table says of every token so far, and the caches.
    fn graph() -> Graph {
        let mut g = Graph::new();
        let ids = g.input_ids("ids", ["b", "n"], 9).unwrap();
        g.mark(ids, Role::Tokens);
        g.size_role(SizeRole::Tokens, "n");
        g.size_role(SizeRole::Past, "p");
        let table = g.param("table", Source::embedding(), [Axis::new("v", 9), "e".into()]).unwrap();
        let new = g.embedding("", ids, table).unwrap();
        for (of, name) in [(Cached::Keys, "keys"), (Cached::Values, "values")] {
            let axes = [Axis::from("b"), Axis::new("n", "p"), Axis::from("e")];
            let past = g.input(name, axes).unwrap();
            let grows = Concat { axis: "n".into(), grows: true };
            let all = g.record("", grows, &[past, new]).unwrap();
            g.output(&format!("all {name}"), all);
            g.cache(of, past, all);
            let total = g.reduce(all, Reduce::Sum("n".into())).unwrap();
            g.output(&format!("sum of {name}"), total);
        }
        g
    }

    fn cache<I>(session: &Session<I>, of: Cached) -> &Tensor<f32> {
        let graph = session.prepared.graph();
        let past: Var = graph.caches().iter().find(|cache| cache.of == of).unwrap().past;
        session.caches[&Instance { node: past.index(), iteration: 0 }].real().unwrap()
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
                // What is new is moved: rows of 5 numbers of 4 bytes. Of one item, the earlier tokens
                // stay where they are; of several, they are copied to make room.
                let counts = run.ledger.row(graph.caches()[0].present.index()).counts();
                let [moved, held] = [n, at - n].map(|tokens| (items * tokens * 5 * 4) as u64);
                assert_eq!([counts.bytes_read, counts.bytes_written], [moved; 2]);
                match (items, room) {
                    (1, 7) => assert_eq!(counts.bytes_relocated, 0),
                    (1, _) => assert!(counts.bytes_relocated <= held),
                    _ => assert_eq!(counts.bytes_relocated, held),
                }
                let theorem = compare(&graph, &run.binding, &run.ledger, "a step").unwrap();
                assert!(theorem.holds(), "{:?}", theorem.mismatches);
                let cache = cache(&stepwise, Cached::Keys);
                assert_eq!(cache.shape(), [items, at, 5]);
                places.push(cache.data().as_ptr());
            }
            for of in [Cached::Keys, Cached::Values] {
                assert_eq!(cache(&stepwise, of), cache(&at_once, of), "{items} items");
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
        let before = cache(&session, Cached::Values).clone();
        session.step(1, &[9], &mut Quiet).unwrap_err();
        session.step(2, &[1], &mut Quiet).unwrap_err();
        assert_eq!((session.past(), cache(&session, Cached::Values)), (2, &before));
        assert_eq!(
            session.step(1, &[3], &mut Quiet).unwrap().binding.get(&"p".into()),
            Some(&2.into())
        );
        let anew = session.with_room(4);
        assert_eq!((anew.past(), cache(&anew, Cached::Values).shape()), (0, &[1, 0, 5][..]));
    }

    /// A cache that two nodes read stays where it is for the second.
    #[test]
    fn a_cache_may_be_read_before_it_grows() {
        let mut graph = graph();
        let past = graph.caches()[0].past;
        let twice = graph.scale(past, Factor::Number(2.0)).unwrap();
        graph.output("twice", twice);
        let sizes = Binding::from_iter([("b", 1), ("e", 5)]);
        let fast = Fast::new().unwrap();
        let mut session = Session::new(&graph, &sizes, &Feeds::seeded(1), fast).unwrap();
        session.step(2, &[1, 2], &mut Quiet).unwrap();
        let kept = cache(&session, Cached::Keys).data().to_vec();
        let run = session.step(3, &[3, 4, 5], &mut Quiet).unwrap();
        assert!(
            run.output("twice").unwrap().iter().eq(kept
                .iter()
                .map(|x| 2.0 * x)
                .collect::<Vec<_>>()
                .iter())
        );
        assert_eq!(cache(&session, Cached::Keys).shape(), [1, 5, 5]);
    }

    #[test]
    fn a_cache_that_is_filled_once_counts_too() {
        let mut graph = graph();
        let memory = graph.input("memory", [("m", 3), ("f", 2)]).unwrap();
        graph.cache(Cached::Keys, memory, memory);
        graph.output("memory", memory);
        let sizes = Binding::from_iter([("b", 1), ("e", 5)]);
        let fast = Fast::new().unwrap();
        let mut session = Session::new(&graph, &sizes, &Feeds::seeded(1), fast).unwrap();
        assert_eq!(session.cache_bytes(), (3 * 2 * 4).into());
        session.step(2, &[1, 2], &mut Quiet).unwrap();
        assert_eq!(session.cache_bytes(), (3 * 2 * 4 + 2 * (2 * 5 * 4)).into());
    }

    #[test]
    fn a_graph_without_caches_is_refused() {
        let mut g = Graph::new();
        let x = g.input("x", ["b", "n"]).unwrap();
        g.output("x", x);
        let new = Session::new(g, &Binding::new(), &Feeds::seeded(1), Fast::new().unwrap());
        let problem = new.unwrap_err().to_string();
        assert!(
            problem.ends_with("it lacks an input of token ids; record it with a cache"),
            "{problem}"
        );
    }
}
