//! Sizes that were found to be others while a program was recorded.

use std::collections::BTreeMap;

use opledger_dims::{Poly, Symbol};
use opledger_ir::{Definition, Graph, SizeCondition, SizeRelation, SizeTerm};

/// Sizes that are others.
#[derive(Clone, Debug, Default)]
pub(crate) struct Equalities {
    /// Symbols of the program that are another.
    pub(crate) symbols: BTreeMap<Symbol, Symbol>,
    /// Quotients, rounded up, of two sizes.
    quotients: Vec<(Poly, Poly, Poly)>,
}

impl Equalities {
    /// Adds what a symbol of the graph is that stands for a quotient; whether it is one, and nothing is known
    /// of it yet.
    pub(crate) fn quotient_is(&mut self, graph: &Graph, symbol: &Symbol, value: Poly) -> bool {
        let Some((numerator, denominator)) = quotient(graph, symbol) else { return false };
        if self.value(numerator, denominator).is_some() || value.symbols().contains(symbol) {
            return false;
        }
        self.quotients.push((numerator.clone(), denominator.clone(), value));
        true
    }

    fn value(&self, numerator: &Poly, denominator: &Poly) -> Option<&Poly> {
        let is = |(a, b, _): &&(Poly, Poly, Poly)| a == numerator && b == denominator;
        self.quotients.iter().find(is).map(|(_, _, value)| value)
    }

    /// A size divided by another and rounded down.
    pub(crate) fn quotient(&self, graph: &mut Graph, a: &Poly, b: &Poly) -> Poly {
        let whole = graph.floor_div("floor", a, b);
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
        let quotients = self.quotients.iter().map(|(numerator, denominator, value)| {
            // Rounded up, as `⌊(a + b − 1) / b⌋`.
            let above = &(numerator + denominator) - &Poly::one();
            let of = [above.into(), denominator.clone().into()];
            let quotient = SizeTerm::Quotient(Box::new(of));
            SizeCondition::new(quotient, SizeRelation::Equal, value.clone())
        });
        symbols.chain(quotients)
    }
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
