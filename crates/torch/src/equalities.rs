//! Sizes that were found to be others while a program was recorded.

use std::collections::BTreeMap;

use opledger_dims::{Poly, Symbol};
use opledger_ir::{Definition, Graph, SizeCondition, SizeRelation, SizeTerm};

use crate::atoms::floored;

/// Of how many quotients it may be found what they are, each in another reading of the program.
const MOST_QUOTIENTS: usize = 64;

/// How deep quotients are written out.
const MOST_LEVELS: usize = 8;

/// Sizes that are others.
#[derive(Clone, Debug, Default)]
pub(crate) struct Equalities {
    /// Symbols of the program that are another.
    pub(crate) symbols: BTreeMap<Symbol, Symbol>,
    /// Quotients, rounded up, of two sizes.
    quotients: Vec<(Poly, Poly, Poly)>,
    /// Each of these in sizes of the program.
    written: Vec<SizeTerm>,
}

impl Equalities {
    /// Adds what a symbol of the graph is that stands for a quotient; whether it is one, and nothing is known
    /// of it yet.
    pub(crate) fn quotient_is(&mut self, graph: &Graph, symbol: &Symbol, value: Poly) -> bool {
        let Some((numerator, denominator)) = quotient(graph, symbol) else { return false };
        let is_full = self.quotients.len() >= MOST_QUOTIENTS;
        if is_full
            || self.value(numerator, denominator).is_some()
            || value.symbols().contains(symbol)
        {
            return false;
        }
        self.written.push(written_quotient(graph, numerator, denominator, 0));
        self.quotients.push((numerator.clone(), denominator.clone(), value));
        true
    }

    fn value(&self, numerator: &Poly, denominator: &Poly) -> Option<&Poly> {
        let is = |(a, b, _): &&(Poly, Poly, Poly)| a == numerator && b == denominator;
        self.quotients.iter().find(is).map(|(_, _, value)| value)
    }

    /// A size divided by another and rounded down. By a number, what is a whole multiple of it stands apart, so
    /// that quotients which differ by a number have one symbol: ⌊(n − 1) / 2⌋ is ⌊(n + 1) / 2⌋ − 1.
    pub(crate) fn quotient(&self, graph: &mut Graph, a: &Poly, b: &Poly) -> Poly {
        let (apart, name) = (multiple_in(a, b), stem(graph, a, b));
        let whole = graph.floor_div(&name, &(a - &apart), b)
            + &apart.divided_by(b).unwrap_or_else(Poly::zero);
        let known = whole.symbols().into_iter().filter_map(|symbol| {
            let (numerator, denominator) = quotient(graph, &symbol)?;
            let value = self.value(numerator, denominator)?;
            Some((symbol, value.clone()))
        });
        whole.compose(&known.collect())
    }

    /// The same as conditions.
    pub(crate) fn conditions(&self) -> impl Iterator<Item = SizeCondition> + '_ {
        let symbols = self.symbols.iter().map(|(other, name)| {
            SizeCondition::new(Poly::symbol(other), SizeRelation::Equal, Poly::symbol(name))
        });
        let quotients = self.quotients.iter().zip(&self.written).map(|((_, _, value), written)| {
            SizeCondition::new(written.clone(), SizeRelation::Equal, value.clone())
        });
        symbols.chain(quotients)
    }
}

/// The multiple of a whole number that the constant of a size is above the rest of its division.
fn multiple_in(a: &Poly, b: &Poly) -> Poly {
    let by = b.as_integer().filter(|by| *by > 1.into());
    let none = a.symbols().into_iter().map(|symbol| (symbol, Poly::zero())).collect();
    let constant = a.compose(&none).as_integer().filter(|_| a.as_integer().is_none());
    match by.zip(constant) {
        Some((by, constant)) => Poly::from(floored(&constant, &by) * &by),
        None => Poly::zero(),
    }
}

/// What a quotient is called: of one size by a number by both, as `height_by_2`, and of that by 2 `height_by_4`.
fn stem(graph: &Graph, a: &Poly, b: &Poly) -> String {
    let only =
        |size: &Poly| size.symbols().into_iter().next().filter(|_| size.symbols().len() == 1);
    let (mut size, mut by) = (only(a), b.as_integer());
    for _ in 0..MOST_LEVELS {
        let Some((numerator, denominator)) = size.as_ref().and_then(|own| quotient(graph, own))
        else {
            break;
        };
        by = by.zip(denominator.as_integer()).map(|(by, before)| by * before);
        size = only(numerator);
    }
    match (size, by) {
        (Some(size), Some(by)) => format!("{size}_by_{by}"),
        _ => "floor".to_owned(),
    }
}

/// A size with quotients in the place of symbols that the graph has for them.
fn written(graph: &Graph, size: &Poly, level: usize) -> SizeTerm {
    let known = size.symbols().into_iter().find_map(|symbol| {
        let (numerator, denominator) = quotient(graph, &symbol)?;
        (level < MOST_LEVELS && size.degree_in(&symbol) == 1)
            .then(|| (written_quotient(graph, numerator, denominator, level + 1), symbol))
    });
    let Some((quotient, symbol)) = known else { return size.clone().into() };
    let rest = size.substitute(&symbol, &Poly::zero());
    let times = &size.substitute(&symbol, &Poly::one()) - &rest;
    let product = match times == Poly::one() {
        true => quotient,
        false => written(graph, &times, level + 1).times(quotient),
    };
    if rest.is_zero() { product } else { product.plus(written(graph, &rest, level + 1)) }
}

/// A quotient, rounded up, as `⌊(a + b − 1) / b⌋`.
fn written_quotient(graph: &Graph, a: &Poly, b: &Poly, level: usize) -> SizeTerm {
    let above = &(a + b) - &Poly::one();
    let of = [written(graph, &above, level), written(graph, b, level)];
    SizeTerm::Quotient(Box::new(of))
}

/// Of which two sizes a symbol is the quotient, rounded up.
fn quotient<'g>(graph: &'g Graph, own: &Symbol) -> Option<(&'g Poly, &'g Poly)> {
    graph.definitions().iter().find_map(|definition| match definition {
        Definition::CeilDiv { symbol, numerator, denominator } if symbol == own => {
            Some((numerator, denominator))
        }
        _ => None,
    })
}

/// What symbols in a text that follow from others stand for, those in turn among them.
pub(crate) fn explained(graph: &Graph, text: String) -> String {
    let is_of_name = |c: char| c.is_alphanumeric() || c == '_';
    let mut read = text.clone();
    let mut told: Vec<String> = Vec::new();
    loop {
        let words: Vec<&str> = read.split(|c| !is_of_name(c)).collect();
        let next = graph.definitions().iter().find(|definition| {
            let is_new = !told.contains(&definition.to_string());
            is_new && definition.defines().iter().any(|own| words.contains(&own.as_str()))
        });
        match next.map(ToString::to_string) {
            Some(definition) if told.len() < MOST_TOLD => {
                read = format!("{read}; {definition}");
                told.push(definition);
            }
            _ => break,
        }
    }
    if told.is_empty() { text } else { format!("{text} (where {})", told.join(", ")) }
}

/// How many definitions are told beside an error.
const MOST_TOLD: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_symbols_in_an_error_stand_for_is_told_beside_it() {
        let mut graph = Graph::new();
        let half = graph.floor_div("floor", &"n".into(), &2.into());
        graph.floor_div("floor", &(&half + 1), &3.into());
        graph.minimum("least", ["n".into(), "b".into()]);
        let told = |text: &str| explained(&graph, text.to_owned());
        assert_eq!(told("[b, n] and floors"), "[b, n] and floors");
        assert_eq!(told("[b, 4·floor]"), "[b, 4·floor] (where floor = ⌊n / 2⌋)");
        let both = "[floor_2] (where floor_2 = ⌊(floor + 1) / 3⌋, floor = ⌊n / 2⌋)";
        assert_eq!(told("[floor_2]"), both);
    }

    #[test]
    fn quotients_are_written_in_sizes_of_the_program() {
        let mut graph = Graph::new();
        let half = graph.floor_div("floor", &"n".into(), &2.into());
        let next = graph.floor_div("floor", &(&half * 3 + 1), &4.into());
        let symbol = next.as_symbol().unwrap();
        let mut equal = Equalities::default();
        assert!(equal.quotient_is(&graph, symbol, 5.into()));
        assert!(!equal.quotient_is(&graph, symbol, 6.into()));
        assert!(!equal.quotient_is(&graph, &"n".into(), 6.into()));
        let told: Vec<String> = equal.conditions().map(|own| own.to_string()).collect();
        assert_eq!(told, ["⌊(3·⌊n / 2⌋ + 1) / 4⌋ = 5"]);
        let again = equal.quotient(&mut graph, &(&half * 3 + 1), &4.into());
        assert_eq!(again, 5.into());
    }

    #[test]
    fn quotients_that_differ_by_a_number_have_one_symbol() {
        let (mut graph, equal) = (Graph::new(), Equalities::default());
        let n = Poly::from("n");
        for by in 2_i64..5 {
            for more in -9_i64..9 {
                let own = equal.quotient(&mut graph, &(&n + more), &by.into());
                for size in 10_i64..20 {
                    let sizes =
                        graph.complete(&[("n", size as u64)].into_iter().collect()).unwrap();
                    assert_eq!(own.at(&sizes).unwrap(), ((size + more).div_euclid(by)).into());
                }
            }
        }
        // One for each rest of a division.
        assert_eq!(graph.definitions().len(), 2 + 3 + 4);
        assert_eq!(graph.definitions()[0].to_string(), "n_by_2 = ⌈n / 2⌉");
    }
}
