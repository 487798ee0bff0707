//! Laws of the algebra, over random polynomials and bindings.

use proptest::prelude::*;

use crate::{Binding, Class, Counts, EvalError, Integer, Poly, Symbol};

const NAMES: [&str; 5] = ["b", "n", "c", "heads", "m"];

/// A sum of up to four terms `p/q · product of up to three symbols`.
fn poly() -> impl Strategy<Value = Poly> {
    let term = (-6_i64..7, 1_i64..5, prop::collection::vec(0..NAMES.len(), 0..4));
    prop::collection::vec(term, 0..5).prop_map(|terms| {
        let term = |(p, q, symbols): &(i64, i64, Vec<usize>)| {
            symbols.iter().map(|i| Poly::symbol(NAMES[*i])).product::<Poly>().ratio(*p, *q)
        };
        terms.iter().map(term).sum()
    })
}

/// Values that make every polynomial above whole: multiples of 12 clear all denominators.
fn binding() -> impl Strategy<Value = Binding> {
    prop::collection::vec(-3_i64..4, NAMES.len())
        .prop_map(|values| NAMES.iter().zip(values).map(|(s, v)| (*s, 12 * v)).collect())
}

/// The value at a binding, of 12 times the polynomial so that constants are whole too.
fn at(poly: &Poly, binding: &Binding) -> Integer {
    (poly * 12 * 12).at(binding).unwrap()
}

proptest! {
    #[test]
    fn one_canonical_form(a in poly(), b in poly(), c in poly()) {
        prop_assert_eq!(&a + &b, &b + &a);
        prop_assert_eq!(&a * &b, &b * &a);
        prop_assert_eq!(&(&a + &b) + &c, &a + &(&b + &c));
        prop_assert_eq!(&(&a * &b) * &c, &a * &(&b * &c));
        prop_assert_eq!(&a * &(&b + &c), &a * &b + &a * &c);
        prop_assert!((&a - &a).is_zero());
        prop_assert_eq!(&a * &Poly::one(), a.clone());
        prop_assert_eq!(&a + &Poly::zero(), a.clone());
        prop_assert_eq!(-(-&a), a);
    }

    #[test]
    fn evaluation_respects_arithmetic(a in poly(), b in poly(), binding in binding()) {
        let scale = Integer::from(144);
        prop_assert_eq!(at(&(&a + &b), &binding), at(&a, &binding) + at(&b, &binding));
        prop_assert_eq!(at(&(&a - &b), &binding), at(&a, &binding) - at(&b, &binding));
        prop_assert_eq!(at(&(&a * &b), &binding) * scale, at(&a, &binding) * at(&b, &binding));
    }

    #[test]
    fn text_reads_back(a in poly()) {
        prop_assert_eq!(a.to_string().parse::<Poly>().unwrap(), a);
    }

    #[test]
    fn binding_some_symbols_then_the_rest_is_binding_all(a in poly(), binding in binding()) {
        let part: Binding = binding.iter().take(2).map(|(s, v)| (s.clone(), v.clone())).collect();
        let partly = a.bind(&part);
        prop_assert!(partly.symbols().iter().all(|s| part.get(s).is_none()));
        prop_assert_eq!(at(&partly, &binding), at(&a, &binding));
    }

    #[test]
    fn substitution_is_evaluation_of_the_inner(a in poly(), inner in poly(), binding in binding()) {
        let replaced = a.substitute(&Symbol::new("n"), &inner.ratio(144, 1));
        let n = (&inner * 144).at(&binding).unwrap();
        // n is a multiple of 12 like every other value, so the polynomial is whole there too.
        prop_assert_eq!(at(&replaced, &binding), at(&a, &binding.with("n", n)));
    }

    #[test]
    fn folding_changes_the_writing_only(a in poly(), binding in binding()) {
        let (c, factors) = (Symbol::new("w"), [Symbol::new("b"), Symbol::new("n")]);
        let folded = a.fold(&c, &factors);
        let product = binding.get(&factors[0]).unwrap() * binding.get(&factors[1]).unwrap();
        prop_assert_eq!(at(&folded, &binding.clone().with("w", product)), at(&a, &binding));
        prop_assert_eq!(folded.fold(&c, &factors), folded.clone());
        let unfolded = folded.substitute(&c, &(Poly::symbol("b") * Poly::symbol("n")));
        prop_assert_eq!(unfolded, a);
    }

    #[test]
    fn powers_are_products(a in poly(), e in 0_u32..4) {
        let product = (0..e).fold(Poly::one(), |p, _| p * &a);
        prop_assert_eq!(a.pow(e), product);
    }

    #[test]
    fn degrees_add(a in poly(), b in poly()) {
        let n = Symbol::new("n");
        if !a.is_zero() && !b.is_zero() {
            prop_assert_eq!((&a * &b).degree_in(&n), a.degree_in(&n) + b.degree_in(&n));
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in ".{0,40}") {
        let _ = text.parse::<Poly>();
    }

    #[test]
    fn any_formula_like_text_is_read_or_refused(text in "[-+*/^()²³0-9bnc· _]{0,30}") {
        let _ = text.parse::<Poly>();
    }
}

fn parse(text: &str) -> Poly {
    text.parse().unwrap()
}

#[test]
fn written_as_papers_write() {
    for text in
        ["4·b·n·c² + 2·b·n²·c", "1/2·n² + 1/2·n", "-b + 3", "0", "12", "b·l·n·m·h·g·e·f·c·d_ff"]
    {
        assert_eq!(parse(text).to_string(), text);
    }
    assert_eq!(parse("n(n+1)/2").to_string(), "1/2·n² + 1/2·n");
    assert_eq!(parse("2*b^12 − 1").to_string(), "2·b¹² - 1");
    assert_eq!(parse("-(n - 2)(n + 2)").to_string(), "-n² + 4");
    assert_eq!(parse("10^3·1_000").to_string(), "1000000");
    assert_eq!(parse("3 n × 2").to_string(), "6·n");
}

#[test]
fn latex() {
    assert_eq!(parse("4·b·n·c² - n/2").latex(), r"4 \, b \, n \, c^{2} - \tfrac{1}{2} \, n");
    assert_eq!(parse("d_ff^2·ff").latex(), r"d_{\mathrm{ff}}^{2} \, \mathrm{ff}");
}

#[test]
fn errors_point_at_the_character() {
    let error = |text: &str| text.parse::<Poly>().unwrap_err().to_string();
    assert_eq!(error("2·n +"), "a number, a name or `(` is missing at character 6 of `2·n +`");
    assert_eq!(error("2·n $"), "unexpected `$` at character 5 of `2·n $`");
    assert_eq!(error("(n"), "`)` is missing at character 3 of `(n`");
    assert_eq!(
        error("n/c"),
        "division by something that is not a non-zero number at character 4 of `n/c`"
    );
    assert_eq!(
        error("n/0"),
        "division by something that is not a non-zero number at character 4 of `n/0`"
    );
    assert_eq!(error("n^x"), "a power that is not a whole number at character 3 of `n^x`");
    assert_eq!(error("n^99"), "a power above 64 at character 5 of `n^99`");
    assert!(error(&"(".repeat(40)).starts_with("parentheses deeper than 32"));
    assert!(error(&"n".repeat(4097)).starts_with("a formula of over 4096 characters"));
    assert!("n".repeat(4096).parse::<Poly>().is_ok());
    assert!(error("(a+b+c+d+e+f+g+h)^9").starts_with("a product of over 4096 terms"));
    assert!("64·n^64".parse::<Poly>().is_ok());
    let deep =
        |depth: usize| format!("{}n{}", "(".repeat(depth), ")".repeat(depth)).parse::<Poly>();
    assert!(deep(32).is_ok() && deep(33).is_err());
    assert!("(n)".repeat(40).parse::<Poly>().is_ok(), "depth is of nesting, not of number");
    let square = |terms: usize| {
        let sum = (0..terms).map(|i| format!("x{i}")).collect::<Vec<_>>().join("+");
        format!("({sum})({sum})").parse::<Poly>()
    };
    assert!(square(64).is_ok() && square(65).is_err());
}

#[test]
fn values_are_exact_or_refused() {
    let huge = parse("n^9").at(&Binding::new().with("n", Integer::from(10).pow(30))).unwrap();
    assert_eq!(huge.to_string(), format!("1{}", "0".repeat(270)));
    assert_eq!(
        parse("b·n").at(&Binding::new().with("b", 2)).unwrap_err(),
        EvalError::Unbound("n".into())
    );
    let fraction = parse("n/2").at(&Binding::new().with("n", 3)).unwrap_err().to_string();
    assert_eq!(fraction, "`1/2·n` is 3/2 at n=3, not a whole number");
    assert_eq!(parse("7").as_integer(), Some(7.into()));
    assert_eq!((parse("7/2").as_integer(), parse("n").as_integer()), (None, None));
    assert_eq!(parse("n").as_symbol(), Some(&Symbol::new("n")));
    assert!(["2·n", "n²", "n+b", "3"].iter().all(|t| parse(t).as_symbol().is_none()));
    assert_eq!(parse("n²·c + n + 1").num_terms(), 3);
    assert!(parse("n + 1/2").is_never_negative() && parse("0").is_never_negative());
    assert!(!parse("n² - n").is_never_negative());
}

#[test]
fn counts_add_class_by_class() {
    let a = Counts::<u64>::zero().with(Class::Add, 2).with(Class::Exp, 3);
    let b = Counts::<u64>::zero().with(Class::Add, 5).with(Class::Cos, 1);
    let sum = a + b;
    assert_eq!((sum[Class::Add], sum[Class::Exp], sum[Class::Cos], sum.total()), (7, 3, 1, 11));
    assert_eq!(sum.to_string(), "add = 7, exp = 3, cos = 1");
    assert_eq!(Counts::<u64>::zero().to_string(), "none");
    assert!(Counts::<u64>::zero().is_zero() && !sum.is_zero());
    assert_eq!(sum.widen().total(), 11.into());
    let poly = Counts::zero().with(Class::Mul, parse("n²"));
    let at = poly.times(&parse("l")).at(&Binding::from_iter([("n", 3), ("l", 2)])).unwrap();
    assert_eq!(at, Counts::zero().with(Class::Mul, 18.into()));
    assert_eq!(poly.at(&Binding::new()).unwrap_err(), EvalError::Unbound("n".into()));
    let names: Vec<_> = Class::ALL.iter().map(|c| c.to_string()).collect();
    assert_eq!(names.join(" "), "add mul div max exp log sqrt tanh erf sin cos atan");
}

#[test]
fn bindings_print_in_customary_order() {
    let binding = Binding::from_iter([("c", 3), ("zeta", 4), ("b", 1), ("n", 2)]);
    assert_eq!(binding.to_string(), "b=1, n=2, c=3, zeta=4");
    assert!(Binding::new().is_empty() && !binding.is_empty());
    let pairs: Vec<String> = binding.iter().map(|(s, v)| format!("{s}{v}")).collect();
    assert_eq!(pairs, ["b1", "n2", "c3", "zeta4"]);
}

#[test]
fn symbols_and_monomials_order_alike_by_both_traits() {
    use crate::monomial::Monomial;
    let [b, n] = ["b", "n"].map(|s| Monomial::symbol(Symbol::new(s)));
    assert_eq!(b.partial_cmp(&n), Some(b.cmp(&n)));
    assert_eq!(Symbol::new("b").partial_cmp(&Symbol::new("a")), Some(std::cmp::Ordering::Less));
}

#[test]
fn polynomials_are_made_as_named() {
    let [n, c] = ["n", "c"].map(parse);
    let terms = [n.clone(), c.clone(), n.clone()];
    assert_eq!(Poly::from("n"), n);
    assert_eq!(Poly::from(Symbol::new("n")), n);
    assert_eq!(Poly::from(&n), n);
    assert_eq!(Poly::from(7_u64), parse("7"));
    assert_eq!(terms.iter().sum::<Poly>(), parse("2·n + c"));
    assert_eq!(terms.iter().cloned().sum::<Poly>(), parse("2·n + c"));
    assert_eq!(terms.iter().product::<Poly>(), parse("n²·c"));
    assert_eq!(terms.iter().cloned().product::<Poly>(), parse("n²·c"));
    assert_eq!(n.ratio(3, 4), parse("3/4·n"));
    assert_eq!(n.ratio(3, 0), parse("3·n"));
    let mut sum = n.clone();
    sum += c.clone();
    assert_eq!(sum, parse("n + c"));
    assert!(num_traits::Zero::is_zero(&Poly::zero()) && !num_traits::Zero::is_zero(&n));
}

#[test]
fn polynomials_say_what_they_hold() {
    let poly = parse("3·n²·c + b");
    let symbols: Vec<String> = poly.symbols().iter().map(|s| format!("{s:?}")).collect();
    assert_eq!(symbols, ["b", "n", "c"]);
    let degrees = ["n", "c", "b", "x"].map(|s| poly.degree_in(&Symbol::new(s)));
    assert_eq!(degrees, [2, 1, 1, 0]);
}
