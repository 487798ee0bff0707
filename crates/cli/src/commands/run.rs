//! `opledger run`: executes a model and holds its ledger against the closed form.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use num_traits::ToPrimitive;
use opledger_account::{DeviceRoof, Model, ModelReference, SizedModel};
use opledger_dims::{Binding, Counts, Integer, Scalar};
use opledger_execute::weights;
use opledger_interp::{
    Fast, Feeds, Formulas, Interpreter, Ledger, Oracle, Peak, Prepared, Row, RowCounts,
    Substitution, Theorem,
};
use opledger_ir::ops::Source;
use opledger_ir::{Graph, Op, Operation, Part, PartCounts, Role, SizeRole, Value};
use opledger_models::Request;
use opledger_report::{
    Bytes, CONVENTIONS_OF_A_RUN, ExecutedNode, ExecutedPart, Execution, OperationCounts, Output,
    PeakBytes, RunOrder, SubstitutedRecord, TheoremRecord, WallMs,
};

use crate::args::{self, RunArgs};
use crate::destination::{Destination, distinct, spares};
use crate::failure::Failure;
use crate::notes;
use crate::output;
use crate::progress::Progress;
use crate::roof::measured;
use crate::tensors::{self, NamedTensor};
use crate::text::{self, Texts};
use crate::threads;

/// The runs of one model.
struct Runs {
    binding: Binding,
    /// Ledger and time of each, the fastest first.
    runs: Vec<(Duration, Ledger)>,
    theorem: Theorem,
    peak: Option<PeakBytes>,
    outputs: Vec<NamedTensor>,
}

pub(crate) fn execute(args: &RunArgs) -> Result<ExitCode, Failure> {
    let (mut record, notes) = executed_model(args)?;
    if let Some(depth) = args.depth {
        record.group(depth);
    }
    if let Some(order) = args.sort.or(args.top.map(|_| RunOrder::Time)) {
        record.sort(order);
    }
    if let Some(rows) = args.top {
        record.keep(rows);
    }
    output::show_noted(&record, &notes, args.format)?;
    Ok(if record.theorem.mismatches == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A run node by node, and what a reader has to know of it.
pub(crate) fn executed_model(args: &RunArgs) -> Result<(Execution, Vec<String>), Failure> {
    distinct([("input", args.input.as_deref()), ("output", args.output.as_deref())])?;
    spares(Path::new(&args.model.model), args.output.as_deref())?;
    threads::start(args.threads)?;
    let given = Given::read(args)?;
    let (mut model, sizes) = args.model.open(given.request())?;
    if let Some(image) = given.other_image(&model) {
        model = model.recorded_for(Request { image: Some(image), ..*model.request() })?;
    }
    let (sized, feeds, mut notes) = given.prepare(&model, sizes, args.seed)?;
    notes.splice(0..0, notes::about(&model, sized.sizes()));
    let destination = args.output.as_deref().map(Destination::new).transpose()?;
    let roof = match &args.device {
        None => None,
        Some(_) => {
            let (roof, told) = measured()?;
            notes.extend(told);
            Some(roof)
        }
    };
    let (name, runs) = match args.interpreter {
        args::Executor::Fast => ("fast", repeat(&sized, &mut Fast::new()?, feeds, args)?),
        args::Executor::Oracle => {
            ("oracle", repeat(&sized, &mut Oracle::<f32>::new(), feeds, args)?)
        }
    };
    if model.reference().program().is_some() {
        notes.extend(notes::blind(&sized.graph().blind_queries(&runs.binding)));
    }
    if let Some(destination) = destination {
        destination.write(|file| tensors::write(file, &runs.outputs, &notes))?;
    }
    let mut record = record(&sized, args, name, runs);
    if let Some(roof) = &roof {
        bounded(&mut record, roof);
    }
    Ok((record, notes))
}

/// What the command line gives a run beside sizes.
struct Given {
    input: Option<tensors::Inputs>,
    texts: Option<Texts>,
}

impl Given {
    fn read(args: &RunArgs) -> Result<Given, Failure> {
        let input = args.input.as_deref().map(tensors::Inputs::open).transpose()?;
        let texts = match &args.text[..] {
            [] => None,
            texts => {
                let reference =
                    ModelReference::read(&args.model.model, &args.model.program.options()?)?;
                let text = text::beside(&args.model.model, reference.directory())?;
                Some(Texts::read(texts, &text)?)
            }
        };
        Ok(Given { input, texts })
    }

    fn has(&self, name: &str) -> bool {
        self.input.as_ref().is_some_and(|input| input.has(name))
    }

    /// Whether every parameter of a graph is given.
    fn gives_parameters(&self, graph: &Graph) -> bool {
        let parameters =
            graph.nodes().iter().filter(|n| matches!(n.op, Op::Source(Source::Param { .. })));
        let given = |path: &str| self.input.as_ref().is_some_and(|input| input.gives(path));
        parameters.map(|node| node.path.as_str()).all(given)
    }

    fn padded(&self) -> bool {
        self.texts.as_ref().is_some_and(Texts::is_padded)
    }

    fn request(&self) -> Request {
        let attention_mask = self.padded() || self.has("attention_mask");
        Request { attention_mask, ..Request::default() }
    }

    /// The sides of the images that are given, where they are others than the model's.
    fn other_image(&self, model: &Model) -> Option<[u64; 2]> {
        let image = model.graph().inputs_of(Role::Image).next()?;
        let shape = self.input.as_ref()?.shape(&model.graph().node(image).path)?;
        model.recorded().other_image(shape)
    }

    /// The model at its sizes, and the tensors that are given.
    fn prepare<'m>(
        self,
        model: &'m Model,
        sizes: Binding,
        seed: u64,
    ) -> Result<(SizedModel<'m>, Feeds, Vec<String>), Failure> {
        let graph = model.graph();
        let mut sizes = model.merged(&sizes)?;
        if let Some(input) = &self.input {
            input.sizes(graph, &mut sizes);
        }
        if let Some(texts) = &self.texts {
            let size = |role| graph.size_of(role);
            let (Some(_), Some(items), Some(tokens)) =
                (token_ids(graph), size(SizeRole::Batch), size(SizeRole::Tokens))
            else {
                return Err(Failure::NoIds { model: model.name().to_owned() });
            };
            sizes.set(items, texts.items()).set(tokens, texts.length());
        }
        let sized = model.run_at(&sizes)?;
        let mut feeds = Feeds::seeded(seed);
        let weights = weights(model, sized.sizes(), feeds)?;
        let mut notes = notes::non_finite(&weights.non_finite);
        notes.extend(notes::left_aside(&weights.aside));
        if !weights.read && model.reference().is_whole_model() && !self.gives_parameters(graph) {
            notes.push(notes::drawn(seed));
        }
        feeds = weights.feeds;
        if let Some(input) = &self.input {
            for (path, value) in input.read(graph, sized.sizes())? {
                feeds = feeds.with(&path, value);
            }
        }
        let padded = self.padded();
        if let (Some(texts), Some(ids)) = (&self.texts, token_ids(graph)) {
            let mask = graph.inputs_of(Role::Visible).next().filter(|_| padded);
            feeds = texts.feed(feeds, ids, mask.map(|mask| graph.node(mask).path.as_str()))?;
        }
        // Token types that are not given are of the first kind, as in the `transformers` library.
        for kinds in graph.inputs_of(Role::Segments).map(|kinds| &graph.node(kinds).path) {
            if model.reference().is_whole_model() && !self.has(kinds) {
                feeds = feeds.zeros_at(kinds);
            }
        }
        Ok((sized, feeds, notes))
    }
}

/// The path of the input that a text is read as: the one of token ids.
fn token_ids(graph: &Graph) -> Option<&str> {
    let mut inputs = graph.inputs_of(Role::Tokens);
    let only = inputs.next().filter(|_| inputs.next().is_none())?;
    Some(&graph.node(only).path)
}

fn repeat<I: Interpreter>(
    sized: &SizedModel<'_>,
    interpreter: &mut I,
    feeds: Feeds,
    args: &RunArgs,
) -> Result<Runs, Failure> {
    let prepared = Prepared::new(sized.graph(), sized.sizes(), &feeds)?;
    // The tensors are the run's alone from here on.
    drop(feeds);
    let graph = prepared.graph();
    let binding = prepared.binding().clone();
    let mut progress = Progress::new(&graph.counts_at(&binding)?.total());
    let counter = match args.interpreter {
        args::Executor::Fast => "the kernels",
        args::Executor::Oracle => "the oracle",
    };
    let foreseen = graph.footprint(&binding, size_of::<f32>())?.computed();
    let formulas = Formulas::new(graph);
    let (mut runs, mut theorem, mut outputs) = (Vec::new(), Theorem::default(), Vec::new());
    let mut peak: Option<Peak> = None;
    for _ in 0..args.repeat {
        let run = prepared.run(interpreter, &mut progress)?;
        theorem.again(formulas.compare(&binding, &run.ledger, counter)?);
        peak = peak.max(run.peak);
        runs.push((run.wall, run.ledger));
        outputs = run.outputs;
    }
    runs.sort_by_key(|(wall, _)| *wall);
    let released = outputs.into_iter().map(|(name, value)| (name, single(&value)));
    let peak = peak.map(|Peak { live, held }| PeakBytes {
        foreseen,
        reached: live.into(),
        held: held.into(),
    });
    Ok(Runs { binding, runs, theorem, peak, outputs: released.collect() })
}

/// A result as `f32`, or as whole numbers.
fn single<T: Scalar>(value: &Value<T>) -> Value<f32> {
    match value {
        Value::Index(ids) => Value::Index(ids.clone()),
        Value::Real(reals) => Value::Real(reals.map(|x| x.to_f64() as f32)),
    }
}

fn record(sized: &SizedModel<'_>, args: &RunArgs, name: &'static str, runs: Runs) -> Execution {
    let Runs { binding, runs, theorem, peak, outputs } = runs;
    let graph = sized.graph();
    let walls: Vec<f64> = runs.iter().map(|(wall, _)| milliseconds(*wall)).collect();
    let (median, ledger) = &runs[runs.len() / 2];
    let nodes = executed(graph, ledger);
    let (mut useful, mut covered) = (PartCounts::free(), PartCounts::free());
    let mut forms = Vec::new();
    for row in ledger.rows() {
        let counts = row.counts();
        useful.add_all(&widened(&counts.useful));
        covered.add_all(&widened(&counts.executed));
        forms.extend(counts.substituted);
    }
    let (useful, covered) = (done(&useful), done(&covered));
    Execution {
        model: sized.model().name().to_owned(),
        binding,
        interpreter: name,
        threads: rayon::current_num_threads(),
        seed: args.seed,
        repeat: walls.len(),
        wall_ms: WallMs {
            min: walls.first().copied().unwrap_or(0.0),
            median: milliseconds(*median),
            max: walls.last().copied().unwrap_or(0.0),
        },
        gflop_per_s: rate(&useful.flops, *median),
        device: None,
        least_ms: None,
        useful,
        executed: covered,
        substituted: substituted(&forms),
        bytes: Bytes {
            read: nodes.iter().map(|node| &node.bytes.read).sum(),
            written: nodes.iter().map(|node| &node.bytes.written).sum(),
        },
        bytes_relocated: {
            ledger.rows().iter().map(|row| Integer::from(row.counts().bytes_relocated)).sum()
        },
        peak_bytes: peak,
        theorem: theorem_record(&theorem),
        outputs: outputs.iter().map(|output| described(output, args.show)).collect(),
        nodes,
        conventions: CONVENTIONS_OF_A_RUN.to_vec(),
    }
}

/// Tells how long the machine takes at least for what each node did.
fn bounded(record: &mut Execution, roof: &DeviceRoof) {
    for node in &mut record.nodes {
        let operations = &node.useful.macs * 2u32;
        let bytes = &node.bytes.read + &node.bytes.written;
        node.least_ms = Some(1e3 * roof.least(&operations, &bytes));
    }
    record.least_ms = Some(record.nodes.iter().filter_map(|node| node.least_ms).sum());
    record.device = Some(roof.record());
}

/// The nodes that did something, as the ledger has them.
fn executed(graph: &Graph, ledger: &Ledger) -> Vec<ExecutedNode> {
    let mut nodes = Vec::new();
    for (node, row) in graph.nodes().iter().zip(ledger.rows()) {
        let counts = row.counts();
        if counts.runs == 0 || node.op.is_view() {
            continue;
        }
        let (useful, covered) = (done(&widened(&counts.useful)), done(&widened(&counts.executed)));
        nodes.push(ExecutedNode {
            path: node.path.clone(),
            op: Some(node.op.name()),
            members: 1,
            runs: counts.runs,
            ms: milliseconds(counts.time),
            gflop_per_s: rate(&useful.flops, counts.time),
            least_ms: None,
            useful,
            executed: covered,
            substituted: substituted(&counts.substituted),
            parts: parts(row, &counts).map(|part| executed_part(part, &counts)).collect(),
            bytes: Bytes { read: counts.bytes_read.into(), written: counts.bytes_written.into() },
        });
    }
    nodes
}

/// The parts of a node's cost, and the widening of weights where there was any.
fn parts(row: &Row, counts: &RowCounts) -> impl Iterator<Item = Part> {
    let widening = counts.executed.parts().find(|part| *part == Part::Widening);
    row.parts().chain(widening)
}

fn executed_part(part: Part, counts: &RowCounts) -> ExecutedPart {
    let of = |all: &PartCounts<u64>| done(&PartCounts::of(part, all.part(part).widen()));
    let own: Vec<_> = counts.substituted.iter().filter(|own| own.part == part).copied().collect();
    ExecutedPart {
        name: part.name(),
        useful: of(&counts.useful),
        executed: of(&counts.executed),
        substituted: substituted(&own),
    }
}

/// The sums by form.
fn substituted(all: &[opledger_interp::Substituted]) -> Vec<SubstitutedRecord> {
    let sum = |by: Substitution| -> Integer {
        all.iter().filter(|own| own.by == by).map(|own| Integer::from(own.number)).sum()
    };
    let sums = Substitution::ALL.into_iter().map(|by| (by, sum(by)));
    let done = sums.filter(|(_, number)| *number > Integer::ZERO);
    done.map(|(by, number)| SubstitutedRecord { class: by.class().name(), number, by: by.name() })
        .collect()
}

fn widened(counts: &PartCounts<u64>) -> PartCounts<Integer> {
    counts.map(Counts::widen)
}

fn done(counts: &PartCounts<Integer>) -> OperationCounts {
    OperationCounts { counts: counts.total(), flops: counts.flops(), macs: counts.macs() }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Operations per nanosecond; none when nothing was done or no time passed.
fn rate(flops: &Integer, time: Duration) -> Option<f64> {
    let nanoseconds = time.as_nanos() as f64;
    let flops = flops.to_f64().filter(|flops| *flops > 0.0)?;
    (nanoseconds > 0.0).then(|| flops / nanoseconds)
}

fn described((name, value): &NamedTensor, show: bool) -> Output {
    let dtype = tensors::dtype_name(value.kind());
    let values = || match value {
        Value::Real(reals) => {
            reals.data().iter().take(Output::MOST).map(|x| f64::from(*x)).collect()
        }
        Value::Index(ids) => ids.data().iter().take(Output::MOST).map(|id| *id as f64).collect(),
    };
    let shape = value.shape().to_vec();
    Output { name: name.clone(), dtype, shape, values: show.then(values) }
}

/// A comparison as a record.
pub(crate) fn theorem_record(theorem: &Theorem) -> TheoremRecord {
    TheoremRecord {
        nodes: theorem.nodes,
        points: theorem.points,
        mismatches: theorem.mismatches.len(),
        details: theorem.mismatches.iter().map(ToString::to_string).collect(),
    }
}
