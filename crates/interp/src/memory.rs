//! How much memory a run has used, and may use; what it needs is told by [`Graph::footprint`].

use opledger_dims::{Binding, Integer};
use opledger_ir::{BindingError, Graph};

/// Bytes of all sources and of the live values at the worst moment of a run: of
/// [`Graph::footprint`], the peak.
///
/// # Errors
/// When a size is unbound.
pub fn peak_bytes(
    graph: &Graph,
    binding: &Binding,
    real_bytes: usize,
) -> Result<Integer, BindingError> {
    Ok(graph.footprint(binding, real_bytes)?.peak())
}

/// Bytes of the computed values that are alive at the worst moment of a run: of
/// [`Graph::footprint`], what is computed.
///
/// # Errors
/// When a size is unbound.
pub fn computed_bytes(
    graph: &Graph,
    binding: &Binding,
    real_bytes: usize,
) -> Result<Integer, BindingError> {
    Ok(graph.footprint(binding, real_bytes)?.computed())
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
