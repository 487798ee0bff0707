//! The theorem, at every node: derived cost = the oracle's count = the useful count of the kernels,
//! class by class and part by part, and executed ≥ useful.

use opledger_dims::{Binding, Class, Counts, Integer};
use opledger_ir::{Graph, Operation, Part};

use crate::driver::computes;
use crate::{Fast, Feeds, Ledger, Oracle, Quiet, RunError, run};

/// What was compared, and where it did not agree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Theorem {
    /// How many nodes were compared, each once however often it was executed.
    pub nodes: usize,
    /// How many (node, size) pairs were compared.
    pub points: usize,
    /// Where two counts differed.
    pub mismatches: Vec<Mismatch>,
}

/// One count that is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The node.
    pub path: String,
    /// The operation.
    pub op: &'static str,
    /// What was counted: class and part, or bytes.
    pub what: String,
    /// Where.
    pub binding: Binding,
    /// What the formula says.
    pub derived: Integer,
    /// Who counted otherwise.
    pub interpreter: &'static str,
    /// What was counted.
    pub measured: Integer,
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Mismatch { path, op, what, binding, derived, interpreter, measured } = self;
        write!(
            f,
            "{path} ({op}) at {binding}: {what} derived {derived}, {interpreter} counted {measured}"
        )
    }
}

impl Theorem {
    /// Whether everything agreed.
    pub fn holds(&self) -> bool {
        self.mismatches.is_empty()
    }

    /// Adds a comparison of another graph.
    pub fn merge(&mut self, other: Theorem) {
        self.nodes += other.nodes;
        self.points += other.points;
        self.mismatches.extend(other.mismatches);
    }

    /// Adds a comparison of the same graph at another size.
    pub fn extend(&mut self, other: Theorem) {
        self.nodes = self.nodes.max(other.nodes);
        self.points += other.points;
        self.mismatches.extend(other.mismatches);
    }
}

/// Holds the ledger of one run against the derived cost.
///
/// # Errors
/// When a cost cannot be evaluated at the run's binding.
pub fn compare(
    graph: &Graph,
    binding: &Binding,
    ledger: &Ledger,
    interpreter: &'static str,
) -> Result<Theorem, RunError> {
    let mut theorem = Theorem::default();
    for (at, node) in graph.nodes().iter().enumerate().filter(|(_, node)| computes(node)) {
        let derived = graph.node_cost(node);
        let row = ledger.row(at);
        let counts = row.counts();
        theorem.nodes += 1;
        theorem.points += 1;
        let mut check = |what: String, derived: &Integer, measured: &Integer, fits: bool| {
            if !fits {
                theorem.mismatches.push(Mismatch {
                    path: node.path.clone(),
                    op: node.op.name(),
                    what,
                    binding: binding.clone(),
                    derived: derived.clone(),
                    interpreter,
                    measured: measured.clone(),
                });
            }
        };
        let parts: Vec<Part> = counts.useful.0.iter().map(|(part, _)| *part).collect();
        for part in parts {
            let eval = |counts: Counts<opledger_dims::Poly>| {
                counts.at(binding).map_err(opledger_ir::BindingError::from)
            };
            let derived = eval(derived.part(part))?;
            let useful = counts.useful.part(part).widen();
            let executed = counts.executed.part(part).widen();
            for class in Class::ALL {
                let what = |kind: &str| format!("{kind} {class} of {}", part.name());
                let (d, u, e) = (&derived[class], &useful[class], &executed[class]);
                check(what("useful"), d, u, d == u);
                check(what("executed"), u, e, e >= u);
            }
        }
        let (read, written) = graph.node_bytes(node);
        for (what, derived, measured) in [
            ("bytes read", read, counts.bytes_read),
            ("bytes written", written, counts.bytes_written),
        ] {
            let derived = derived.at(binding).map_err(opledger_ir::BindingError::from)?;
            let measured = Integer::from(measured);
            check(what.to_owned(), &derived, &measured, derived == measured);
        }
    }
    Ok(theorem)
}

/// Executes a graph by the oracle and by the kernels at a binding and holds both against the
/// derived cost.
///
/// # Errors
/// When either run fails.
pub fn prove(graph: &Graph, binding: &Binding, feeds: &Feeds) -> Result<Theorem, RunError> {
    let oracle = run(graph, binding, &mut Oracle::<f32>::new(), feeds, &mut Quiet)?;
    let fast = run(graph, binding, &mut Fast::new()?, feeds, &mut Quiet)?;
    let mut theorem = compare(graph, &oracle.binding, &oracle.ledger, "the oracle")?;
    let kernels = compare(graph, &fast.binding, &fast.ledger, "the kernels")?;
    theorem.mismatches.extend(kernels.mismatches);
    Ok(theorem)
}
