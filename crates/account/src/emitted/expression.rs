//! Integers that follow from sizes, as expressions that any language has.

use opledger_dims::{Poly, Symbol};
use opledger_ir::{Definition, Reach, Slide};

/// An integer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SizeExpression {
    /// A polynomial, which is whole.
    Poly(Poly),
    Add(Box<SizeExpression>, Box<SizeExpression>),
    Sub(Box<SizeExpression>, Box<SizeExpression>),
    Mul(Box<SizeExpression>, Box<SizeExpression>),
    /// Rounded down; what it is divided by is positive.
    Floor(Box<SizeExpression>, Box<SizeExpression>),
    Min(Box<SizeExpression>, Box<SizeExpression>),
    Max(Box<SizeExpression>, Box<SizeExpression>),
    /// The greatest common divisor of two that are not negative.
    Gcd(Box<SizeExpression>, Box<SizeExpression>),
}

type E = SizeExpression;

fn whole(n: i64) -> E {
    E::Poly(n.into())
}

fn add(a: E, b: E) -> E {
    match (a, b) {
        (E::Poly(zero), other) | (other, E::Poly(zero)) if zero.is_zero() => other,
        (E::Poly(a), E::Poly(b)) => E::Poly(a + b),
        (a, b) => E::Add(a.into(), b.into()),
    }
}

fn sub(a: E, b: E) -> E {
    match (a, b) {
        (a, E::Poly(zero)) if zero.is_zero() => a,
        (E::Poly(a), E::Poly(b)) => E::Poly(a - b),
        (a, b) => E::Sub(a.into(), b.into()),
    }
}

fn mul(a: E, b: E) -> E {
    match (a, b) {
        (E::Poly(zero), _) | (_, E::Poly(zero)) if zero.is_zero() => whole(0),
        (E::Poly(a), E::Poly(b)) => E::Poly(a * b),
        (a, b) => E::Mul(a.into(), b.into()),
    }
}

fn floor(a: E, b: E) -> E {
    match &b {
        E::Poly(one) if one.as_integer() == Some(1.into()) => a,
        _ => E::Floor(a.into(), b.into()),
    }
}

/// `n·(n + other)/2`, which is whole where `other` is odd.
fn half(n: E, other: i64) -> E {
    match n {
        E::Poly(n) => E::Poly((&n * (&n + Poly::from(other))).ratio(1, 2)),
        n => floor(mul(n.clone(), add(n, whole(other))), whole(2)),
    }
}

/// Which of two is never the greater, sizes not being negative.
fn lesser(a: &E, b: &E) -> Option<bool> {
    let (E::Poly(a), E::Poly(b)) = (a, b) else { return None };
    if (b - a).is_never_negative() {
        return Some(true);
    }
    (a - b).is_never_negative().then_some(false)
}

fn min(a: E, b: E) -> E {
    match lesser(&a, &b) {
        Some(true) => a,
        Some(false) => b,
        None => E::Min(a.into(), b.into()),
    }
}

fn max(a: E, b: E) -> E {
    match lesser(&a, &b) {
        Some(true) => b,
        Some(false) => a,
        None => E::Max(a.into(), b.into()),
    }
}

/// What a definition gives, name by name, in the order in which they are worked out; none where it looks at
/// the contents of a mask, or at a window whose taps are many or apart.
pub(crate) fn defined(definition: &Definition) -> Option<Vec<(Symbol, E)>> {
    let poly = |poly: &Poly| E::Poly(poly.clone());
    Some(match definition {
        Definition::Product { whole, factors: [a, b] } => {
            vec![(whole.clone(), E::Poly(Poly::symbol(a) * Poly::symbol(b)))]
        }
        Definition::CeilDiv { symbol, numerator, denominator } => {
            let up = sub(add(poly(numerator), poly(denominator)), whole(1));
            vec![(symbol.clone(), floor(up, poly(denominator)))]
        }
        Definition::Minimum { symbol, of: [a, b] } => {
            vec![(symbol.clone(), min(poly(a), poly(b)))]
        }
        Definition::Gcd { symbol, of: [a, b] } => {
            vec![(symbol.clone(), E::Gcd(poly(a).into(), poly(b).into()))]
        }
        Definition::Band { pairs, rows, queries, keys, offset, reach } => {
            let (n, m, o) = (poly(queries), poly(keys), poly(offset));
            let (p, r) = match reach {
                None => band((n, m, o), None),
                Some(Reach::Window(window)) => band((n, m, o), Some(poly(window))),
                Some(Reach::Chunk(chunk)) => chunks((n, m, o), &poly(chunk)),
            };
            vec![(pairs.clone(), p), (rows.clone(), r)]
        }
        Definition::Taps { pairs, rows, slide, results, taps, input } => {
            let (p, r) = taps_on_input(slide, poly(results), taps, poly(input))?;
            std::iter::once((pairs.clone(), p)).chain(rows.clone().map(|rows| (rows, r))).collect()
        }
        Definition::Kept { .. } => return None,
    })
}

/// Pairs and rows of a band, as masks of graphs have them: a difference of sums of clamped progressions.
fn band((n, m, o): (E, E, E), window: Option<E>) -> (E, E) {
    let sum_below = |end: E| {
        let ramp = max(min(end.clone(), add(m.clone(), whole(1))), whole(0));
        let flat = max(sub(sub(end, m.clone()), whole(1)), whole(0));
        add(half(ramp, -1), mul(flat, m.clone()))
    };
    let between = |start: E| sub(sum_below(add(start.clone(), n.clone())), sum_below(start));
    let end = add(o.clone(), whole(1));
    let first = max(sub(whole(0), o), whole(0));
    let (pairs, last) = match window {
        None => (between(end), n),
        Some(w) => {
            let pairs = sub(between(end.clone()), between(sub(end.clone(), w.clone())));
            (pairs, min(sub(add(m.clone(), w), end), n))
        }
    };
    // There is a key, since sizes are 1 or more.
    (pairs, max(sub(last, first), whole(0)))
}

/// The same of chunks.
fn chunks((n, m, o): (E, E, E), chunk: &E) -> (E, E) {
    let c = || chunk.clone();
    let before_last = mul(floor(sub(m.clone(), whole(1)), c()), c());
    let end = add(before_last.clone(), c());
    let in_last = sub(m.clone(), before_last);
    let clamp = |t: E| min(max(t, whole(0)), end.clone());
    let triangle = |n: E| half(n, 1);
    let pairs_before = |t: E| {
        let own = min(t.clone(), m.clone());
        let full = floor(own.clone(), c());
        let rest = sub(own.clone(), mul(full.clone(), c()));
        let all = add(mul(full, triangle(c())), triangle(rest));
        add(all, mul(sub(t, own), in_last.clone()))
    };
    let (first, last) = (clamp(o.clone()), clamp(add(o, n)));
    (sub(pairs_before(last.clone()), pairs_before(first.clone())), sub(last, first))
}

/// The most taps of a window that are summed one by one.
const MOST_TAPS: i64 = 128;

/// The pairs of a result and a tap that falls on the input, tap by tap, and the results with such a tap.
fn taps_on_input(slide: &Slide, results: E, taps: &Poly, input: E) -> Option<(E, E)> {
    let taps = i64::try_from(taps.as_integer()?).ok().filter(|taps| *taps <= MOST_TAPS)?;
    let [stride, before] = [slide.stride, slide.padding.0].map(|n| i64::try_from(n).ok());
    let (stride, before) = (stride?, before?);
    if slide.dilation != 1 {
        return None;
    }
    // Results from `first`, and below where a tap that is `ahead` of the input's beginning leaves it.
    let between = |first: i64, ahead: i64| {
        let first = whole((first + stride - 1).div_euclid(stride).max(0));
        let end = floor(add(input.clone(), whole(ahead + stride - 1)), whole(stride));
        max(sub(min(results.clone(), end), first), whole(0))
    };
    let mut pairs: Vec<E> = (0..taps).map(|k| between(before - k, before - k)).collect();
    // Two and two, so that no expression is deep.
    while pairs.len() > 1 {
        let mut left = pairs.into_iter();
        let two = |left: &mut std::vec::IntoIter<E>| {
            let first = left.next()?;
            Some(left.next().map_or(first.clone(), |second| add(first, second)))
        };
        pairs = std::iter::from_fn(|| two(&mut left)).collect();
    }
    Some((pairs.pop().unwrap_or_else(|| whole(0)), between(before - taps + 1, before)))
}

#[cfg(test)]
mod tests {
    use opledger_dims::{Binding, Integer};

    use super::*;

    fn value(expression: &E, sizes: &Binding) -> Integer {
        let of = |e: &E| value(e, sizes);
        match expression {
            E::Poly(poly) => poly.at(sizes).unwrap(),
            E::Add(a, b) => of(a) + of(b),
            E::Sub(a, b) => of(a) - of(b),
            E::Mul(a, b) => of(a) * of(b),
            E::Floor(a, b) => {
                let (a, b) = (of(a), of(b));
                let down = Integer::from(u8::from(a < Integer::default() && &a % &b != 0.into()));
                a / b - down
            }
            E::Min(a, b) => of(a).min(of(b)),
            E::Max(a, b) => of(a).max(of(b)),
            E::Gcd(..) => unreachable!("no taps have a common divisor"),
        }
    }

    #[test]
    fn taps_on_the_input_are_those_of_a_loop() {
        for (stride, before) in [(1, 0), (1, 1), (2, 0), (2, 1), (2, 3), (3, 2), (5, 7)] {
            for taps in 1..=6_i64 {
                let slide = Slide { stride, padding: (before, 0), dilation: 1 };
                let (results, input): (Poly, Poly) = ("r".parse().unwrap(), "i".parse().unwrap());
                let found = taps_on_input(&slide, E::Poly(results), &taps.into(), E::Poly(input));
                let (pairs, rows) = found.unwrap();
                for (r, i) in (0..9_i64).flat_map(|r| (1..12_i64).map(move |i| (r, i))) {
                    let on = |result: i64, tap: i64| {
                        let at = result * stride as i64 - before as i64 + tap;
                        (0..i).contains(&at)
                    };
                    let each: Vec<usize> =
                        (0..r).map(|at| (0..taps).filter(|k| on(at, *k)).count()).collect();
                    let sizes: Binding = [("r", r as u64), ("i", i as u64)].into_iter().collect();
                    let told = (value(&pairs, &sizes), value(&rows, &sizes));
                    let some = each.iter().filter(|taps| **taps > 0).count();
                    let expected = (each.iter().sum::<usize>().into(), some.into());
                    assert_eq!(told, expected, "{slide:?}, {taps} taps, {r} results of {i}");
                }
            }
        }
    }
}
