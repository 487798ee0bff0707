//! Sizes as `sympy.srepr` writes them: `Mul(Integer(4), Symbol('s72', positive=True, integer=True))`.

use opledger_dims::Poly;
use opledger_ir::Graph;

/// How deep expressions may be nested.
const MOST_LEVELS: usize = 64;

/// A size whose divisions are not yet carried out.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum SizeExpr {
    Integer(i64),
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

impl SizeExpr {
    /// Reads a text; none where it has another form.
    pub(crate) fn parse(text: &str) -> Option<SizeExpr> {
        let mut reader = Reader { rest: text };
        let expression = reader.expression(0)?;
        reader.skip();
        reader.rest.is_empty().then_some(expression)
    }

    /// The size as a polynomial, symbols being called as `named` says; what is none becomes a symbol
    /// that the graph defines. None where a function is not known.
    pub(crate) fn poly(
        &self,
        graph: &mut Graph,
        named: &dyn Fn(&str) -> Poly,
    ) -> Result<Poly, String> {
        let all = |operands: &[SizeExpr], graph: &mut Graph| {
            operands.iter().map(|one| one.poly(graph, named)).collect::<Result<Vec<_>, _>>()
        };
        match self {
            SizeExpr::Integer(value) => Ok(Poly::from(*value)),
            SizeExpr::Symbol(symbol) => Ok(named(symbol)),
            SizeExpr::Call(name, operands) => {
                let of = all(operands, graph)?;
                match (name.as_str(), &of[..]) {
                    ("Add", of) => Ok(of.iter().sum()),
                    ("Mul", of) => Ok(of.iter().product()),
                    ("Pow", [base, power]) => {
                        let power = power.as_integer().and_then(|p| u32::try_from(p).ok());
                        power.filter(|p| *p <= 16).map(|p| base.pow(p)).ok_or_else(|| name.clone())
                    }
                    ("FloorDiv" | "CleanDiv" | "IntTrueDiv", [a, b]) => {
                        Ok(graph.floor_div("floor", a, b))
                    }
                    ("CeilDiv", [a, b]) => Ok(graph.ceil_div("ceil", a, b)),
                    ("Mod" | "PythonMod", [a, b]) => Ok(a - &(b * &graph.floor_div("floor", a, b))),
                    ("Min", [first, rest @ ..]) => Ok(rest.iter().fold(first.clone(), |a, b| {
                        graph.minimum("least", [a.clone(), b.clone()])
                    })),
                    // The larger of two is their sum without the smaller.
                    ("Max", [first, rest @ ..]) => Ok(rest.iter().fold(first.clone(), |a, b| {
                        let least = graph.minimum("least", [a.clone(), b.clone()]);
                        &(&a + b) - &least
                    })),
                    ("TruncToInt" | "CeilToInt" | "FloorToInt" | "ToFloat", [one]) => {
                        Ok(one.clone())
                    }
                    _ => Err(name.clone()),
                }
            }
        }
    }
}
