//! Guards of an export: what holds of sizes in Python, as the tracer writes it, such as
//! `L['x'].size()[1] % 4 == 0` (`ShapeGuardPythonPrinter` in `torch/fx/experimental/symbolic_shapes.py`).

#[cfg(test)]
mod tests;

use opledger_dims::Poly;
use opledger_ir::{SizeComparison, SizeCondition, SizeRelation, SizeTerm};

use crate::symbolic::over;

/// How deep expressions may be nested.
const MOST_LEVELS: usize = 64;
/// The longest text that is read.
const LONGEST: usize = 20_000;
/// Into how many comparisons one guard may come apart.
const MOST_COMPARISONS: usize = 256;
/// The most terms of a number.
const MOST_TERMS: usize = 512;
/// The highest power that is multiplied out.
const MOST_POWER: usize = 16;

/// What stands in a guard for a number of the program.
#[derive(Debug, PartialEq)]
pub(crate) enum GuardPlace<'a> {
    /// An argument's name and the keys into it, and the dimension, if it is a tensor.
    Input(Vec<&'a str>, Option<usize>),
    /// A symbol of the export.
    Symbol(&'a str),
}

/// The size at a place; none where the program has no such input.
pub(crate) type SizeAt<'a> = dyn Fn(&GuardPlace<'_>) -> Option<Poly> + 'a;

/// A guard as conditions that all hold, where `size` gives the sizes of inputs; none where it has
/// another form.
pub(crate) fn conditions(guard: &str, size: &SizeAt<'_>) -> Option<Vec<SizeCondition>> {
    if guard.len() > LONGEST {
        return None;
    }
    let mut reader = Reader { rest: guard, size };
    let logic = reader.either(0)?;
    reader.skip();
    let all = reader.rest.is_empty().then(|| logic.clauses(false))??;
    Some(all.into_iter().map(SizeCondition::any).collect())
}

/// A number alone, as `8*s69`.
pub(crate) fn number(text: &str, size: &SizeAt<'_>) -> Option<SizeTerm> {
    if text.len() > LONGEST {
        return None;
    }
    let mut reader = Reader { rest: text, size };
    let number = reader.sum(0)?;
    reader.skip();
    reader.rest.is_empty().then_some(number)
}

/// Comparisons under and, or, not.
enum Logic {
    Compare(SizeComparison),
    All(Vec<Logic>),
    Any(Vec<Logic>),
    Not(Box<Logic>),
}

impl Logic {
    /// Alternatives that all hold, of the opposite if asked for.
    fn clauses(self, opposite: bool) -> Option<Vec<Vec<SizeComparison>>> {
        let (parts, together) = match self {
            Logic::Compare(one) => {
                return Some(vec![vec![if opposite { one.opposite() } else { one }]]);
            }
            Logic::Not(inner) => return inner.clauses(!opposite),
            Logic::All(parts) => (parts, !opposite),
            Logic::Any(parts) => (parts, opposite),
        };
        let parts = parts.into_iter().map(|part| part.clauses(opposite));
        let parts = parts.collect::<Option<Vec<_>>>()?;
        if together {
            let all: Vec<_> = parts.into_iter().flatten().collect();
            return (all.iter().map(Vec::len).sum::<usize>() <= MOST_COMPARISONS).then_some(all);
        }
        // One alternative of each part.
        let mut all: Vec<Vec<SizeComparison>> = vec![Vec::new()];
        for part in parts {
            let longest = |clauses: &[Vec<SizeComparison>]| clauses.iter().map(Vec::len).max();
            let length = longest(&all).unwrap_or(0) + longest(&part).unwrap_or(0);
            if all.len() * part.len() * length > MOST_COMPARISONS {
                return None;
            }
            let joined = |own: &Vec<_>| part.iter().map(|more| [&own[..], more].concat()).collect();
            all = all.iter().flat_map(|own| -> Vec<_> { joined(own) }).collect();
        }
        Some(all)
    }
}

/// To which whole number is rounded.
#[derive(Clone, Copy)]
enum To {
    Below,
    Above,
    Nearest,
}

struct Reader<'a> {
    rest: &'a str,
    size: &'a SizeAt<'a>,
}

impl<'a> Reader<'a> {
    fn skip(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, token: &str) -> Option<()> {
        self.skip();
        self.rest = self.rest.strip_prefix(token)?;
        Some(())
    }

    /// A word that no letter follows.
    fn word(&mut self, word: &str) -> Option<()> {
        self.skip();
        let rest = self.rest.strip_prefix(word)?;
        if rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') {
            return None;
        }
        self.rest = rest;
        Some(())
    }

    fn digits(&mut self) -> &'a str {
        let end = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
        let (digits, rest) = self.rest.split_at(end);
        self.rest = rest;
        digits
    }

    /// A whole number, or one with a decimal point that a power of two makes whole.
    fn number(&mut self) -> Option<Poly> {
        self.skip();
        let whole: i64 = self.digits().parse().ok()?;
        if !self.rest.starts_with('.') {
            return Some(Poly::from(whole));
        }
        self.rest = &self.rest[1..];
        let decimals = self.digits();
        let places = u32::try_from(decimals.len()).ok().filter(|places| *places <= 9)?;
        let tens = 10_i64.pow(places);
        let parts: i64 = if decimals.is_empty() { 0 } else { decimals.parse().ok()? };
        let all = whole.checked_mul(tens)?.checked_add(parts)?;
        // A fraction that is no such one was rounded in the program.
        let halves = 1_i64 << places;
        ((all % (tens / halves)) == 0).then(|| Poly::from(all).ratio(1, tens))
    }

    fn relation(&mut self) -> Option<SizeRelation> {
        // A longer sign before the one that it begins with.
        const SIGNS: [(&str, SizeRelation); 6] = [
            ("==", SizeRelation::Equal),
            ("!=", SizeRelation::Unequal),
            ("<=", SizeRelation::AtMost),
            (">=", SizeRelation::AtLeast),
            ("<", SizeRelation::Below),
            (">", SizeRelation::Above),
        ];
        SIGNS.into_iter().find_map(|(sign, relation)| self.take(sign).map(|()| relation))
    }

    fn either(&mut self, level: usize) -> Option<Logic> {
        let mut parts = vec![self.both(level)?];
        while self.word("or").is_some() {
            parts.push(self.both(level)?);
        }
        Some(if parts.len() == 1 { parts.remove(0) } else { Logic::Any(parts) })
    }

    fn both(&mut self, level: usize) -> Option<Logic> {
        let mut parts = vec![self.claim(level)?];
        while self.word("and").is_some() {
            parts.push(self.claim(level)?);
        }
        Some(if parts.len() == 1 { parts.remove(0) } else { Logic::All(parts) })
    }

    fn claim(&mut self, level: usize) -> Option<Logic> {
        if level > MOST_LEVELS {
            return None;
        }
        if self.word("not").is_some() {
            return self.claim(level + 1).map(|inner| Logic::Not(Box::new(inner)));
        }
        // A parenthesis may be of a number as well.
        let start = self.rest;
        if let Some(comparison) = self.comparison() {
            return Some(Logic::Compare(comparison));
        }
        self.rest = start;
        self.take("(")?;
        let inner = self.either(level + 1)?;
        self.take(")")?;
        Some(inner)
    }

    fn comparison(&mut self) -> Option<SizeComparison> {
        let left = self.sum(0)?;
        let relation = self.relation()?;
        let right = self.sum(0)?;
        let (left, right) = without_fractions(left, right);
        (is_whole(&left) && is_whole(&right)).then(|| SizeComparison::new(left, relation, right))
    }

    fn sum(&mut self, level: usize) -> Option<SizeTerm> {
        let mut sum = self.product(level)?;
        loop {
            if self.take("+").is_some() {
                sum = small(sum.plus(self.product(level)?))?;
            } else if self.take("-").is_some() {
                sum = small(sum.plus(negative(self.product(level)?)))?;
            } else {
                return Some(sum);
            }
        }
    }

    fn product(&mut self, level: usize) -> Option<SizeTerm> {
        let mut product = self.power(level)?;
        loop {
            if self.take("//").is_some() {
                product = SizeTerm::Quotient(Box::new([product, self.power(level)?]));
            } else if self.take("%").is_some() {
                product = SizeTerm::Remainder(Box::new([product, self.power(level)?]));
            } else if self.take("*").is_some() {
                product = times(product, self.power(level)?)?;
            } else if let Some((parts, by)) = self.divisor(level) {
                product = times(product, Poly::one().ratio(parts, by).into())?;
            } else {
                return Some(product);
            }
        }
    }

    /// A number, not 0, by which is divided without rounding, as a quotient; sizes are left where they stand.
    fn divisor(&mut self, level: usize) -> Option<(i64, i64)> {
        let start = self.rest;
        let found = self.take("/").and_then(|()| match self.power(level)? {
            SizeTerm::Poly(poly) => {
                let (whole, parts) = over(&poly)?;
                let by = whole.as_integer().and_then(|by| i64::try_from(by).ok());
                match by? {
                    0 => None,
                    by if by < 0 => Some((parts.checked_neg()?, by.checked_neg()?)),
                    by => Some((parts, by)),
                }
            }
            SizeTerm::Sum(_)
            | SizeTerm::Product(_)
            | SizeTerm::Quotient(_)
            | SizeTerm::Remainder(_)
            | SizeTerm::Least(_)
            | SizeTerm::Greatest(_) => None,
        });
        if found.is_none() {
            self.rest = start;
        }
        found
    }

    fn power(&mut self, level: usize) -> Option<SizeTerm> {
        let base = self.operand(level)?;
        if self.take("**").is_none() {
            return Some(base);
        }
        self.skip();
        let power: usize = self.digits().parse().ok().filter(|power| *power <= MOST_POWER)?;
        (0..power).try_fold(Poly::one().into(), |all, _| times(all, base.clone()))
    }

    fn operand(&mut self, level: usize) -> Option<SizeTerm> {
        if level > MOST_LEVELS {
            return None;
        }
        if self.take("(").is_some() {
            let inner = self.sum(level + 1)?;
            self.take(")")?;
            return Some(inner);
        }
        if self.take("-").is_some() {
            return self.power(level + 1).map(negative);
        }
        if self.take("torch.sym_max(1,").is_some() {
            // In a stride, where no dimension is empty.
            return self.rest_of_call(level);
        }
        for name in ["torch.sym_max(", "max("] {
            if self.take(name).is_some() {
                return self.folded(level, |a, b| SizeTerm::Greatest(Box::new([a, b])));
            }
        }
        for name in ["torch.sym_min(", "min("] {
            if self.take(name).is_some() {
                return self.folded(level, |a, b| SizeTerm::Least(Box::new([a, b])));
            }
        }
        if self.take("torch.sym_float(").is_some() {
            return self.rest_of_call(level);
        }
        // What is rounded is never below 0.
        for (name, to) in [
            ("math.floor(", To::Below),
            ("math.trunc(", To::Below),
            ("math.ceil(", To::Above),
            ("round(", To::Nearest),
        ] {
            if self.take(name).is_some() {
                return self.rounded(level, to);
            }
        }
        if self.take("L['").is_some() {
            return self.place();
        }
        if self.rest.starts_with(|c: char| c.is_ascii_alphabetic()) {
            let name = self.name();
            return (self.size)(&GuardPlace::Symbol(name)).map(SizeTerm::from);
        }
        self.number().map(SizeTerm::from)
    }

    fn name(&mut self) -> &'a str {
        let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let end = self.rest.find(|c| !is_of_name(c)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        name
    }

    fn rest_of_call(&mut self, level: usize) -> Option<SizeTerm> {
        let inner = self.sum(level + 1)?;
        self.take(")")?;
        Some(inner)
    }

    fn folded(
        &mut self,
        level: usize,
        of: impl Fn(SizeTerm, SizeTerm) -> SizeTerm,
    ) -> Option<SizeTerm> {
        let mut all = self.sum(level + 1)?;
        while self.take(",").is_some() {
            all = of(all, self.sum(level + 1)?);
        }
        self.take(")")?;
        Some(all)
    }

    /// A quotient of whole numbers, or a number with fractions, to the next whole number.
    fn rounded(&mut self, level: usize, to: To) -> Option<SizeTerm> {
        let inner = self.sum(level + 1)?;
        let (a, b) = if self.take("/").is_some() {
            (inner, self.power(level + 1)?)
        } else {
            let SizeTerm::Poly(poly) = &inner else { return None };
            let (whole, by) = over(poly)?;
            if by == 1 {
                return self.take(")").map(|()| whole.into());
            }
            (whole.into(), Poly::from(by).into())
        };
        self.take(")")?;
        let (a, b) = match to {
            To::Below => (a, b),
            To::Above => (a.plus(b.clone()).plus(Poly::from(-1).into()), b),
            // Halves, which even parts make, go to the even number.
            To::Nearest => {
                let SizeTerm::Poly(parts) = &b else { return None };
                parts
                    .as_integer()
                    .and_then(|by| i64::try_from(by).ok())
                    .filter(|by| by % 2 == 1)?;
                (a.clone().plus(a).plus(b.clone()), b.clone().plus(b))
            }
        };
        Some(SizeTerm::Quotient(Box::new([a, b])))
    }

    /// What stands after `L['`: the name of an argument, keys and attributes, and a dimension.
    fn place(&mut self) -> Option<SizeTerm> {
        let mut path = vec![self.quoted()?];
        let mut dim = None;
        loop {
            if self.rest.starts_with(".size()[") {
                self.take(".size()[")?;
                dim = Some(self.digits().parse().ok()?);
                self.take("]")?;
                break;
            }
            if let Some(rest) = self.rest.strip_prefix("['") {
                self.rest = rest;
                path.push(self.quoted()?);
            } else if let Some(rest) = self.rest.strip_prefix('[') {
                self.rest = rest;
                path.push(self.digits());
                self.take("]")?;
            } else if let Some(rest) = self.rest.strip_prefix('.') {
                self.rest = rest;
                path.push(self.name());
            } else {
                break;
            }
            if path.len() > MOST_LEVELS || path.last().is_some_and(|part| part.is_empty()) {
                return None;
            }
        }
        (self.size)(&GuardPlace::Input(path, dim)).map(SizeTerm::from)
    }

    /// The rest of a key in quotation marks.
    fn quoted(&mut self) -> Option<&'a str> {
        let (name, rest) = self.rest.split_once("']")?;
        self.rest = rest;
        (!name.contains(['\'', '\\'])).then_some(name)
    }
}

/// Whether a number is of whole numbers.
fn is_whole(term: &SizeTerm) -> bool {
    match term {
        SizeTerm::Poly(poly) => poly.divided_by(&Poly::one()).is_some(),
        SizeTerm::Sum(of)
        | SizeTerm::Product(of)
        | SizeTerm::Quotient(of)
        | SizeTerm::Remainder(of)
        | SizeTerm::Least(of)
        | SizeTerm::Greatest(of) => of.iter().all(is_whole),
    }
}

/// Both sides times what makes them whole.
fn without_fractions(left: SizeTerm, right: SizeTerm) -> (SizeTerm, SizeTerm) {
    let (SizeTerm::Poly(a), SizeTerm::Poly(b)) = (&left, &right) else { return (left, right) };
    let Some((_, by)) = over(a) else { return (left, right) };
    let Some((_, more)) = over(&b.ratio(by, 1)) else { return (left, right) };
    (a.ratio(by, 1).ratio(more, 1).into(), b.ratio(by, 1).ratio(more, 1).into())
}

fn negative(term: SizeTerm) -> SizeTerm {
    SizeTerm::from(Poly::from(-1)).times(term)
}

/// A number, unless it has too many terms.
fn small(term: SizeTerm) -> Option<SizeTerm> {
    let many = matches!(&term, SizeTerm::Poly(poly) if poly.num_terms() > MOST_TERMS);
    (!many).then_some(term)
}

fn times(a: SizeTerm, b: SizeTerm) -> Option<SizeTerm> {
    if let (SizeTerm::Poly(a), SizeTerm::Poly(b)) = (&a, &b)
        && a.num_terms() * b.num_terms() > MOST_TERMS
    {
        return None;
    }
    Some(a.times(b))
}
