//! Sizes that follow from others: the width of a head, the queries that share a key head, the
//! windows along a side.

use opledger_dims::{Integer, Poly, Symbol};
use opledger_ir::{Definition, Graph};

use crate::NnError;

/// Checks that a size that is a number is at least one.
pub(crate) fn positive(name: &'static str, size: &Poly) -> Result<(), NnError> {
    match size.as_integer() {
        Some(value) if value < Integer::from(1) => Err(NnError::Size { name, value }),
        _ => Ok(()),
    }
}

/// Refuses a number of repetitions below zero; none at all is a model too.
pub(crate) fn not_negative(name: &'static str, count: &Poly) -> Result<(), NnError> {
    match count.as_integer() {
        Some(value) if value < Integer::from(0) => Err(NnError::Repetitions { name, value }),
        _ => Ok(()),
    }
}

/// A size with the name of the argument that gave it.
pub(crate) struct Named<'a>(pub(crate) &'static str, pub(crate) &'a Poly);

/// `whole / divisor`: computed for numbers; for symbols a symbol of its own, `stem`, which the graph
/// defines by `whole = divisor·stem`. `quotient` names the argument that would give it otherwise.
pub(crate) fn quotient(
    g: &mut Graph,
    stem: &str,
    Named(whole, value): Named<'_>,
    Named(divisor, by): Named<'_>,
    quotient: &'static str,
) -> Result<Poly, NnError> {
    positive(whole, value)?;
    positive(divisor, by)?;
    if *by == Poly::one() {
        return Ok(value.clone());
    }
    if value == by {
        return Ok(Poly::one());
    }
    if let (Some(value), Some(by)) = (value.as_integer(), by.as_integer()) {
        if &value % &by != Integer::from(0) {
            return Err(NnError::Indivisible { whole, value, divisor, by });
        }
        return Ok(Poly::from(value / by));
    }
    match (value.as_symbol(), by.as_symbol()) {
        (Some(value), Some(by)) => Ok(product(g, stem, value, by).into()),
        _ => Err(NnError::Mixed { whole, value: value.clone(), divisor, by: by.clone(), quotient }),
    }
}

/// The symbol `x` of `whole = by·x`, declared unless it stands already.
fn product(g: &mut Graph, stem: &str, whole: &Symbol, by: &Symbol) -> Symbol {
    let standing = g.definitions().iter().find_map(|d| match d {
        Definition::Product { whole: w, factors: [a, x] } if w == whole && a == by => {
            Some(x.clone())
        }
        _ => None,
    });
    standing.unwrap_or_else(|| {
        let x = fresh(g, stem, &[whole, by]);
        g.define(Definition::Product { whole: whole.clone(), factors: [by.clone(), x.clone()] });
        x
    })
}

/// `⌈size / side⌉`: computed for numbers and for multiples of a symbol, else a symbol that the graph
/// defines.
pub fn ceil_div(g: &mut Graph, stem: &str, size: &Poly, side: &Poly) -> Poly {
    if let (Some(size), Some(side)) = (size.as_integer(), side.as_integer()) {
        return Poly::from((size + &side - 1) / side);
    }
    if let Some(symbol) = side.as_symbol() {
        let times = size.substitute(symbol, &Poly::one());
        if &times * side == *size {
            return times;
        }
    }
    let standing = g.definitions().iter().find_map(|d| match d {
        Definition::CeilDiv { symbol, numerator, denominator }
            if numerator == size && denominator == side =>
        {
            Some(symbol.clone())
        }
        _ => None,
    });
    let symbol = standing.unwrap_or_else(|| {
        let symbol = fresh(g, stem, &[]);
        let (numerator, denominator) = (size.clone(), side.clone());
        g.define(Definition::CeilDiv { symbol: symbol.clone(), numerator, denominator });
        symbol
    });
    symbol.into()
}

/// The first of `stem`, `stem_2`, … that no definition and no size of the graph uses yet.
fn fresh(g: &Graph, stem: &str, besides: &[&Symbol]) -> Symbol {
    let defined = |s: &Symbol| {
        g.definitions().iter().any(|d| match d {
            Definition::Product { whole, factors } => whole == s || factors.contains(s),
            other => other.defines().contains(&s),
        })
    };
    let sized = |s: &Symbol| {
        let mut sizes = g.nodes().iter().flat_map(|n| &n.shape.axes);
        sizes.any(|a| a.size.degree_in(s) > 0)
    };
    let taken = |s: &Symbol| besides.contains(&s) || defined(s) || sized(s);
    let mut number = 1;
    loop {
        let name = if number == 1 { stem.to_owned() } else { format!("{stem}_{number}") };
        let symbol = Symbol::from(name);
        if !taken(&symbol) {
            return symbol;
        }
        number += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(g: &mut Graph, c: impl Into<Poly>, h: impl Into<Poly>) -> Result<Poly, NnError> {
        quotient(g, "e", Named("embed_dim", &c.into()), Named("num_heads", &h.into()), "head_dim")
    }

    #[test]
    fn the_width_of_a_head() {
        let mut g = Graph::new();
        assert_eq!(head(&mut g, 512, 8), Ok(64.into()));
        assert_eq!(head(&mut g, "c", 1), Ok("c".into()));
        assert_eq!(head(&mut g, "c", "h"), Ok("e".into()));
        assert_eq!(head(&mut g, "c", "h"), Ok("e".into()), "declared once");
        assert_eq!(head(&mut g, "d", "h"), Ok("e_2".into()), "another width has another symbol");
        let shown: Vec<_> = g.definitions().iter().map(Definition::to_string).collect();
        assert_eq!(shown, ["c = h·e", "d = h·e_2"]);
        let error = |c: Poly, h: Poly| head(&mut Graph::new(), c, h).unwrap_err().to_string();
        assert_eq!(error(10.into(), 3.into()), "embed_dim = 10 is not a multiple of num_heads = 3");
        assert_eq!(error(10.into(), 0.into()), "num_heads = 0, but a size is at least 1");
        assert_eq!(
            error("c".into(), 3.into()),
            "embed_dim = c and num_heads = 3 must both be numbers or both be symbols; \
             otherwise give head_dim itself"
        );
    }

    #[test]
    fn windows_along_a_side() {
        let mut g = Graph::new();
        assert_eq!(ceil_div(&mut g, "wy", &15.into(), &7.into()), 3.into());
        assert_eq!(ceil_div(&mut g, "wy", &14.into(), &7.into()), 2.into());
        let of = |size: &str| size.parse::<Poly>().unwrap();
        assert_eq!(ceil_div(&mut g, "wy", &of("s·y + 2·s"), &"s".into()), of("y + 2"));
        assert_eq!(ceil_div(&mut g, "wy", &"y".into(), &7.into()), "wy".into());
        assert_eq!(ceil_div(&mut g, "wx", &"y".into(), &7.into()), "wy".into());
        assert_eq!(ceil_div(&mut g, "wy", &"x".into(), &7.into()), "wy_2".into());
        assert_eq!(ceil_div(&mut g, "wy", &of("s·y + 1"), &"s".into()), "wy_3".into());
        assert_eq!(ceil_div(&mut g, "wy", &of("s²"), &"s".into()), "wy_4".into());
    }
}
