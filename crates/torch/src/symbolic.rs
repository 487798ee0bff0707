//! Sizes as `sympy.srepr` writes them: `Mul(Integer(4), Symbol('s72', positive=True, integer=True))`.

use opledger_dims::Poly;
use opledger_ir::Graph;

/// How deep expressions may be nested.
const MOST_LEVELS: usize = 64;

/// Divides a size by another, rounded down.
pub(crate) type Divided<'a> = dyn Fn(&mut Graph, &Poly, &Poly) -> Poly + 'a;

/// A size whose divisions are not yet carried out.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum SizeExpr {
    Integer(i64),
    Fraction(i64, i64),
    Symbol(String),
    Call(String, Vec<SizeExpr>),
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn skip(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, token: char) -> bool {
        self.skip();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn while_true(&mut self, keep: impl Fn(char) -> bool) -> &'a str {
        self.skip();
        let end = self.rest.find(|c| !keep(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    fn expression(&mut self, level: usize) -> Option<SizeExpr> {
        if level > MOST_LEVELS {
            return None;
        }
        let number = self.while_true(|c| c == '-' || c.is_ascii_digit());
        if !number.is_empty() {
            return number.parse().ok().map(SizeExpr::Integer);
        }
        let name = self.while_true(|c| c == '_' || c == '.' || c.is_ascii_alphanumeric());
        if name.is_empty() || !self.take('(') {
            return None;
        }
        if name == "Float" {
            // `Float('2.0', precision=53)`
            if !self.take('\'') {
                return None;
            }
            let number: f64 = self.while_true(|c| c != '\'' && c != ')').parse().ok()?;
            if !self.take('\'') {
                return None;
            }
            self.while_true(|c| c != ')');
            // What a power of two makes whole.
            let by = (0..=20).map(|power| 1_i64 << power);
            let by = by.into_iter().find(|by| (number * *by as f64).fract() == 0.0)?;
            let whole = (number.abs() < 1e9).then_some((number * by as f64) as i64)?;
            return self.take(')').then_some(SizeExpr::Fraction(whole, by));
        }
        if name == "Symbol" {
            if !self.take('\'') {
                return None;
            }
            let symbol = self.while_true(|c| c != '\'' && c != ')').to_owned();
            if !self.take('\'') {
                return None;
            }
            self.while_true(|c| c != ')');
            return self.take(')').then_some(SizeExpr::Symbol(symbol));
        }
        let mut operands = Vec::new();
        while !self.take(')') {
            if !operands.is_empty() && !self.take(',') {
                return None;
            }
            operands.push(self.expression(level + 1)?);
        }
        match (name, &operands[..]) {
            ("Integer", [SizeExpr::Integer(value)]) => Some(SizeExpr::Integer(*value)),
            _ => Some(SizeExpr::Call(name.to_owned(), operands)),
        }
    }
}

/// A size with fractions as a quotient of one without.
pub(crate) fn over(size: &Poly) -> Option<(Poly, i64)> {
    let denominators = (0..=20).map(|power| 1_i64 << power).chain(3..=1024);
    let whole = |by: i64| Some((size.ratio(by, 1).divided_by(&Poly::one())?, by));
    denominators.into_iter().find_map(whole)
}

impl SizeExpr {
    /// Reads a text; none where it has another form.
    pub(crate) fn parse(text: &str) -> Option<SizeExpr> {
        let mut reader = Reader { rest: text };
        let expression = reader.expression(0)?;
        reader.skip();
        reader.rest.is_empty().then_some(expression)
    }

    /// A stride in which no dimension is empty: PyTorch takes those for ones, as `Max(1, n)`.
    pub(crate) fn of_no_empty_dimension(self) -> SizeExpr {
        let SizeExpr::Call(name, operands) = self else { return self };
        let mut operands: Vec<SizeExpr> =
            operands.into_iter().map(SizeExpr::of_no_empty_dimension).collect();
        if name == "Max" {
            operands.retain(|operand| *operand != SizeExpr::Integer(1));
        }
        SizeExpr::Call(name, operands)
    }

    /// The size as a polynomial, symbols being called as `named` says; what is none becomes a symbol
    /// that the graph defines; `divided` rounds down. None where a function is not known.
    pub(crate) fn poly(
        &self,
        graph: &mut Graph,
        named: &dyn Fn(&str) -> Poly,
        divided: &Divided<'_>,
    ) -> Result<Poly, String> {
        let all = |operands: &[SizeExpr], graph: &mut Graph| {
            operands
                .iter()
                .map(|one| one.poly(graph, named, divided))
                .collect::<Result<Vec<_>, _>>()
        };
        match self {
            SizeExpr::Integer(value) => Ok(Poly::from(*value)),
            SizeExpr::Fraction(numerator, denominator) => {
                Ok(Poly::from(*numerator).ratio(1, *denominator))
            }
            SizeExpr::Symbol(symbol) => Ok(named(symbol)),
            SizeExpr::Call(name, operands) => {
                // A quotient of whole numbers, by any size, that is rounded down.
                if let ("TruncToInt" | "FloorToInt", [SizeExpr::Call(inner, of)]) =
                    (name.as_str(), &operands[..])
                    && inner == "IntTrueDiv"
                    && let [a, b] = &all(of, graph)?[..]
                {
                    return Ok(divided(graph, a, b));
                }
                let of = all(operands, graph)?;
                match (name.as_str(), &of[..]) {
                    ("Add", of) => Ok(of.iter().sum()),
                    ("Mul", of) => Ok(of.iter().product()),
                    ("Pow", [base, power]) => {
                        let power = power.as_integer().and_then(|p| u32::try_from(p).ok());
                        power.filter(|p| *p <= 16).map(|p| base.pow(p)).ok_or_else(|| name.clone())
                    }
                    ("FloorDiv" | "CleanDiv", [a, b]) => Ok(divided(graph, a, b)),
                    ("CeilDiv", [a, b]) => Ok(graph.ceil_div("ceil", a, b)),
                    ("Mod" | "PythonMod", [a, b]) => Ok(a - &(b * &divided(graph, a, b))),
                    ("Min", [first, rest @ ..]) => Ok(rest.iter().fold(first.clone(), |a, b| {
                        graph.minimum("least", [a.clone(), b.clone()])
                    })),
                    // The larger of two is their sum without the smaller.
                    ("Max", [first, rest @ ..]) => Ok(rest.iter().fold(first.clone(), |a, b| {
                        let least = graph.minimum("least", [a.clone(), b.clone()]);
                        &(&a + b) - &least
                    })),
                    ("ToFloat", [one]) => Ok(one.clone()),
                    // Sizes are never below 0: cut off is rounded down.
                    ("TruncToInt" | "FloorToInt", [one]) => {
                        let (numerator, denominator) = over(one).ok_or_else(|| name.clone())?;
                        Ok(divided(graph, &numerator, &denominator.into()))
                    }
                    ("CeilToInt", [one]) => {
                        let (numerator, denominator) = over(one).ok_or_else(|| name.clone())?;
                        Ok(graph.ceil_div("ceil", &numerator, &denominator.into()))
                    }
                    // Halves, which even parts make, go to the even number.
                    ("RoundToInt", [one]) => {
                        let (numerator, parts) = over(one)
                            .filter(|(_, parts)| parts % 2 == 1)
                            .ok_or_else(|| "round of halves".to_owned())?;
                        let doubled = &numerator.ratio(2, 1) + &Poly::from(parts);
                        Ok(divided(graph, &doubled, &(2 * parts).into()))
                    }
                    ("FloatTrueDiv" | "IntTrueDiv", [a, b]) => {
                        let (by, parts) = over(b).ok_or_else(|| name.clone())?;
                        let by = by.as_integer().and_then(|by| i64::try_from(by).ok());
                        let by = by.filter(|by| *by != 0).ok_or_else(|| name.clone())?;
                        Ok(a.ratio(
                            parts * by.signum(),
                            by.checked_abs().ok_or_else(|| name.clone())?,
                        ))
                    }
                    _ => Err(name.clone()),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strides_are_those_of_dimensions_that_are_not_empty() {
        let floor = "FloorDiv(Symbol('s4', positive=True, integer=True), Integer(4))";
        let stride = format!("Mul(Integer(8), Max(Integer(1), {floor}))");
        let plain = format!("Mul(Integer(8), {floor})");
        let poly = |text: &str, change: fn(SizeExpr) -> SizeExpr| {
            let expression = change(SizeExpr::parse(text).unwrap());
            let mut graph = Graph::new();
            let divided = |graph: &mut Graph, a: &Poly, b: &Poly| graph.floor_div("floor", a, b);
            expression.poly(&mut graph, &|symbol| Poly::from(symbol), &divided).unwrap()
        };
        assert_eq!(poly(&stride, SizeExpr::of_no_empty_dimension), poly(&plain, |own| own));
    }
}
