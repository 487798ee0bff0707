//! Products of powers of symbols.

use std::cmp::Ordering;

use crate::Symbol;

/// A product of powers, sorted by symbol, every exponent positive. The empty product is 1.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Monomial(Vec<(Symbol, u32)>);

impl Monomial {
    pub(crate) fn one() -> Self {
        Monomial(Vec::new())
    }

    pub(crate) fn symbol(symbol: Symbol) -> Self {
        Monomial(vec![(symbol, 1)])
    }

    pub(crate) fn powers(&self) -> &[(Symbol, u32)] {
        &self.0
    }

    pub(crate) fn exponent(&self, symbol: &Symbol) -> u32 {
        self.0.iter().find(|(s, _)| s == symbol).map_or(0, |(_, e)| *e)
    }

    pub(crate) fn degree(&self) -> u32 {
        self.0.iter().map(|(_, e)| e).sum()
    }

    pub(crate) fn times(&self, other: &Self) -> Self {
        let mut powers = self.0.clone();
        for (symbol, exponent) in &other.0 {
            match powers.binary_search_by(|(s, _)| s.cmp(symbol)) {
                Ok(at) => powers[at].1 += exponent,
                Err(at) => powers.insert(at, (symbol.clone(), *exponent)),
            }
        }
        Monomial(powers)
    }

    /// What gives this product when multiplied with `other`.
    pub(crate) fn divided_by(&self, other: &Self) -> Option<Self> {
        let mut powers = self.0.clone();
        for (symbol, exponent) in &other.0 {
            let (_, own) = powers.iter_mut().find(|(s, _)| s == symbol)?;
            *own = own.checked_sub(*exponent)?;
        }
        powers.retain(|(_, exponent)| *exponent > 0);
        Some(Monomial(powers))
    }

    /// The same product with `symbol` taken out `times` times; the caller holds that many.
    pub(crate) fn without(&self, symbol: &Symbol, times: u32) -> Self {
        let lowered =
            self.0.iter().map(|(s, e)| (s.clone(), if s == symbol { e - times } else { *e }));
        Monomial(lowered.filter(|(_, e)| *e > 0).collect())
    }
}

/// Higher total degree first; among equals, the lower power of the first differing symbol first,
/// which writes `4·b·n·c² + 2·b·n²·c` in the order papers do.
impl Ord for Monomial {
    fn cmp(&self, other: &Self) -> Ordering {
        other.degree().cmp(&self.degree()).then_with(|| {
            let (mut a, mut b) = (self.0.iter().peekable(), other.0.iter().peekable());
            loop {
                match (a.peek(), b.peek()) {
                    (None, None) => return Ordering::Equal,
                    (None, Some(_)) => return Ordering::Less,
                    (Some(_), None) => return Ordering::Greater,
                    (Some((s, x)), Some((t, y))) => match s.cmp(t) {
                        Ordering::Less => return Ordering::Greater,
                        Ordering::Greater => return Ordering::Less,
                        Ordering::Equal if x != y => return x.cmp(y),
                        Ordering::Equal => {
                            a.next();
                            b.next();
                        }
                    },
                }
            }
        })
    }
}

impl PartialOrd for Monomial {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
