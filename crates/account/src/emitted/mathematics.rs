//! Formulas in the languages of mathematics.

use opledger_dims::{Integer, Poly, Symbol};

use super::expression::SizeExpression;
use super::{Check, EmittedCode, comments, name_of};

fn sympy_poly(poly: &Poly) -> String {
    let whole = poly.whole_terms();
    let term = |(coefficient, powers): &(Integer, Vec<(Symbol, u32)>)| {
        let mut factors = vec![match whole.denominator == 1.into() {
            true => format!("Integer({coefficient})"),
            false => format!("Rational({coefficient}, {})", whole.denominator),
        }];
        factors.extend(powers.iter().map(|(s, e)| match e {
            1 => name_of(s),
            _ => format!("{}**{e}", name_of(s)),
        }));
        factors.join("*")
    };
    let terms: Vec<String> = whole.terms.iter().map(term).collect();
    if terms.is_empty() { "Integer(0)".to_owned() } else { terms.join(" + ") }
}

fn sympy_of(own: &SizeExpression) -> String {
    match own {
        SizeExpression::Poly(poly) => sympy_poly(poly),
        SizeExpression::Add(a, b) => format!("({} + {})", sympy_of(a), sympy_of(b)),
        SizeExpression::Sub(a, b) => format!("({} - ({}))", sympy_of(a), sympy_of(b)),
        SizeExpression::Mul(a, b) => format!("({})*({})", sympy_of(a), sympy_of(b)),
        SizeExpression::Floor(a, b) => format!("floor(({})/({}))", sympy_of(a), sympy_of(b)),
        SizeExpression::Min(a, b) => format!("Min({}, {})", sympy_of(a), sympy_of(b)),
        SizeExpression::Max(a, b) => format!("Max({}, {})", sympy_of(a), sympy_of(b)),
        SizeExpression::Gcd(a, b) => format!("gcd({}, {})", sympy_of(a), sympy_of(b)),
    }
}

pub(super) fn sympy(program: &EmittedCode) -> String {
    let mut text = comments(program, "#");
    text.push_str("\nfrom sympy import Integer, Max, Min, Rational, floor, gcd, symbols\n\n");
    for symbol in &program.sizes {
        let name = name_of(symbol);
        text.push_str(&format!("{name} = symbols(\"{name}\", integer=True, positive=True)\n"));
    }
    for (symbol, expression) in &program.steps {
        text.push_str(&format!("{} = {}\n", name_of(symbol), sympy_of(expression)));
    }
    for (name, meaning, formula) in &program.functions {
        text.push_str(&format!("\n# {meaning}\n{name} = {}\n", sympy_poly(formula)));
    }
    let names: Vec<String> = program.sizes.iter().map(name_of).collect();
    let functions: Vec<&str> = program.functions.iter().map(|(name, ..)| &**name).collect();
    text.push_str("\n\ndef check():\n    \"\"\"Raises where an expression is not what it was.\"\"\"\n    for at, values in [\n");
    let list = |all: &[Integer]| all.iter().map(Integer::to_string).collect::<Vec<_>>().join(", ");
    for Check { at, values } in &program.checks {
        text.push_str(&format!("        ([{}], [{}]),\n", list(at), list(values)));
    }
    text.push_str(&format!("    ]:\n        at = dict(zip([{}], at))\n", names.join(", ")));
    text.push_str(&format!(
        "        found = [own.subs(at) for own in [{}]]\n",
        functions.join(", ")
    ));
    text.push_str("        assert found == values, (at, found, values)\n");
    text.push_str("\n\nif __name__ == \"__main__\":\n    check()\n");
    text
}

fn latex_of(own: &SizeExpression) -> String {
    let grouped = |own: &SizeExpression| match own {
        SizeExpression::Poly(poly) if poly.num_terms() <= 1 => latex_of(own),
        SizeExpression::Min(..)
        | SizeExpression::Max(..)
        | SizeExpression::Gcd(..)
        | SizeExpression::Floor(..) => latex_of(own),
        _ => format!(r"\left({}\right)", latex_of(own)),
    };
    match own {
        SizeExpression::Poly(poly) => poly.latex(),
        SizeExpression::Add(a, b) => format!("{} + {}", latex_of(a), latex_of(b)),
        SizeExpression::Sub(a, b) => format!("{} - {}", latex_of(a), grouped(b)),
        SizeExpression::Mul(a, b) => format!(r"{} \, {}", grouped(a), grouped(b)),
        SizeExpression::Floor(a, b) => {
            format!(r"\left\lfloor \frac{{{}}}{{{}}} \right\rfloor", latex_of(a), latex_of(b))
        }
        SizeExpression::Min(a, b) => format!(r"\min\left({}, {}\right)", latex_of(a), latex_of(b)),
        SizeExpression::Max(a, b) => format!(r"\max\left({}, {}\right)", latex_of(a), latex_of(b)),
        SizeExpression::Gcd(a, b) => format!(r"\gcd\left({}, {}\right)", latex_of(a), latex_of(b)),
    }
}

pub(super) fn latex(program: &EmittedCode) -> String {
    let mut text = comments(program, "%");
    text.push_str("\\begin{align*}\n");
    let mut rows: Vec<String> = Vec::new();
    for (name, _, formula) in &program.functions {
        let name = name.replace('_', r"\ ");
        rows.push(format!(r"\text{{{name}}} &= {}", formula.latex()));
    }
    for (symbol, expression) in &program.steps {
        rows.push(format!("{} &= {}", Poly::symbol(symbol).latex(), latex_of(expression)));
    }
    text.push_str(&rows.join(" \\\\\n"));
    text.push_str("\n\\end{align*}\n");
    text
}
