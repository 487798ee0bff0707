//! Formulas in languages that execute them.

use opledger_dims::{Integer, Poly, Symbol};

use super::expression::SizeExpression;
use super::{Check, EmittedCode, comments, name_of};

/// How a language writes integers.
trait Writer {
    /// A polynomial as a whole number.
    fn poly(&self, poly: &Poly) -> String;
    /// Two expressions under an operation.
    fn both(&self, operation: Operation, a: String, b: String) -> String;

    fn expression(&self, own: &SizeExpression) -> String {
        let both = |operation, a: &SizeExpression, b: &SizeExpression| {
            self.both(operation, self.expression(a), self.expression(b))
        };
        match own {
            SizeExpression::Poly(poly) => self.poly(poly),
            SizeExpression::Add(a, b) => both(Operation::Add, a, b),
            SizeExpression::Sub(a, b) => both(Operation::Sub, a, b),
            SizeExpression::Mul(a, b) => both(Operation::Mul, a, b),
            SizeExpression::Floor(a, b) => both(Operation::Floor, a, b),
            SizeExpression::Min(a, b) => both(Operation::Min, a, b),
            SizeExpression::Max(a, b) => both(Operation::Max, a, b),
            SizeExpression::Gcd(a, b) => both(Operation::Gcd, a, b),
        }
    }
}

#[derive(Clone, Copy)]
enum Operation {
    Add,
    Sub,
    Mul,
    Floor,
    Min,
    Max,
    Gcd,
}

/// A sum of products, over a denominator of which it is a multiple.
fn sum(
    poly: &Poly,
    whole: impl Fn(&Integer) -> String,
    power: impl Fn(&Symbol, u32) -> String,
) -> (String, Integer) {
    let terms = poly.whole_terms();
    let mut text = String::new();
    let one = Integer::from(1);
    for (coefficient, powers) in &terms.terms {
        let negative = *coefficient < Integer::default();
        let size = if negative { -coefficient } else { coefficient.clone() };
        let mut factors: Vec<String> = powers.iter().map(|(s, e)| power(s, *e)).collect();
        if size != one || factors.is_empty() {
            factors.insert(0, whole(&size));
        }
        let sign = match (text.is_empty(), negative) {
            (true, false) => "",
            (true, true) => "-",
            (false, false) => " + ",
            (false, true) => " - ",
        };
        text.push_str(sign);
        text.push_str(&factors.join("*"));
    }
    if text.is_empty() {
        text = whole(&Integer::default());
    }
    (text, terms.denominator)
}

fn names(program: &EmittedCode) -> Vec<String> {
    program.sizes.iter().map(name_of).collect()
}

/// The steps that a formula needs, in their order.
fn steps_of<'p>(program: &'p EmittedCode, formula: &Poly) -> Vec<&'p (Symbol, SizeExpression)> {
    let mut needed = formula.symbols();
    let mut found = Vec::new();
    for step in program.steps.iter().rev() {
        if needed.contains(&step.0) {
            needed.extend(step.1.symbols());
            found.push(step);
        }
    }
    found.reverse();
    found
}

struct Python;

impl Writer for Python {
    fn poly(&self, poly: &Poly) -> String {
        let power = |s: &Symbol, e| match e {
            1 => name_of(s),
            _ => format!("{}**{e}", name_of(s)),
        };
        let (text, denominator) = sum(poly, Integer::to_string, power);
        match denominator == 1.into() {
            true => text,
            false => format!("({text})//{denominator}"),
        }
    }

    fn both(&self, operation: Operation, a: String, b: String) -> String {
        match operation {
            Operation::Add => format!("({a} + {b})"),
            Operation::Sub => format!("({a} - ({b}))"),
            Operation::Mul => format!("(({a})*({b}))"),
            Operation::Floor => format!("(({a})//({b}))"),
            Operation::Min => format!("min({a}, {b})"),
            Operation::Max => format!("max({a}, {b})"),
            Operation::Gcd => format!("gcd({a}, {b})"),
        }
    }
}

pub(super) fn python(program: &EmittedCode) -> String {
    let mut text = comments(program, "#");
    if program.steps.iter().any(|(_, own)| has_gcd(own)) {
        text.push_str("\nfrom math import gcd\n");
    }
    let sizes = names(program).join(", ");
    for (name, meaning, formula) in &program.functions {
        text.push_str(&format!("\n\ndef {name}({sizes}):\n    \"\"\"{meaning}\"\"\"\n"));
        for (symbol, expression) in steps_of(program, formula) {
            let value = Python.expression(expression);
            text.push_str(&format!("    {} = {value}\n", name_of(symbol)));
        }
        text.push_str(&format!("    return {}\n", Python.poly(formula)));
    }
    let functions: Vec<&str> = program.functions.iter().map(|(name, ..)| &**name).collect();
    text.push_str(
        "\n\ndef check():\n    \"\"\"Raises where a function is not what it was.\"\"\"\n",
    );
    let comma = if functions.len() == 1 { "," } else { "" };
    text.push_str(&format!(
        "    functions = ({}{comma})\n    for sizes, values in [\n",
        functions.join(", ")
    ));
    for Check { at, values } in &program.checks {
        text.push_str(&format!("        ([{}], [{}]),\n", list(at, plain), list(values, plain)));
    }
    text.push_str("    ]:\n        found = [function(*sizes) for function in functions]\n");
    text.push_str("        assert found == values, (sizes, found, values)\n");
    text.push_str("\n\nif __name__ == \"__main__\":\n    check()\n");
    text
}

fn plain(n: &Integer) -> String {
    n.to_string()
}

fn list(all: &[Integer], written: impl Fn(&Integer) -> String) -> String {
    all.iter().map(written).collect::<Vec<_>>().join(", ")
}

struct JavaScript;

impl Writer for JavaScript {
    fn poly(&self, poly: &Poly) -> String {
        let power = |s: &Symbol, e| match e {
            1 => name_of(s),
            _ => format!("{}**{e}n", name_of(s)),
        };
        let (text, denominator) = sum(poly, big, power);
        match denominator == 1.into() {
            true => text,
            false => format!("({text})/{denominator}n"),
        }
    }

    fn both(&self, operation: Operation, a: String, b: String) -> String {
        match operation {
            Operation::Add => format!("({a} + {b})"),
            Operation::Sub => format!("({a} - ({b}))"),
            Operation::Mul => format!("(({a})*({b}))"),
            Operation::Floor => format!("floor({a}, {b})"),
            Operation::Min => format!("min({a}, {b})"),
            Operation::Max => format!("max({a}, {b})"),
            Operation::Gcd => format!("gcd({a}, {b})"),
        }
    }
}

fn big(n: &Integer) -> String {
    format!("{n}n")
}

pub(super) fn javascript(program: &EmittedCode) -> String {
    let mut text = comments(program, "//");
    text.push_str("// Sizes are integers or BigInt, results are BigInt.\n\n");
    text.push_str("const floor = (a, b) => (a - ((a % b) + b) % b) / b;\n");
    text.push_str("const min = (a, b) => (a < b ? a : b);\n");
    text.push_str("const max = (a, b) => (a > b ? a : b);\n");
    text.push_str("const gcd = (a, b) => (b === 0n ? a : gcd(b, a % b));\n");
    let sizes = names(program);
    let given = sizes.join(", ");
    for (name, meaning, formula) in &program.functions {
        text.push_str(&format!("\n/** {meaning} */\nfunction {name}({given}) {{\n"));
        if !sizes.is_empty() {
            text.push_str(&format!("  [{given}] = [{given}].map(BigInt);\n"));
        }
        for (symbol, expression) in steps_of(program, formula) {
            let value = JavaScript.expression(expression);
            text.push_str(&format!("  const {} = {value};\n", name_of(symbol)));
        }
        text.push_str(&format!("  return {};\n}}\n", JavaScript.poly(formula)));
    }
    let functions: Vec<&str> = program.functions.iter().map(|(name, ..)| &**name).collect();
    let functions = functions.join(", ");
    text.push_str("\n/** Throws where a function is not what it was. */\nfunction check() {\n");
    text.push_str("  for (const [sizes, values] of [\n");
    for Check { at, values } in &program.checks {
        text.push_str(&format!("    [[{}], [{}]],\n", list(at, big), list(values, big)));
    }
    text.push_str(&format!("  ]) {{\n    [{functions}].forEach((own, at) => {{\n"));
    text.push_str(
        "      if (own(...sizes) !== values[at]) throw new Error(`${own.name} at ${sizes}`);\n",
    );
    text.push_str("    });\n  }\n}\n\n");
    text.push_str("if (typeof module !== \"undefined\") {\n");
    text.push_str(&format!("  module.exports = {{ {functions}, check }};\n"));
    text.push_str("  if (require.main === module) check();\n}\n");
    text
}

struct Rust;

impl Writer for Rust {
    fn poly(&self, poly: &Poly) -> String {
        let whole = poly.whole_terms();
        if let ([(one, powers)], true) = (&whole.terms[..], whole.denominator == 1.into())
            && let [(symbol, 1)] = &powers[..]
            && *one == 1.into()
        {
            return name_of(symbol);
        }
        let term = |(coefficient, powers): &(Integer, Vec<(Symbol, u32)>)| {
            let factors = powers.iter().flat_map(|(s, e)| vec![name_of(s); *e as usize]);
            let factors: Vec<String> = factors.collect();
            format!("({coefficient}, &[{}])", factors.join(", "))
        };
        let terms: Vec<String> = whole.terms.iter().map(term).collect();
        format!("sum(&[{}], {})?", terms.join(", "), whole.denominator)
    }

    fn both(&self, operation: Operation, a: String, b: String) -> String {
        match operation {
            Operation::Add => format!("i128::checked_add({a}, {b})?"),
            Operation::Sub => format!("i128::checked_sub({a}, {b})?"),
            Operation::Mul => format!("i128::checked_mul({a}, {b})?"),
            Operation::Floor => format!("i128::checked_div_euclid({a}, {b})?"),
            Operation::Min => format!("i128::min({a}, {b})"),
            Operation::Max => format!("i128::max({a}, {b})"),
            Operation::Gcd => format!("gcd({a}, {b})"),
        }
    }
}

pub(super) fn rust(program: &EmittedCode) -> String {
    let mut text = comments(program, "//");
    text.push_str("// Each function gives none where a number on the way passes 128 bits.\n\n");
    text.push_str(
        "fn sum(terms: &[(i128, &[i128])], denominator: i128) -> Option<i128> {\n    \
         let mut all = 0_i128;\n    \
         for (coefficient, factors) in terms {\n        \
         let product = factors.iter().try_fold(*coefficient, |p, f| p.checked_mul(*f))?;\n        \
         all = all.checked_add(product)?;\n    }\n    Some(all / denominator)\n}\n",
    );
    let all = program.steps.iter().any(|(_, own)| has_gcd(own));
    if all {
        text.push_str(
            "\nfn gcd(a: i128, b: i128) -> i128 {\n    if b == 0 { a } else { gcd(b, a % b) }\n}\n",
        );
    }
    let sizes: Vec<String> = names(program).iter().map(|name| format!("{name}: i128")).collect();
    let unused = "#[allow(unused_variables)]\n";
    for (name, meaning, formula) in &program.functions {
        let given = sizes.join(", ");
        text.push_str(&format!(
            "\n/// {meaning}\n{unused}pub fn {name}({given}) -> Option<i128> {{\n"
        ));
        for (symbol, expression) in steps_of(program, formula) {
            let value = Rust.expression(expression);
            text.push_str(&format!("    let {} = {value};\n", name_of(symbol)));
        }
        text.push_str(&format!("    Some({})\n}}\n", Rust.poly(formula)));
    }
    text.push_str("\n#[test]\nfn check() {\n");
    for Check { at, values } in &program.checks {
        for ((name, ..), value) in program.functions.iter().zip(values) {
            let at = list(at, plain);
            text.push_str(&format!("    assert_eq!({name}({at}), Some({value}));\n"));
        }
    }
    text.push_str("}\n");
    text
}

fn has_gcd(own: &SizeExpression) -> bool {
    match own {
        SizeExpression::Poly(_) => false,
        SizeExpression::Gcd(..) => true,
        SizeExpression::Add(a, b)
        | SizeExpression::Sub(a, b)
        | SizeExpression::Mul(a, b)
        | SizeExpression::Floor(a, b)
        | SizeExpression::Min(a, b)
        | SizeExpression::Max(a, b) => has_gcd(a) || has_gcd(b),
    }
}

struct C;

/// A number of up to 128 bits, of which C has no literals.
pub(super) fn literal(n: &Integer) -> String {
    let limit = Integer::from(1_000_000_000_000_000_000_u64);
    if *n < limit && *n > -limit.clone() {
        return format!("(i128){n}");
    }
    format!("({}*1000000000000000000 + {})", literal(&(n / &limit)), n % &limit)
}

impl Writer for C {
    fn poly(&self, poly: &Poly) -> String {
        let whole = poly.whole_terms();
        let term = |(coefficient, powers): &(Integer, Vec<(Symbol, u32)>)| {
            let mut factors: Vec<String> =
                powers.iter().flat_map(|(s, e)| vec![name_of(s); *e as usize]).collect();
            if *coefficient != 1.into() || factors.is_empty() {
                factors.insert(0, literal(coefficient));
            }
            let product = |a: String, b: String| format!("mul({a}, {b}, bad)");
            factors.into_iter().reduce(product).unwrap_or_default()
        };
        let sum = |a: String, b: String| format!("add({a}, {b}, bad)");
        let text = whole.terms.iter().map(term).reduce(sum).unwrap_or_else(|| "(i128)0".to_owned());
        match whole.denominator == 1.into() {
            true => text,
            false => format!("{text} / {}", whole.denominator),
        }
    }

    fn both(&self, operation: Operation, a: String, b: String) -> String {
        match operation {
            Operation::Add => format!("add({a}, {b}, bad)"),
            Operation::Sub => format!("add({a}, mul((i128)-1, {b}, bad), bad)"),
            Operation::Mul => format!("mul({a}, {b}, bad)"),
            Operation::Floor => format!("floor_of({a}, {b})"),
            Operation::Min => format!("least({a}, {b})"),
            Operation::Max => format!("most({a}, {b})"),
            Operation::Gcd => format!("gcd({a}, {b})"),
        }
    }
}

pub(super) fn c(program: &EmittedCode) -> String {
    let mut text = comments(program, "//");
    text.push_str("// Each function puts its number into *result and gives 0, or 1 where a number on the way\n");
    text.push_str("// passes 128 bits. Of GCC and Clang, which have __int128; -DCHECK makes a program that checks.\n\n");
    text.push_str("typedef __int128 i128;\n\n");
    let helper = |head: &str, body: &str| format!("static inline i128 {head} {{ {body} }}\n");
    text.push_str(&helper(
        "add(i128 a, i128 b, int *bad)",
        "i128 r; *bad |= __builtin_add_overflow(a, b, &r); return r;",
    ));
    text.push_str(&helper(
        "mul(i128 a, i128 b, int *bad)",
        "i128 r; *bad |= __builtin_mul_overflow(a, b, &r); return r;",
    ));
    text.push_str(&helper("floor_of(i128 a, i128 b)", "return (a - ((a % b) + b) % b) / b;"));
    text.push_str(&helper("least(i128 a, i128 b)", "return a < b ? a : b;"));
    text.push_str(&helper("most(i128 a, i128 b)", "return a > b ? a : b;"));
    text.push_str(&helper("gcd(i128 a, i128 b)", "return b == 0 ? a : gcd(b, a % b);"));
    let sizes: Vec<String> = names(program).iter().map(|name| format!("i128 {name}")).collect();
    let given: String = sizes.iter().map(|size| format!("{size}, ")).collect();
    for (name, meaning, formula) in &program.functions {
        text.push_str(&format!("\n// {meaning}\nint {name}({given}i128 *result) {{\n  int overflow = 0, *bad = &overflow;\n"));
        for size in names(program) {
            text.push_str(&format!("  (void){size};\n"));
        }
        for (symbol, expression) in steps_of(program, formula) {
            let value = C.expression(expression);
            text.push_str(&format!("  i128 {} = {value};\n", name_of(symbol)));
        }
        text.push_str(&format!("  *result = {};\n  return *bad;\n}}\n", C.poly(formula)));
    }
    text.push_str("\n// 0 where every function is what it was.\nint check(void) {\n  i128 found;\n  int wrong = 0;\n");
    for Check { at, values } in &program.checks {
        let at: String = at.iter().map(|n| format!("{}, ", literal(n))).collect();
        for ((name, ..), value) in program.functions.iter().zip(values) {
            text.push_str(&format!(
                "  wrong |= {name}({at}&found) || found != {};\n",
                literal(value)
            ));
        }
    }
    text.push_str(
        "  return wrong;\n}\n\n#ifdef CHECK\nint main(void) { return check(); }\n#endif\n",
    );
    text
}
