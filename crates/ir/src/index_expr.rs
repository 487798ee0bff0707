//! Whole numbers that follow from positions, sizes and other whole numbers: positions of tokens, and
//! which query may see which key. Truth values are 0 and 1.

use std::fmt;

use opledger_dims::{Binding, Poly};

use crate::OpError;

/// A whole number at each place of a tensor. Sums are in a normal form, so that expressions which
/// differ by an order of terms only are equal; build them by the functions below.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum IndexExpr {
    /// `constant + Σ factor·term`; terms are no sums, and none stands twice.
    Sum {
        /// The constant, which may depend on sizes.
        constant: Poly,
        /// The terms with their factors.
        terms: Vec<(IndexExpr, Poly)>,
    },
    /// The position along an axis of the tensor.
    Position(usize),
    /// An element of another tensor.
    Lookup {
        /// Which tensor.
        operand: usize,
        /// Its place, one number for each axis.
        at: Vec<IndexExpr>,
    },
    /// The product of two.
    Product(Box<[IndexExpr; 2]>),
    /// The first divided by the second, rounded down.
    FloorDiv(Box<[IndexExpr; 2]>),
    /// What that division leaves, with the sign of the second.
    Mod(Box<[IndexExpr; 2]>),
    /// 1 where the number is 0, else 0.
    IsZero(Box<IndexExpr>),
    /// 1 where the number is above 0, else 0.
    IsPositive(Box<IndexExpr>),
    /// 1 where both numbers are not 0, else 0.
    And(Box<[IndexExpr; 2]>),
    /// 1 where one of the numbers is not 0, else 0.
    Or(Box<[IndexExpr; 2]>),
    /// The second where the first is not 0, else the third.
    Choose(Box<[IndexExpr; 3]>),
}

impl From<i64> for IndexExpr {
    fn from(number: i64) -> Self {
        IndexExpr::size(number)
    }
}

impl IndexExpr {
    /// A number that depends on sizes alone.
    pub fn size(size: impl Into<Poly>) -> Self {
        IndexExpr::Sum { constant: size.into(), terms: Vec::new() }
    }

    /// The number as a size, when it depends on nothing else.
    pub fn as_size(&self) -> Option<&Poly> {
        match self {
            IndexExpr::Sum { constant, terms } if terms.is_empty() => Some(constant),
            _ => None,
        }
    }

    /// The number, when it is the same everywhere and for all sizes.
    pub fn as_number(&self) -> Option<i64> {
        self.as_size().and_then(Poly::as_integer).and_then(|number| i64::try_from(number).ok())
    }

    /// The constant and the terms that it is the sum of.
    pub fn parts(&self) -> (Poly, Vec<(IndexExpr, Poly)>) {
        match self {
            IndexExpr::Sum { constant, terms } => (constant.clone(), terms.clone()),
            term => (Poly::zero(), vec![(term.clone(), Poly::one())]),
        }
    }

    fn sum(constant: Poly, mut terms: Vec<(IndexExpr, Poly)>) -> Self {
        terms.retain(|(_, factor)| !factor.is_zero());
        match &terms[..] {
            [(term, factor)] if constant.is_zero() && *factor == Poly::one() => term.clone(),
            _ => {
                terms.sort_by_cached_key(|(term, _)| term.to_string());
                IndexExpr::Sum { constant, terms }
            }
        }
    }

    /// The sum.
    #[must_use]
    pub fn plus(&self, other: &IndexExpr) -> Self {
        let (mut constant, mut terms) = self.parts();
        let (more, others) = other.parts();
        constant += more;
        for (term, factor) in others {
            match terms.iter_mut().find(|(own, _)| *own == term) {
                Some((_, own)) => *own += factor,
                None => terms.push((term, factor)),
            }
        }
        IndexExpr::sum(constant, terms)
    }

    /// The difference.
    #[must_use]
    pub fn minus(&self, other: &IndexExpr) -> Self {
        self.plus(&other.scaled(&Poly::from(-1)))
    }

    /// The product with a size.
    #[must_use]
    pub fn scaled(&self, by: &Poly) -> Self {
        let (constant, terms) = self.parts();
        let terms = terms.into_iter().map(|(term, factor)| (term, factor * by)).collect();
        IndexExpr::sum(constant * by, terms)
    }

    /// The product.
    #[must_use]
    pub fn times(&self, other: &IndexExpr) -> Self {
        match (self.as_size(), other.as_size()) {
            (_, Some(size)) => self.scaled(size),
            (Some(size), _) => other.scaled(size),
            (None, None) => IndexExpr::Product(Box::new([self.clone(), other.clone()])),
        }
    }

    /// The quotient, rounded down.
    #[must_use]
    pub fn floor_div(&self, by: &IndexExpr) -> Self {
        let one = by.as_number() == Some(1);
        let whole = |own: &Poly| by.as_size().and_then(|by| own.divided_by(by));
        match self.as_size().and_then(whole) {
            Some(quotient) => IndexExpr::size(quotient),
            None if one => self.clone(),
            None => IndexExpr::FloorDiv(Box::new([self.clone(), by.clone()])),
        }
    }

    /// What the division leaves.
    #[must_use]
    pub fn modulo(&self, by: &IndexExpr) -> Self {
        let whole = |own: &Poly| by.as_size().and_then(|by| own.divided_by(by));
        match self.as_size().and_then(whole) {
            Some(_) => IndexExpr::from(0),
            None if by.as_number() == Some(1) => IndexExpr::from(0),
            None => IndexExpr::Mod(Box::new([self.clone(), by.clone()])),
        }
    }

    /// Whether it is 0 or 1 wherever it is.
    pub fn is_truth(&self) -> bool {
        match self {
            IndexExpr::IsZero(_)
            | IndexExpr::IsPositive(_)
            | IndexExpr::And(_)
            | IndexExpr::Or(_) => true,
            IndexExpr::Choose(of) => of[1].is_truth() && of[2].is_truth(),
            IndexExpr::Sum { .. } => matches!(self.as_number(), Some(0 | 1)),
            IndexExpr::Position(_)
            | IndexExpr::Lookup { .. }
            | IndexExpr::Product(_)
            | IndexExpr::FloorDiv(_)
            | IndexExpr::Mod(_) => false,
        }
    }

    /// 1 where it is 0, else 0: also the opposite of a truth value.
    #[must_use]
    pub fn is_zero(&self) -> Self {
        match self {
            IndexExpr::IsZero(of) if of.is_truth() => (**of).clone(),
            // Not above 0: 1 less it is.
            IndexExpr::IsPositive(of) => IndexExpr::from(1).minus(of).is_positive(),
            _ => match self.as_number() {
                Some(number) => IndexExpr::from(i64::from(number == 0)),
                None => IndexExpr::IsZero(Box::new(self.clone())),
            },
        }
    }

    /// 1 where it is not 0, else 0.
    #[must_use]
    pub fn truth(&self) -> Self {
        if self.is_truth() { self.clone() } else { self.is_zero().is_zero() }
    }

    /// 1 where it is above 0, else 0. Positions and sizes are never below 0.
    #[must_use]
    pub fn is_positive(&self) -> Self {
        if let Some(number) = self.as_number() {
            return IndexExpr::from(i64::from(number > 0));
        }
        let (constant, terms) = self.parts();
        let grows = |(term, factor): &(IndexExpr, Poly)| {
            (matches!(term, IndexExpr::Position(_)) || term.is_truth())
                && factor.is_never_negative()
        };
        let above = |poly: &Poly| (poly - &Poly::one()).is_never_negative();
        if terms.iter().all(grows) && above(&constant) {
            return IndexExpr::from(1);
        }
        IndexExpr::IsPositive(Box::new(self.clone()))
    }

    /// 1 where the two are equal, else 0.
    #[must_use]
    pub fn equals(&self, other: &IndexExpr) -> Self {
        self.minus(other).is_zero()
    }

    /// 1 where it is below the other, else 0.
    #[must_use]
    pub fn below(&self, other: &IndexExpr) -> Self {
        other.minus(self).is_positive()
    }

    /// 1 where both are not 0, else 0.
    #[must_use]
    pub fn and(&self, other: &IndexExpr) -> Self {
        match (self.as_number(), other.as_number()) {
            (Some(0), _) | (_, Some(0)) => IndexExpr::from(0),
            (Some(_), _) => other.truth(),
            (_, Some(_)) => self.truth(),
            (None, None) if self == other => self.truth(),
            (None, None) => IndexExpr::And(Box::new([self.truth(), other.truth()])),
        }
    }

    /// 1 where one of them is not 0, else 0.
    #[must_use]
    pub fn or(&self, other: &IndexExpr) -> Self {
        match (self.as_number(), other.as_number()) {
            (Some(0), _) => other.truth(),
            (_, Some(0)) => self.truth(),
            (Some(_), _) | (_, Some(_)) => IndexExpr::from(1),
            (None, None) if self == other => self.truth(),
            (None, None) => IndexExpr::Or(Box::new([self.truth(), other.truth()])),
        }
    }

    /// `then` where this is not 0, else `otherwise`.
    #[must_use]
    pub fn choose(&self, then: &IndexExpr, otherwise: &IndexExpr) -> Self {
        match self.as_number() {
            Some(0) => otherwise.clone(),
            Some(_) => then.clone(),
            None if then == otherwise => then.clone(),
            None if then.as_number() == Some(1) && otherwise.as_number() == Some(0) => self.truth(),
            None if then.as_number() == Some(0) && otherwise.as_number() == Some(1) => {
                self.is_zero()
            }
            None => IndexExpr::Choose(Box::new([self.clone(), then.clone(), otherwise.clone()])),
        }
    }

    /// The conditions that all hold where this is not 0.
    pub fn conditions(&self) -> Vec<&IndexExpr> {
        match self {
            IndexExpr::And(of) => of.iter().flat_map(IndexExpr::conditions).collect(),
            one => vec![one],
        }
    }

    /// The same with positions and look-ups made anew.
    #[must_use]
    pub fn map(
        &self,
        position: &dyn Fn(usize) -> IndexExpr,
        lookup: &dyn Fn(usize, Vec<IndexExpr>) -> IndexExpr,
    ) -> Self {
        let again = |expr: &IndexExpr| expr.map(position, lookup);
        match self {
            IndexExpr::Sum { constant, terms } => {
                let start = IndexExpr::size(constant.clone());
                terms.iter().fold(start, |sum, (term, by)| sum.plus(&again(term).scaled(by)))
            }
            IndexExpr::Position(axis) => position(*axis),
            IndexExpr::Lookup { operand, at } => lookup(*operand, at.iter().map(again).collect()),
            IndexExpr::Product(of) => again(&of[0]).times(&again(&of[1])),
            IndexExpr::FloorDiv(of) => again(&of[0]).floor_div(&again(&of[1])),
            IndexExpr::Mod(of) => again(&of[0]).modulo(&again(&of[1])),
            IndexExpr::IsZero(of) => again(of).is_zero(),
            IndexExpr::IsPositive(of) => again(of).is_positive(),
            IndexExpr::And(of) => again(&of[0]).and(&again(&of[1])),
            IndexExpr::Or(of) => again(&of[0]).or(&again(&of[1])),
            IndexExpr::Choose(of) => again(&of[0]).choose(&again(&of[1]), &again(&of[2])),
        }
    }

    /// The same with other expressions in the place of positions.
    #[must_use]
    pub fn at(&self, position: &dyn Fn(usize) -> IndexExpr) -> Self {
        self.map(position, &|operand, at| IndexExpr::Lookup { operand, at })
    }

    /// Calls a function with every expression that this one is made of, itself included.
    pub fn visit<'a>(&'a self, see: &mut dyn FnMut(&'a IndexExpr)) {
        see(self);
        match self {
            IndexExpr::Sum { terms, .. } => terms.iter().for_each(|(term, _)| term.visit(see)),
            IndexExpr::Position(_) => {}
            IndexExpr::Lookup { at, .. } => at.iter().for_each(|expr| expr.visit(see)),
            IndexExpr::Product(of)
            | IndexExpr::FloorDiv(of)
            | IndexExpr::Mod(of)
            | IndexExpr::And(of)
            | IndexExpr::Or(of) => of.iter().for_each(|expr| expr.visit(see)),
            IndexExpr::IsZero(of) | IndexExpr::IsPositive(of) => of.visit(see),
            IndexExpr::Choose(of) => of.iter().for_each(|expr| expr.visit(see)),
        }
    }

    /// Whether the position along an axis occurs.
    pub fn uses(&self, axis: usize) -> bool {
        let mut used = false;
        self.visit(&mut |expr| used |= *expr == IndexExpr::Position(axis));
        used
    }

    /// The sizes that occur.
    pub fn sizes(&self) -> Vec<&Poly> {
        let mut sizes = Vec::new();
        self.visit(&mut |expr| {
            if let IndexExpr::Sum { constant, terms } = expr {
                sizes.push(constant);
                sizes.extend(terms.iter().map(|(_, factor)| factor));
            }
        });
        sizes
    }

    /// The same with all sizes put in, to be evaluated at many places.
    ///
    /// # Errors
    /// When a size has no value or does not fit the machine.
    pub(crate) fn compiled(&self, binding: &Binding) -> Result<IndexProgram, OpError> {
        let number = |size: &Poly| {
            let value = size.at(binding)?;
            i64::try_from(&value).map_err(|_| OpError::TooLarge(value.to_string()))
        };
        let one = |expr: &IndexExpr| expr.compiled(binding);
        let two = |of: &[IndexExpr; 2]| Ok::<_, OpError>(Box::new([one(&of[0])?, one(&of[1])?]));
        Ok(match self {
            IndexExpr::Sum { constant, terms } => IndexProgram::Sum {
                constant: number(constant)?,
                terms: terms
                    .iter()
                    .map(|(term, factor)| Ok((one(term)?, number(factor)?)))
                    .collect::<Result<_, OpError>>()?,
            },
            IndexExpr::Position(axis) => IndexProgram::Position(*axis),
            IndexExpr::Lookup { operand, at } => IndexProgram::Lookup {
                operand: *operand,
                at: at.iter().map(one).collect::<Result<_, OpError>>()?,
            },
            IndexExpr::Product(of) => IndexProgram::Product(two(of)?),
            IndexExpr::FloorDiv(of) => IndexProgram::FloorDiv(two(of)?),
            IndexExpr::Mod(of) => IndexProgram::Mod(two(of)?),
            IndexExpr::IsZero(of) => IndexProgram::IsZero(Box::new(one(of)?)),
            IndexExpr::IsPositive(of) => IndexProgram::IsPositive(Box::new(one(of)?)),
            IndexExpr::And(of) => IndexProgram::And(two(of)?),
            IndexExpr::Or(of) => IndexProgram::Or(two(of)?),
            IndexExpr::Choose(of) => {
                IndexProgram::Choose(Box::new([one(&of[0])?, one(&of[1])?, one(&of[2])?]))
            }
        })
    }
}

/// Gives an element of another tensor.
type Lookup<'a> = dyn Fn(usize, &[i64]) -> Result<i64, OpError> + 'a;

/// An expression without sizes.
#[derive(Clone, Debug)]
pub(crate) enum IndexProgram {
    Sum { constant: i64, terms: Vec<(IndexProgram, i64)> },
    Position(usize),
    Lookup { operand: usize, at: Vec<IndexProgram> },
    Product(Box<[IndexProgram; 2]>),
    FloorDiv(Box<[IndexProgram; 2]>),
    Mod(Box<[IndexProgram; 2]>),
    IsZero(Box<IndexProgram>),
    IsPositive(Box<IndexProgram>),
    And(Box<[IndexProgram; 2]>),
    Or(Box<[IndexProgram; 2]>),
    Choose(Box<[IndexProgram; 3]>),
}

impl IndexProgram {
    /// The number at a place; `lookup` gives elements of other tensors.
    ///
    /// # Errors
    /// Those of `lookup`, and when a number does not fit or is divided by 0.
    pub(crate) fn at(&self, place: &[usize], lookup: &Lookup<'_>) -> Result<i64, OpError> {
        let too_large = || OpError::TooLarge("a whole number".to_owned());
        let of = |expr: &IndexProgram| expr.at(place, lookup);
        Ok(match self {
            IndexProgram::Sum { constant, terms } => {
                let mut sum = *constant;
                for (term, factor) in terms {
                    let product = of(term)?.checked_mul(*factor).ok_or_else(too_large)?;
                    sum = sum.checked_add(product).ok_or_else(too_large)?;
                }
                sum
            }
            IndexProgram::Position(axis) => place[*axis] as i64,
            IndexProgram::Lookup { operand, at } => {
                let at = at.iter().map(of).collect::<Result<Vec<_>, _>>()?;
                lookup(*operand, &at)?
            }
            IndexProgram::Product(two) => {
                of(&two[0])?.checked_mul(of(&two[1])?).ok_or_else(too_large)?
            }
            IndexProgram::FloorDiv(two) => {
                let (a, b) = (of(&two[0])?, of(&two[1])?);
                let quotient = a.checked_div(b).ok_or_else(too_large)?;
                quotient - i64::from(a % b != 0 && (a < 0) != (b < 0))
            }
            IndexProgram::Mod(two) => {
                let (a, b) = (of(&two[0])?, of(&two[1])?);
                let rest = a.checked_rem(b).ok_or_else(too_large)?;
                if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest }
            }
            IndexProgram::IsZero(one) => i64::from(of(one)? == 0),
            IndexProgram::IsPositive(one) => i64::from(of(one)? > 0),
            IndexProgram::And(two) => i64::from(of(&two[0])? != 0 && of(&two[1])? != 0),
            IndexProgram::Or(two) => i64::from(of(&two[0])? != 0 || of(&two[1])? != 0),
            IndexProgram::Choose(three) => of(&three[if of(&three[0])? != 0 { 1 } else { 2 }])?,
        })
    }
}

impl fmt::Display for IndexExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let two = |f: &mut fmt::Formatter<'_>, of: &[IndexExpr; 2], sign| {
            write!(f, "({} {sign} {})", of[0], of[1])
        };
        match self {
            IndexExpr::Sum { constant, terms } => {
                for (i, (term, factor)) in terms.iter().enumerate() {
                    let plus = if i == 0 { "" } else { " + " };
                    if *factor == Poly::one() {
                        write!(f, "{plus}{term}")?;
                    } else {
                        write!(f, "{plus}({factor})·{term}")?;
                    }
                }
                match (terms.is_empty(), constant.is_zero()) {
                    (true, _) => write!(f, "{constant}"),
                    (false, true) => Ok(()),
                    (false, false) => write!(f, " + ({constant})"),
                }
            }
            IndexExpr::Position(axis) => write!(f, "i{axis}"),
            IndexExpr::Lookup { operand, at } => {
                let at: Vec<String> = at.iter().map(ToString::to_string).collect();
                write!(f, "x{operand}[{}]", at.join(", "))
            }
            IndexExpr::Product(of) => two(f, of, "·"),
            IndexExpr::FloorDiv(of) => two(f, of, "//"),
            IndexExpr::Mod(of) => two(f, of, "mod"),
            IndexExpr::And(of) => two(f, of, "and"),
            IndexExpr::Or(of) => two(f, of, "or"),
            IndexExpr::IsZero(of) => write!(f, "({of} = 0)"),
            IndexExpr::IsPositive(of) => write!(f, "({of} > 0)"),
            IndexExpr::Choose(of) => write!(f, "({} ? {} : {})", of[0], of[1], of[2]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn i(axis: usize) -> IndexExpr {
        IndexExpr::Position(axis)
    }

    #[test]
    fn what_is_equal_is_written_equally() {
        let n = IndexExpr::size("n");
        assert_eq!(i(0).plus(&n).minus(&i(0)), n);
        assert_eq!(i(1).plus(&i(0)), i(0).plus(&i(1)));
        assert_eq!(i(0).minus(&i(0)).equals(&0.into()), 1.into());
        assert_eq!(i(0).plus(&1.into()).is_positive(), 1.into());
        assert_eq!(i(0).is_positive().is_zero().is_zero(), i(0).is_positive());
        let after = i(0).below(&i(1));
        assert_eq!(after.is_zero(), i(1).below(&i(0).plus(&1.into())));
        assert_eq!(after.is_zero().is_zero(), after);
        assert_eq!(n.scaled(&"b".into()).floor_div(&n), IndexExpr::size("b"));
    }

    #[test]
    fn values_are_those_of_python() {
        let at = |expr: &IndexExpr, place: &[usize]| {
            let lookup = |_: usize, at: &[i64]| Ok(10 * at[0]);
            expr.compiled(&Binding::new().with("n", 5)).unwrap().at(place, &lookup).unwrap()
        };
        let below = i(0).minus(&4.into());
        for (a, quotient, rest) in [(0, -2, 2), (1, -1, 0), (4, 0, 0), (6, 0, 2)] {
            assert_eq!(at(&below.floor_div(&3.into()), &[a]), quotient);
            assert_eq!(at(&below.modulo(&3.into()), &[a]), rest);
        }
        let causal = i(1).below(&i(0).plus(&1.into()));
        let expected = [1, 0, 0, 1, 1, 0, 1, 1, 1];
        for (place, expected) in expected.into_iter().enumerate() {
            assert_eq!(at(&causal, &[place / 3, place % 3]), expected);
        }
        let looked_up =
            IndexExpr::Lookup { operand: 0, at: vec![i(0).plus(&IndexExpr::size("n"))] };
        assert_eq!(at(&causal.choose(&looked_up, &i(0)), &[2, 1]), 70);
        // Choices of numbers, some of which are truth values themselves.
        for [then, otherwise] in [[1, 0], [0, 1], [5, 0], [1, 7], [0, 5], [5, 1], [3, 3], [0, 0]] {
            let chosen = causal.choose(&then.into(), &otherwise.into());
            assert_eq!([at(&chosen, &[1, 0]), at(&chosen, &[0, 1])], [then, otherwise]);
        }
    }
}
