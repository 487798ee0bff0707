//! Sizes that are no polynomials of others: quotients that are rounded, the smaller of two, the greatest
//! common divisor.

use opledger_dims::Poly;

use super::{Defined, Graph};
use crate::Definition;

impl Graph {
    /// The smaller of two sizes: one of them where that is known, else a symbol called `stem` that is
    /// declared unless the same one stands already.
    pub fn minimum(&mut self, stem: &str, of: [Poly; 2]) -> Poly {
        let [a, b] = &of;
        match [a, b].map(Poly::as_integer) {
            [Some(a), Some(b)] => return a.min(b).into(),
            _ if (a - b).is_never_negative() => return b.clone(),
            _ if (b - a).is_never_negative() => return a.clone(),
            _ => {}
        }
        let standing = self.definitions.iter().find_map(|d| match d {
            Definition::Minimum { symbol, of: own } if *own == of => Some(Poly::symbol(symbol)),
            _ => None,
        });
        standing.unwrap_or_else(|| {
            let symbol = self.fresh(stem);
            let minimum = Poly::symbol(&symbol);
            self.define(Definition::Minimum { symbol, of });
            minimum
        })
    }

    /// The greatest common divisor of two sizes: one of them where it divides the other, else a symbol
    /// called `stem` that is declared unless the same one stands already.
    pub fn common_divisor(&mut self, stem: &str, of: [Poly; 2]) -> Poly {
        let [a, b] = &of;
        match [a, b].map(Poly::as_integer) {
            [Some(a), Some(b)] => return crate::definition::common_divisor(a, b).into(),
            _ if a.divided_by(b).is_some() => return b.clone(),
            _ if b.divided_by(a).is_some() => return a.clone(),
            _ => {}
        }
        let standing = self.definitions.iter().find_map(|d| match d {
            Definition::Gcd { symbol, of: own } if *own == of => Some(Poly::symbol(symbol)),
            _ => None,
        });
        standing.unwrap_or_else(|| {
            let symbol = self.fresh(stem);
            let divisor = Poly::symbol(&symbol);
            self.define(Definition::Gcd { symbol, of });
            divisor
        })
    }

    /// A size divided by another where that leaves nothing, by definition of products also: `h` by `g`
    /// where `h = g·r`.
    pub fn quotient(&self, size: &Poly, by: &Poly) -> Option<Poly> {
        size.divided_by(by).or_else(|| {
            let [size, by] = [size, by].map(|size| self.definitions.expand(size));
            size.divided_by(&by)
        })
    }

    /// The same where it is to leave nothing: what is no polynomial becomes a symbol called `stem`, declared
    /// by `size = by·stem`; none where that cannot be declared.
    pub fn factor_of(&mut self, stem: &str, size: &Poly, by: &Poly) -> Option<Poly> {
        self.quotient(size, by).or_else(|| {
            let (whole, first) = (size.as_symbol()?.clone(), by.as_symbol()?.clone());
            let symbol = self.fresh(stem);
            let factor = Poly::symbol(&symbol);
            self.define(Definition::Product { whole, factors: [first, symbol] });
            Some(factor)
        })
    }

    /// A size divided by another, rounded up: a polynomial where the division leaves nothing, else a
    /// symbol called `stem` that is declared unless the same one stands already.
    pub fn ceil_div(&mut self, stem: &str, numerator: &Poly, denominator: &Poly) -> Poly {
        if let Some(quotient) = numerator.divided_by(denominator) {
            return quotient;
        }
        if let (Some(a), Some(b)) = (numerator.as_integer(), denominator.as_integer())
            && b > 0.into()
        {
            // Both are whole, and division of integers rounds towards zero.
            let rounded = (a.clone() + &b - 1u32) / &b;
            return if a > 0.into() { rounded.into() } else { (a / b).into() };
        }
        if let Some((whole, less)) = padding(numerator, denominator) {
            return whole - self.floor_div(stem, &less, denominator);
        }
        let standing = self.definitions.iter().find_map(|d| match d {
            Definition::CeilDiv { symbol, numerator: n, denominator: d }
                if n == numerator && d == denominator =>
            {
                Some(Poly::symbol(symbol))
            }
            _ => None,
        });
        standing.unwrap_or_else(|| {
            let symbol = self.fresh(stem);
            let (numerator, denominator) = (numerator.clone(), denominator.clone());
            self.define(Definition::CeilDiv { symbol: symbol.clone(), numerator, denominator });
            symbol.into()
        })
    }

    /// A size divided by another, rounded down, as [`Graph::ceil_div`].
    pub fn floor_div(&mut self, stem: &str, numerator: &Poly, denominator: &Poly) -> Poly {
        match numerator.divided_by(denominator) {
            Some(quotient) => quotient,
            // ⌊−a / b⌋ = −⌈a / b⌉.
            None if (-numerator).is_never_negative() => {
                -self.ceil_div(stem, &-numerator, denominator)
            }
            // ⌊a / b⌋ = ⌈(a − b + 1) / b⌉.
            None => {
                let numerator = &(numerator - denominator) + &Poly::one();
                self.ceil_div(stem, &numerator, denominator)
            }
        }
    }
}

/// Of `d·p − r` by the whole number `d`, where sizes are taken away in `r` alone: `p` and `r`. Then
/// `⌈(d·p − r) / d⌉ = p − ⌊r / d⌋`.
fn padding(numerator: &Poly, denominator: &Poly) -> Option<(Poly, Poly)> {
    let by = denominator.as_integer().filter(|by| *by > 1.into())?;
    let (whole, rest) = numerator.divided_terms(&by);
    let none = rest.symbols().into_iter().map(|symbol| (symbol, Poly::zero())).collect();
    let sizes = &rest - &rest.compose(&none);
    (!sizes.is_zero() && (-&sizes).is_never_negative()).then(|| (whole, -rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use opledger_dims::Binding;

    #[test]
    fn what_is_negative_is_rounded_down_as_well() {
        let mut g = Graph::new();
        let n = Poly::from("n");
        let down = g.floor_div("floor", &-&n, &3.into());
        assert_eq!(-down, g.ceil_div("ceil", &n, &3.into()));
        assert_eq!(g.definitions()[0].to_string(), "floor = ⌈n / 3⌉");
        g.floor_div("down", &n, &3.into());
        assert_eq!(g.definitions()[1].to_string(), "down = ⌊n / 3⌋");
        g.floor_div("size", &(&n - 1), &2.into());
        assert_eq!(g.definitions()[2].to_string(), "size = ⌊(n - 1) / 2⌋");
    }

    #[test]
    fn what_fills_up_to_a_multiple_is_told_by_quotients_of_the_size() {
        for size in 0_i64..30 {
            for more in -9_i64..9 {
                let mut g = Graph::new();
                let (w, down) = (Poly::from("w"), g.floor_div("floor", &"w".into(), &4.into()));
                let filled = &(&(&down * 4) - &w) + &Poly::from(more);
                let up = g.ceil_div("ceil", &filled, &4.into());
                assert!(up.symbols().iter().all(|own| own.as_str() != "w"));
                let sizes = g.derive(&Binding::new().with("w", size)).unwrap();
                let expected = -(size - 4 * (size / 4) - more).div_euclid(4);
                assert_eq!(up.at(&sizes).unwrap(), expected.into(), "{size} and {more}");
                // No quotient is of another.
                for definition in g.definitions() {
                    assert!(!definition.to_string().contains("-w"), "{definition}");
                }
            }
        }
    }

    #[test]
    fn common_divisors_are_those_of_euclid() {
        let mut g = Graph::new();
        let (n, m) = (Poly::from("n"), Poly::from("m"));
        let common = g.common_divisor("common", [n.clone(), m.clone()]);
        assert_eq!(g.common_divisor("common", [n.clone(), m]), common);
        assert_eq!(g.common_divisor("common", [&n * 4, n.clone()]), n);
        for (a, b, expected) in
            [(12_i64, 18_i64, 6_i64), (7, 1, 1), (0, 5, 5), (5, 0, 5), (9, 9, 9)]
        {
            assert_eq!(g.common_divisor("common", [a.into(), b.into()]), expected.into());
            let binding = Binding::new().with("n", a).with("m", b);
            assert_eq!(common.at(&g.complete(&binding).unwrap()).unwrap(), expected.into());
        }
        assert_eq!(g.definitions()[0].to_string(), "common = gcd(n, m)");
    }

    #[test]
    fn quotients_are_those_of_the_division() {
        let n = Poly::from("n");
        for size in 1_i64..20 {
            for by in 1_i64..6 {
                let mut g = Graph::new();
                let [down, up] =
                    [g.floor_div("q", &n, &by.into()), g.ceil_div("q", &n, &by.into())];
                let [known, above] = [
                    g.floor_div("q", &size.into(), &by.into()),
                    g.ceil_div("q", &size.into(), &by.into()),
                ];
                let mut binding = Binding::new().with("n", size);
                for definition in g.definitions() {
                    definition.apply(&mut binding).unwrap();
                }
                let at = |poly: &Poly| poly.at(&binding).unwrap();
                assert_eq!(
                    (at(&down), at(&up)),
                    ((size / by).into(), ((size + by - 1) / by).into())
                );
                assert_eq!((at(&known), at(&above)), (at(&down), at(&up)));
            }
        }
        let mut g = Graph::new();
        let first = g.floor_div("q", &n, &2.into());
        assert_eq!(g.floor_div("q", &n, &2.into()), first);
        assert_eq!(g.minimum("m", [&n + 1, n.clone()]), n);
    }
}
