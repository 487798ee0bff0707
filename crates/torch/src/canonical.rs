//! Sizes in one form, in which those that are equal look alike: `n + (4 − n mod 4) mod 4` is `4·⌊(n + 3) / 4⌋`.

use opledger_dims::{Integer, Poly};
use opledger_ir::{SizeComparison, SizeCondition, SizeTerm};

use crate::atoms::{Atoms, floored};

/// The same condition, each side in that form where this is shorter.
pub(crate) fn canonical(condition: &SizeCondition) -> SizeCondition {
    let sides = condition.comparisons().iter().map(|of| {
        let [left, right] = [&of.left, &of.right].map(shorter);
        SizeComparison::new(left, of.relation, right)
    });
    SizeCondition::any(sides.collect())
}

/// The same number in that form, if it is shorter.
fn shorter(term: &SizeTerm) -> SizeTerm {
    if matches!(term, SizeTerm::Poly(_)) {
        return term.clone();
    }
    let mut atoms = Atoms::default();
    let own = poly(&mut atoms, term).and_then(|poly| atoms.back(&poly));
    let length = |term: &SizeTerm| term.to_string().chars().count();
    own.filter(|own| length(own) < length(term)).unwrap_or_else(|| term.clone())
}

/// A number as a polynomial of sizes and of quotients in this form; none where it has too many terms.
fn poly(atoms: &mut Atoms, term: &SizeTerm) -> Option<Poly> {
    let mut both = |of: &[SizeTerm; 2]| Some((poly(atoms, &of[0])?, poly(atoms, &of[1])?));
    match term {
        SizeTerm::Poly(_) => atoms.poly(term),
        SizeTerm::Sum(of) => both(of).map(|(a, b)| &a + &b),
        SizeTerm::Product(of) => {
            let (a, b) = both(of)?;
            Atoms::is_small(a.num_terms() * b.num_terms()).then(|| &a * &b)
        }
        SizeTerm::Quotient(of) => {
            let (a, b) = both(of)?;
            quotient(atoms, &a, &b)
        }
        SizeTerm::Remainder(of) => {
            let (a, b) = both(of)?;
            let whole = quotient(atoms, &a, &b)?;
            if b.as_integer().is_none() && !atoms.is_plain(&whole) {
                let of = [atoms.back(&a)?, atoms.back(&b)?];
                return atoms.poly(&SizeTerm::Remainder(Box::new(of)));
            }
            Atoms::is_small(b.num_terms() * whole.num_terms()).then(|| &a - &(&b * &whole))
        }
        SizeTerm::Least(of) | SizeTerm::Greatest(of) => {
            let (a, b) = both(of)?;
            let is_least = matches!(term, SizeTerm::Least(_));
            let (less, more) = if is_least { (&a, &b) } else { (&b, &a) };
            // Sizes are never below 0, and quotients may be.
            let plain = |poly: &Poly| atoms.is_plain(poly);
            if plain(&(&b - &a)) {
                if (more - less).is_never_negative() {
                    return Some(a);
                }
                if (less - more).is_never_negative() {
                    return Some(b);
                }
            }
            let of = Box::new([atoms.back(&a)?, atoms.back(&b)?]);
            let term = if is_least { SizeTerm::Least(of) } else { SizeTerm::Greatest(of) };
            atoms.poly(&term)
        }
    }
}

/// A quotient, rounded down; what does not come out even over a whole number that has no divisor in common
/// with it.
fn quotient(atoms: &mut Atoms, a: &Poly, b: &Poly) -> Option<Poly> {
    let (zero, one) = (Integer::default(), Integer::from(1));
    if b.is_zero() || [a, b].iter().any(|of| of.divided_by(&Poly::one()).is_none()) {
        return None;
    }
    if let Some(even) = a.divided_by(b) {
        return Some(even);
    }
    if b.divided_by(a).and_then(|times| times.as_integer()).is_some_and(|times| times > one) {
        return Some(Poly::zero());
    }
    let Some(by) = b.as_integer().filter(|by| *by > zero) else {
        return rounded_down(atoms, a, b);
    };
    let (whole, rest) = a.divided_terms(&by);
    let none = rest.symbols().into_iter().map(|own| (own, Poly::zero())).collect();
    let constant = rest.compose(&none);
    let (parts, more) = (&rest - &constant, constant.as_integer()?);
    let (form, times, _) = parts.primitive();
    if form.is_zero() {
        return Some(&whole + &Poly::from(floored(&more, &by)));
    }
    if times < zero {
        // `⌊−x / b⌋` is `−⌊(x + b − 1) / b⌋`.
        let up = &Poly::from(&by - &one) - &rest;
        return Some(&whole - &quotient(atoms, &up, b)?);
    }
    let common = common_divisor(times.clone(), by.clone());
    let (by, more) = (by / &common, floored(&more, &common));
    let whole = &whole + &Poly::from(floored(&more, &by));
    let form = &form * &Poly::from(times / &common);
    let left = Poly::from(&more - floored(&more, &by) * &by);
    if by == one {
        return Some(&whole + &form);
    }
    // A quotient of a quotient is one of the first by both.
    if let Some(SizeTerm::Quotient(of)) = form.as_symbol().and_then(|own| atoms.term(own))
        && let SizeTerm::Poly(inner) = &of[1]
        && let Some(inner) = inner.as_integer().filter(|inner| *inner > zero)
    {
        let first = of[0].clone();
        let first = poly(atoms, &first)?;
        let inner = Poly::from(inner);
        let next = quotient(atoms, &(&first + &(&left * &inner)), &(&inner * &Poly::from(by)))?;
        return Some(&whole + &next);
    }
    Some(&whole + &rounded_down(atoms, &(&form + &left), &by.into())?)
}

fn rounded_down(atoms: &mut Atoms, a: &Poly, b: &Poly) -> Option<Poly> {
    let of = [atoms.back(a)?, atoms.back(b)?];
    atoms.poly(&SizeTerm::Quotient(Box::new(of)))
}

fn common_divisor(mut a: Integer, mut b: Integer) -> Integer {
    while b != Integer::default() {
        (a, b) = (b.clone(), a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use opledger_dims::Binding;

    use super::*;
    use crate::guards;
    use crate::told::by_name;

    const UP: &str = "(n + (4 - n % 4) % 4)";

    fn read(text: &str) -> SizeTerm {
        guards::number(text, &by_name).unwrap()
    }

    #[test]
    fn sizes_that_are_equal_look_alike() {
        for (text, told) in [
            (UP.to_owned(), "4·⌊(n + 3) / 4⌋"),
            (format!("{UP} // 4"), "⌊(n + 3) / 4⌋"),
            (format!("{UP} // ({UP} // 4)"), "4"),
            (format!("{UP} % 4"), "0"),
            (format!("(b*{UP}*({UP} // ({UP} // 4))) // 16"), "b·⌊(n + 3) / 4⌋"),
            (
                format!("8*b*({UP} // 4)*((m + (4 - m % 4) % 4) // 4)"),
                "8·b·⌊(m + 3) / 4⌋·⌊(n + 3) / 4⌋",
            ),
            (
                format!("(b*({UP} // 4)) % (({UP} // 4)*b*((m + (4 - m % 4) % 4) // 4))"),
                "(b·⌊(n + 3) / 4⌋) mod (b·⌊(m + 3) / 4⌋·⌊(n + 3) / 4⌋)",
            ),
            ("((n + 1) // 2 + 1) // 2".into(), "⌊(n + 3) / 4⌋"),
            ("(2*n + 1) // 4 + n - n".into(), "⌊n / 2⌋"),
            ("(6*n + 8*m + 5) // 4".into(), "⌊3·n / 2⌋ + 2·m + 1"),
            ("(m*(n // 2)) % (4*m*(n // 2))".into(), "m·⌊n / 2⌋"),
            ("min(n, n + 3)".into(), "n"),
            ("max(n, n + 3)".into(), "n + 3"),
            ("min(n, (8*m + 3) // 4)".into(), "min(n, 2·m)"),
            // These are no shorter otherwise.
            ("n % 8".into(), "n mod 8"),
            ("(m + n) // m".into(), "⌊(m + n) / m⌋"),
            ("n // 0".into(), "⌊n / 0⌋"),
        ] {
            assert_eq!(shorter(&read(&text)).to_string(), told, "{text}");
        }
    }

    /// At every size of a small range the number is the same.
    #[test]
    fn it_is_the_same_number() {
        let mut state = 11_u64;
        let mut draw = |most: usize| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).unwrap() % most
        };
        let mut shortened = 0;
        for _ in 0..1000 {
            let mut all: Vec<String> = ["n", "m", "3", "n - 5", "2*m - n", "4", "7", "-6"]
                .map(|own| format!("({own})"))
                .to_vec();
            for _ in 0..4 {
                let (a, b) = (all[draw(all.len())].clone(), all[draw(all.len())].clone());
                all.push(match draw(7) {
                    0 => format!("({a} + {b})"),
                    1 => format!("({a} - {b})"),
                    2 => format!("({a} * {b})"),
                    3 => format!("min({a}, {b})"),
                    4 => format!("max({a}, {b})"),
                    5 => format!("({a} // {b})"),
                    _ => format!("({a} % {b})"),
                });
            }
            let term = read(all.last().unwrap());
            let short = shorter(&term);
            shortened += usize::from(short != term);
            for (n, m) in (1..14).flat_map(|n| (1..14).map(move |m| (n, m))) {
                let sizes = Binding::new().with("n", n).with("m", m);
                let Some(value) = term.at(&sizes) else { continue };
                assert_eq!(short.at(&sizes), Some(value), "{term} as {short} at {sizes}");
            }
        }
        assert!(shortened > 100, "{shortened}");
    }
}
