//! Counts at every point of a grid of sizes.

use opledger_dims::{Binding, Integer, Symbol};
use opledger_ir::{Definition, Elem, Graph, Total, Totals};
use opledger_report::{CONVENTIONS, Grid, GridPoint, RunTotals};

use crate::{AccountError, CacheSize, Model, SizeList};

/// A symbol and the sizes it takes one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sweep {
    /// The symbol.
    pub symbol: Symbol,
    /// Its sizes.
    pub sizes: SizeList,
}

/// The most points of a grid.
pub const MOST_POINTS: u32 = 1 << 20;

/// A model at many sizes. Points are counted when they are asked for, and none is kept.
pub struct SizedGrid<'m> {
    record: Grid,
    graph: &'m Graph,
    totals: Totals,
    /// The sizes of each symbol that has several.
    sizes: Vec<&'m SizeList>,
    free: Vec<Symbol>,
    /// Whether sizes can only be refused at the greatest.
    bounded: bool,
    /// The cache, and the type of its elements.
    cache: Option<(CacheSize, Elem)>,
}

impl Model {
    /// A grid of sizes: symbols with one size have it everywhere, the last symbol with several turns
    /// fastest.
    ///
    /// # Errors
    /// When a symbol is given twice, the grid has over [`MOST_POINTS`] points, or as [`Model::at`] at some
    /// point of it.
    pub fn grid<'m>(&'m self, sweeps: &'m [Sweep]) -> Result<SizedGrid<'m>, AccountError> {
        self.grid_as(sweeps, self.storage())
    }

    /// The same with caches of elements of a type.
    ///
    /// # Errors
    /// As [`Model::grid`].
    pub fn grid_as<'m>(
        &'m self,
        sweeps: &'m [Sweep],
        elem: Elem,
    ) -> Result<SizedGrid<'m>, AccountError> {
        let twice =
            |sweep: &&Sweep| sweeps.iter().filter(|other| other.symbol == sweep.symbol).count() > 1;
        if let Some(Sweep { symbol, .. }) = sweeps.iter().find(twice) {
            return Err(AccountError::Twice { symbol: symbol.clone() });
        }
        let corner = |size: fn(&SizeList) -> Option<Integer>| -> Binding {
            sweeps.iter().filter_map(|sweep| Some((&sweep.symbol, size(&sweep.sizes)?))).collect()
        };
        let number: Integer = sweeps.iter().map(|sweep| Integer::from(sweep.sizes.len())).product();
        if number > MOST_POINTS.into() {
            return Err(AccountError::Grid { points: number, most: MOST_POINTS });
        }
        let smallest = self.counted_at(&corner(SizeList::min))?;
        self.counted_at(&corner(SizeList::max))?;

        let swept: Vec<&Sweep> = sweeps.iter().filter(|sweep| sweep.sizes.len() > 1).collect();
        for (symbol, size) in swept.iter().filter_map(|s| Some((&s.symbol, s.sizes.max()?))) {
            machine(symbol, &size)?;
        }
        let free: Vec<Symbol> = swept.iter().map(|sweep| sweep.symbol.clone()).collect();
        let graph = self.graph();
        // What bounds these is broken by the greatest first; others may have to divide each other.
        let counts = graph.sizes_by_role();
        let bounded = free.iter().all(|symbol| counts.values().any(|own| own == symbol));
        let binding = without(smallest.sizes(), graph, &free.iter().collect::<Vec<_>>());
        let totals = graph.totals(&binding, &free)?;
        let cache = smallest.cache()?.map(|cache| (cache, elem));
        let record = Grid {
            model: self.name().to_owned(),
            binding,
            symbols: free.iter().map(ToString::to_string).collect(),
            cached_as: cache.as_ref().map(|_| elem.name()),
            conventions: CONVENTIONS.to_vec(),
        };
        let sizes = swept.into_iter().map(|sweep| &sweep.sizes).collect();
        let grid = SizedGrid { record, graph, totals, sizes, free, bounded, cache };
        if !bounded {
            // Nothing is written of a grid that has a point without counts.
            grid.points().try_for_each(|point| point.map(drop))?;
        }
        Ok(grid)
    }
}

impl SizedGrid<'_> {
    /// What its points share, and how they are written.
    pub fn record(&self) -> &Grid {
        &self.record
    }

    /// Counts point after point.
    pub fn points(&self) -> impl Iterator<Item = Result<GridPoint, AccountError>> {
        let lengths: Vec<usize> = self.sizes.iter().map(|own| own.len()).collect();
        positions(&lengths).map(|at| self.point(&at))
    }

    fn point(&self, at: &[usize]) -> Result<GridPoint, AccountError> {
        let shown = at.iter().zip(&self.sizes).filter_map(|(at, own)| own.at(*at));
        let shown: Vec<Integer> = shown.collect();
        let sizes = self.free.iter().zip(&shown).map(|(symbol, size)| machine(symbol, size));
        let total = self.totals.at(&sizes.collect::<Result<Vec<_>, _>>()?)?;
        let point = || {
            let sizes = self.free.iter().zip(&shown);
            let point = sizes.fold(self.record.binding.clone(), |point, (symbol, size)| {
                point.with(symbol, size.clone())
            });
            self.graph.complete(&point)
        };
        if !self.bounded {
            self.graph.check(&point()?)?;
        }
        let cache = match &self.cache {
            Some((cache, elem)) => Some(cache.at_sizes(self.graph, &point()?)?.bytes_held(*elem)),
            None => None,
        };
        Ok(GridPoint { sizes: shown, total: summed(total), cache })
    }
}

/// All positions in a grid of these lengths, the last turning fastest.
fn positions(lengths: &[usize]) -> impl Iterator<Item = Vec<usize>> + use<> {
    let first = lengths.iter().all(|length| *length > 0).then(|| vec![0; lengths.len()]);
    let lengths = lengths.to_vec();
    std::iter::successors(first, move |at| {
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
