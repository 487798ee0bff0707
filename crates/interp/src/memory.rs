//! How long values live, and how much memory a run needs at its peak.

use opledger_dims::{Binding, Integer};
use opledger_ir::{BindingError, Elem, Graph, Node, Op};

/// For every node, the position after which its value is not used any more; outputs and values that
/// are never used are kept to the end of the graph and freed at once, respectively.
pub(crate) fn last_uses(graph: &Graph) -> Vec<usize> {
    let mut last: Vec<usize> = (0..graph.nodes().len()).collect();
    for (at, node) in graph.nodes().iter().enumerate() {
        // The first operand of an exit is its result where nothing is repeated; the driver holds it.
        let inputs = &node.inputs[usize::from(matches!(node.op, Op::Exit))..];
        for var in inputs {
            // A value from outside a repeated body is used until the body's last iteration, one that
            // the carry takes over by the carry only.
            let outer = graph.loops().iter().filter(|l| {
                (l.body.start + 1..l.body.end).contains(&at) && var.index() < l.body.start
            });
            let until = outer.map(|l| l.body.end).max().unwrap_or(at);
            last[var.index()] = last[var.index()].max(until);
        }
    }
    for repetition in graph.loops() {
        let result = repetition.result.index();
        last[result] = last[result].max(repetition.body.end);
    }
    for (_, var) in graph.outputs() {
        last[var.index()] = graph.nodes().len();
    }
    last
}

/// The node whose buffer a value is: views share their operand's. A carry counts as a buffer, that
/// of the iteration before.
fn root(graph: &Graph, mut at: usize) -> usize {
    while let node = &graph.nodes()[at]
        && node.op.is_view()
        && !node.op.is_source()
        && !matches!(node.op, Op::Carry)
        && let Some(input) = node.inputs.last()
    {
        at = input.index();
    }
    at
}

/// Bytes of all sources and of the live values at the worst moment of a run, at a complete binding,
/// with `real_bytes` to a real number. Kernels add a few tiles per thread.
///
/// # Errors
/// When a size is unbound.
pub fn peak_bytes(
    graph: &Graph,
    binding: &Binding,
    real_bytes: usize,
) -> Result<Integer, BindingError> {
    let Footprint { sources, live, kept } = footprint(graph, binding, real_bytes as u64)?;
    Ok(sources + live + kept)
}

/// Bytes of the computed values that are alive at the worst moment of a run, at a complete binding,
/// with `real_bytes` to a real number: [`peak_bytes`] without sources.
///
/// No run reaches more. One whose nodes run one by one reaches it where every repetition runs at
/// least twice (the first iteration works on what it is given, not on a buffer of its own) and gives
/// back no result of each iteration (all of which the last one may not need beside its own).
///
/// # Errors
/// When a size is unbound.
pub fn computed_bytes(
    graph: &Graph,
    binding: &Binding,
    real_bytes: usize,
) -> Result<Integer, BindingError> {
    let Footprint { live, kept, .. } = footprint(graph, binding, real_bytes as u64)?;
    Ok(live + kept)
}

/// [`computed_bytes`] without what a repetition gives back in every iteration.
///
/// # Errors
/// When a size is unbound.
pub fn activation_bytes(
    graph: &Graph,
    binding: &Binding,
    real_bytes: usize,
) -> Result<Integer, BindingError> {
    Ok(footprint(graph, binding, real_bytes as u64)?.live)
}

/// Bytes that a run has had in computed values at its worst moments, counted where buffers are made
/// and freed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reached {
    /// In values alive.
    pub live: u64,
    /// In values alive, and in buffers of dead ones that are kept for later ones.
    pub held: u64,
}

/// Bytes by what they are needed for.
struct Footprint {
    sources: Integer,
    /// Live computed values at the worst moment.
    live: Integer,
    /// Results inside a repetition, of all iterations but one.
    kept: Integer,
}

fn footprint(graph: &Graph, binding: &Binding, real_bytes: u64) -> Result<Footprint, BindingError> {
    let bytes = |node: &Node| -> Result<Integer, BindingError> {
        let each = match node.shape.elem {
            Elem::Real => real_bytes,
            Elem::Index => node.shape.elem.bytes(),
        };
        Ok(node.shape.elements().at(binding)? * each)
    };
    let mut last = last_uses(graph);
    for at in (0..last.len()).rev() {
        let root = root(graph, at);
        last[root] = last[root].max(last[at]);
    }
    let (mut sources, mut live, mut peak, mut kept) =
        (Integer::default(), Integer::default(), Integer::default(), Integer::default());
    let mut dying: Vec<Vec<usize>> = vec![Vec::new(); graph.nodes().len() + 1];
    for (at, node) in graph.nodes().iter().enumerate() {
        if node.op.is_source() {
            sources += bytes(node)? * graph.multiplicity(node).at(binding)?;
            continue;
        }
        // A carry takes the buffer of what it is given.
        let carry = matches!(node.op, Op::Carry);
        let made = if carry || !node.op.is_view() { bytes(node)? } else { Integer::default() };
        if !carry {
            peak = peak.max(&live + &made);
        }
        live += made;
        dying[last[at]].push(at);
        for dead in &dying[at] {
            let dead = &graph.nodes()[*dead];
            if matches!(dead.op, Op::Carry) || !dead.op.is_view() {
                live -= bytes(dead)?;
            }
        }
        peak = peak.max(live.clone());
    }
    for (_, var) in graph.outputs() {
        let node = graph.node(*var);
        if node.repeat.is_some() {
            let others: Integer = graph.multiplicity(node).at(binding)? - 1;
            kept += bytes(node)? * others.max(Integer::default());
        }
    }
    Ok(Footprint { sources, live: peak, kept })
}

/// Bytes of memory this process may still take, as the operating system tells: the machine's
/// available memory and the limit of the control group, whichever is less. `None` where neither is
/// told.
pub fn available_memory() -> Option<Integer> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let machine = read("/proc/meminfo").and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kib * 1024)
    });
    let number = |path: &str| read(path)?.trim().parse::<u64>().ok();
    let group = number("/sys/fs/cgroup/memory.max")
        .and_then(|limit| Some(limit.saturating_sub(number("/sys/fs/cgroup/memory.current")?)));
    [machine, group].into_iter().flatten().min().map(Integer::from)
}
