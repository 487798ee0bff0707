//! `opledger generate`: tokens by a causal model, each step's ledger held against the closed form.

use std::process::ExitCode;

use opledger_account::Model;
use opledger_dims::{Counts, Integer};
use opledger_interp::{Fast, Feeds, Formulas, Ledger, Quiet, Run, Session, Theorem};
use opledger_ir::PartCounts;
use opledger_models::{Logits, Request};
use opledger_report::{CONVENTIONS, Format, Generation, Step};

use super::run::{start_threads, theorem_record};
use crate::args::GenerateArgs;
use crate::checkpoint;
use crate::failure::Failure;
use crate::notes;
use crate::output;
use crate::text::{self, Text};

pub(crate) fn execute(args: &GenerateArgs) -> Result<ExitCode, Failure> {
    start_threads(args.threads)?;
    let request = Request { past: true, logits: Logits::Last, ..Request::default() };
    let model = Model::open_for(&args.model, request)?;
    notes::unread_keys(&model);
    let graph = model.graph();
    if !graph.outputs().iter().any(|(name, _)| name == "logits") {
        let name = args.model.clone();
        return Err(Failure::NoScores { model: name });
    }
    let sizes = model.sizes().clone().with("b", 1);
    let mut feeds = Feeds::seeded(args.seed);
    if let Some(folder) = checkpoint::beside(&model) {
        feeds = checkpoint::load(folder, &model, &graph.complete(&sizes)?, feeds)?;
    }
    let session = Session::new(graph, &sizes, &feeds, Fast::new()?)?;
    let text = match &args.text {
        Some(_) => Some(text::beside(&args.model, model.directory())?),
        None => None,
    };
    let prompt: Vec<i64> = match (&text, &args.text) {
        (Some(text), Some(prompt)) => text.ids(prompt)?,
        _ => args.ids.iter().map(|id| i64::from(*id)).collect(),
    };
    let mut session = session.with_room(prompt.len().saturating_add(args.new_tokens as usize));
    let mut stream = Stream::new(text.as_ref(), args.format);
    let (mut generated, mut steps, mut theorem) = (Vec::new(), Vec::new(), Theorem::default());
    let mut next = prompt.clone();
    let formulas = Formulas::new(graph);
    for _ in 0..args.new_tokens {
        let (past, tokens) = (session.past(), next.len());
        let run = session.step(tokens, &next, &mut Quiet)?;
        theorem.extend(formulas.compare(&run.binding, &run.ledger, "the kernels")?);
        let (macs, flops) = totals(&run.ledger);
        steps.push(Step { past, tokens, ms: run.wall.as_secs_f64() * 1e3, macs, flops });
        let id = best(&run).ok_or_else(|| Failure::NoScores { model: args.model.clone() })?;
        generated.push(id);
        stream.show(&generated)?;
        next = vec![id];
    }
    stream.end()?;
    let record = Generation {
        model: args.model.clone(),
        prompt,
        generated: generated.clone(),
        text: text.and_then(|text| text.text(&generated)),
        threads: rayon::current_num_threads(),
        steps,
        cache_bytes: session.cache_bytes(),
        theorem: theorem_record(&theorem),
        conventions: CONVENTIONS[..2].to_vec(),
    };
    output::show(&record, args.format)?;
    Ok(if record.theorem.mismatches == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Shows text as it comes, when the result is a table for a reader.
struct Stream<'t> {
    text: Option<&'t Text>,
    shown: usize,
}

impl<'t> Stream<'t> {
    fn new(text: Option<&'t Text>, format: Format) -> Self {
        Stream { text: text.filter(|_| format == Format::Table), shown: 0 }
    }

    /// Shows what is new; a character whose last byte is yet to come waits.
    fn show(&mut self, ids: &[i64]) -> Result<(), Failure> {
        let Some(all) = self.text.and_then(|text| text.text(ids)) else { return Ok(()) };
        match all.get(self.shown..) {
            Some(new) if !new.is_empty() && !new.ends_with('\u{fffd}') => {
                self.shown = all.len();
                output::print(new)
            }
            _ => Ok(()),
        }
    }

    fn end(&self) -> Result<(), Failure> {
        if self.shown > 0 { output::print("\n\n") } else { Ok(()) }
    }
}

/// The id with the highest score, the first of equals.
fn best(run: &Run<f32>) -> Option<i64> {
    let scores = run.value("logits").ok()?.real()?.data();
    let better = |best: Option<usize>, at: usize| match best {
        Some(other) if scores[at].total_cmp(&scores[other]).is_le() => Some(other),
        _ => Some(at),
    };
    (0..scores.len()).fold(None, better).map(|at| at as i64)
}

/// Multiplications inside contractions and all operations of a ledger.
fn totals(ledger: &Ledger) -> (Integer, Integer) {
    let mut all: PartCounts<Integer> = PartCounts::free();
    for row in ledger.rows() {
        all.add_all(&row.counts().useful.map(Counts::widen));
    }
    (all.macs(), all.flops())
}
