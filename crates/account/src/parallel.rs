//! A model cut among ranks.

use opledger_dims::{Binding, EvalError, Integer, Poly, Quantity};
use opledger_grad::Loss;
use opledger_ir::{Definition, Elem, Graph, Storage};
use opledger_parallel::{Partition, Pipeline, Strategy, Transfer};
use opledger_report::{CutCollective, CutCost, FormulaValue, HeldWeights};

use crate::{AccountError, Model, TrainingOptions};

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
        let graph = match step {
            false => self.graph().stored(storage),
            true => {
                let given =
                    TrainingOptions { loss: Some(Loss::Given), ..TrainingOptions::default() };
                self.training(&given)?.graph().stored(storage)
            }
        };
        let partition = Partition::new(&graph, strategy, ranks)?;
        partition.check(sized.sizes())?;
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
