//! The bench on which claims are tried: executions over grids of sizes that identify a polynomial.

use opledger_dims::{Binding, Integer, Poly, Quantity, Symbol};
use opledger_interp::{Fast, Feeds, Ledger, Tensors, Theorem, compare, prove};
use opledger_ir::{Definition, Graph, Selection};

use crate::VerifyError;
use crate::reading::{counted, stored};

/// The seed of all data.
const SEED: u64 = 20_170_612;

/// What `--quick` leaves out: own sizes above this many scalar operations.
const QUICK_LIMIT: u64 = 2_000_000_000;

/// Where claims are tried; gathers the theorem over everything that is executed.
pub(crate) struct Trials<'a> {
    pub(crate) quick: bool,
    pub(crate) progress: &'a mut dyn FnMut(&str),
    pub(crate) theorem: Theorem,
}

/// A graph executed by the oracle at every point of a grid.
pub(crate) struct ExecutedGrid {
    points: Vec<(Binding, Ledger)>,
    /// The highest power of each free symbol in any count of the graph.
    degrees: Vec<(Symbol, u32)>,
}

/// A graph executed by the kernels at one binding.
pub(crate) struct OwnSize {
    pub(crate) ledger: Ledger,
}

/// Sizes given to symbols.
pub(crate) fn binding(pairs: &[(&str, i64)]) -> Binding {
    Binding::from_iter(pairs.iter().map(|(s, v)| (*s, *v)))
}

impl Trials<'_> {
    /// Executes `graph` by both interpreters on a grid of one size more than the degree of its counts
    /// in each symbol. Two polynomials of those degrees that agree on such a grid are equal, since
    /// a non-zero polynomial of degree k in one variable has at most k roots; symbol by symbol.
    ///
    /// Symbols named in `fixed` keep their value; the sizes of the others start at 1.
    pub(crate) fn grid(
        &mut self,
        graph: &Graph,
        fixed: &[(&str, i64)],
    ) -> Result<ExecutedGrid, VerifyError> {
        let fixed = binding(fixed);
        let degrees = degrees(graph, &fixed);
        let mut points = vec![fixed];
        for (symbol, degree) in &degrees {
            let sizes = 1..=1 + i64::from(*degree);
            let with = |point: &Binding| {
                sizes.clone().map(|v| point.clone().with(symbol, v)).collect::<Vec<_>>()
            };
            points = points.iter().flat_map(with).collect();
        }
        let (mut executed, mut theorem) = (Vec::new(), Theorem::default());
        for point in points {
            let proof = prove(graph, &point, &Feeds::seeded(SEED))?;
            theorem.extend(proof.theorem);
            let at = graph.complete(&point).map_err(opledger_interp::RunError::from)?;
            executed.push((at, proof.oracle.ledger));
        }
        self.theorem.merge(theorem);
        Ok(ExecutedGrid { points: executed, degrees })
    }

    /// Executes `graph` by the kernels at one binding; `None` when it is too long for a quick look.
    pub(crate) fn own_size(
        &mut self,
        graph: &Graph,
        at: &[(&str, i64)],
    ) -> Result<Option<OwnSize>, VerifyError> {
        let at = binding(at);
        let counts = graph.counts_at(&at).map_err(opledger_interp::RunError::from)?;
        if self.quick && counts.total() > QUICK_LIMIT.into() {
            return Ok(None);
        }
        let fast = Fast::new()?.run(graph, &at, &Feeds::seeded(SEED))?;
        self.theorem.merge(compare(graph, &fast.binding, &fast.ledger, "the kernels")?);
        Ok(Some(OwnSize { ledger: fast.ledger }))
    }

    /// Holds a formula for parameters against the elements in memory, on a grid of one size more than
    /// its degree in each symbol; how many points there were, and whether all agreed.
    pub(crate) fn parameter_grid(
        &mut self,
        graph: &Graph,
        scope: Selection,
        reading: Quantity,
        formula: &Poly,
    ) -> Result<(usize, bool), VerifyError> {
        let mut points = vec![Binding::new()];
        for (symbol, degree) in degrees(graph, &Binding::new()) {
            let sizes = 1..=1 + i64::from(degree.min(3));
            let with = |point: &Binding| {
                sizes.clone().map(|v| point.clone().with(&symbol, v)).collect::<Vec<_>>()
            };
            points = points.iter().flat_map(with).collect();
        }
        let mut agree = true;
        for point in &points {
            let at = graph.complete(point).map_err(opledger_interp::RunError::from)?;
            let expected = formula.at(&at).map_err(opledger_ir::BindingError::from);
            let expected = expected.map_err(opledger_interp::RunError::from)?;
            let tensors = Tensors::new(graph, &at, &Feeds::seeded(SEED).zeros())?;
            agree &= stored(graph, &tensors, &scope, reading) == expected;
        }
        Ok((points.len(), agree))
    }

    /// The number of elements in memory of the parameters a scope names, at one binding.
    pub(crate) fn stored(
        &mut self,
        graph: &Graph,
        at: &[(&str, i64)],
        scope: Selection,
        reading: Quantity,
    ) -> Result<Integer, VerifyError> {
        let at = graph.complete(&binding(at)).map_err(opledger_interp::RunError::from)?;
        let tensors = Tensors::new(graph, &at, &Feeds::seeded(SEED).zeros())?;
        Ok(stored(graph, &tensors, &scope, reading))
    }
}

/// The degree of a graph's counts in each of its free symbols. Of `c = h·e`, h and e are free.
fn degrees(graph: &Graph, fixed: &Binding) -> Vec<(Symbol, u32)> {
    let unfold = |poly: &Poly| {
        graph.definitions().iter().fold(poly.bind(fixed), |poly, definition| match definition {
            Definition::Product { whole, factors: [a, b] } if fixed.get(whole).is_none() => {
                poly.substitute(whole, &(Poly::symbol(a) * Poly::symbol(b)))
            }
            _ => poly,
        })
    };
    let mut polys: Vec<Poly> = vec![unfold(&graph.parameters().0)];
    for node in graph.nodes() {
        let cost = graph.node_cost(node).total();
        polys.extend(cost.iter().map(|(_, p)| unfold(p)));
        polys.extend(node.shape.axes.iter().map(|a| unfold(&a.size)));
    }
    let follows = |s: &Symbol| {
        graph
            .definitions()
            .iter()
            .any(|d| !matches!(d, Definition::Product { .. }) && d.defines().contains(&s))
    };
    let symbols = polys.iter().flat_map(Poly::symbols).filter(|s| !follows(s));
    let symbols: std::collections::BTreeSet<Symbol> = symbols.collect();
    let degree = |s: Symbol| {
        let degree = polys.iter().map(|p| p.degree_in(&s)).max().unwrap_or(0);
        (s, degree)
    };
    symbols.into_iter().map(degree).collect()
}

impl ExecutedGrid {
    /// How many points were executed.
    pub(crate) fn len(&self) -> usize {
        self.points.len()
    }

    /// Whether what was counted at every point is what the polynomial says there.
    pub(crate) fn agrees(
        &self,
        graph: &Graph,
        scope: Selection,
        reading: Quantity,
        formula: &Poly,
    ) -> bool {
        self.points.iter().all(|(point, ledger)| {
            formula.at(point).is_ok_and(|value| value == counted(graph, ledger, &scope, reading))
        })
    }

    /// The grid in words, with its degree bound.
    pub(crate) fn describe(&self) -> String {
        let bounds: Vec<String> = self.degrees.iter().map(|(s, d)| format!("{s} ≤ {d}")).collect();
        format!("{} executed sizes, degree {}", self.len(), bounds.join(", "))
    }
}
