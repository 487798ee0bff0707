//! `opledger trace`: a run as events for a browser, and as a flame graph.

use std::process::ExitCode;

use opledger_charts::{FlameChart, FlameStack};
use opledger_report::{ExecutedNode, Format};

use crate::args::{Executor, RunArgs, TraceArgs, TracedBy};
use crate::commands::run::executed_model;
use crate::destination::{Destination, distinct, spares};
use crate::failure::Failure;
use crate::notes::note;
use crate::output;

pub(crate) fn execute(args: TraceArgs) -> Result<ExitCode, Failure> {
    let files = [
        ("output", args.output.as_deref()),
        ("flame", args.flame.as_deref()),
        ("folded", args.folded.as_deref()),
        ("input", args.input.as_deref()),
    ];
    for (at, one) in files.iter().enumerate() {
        spares(std::path::Path::new(&args.model.model), one.1.filter(|_| one.0 != "input"))?;
        for other in &files[at + 1..] {
            distinct([*one, *other])?;
        }
    }
    let open =
        |path: &Option<std::path::PathBuf>| path.as_deref().map(Destination::new).transpose();
    let (trace, flame, folded) = (open(&args.output)?, open(&args.flame)?, open(&args.folded)?);
    let (by, asked) = (args.by, args.output.clone());
    let run = RunArgs {
        model: args.model,
        seed: args.seed,
        threads: args.threads,
        interpreter: Executor::Fast,
        repeat: args.repeat,
        input: args.input,
        text: Vec::new(),
        output: None,
        show: false,
        depth: None,
        sort: None,
        top: None,
        device: None,
        format: Format::Table,
    };
    let (record, notes) = executed_model(&run)?;
    notes.iter().for_each(|text| note(text));
    if let Some(trace) = trace {
        trace.write_text(&record.trace())?;
    }
    let weight = |node: &ExecutedNode| match by {
        TracedBy::Flops => node.useful.flops.to_string(),
        TracedBy::Time => format!("{:.0}", node.ms * 1e6),
        TracedBy::Bytes => (&node.bytes.read + &node.bytes.written).to_string(),
    };
    if let Some(folded) = folded {
        folded.write_text(&record.folded(weight))?;
    }
    if let Some(flame) = flame {
        let stack = |line: &str| {
            let (frames, value) = line.rsplit_once(' ')?;
            let frames = frames.split(';').map(str::to_owned).collect();
            Some(FlameStack { frames, value: value.parse().ok()? })
        };
        let what = match by {
            TracedBy::Flops => "useful scalar operations",
            TracedBy::Time => "nanoseconds of the median run",
            TracedBy::Bytes => "bytes that the run moved",
        };
        let chart = FlameChart {
            title: format!("{} at {}", record.model, record.binding),
            subtitle: format!("{what}, by module; all iterations of a layer together"),
            stacks: record.folded(weight).lines().filter_map(stack).collect(),
        };
        flame.write_text(&chart.svg()?)?;
    }
    let told = record.nodes.len();
    let file = asked.map(|path| format!(" in {}", path.display())).unwrap_or_default();
    output::print(&format!(
        "{told} nodes{file}, {:.3} ms; {} mismatches with what was derived\n",
        record.wall_ms.median, record.theorem.mismatches
    ))?;
    Ok(if record.theorem.mismatches == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
