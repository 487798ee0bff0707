//! The bench on which claims are tried: what is derived, and executions over grids of sizes that
//! identify a polynomial.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::rc::Rc;

use opledger_dims::{Binding, Integer, Poly, Quantity, Symbol};
use opledger_interp::{
    Fast, Feeds, Formulas, Interpreter, Mismatch, Oracle, Prepared, Quiet, RunError, Theorem,
};
use opledger_ir::{BindingError, Graph, Selection};

use crate::VerifyError;
use crate::degree::{self, Degrees};
use crate::experiment::{MovedOutput, OwnExperiment};
use crate::reading::{Point, counted, fed};

/// The seed of all data.
const SEED: u64 = 20_170_612;

/// What `--quick` leaves out: own sizes above this many scalar operations.
const QUICK_LIMIT: u64 = 2_000_000_000;

/// What a claim is told of a graph: as it was derived, and as it was counted. Tests put a lie in
/// between.
#[derive(Clone, Copy)]
pub(crate) struct Witness {
    pub(crate) derived: fn(Poly) -> Poly,
    pub(crate) counted: fn(Integer) -> Integer,
}

impl Witness {
    /// Who tells what there is.
    pub(crate) const HONEST: Witness = Witness { derived: |poly| poly, counted: |count| count };
}

/// Where claims are tried; gathers the theorem over everything that is executed.
pub(crate) struct Trials<'a> {
    pub(crate) quick: bool,
    pub(crate) progress: &'a mut dyn FnMut(&str),
    /// Other tokens for experiments with their orders.
    pub(crate) own: OwnExperiment,
    /// How far outputs moved in these.
    pub(crate) moved: Vec<MovedOutput>,
    witness: Witness,
    /// By the text of a graph, what was executed of it.
    tried: HashMap<String, Tried>,
    mismatches: Vec<Mismatch>,
}

/// What was executed of one graph.
#[derive(Default)]
struct Tried {
    nodes: usize,
    /// Distinct complete sizes.
    sizes: Vec<Binding>,
    grid: Option<Rc<ExecutedGrid>>,
    /// Grids for parameters, by the sizes that were fixed.
    parameters: Vec<(Binding, Rc<ExecutedGrid>)>,
}

/// A graph executed at every point of a grid.
pub(crate) struct ExecutedGrid {
    fixed: Binding,
    points: Vec<Point>,
    /// The bound on the degree of what is counted in each free symbol.
    degrees: Degrees,
    witness: Witness,
}

/// Sizes given to symbols.
pub(crate) fn binding(pairs: &[(&str, i64)]) -> Binding {
    Binding::from_iter(pairs.iter().map(|(s, v)| (*s, *v)))
}

impl<'a> Trials<'a> {
    pub(crate) fn new(quick: bool, witness: Witness, progress: &'a mut dyn FnMut(&str)) -> Self {
        let (tried, mismatches) = (HashMap::new(), Vec::new());
        let (own, moved) = (OwnExperiment::default(), Vec::new());
        Trials { quick, progress, own, moved, witness, tried, mismatches }
    }

    /// The theorem over all that was executed: each node once, however often, each (node, size) once.
    pub(crate) fn theorem(&self) -> Theorem {
        let tried = self.tried.values();
        Theorem {
            nodes: tried.clone().map(|t| t.nodes).sum(),
            points: tried.map(|t| t.nodes * t.sizes.len()).sum(),
            mismatches: self.mismatches.clone(),
        }
    }

    /// What is derived from a graph.
    pub(crate) fn derived(&self, graph: &Graph, of: Quantity, within: &Selection<'_>) -> Poly {
        (self.witness.derived)(graph.quantity_of(of, within))
    }

    /// What one run counted.
    pub(crate) fn counted(
        &self,
        graph: &Graph,
        point: &Point,
        within: &Selection<'_>,
        of: Quantity,
    ) -> Integer {
        (self.witness.counted)(counted(graph, point, within, of))
    }

    /// Executes `graph` by both interpreters on a grid of one size more than the degree of its counts
    /// can be in each symbol. Two polynomials of those degrees that agree on such a grid are equal,
    /// since a non-zero polynomial of degree k in one variable has at most k roots; symbol by symbol.
    /// One size beyond the grid in each symbol puts the bound itself to the test.
    pub(crate) fn grid(&mut self, graph: &Graph) -> Result<Rc<ExecutedGrid>, VerifyError> {
        let (fixed, text) = (Binding::new(), graph.to_string());
        if let Some(grid) = self.tried.get(&text).and_then(|tried| tried.grid.as_ref()) {
            return Ok(grid.clone());
        }
        let degrees = degree::of_operations(graph, &fixed);
        let mut points = Vec::new();
        for sizes in sizes(&fixed, &degrees, &[])? {
            let prepared = Prepared::new(graph, &sizes, &Feeds::seeded(SEED))?;
            points.push(self.execute(&prepared, &mut Oracle::<f32>::new(), "the oracle")?);
            self.execute(&prepared, &mut Fast::new()?, "the kernels")?;
        }
        let grid = Rc::new(ExecutedGrid { fixed, points, degrees, witness: self.witness });
        self.tried.entry(text).or_default().grid = Some(grid.clone());
        Ok(grid)
    }

    /// Executes `graph` by the kernels on a grid of one size more than the degree of its parameters can
    /// be in each symbol, and one beyond. Other symbols are 1; of a pair of `multiples`, the first
    /// takes multiples of the second, a formula.
    pub(crate) fn parameter_grid(
        &mut self,
        graph: &Graph,
        multiples: &[(&str, &str)],
    ) -> Result<Rc<ExecutedGrid>, VerifyError> {
        let text = graph.to_string();
        let bound = degree::of_parameters(graph, &Binding::new());
        let free = degree::of_operations(graph, &Binding::new());
        let others = free.iter().filter(|(s, _)| !bound.iter().any(|(b, _)| b == s));
        let fixed = Binding::from_iter(others.map(|(s, _)| (s.clone(), 1)));
        let known =
            self.tried.get(&text).and_then(|t| t.parameters.iter().find(|(f, _)| *f == fixed));
        if let Some((_, grid)) = known {
            return Ok(grid.clone());
        }
        let mut points = Vec::new();
        for sizes in sizes(&fixed, &bound, multiples)? {
            let prepared = Prepared::new(graph, &sizes, &Feeds::seeded(SEED))?;
            points.push(self.execute(&prepared, &mut Fast::new()?, "the kernels")?);
        }
        let grid =
            ExecutedGrid { fixed: fixed.clone(), points, degrees: bound, witness: self.witness };
        let grid = Rc::new(grid);
        self.tried.entry(text).or_default().parameters.push((fixed, grid.clone()));
        Ok(grid)
    }

    /// Executes `graph` by the kernels at one binding; `None` when it is too long for a quick look.
    pub(crate) fn own_size(
        &mut self,
        graph: &Graph,
        at: &[(&str, i64)],
    ) -> Result<Option<Point>, VerifyError> {
        let at = binding(at);
        let counts = graph.counts_at(&at).map_err(RunError::from)?;
        if self.quick && counts.total() > QUICK_LIMIT.into() {
            return Ok(None);
        }
        let prepared = Prepared::new(graph, &at, &Feeds::seeded(SEED))?;
        self.execute(&prepared, &mut Fast::new()?, "the kernels").map(Some)
    }

    /// One run, held against the derived cost.
    fn execute<I: Interpreter>(
        &mut self,
        prepared: &Prepared,
        interpreter: &mut I,
        name: &'static str,
    ) -> Result<Point, VerifyError> {
        let graph = prepared.graph();
        let run = prepared.run(interpreter, &mut Quiet)?;
        let theorem = Formulas::new(graph).compare(&run.binding, &run.ledger, name)?;
        self.mismatches.extend(theorem.mismatches);
        let tried = self.tried.entry(graph.to_string()).or_default();
        tried.nodes = theorem.nodes;
        if !tried.sizes.contains(&run.binding) {
            tried.sizes.push(run.binding.clone());
        }
        let fed = fed(graph, prepared.tensors(), &run.ledger);
        Ok(Point { at: run.binding, ledger: run.ledger, fed })
    }
}

/// The points of a grid: in each symbol one size more than its degree, and for each symbol one point
/// with a size beyond.
fn sizes(
    fixed: &Binding,
    degrees: &[(Symbol, u32)],
    multiples: &[(&str, &str)],
) -> Result<Vec<Binding>, VerifyError> {
    let of = |symbol: &Symbol| multiples.iter().find(|(whole, _)| *whole == symbol.as_str());
    let mut ordered = Vec::new();
    for (symbol, degree) in degrees {
        let unit = of(symbol).map_or(Ok(Poly::one()), |(_, unit)| unit.parse::<Poly>())?;
        ordered.push((symbol, *degree, unit));
    }
    // What others are multiples of comes before them.
    ordered.sort_by_key(|(.., unit)| unit.as_integer().is_none());
    let spread = |sizes: &dyn Fn(&Symbol, u32) -> RangeInclusive<u32>| {
        let mut points = vec![fixed.clone()];
        for (symbol, degree, unit) in &ordered {
            let mut longer = Vec::new();
            for point in points {
                let unit = unit.at(&point)?;
                let sizes = sizes(symbol, *degree).map(|size| &unit * size);
                longer.extend(sizes.map(|size| point.clone().with(*symbol, size)));
            }
            points = longer;
        }
        Ok::<_, VerifyError>(points)
    };
    let mut points = spread(&|_, degree| 1..=degree + 1)?;
    for (beyond, _) in degrees {
        let largest = |symbol: &Symbol, degree| degree + 1 + u32::from(symbol == beyond);
        points.extend(spread(&|symbol, degree| {
            let size = largest(symbol, degree);
            size..=size
        })?);
    }
    Ok(points)
}

impl ExecutedGrid {
    /// How many sizes were executed.
    pub(crate) fn len(&self) -> usize {
        self.points.len()
    }

    /// Whether a formula is within the degrees for which the grid is large enough, and is at every
    /// point what was counted there.
    pub(crate) fn agrees(
        &self,
        graph: &Graph,
        scope: Selection,
        reading: Quantity,
        formula: &Poly,
    ) -> bool {
        let told = |point: &Point| (self.witness.counted)(counted(graph, point, &scope, reading));
        let fits = |point: &Point| formula.at(&point.at).is_ok_and(|value| value == told(point));
        degree::within(graph, &self.fixed, formula, &self.degrees) && self.points.iter().all(fits)
    }

    /// The grid in words, with its degree bound.
    pub(crate) fn describe(&self) -> String {
        let bounds: Vec<String> = self.degrees.iter().map(|(s, d)| format!("{s} ≤ {d}")).collect();
        match bounds.is_empty() {
            true => format!("{} executed size", self.len()),
            false => format!(
                "{} executed sizes, degree {}, one beyond each",
                self.len(),
                bounds.join(", ")
            ),
        }
    }
}

/// The value of a formula of a graph at a binding of its free symbols.
pub(crate) fn at(
    graph: &Graph,
    formula: &Poly,
    pairs: &[(&str, i64)],
) -> Result<Integer, VerifyError> {
    let complete = graph.complete(&binding(pairs)).map_err(RunError::from)?;
    Ok(formula.at(&complete).map_err(BindingError::from).map_err(RunError::from)?)
}
