//! What a training step of a model costs: forward pass, loss and gradients, as one graph.

mod convention;
mod formulas;
mod masks;
mod saved;
mod six;

use opledger_dims::{Binding, EvalError, Integer, Poly, Quantity};
use opledger_grad::{
    Accumulate, Gradient, Loss, Recompute, Recorded, RecordedFor, TrainingStep, Update, Updated,
};
use opledger_ir::ops::Source;
use opledger_ir::{Elem, Graph, Node, Op, Phase, SizeRole, Storage, Var};
use opledger_report::{
    AS_PARAMETERS, TrainingCost, TrainingMemory, TrainingModule, TrainingPhase, TrainingTerm,
};

use crate::memory::bytes;
use crate::{AccountError, Model};
pub use convention::{Attending, StepCounter};

/// How a model is trained.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrainingOptions {
    /// The result whose loss is made smaller, by name; unless it is said, the last one that has a score for
    /// each id that is looked up, else the last one that goes into no cache.
    pub result: Option<String>,
    /// Its loss; by default cross-entropy where the result has a score for each id that is looked up,
    /// else none: the gradient of the result is given.
    pub loss: Option<Loss>,
    /// What of the forward pass is computed again.
    pub recompute: Recompute,
    /// Over how many batches of these sizes gradients are added before parameters change; over one by default.
    pub accumulate: Option<u32>,
    /// What is done with the gradients.
    pub update: Option<Update>,
}

/// A training step of a model, as a graph.
#[derive(Clone, Debug)]
pub struct Training<'m> {
    model: &'m Model,
    result: String,
    step: TrainingStep,
    graph: Graph,
    gradients: Vec<Gradient>,
    updated: Vec<Updated>,
    /// What the loss is called.
    lost: Option<String>,
    /// What each node is for.
    origins: Vec<Option<RecordedFor>>,
    /// The batches before, whose gradients are added to those of the last.
    earlier: Vec<EarlierBatches>,
}

/// Batches of a step that change no parameter.
#[derive(Clone, Debug)]
struct EarlierBatches {
    graph: Graph,
    gradients: Vec<Gradient>,
    times: u32,
}

impl Model {
    /// A training step of the model: its forward pass, a loss, and the gradients of all parameters that
    /// training changes.
    ///
    /// ```
    /// use opledger::{Model, TrainingOptions};
    ///
    /// let model = Model::open("llama-2-7b")?;
    /// let step = model.training(&TrainingOptions::default())?;
    /// let cost = step.at(&[("b", 4), ("n", 8192)].into_iter().collect(), Default::default())?;
    /// assert_eq!(cost.model_flops, cost.terms.iter().map(|term| &term.flops).sum());
    /// # Ok::<(), opledger::AccountError>(())
    /// ```
    ///
    /// # Errors
    /// When nothing is called so, or an operation on the way has no gradient.
    pub fn training(&self, options: &TrainingOptions) -> Result<Training<'_>, AccountError> {
        let result = options.result.clone().unwrap_or_else(|| usual_result(self.graph()));
        let loss = options.loss.unwrap_or_else(|| by_default(self.graph(), &result));
        let batches = options.accumulate.unwrap_or(1).max(1);
        let accumulate = |earlier| (batches > 1).then_some(Accumulate { batches, earlier });
        let step = TrainingStep {
            loss,
            recompute: options.recompute.clone(),
            accumulate: accumulate(true),
            sizes: self.sizes().clone(),
            update: options.update,
        };
        let Recorded { graph, gradients, updated, origins, loss: lost } =
            step.recorded(self.graph(), &result)?;
        let mut earlier = Vec::new();
        for (added, times) in [(false, batches.min(2) - 1), (true, batches.max(2) - 2)] {
            if times > 0 {
                let step =
                    TrainingStep { accumulate: accumulate(added), update: None, ..step.clone() };
                let Recorded { graph, gradients, .. } = step.recorded(self.graph(), &result)?;
                earlier.push(EarlierBatches { graph, gradients, times });
            }
        }
        Ok(Training {
            model: self,
            result,
            step,
            graph,
            gradients,
            updated,
            lost,
            origins,
            earlier,
        })
    }
}

/// Whether a result has a score for each id that the model looks up.
fn scores_words(graph: &Graph, result: Var) -> bool {
    let scores = graph.shape(result).last();
    let each = |below: &Poly| scores.is_some_and(|axis| axis.size == *below);
    let ids =
        |node: &Node| matches!(&node.op, Op::Source(Source::Ids { below, .. }) if each(below));
    graph.nodes().iter().any(ids)
}

/// The result that a model is trained by where nobody says another.
fn usual_result(graph: &Graph) -> String {
    let cached = |var: &Var| graph.caches().iter().any(|cache| cache.present == *var);
    let own = || graph.outputs().iter().rev().filter(|(_, var)| !cached(var));
    let scored = own().find(|(_, var)| scores_words(graph, *var));
    scored.or_else(|| own().next()).map_or_else(String::new, |(name, _)| name.clone())
}

/// Cross-entropy where a result has a score for each id that the model looks up.
fn by_default(graph: &Graph, result: &str) -> Loss {
    let var = graph.outputs().iter().find(|(name, _)| name == result).map(|(_, var)| *var);
    match var.is_some_and(|var| scores_words(graph, var)) {
        true => Loss::CrossEntropy { ignoring: false },
        false => Loss::Given,
    }
}

impl Training<'_> {
    /// The step: what is recorded behind the forward pass says so by its [`Phase`]. Where gradients of several
    /// batches are added it is that of the last one.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The model.
    pub(crate) fn model(&self) -> &Model {
        self.model
    }

    /// The graphs of a step in their order, each with how often it runs: the batches whose gradients are added,
    /// and the last one, which changes parameters.
    pub fn graphs(&self) -> impl Iterator<Item = (&Graph, u32)> {
        self.passes().map(|(graph, _, times)| (graph, times))
    }

    /// The same, each with its gradients.
    pub fn passes(&self) -> impl Iterator<Item = (&Graph, &[Gradient], u32)> {
        let earlier = self.earlier.iter().map(|of| (&of.graph, &of.gradients[..], of.times));
        earlier.chain([(&self.graph, &self.gradients[..], 1)])
    }

    /// The same step with something else computed again.
    ///
    /// # Errors
    /// As [`Model::training`].
    pub fn recomputing(&self, recompute: Recompute) -> Result<Training<'_>, AccountError> {
        self.model.training(&TrainingOptions {
            result: Some(self.result.clone()),
            loss: Some(self.step.loss),
            recompute,
            accumulate: Some(self.batches()),
            update: self.step.update,
        })
    }

    /// What it takes as it is executed here.
    ///
    /// # Errors
    /// As [`Training::at`].
    pub fn bytes(&self, sizes: &Binding) -> Result<StepBytes, AccountError> {
        let memory = self.memory(&self.sized(sizes)?, TrainingSizes::default())?;
        let TrainingMemory { weights, gradients, state, kept, computed, .. } = memory;
        let state = state.unwrap_or_default();
        let needed = &weights + &state + computed;
        Ok(StepBytes { weights, gradients, state, kept, needed })
    }

    /// What of the forward pass is computed again.
    pub fn recompute(&self) -> &Recompute {
        &self.step.recompute
    }

    /// How many batches the gradients of a step are of.
    pub fn batches(&self) -> u32 {
        self.graphs().map(|(_, times)| times).sum()
    }

    /// What is made smaller, in words.
    pub fn smaller(&self) -> &'static str {
        match self.step.loss {
            Loss::Given => "a gradient of the result that is given",
            Loss::CrossEntropy { .. } => "cross-entropy",
            Loss::MeanSquare => "mean square",
        }
    }

    /// The result that the step is of, by name.
    pub fn result(&self) -> &str {
        &self.result
    }

    /// The result that is the loss, by name; none where the gradient of a result is given.
    pub fn loss(&self) -> Option<&str> {
        self.lost.as_deref()
    }

    /// What is done with the gradients.
    pub fn update(&self) -> Option<Update> {
        self.step.update
    }

    /// What the step changes: parameters and the state of the optimiser.
    pub fn updated(&self) -> &[Updated] {
        &self.updated
    }

    /// The gradients that the last batch computes.
    pub(crate) fn gradients(&self) -> &[Gradient] {
        &self.gradients
    }

    /// The sizes of the step, those of the model and those that follow from them.
    ///
    /// # Errors
    /// As [`Model::counted_at`].
    pub fn sized(&self, sizes: &Binding) -> Result<Binding, AccountError> {
        let sized = self.model.counted_at(sizes)?;
        Ok(self.graph.complete(sized.sizes())?)
    }

    /// What it costs at sizes, with weights, gradients and what is kept stored as elements of types.
    ///
    /// # Errors
    /// As [`Model::counted_at`].
    pub fn at(
        &self,
        sizes: &Binding,
        options: TrainingSizes,
    ) -> Result<TrainingCost, AccountError> {
        let sizes = self.sized(sizes)?;
        self.graph.check(&sizes)?;
        let at = |poly: Poly| poly.at(&sizes);
        let mut phases: Vec<TrainingPhase> = Vec::new();
        let mut modules: Vec<TrainingModule> = Vec::new();
        let mut again = Integer::default();
        for phase in Phase::ALL {
            let name = phase.to_string();
            let mut sum = TrainingPhase { phase: name, ..TrainingPhase::default() };
            let mut any = false;
            for (graph, times) in self.graphs() {
                for node in graph.nodes() {
                    let Some(cost) = graph.phase_cost(node, phase) else { continue };
                    any |= !node.op.is_source();
                    let cost = cost.at(&sizes)?;
                    sum.counts += &cost.total().map(|own| own * times);
                    let [products, all] =
                        [cost.matmul_flops(), cost.flops()].map(|flops| flops * times);
                    sum.matmul_flops += &products;
                    sum.flops += &all;
                    add(&mut modules, node, (phase, options.depth), products, all);
                }
            }
            if phase == Phase::Recomputation {
                again.clone_from(&sum.matmul_flops);
            }
            if any {
                phases.push(sum);
            }
        }
        let all: Integer = phases.iter().map(|phase| &phase.matmul_flops).sum();
        let tokens = self.tokens(&sizes);
        let terms = match &tokens {
            Some(tokens) => self.terms(&sizes, tokens)?,
            None => Vec::new(),
        };
        let tokens = tokens.map(|tokens| tokens * self.batches());
        let (total, _) = self.graph.parameters();
        let masks = masks::masks(self.graphs(), &sizes, &(&all - &again), &all)?;
        Ok(TrainingCost {
            masks,
            result: self.result.clone(),
            model: self.model.name().to_owned(),
            loss: self.smaller(),
            recomputed: self.step.recompute.to_string(),
            batches: self.batches(),
            optimizer: self.step.update.map(|update| update.optimizer.to_string()),
            parameters: at(total)?,
            trained: self.trained(&sizes)?,
            tokens,
            model_flops: &all - &again,
            hardware_flops: all,
            flops: phases.iter().map(|phase| &phase.flops).sum(),
            phases,
            modules,
            terms,
            memory: self.memory(&sizes, options)?,
            saved: None,
            utilisation: None,
            binding: sizes,
        })
    }

    /// From 6·N·T to the step, over all batches.
    fn terms(&self, sizes: &Binding, tokens: &Integer) -> Result<Vec<TrainingTerm>, EvalError> {
        let mut terms: Vec<TrainingTerm> = Vec::new();
        for (graph, gradients, times) in self.passes() {
            for TrainingTerm { reason, flops } in six::terms(graph, gradients, sizes, tokens)? {
                let flops = flops * times;
                match terms.iter_mut().find(|term| term.reason == reason) {
                    Some(term) => term.flops += flops,
                    None => terms.push(TrainingTerm { reason, flops }),
                }
            }
        }
        Ok(terms)
    }

    /// How many parameters have a gradient.
    fn trained(&self, sizes: &Binding) -> Result<Integer, EvalError> {
        let each = self.gradients.iter().map(|own| {
            let node = self.graph.node(own.parameter);
            (node.shape.elements() * self.graph.multiplicity(node)).at(sizes)
        });
        each.sum()
    }

    /// How many tokens a step is of, where the model has them.
    fn tokens(&self, sizes: &Binding) -> Option<Integer> {
        let of = |role| sizes.get(self.graph.size_of(role)?).cloned();
        Some(of(SizeRole::Tokens)? * of(SizeRole::Batch)?)
    }

    fn memory(
        &self,
        sizes: &Binding,
        options: TrainingSizes,
    ) -> Result<TrainingMemory, AccountError> {
        let (total, _) = self.graph.parameters();
        let elem = options.elem;
        let stored = self.graph.stored(Storage::uniform(elem));
        let mut kept = Integer::default();
        for var in kept_for_gradients(&self.graph) {
            let shape = stored.shape(var);
            kept += bytes(shape.elements().at(sizes)?, shape.elem);
        }
        let trained = self.trained(sizes)?;
        let mut computed = Integer::default();
        for (at, (graph, _)) in self.graphs().enumerate() {
            let own = graph.footprint(sizes, size_of::<f32>())?.computed();
            // Sums of gradients are held while a batch adds to them.
            let held = if at > 0 { bytes(trained.clone(), Elem::F32) } else { Integer::default() };
            computed = computed.max(own + held);
        }
        let kinds = if options.as_stored { self.model.stored_kinds() } else { Vec::new() };
        let types = if self.model.is_uniform(&kinds) { Vec::new() } else { kinds };
        let type_of = |node: &Node| match types.is_empty() {
            true => elem,
            false => self.model.type_of(&self.graph, node).map_or(elem, |of| of.elem),
        };
        let each = |node: &Node| (node.shape.elements() * self.graph.multiplicity(node)).at(sizes);
        let mut gradients = Integer::default();
        for gradient in &self.gradients {
            let node = self.graph.node(gradient.parameter);
            gradients += bytes(each(node)?, type_of(node));
        }
        // The state of a parameter follows it.
        let (mut state, mut of) = (Integer::default(), elem);
        for node in self.updated.iter().map(|of| self.graph.node(of.source)) {
            match node.is_parameter() {
                true => of = type_of(node),
                false => state += bytes(each(node)?, options.state.unwrap_or(of)),
            }
        }
        let weights = self.model.parameter_bytes(&types, total.at(sizes)?, elem);
        let state = self.step.update.map(|_| state);
        let masters = options.masters.map(|masters| bytes(trained, masters));
        let own = [Some(&weights), Some(&gradients), state.as_ref(), masters.as_ref(), Some(&kept)];
        Ok(TrainingMemory {
            total: own.into_iter().flatten().sum(),
            dtype: elem.name(),
            state_dtype: match options.state {
                None if !types.is_empty() => AS_PARAMETERS,
                state => state.unwrap_or(elem).name(),
            },
            weights,
            types,
            gradients,
            state,
            master_dtype: options.masters.map(Elem::name),
            masters,
            kept,
            computed,
        })
    }
}

/// Bytes of a step as it is executed here, everything as `f32`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepBytes {
    /// Parameters.
    pub weights: Integer,
    /// Their gradients.
    pub gradients: Integer,
    /// State of the optimiser.
    pub state: Integer,
    /// What the forward pass made and gradients read.
    pub kept: Integer,
    /// Parameters, state, and all computed values at the worst moment.
    pub needed: Integer,
}

/// How a cost is told.
#[derive(Clone, Copy, Debug)]
pub struct TrainingSizes {
    /// The type of weights, gradients and what is kept.
    pub elem: Elem,
    /// Whether each parameter of a program, its gradient and its state are in the type that the program has the
    /// parameter in, as eager PyTorch has them, and all else in `elem`.
    pub as_stored: bool,
    /// That of the state of the optimiser, where it is another.
    pub state: Option<Elem>,
    /// That of a copy of the parameters which the optimiser changes, where there is one.
    pub masters: Option<Elem>,
    /// After how many segments of their paths modules are told together.
    pub depth: usize,
}

impl Default for TrainingSizes {
    fn default() -> Self {
        TrainingSizes { elem: Elem::F32, as_stored: false, state: None, masters: None, depth: 2 }
    }
}

/// What gradients read of the forward pass, parameters and tables of constants aside: what it computes, and what
/// it is given.
pub(crate) fn kept_for_gradients(graph: &Graph) -> Vec<Var> {
    let forward = |node: &Node| node.phase == Phase::Forward;
    let readers = graph.nodes().iter().filter(|node| !forward(node));
    let read = readers.flat_map(|node| node.inputs.iter().copied());
    let mut kept: Vec<Var> = read
        .filter(|var| forward(graph.node(*var)))
        .map(|var| buffer(graph, var))
        .filter(|var| {
            let Op::Source(source) = &graph.node(*var).op else { return true };
            is_given(source)
        })
        .collect();
    kept.sort();
    kept.dedup();
    kept
}

/// Whether a source is given to each run.
fn is_given(source: &Source) -> bool {
    match source {
        Source::Input { .. }
        | Source::Ids { .. }
        | Source::Whole { .. }
        | Source::Visible { .. } => true,
        Source::Buffer { .. } | Source::Known { .. } | Source::Param { .. } => false,
    }
}

/// The value whose buffer a value is; the stacks of a repetition are buffers of their own.
fn buffer(graph: &Graph, mut var: Var) -> Var {
    loop {
        let node = graph.node(var);
        match node.inputs.first() {
            Some(operand) if node.op.is_view() && !matches!(node.op, Op::Exit(_)) => var = *operand,
            _ => return var,
        }
    }
}

/// Adds what a node costs to its module.
fn add(
    modules: &mut Vec<TrainingModule>,
    node: &Node,
    (phase, depth): (Phase, usize),
    matmul_flops: Integer,
    flops: Integer,
) {
    if flops == Integer::default() {
        return;
    }
    let path = node.scope_to(depth);
    let at = modules.iter().position(|module| module.path == path).unwrap_or_else(|| {
        modules.push(TrainingModule { path, ..TrainingModule::default() });
        modules.len() - 1
    });
    let module = &mut modules[at];
    module.flops += flops;
    let own = match phase {
        Phase::Forward | Phase::Loss => &mut module.forward,
        Phase::Backward | Phase::Update => &mut module.backward,
        Phase::Recomputation => &mut module.recomputation,
    };
    *own += matmul_flops;
}

/// Twice the multiplications in contractions of a node, over all its iterations.
pub(crate) fn products(graph: &Graph, node: &Node) -> Poly {
    graph.node_quantity(node, Quantity::MatmulFlops)
}
