//! Conditions of an export as they are told: without what holds anyway, and each once.

use std::collections::BTreeMap;

use opledger_dims::{Integer, Poly, Symbol};
use opledger_ir::{SizeComparison, SizeCondition, SizeRelation, SizeTerm};

use crate::atoms::Shares;
use crate::bounds::strongest;
use crate::canonical::canonical;
use crate::multiples::Multiples;

/// Conditions without those that always hold, that others imply, or that the tracer makes: it sets sizes
/// of 0 and 1 apart, for which what is recorded holds as well.
pub(crate) fn told_once(conditions: &[SizeCondition]) -> Vec<SizeCondition> {
    let conditions: Vec<SizeCondition> = conditions.iter().map(canonical).collect();
    let multiples = Multiples::of(&conditions);
    let simplified = conditions.iter().map(|condition| multiples.simplified_condition(condition));
    let shares = multiples.shares();
    let (settled, mut open): (Vec<_>, Vec<_>) = simplified.partition(|of| is_settled(of, &shares));
    // What holds where no share of a size is 1 is told as that.
    if settled.iter().any(|of| !is_settled(of, &Shares::default())) {
        open.extend(shares.none_is_one());
    }
    let mut told = strongest(&open, shares);
    told.extend(multiples.conditions());
    told.retain(|condition| !is_settled(condition, &Shares::default()));
    told.sort_by_cached_key(ToString::to_string);
    told.dedup();
    told
}

/// Whether a condition holds anyway, or for all sizes, and shares of sizes, but 0 and 1.
fn is_settled(condition: &SizeCondition, shares: &Shares) -> bool {
    let is_of_tracer = |of| is_of_tracer(of, shares);
    condition.always_holds() || condition.comparisons().iter().any(is_of_tracer)
}

/// Whether a size is another times further sizes, or a number.
fn is_multiple(whole: &SizeTerm, part: &SizeTerm, shares: &Shares) -> bool {
    let (SizeTerm::Poly(whole), SizeTerm::Poly(part)) = (whole, part) else { return false };
    let rest = shares.widened(whole).divided_by(&shares.widened(part));
    rest.is_some_and(|rest| match times(&rest) {
        Some(by) => by > 1.into() || by == 1.into() && rest != Poly::one(),
        None => false,
    })
}

/// How often a number is a product of sizes, or of none.
fn times(size: &Poly) -> Option<Integer> {
    let symbols = size.symbols();
    let ones: BTreeMap<Symbol, Poly> =
        symbols.iter().map(|symbol| (symbol.clone(), Poly::one())).collect();
    size.compose(&ones).as_integer().filter(|_| size.num_terms() == 1)
}

/// Whether a number is a product of sizes, which is 1 where each of them is.
fn is_product(size: &Poly) -> bool {
    times(size) == Some(1.into()) && *size != Poly::one()
}

/// Whether a division by a size leaves 1, or 1 less than the size, unless the size is 1.
fn leaves_one(of: &[SizeTerm; 2]) -> bool {
    let [SizeTerm::Poly(a), SizeTerm::Poly(b)] = of else { return false };
    b.as_integer().is_none() && [a + 1, a - 1].iter().any(|near| near.divided_by(b).is_some())
}

/// Whether a condition says that a size of an input is not 0, or not 1: as such; by a product with it that
/// differs from one without it; or by what a division leaves. What says so of a quotient may be a branch of
/// the model.
fn is_of_tracer(comparison: &SizeComparison, shares: &Shares) -> bool {
    let SizeComparison { left, relation, right } = comparison;
    if *relation != SizeRelation::Unequal {
        return false;
    }
    let is = |number: Poly| [left, right].contains(&&SizeTerm::Poly(number));
    match left {
        SizeTerm::Remainder(of) => {
            is(Poly::zero()) && (is_multiple(&of[1], &of[0], shares) || leaves_one(of))
        }
        SizeTerm::Poly(size) if is(Poly::zero()) || is(Poly::one()) => {
            is_product(&shares.widened(size))
        }
        SizeTerm::Poly(_) => is_multiple(left, right, shares) || is_multiple(right, left, shares),
        SizeTerm::Sum(_)
        | SizeTerm::Product(_)
        | SizeTerm::Quotient(_)
        | SizeTerm::Least(_)
        | SizeTerm::Greatest(_) => false,
    }
}

/// The size that a letter is in a test.
#[cfg(test)]
pub(crate) fn by_name(place: &crate::guards::GuardPlace<'_>) -> Option<Poly> {
    match place {
        crate::guards::GuardPlace::Symbol(name) => Some(Poly::from(*name)),
        crate::guards::GuardPlace::Input(..) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guards;

    #[test]
    fn conditions_that_others_imply_are_not_told() {
        let all = [
            "n <= 64",
            "n <= 32",
            "n == n",
            "b == n",
            "n == b",
            "n % 2 == 0",
            "n % 4 == 0",
            "n == 4*((n // 2) // 2)",
            "n >= 4",
            "n >= 3",
            "(n // 2) % 2 == 0",
            "((2*n - 1)*((n*n) // n)) % n == 0",
            "(2*n - 1) % n != 0",
            "n // 8 <= 12",
        ];
        assert_eq!(told(&all), ["b = n", "n mod 4 = 0", "n ≤ 32"]);
    }

    #[test]
    fn the_strongest_bound_of_a_size_is_told_alone() {
        for (guards, expected) in [
            (&["n - 4 >= 3", "n > 2", "n > 3", "n >= 7"][..], &["n ≥ 7"][..]),
            (&["n // 8 <= 12"], &["n ≤ 103"]),
            (&["12 >= n // 8", "n < 100"], &["n ≤ 99"]),
            (&["3*n < 20", "n <= 7", "n != 6"], &["n ≤ 5"]),
            (&["n >= 3", "n <= 3", "n != 4", "n > 1"], &["n = 3"]),
            (&["n == 3", "n != 4", "n != 3 + b - b + 1"], &["n = 3"]),
            (&["n >= 3", "n != 3", "n != 4", "n != 9"], &["n ≠ 9", "n ≥ 5"]),
            (&["8*b*(n - 3) >= 2", "n - 3 >= 0"], &["n ≥ 4"]),
            (&["b*n >= 5", "b >= 2", "n >= 3"], &["b ≥ 2", "n ≥ 3"]),
            (&["b*n >= 7", "b >= 2", "n >= 3"], &["b ≥ 2", "b·n ≥ 7", "n ≥ 3"]),
            (&["b*n - 3*b >= 2"], &["b·n - 3·b ≥ 2"]),
            (&["n - b > 0", "n != b", "n >= b"], &["n > b"]),
            (&["n - b > 3"], &["n - b > 3"]),
            (&["2*n - 2*b >= 3", "n - b > -1"], &["n ≥ b + 2"]),
            (&["min(n, m) > 4", "n > 5"], &["m ≥ 5", "n ≥ 6"]),
            (&["max(n, m) < 100", "m < 70"], &["m ≤ 69", "n ≤ 99"]),
            (&["min(n, m) <= n", "8*n == 8*min(n, m)"], &["m ≥ n"]),
            (&["8*n == 8*min(n, m)", "n != m", "m != min(n, m)"], &["m > n"]),
            (&["max(n, m) - n < 4"], &["m ≤ n + 3"]),
            (&["min(n, 8) <= 8"], &[]),
            (&["max(n, 8) <= 9", "min(n, m) <= 9"], &["n ≤ 9"]),
            (&["n > 5 or m > 70", "n > 5"], &["n ≥ 6"]),
            (&["n > 5 or m > 70", "n < 4"], &["m ≥ 71", "n ≤ 3"]),
            (&["n > 5 or n < 6"], &[]),
            (&["n > 5 or n != 6"], &[]),
            (&["n > 5 or m - 2 >= 70"], &["n ≥ 6 or m ≥ 72"]),
            (&["n % 8 == 0", "b*n >= 2", "n >= 3", "n <= 30"], &["n mod 8 = 0", "n ≤ 24"]),
            (&["n % 8 == 3"], &["n mod 8 = 3"]),
            (&["n % 8 <= 7", "n % 8 < 9"], &[]),
            (&["min(8, min(2*n, 3*m)) == 8"], &["m ≥ 3", "n ≥ 4"]),
            (&["max(8, n) == 8"], &["n ≤ 8"]),
            (&["8*n % 8 == 0", "n % 1 == 0"], &[]),
            (&["2*n == 3"], &["2·n = 3"]),
            (&["n >= 0", "n > 0", "b*n >= 1"], &[]),
            // What is filled up to fours.
            (&["(n + (4 - n % 4) % 4) % 4 == 0", "4*n + 4*((4 - n % 4) % 4) != 4"], &[]),
            (&["n + (4 - n % 4) % 4 != (n + (4 - n % 4) % 4) // 4"], &[]),
            (&["(n + (4 - n % 4) % 4) // 4 != 1"], &["n ≥ 5"]),
            (&["b % (b*((n + 3) // 4)) != 0", "(n + 3) // 4 != 1"], &["n ≥ 5"]),
            (&["b*((n + 3) // 4) != b"], &["n ≥ 5"]),
            (&["n // 4 != 0", "n // 4 != 1", "n // 4 != 3"], &["n ≥ 8", "⌊n / 4⌋ ≠ 3"]),
            (&["(n*b) // (n + b) != b"], &["⌊b·n / (n + b)⌋ ≠ b"]),
            (&["48*n != 192*(n // 4)"], &["4·⌊n / 4⌋ ≠ n"]),
        ] {
            assert_eq!(told(guards), expected, "{guards:?}");
        }
    }

    /// At every size of a small range, what is told holds where all guards do, but for sizes of 0 and 1.
    #[test]
    fn what_is_told_is_what_the_guards_say() {
        use opledger_dims::Binding;
        let terms = [
            "n",
            "m",
            "n - 4",
            "3*n",
            "n // 3",
            "n - m",
            "2*n - 3*m",
            "min(n, m)",
            "max(n, 4)",
            "n % 4",
            "n - min(n, m)",
            "max(n, m) - m",
            "m*(n - 2)",
            "m*(n // 2)",
            "3 - n",
            "n // m",
            "2*m*n - 4*n",
        ];
        let signs = ["==", "!=", "<", "<=", ">", ">="];
        let mut state = 7_u64;
        let mut draw = |most: usize| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).unwrap() % most
        };
        for _ in 0..400 {
            let mut one = || format!("{} {} {}", terms[draw(terms.len())], signs[draw(6)], draw(9));
            let count = 1 + one().len() % 3;
            let mut guards: Vec<String> = (0..count).map(|_| one()).collect();
            if count == 2 {
                guards.push(format!("{} or {}", one(), one()));
            }
            let read: Vec<SizeCondition> =
                guards.iter().flat_map(|guard| condition(guard)).collect();
            let short = told_once(&read);
            // What the tracer sets apart is not told.
            let own: Vec<_> =
                read.iter().filter(|of| !is_settled(of, &Shares::default())).cloned().collect();
            for (n, m) in (2..12).flat_map(|n| (2..12).map(move |m| (n, m))) {
                let sizes = Binding::new().with("n", n).with("m", m);
                let all = |of: &[SizeCondition]| {
                    of.iter().map(|one| one.holds(&sizes)).collect::<Option<Vec<bool>>>()
                };
                let (Some(holds), Some(told)) = (all(&own), all(&short)) else { continue };
                let [holds, told] = [holds, told].map(|all| all.into_iter().all(|holds| holds));
                assert_eq!(holds, told, "{guards:?} told as {short:?} at {sizes}");
            }
        }
    }

    fn condition(guard: &str) -> Vec<SizeCondition> {
        guards::conditions(guard, &by_name).unwrap()
    }

    fn told(guards: &[&str]) -> Vec<String> {
        let all: Vec<SizeCondition> = guards.iter().flat_map(|guard| condition(guard)).collect();
        told_once(&all).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn sizes_of_one_are_told_apart_in_tracing_only() {
        let of_tracer =
            |guard: &str| is_of_tracer(&condition(guard)[0].comparisons()[0], &Shares::default());
        for guard in
            ["b != 1", "b * n != 1", "n != b * n", "n % (4 * n) != 0", "(2*n - 1) % n != 0"]
        {
            assert!(of_tracer(guard), "{guard}");
        }
        for guard in [
            "b == 1",
            "n % 4 != 0",
            "b != n",
            "n // 4 != 3",
            "n // 4 != 1",
            "n // 4 != 0",
            "16 * b * (n // 4) != 16 * b",
            "(n // 4) % (b * (n // 4)) != 0",
            "n // 4 != b * (n // 4)",
            "n - 3 != 1",
            "2 * n != 0",
            "n != 4",
            "b*n != 4*b",
            "n % n != 0",
            "(n // 4) % (b * (n // 2)) != 0",
        ] {
            assert!(!of_tracer(guard), "{guard}");
        }
    }
}
