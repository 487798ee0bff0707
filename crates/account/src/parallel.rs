//! A model cut among ranks.

use opledger_dims::{Binding, EvalError, Integer, Poly, Quantity, Symbol};
use opledger_grad::Loss;
use opledger_ir::{Definition, Elem, Graph, SizeRole, Storage};
use opledger_parallel::{Collective, Partition, Pipeline, Strategy, Transfer, Zero};
use opledger_report::{CutCollective, CutCost, FormulaValue, HeldWeights};

use crate::{AccountError, Model, Training, TrainingOptions};

/// How a model is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cutting {
    /// Among how many ranks.
    pub ranks: u64,
    /// What of it.
    pub strategy: Strategy,
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
    /// use opledger::{Binding, Elem, Model, account::Cutting, parallel::Strategy};
    ///
    /// let model = Model::open("llama-3.1-8b")?;
    /// let strategy = Strategy::Tensor { sequence: false, vocabulary: false };
    /// let cutting = Cutting { ranks: 8, strategy, step: false, elem: Elem::Bf16 };
    /// let cut = model.cut_among(cutting, &Binding::new().with("n", 8192))?;
    /// // Two all-reduces a layer.
    /// assert_eq!(cut.sent.formula.to_string(), "7·b·l·n·c");
    /// assert_eq!(cut.sent.value, Some(7_516_192_768_u64.into()));
    /// # Ok::<(), opledger::AccountError>(())
    /// ```
    ///
    /// # Errors
    /// When the model cannot be cut so, the ranks do not divide what is cut, a size does not fit the others, or
    /// an operation of a step has no gradient.
    pub fn cut_among(&self, cutting: Cutting, sizes: &Binding) -> Result<CutCost, AccountError> {
        let Cutting { ranks, strategy, step, elem } = cutting;
        let mut given = sizes.clone();
        self.one_item_unless_given(&mut given);
        let sized = self.partly_at(&given)?;
        let storage = Storage::uniform(elem);
        let options = TrainingOptions { loss: Some(Loss::Given), ..TrainingOptions::default() };
        let training = step.then(|| self.training(&options)).transpose()?;
        let graph = training.as_ref().map_or(self.graph(), Training::graph).stored(storage);
        let partition = Partition::new(&graph, strategy, ranks)?;
        self.check_cut(training.as_ref(), &partition, cutting)?;
        partition.check(sized.sizes())?;
        self.check_positions(sized.sizes())?;
        let value = |formula: &Poly| valued(&graph, formula, sized.sizes());
        let row = |transfer: &Transfer| -> Result<Option<CutCollective>, AccountError> {
            let Some(collective) = transfer.collective else { return Ok(None) };
            Ok(Some(CutCollective {
                path: graph.node(transfer.value).path.clone(),
                collective: collective.name(),
                algorithm: collective.algorithm(),
                shape: graph.shape(transfer.value).to_string(),
                times: value(&transfer.times)?,
                sent: value(&transfer.sent(ranks))?,
            }))
        };
        let collectives =
            partition.transfers().iter().filter_map(|transfer| row(transfer).transpose());
        Ok(CutCost {
            model: self.name().to_owned(),
            binding: given,
            strategy: strategy.name(),
            ranks,
            step,
            dtype: elem.name(),
            collectives: collectives.collect::<Result<_, _>>()?,
            sent: value(&partition.sent())?,
            weights: vec![HeldWeights { of: "one rank", bytes: value(&partition.weights())? }],
            whole_weights: value(&partition.whole_weights())?,
            definitions: self.graph().definitions().iter().map(Definition::to_string).collect(),
        })
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
        Cutting { ranks, strategy, elem, .. }: Cutting,
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
                let times = if zero == Zero::Parameters { 3 } else { 2 };
                let most = trained.ratio(times * (ranks as i64 - 1), ranks as i64);
                let exact = zero != Zero::Parameters;
                let sizes = graph.complete(self.sizes())?;
                let [sent, most] =
                    [partition.sent(), most].map(|bytes| graph.fold(&bytes.bind(&sizes)));
                if exact && sent != most || !(most - sent).is_never_negative() {
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
                    if Partition::new(&plain, whole, ranks)?.sent() != forward.sent() {
                        return Err(self.uncut("more would cross with tokens cut than without"));
                    }
                }
            }
            Strategy::Experts if training.is_some() => {
                return Err(self.uncut("what experts hold would cross in the backward pass"));
            }
            Strategy::Experts | Strategy::Context => {}
        }
        Ok(())
    }

    /// The same of layers on stages, as many on each: what a stage hands to the next in a forward pass.
    ///
    /// # Errors
    /// When layers are not one repetition, the stages do not divide them, or a size does not fit the others.
    pub fn cut_into_stages(
        &self,
        stages: u64,
        elem: Elem,
        sizes: &Binding,
    ) -> Result<CutCost, AccountError> {
        let mut given = sizes.clone();
        self.one_item_unless_given(&mut given);
        let sized = self.partly_at(&given)?;
        let graph = self.graph().stored(Storage::uniform(elem));
        let pipeline = Pipeline::new(&graph, stages)?;
        pipeline.check(sized.sizes())?;
        self.check_positions(sized.sizes())?;
        let held = [0, 1, stages - 1].map(|stage| pipeline.weights(stage));
        let [first, between, last] = &held;
        let held = first + last + between * (stages as i64 - 2);
        let whole = (graph.quantity(Quantity::Parameters) * elem.bits() as i64).ratio(1, 8);
        if !(held - whole).is_never_negative() {
            return Err(self.uncut("a parameter is read by no stage"));
        }
        let value = |formula: &Poly| valued(&graph, formula, sized.sizes());
        let handed = pipeline.handed().iter().map(|var| {
            Ok(CutCollective {
                path: graph.node(*var).path.clone(),
                collective: "send",
                algorithm: "to the next",
                shape: graph.shape(*var).to_string(),
                times: value(&Poly::one())?,
                sent: value(&pipeline.bytes(*var))?,
            })
        });
        let collectives = handed.collect::<Result<_, AccountError>>()?;
        let between = (stages > 2).then_some(("a rank between", 1));
        let held = [("the first rank", 0)].into_iter().chain(between);
        let held = held.chain([("the last rank", stages - 1)]);
        let weights =
            held.map(|(of, stage)| Ok(HeldWeights { of, bytes: value(&pipeline.weights(stage))? }));
        let weights = weights.collect::<Result<_, AccountError>>()?;
        let whole = graph.quantity(Quantity::Parameters) * elem.bits() as i64;
        Ok(CutCost {
            model: self.name().to_owned(),
            binding: given,
            strategy: "pipeline",
            ranks: stages,
            step: false,
            dtype: elem.name(),
            collectives,
            sent: value(&pipeline.sent())?,
            weights,
            whole_weights: value(&whole.ratio(1, 8))?,
            definitions: self.graph().definitions().iter().map(Definition::to_string).collect(),
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
