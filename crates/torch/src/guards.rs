//! Guards of an export: comparisons of sizes in Python, as the tracer writes them, such as
//! `L['x'].size()[1] % 4 == 0`.

use opledger_dims::Poly;
use opledger_ir::{SizeCondition, SizeRelation, SizeTerm};

/// How deep expressions may be nested.
const MOST_LEVELS: usize = 64;

/// A guard as a condition, where `size` gives dimensions of inputs; none where it has another form.
pub(crate) fn condition(
    guard: &str,
    size: &dyn Fn(&str, usize) -> Option<Poly>,
) -> Option<SizeCondition> {
    let mut reader = Reader { rest: guard, size };
    let left = reader.sum(0)?;
    let relation = reader.relation()?;
    let right = reader.sum(0)?;
    reader.skip();
    reader.rest.is_empty().then(|| SizeCondition::new(left, relation, right))
}

struct Reader<'a> {
    rest: &'a str,
    size: &'a dyn Fn(&str, usize) -> Option<Poly>,
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

    fn number(&mut self) -> Option<i64> {
        self.skip();
        let end = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
        let (number, rest) = self.rest.split_at(end);
        self.rest = rest;
        number.parse().ok()
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

    fn sum(&mut self, level: usize) -> Option<SizeTerm> {
        let mut sum = self.product(level)?;
        loop {
            if self.take("+").is_some() {
                sum = sum.plus(self.product(level)?);
            } else if self.take("-").is_some() {
                sum = sum.plus(negative(self.product(level)?));
            } else {
                return Some(sum);
            }
        }
    }

    fn product(&mut self, level: usize) -> Option<SizeTerm> {
        let mut product = self.operand(level)?;
        loop {
            if self.take("//").is_some() {
                product = SizeTerm::Quotient(Box::new([product, self.operand(level)?]));
            } else if self.take("%").is_some() {
                product = SizeTerm::Remainder(Box::new([product, self.operand(level)?]));
            } else if self.take("*").is_some() {
                product = product.times(self.operand(level)?);
            } else {
                return Some(product);
            }
        }
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
            return self.operand(level + 1).map(negative);
        }
        if self.take("torch.sym_max(1,").is_some() {
            // In a stride, where no dimension is empty.
            let size = self.sum(level + 1)?;
            self.take(")")?;
            return Some(size);
        }
        if self.take("L['").is_some() {
            let (name, rest) = self.rest.split_once("']")?;
            self.rest = rest;
            self.take(".size()[")?;
            let dim = usize::try_from(self.number()?).ok()?;
            self.take("]")?;
            return (self.size)(name, dim).map(SizeTerm::from);
        }
        self.number().map(|number| Poly::from(number).into())
    }
}

fn negative(term: SizeTerm) -> SizeTerm {
    SizeTerm::from(Poly::from(-1)).times(term)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(guard: &str) -> Option<String> {
        let size = |name: &str, dim: usize| {
            (name == "x").then(|| Poly::from(["b", "n", "m"].get(dim).copied().unwrap_or("z")))
        };
        condition(guard, &size).map(|condition| condition.to_string())
    }

    #[test]
    fn guards_are_read_as_python_reads_them() {
        let x = "L['x'].size()";
        for (guard, told) in [
            (format!("{x}[0] == {x}[1]"), "b = n"),
            (format!("({x}[0] % (4*{x}[1])) != 0"), "b mod 4·n ≠ 0"),
            (format!("((32*{x}[0]) % {x}[1]) == 0"), "32·b mod n = 0"),
            (format!("{x}[1] // 4 <= 12"), "⌊n / 4⌋ ≤ 12"),
            (format!("((-2) + {x}[1]) > 3*({x}[0] - 1)"), "n - 2 > 3·b - 3"),
            (format!("2*{x}[0] % 4 * 3 < 8"), "(2·b mod 4)·3 < 8"),
        ] {
            assert_eq!(read(&guard).as_deref(), Some(told), "{guard}");
        }
    }

    #[test]
    fn what_is_not_understood_is_no_condition() {
        let deep = format!("{}1 == 1", "(".repeat(100_000));
        for guard in [
            "",
            "L['x'].size()[0]",
            "L['y'].size()[0] == 3",
            "L['x']['y'].size()[0] == 3",
            "L['x'].size()[99999999999999999999] == 3",
            "L['x'].size()[0] == 3 or True",
            "L['x'].size()[0] == 3.5",
            "not 1 == 1",
            &deep,
        ] {
            assert_eq!(read(guard), None, "{guard}");
        }
    }
}
