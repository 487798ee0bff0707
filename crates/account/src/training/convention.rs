//! A training step as tools count it.

use std::str::FromStr;

use opledger_conventions::framework::{FormulaWork, framework, framework_names};
use opledger_conventions::{
    Convention, ConventionError, Counting, StepNode, StepUnits, Tally, convention,
    convention_names, dialect, explain_tallies,
};
use opledger_dims::{Binding, Integer};
use opledger_grad::Recompute;
use opledger_report::{
    ConventionCounts, ConventionRefusal, ConventionTotal, Explained, UnitCounts,
};

use super::Training;
use crate::by_convention::{explained, usual};
use crate::steps::is_framework;
use crate::{AccountError, SizedModel};

/// How PyTorch's fused function of attention runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Attending {
    /// As PyTorch chooses for the model as its library builds it, dropout and all.
    #[default]
    Usual,
    /// By a fused kernel, whose gradients take the scores once more, where there is one for the widths: no weights
    /// are dropped out.
    Fused,
    /// By products, as `torch.nn.attention.sdpa_kernel(SDPBackend.MATH)` has it.
    Math,
}

impl FromStr for Attending {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "usual" => Ok(Attending::Usual),
            "fused" => Ok(Attending::Fused),
            "math" => Ok(Attending::Math),
            _ => Err("attention is `usual`, `fused` or `math`".to_owned()),
        }
    }
}

/// The convention that counts forward and backward passes by a tool's rules, and that of the forward pass of
/// training alone.
const TOOL: [&str; 2] = ["torch-flop-counter-backward", "torch-flop-counter-training"];
/// What the tool is called.
const CALLED: &str = "torch-flop-counter";

/// A training step, read once as tools see it.
pub struct StepCounter<'m> {
    sized: SizedModel<'m>,
    units: StepUnits,
    recompute: Recompute,
    written: String,
}

impl<'m> Training<'m> {
    /// The step as tools see it: the model written in the way of a name, what is usual for it if none.
    ///
    /// ```
    /// use opledger::{Attending, Model, TrainingOptions};
    ///
    /// let model = Model::open("gpt2")?;
    /// let step = model.training(&TrainingOptions::default())?;
    /// let tools = step.tools(&[("n", 1024)].into_iter().collect(), None, Attending::Fused)?;
    /// assert_eq!(tools.total("torch-flop-counter")?.to_string(), "894272274432");
    /// assert_eq!(tools.total("matmul-flops")?.to_string(), "817019486208");
    /// # Ok::<(), opledger::AccountError>(())
    /// ```
    ///
    /// # Errors
    /// When there is no such way of writing, a size is unbound, gradients of several batches are added, or the model is a program, of whose backward pass
    /// nothing was observed.
    pub fn tools(
        &self,
        sizes: &Binding,
        written: Option<&str>,
        attending: Attending,
    ) -> Result<StepCounter<'m>, AccountError> {
        if self.batches() > 1 {
            return Err(AccountError::ToolOfBatches { batches: self.batches() });
        }
        let sized = self.model.seen_at(sizes)?;
        #[cfg(feature = "files")]
        if self.model.reference().program().is_some() {
            let model = self.model.name().to_owned();
            return Err(AccountError::Forward { convention: CALLED.to_owned(), model });
        }
        let dialect = dialect(written.unwrap_or_else(|| usual(&sized)))?;
        let binding = self.graph.complete(sized.sizes())?;
        let of = |origin: &Option<opledger_grad::RecordedFor>| {
            origin.map(|of| StepNode { given: of.given, forward: of.forward })
        };
        let nodes: Vec<Option<StepNode>> = self.origins.iter().map(of).collect();
        let model = self.model.graph();
        let units = StepUnits::new(model, (&self.graph, &nodes), &binding, &dialect)?;
        let units = match attending {
            Attending::Usual => units,
            Attending::Fused => units.fused(),
            Attending::Math => units.by_products(),
        };
        let mut written = format!("{} ({})", dialect.name, dialect.of);
        match &self.step.recompute {
            Recompute::Nothing => {}
            again => written += &format!("; computed again: {again}"),
        }
        match attending {
            Attending::Usual => {}
            Attending::Fused => written += "; attention by a fused kernel, nothing dropped out",
            Attending::Math => written += "; attention by products",
        }
        Ok(StepCounter { sized, units, recompute: self.step.recompute.clone(), written })
    }
}

impl StepCounter<'_> {
    /// The names that count a step.
    fn known() -> Result<Vec<String>, AccountError> {
        let mut known = vec![CALLED.to_owned()];
        for name in convention_names() {
            if matches!(convention(name, &[])?.counting, Counting::Classes(_)) {
                known.push(name.to_owned());
            }
        }
        for name in framework_names() {
            if framework(name)?.work == FormulaWork::Step {
                known.push(name.to_owned());
            }
        }
        Ok(known)
    }

    fn convention(name: &str) -> Result<Convention, AccountError> {
        let plain = name.split_once('@').map_or(name, |(plain, _)| plain);
        let found = convention(if plain == CALLED { TOOL[0] } else { name }, &[])?;
        match &found.counting {
            Counting::Rules { .. } if !found.backward => Err(AccountError::NoStep {
                convention: found.name.clone(),
                known: StepCounter::known()?,
            }),
            Counting::Rules { .. } | Counting::Classes(_) => Ok(found),
        }
    }

    fn tally(&self, convention: &Convention) -> Result<Tally, AccountError> {
        let tally = Tally::new(convention, &self.units.units)?;
        if matches!(convention.counting, Counting::Classes(_)) {
            return Ok(tally);
        }
        if self.units.by_chance {
            return Err(AccountError::Unobserved {
                convention: convention.name.clone(),
                what: "layers that training leaves out by chance",
            });
        }
        // No gradient goes through the rest, and what is not kept runs forwards once more.
        let forward = Tally::new(&forward()?, &self.units.units)?;
        let tally = tally.with_units_of(&forward, |unit| !self.units.reached.contains(&unit));
        match &self.recompute {
            // Scores that a fused kernel takes once more are in its own rule.
            Recompute::Nothing | Recompute::Selective => Ok(tally),
            Recompute::Layers if self.units.otherwise_again => Err(AccountError::Unobserved {
                convention: convention.name.clone(),
                what: "layers of its family that are computed again, which its library runs otherwise",
            }),
            Recompute::Layers => {
                let StepUnits { again, dropped, .. } = &self.units;
                Ok(tally.again(&forward, |unit| again.contains(&unit) || dropped.contains(&unit)))
            }
            Recompute::Modules(_) => Err(AccountError::Unobserved {
                convention: convention.name.clone(),
                what: "modules that are computed again: it was with none and with layers",
            }),
        }
    }

    /// The number of a convention: `torch-flop-counter`, a framework's formula, or what is counted here, such as
    /// `matmul-flops`.
    ///
    /// # Errors
    /// When there is none of the name, or it refuses the model.
    pub fn total(&self, name: &str) -> Result<Integer, AccountError> {
        if is_framework(name) {
            return self.sized.convention(name);
        }
        Ok(self.tally(&StepCounter::convention(name)?)?.total())
    }

    /// The numbers of some, module by module; `all` is every one that does not refuse.
    ///
    /// # Errors
    /// As [`StepCounter::total`].
    pub fn count(&self, names: &[String]) -> Result<ConventionCounts, AccountError> {
        let all = names.iter().any(|name| name == "all");
        let names = if all { StepCounter::known()? } else { names.to_vec() };
        let (mut conventions, mut refused) = (Vec::new(), Vec::new());
        let mut columns: Vec<Option<Tally>> = Vec::new();
        for name in &names {
            match self.one(name) {
                Ok((total, tally)) => {
                    conventions.push(total);
                    columns.push(tally);
                }
                Err(error) if all && is_refusal(&error) => {
                    let reason = error.to_string();
                    refused.push(ConventionRefusal { name: name.clone(), reason });
                }
                Err(error) => return Err(error),
            }
        }
        let zero = Integer::default();
        let of_unit = |(at, unit): (usize, &opledger_conventions::Unit)| UnitCounts {
            path: unit.path.clone(),
            class: unit.class.as_ref().map(|class| class.to_string()),
            counts: { columns.iter() }
                .map(|tally| tally.as_ref().map_or_else(Integer::default, |own| own.of_unit(at)))
                .collect(),
        };
        let mut units: Vec<UnitCounts> = {
            let units = self.units.units.units.iter().enumerate().map(of_unit);
            units.filter(|unit| unit.counts.iter().any(|n| *n != zero)).collect()
        };
        if columns.iter().any(Option::is_none) {
            let count = |(total, tally): (&ConventionTotal, &Option<Tally>)| match tally {
                Some(_) => Integer::default(),
                None => total.total.clone(),
            };
            let counts = conventions.iter().zip(&columns).map(count).collect();
            units.push(UnitCounts { path: "(a formula)".to_owned(), class: None, counts });
        }
        Ok(ConventionCounts {
            model: self.sized.model().name().to_owned(),
            binding: self.sized.sizes().clone(),
            written: self.written.clone(),
            conventions,
            refused,
            units,
        })
    }

    /// The total of a name, with what each unit has of it; nothing of a formula.
    fn one(&self, name: &str) -> Result<(ConventionTotal, Option<Tally>), AccountError> {
        if is_framework(name) {
            let framework = framework(name)?;
            if framework.work == FormulaWork::Forward {
                let (convention, known) = (framework.name, StepCounter::known()?);
                return Err(AccountError::NoStep { convention, known });
            }
            let total = self.sized.convention(name)?;
            return Ok((
                ConventionTotal { name: framework.name, unit: framework.unit, total },
                None,
            ));
        }
        let convention = StepCounter::convention(name)?;
        let tally = self.tally(&convention)?;
        let total = tally.total();
        Ok((ConventionTotal { name: convention.name, unit: convention.unit, total }, Some(tally)))
    }

    /// Why two conventions of a step differ, line by line, until nothing is left of their difference.
    ///
    /// # Errors
    /// As [`StepCounter::total`]; two formulas of frameworks are explained by
    /// [`SizedModel::explain`](crate::SizedModel::explain).
    pub fn explain(&self, first: &str, second: &str) -> Result<Explained, AccountError> {
        match [first, second].map(is_framework) {
            [true, true] => return self.sized.explain(first, second),
            [true, false] | [false, true] => {
                let (step, other) =
                    if is_framework(first) { (first, second) } else { (second, first) };
                return Err(AccountError::FormulaAndTool {
                    step: step.to_owned(),
                    other: other.to_owned(),
                });
            }
            [false, false] => {}
        }
        let [a, b] = [StepCounter::convention(first)?, StepCounter::convention(second)?];
        if a.name == b.name {
            return Err(AccountError::OneConvention { name: first.to_owned() });
        }
        let tallies = [self.tally(&a)?, self.tally(&b)?];
        let explanation = explain_tallies([&tallies[0], &tallies[1]], &self.units.units);
        Ok(explained(&self.sized, &self.written, [&a.unit, &b.unit], &explanation))
    }
}

/// The tool's rules of the forward pass of training.
fn forward() -> Result<Convention, ConventionError> {
    convention(TOOL[1], &[])
}

/// Whether an error is that a convention gives no number for this model.
fn is_refusal(error: &AccountError) -> bool {
    match error {
        AccountError::Convention(error) => {
            error.is_refusal() || matches!(error, ConventionError::NotCovered { .. })
        }
        error => {
            matches!(error, AccountError::NoDecoder { .. } | AccountError::Unobserved { .. })
        }
    }
}
