//! A model cut among ranks.

use opledger_dims::{Binding, EvalError, Integer, Poly, Symbol};
use opledger_grad::Loss;
use opledger_ir::{Definition, Elem, Graph, SizeRole, Storage};
use opledger_parallel::{
    Collective, MeshAxis, Partition, Pipeline, Placement, Strategy, Transfer, Zero,
};
use opledger_report::{CutAxis, CutCollective, CutCost, FormulaValue, HeldBytes, HeldWeights};

use crate::training::kept_for_gradients;
use crate::{AccountError, Model, Training, TrainingOptions};

/// How a model is cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cutting {
    /// In which ways, each among the ranks of an axis of a mesh; with stages, how each of them is cut, if it is.
    pub mesh: Vec<MeshAxis>,
    /// Among how many stages its layers are, as many on each: of a forward pass.
    pub stages: Option<u64>,
    /// Whether it is trained: the gradients of a step are computed too.
    pub step: bool,
    /// The type of weights and computed values.
    pub elem: Elem,
}

impl Model {
    /// What ranks send each other in a run of the model, and what each holds of the parameters, in formulas of
    /// its sizes and, where all are given, in bytes.
    ///
    /// ```
    /// use opledger::account::Cutting;
    /// use opledger::parallel::{MeshAxis, Strategy, Zero};
    /// use opledger::{Binding, Elem, Model};
    ///
    /// let model = Model::open("llama-3.1-8b")?;
    /// let tensor = Strategy::Tensor { sequence: false, vocabulary: false };
    /// let heads = MeshAxis { strategy: tensor, ranks: 8 };
    /// let items = MeshAxis { strategy: Strategy::Data(Zero::None), ranks: 2 };
    /// let (stages, elem, sizes) = (None, Elem::Bf16, Binding::new().with("n", 8192));
    /// let cut = model.cut_among(&Cutting { mesh: vec![heads], stages, step: false, elem }, &sizes)?;
    /// // Two all-reduces a layer.
    /// assert_eq!(cut.sent.formula.to_string(), "7·b·l·n·c");
    /// assert_eq!(cut.sent.value, Some(7_516_192_768_u64.into()));
    /// // Four of a step, of half the items.
    /// let sizes = sizes.with("b", 2);
    /// let mesh = vec![items, heads];
    /// let cut = model.cut_among(&Cutting { mesh, stages, step: true, elem }, &sizes)?;
    /// assert_eq!(cut.mesh[1].sent.formula.to_string(), "7·b·l·n·c");
    /// // And gradients of the parameters that a rank has.
    /// assert_eq!(cut.mesh[0].sent.value, cut.weights[0].bytes.value);
    /// # Ok::<(), opledger::AccountError>(())
    /// ```
    ///
    /// # Errors
    /// When the model cannot be cut so, the ranks do not divide what is cut, a size does not fit the others, or
    /// an operation of a step has no gradient.
    pub fn cut_among(&self, cutting: &Cutting, sizes: &Binding) -> Result<CutCost, AccountError> {
        let Cutting { mesh, stages, step, elem } = cutting;
        let mut given = sizes.clone();
        self.one_item_unless_given(&mut given);
        let sized = self.partly_at(&given)?;
        let storage = Storage::uniform(*elem);
        let options = TrainingOptions { loss: Some(Loss::Given), ..TrainingOptions::default() };
        let training = step.then(|| self.training(&options)).transpose()?;
        let graph = training.as_ref().map_or(self.graph(), Training::graph).stored(storage);
        for axis in mesh {
            let alone = Partition::new(&graph, axis.strategy, axis.ranks)?;
            self.check_cut(training.as_ref(), &alone, (*axis, *elem))?;
        }
        let told = Told { graph: &graph, sizes: sized.sizes() };
        let cut = match stages {
            Some(stages) => {
                let pipeline = Pipeline::over(&graph, *stages, mesh)?;
                pipeline.check(sized.sizes())?;
                pipeline.within().check(sized.sizes())?;
                self.staged(&told, &pipeline)?
            }
            None => {
                let partition = Partition::over(&graph, mesh)?;
                partition.check(sized.sizes())?;
                told.cut(&partition, training.as_ref())?
            }
        };
        self.check_positions(sized.sizes())?;
        let names: Vec<&str> = cut.mesh.iter().map(|axis| axis.strategy).collect();
        Ok(CutCost {
            model: self.name().to_owned(),
            binding: given,
            strategy: names.join(" × "),
            ranks: cut.mesh.iter().map(|axis| axis.ranks).product(),
            mesh: cut.mesh,
            step: *step,
            dtype: elem.name(),
            collectives: cut.collectives,
            sent: told.value(&cut.sent)?,
            weights: cut.weights,
            held: cut.held,
            whole_weights: told.value(&cut.whole)?,
            definitions: self.graph().definitions().iter().map(Definition::to_string).collect(),
        })
    }

    /// What stages hand on, and what is sent within one.
    fn staged(&self, told: &Told<'_>, pipeline: &Pipeline<'_>) -> Result<Cut, AccountError> {
        let (stages, within) = (pipeline.stages(), pipeline.within());
        let held = [0, 1, stages - 1].map(|stage| pipeline.weights(stage));
        let whole = within.whole_weights();
        let [first, between, last] = &held;
        let least = within.weights();
        if !(first + last + between * (stages as i64 - 2) - least).is_never_negative() {
            return Err(self.uncut("a parameter is read by no stage"));
        }
        let mut cut = told.cut(within, None)?;
        // Of the first stage: those behind the last layer are made by the last one.
        let mut rows = Vec::new();
        for (mut row, (transfer, _)) in cut.collectives.into_iter().zip(within.collectives()) {
            let times = pipeline.times(transfer, 0);
            row.times = told.value(&times)?;
            rows.extend((times != Poly::zero()).then_some(row));
        }
        cut.collectives = rows;
        let (graph, handed) = (told.graph, pipeline.sent());
        for var in pipeline.handed() {
            cut.collectives.push(CutCollective {
                path: graph.node(var).path.clone(),
                among: PIPELINE,
                collective: "send",
                algorithm: "to the next",
                shape: graph.shape(var).to_string(),
                times: told.value(&Poly::one())?,
                sent: told.value(&pipeline.bytes(var))?,
            });
        }
        let between = (stages > 2).then_some(("a rank between", 1));
        let held = [("the first rank", 0)].into_iter().chain(between);
        let held = held.chain([("the last rank", stages - 1)]);
        let weights = held.map(|(of, stage)| {
            Ok(HeldWeights { of, bytes: told.value(&pipeline.weights(stage))? })
        });
        cut.weights = weights.collect::<Result<_, AccountError>>()?;
        for (axis, own) in cut.mesh.iter_mut().enumerate() {
            own.sent = told.value(&pipeline.sent_within_along(0, axis))?;
        }
        let axis = CutAxis { strategy: PIPELINE, ranks: stages, sent: told.value(&handed)? };
        cut.mesh.insert(0, axis);
        cut.sent = handed + pipeline.sent_within(0);
        cut.whole = whole;
        Ok(cut)
    }

    fn uncut(&self, problem: &'static str) -> AccountError {
        AccountError::Uncut { model: self.name().to_owned(), problem }
    }

    /// Refuses a cut whose transfers are not those that a reader expects of it: what the rules of placement then
    /// say is true of them, and of no engine.
    fn check_cut(
        &self,
        training: Option<&Training<'_>>,
        partition: &Partition<'_>,
        (MeshAxis { ranks, strategy }, elem): (MeshAxis, Elem),
    ) -> Result<(), AccountError> {
        let graph = partition.graph();
        let crossing = || partition.transfers().iter().filter(|own| own.collective.is_some());
        match strategy {
            Strategy::Data(zero) => {
                let roles = [SizeRole::Batch, SizeRole::Images, SizeRole::Tokens, SizeRole::Memory];
                let given: Vec<&Symbol> =
                    roles.into_iter().filter_map(|role| graph.size_of(role)).collect();
                let of_items = |own: &Transfer| {
                    let symbols = graph.shape(own.value).elements().symbols();
                    given.iter().any(|symbol| symbols.contains(*symbol))
                };
                if crossing().any(of_items) {
                    return Err(self.uncut("values of items would cross, not gradients alone"));
                }
                let Some(training) = training else { return Ok(()) };
                let trained = (training.trained_formula() * elem.bits() as i64).ratio(1, 8);
                let times = if zero == Zero::None { 2 } else { 1 };
                let once = trained.ratio(times * (ranks as i64 - 1), ranks as i64);
                let sums = crossing().filter(|own| own.from() == Placement::Partial);
                let sums: Poly = sums.map(|own| own.sent() * &own.times).sum();
                let sizes = graph.complete(self.sizes())?;
                let [sums, once] = [sums, once].map(|bytes| graph.fold(&bytes.bind(&sizes)));
                if sums != once {
                    return Err(self.uncut("not every gradient would be summed once"));
                }
            }
            Strategy::Tensor { sequence, vocabulary } => {
                let inside = |own: &Transfer| {
                    own.collective == Some(Collective::AllReduce)
                        && graph.shape(own.value).axes.len() > 3
                };
                if crossing().any(inside) {
                    return Err(self.uncut("more than a row for each token would be summed"));
                }
                let plain = self.graph().stored(Storage::uniform(elem));
                let forward = Partition::new(&plain, strategy, ranks)?;
                if training.is_some() && forward.weights() != partition.weights() {
                    return Err(
                        self.uncut("a step would be cut in another way than a forward pass")
                    );
                }
                if sequence {
                    let whole = Strategy::Tensor { sequence: false, vocabulary };
                    let whole = Partition::new(&plain, whole, ranks)?;
                    // Beside rows of the model's width go ids and shares of experts, some for each token.
                    let wide = whole.collectives().find_map(|(own, _)| {
                        Some(plain.shape(own.value).axes.last()?.size.clone())
                    });
                    let rows = |cut: &Partition<'_>| -> Poly {
                        let own = cut.collectives().filter(|(own, _)| {
                            plain.shape(own.value).axes.last().map(|axis| &axis.size)
                                == wide.as_ref()
                        });
                        own.map(|(own, _)| own.sent() * &own.times).sum()
                    };
                    if rows(&whole) != rows(&forward) {
                        return Err(self.uncut("more would cross with tokens cut than without"));
                    }
                }
            }
            Strategy::Experts | Strategy::Context => {}
        }
        Ok(())
    }
}

/// The way in which stages cut.
const PIPELINE: &str = "pipeline";

/// What is told of a cut.
struct Cut {
    mesh: Vec<CutAxis>,
    collectives: Vec<CutCollective>,
    sent: Poly,
    weights: Vec<HeldWeights>,
    held: Vec<HeldBytes>,
    whole: Poly,
}

/// A graph at sizes, of which formulas are told.
struct Told<'a> {
    graph: &'a Graph,
    sizes: &'a Binding,
}

impl Told<'_> {
    fn value(&self, formula: &Poly) -> Result<FormulaValue, AccountError> {
        valued(self.graph, formula, self.sizes)
    }

    fn cut(
        &self,
        partition: &Partition<'_>,
        training: Option<&Training<'_>>,
    ) -> Result<Cut, AccountError> {
        let row = |(own, collective): (&Transfer, Collective)| {
            Ok(CutCollective {
                path: self.graph.node(own.value).path.clone(),
                among: partition.mesh()[own.along].strategy.name(),
                collective: collective.name(),
                algorithm: collective.algorithm(),
                shape: self.graph.shape(own.value).to_string(),
                times: self.value(&own.times)?,
                sent: self.value(&own.sent())?,
            })
        };
        let collectives = partition.collectives().map(row).collect::<Result<_, AccountError>>()?;
        let axis = |(at, own): (usize, &MeshAxis)| {
            let (strategy, ranks) = (own.strategy.name(), own.ranks);
            Ok(CutAxis { strategy, ranks, sent: self.value(&partition.sent_along(at))? })
        };
        let mesh = partition.mesh().iter().enumerate().map(axis);
        let mut held = Vec::new();
        if let Some(training) = training {
            let gradients = training.gradients().iter().map(|own| partition.given(own.value)).sum();
            let kept = kept_for_gradients(self.graph);
            let kept = kept.into_iter().map(|var| partition.held(var)).sum();
            for (what, bytes) in [
                ("gradients of one rank", self.value(&gradients)?),
                ("kept of its forward pass", self.value(&kept)?),
            ] {
                held.push(HeldBytes { what, bytes });
            }
        }
        Ok(Cut {
            mesh: mesh.collect::<Result<_, AccountError>>()?,
            collectives,
            sent: partition.sent(),
            weights: vec![HeldWeights { of: "one rank", bytes: self.value(&partition.weights())? }],
            held,
            whole: partition.whole_weights(),
        })
    }
}

/// A formula with its value, where its sizes are given.
fn valued(graph: &Graph, formula: &Poly, sizes: &Binding) -> Result<FormulaValue, AccountError> {
    let value: Option<Integer> = match formula.at(sizes) {
        Ok(value) => Some(value),
        Err(EvalError::Unbound(_)) => None,
        Err(problem) => return Err(problem.into()),
    };
    Ok(FormulaValue { formula: graph.fold(formula), value })
}
