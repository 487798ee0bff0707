//! The theorem, at every node: derived cost = what a run counted as useful, class by class and part by
//! part; what was executed, with what was done in another form, is no less; derived bytes = the bytes
//! that were moved.

use opledger_dims::{Binding, Class, Integer, Poly};
use opledger_ir::{BindingError, Cost, Graph, Node, Op, Operation, Part};

use crate::schedule::is_executed;
use crate::{Ledger, RunError};

/// What was compared, and where it did not agree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Theorem {
    /// How many nodes were compared, each once however often it was executed.
    pub nodes: usize,
    /// How many (node, size) pairs were compared, each once however often it was executed.
    pub points: usize,
    /// Where two counts differed.
    pub mismatches: Vec<Mismatch>,
}

/// One number that is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The node.
    pub path: String,
    /// The operation.
    pub op: &'static str,
    /// What was counted or computed: class and part, bytes, a value.
    pub what: String,
    /// Where.
    pub binding: Binding,
    /// What it should be, by the formula or the definition.
    pub derived: String,
    /// Who found otherwise.
    pub interpreter: &'static str,
    /// What was found.
    pub measured: String,
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Mismatch { path, op, what, binding, derived, interpreter, measured } = self;
        write!(
            f,
            "{path} ({op}) at {binding}: {what} derived {derived}, {interpreter} gave {measured}"
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

    /// Adds a comparison of the same graph at the same size, which is no further point.
    pub fn again(&mut self, other: Theorem) {
        self.nodes = self.nodes.max(other.nodes);
        self.points = self.points.max(other.points);
        self.mismatches.extend(other.mismatches);
    }
}

/// The derived cost of every node of a graph, worked out once to be held against many runs.
#[derive(Clone, Debug)]
pub struct Formulas {
    nodes: Vec<Formula>,
}

#[derive(Clone, Debug)]
struct Formula {
    /// The position of the node.
    at: usize,
    path: String,
    op: &'static str,
    cost: Cost,
    /// How often it runs.
    runs: Poly,
    /// Bytes read and written.
    bytes: (Poly, Poly),
    /// Whether the bytes read are the most that can be, since the data decides.
    at_most: bool,
}

impl Formulas {
    /// The formulas of a graph.
    pub fn new(graph: &Graph) -> Self {
        let executed = graph.nodes().iter().enumerate().filter(|(_, node)| is_executed(node));
        let formula = |(at, node): (usize, &Node)| Formula {
            at,
            path: node.path.clone(),
            op: node.op.name(),
            cost: graph.node_cost(node),
            runs: graph.multiplicity(node),
            bytes: graph.node_bytes(node),
            at_most: matches!(node.op, Op::Experts(_)),
        };
        Formulas { nodes: executed.map(formula).collect() }
    }

    /// Holds the ledger of one run of the graph against its derived cost; `interpreter` says who
    /// counted. A node that was executed with others, or in the buffer of an operand, may have moved
    /// fewer bytes than it moves by itself; of experts, those that were met are read.
    ///
    /// # Errors
    /// When a cost cannot be evaluated at the run's binding.
    pub fn compare(
        &self,
        binding: &Binding,
        ledger: &Ledger,
        interpreter: &'static str,
    ) -> Result<Theorem, RunError> {
        let mut theorem = Theorem::default();
        for Formula { at, path, op, cost, runs, bytes: (read, written), at_most } in &self.nodes {
            let counts = ledger.row(*at).counts();
            theorem.nodes += 1;
            theorem.points += 1;
            let mut check = |what: String, derived: &Integer, measured: &Integer, fits: bool| {
                if !fits {
                    theorem.mismatches.push(Mismatch {
                        path: path.clone(),
                        op,
                        what,
                        binding: binding.clone(),
                        derived: derived.to_string(),
                        interpreter,
                        measured: measured.to_string(),
                    });
                }
            };
            let parts: Vec<Part> = counts.useful.parts().collect();
            for part in parts {
                let derived = cost.part(part).at(binding).map_err(BindingError::from)?;
                let useful = counts.useful.part(part).widen();
                let executed = counts.executed.part(part).widen();
                let substituted = counts.substituted(part).widen();
                for class in Class::ALL {
                    let what = |kind: &str| format!("{kind} {class} of {}", part.name());
                    let (d, u) = (&derived[class], &useful[class]);
                    let (e, s) = (&executed[class], &substituted[class]);
                    check(what("useful"), d, u, d == u);
                    check(what("in another form"), u, s, s <= u);
                    check(what("executed or in another form"), u, &(e + s), e + s >= *u);
                    let foreseen = part != Part::Unforeseen || *e == Integer::ZERO;
                    check(what("executed"), u, e, foreseen);
                }
            }
            let mut exactly = |what: &str, derived: &Poly, measured: u64, or_fewer: bool| {
                let derived = derived.at(binding).map_err(BindingError::from)?;
                let measured = Integer::from(measured);
                let fits = measured == derived || or_fewer && measured < derived;
                check(what.to_owned(), &derived, &measured, fits);
                Ok::<(), BindingError>(())
            };
            exactly("runs", runs, counts.runs, false)?;
            exactly("bytes read", read, counts.bytes_read, counts.fused || *at_most)?;
            exactly("bytes written", written, counts.bytes_written, counts.fused)?;
        }
        Ok(theorem)
    }
}

/// Holds the ledger of one run against the derived cost of its graph, as [`Formulas::compare`].
///
/// # Errors
/// When a cost cannot be evaluated at the run's binding.
pub fn compare(
    graph: &Graph,
    binding: &Binding,
    ledger: &Ledger,
    interpreter: &'static str,
) -> Result<Theorem, RunError> {
    Formulas::new(graph).compare(binding, ledger, interpreter)
}

#[cfg(test)]
mod tests {
    use opledger_dims::Counts;
    use opledger_ir::ops::Activation;
    use opledger_kernels::{Meter, NoMeter, Substitution, Tally};

    use super::*;
    use crate::{Fast, Feeds};

    /// What of a relu over four elements does not agree when this is recorded of it.
    fn mismatches(part: Part, useful: u64, executed: u64, substituted: u64) -> Vec<String> {
        let mut g = Graph::new();
        let x = g.input("x", ["n"]).unwrap();
        let y = g.activation(x, Activation::Relu).unwrap();
        g.output("y", y);
        let sizes = Binding::from_iter([("n", 4)]);
        let run = Fast::<NoMeter>::uncounted().unwrap().run(&g, &sizes, &Feeds::seeded(1)).unwrap();
        let mut tally = Tally {
            useful: Counts::zero().with(Class::Max, useful),
            executed: Counts::zero().with(Class::Max, executed),
            ..Tally::default()
        };
        tally.substituted(Substitution::ClearedSign, substituted as usize);
        run.ledger.row(y.index()).meter(part).record(&tally);
        let theorem = compare(&g, &run.binding, &run.ledger, "the test").unwrap();
        theorem.mismatches.into_iter().map(|mismatch| mismatch.what).collect()
    }

    #[test]
    fn useful_is_derived_and_what_was_not_executed_was_done_in_another_form() {
        let none: [&str; 0] = [];
        assert_eq!(mismatches(Part::Pointwise, 4, 4, 0), none);
        assert_eq!(mismatches(Part::Pointwise, 4, 9, 0), none);
        assert_eq!(mismatches(Part::Pointwise, 4, 1, 3), none);
        assert_eq!(mismatches(Part::Pointwise, 5, 5, 0), ["useful max of pointwise"]);
        let less = "executed or in another form max of pointwise";
        assert_eq!(mismatches(Part::Pointwise, 4, 3, 0), [less]);
        assert_eq!(mismatches(Part::Pointwise, 4, 1, 2), [less]);
        assert_eq!(mismatches(Part::Pointwise, 4, 4, 5), ["in another form max of pointwise"]);
        let unforeseen = ["useful max of pointwise", "executed max of unforeseen"];
        assert_eq!(mismatches(Part::Scale, 0, 1, 0), unforeseen);
    }
}
