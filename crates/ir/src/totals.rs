//! The totals of a graph at many sizes.

use std::borrow::Cow;
use std::fmt;

use num_traits::{ToPrimitive, Zero};
use opledger_dims::{Binding, Class, Compiled, Counts, Integer, Poly, Symbol};

use crate::{BindingError, Definition, Graph};

/// Free symbols, and those that follow from them.
#[derive(Clone, Debug)]
struct FreeSizes {
    free: Vec<Symbol>,
    /// All sizes that are bound.
    bound: Binding,
    /// Those that products of free symbols are made of.
    fixed: Binding,
    /// Definitions of symbols that follow from the free ones, over the sizes that are bound.
    definitions: Vec<Definition>,
    symbols: Vec<Symbol>,
}

/// What a graph costs in all, over some free symbols.
#[derive(Clone, Debug)]
pub struct Totals {
    sizes: FreeSizes,
    classes: Vec<(Class, Compiled)>,
    macs: Compiled,
    params: Compiled,
    read: Compiled,
    written: Compiled,
}

/// Formulas of a graph's symbols, over some free ones.
#[derive(Clone, Debug)]
pub struct FormulasAt {
    sizes: FreeSizes,
    formulas: Vec<Compiled>,
}

/// Exact totals at one point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Total {
    /// Scalar operations by class.
    pub counts: Counts<Integer>,
    /// Multiplications inside contractions.
    pub macs: Integer,
    /// Parameters.
    pub params: Integer,
    /// Bytes of operands, each read once.
    pub read: Integer,
    /// Bytes of results, each written once.
    pub written: Integer,
}

impl Total {
    /// Nothing.
    pub fn none() -> Self {
        let none = Integer::zero;
        let (macs, params, read, written) = (none(), none(), none(), none());
        Total { counts: Counts::zero(), macs, params, read, written }
    }

    /// All scalar operations.
    pub fn flops(&self) -> Integer {
        self.counts.total()
    }

    /// Adds another run of the same model: its parameters stay the same.
    pub fn add_run(&mut self, other: &Total) {
        self.counts += &other.counts;
        self.macs += &other.macs;
        self.params.clone_from(&other.params);
        self.read += &other.read;
        self.written += &other.written;
    }
}

impl fmt::Display for Total {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Total { macs, params, read, written, .. } = self;
        let flops = self.flops();
        write!(f, "flops = {flops}, macs = {macs}, params = {params}, ")?;
        write!(f, "bytes read = {read}, bytes written = {written}")
    }
}

impl Graph {
    /// The totals where `binding` gives sizes to all symbols but some.
    ///
    /// # Errors
    /// When the binding contradicts a definition, or leaves another symbol without a size.
    pub fn totals(&self, binding: &Binding, free: &[Symbol]) -> Result<Totals, BindingError> {
        let sizes = FreeSizes::of(self, binding, free)?;
        let compile = |poly: &Poly| sizes.compile(poly);
        let (mut read, mut written) = (Poly::zero(), Poly::zero());
        for node in self.nodes() {
            let bytes = self.node_bytes(node);
            read += bytes.0;
            written += bytes.1;
        }
        let cost = self.cost();
        let total = cost.total();
        let mut classes = Vec::new();
        for (class, poly) in total.nonzero() {
            classes.push((class, compile(poly)?));
        }
        Ok(Totals {
            classes,
            macs: compile(&cost.macs())?,
            params: compile(&self.parameters().0)?,
            read: compile(&read)?,
            written: compile(&written)?,
            sizes,
        })
    }

    /// Formulas where `binding` gives sizes to all symbols but some, to be evaluated at many of these.
    ///
    /// # Errors
    /// As [`Graph::totals`].
    pub fn formulas_at(
        &self,
        formulas: &[Poly],
        binding: &Binding,
        free: &[Symbol],
    ) -> Result<FormulasAt, BindingError> {
        let sizes = FreeSizes::of(self, binding, free)?;
        let formulas = formulas.iter().map(|poly| sizes.compile(poly)).collect::<Result<_, _>>()?;
        Ok(FormulasAt { sizes, formulas })
    }
}

impl FormulasAt {
    /// Their values where each free symbol has the size at its position.
    ///
    /// # Errors
    /// When a size leaves a symbol without a value, or a value is not whole.
    pub fn at(&self, sizes: &[i128]) -> Result<Vec<Integer>, BindingError> {
        let values = self.sizes.values(sizes)?;
        self.formulas.iter().map(|formula| Ok(formula.at(&values)?)).collect()
    }
}

impl FreeSizes {
    fn of(graph: &Graph, binding: &Binding, free: &[Symbol]) -> Result<Self, BindingError> {
        let bound = graph.complete(binding)?;
        let (mut symbols, mut fixed) = (free.to_vec(), Binding::new());
        let mut definitions = Vec::new();
        for definition in graph.definitions() {
            // Of c = h·e any may follow from the other two.
            let involved = match definition {
                Definition::Product { whole, factors: [a, b] } => vec![whole, a, b],
                other => other.defines(),
            };
            if involved.iter().all(|s| bound.get(s).is_some()) {
                continue;
            }
            for symbol in involved {
                match bound.get(symbol) {
                    Some(size) => {
                        fixed.set(symbol, size.clone());
                    }
                    None if symbols.contains(symbol) => {}
                    None => symbols.push(symbol.clone()),
                }
            }
            definitions.push(definition.with_sizes(&bound));
        }
        Ok(FreeSizes { free: free.to_vec(), bound, fixed, definitions, symbols })
    }

    fn compile(&self, poly: &Poly) -> Result<Compiled, BindingError> {
        Ok(poly.bind(&self.bound).compile(&self.symbols)?)
    }

    /// The value of each symbol.
    fn values<'s>(&self, sizes: &'s [i128]) -> Result<Cow<'s, [i128]>, BindingError> {
        match self.definitions.is_empty() {
            true => Ok(Cow::Borrowed(sizes)),
            false => self.defined(sizes).map(Cow::Owned),
        }
    }

    /// The free sizes and what follows from them.
    fn defined(&self, sizes: &[i128]) -> Result<Vec<i128>, BindingError> {
        let mut binding = self.fixed.clone();
        for (symbol, size) in self.free.iter().zip(sizes) {
            binding.set(symbol, *size);
        }
        while {
            let mut changed = false;
            for definition in &self.definitions {
                changed |= definition.apply(&mut binding)?;
            }
            changed
        } {}
        let value = |symbol: &Symbol| {
            let value = binding.get(symbol);
            let unbound = || opledger_dims::EvalError::Unbound(symbol.clone());
            Ok(value.ok_or_else(unbound)?.to_i128().unwrap_or(i128::MAX))
        };
        self.symbols.iter().map(value).collect()
    }
}

impl Totals {
    /// The totals where each free symbol has the size at its position.
    ///
    /// # Errors
    /// When a size leaves a symbol without a value, or a count is not whole.
    pub fn at(&self, sizes: &[i128]) -> Result<Total, BindingError> {
        let values = self.sizes.values(sizes)?;
        let values: &[i128] = &values;
        let mut counts = Counts::zero();
        for (class, poly) in &self.classes {
            counts[*class] = poly.at(values)?;
        }
        Ok(Total {
            counts,
            macs: self.macs.at(values)?,
            params: self.params.at(values)?,
            read: self.read.at(values)?,
            written: self.written.at(values)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mask;

    #[test]
    fn totals_are_those_of_the_graph_at_every_point() {
        let mut g = Graph::new();
        let x = g.input("x", ["b", "n", "h", "e"]).unwrap();
        let y = g.attention((x, x, x), Mask::sliding(3), None, None).unwrap();
        g.attention((y, y, y), Mask::causal(), None, None).unwrap();
        let fixed = Binding::from_iter([("b", 2), ("h", 3), ("e", 4)]);
        let totals = g.totals(&fixed, &["n".into()]).unwrap();
        for n in 1..9_i128 {
            let binding = g.complete(&fixed.clone().with("n", n)).unwrap();
            let total = totals.at(&[n]).unwrap();
            assert_eq!(total.counts, g.cost().total().at(&binding).unwrap());
            assert_eq!(total.macs, g.cost().macs().at(&binding).unwrap());
            let formulas = g.formulas_at(&[g.macs()], &fixed, &["n".into()]).unwrap();
            assert_eq!(formulas.at(&[n]).unwrap(), std::slice::from_ref(&total.macs));
            assert!(total.to_string().starts_with(&format!("flops = {}, macs = ", total.flops())));
        }
        assert!(g.totals(&fixed, &[]).is_err(), "n has no size");
    }

    #[test]
    fn a_factor_follows_from_a_free_one() {
        let mut g = Graph::new();
        let factors = ["h".into(), "e".into()];
        g.define(Definition::Product { whole: "c".into(), factors });
        let x = g.input("x", ["n", "h", "e"]).unwrap();
        g.attention((x, x, x), Mask::none(), None, None).unwrap();
        let fixed = Binding::from_iter([("n", 5), ("c", 12)]);
        let totals = g.totals(&fixed, &["h".into()]).unwrap();
        for h in [1, 2, 3, 4, 6, 12_i128] {
            let counts = g.counts_at(&fixed.clone().with("h", h)).unwrap();
            assert_eq!(totals.at(&[h]).unwrap().counts, counts);
        }
        let error = totals.at(&[5]).unwrap_err().to_string();
        assert!(error.contains('5') && error.contains("12"), "{error}");
    }
}
