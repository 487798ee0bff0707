//! How long values live, and how much memory a run needs at its peak.

use opledger_dims::{Binding, Integer};
use opledger_ir::{BindingError, Elem, Graph, Node, Op};

/// For every node, the position after which its value is not used any more; outputs and values that
/// are never used are kept to the end of the graph and freed at once, respectively.
pub(crate) fn last_uses(graph: &Graph) -> Vec<usize> {
    let mut last: Vec<usize> = (0..graph.nodes().len()).collect();
    for (at, node) in graph.nodes().iter().enumerate() {
        for var in &node.inputs {
            // A value from outside a repeated body is used until the body's last iteration.
            let outer =
                graph.loops().iter().filter(|l| l.body.contains(&at) && var.index() < l.body.start);
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

/// The node whose buffer a value is: views share their operand's.
fn root(graph: &Graph, mut at: usize) -> usize {
    while let node = &graph.nodes()[at]
        && node.op.is_view()
        && !node.op.is_source()
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
    let (sources, live) = footprint(graph, binding, real_bytes as u64)?;
    Ok(sources + live)
}

/// Bytes of the computed values that are alive at the worst moment of a run, at a complete binding,
/// with `real_bytes` to a real number: [`peak_bytes`] without sources and without what a repetition
/// gives back in every iteration.
///
/// # Errors
/// When a size is unbound.
pub fn activation_bytes(
    graph: &Graph,
    binding: &Binding,
    real_bytes: usize,
) -> Result<Integer, BindingError> {
    Ok(footprint(graph, binding, real_bytes as u64)?.1)
}

/// Elements of live computed values at the worst moment of a run.
pub(crate) fn live_elements(graph: &Graph, binding: &Binding) -> Result<Integer, BindingError> {
    Ok(footprint(graph, binding, 1)?.1)
}

/// Bytes of the sources, and of the live computed values at the worst moment.
fn footprint(
    graph: &Graph,
    binding: &Binding,
    real_bytes: u64,
) -> Result<(Integer, Integer), BindingError> {
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
    let (mut sources, mut live, mut peak) =
        (Integer::default(), Integer::default(), Integer::default());
    let mut dying: Vec<Vec<usize>> = vec![Vec::new(); graph.nodes().len() + 1];
    for (at, node) in graph.nodes().iter().enumerate() {
        if node.op.is_source() {
            sources += bytes(node)? * graph.multiplicity(node).at(binding)?;
            continue;
        }
        if !node.op.is_view() || matches!(node.op, Op::Carry) {
            live += bytes(node)?;
            dying[last[at]].push(at);
        }
        peak = peak.max(live.clone());
        for dead in &dying[at] {
            live -= bytes(&graph.nodes()[*dead])?;
        }
    }
    // Results inside a repetition are kept for every iteration.
    for (_, var) in graph.outputs() {
        let node = graph.node(*var);
        if node.repeat.is_some() {
            let others: Integer = graph.multiplicity(node).at(binding)? - 1;
            sources += bytes(node)? * others.max(Integer::default());
        }
    }
    Ok((sources, peak))
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
