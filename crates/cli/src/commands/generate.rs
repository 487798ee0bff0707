//! `opledger generate`: tokens by a causal model or by an encoder and a decoder, each run's ledger held
//! against the closed form.

use std::path::Path;
use std::process::ExitCode;

use opledger_dims::{Binding, Counts, Integer};
use opledger_execute::{Choice, ExecuteError, Generated, Generator};
use opledger_interp::{Feeds, Formulas, Ledger, Theorem};
use opledger_ir::{PartCounts, Role, SizeRole, Value};
use opledger_models::GenerationSettings;
use opledger_report::{CONVENTIONS, Format, Generation, SourceRun, Step};
use opledger_weights::read_bounded;

use super::run::theorem_record;
use crate::args::GenerateArgs;
use crate::failure::Failure;
use crate::notes;
use crate::output;
use crate::tensors::Inputs;
use crate::text::{self, Text};
use crate::threads;

/// The longest text that is gone on from, in bytes.
const MOST_TEXT: u64 = 64 << 20;

pub(crate) fn execute(args: &GenerateArgs) -> Result<ExitCode, Failure> {
    threads::start(args.threads)?;
    let latent = args.latent.unwrap_or_default();
    let generator = Generator::open_as(&args.model, latent, Feeds::seeded(args.seed))?;
    let mut notes = Vec::new();
    notes.extend(notes::non_finite(generator.non_finite()));
    notes.extend(notes::left_aside(generator.left_aside()));
    if !generator.weights_read() {
        notes.push(notes::drawn(args.seed));
    }
    notes.extend(not_applied(&generator));
    let choice = chosen(args, generator.settings());
    if choice.sampling.is_none() && generator.settings().sampled {
        let source = generator.settings_of();
        notes.push(format!("{source} asks to draw tokens; --sample <SEED> does"));
    }
    if choice.repetition_penalty != 1.0 && args.repetition_penalty.is_none() {
        let (penalty, source) = (choice.repetition_penalty, generator.settings_of());
        notes.push(format!("repetition_penalty = {penalty} of {source} is applied"));
    }
    let generator = generator.choosing(choice);
    let generator = if args.ignore_eos { generator.past_end_tokens() } else { generator };
    let given = args.prompt()?;
    let text = match &given {
        Some(_) => Some(match &args.tokenizer {
            Some(path) => text::of_file(path)?,
            None => text::beside(&args.model, generator.model().directory())?,
        }),
        None => None,
    };
    let prompt: Vec<i64> = match (&text, &given) {
        (Some(text), Some(prompt)) => text.ids(prompt)?,
        _ => args.ids.iter().map(|id| i64::from(*id)).collect(),
    };
    let prompt = match args.truncate && !generator.has_source() {
        true => truncated(&generator, prompt, args.new_tokens, &mut notes)?,
        false => prompt,
    };
    let sound = match &args.input {
        Some(path) => Some(sound(&generator, path)?),
        None => None,
    };
    if generator.reads_sounds() && sound.is_none() {
        notes.push(notes::no_sound(args.seed));
    }
    let first = generator.first(&prompt)?;
    generator.check_room(first.len(), args.new_tokens as usize)?;
    let room = first.len().saturating_add(args.new_tokens as usize);
    let mut sizes = Binding::new();
    if let Some(tokens) = generator.model().graph().size_of(SizeRole::Tokens) {
        sizes.set(tokens, room.saturating_sub(1));
    }
    notes.splice(0..0, notes::about(generator.model(), &sizes));
    let mut generator = generator.with_room(room);
    let mut stream = Stream::new(text.as_ref(), args.format);
    let (mut generated, mut steps, mut theorem) = (Vec::new(), Vec::new(), Theorem::default());
    let source = match generator.has_source() {
        true => Some(encoded(&mut generator, (&prompt, sound.as_ref()), &mut theorem)?),
        false => None,
    };
    let (mut next, mut ended_by) = (first, None);
    let formulas = Formulas::new(generator.session().graph());
    for _ in 0..args.new_tokens {
        let (past, tokens) = (generator.session().past(), next.len());
        let Generated { id, run } = generator.step(&next)?;
        theorem.extend(formulas.compare(&run.binding, &run.ledger, "the kernels")?);
        let (macs, flops) = totals(&run.ledger);
        steps.push(Step { past, tokens, id, ms: run.wall.as_secs_f64() * 1e3, macs, flops });
        generated.push(id);
        stream.show(&generated)?;
        if generator.settings().end_tokens.contains(&id) {
            ended_by = Some(id);
            break;
        }
        next = vec![id];
    }
    notes.extend(ended_by.map(|id| {
        let (source, done, asked) = (generator.settings_of(), generated.len(), args.new_tokens);
        format!(
            "ended after {done} of {asked} tokens by token {id} (eos_token_id of {source}); \
             --ignore-eos goes on"
        )
    }));
    stream.end()?;
    let record = Generation {
        model: args.model.clone(),
        prompt,
        generated: generated.clone(),
        ended_by,
        text: text.and_then(|text| text.text(&generated)),
        threads: rayon::current_num_threads(),
        source,
        steps,
        cache_bytes: generator.session().cache_bytes(),
        theorem: theorem_record(&theorem),
        conventions: CONVENTIONS[..2].to_vec(),
    };
    output::show_noted(&record, &notes, args.format)?;
    Ok(if record.theorem.mismatches == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The last tokens of a prompt that fit; what was left out is told.
fn truncated(
    generator: &Generator,
    prompt: Vec<i64>,
    new: u32,
    notes: &mut Vec<String>,
) -> Result<Vec<i64>, Failure> {
    let fitting = generator.fitting(&prompt, new as usize)?;
    let left_out = prompt.len() - fitting.len();
    if left_out > 0 {
        let all = prompt.len();
        notes.push(format!(
            "the first {left_out} of {all} tokens are left out, so that {new} new ones fit"
        ));
    }
    Ok(fitting.to_vec())
}

/// The run of the encoder.
fn encoded(
    generator: &mut Generator,
    (prompt, sound): (&[i64], Option<&Value<f32>>),
    theorem: &mut Theorem,
) -> Result<SourceRun, Failure> {
    let run = match generator.reads_sounds() {
        true => generator.read_sound(sound)?,
        false => generator.read_source(prompt)?,
    };
    if let Some(graph) = generator.source_graph() {
        theorem.extend(Formulas::new(graph).compare(&run.binding, &run.ledger, "the kernels")?);
    }
    let (macs, flops) = totals(&run.ledger);
    let size = generator.source_graph().and_then(|graph| graph.size_of(SizeRole::Memory));
    let tokens = size.and_then(|m| run.binding.get(m)).and_then(|m| usize::try_from(m).ok());
    let tokens = tokens.unwrap_or(prompt.len());
    Ok(SourceRun { tokens, ms: run.wall.as_secs_f64() * 1e3, macs, flops })
}

/// The sound of a file, for the encoder.
fn sound(generator: &Generator, path: &Path) -> Result<Value<f32>, Failure> {
    let none = || ExecuteError::NoSounds { model: generator.model().name().to_owned() };
    let graph = generator.source_graph().filter(|_| generator.reads_sounds()).ok_or_else(none)?;
    let mut sizes = generator.model().sizes().clone();
    generator.model().one_item_unless_given(&mut sizes);
    let given = Inputs::open(path)?.read(graph, &sizes)?;
    let wanted = graph.inputs_of(Role::Sound).next().map(|var| graph.node(var).path.clone());
    let found = given.into_iter().find(|(name, _)| Some(name) == wanted.as_ref());
    found.map(|(_, sound)| sound).ok_or_else(|| none().into())
}

/// How tokens are chosen: as the files of the model say, unless the command line says otherwise.
fn chosen(args: &GenerateArgs, settings: &GenerationSettings) -> Choice {
    let settings = GenerationSettings {
        temperature: args.temperature.or(settings.temperature),
        top_k: args.top_k.or(settings.top_k),
        top_p: args.top_p.or(settings.top_p),
        repetition_penalty: args.repetition_penalty.or(settings.repetition_penalty),
        ..settings.clone()
    };
    match args.sample {
        Some(seed) => Choice::sampled(&settings, seed),
        None => Choice::greedy(&settings),
    }
}

impl GenerateArgs {
    /// The text to go on from, if one is given.
    fn prompt(&self) -> Result<Option<String>, Failure> {
        let Some(path) = &self.text_file else { return Ok(self.text.clone()) };
        let problem = |problem: String| Failure::Prompt { path: path.clone(), problem };
        let bytes = read_bounded(path, MOST_TEXT).map_err(problem)?;
        String::from_utf8(bytes).map(Some).map_err(|_| problem("it is no UTF-8".to_owned()))
    }
}

/// The keys by which the library would choose other tokens.
fn not_applied(generator: &Generator) -> Option<String> {
    let (keys, source) = (&generator.settings().not_applied, generator.settings_of());
    let told = || format!("not applied, of {source}: {}", keys.join(", "));
    (!keys.is_empty()).then(told)
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
                output::print(&output::plain(new))
            }
            _ => Ok(()),
        }
    }

    fn end(&self) -> Result<(), Failure> {
        if self.shown > 0 { output::print("\n\n") } else { Ok(()) }
    }
}

/// Multiplications inside contractions and all operations of a ledger.
fn totals(ledger: &Ledger) -> (Integer, Integer) {
    let mut all: PartCounts<Integer> = PartCounts::free();
    for row in ledger.rows() {
        all.add_all(&row.counts().useful.map(Counts::widen));
    }
    (all.macs(), all.flops())
}
