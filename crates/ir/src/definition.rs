//! Symbols that follow from others: the side conditions under which a formula is a polynomial.

use std::fmt;

use num_traits::{Signed, Zero};
use opledger_dims::{Binding, Integer, Poly, Symbol};

use crate::mask::band_support;
use crate::{BindingError, Reach, Shape, Slide, Var};

/// A symbol that follows from other sizes, or from the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Definition {
    /// `whole = first·second`, such as `c = h·e`; formulas are written with `whole`.
    Product {
        /// The product.
        whole: Symbol,
        /// Its two factors.
        factors: [Symbol; 2],
    },
    /// `symbol = ⌈numerator / denominator⌉`.
    CeilDiv {
        /// The quotient.
        symbol: Symbol,
        /// What is divided.
        numerator: Poly,
        /// By what.
        denominator: Poly,
    },
    /// `symbol = min(first, second)`.
    Minimum {
        /// The smaller of the two.
        symbol: Symbol,
        /// What it is the smaller of.
        of: [Poly; 2],
    },
    /// `symbol = gcd(first, second)`.
    Gcd {
        /// The greatest common divisor.
        symbol: Symbol,
        /// Of what.
        of: [Poly; 2],
    },
    /// The pairs a causal band leaves of `queries × keys`.
    Band {
        /// The number of pairs.
        pairs: Symbol,
        /// The number of queries that see a key.
        rows: Symbol,
        /// How many queries.
        queries: Poly,
        /// How many keys.
        keys: Poly,
        /// Query `i` sees keys `j <= i + offset`.
        offset: Poly,
        /// Of those, the last so many, or those of one chunk.
        reach: Option<Reach<Poly>>,
    },
    /// The taps of a window that fall on the input that it slides along.
    Taps {
        /// The number of pairs of a result and such a tap.
        pairs: Symbol,
        /// The number of results with such a tap, where it is not that of all.
        rows: Option<Symbol>,
        /// How the window slides.
        slide: Slide,
        /// How many results.
        results: Poly,
        /// How many taps the window has.
        taps: Poly,
        /// How many positions the input has.
        input: Poly,
    },
    /// The pairs that a mask tensor leaves; known when the tensor is.
    Kept {
        /// The number of pairs of a query and a key, over the other axes of the tensor.
        pairs: Symbol,
        /// The number of queries that see a key, over the same.
        rows: Symbol,
        /// The mask tensor, whose last axis is the keys.
        keep: Var,
        /// Its axis of the queries, if it has one.
        query: Option<usize>,
        /// How many queries.
        queries: Poly,
        /// The causal offset, if any.
        offset: Option<Poly>,
        /// How far back a query sees, where that is said.
        reach: Option<Reach<Poly>>,
    },
}

impl Definition {
    /// The symbols it defines.
    pub fn defines(&self) -> Vec<&Symbol> {
        match self {
            Definition::Product { whole, .. } => vec![whole],
            Definition::CeilDiv { symbol, .. }
            | Definition::Minimum { symbol, .. }
            | Definition::Gcd { symbol, .. } => vec![symbol],
            Definition::Band { pairs, rows, .. } | Definition::Kept { pairs, rows, .. } => {
                vec![pairs, rows]
            }
            Definition::Taps { pairs, rows, .. } => std::iter::once(pairs).chain(rows).collect(),
        }
    }

    /// The same definition with sizes put in where a binding has them.
    #[must_use]
    pub fn with_sizes(&self, binding: &Binding) -> Definition {
        let at = |poly: &Poly| poly.bind(binding);
        let mut bound = self.clone();
        match &mut bound {
            Definition::Product { .. } => {}
            Definition::CeilDiv { numerator, denominator, .. } => {
                (*numerator, *denominator) = (at(numerator), at(denominator));
            }
            Definition::Minimum { of: [a, b], .. } | Definition::Gcd { of: [a, b], .. } => {
                (*a, *b) = (at(a), at(b));
            }
            Definition::Band { queries, keys, offset, reach, .. } => {
                (*queries, *keys, *offset) = (at(queries), at(keys), at(offset));
                *reach = reach.as_ref().map(|reach| reach.map(at));
            }
            Definition::Taps { results, taps, input, .. } => {
                (*results, *taps, *input) = (at(results), at(taps), at(input));
            }
            Definition::Kept { queries, offset, reach, .. } => {
                *queries = at(queries);
                *offset = offset.as_ref().map(at);
                *reach = reach.as_ref().map(|reach| reach.map(at));
            }
        }
        bound
    }

    /// Adds to `binding` what follows from it; returns whether anything was added.
    pub(crate) fn apply(&self, binding: &mut Binding) -> Result<bool, BindingError> {
        match self {
            Definition::Product { whole, factors: [a, b] } => {
                complete_product(binding, whole, a, b)
            }
            Definition::CeilDiv { symbol, numerator, denominator } => {
                let (Ok(n), Ok(d)) = (numerator.at(binding), denominator.at(binding)) else {
                    return Ok(false);
                };
                if !d.is_positive() {
                    return Ok(false);
                }
                // Division of integers rounds towards zero.
                let down = n + &d - 1u32;
                let left_over = &down % &d;
                let rounded = if left_over.is_negative() { down / d - 1u32 } else { down / d };
                self.set(binding, [(symbol, rounded)])
            }
            Definition::Minimum { symbol, of: [a, b] } => {
                let (Ok(a), Ok(b)) = (a.at(binding), b.at(binding)) else { return Ok(false) };
                self.set(binding, [(symbol, a.min(b))])
            }
            Definition::Gcd { symbol, of: [a, b] } => {
                let (Ok(a), Ok(b)) = (a.at(binding), b.at(binding)) else { return Ok(false) };
                self.set(binding, [(symbol, common_divisor(a, b))])
            }
            Definition::Band { pairs, rows, queries, keys, offset, reach } => {
                let at = |p: &Poly| p.at(binding).ok();
                let reach = reach.as_ref().map(|reach| reach.map(|p| p.at(binding)).transpose());
                let (Some(n), Some(m), Some(o), Ok(reach)) =
                    (at(queries), at(keys), at(offset), reach.transpose())
                else {
                    return Ok(false);
                };
                let (p, r) = band_support(&n, &m, &o, reach.as_ref());
                self.set(binding, [(pairs, p), (rows, r)])
            }
            Definition::Taps { pairs, rows, slide, results, taps, input } => {
                let at = |p: &Poly| p.at(binding).ok().filter(|size| !size.is_negative());
                let (Some(r), Some(k), Some(s)) = (at(results), at(taps), at(input)) else {
                    return Ok(false);
                };
                let (p, r) = slide.support(&r, &k, &s);
                match rows {
                    Some(rows) => self.set(binding, [(pairs, p), (rows, r)]),
                    None => self.set(binding, [(pairs, p)]),
                }
            }
            Definition::Kept { .. } => Ok(false),
        }
    }

    /// Adds what follows; returns whether any of it is new.
    pub(crate) fn set<const N: usize>(
        &self,
        binding: &mut Binding,
        follows: [(&Symbol, Integer); N],
    ) -> Result<bool, BindingError> {
        let mut added = false;
        for (symbol, value) in follows {
            match binding.get(symbol) {
                None => {
                    binding.set(symbol, value);
                    added = true;
                }
                Some(given) if *given == value => {}
                Some(given) => {
                    return Err(BindingError::Defined {
                        symbol: symbol.clone(),
                        given: given.to_string(),
                        value: value.to_string(),
                        definition: self.to_string(),
                    });
                }
            }
        }
        Ok(added)
    }

    /// What is impossible in the pairs and rows that a mask tensor of this shape is said to leave.
    pub(crate) fn impossible(&self, keep: &Shape, binding: &Binding) -> Option<String> {
        let Definition::Kept { pairs, rows, query, queries, offset, reach, .. } = self else {
            return None;
        };
        let at = |poly: &Poly| poly.at(binding).ok();
        let (p, r) = (binding.get(pairs)?, binding.get(rows)?);
        let [items @ .., keys] = &keep.axes[..] else { return None };
        let items = items.iter().enumerate().filter(|(axis, _)| Some(*axis) != *query);
        let items = items.map(|(_, axis)| at(&axis.size)).product::<Option<Integer>>()?;
        let (n, m) = (at(queries)?, at(&keys.size)?);
        let (most_pairs, most_rows) = match offset {
            None => (&n * &m, if m.is_zero() { Integer::ZERO } else { n }),
            Some(offset) => {
                let reach = reach.as_ref().map(|reach| reach.map(|p| p.at(binding)).transpose());
                band_support(&n, &m, &at(offset)?, reach.transpose().ok()?.as_ref())
            }
        };
        let (most_pairs, most_rows) = (most_pairs * &items, most_rows * &items);
        let fits =
            !r.is_negative() && r <= p && *p <= r * &m && *p <= most_pairs && *r <= most_rows;
        (!fits).then(|| {
            format!(
                "{pairs} = {p} and {rows} = {r} are of no mask over {items}·{most} rows; at most \
                 {pairs} = {most_pairs} and {rows} = {most_rows}, and as many of the first as of the \
                 second at least",
                most = at(queries).unwrap_or_default(),
            )
        })
    }
}

fn complete_product(
    binding: &mut Binding,
    whole: &Symbol,
    a: &Symbol,
    b: &Symbol,
) -> Result<bool, BindingError> {
    let value = |s: &Symbol| binding.get(s).cloned();
    match (value(whole), value(a), value(b)) {
        (None, Some(x), Some(y)) => {
            binding.set(whole, x * y);
            Ok(true)
        }
        (Some(w), Some(x), None) => divide(binding, whole, &w, a, &x, b),
        (Some(w), None, Some(y)) => divide(binding, whole, &w, b, &y, a),
        (Some(w), Some(x), Some(y)) if w != &x * &y => Err(BindingError::Contradiction {
            whole: whole.clone(),
            value: w.to_string(),
            factors: format!("{a}·{b}"),
            product: (x * y).to_string(),
        }),
        _ => Ok(false),
    }
}

fn divide(
    binding: &mut Binding,
    whole: &Symbol,
    value: &Integer,
    factor: &Symbol,
    divisor: &Integer,
    other: &Symbol,
) -> Result<bool, BindingError> {
    if divisor.is_zero() || !(value % divisor).is_zero() {
        return Err(BindingError::Indivisible {
            whole: whole.clone(),
            value: value.to_string(),
            factor: factor.clone(),
            divisor: divisor.to_string(),
        });
    }
    binding.set(other, value / divisor);
    Ok(true)
}

/// The greatest common divisor of two sizes, as Euclid finds it.
pub(crate) fn common_divisor(mut a: Integer, mut b: Integer) -> Integer {
    while !b.is_zero() {
        (a, b) = (b.clone(), a % b);
    }
    a.abs()
}

/// A polynomial as one factor: in parentheses when it is a sum.
fn grouped(poly: &Poly) -> String {
    if poly.num_terms() > 1 { format!("({poly})") } else { poly.to_string() }
}

impl fmt::Display for Definition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Definition::Product { whole, factors: [a, b] } => write!(f, "{whole} = {a}·{b}"),
            Definition::CeilDiv { symbol, numerator, denominator } => {
                // ⌈(a − b + 1) / b⌉ = ⌊a / b⌋.
                let down = &(numerator + denominator) - &Poly::one();
                match down.num_terms() < numerator.num_terms()
                    || numerator.as_symbol().is_none() && down.num_terms() == numerator.num_terms()
                {
                    true => write!(f, "{symbol} = ⌊{} / {}⌋", grouped(&down), grouped(denominator)),
                    false => {
                        write!(f, "{symbol} = ⌈{} / {}⌉", grouped(numerator), grouped(denominator))
                    }
                }
            }
            Definition::Minimum { symbol, of: [a, b] } => write!(f, "{symbol} = min({a}, {b})"),
            Definition::Gcd { symbol, of: [a, b] } => write!(f, "{symbol} = gcd({a}, {b})"),
            Definition::Band { pairs, rows, queries, keys, offset, reach } => {
                let last = Poly::symbol("i") + offset;
                let first = match reach {
                    None => String::new(),
                    Some(Reach::Window(window)) => format!("{last} - {} < ", grouped(window)),
                    Some(Reach::Chunk(chunk)) => {
                        let chunk = grouped(chunk);
                        format!("{chunk}·⌊{} / {chunk}⌋ ≤ ", grouped(&last))
                    }
                };
                write!(
                    f,
                    "{pairs} = number of (i, j) with i < {queries}, j < {keys}, {first}j ≤ {last}"
                )?;
                write!(f, "; {rows} = number of i with such a j")
            }
            Definition::Taps { pairs, rows, slide, results, taps, input } => {
                let Slide { stride, dilation, padding: (before, _) } = slide;
                let place =
                    Poly::symbol("i") * *stride as i64 + Poly::symbol("k") * *dilation as i64;
                let place = place - Poly::from(*before as i64);
                write!(
                    f,
                    "{pairs} = number of (i, k) with i < {results}, k < {taps}, 0 ≤ {place} < {input}"
                )?;
                match rows {
                    Some(rows) => write!(f, "; {rows} = number of i with such a k"),
                    None => Ok(()),
                }
            }
            Definition::Kept { pairs, rows, query: None, queries, .. } => write!(
                f,
                "{pairs} = number of (batch, query, key) that the mask tensor leaves {queries} queries; \
                 {rows} = number of (batch, query) with such a key"
            ),
            Definition::Kept { pairs, rows, query: Some(_), .. } => write!(
                f,
                "{pairs} = number of (query, key) that the mask tensor leaves, over its other axes; \
                 {rows} = number of queries with such a key"
            ),
        }
    }
}
