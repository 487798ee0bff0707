//! `opledger count`: exact counts without running.

use std::process::ExitCode;

use num_traits::ToPrimitive;
use opledger_charts::{Bar, BarChart};
use opledger_dims::{Binding, Class, Integer, Poly, Symbol};
use opledger_ir::ops::Source;
use opledger_ir::{Definition, Graph, Op, Total};
use opledger_models::{Logits, Request};
use opledger_report::{
    CONVENTIONS, ConventionCounts, ConventionTotal, Format, GenerationCount, Grid, GridPoint,
    Memory, Summed, thousands,
};

use crate::account::account;
use crate::args::{CountArgs, Dtype, ModelArgs};
use crate::counted_by::Watched;
use crate::destination::Destination;
use crate::failure::Failure;
use crate::found::{Found, find};
use crate::output;
use crate::sizes::Assignment;
use crate::subject::{Needs, Subject, note};
use crate::sweep::Sweep;

pub(crate) fn execute(args: &CountArgs) -> Result<ExitCode, Failure> {
    let swept = args.sizes.iter().find(|sweep| sweep.sizes.len() > 1);
    args.check_one_count(swept)?;
    if let Some(new_tokens) = args.new_tokens {
        output::show(&generation(args, new_tokens)?, args.format)?;
        return Ok(ExitCode::SUCCESS);
    }
    if swept.is_some() {
        output::show(&grid(args)?, args.format)?;
        return Ok(ExitCode::SUCCESS);
    }
    let model = args.at(|sweep| sweep.sizes[0].clone());
    if args.format == Format::Mermaid {
        let subject = Subject::new(&model, Needs::Nothing)?;
        output::print(&subject.graph.mermaid())?;
        return Ok(ExitCode::SUCCESS);
    }
    let found = find(&args.model)?;
    let request = Request { past: model.wants_past(), ..Request::default() };
    let built = found.model(&args.model, &request)?;
    let subject = Subject::of(built, &model, Needs::Count, found.is_one_item())?;
    if !args.conventions.is_empty() {
        let watched = Watched::new(&found, &subject, &args.watched)?;
        let counted = watched.count(&args.conventions)?;
        if let Some(path) = &args.svg {
            Destination::new(path)?.write_text(&drawn(&counted)?)?;
        }
        output::show(&counted, args.format)?;
        return hold(args, &found, &subject);
    }
    let at = |poly: &Poly| poly.at(&subject.binding);
    let mut record = account(&subject, args.depth, at, ToString::to_string)?;
    record.memory = Some(memory(&found, &subject, args.dtype)?);
    output::show(&record, args.format)?;
    hold(args, &found, &subject)
}

/// A count by conventions as bars, those of the runtime itself marked.
fn drawn(counted: &ConventionCounts) -> Result<String, Failure> {
    let bar = |one: &ConventionTotal| Bar {
        label: one.name.clone(),
        value: one.total.to_f64().unwrap_or(f64::MAX),
        text: thousands(&one.total),
        marked: CONVENTIONS.iter().any(|(own, _)| *own == one.name)
            || one.name == "multiplications",
    };
    let mut all: Vec<Bar> = counted.conventions.iter().map(bar).collect();
    all.sort_by(|a, b| a.value.total_cmp(&b.value));
    let told =
        "one forward pass: what each tool prints; green: counts of the operations themselves";
    let title = format!("{} at {}", counted.model, counted.binding);
    Ok(BarChart { title, subtitle: told.to_owned(), bars: all }.svg()?)
}

/// Holds a count against what is asserted of it.
fn hold(args: &CountArgs, found: &Found, subject: &Subject) -> Result<ExitCode, Failure> {
    let mut code = ExitCode::SUCCESS;
    for assertion in &args.assertions {
        let counted = quantity(assertion.quantity(), args, found, subject)?;
        if !assertion.holds(&counted) {
            note(&format!("assertion failed: {assertion}; counted {}", thousands(&counted)));
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}

/// A quantity by its name in a report, or by the name of a convention.
fn quantity(
    name: &str,
    args: &CountArgs,
    found: &Found,
    subject: &Subject,
) -> Result<Integer, Failure> {
    let Subject { graph, binding, .. } = subject;
    let at = |poly: Poly| Ok(poly.at(binding)?);
    let class = Class::ALL.into_iter().find(|class| class.name() == name);
    match (name, class) {
        ("params", _) => at(graph.parameters().0),
        ("trainable", _) => at(graph.parameters().1),
        ("bytes-read", _) => at(graph.nodes().iter().map(|n| graph.node_bytes(n).0).sum()),
        ("bytes-written", _) => at(graph.nodes().iter().map(|n| graph.node_bytes(n).1).sum()),
        (_, Some(class)) => at(graph.cost().total()[class].clone()),
        _ => Watched::new(found, subject, &args.watched)?.total(name),
    }
}

impl CountArgs {
    /// Refuses what is about one count where several are asked for.
    fn check_one_count(&self, swept: Option<&Sweep>) -> Result<(), Failure> {
        let (asserts, counts) = (!self.assertions.is_empty(), !self.conventions.is_empty());
        match (swept, self.new_tokens) {
            (Some(sweep), _) if asserts => {
                Err(Failure::SweptAssertion { symbol: sweep.symbol.clone() })
            }
            (Some(sweep), _) if counts => {
                Err(Failure::SweptConvention { symbol: sweep.symbol.clone() })
            }
            (_, Some(_)) if asserts => Err(Failure::Generated { option: "assert" }),
            (_, Some(_)) if counts => Err(Failure::Generated { option: "convention" }),
            _ => Ok(()),
        }
    }

    /// The model with one size for each symbol.
    fn at(&self, size: impl Fn(&Sweep) -> Integer) -> ModelArgs {
        let one = |sweep: &Sweep| Assignment { symbol: sweep.symbol.clone(), size: size(sweep) };
        let sizes = self.sizes.iter().map(one).collect();
        ModelArgs { model: self.model.clone(), sizes, past: self.past }
    }
}

fn summed(total: Total) -> Summed {
    Summed {
        flops: total.flops(),
        counts: total.counts,
        macs: total.macs,
        bytes_read: total.read,
        bytes_written: total.written,
    }
}

/// Counts at every point of a grid.
fn grid(args: &CountArgs) -> Result<Grid, Failure> {
    let (mut swept, mut single) = (Vec::new(), Vec::new());
    for sweep in &args.sizes {
        if args.sizes.iter().filter(|other| other.symbol == sweep.symbol).count() > 1 {
            return Err(Failure::TwiceSwept { symbol: sweep.symbol.clone() });
        }
        match sweep.sizes.len() {
            1 => single.push(sweep),
            _ => swept.push(sweep),
        }
    }
    let smallest = Subject::new(&args.at(|sweep| least(&sweep.sizes)), Needs::Count)?;
    Subject::new(&args.at(|sweep| greatest(&sweep.sizes)), Needs::Count)?;
    let free: Vec<Symbol> = swept.iter().map(|sweep| sweep.symbol.clone()).collect();
    // What bounds these is broken by the greatest first; others may have to divide each other.
    let bounded = free.iter().all(|symbol| ["b", "l", "m", "n", "p"].contains(&symbol.as_str()));
    let binding = without(&smallest.binding, &smallest.graph, &free.iter().collect::<Vec<_>>());
    let graph = &smallest.graph;
    let totals = graph.totals(&binding, &free)?;
    let mut points = Vec::new();
    let mut at = vec![0; swept.len()];
    let value = |size: &Integer| -> Result<i128, Failure> {
        let too_large =
            |symbol: &Symbol| Failure::Large { symbol: symbol.clone(), size: size.clone() };
        i128::try_from(size).map_err(|_| too_large(&free[0]))
    };
    let mut sizes = swept.iter().map(|s| value(&s.sizes[0])).collect::<Result<Vec<_>, _>>()?;
    loop {
        let total = totals.at(&sizes)?;
        if !bounded {
            let sizes = free.iter().cloned().zip(sizes.iter().copied());
            let point = sizes.fold(binding.clone(), |point, (symbol, n)| point.with(symbol, n));
            graph.check(&graph.complete(&point)?)?;
        }
        let shown = at.iter().zip(&swept).map(|(at, sweep)| sweep.sizes[*at].clone()).collect();
        points.push(GridPoint { sizes: shown, total: summed(total) });
        // The last symbol turns fastest.
        let Some(turn) = (0..swept.len()).rev().find(|i| at[*i] + 1 < swept[*i].sizes.len()) else {
            break;
        };
        at[turn] += 1;
        at[turn + 1..].fill(0);
        for i in turn..swept.len() {
            sizes[i] = value(&swept[i].sizes[at[i]])?;
        }
    }
    Ok(Grid {
        model: args.model.clone(),
        binding,
        symbols: free.iter().map(ToString::to_string).collect(),
        points,
        conventions: CONVENTIONS.to_vec(),
    })
}

fn least(sizes: &[Integer]) -> Integer {
    sizes.iter().min().cloned().unwrap_or_default()
}

fn greatest(sizes: &[Integer]) -> Integer {
    sizes.iter().max().cloned().unwrap_or_default()
}

/// Counts a run over `n` tokens and the steps after it, each exactly.
fn generation(args: &CountArgs, new_tokens: u64) -> Result<GenerationCount, Failure> {
    if let Some(sweep) = args.sizes.iter().find(|sweep| sweep.sizes.len() > 1) {
        return Err(Failure::SweptGeneration { symbol: sweep.symbol.clone() });
    }
    let model = args.at(|sweep| sweep.sizes[0].clone());
    let found = find(&args.model)?;
    let request = Request { past: true, logits: Logits::Last, ..Request::default() };
    let built = found.model(&args.model, &request)?;
    let mut sizes = model.sizes.clone();
    let [p, n] = ["p", "n"].map(Symbol::new);
    if let Some(given) = sizes.iter().find(|size| size.symbol == p) {
        return Err(Failure::GivenPast { size: given.size.clone() });
    }
    sizes.push(Assignment { symbol: p.clone(), size: 0.into() });
    let at_prompt = ModelArgs { sizes, ..model };
    let subject = Subject::of(built, &at_prompt, Needs::Count, found.is_one_item())?;
    let Subject { graph, binding, .. } = &subject;
    let tokens = binding.get(&n).cloned().unwrap_or_default();
    // The last step is the largest, and so the one that may not fit the model.
    let last = tokens.clone() + new_tokens.saturating_sub(2);
    if new_tokens > 1 {
        let at_last = rebound(graph, binding, &[(&p, last), (&n, 1.into())])?;
        graph.check(&at_last)?;
    }
    let (fixed, free) = (without(binding, graph, &[&p, &n]), [p, n]);
    let totals = graph.totals(&fixed, &free)?;
    let too_large = || Failure::Large { symbol: free[1].clone(), size: tokens.clone() };
    let start = i128::try_from(&tokens).map_err(|_| too_large())?;
    let prompt = totals.at(&[0, start])?;
    let mut steps = Total::none();
    for step in 0..i128::from(new_tokens) - 1 {
        steps.add_run(&totals.at(&[start + step, 1])?);
    }
    let mut all = prompt.clone();
    all.add_run(&steps);
    Ok(GenerationCount {
        model: args.model.clone(),
        binding: without(binding, graph, &[&free[0]]).with(free[1].clone(), tokens),
        params: prompt.params.clone(),
        new_tokens,
        prompt: summed(prompt),
        steps: summed(steps),
        all: summed(all),
        conventions: CONVENTIONS.to_vec(),
    })
}

/// The sizes that were given or belong to the model, without some symbols and what follows from them.
fn without(binding: &Binding, graph: &Graph, symbols: &[&Symbol]) -> Binding {
    let follows = |symbol: &Symbol| {
        graph.definitions().iter().any(|definition| match definition {
            // Of c = h·e, users give c and h.
            Definition::Product { factors: [_, divided], .. } => divided == symbol,
            other => other.defines().contains(&symbol),
        })
    };
    let kept = binding.iter().filter(|(s, _)| !symbols.contains(s) && !follows(s));
    kept.map(|(symbol, size)| (symbol.clone(), size.clone())).collect()
}

fn rebound(
    graph: &Graph,
    binding: &Binding,
    sizes: &[(&Symbol, Integer)],
) -> Result<Binding, Failure> {
    let symbols: Vec<&Symbol> = sizes.iter().map(|(symbol, _)| *symbol).collect();
    let mut binding = without(binding, graph, &symbols);
    for (symbol, size) in sizes {
        binding.set(*symbol, size.clone());
    }
    Ok(graph.complete(&binding)?)
}

/// Bytes of parameters, of the cache and of the values alive at once.
fn memory(found: &Found, subject: &Subject, dtype: Dtype) -> Result<Memory, Failure> {
    let Subject { graph, binding, .. } = subject;
    let each = Integer::from(dtype.bytes());
    let parameters = graph.parameters().0.at(binding)?;
    let cache = cache_per_token(found, subject)?.map(|elements| elements * &each);
    let size = |symbol: &str| binding.get(&Symbol::new(symbol)).cloned();
    let tokens = size("n").unwrap_or_default() + size("p").unwrap_or_default();
    let items = size("b").unwrap_or_else(|| 1.into());
    Ok(Memory {
        dtype: dtype.name(),
        active_parameters: active_parameters(graph, binding)?,
        parameters: parameters * &each,
        cache: cache.as_ref().map(|cache| cache * tokens * items),
        cache_per_token: cache,
        activations: graph.footprint(binding, size_of::<f32>())?.live,
    })
}

/// Elements of keys and values of a token in all layers; none of a model without a cache.
fn cache_per_token(found: &Found, subject: &Subject) -> Result<Option<Integer>, Failure> {
    let request = Request { past: true, ..Request::default() };
    let (Found::Config { .. }, Ok(model)) = (found, found.model(&subject.name, &request)) else {
        return Ok(None);
    };
    let graph = &model.graph;
    let one = model.binding.with("b", 1).with("n", 1).with("p", 1);
    let binding = graph.complete(&one)?;
    let past = |path: &str| path.ends_with(".past_key") || path.ends_with(".past_value");
    let kept = graph
        .nodes()
        .iter()
        .filter(|node| past(&node.path) && matches!(node.op, Op::Source(Source::Input { .. })));
    let elements: Poly = kept.map(|node| node.shape.elements() * graph.multiplicity(node)).sum();
    Ok(Some(elements.at(&binding)?))
}

/// The parameters that a token meets: of experts, those of the ones that run. None where all do.
fn active_parameters(graph: &Graph, binding: &Binding) -> Result<Option<Integer>, Failure> {
    let active = graph.active_parameters().at(binding)?;
    Ok((active != graph.parameters().0.at(binding)?).then_some(active))
}
