//! `opledger count`: exact counts without running.

use opledger_dims::{Binding, Integer, Poly, Symbol};
use opledger_interp::activation_bytes;
use opledger_ir::ops::Source;
use opledger_ir::{Definition, Graph, Op, Total};
use opledger_models::{Logits, Request};
use opledger_report::{CONVENTIONS, Format, GenerationCount, Grid, GridPoint, Memory, Summed};

use crate::account::account;
use crate::args::{CountArgs, Dtype, ModelArgs};
use crate::failure::Failure;
use crate::found::{Found, find};
use crate::output;
use crate::sizes::Assignment;
use crate::subject::{Needs, Subject};
use crate::sweep::Sweep;

pub(crate) fn execute(args: &CountArgs) -> Result<(), Failure> {
    if let Some(new_tokens) = args.new_tokens {
        return output::show(&generation(args, new_tokens)?, args.format);
    }
    if args.sizes.iter().any(|sweep| sweep.sizes.len() > 1) {
        return output::show(&grid(args)?, args.format);
    }
    let model = args.at(|sweep| sweep.sizes[0].clone());
    if args.format == Format::Mermaid {
        let subject = Subject::new(&model, Needs::Nothing)?;
        return output::print(&subject.graph.mermaid());
    }
    let found = find(&args.model)?;
    let request = Request { past: model.wants_past(), ..Request::default() };
    let built = found.model(&args.model, &request)?;
    let subject = Subject::of(built, &model, Needs::Count, found.is_one_item())?;
    let at = |poly: &Poly| poly.at(&subject.binding);
    let mut record = account(&subject, args.depth, at, ToString::to_string)?;
    record.memory = Some(memory(&found, &subject, args.dtype)?);
    output::show(&record, args.format)
}

impl CountArgs {
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
        activations: activation_bytes(graph, binding, size_of::<f32>())?,
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
