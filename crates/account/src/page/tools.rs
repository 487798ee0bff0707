//! What each tool would print for a published model, as polynomials in the sizes that a user gives.

use std::collections::BTreeMap;

use opledger_conventions::{Convention, Counting, conventions};
use opledger_dims::{Binding, Integer, Poly, Symbol};
use opledger_ir::SizeRole;
use opledger_report::PageToolCount;

use super::texts::SharedTexts;
use crate::{AccountError, Model};

/// The tools that have rules for a forward pass. What the ledger itself counts has its own formulas.
pub(super) fn tools() -> Result<Vec<Convention>, AccountError> {
    let mut own = conventions()?;
    own.retain(|one| !one.backward && matches!(one.counting, Counting::Rules { .. }));
    Ok(own)
}

/// The first size that is put in for a symbol, and how far the next is, where there are positions for four
/// times as much; where windows of convolutions do not fit in it, as in samples of a sound, the second.
const FIRST: [u64; 2] = [32, 4096];
/// How far the sizes go at which a polynomial is held against the count, where positions do not end before:
/// further than windows and chunks of published models.
const FARTHEST: u64 = 1 << 20;

/// A symbol, the degree that counts may have in it, and the sizes they are counted at.
struct Along {
    symbol: Symbol,
    degree: u64,
    first: u64,
    /// Steps beyond those that a polynomial is led through.
    beyond: [u64; 2],
}

impl Along {
    fn new(symbol: &Symbol, (degree, first): (u64, u64), most: u64) -> Along {
        let beyond = [degree + 1, (most / first).saturating_sub(1)];
        Along { symbol: symbol.clone(), degree, first, beyond }
    }

    fn at(&self, step: u64) -> u64 {
        self.first * (step + 1)
    }
}

/// What each of `tools` prints for a model at its own sizes, or why it prints nothing.
pub(super) fn counts(
    model: &Model,
    free: &[Symbol],
    tools: &[Convention],
    texts: &mut SharedTexts,
) -> Vec<PageToolCount> {
    let graph = model.graph();
    let items = [SizeRole::Batch, SizeRole::Images].map(|role| graph.size_of(role));
    let limit = model.recorded().positions.as_ref().filter(|limit| !limit.computed);
    let most = limit.map_or(FARTHEST, |limit| limit.tokens);
    let along = |first: u64| -> Vec<Along> {
        let degree_and_first = |symbol| match items.contains(&Some(symbol)) {
            // Items are computed one like the other.
            true => (1, 1),
            false => (2, first.min(most / 4).max(1)),
        };
        free.iter().map(|symbol| Along::new(symbol, degree_and_first(symbol), most)).collect()
    };
    let all = |sizes: &Binding| -> Result<Totals, AccountError> {
        model.counted_at(sizes)?.convention_counter(None, &[])?.totals(tools)
    };
    let counted = |along: &[Along]| -> Result<BTreeMap<Vec<u64>, Totals>, AccountError> {
        grid(along).map(|steps| Ok((steps.clone(), all(&sizes(along, &steps))?))).collect()
    };
    let at = |first: u64| -> Result<_, AccountError> {
        let along = along(first);
        let counted = counted(&along)?;
        Ok((along, counted))
    };
    let (along, counted) = match at(FIRST[0]).or_else(|_| at(FIRST[1])) {
        Ok(found) => found,
        Err(problem) => {
            let why = problem.to_string();
            return tools.iter().map(|_| PageToolCount::Nothing(why.clone())).collect();
        }
    };
    (0..tools.len()).map(|tool| count(tool, &along, &counted, texts)).collect()
}

/// What each tool prints at some sizes, or why it prints nothing.
type Totals = Vec<Result<Integer, String>>;

fn sizes(along: &[Along], steps: &[u64]) -> Binding {
    along.iter().zip(steps).map(|(own, step)| (own.symbol.clone(), own.at(*step))).collect()
}

/// The steps along each symbol that a polynomial needs, and those beyond.
fn grid(along: &[Along]) -> impl Iterator<Item = Vec<u64>> {
    let mut all = vec![Vec::new()];
    for own in along {
        let longer = |steps: &Vec<u64>| {
            let steps = steps.clone();
            (0..=own.degree).map(move |step| [&steps[..], &[step]].concat()).collect::<Vec<_>>()
        };
        all = all.iter().flat_map(longer).collect();
    }
    all.into_iter().chain(beyond(along))
}

fn beyond(along: &[Along]) -> impl Iterator<Item = Vec<u64>> {
    [0, 1].into_iter().map(|which| along.iter().map(|own| own.beyond[which]).collect())
}

fn count(
    tool: usize,
    along: &[Along],
    counted: &BTreeMap<Vec<u64>, Totals>,
    texts: &mut SharedTexts,
) -> PageToolCount {
    let mut totals = BTreeMap::new();
    for (steps, all) in counted {
        match all.get(tool) {
            Some(Ok(total)) => drop(totals.insert(steps.clone(), total.clone())),
            Some(Err(why)) => return PageToolCount::Nothing(why.clone()),
            None => return PageToolCount::Nothing("not counted".to_owned()),
        }
    }
    let formula = through(along, &mut Vec::new(), &totals);
    let holds =
        |steps: Vec<u64>| formula.at(&sizes(along, &steps)).ok().as_ref() == totals.get(&steps);
    match beyond(along).all(holds) {
        true => PageToolCount::Formula(texts.formula(&formula)),
        false => PageToolCount::Nothing(
            "no polynomial in these sizes; the command counts it at any".to_owned(),
        ),
    }
}

/// The polynomial through counts on a grid, by forward differences (Newton), one symbol after the other.
fn through(along: &[Along], steps: &mut Vec<u64>, totals: &BTreeMap<Vec<u64>, Integer>) -> Poly {
    let Some(own) = along.get(steps.len()) else {
        return totals.get(steps).map_or_else(Poly::zero, |total| Poly::from(total.clone()));
    };
    let mut differences: Vec<Poly> = (0..=own.degree)
        .map(|step| {
            steps.push(step);
            let value = through(along, steps, totals);
            steps.pop();
            value
        })
        .collect();
    let (mut all, mut factor) = (Poly::zero(), Poly::one());
    for order in 0..=own.degree {
        all += &differences[0] * &factor;
        let place = Poly::symbol(own.symbol.clone()) - Poly::from(own.at(order) as i64);
        factor = (&factor * &place).ratio(1, (own.first * (order + 1)) as i64);
        differences = differences.windows(2).map(|pair| &pair[1] - &pair[0]).collect();
        if differences.is_empty() {
            break;
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_polynomial_is_found_again() {
        let symbols = [("b", 1, 1), ("n", 2, 32), ("m", 2, 32)];
        let along = symbols
            .map(|(symbol, degree, first)| Along::new(&symbol.into(), (degree, first), FARTHEST));
        for text in ["3·b·n² + 1/2·b·n·m² - 7·m + 4", "b", "0", "12345678901234567890·b·n²·m²"]
        {
            let poly: Poly = text.parse().unwrap();
            let at = |steps: &[u64]| poly.at(&sizes(&along, steps)).unwrap();
            let totals = grid(&along).map(|steps| (steps.clone(), at(&steps))).collect();
            assert_eq!(through(&along, &mut Vec::new(), &totals), poly);
        }
    }
}
