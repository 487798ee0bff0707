//! A graph that is ready to run.

use std::sync::Arc;

use opledger_dims::Binding;
use opledger_ir::{Elem, Graph, Value, Var, path_at};

use crate::driver::{Caches, Finished, Job, Timetable};
use crate::memory::Allowance;
use crate::program::{Program, Sizes};
use crate::{Feeds, Interpreter, Observer, Run, RunError, Tensors};

/// A graph with all its sizes and all its tensors, to be run by any interpreter as often as wanted.
///
/// ```
/// # mod opledger {
/// #     pub use {opledger_dims::*, opledger_interp::*, opledger_ir::{self as ir, *}};
/// # }
/// use opledger::{Binding, Fast, Feeds, Graph, Oracle, Prepared, Quiet, ir::ops::Source};
///
/// let mut g = Graph::new();
/// let x = g.input("x", ["n", "c"])?;
/// let w = g.param("weight", Source::weight("c"), ["f", "c"])?;
/// let y = g.einsum("n c, f c -> n f", x, w)?;
/// g.output("y", y);
///
/// let sizes = Binding::from_iter([("n", 3), ("c", 8), ("f", 5)]);
/// let mut prepared = Prepared::new(&g, &sizes, &Feeds::seeded(1))?;
/// let mut fast = Fast::new()?; // keeps the buffers it has used
/// for n in [3, 30, 300] {
///     prepared.rebind(&sizes.clone().with("n", n), &Feeds::seeded(1))?; // draws `x` only
///     let run = prepared.run(&mut fast, &mut Quiet)?;
///     assert_eq!(run.ledger.macs(), (n * 8 * 5).into());
/// }
/// let exact = prepared.run(&mut Oracle::<f64>::new(), &mut Quiet)?;
/// assert_eq!(exact.output_f64("y")?.shape(), [300, 5]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Prepared {
    graph: Arc<Graph>,
    program: Arc<Program>,
    sizes: Sizes,
    tensors: Tensors,
    allowance: Allowance,
}

impl Prepared {
    /// Binds a graph at values of its free symbols and gives or draws every input and parameter. Of a
    /// borrowed graph it keeps a copy.
    ///
    /// # Errors
    /// When the sizes do not fit the graph, the run would not fit in memory, or a tensor given does
    /// not fit or is not taken.
    pub fn new(
        graph: impl Into<Arc<Graph>>,
        sizes: &Binding,
        feeds: &Feeds,
    ) -> Result<Self, RunError> {
        Prepared::with_caches(graph.into(), sizes, feeds, Vec::new())
    }

    /// The same without tensors for some sources, which each run is given.
    pub(crate) fn with_caches(
        graph: Arc<Graph>,
        sizes: &Binding,
        feeds: &Feeds,
        caches: Vec<usize>,
    ) -> Result<Self, RunError> {
        let program = Arc::new(Program::new(&graph));
        let binding = graph.complete(sizes)?;
        graph.check(&binding)?;
        let sizes = Sizes::default();
        let tensors = Tensors::none(&graph, &caches);
        let allowance = Allowance::default();
        let mut prepared = Prepared { graph, program, sizes, tensors, allowance };
        prepared.refit(binding, feeds)?;
        Ok(prepared)
    }

    /// The graph, with the types that weights have in memory where these are given in 16 bits.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The values of all symbols, those that follow from others and from the tensors included.
    pub fn binding(&self) -> &Binding {
        &self.sizes.binding
    }

    /// The tensors of all inputs and parameters.
    pub fn tensors(&self) -> &Tensors {
        &self.tensors
    }

    /// Gives an input or a parameter another tensor of the same shape.
    ///
    /// # Errors
    /// When the graph takes none of this path, or the tensor does not fit. Nothing is changed then.
    pub fn feed(&mut self, path: &str, value: impl Into<Value<f32>>) -> Result<(), RunError> {
        let feeds = Feeds::default().with(path, value);
        let binding = self.sizes.binding.clone();
        self.refit(binding, &feeds)
    }

    /// Changes the sizes. Tensors whose sizes stay the same stay unless `feeds` gives others; the rest
    /// is given or drawn.
    ///
    /// # Errors
    /// As [`Prepared::new`]. Nothing is changed then.
    pub fn rebind(&mut self, sizes: &Binding, feeds: &Feeds) -> Result<(), RunError> {
        let binding = self.graph.complete(sizes)?;
        self.graph.check(&binding)?;
        self.refit(binding, feeds)
    }

    /// The same at a complete binding that was checked.
    pub(crate) fn refit(&mut self, binding: Binding, feeds: &Feeds) -> Result<(), RunError> {
        let needs = self.graph.footprint(&binding, size_of::<f32>())?;
        let bindings = (&self.sizes.binding, &binding);
        let moved = self.tensors.moved(&self.graph, bindings, feeds)?;
        self.allowance.take(&(needs.computed() + moved.drawn_bytes()))?;
        let changes = self.tensors.changes(&self.graph, moved, &binding, feeds)?;
        self.sizes = Sizes::new(&self.graph, changes.binding.clone(), &needs)?;
        let before: Vec<(usize, Elem)> = self.tensors.narrow().collect();
        self.tensors.apply(changes);
        let after: Vec<(usize, Elem)> = self.tensors.narrow().collect();
        if before != after {
            // Weights are of the types that they have in memory.
            let wide = before.into_iter().map(|(at, _)| (at, Elem::F32));
            let graph = Arc::make_mut(&mut self.graph);
            let vars: Vec<Var> = graph.vars().collect();
            wide.chain(after).for_each(|(at, elem)| graph.store(vars[at], elem));
        }
        Ok(())
    }

    /// Runs the graph.
    ///
    /// # Errors
    /// When the interpreter's numbers take more memory than there is, or an operation fails.
    pub fn run<I: Interpreter>(
        &self,
        interpreter: &mut I,
        observer: &mut dyn Observer,
    ) -> Result<Run<I::Scalar>, RunError> {
        let bytes = size_of::<I::Scalar>();
        if bytes > size_of::<f32>() {
            let needs = self.graph.footprint(&self.sizes.binding, bytes)?;
            Allowance::default().take(&needs.computed())?;
        }
        let timetable = Timetable::new(&self.graph, &self.program.last_uses, interpreter);
        let finished = self.execute(&timetable, interpreter, &mut Caches::new(), observer)?;
        Ok(self.run_of(finished))
    }

    /// Runs the graph with values for its caches.
    pub(crate) fn execute<I: Interpreter>(
        &self,
        timetable: &Timetable,
        interpreter: &mut I,
        caches: &mut Caches<I::Scalar>,
        observer: &mut dyn Observer,
    ) -> Result<Finished<I::Scalar>, RunError> {
        let Prepared { graph, program, sizes, tensors, .. } = self;
        let job = Job { graph, program, sizes, tensors };
        // On a thread of the pool: from outside, each kernel would wake one first and then wait for it.
        rayon::scope(|_| job.execute(timetable, interpreter, caches, observer))
    }

    /// A finished run with the names of its results.
    pub(crate) fn run_of<T>(&self, finished: Finished<T>) -> Run<T> {
        let Finished { results, ledger, wall, peak } = finished;
        let named = results.into_iter().map(|result| {
            let (name, _) = &self.graph.outputs()[result.output];
            (path_at(name, &self.sizes.iterations(&self.program, result.of)), result.value)
        });
        let binding = self.sizes.binding.clone();
        Run { outputs: named.collect(), ledger, binding, wall, peak }
    }

    pub(crate) fn program(&self) -> &Program {
        &self.program
    }

    pub(crate) fn sizes(&self) -> &Sizes {
        &self.sizes
    }
}
