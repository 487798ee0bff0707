//! Counts at every point of a grid of sizes.

use opledger_dims::{Binding, Integer, Symbol};
use opledger_ir::{Definition, Graph, Total};
use opledger_report::{CONVENTIONS, Grid, GridPoint, RunTotals};

use crate::{AccountError, Model};

/// A symbol and the sizes it takes one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sweep {
    /// The symbol.
    pub symbol: Symbol,
    /// Its sizes.
    pub sizes: Vec<Integer>,
}

/// The most points of a grid; each takes about a kilobyte.
pub const MOST_POINTS: u32 = 1 << 20;

impl Model {
    /// Counts at every point of a grid: symbols with one size have it everywhere, the last symbol with
    /// several turns fastest.
    ///
    /// # Errors
    /// When a symbol is given twice, the grid has over [`MOST_POINTS`] points, or as [`Model::at`] at some
    /// point of it.
    pub fn grid(&self, sweeps: &[Sweep]) -> Result<Grid, AccountError> {
        let twice =
            |sweep: &&Sweep| sweeps.iter().filter(|other| other.symbol == sweep.symbol).count() > 1;
        if let Some(Sweep { symbol, .. }) = sweeps.iter().find(twice) {
            return Err(AccountError::Twice { symbol: symbol.clone() });
        }
        let corner = |size: fn(&Sweep) -> Option<&Integer>| -> Binding {
            let sizes = sweeps.iter().filter_map(|sweep| Some((&sweep.symbol, size(sweep)?)));
            sizes.map(|(symbol, size)| (symbol, size.clone())).collect()
        };
        let number: Integer = sweeps.iter().map(|sweep| Integer::from(sweep.sizes.len())).product();
        if number > MOST_POINTS.into() {
            return Err(AccountError::Grid { points: number, most: MOST_POINTS });
        }
        let smallest = self.counted_at(&corner(|sweep| sweep.sizes.iter().min()))?;
        self.counted_at(&corner(|sweep| sweep.sizes.iter().max()))?;

        let swept: Vec<&Sweep> = sweeps.iter().filter(|sweep| sweep.sizes.len() > 1).collect();
        let free: Vec<Symbol> = swept.iter().map(|sweep| sweep.symbol.clone()).collect();
        let graph = self.graph();
        // What bounds these is broken by the greatest first; others may have to divide each other.
        let counts = graph.sizes_by_role();
        let bounded = free.iter().all(|symbol| counts.values().any(|own| own == symbol));
        let binding = without(smallest.sizes(), graph, &free.iter().collect::<Vec<_>>());
        let totals = graph.totals(&binding, &free)?;
        let mut points = Vec::new();
        for at in positions(&swept.iter().map(|sweep| sweep.sizes.len()).collect::<Vec<_>>()) {
            let shown: Vec<&Integer> =
                at.iter().zip(&swept).map(|(at, sweep)| &sweep.sizes[*at]).collect();
            let sizes = free.iter().zip(&shown).map(|(symbol, size)| machine(symbol, size));
            let total = totals.at(&sizes.collect::<Result<Vec<_>, _>>()?)?;
            if !bounded {
                let sizes = free.iter().zip(&shown);
                let point = sizes.fold(binding.clone(), |point, (symbol, size)| {
                    point.with(symbol, (*size).clone())
                });
                graph.check(&graph.complete(&point)?)?;
            }
            let sizes = shown.into_iter().cloned().collect();
            points.push(GridPoint { sizes, total: summed(total) });
        }
        Ok(Grid {
            model: self.name().to_owned(),
            binding,
            symbols: free.iter().map(ToString::to_string).collect(),
            points,
            conventions: CONVENTIONS.to_vec(),
        })
    }
}

/// All positions in a grid of these lengths, the last turning fastest.
fn positions(lengths: &[usize]) -> impl Iterator<Item = Vec<usize>> {
    let first = lengths.iter().all(|length| *length > 0).then(|| vec![0; lengths.len()]);
    std::iter::successors(first, |at| {
        let turn = (0..lengths.len()).rev().find(|i| at[*i] + 1 < lengths[*i])?;
        let mut next = at.clone();
        next[turn] += 1;
        next[turn + 1..].fill(0);
        Some(next)
    })
}

/// A size in the range in which many sizes are counted.
pub(crate) fn machine(symbol: &Symbol, size: &Integer) -> Result<i128, AccountError> {
    let large = |_| AccountError::Large { symbol: symbol.clone(), size: size.clone() };
    i128::try_from(size).map_err(large)
}

pub(crate) fn summed(total: Total) -> RunTotals {
    RunTotals {
        flops: total.flops(),
        counts: total.counts,
        macs: total.macs,
        bytes_read: total.read,
        bytes_written: total.written,
    }
}

/// The sizes that were given or belong to the model, without some symbols and what follows from them.
pub(crate) fn without(binding: &Binding, graph: &Graph, symbols: &[&Symbol]) -> Binding {
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
