//! `opledger count`: exact counts without running.

use std::path::Path;
use std::process::ExitCode;

use num_traits::ToPrimitive;
use opledger_account::{AccountError, Model, SizedModel, Sweep};
use opledger_charts::{Bar, BarChart};
use opledger_dims::{Binding, Quantity, escaped};
use opledger_interp::mask_sizes;
use opledger_ir::SizeRole;
use opledger_models::Request;
use opledger_report::{
    Account, ConventionCounts, ConventionTotal, Format, RowOrder, SideBySide, thousands,
};

use crate::args::{CountArgs, CountFormat};
use crate::destination::Destination;
use crate::failure::Failure;
use crate::input::read_text;
use crate::notes::{self, note};
use crate::output;
use crate::roof::roof;
use crate::sizes::{Assignment, binding};
use crate::tensors::Inputs;

pub(crate) fn execute(args: &CountArgs) -> Result<ExitCode, Failure> {
    let [name] = &args.models[..] else { return side_by_side(args) };
    let swept = args.sizes.iter().find(|sweep| sweep.sizes.len() > 1);
    args.check_one_count(swept)?;
    let model = args.open(name)?;
    let notes = notes::about(&model, &args.largest(&model));
    let format = match args.format {
        CountFormat::Record(format) => format,
        CountFormat::Mermaid => {
            if let Some(option) = args.of_numbers() {
                return Err(Failure::Drawn { option });
            }
            notes.iter().for_each(|text| note(text));
            model.partly_at(&args.binding()?)?;
            output::print(&model.graph().mermaid())?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    if let Some(path) = &args.lengths {
        if let Some(sweep) = swept {
            return Err(Failure::SweptLengths { symbol: sweep.symbol.clone() });
        }
        let batch = model.lengths(&lengths(path)?, &args.binding()?)?;
        output::show_noted(&batch, &notes, format)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(device) = &args.device {
        if let Some(sweep) = swept {
            return Err(Failure::SweptBound { symbol: sweep.symbol.clone() });
        }
        return bound(args, &model, device, (notes, format));
    }
    match (args.new_tokens, swept) {
        (Some(_), Some(sweep)) => {
            return Err(Failure::SweptGeneration { symbol: sweep.symbol.clone() });
        }
        (Some(new_tokens), None) => {
            let generation = model.generation(&args.binding()?, new_tokens)?;
            output::show_noted(&generation, &notes, format)?;
            return Ok(ExitCode::SUCCESS);
        }
        (None, Some(sweep)) if args.input.is_some() => {
            return Err(Failure::SweptInput { symbol: sweep.symbol.clone() });
        }
        (None, Some(_)) => {
            let elem = args.dtype.unwrap_or(model.storage());
            output::show_grid(&model.grid_as(&args.sizes, elem)?, &notes, format)?;
            return Ok(ExitCode::SUCCESS);
        }
        (None, None) => {}
    }
    let sizes = sizes(args, &model)?;
    let sized = match args.conventions.is_empty() {
        true => model.counted_at(&sizes)?,
        false => model.seen_at(&sizes)?,
    };
    let failed = failed(args, &sized)?;
    if args.conventions.is_empty() {
        let mut record = match args.lines {
            true => sized.account_with_lines()?,
            false => sized.account(args.depth)?,
        };
        if let Some(order) = args.sort.or(args.top.map(|_| RowOrder::Flops)) {
            record.sort(order);
        }
        if let Some(rows) = args.top {
            record.keep(rows);
        }
        record.memory = Some(match args.dtype {
            Some(elem) => sized.memory(elem)?,
            None => sized.memory_as_stored()?,
        });
        output::show_noted(&record, &notes, format)?;
    } else {
        let (written, without) = (args.tools.written.as_deref(), &args.tools.without);
        let counted = sized.counted_by(&args.conventions, written, without)?;
        if let Some(path) = &args.svg {
            Destination::new(path)?.write_text(&drawn(&counted)?)?;
        }
        output::show_noted(&counted, &notes, format)?;
    }
    failed.iter().for_each(|problem| note(problem));
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Several models at the same sizes.
fn side_by_side(args: &CountArgs) -> Result<ExitCode, Failure> {
    let format = match (args.of_one_model(), args.format) {
        (Some(option), _) => return Err(Failure::SeveralModels { option }),
        (None, CountFormat::Mermaid) => {
            return Err(Failure::SeveralModels { option: "format mermaid" });
        }
        (None, CountFormat::Record(format)) => format,
    };
    let sizes = args.binding()?;
    let mut notes: Vec<String> = Vec::new();
    let mut models = Vec::new();
    for name in &args.models {
        let of =
            |problem: Failure| Failure::Side { name: name.clone(), problem: Box::new(problem) };
        let model = args.open(name).map_err(of)?;
        let sized = model.counted_at(&sizes).map_err(|problem| of(problem.into()))?;
        let counted = || -> Result<_, AccountError> {
            let memory = match args.dtype {
                Some(elem) => sized.memory(elem)?,
                None => sized.memory_as_stored()?,
            };
            Ok(Account { memory: Some(memory), ..sized.account(args.depth)? })
        };
        models.push(counted().map_err(|problem| of(problem.into()))?);
        let told = notes::about(&model, sized.sizes()).into_iter();
        notes.extend(told.map(|told| format!("{name}: {told}")));
    }
    output::show_noted(&SideBySide { models, modules: args.depth.is_some() }, &notes, format)?;
    Ok(ExitCode::SUCCESS)
}

/// How long a device takes at least.
fn bound(
    args: &CountArgs,
    model: &Model,
    device: &str,
    (mut notes, format): (Vec<String>, Format),
) -> Result<ExitCode, Failure> {
    let (roof, told) = roof(device, args.dtype.unwrap_or(model.storage()))?;
    notes.extend(told);
    if let Some(new_tokens) = args.new_tokens {
        let bound = model.generation_bound(&args.binding()?, new_tokens, &roof, args.depth)?;
        output::show_noted(&bound, &notes, format)?;
        return Ok(ExitCode::SUCCESS);
    }
    let sizes = sizes(args, model)?;
    let sized = model.counted_at(&sizes)?;
    let failed = failed(args, &sized)?;
    let bound = match args.dtype {
        Some(_) => sized.lower_bound(&roof, args.depth)?,
        None => sized.lower_bound_as_stored(&roof, args.depth)?,
    };
    output::show_noted(&bound, &notes, format)?;
    failed.iter().for_each(|problem| note(problem));
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The lengths of texts that a file says, one a line.
fn lengths(path: &Path) -> Result<Vec<u64>, Failure> {
    let problem = |problem: String| Failure::Lengths { path: path.to_owned(), problem };
    let text = read_text(path).map_err(problem)?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let length = |(at, line): (usize, &str)| {
        let length = line.trim().parse::<u64>();
        length.map_err(|_| {
            problem(format!(
                "line {} is `{}`, and no length of a text",
                at + 1,
                escaped(line.trim())
            ))
        })
    };
    lines.map(length).collect()
}

/// The sizes given, and those that follow from the contents of inputs.
fn sizes(args: &CountArgs, model: &Model) -> Result<Binding, Failure> {
    let Some(path) = &args.input else { return args.binding() };
    let (graph, input) = (model.graph(), Inputs::open(path)?);
    let mut sizes = model.merged(&args.binding()?)?;
    input.sizes(graph, &mut sizes);
    let mut sizes = model.run_at(&sizes)?.sizes().clone();
    let given = input.read(graph, &sizes)?.into_iter().collect();
    mask_sizes(graph, &mut sizes, &given)?;
    Ok(sizes)
}

/// A count by conventions as bars, those of the runtime itself marked.
fn drawn(counted: &ConventionCounts) -> Result<String, Failure> {
    let bar = |one: &ConventionTotal| Bar {
        label: one.name.clone(),
        value: one.total.to_f64().unwrap_or(f64::MAX),
        text: thousands(&one.total),
        marked: one.name.parse::<Quantity>().is_ok(),
    };
    let mut all: Vec<Bar> = counted.conventions.iter().map(bar).collect();
    all.sort_by(|a, b| a.value.total_cmp(&b.value));
    let told =
        "one forward pass: what each tool prints; green: counts of the operations themselves";
    let title = format!("{} at {}", counted.model, counted.binding);
    Ok(BarChart { title, subtitle: told.to_owned(), bars: all }.svg()?)
}

/// What is asserted of a count and does not hold.
fn failed(args: &CountArgs, sized: &SizedModel<'_>) -> Result<Vec<String>, Failure> {
    let mut failed = Vec::new();
    let mut questions = sized.questions(args.tools.written.as_deref(), &args.tools.without);
    for assertion in &args.assertions {
        let counted = questions.answer(assertion.quantity())?;
        if !assertion.holds(&counted) {
            let counted = thousands(&counted);
            failed.push(format!("assertion failed: {assertion}; counted {counted}"));
        }
    }
    Ok(failed)
}

/// The first option that is given.
fn given(options: impl IntoIterator<Item = (&'static str, bool)>) -> Option<&'static str> {
    options.into_iter().find(|(_, given)| *given).map(|(option, _)| option)
}

impl CountArgs {
    /// A model, at the first of the sizes.
    fn open(&self, name: &str) -> Result<Model, Failure> {
        let first = self.sizes.iter().filter_map(|sweep| Some((&sweep.symbol, sweep.sizes.at(0)?)));
        let latent = self.latent.unwrap_or_default();
        let request = Request { past: self.past, latent, image: self.image, ..Request::default() };
        Ok(Model::open_at(name, request, &first.collect(), &self.program.options()?)?)
    }

    /// An option that is about numbers, which a diagram has not.
    fn of_numbers(&self) -> Option<&'static str> {
        let options = [("depth", self.depth.is_some()), ("dtype", self.dtype.is_some())];
        given(self.of_one_count().into_iter().chain(options))
    }

    /// An option that is about one model alone.
    fn of_one_model(&self) -> Option<&'static str> {
        let swept = self.sizes.iter().any(|sweep| sweep.sizes.len() > 1);
        given([("set with several sizes", swept)].into_iter().chain(self.of_one_count()))
    }

    /// What is about one count, and whether it is given.
    fn of_one_count(&self) -> [(&'static str, bool); 9] {
        [
            ("new-tokens", self.new_tokens.is_some()),
            ("sort", self.sort.is_some()),
            ("top", self.top.is_some()),
            ("device", self.device.is_some()),
            ("where", self.lines),
            ("input", self.input.is_some()),
            ("lengths", self.lengths.is_some()),
            ("convention", !self.conventions.is_empty()),
            ("assert", !self.assertions.is_empty()),
        ]
    }

    /// Refuses what is about one count where several are asked for.
    fn check_one_count(&self, swept: Option<&Sweep>) -> Result<(), Failure> {
        let (asserts, counts) = (!self.assertions.is_empty(), !self.conventions.is_empty());
        match (swept, self.new_tokens) {
            (Some(sweep), _) if asserts => {
                Err(Failure::SweptAssertion { symbol: sweep.symbol.clone() })
            }
            (Some(sweep), _) if self.sort.is_some() || self.top.is_some() => {
                Err(Failure::SweptRows { symbol: sweep.symbol.clone() })
            }
            (Some(sweep), _) if counts => {
                Err(Failure::SweptConvention { symbol: sweep.symbol.clone() })
            }
            (_, Some(_)) if asserts => Err(Failure::Generated { option: "assert" }),
            (_, Some(_)) if counts => Err(Failure::Generated { option: "convention" }),
            _ => Ok(()),
        }
    }

    /// The greatest size of each symbol, at the last token of a generation.
    fn largest(&self, model: &Model) -> Binding {
        let sizes = self.sizes.iter().filter_map(|s| Some((&s.symbol, s.sizes.max()?)));
        let mut sizes: Binding = sizes.collect();
        if let (Some(new), Some(tokens)) =
            (self.new_tokens, model.graph().size_of(SizeRole::Tokens))
            && let Some(prompt) = sizes.get(tokens).cloned()
        {
            // From the last token nothing is computed.
            sizes.set(tokens, prompt + (new - 1));
        }
        sizes
    }

    /// The sizes, one of each symbol.
    fn binding(&self) -> Result<Binding, Failure> {
        let one = |sweep: &Sweep| {
            Some(Assignment { symbol: sweep.symbol.clone(), size: sweep.sizes.at(0)? })
        };
        binding(&self.sizes.iter().filter_map(one).collect::<Vec<_>>())
    }
}
