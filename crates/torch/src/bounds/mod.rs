//! Conditions on sizes as bounds, the strongest of each size.

mod apart;

use opledger_dims::{Integer, Poly, Symbol};
use opledger_ir::{SizeComparison, SizeCondition, SizeRelation, SizeTerm};

use self::apart::{apart, covers, is_never_negative, negative, opposite_sign};
use crate::atoms::{Atoms, Fact, Limit, Reduced, Shares, floored};

/// The most comparisons that conditions come apart into.
const MOST: usize = 10_000;
/// How often an excluded number raises the bound of a quotient.
const MOST_ROUNDS: usize = 64;

/// The same conditions, each said once: bounds that others imply are left out, and a size that is alone in a
/// condition stands alone on its left. Sizes of 0 and 1 are those of the tracer, which sets them apart.
pub(crate) fn strongest(conditions: &[SizeCondition], shares: Shares) -> Vec<SizeCondition> {
    let mut bounds = Bounds { atoms: Atoms::new(shares), table: Vec::new(), kept: Vec::new() };
    let mut alternatives = Vec::new();
    for condition in conditions {
        match condition {
            SizeCondition::One(one) => bounds.add(one),
            SizeCondition::Any(of) => alternatives.push(of.clone()),
        }
    }
    bounds.tighten();
    // What leaves one alternative is a bound, which may settle others.
    loop {
        let (before, mut left) = (alternatives.len(), Vec::new());
        for of in std::mem::take(&mut alternatives) {
            match bounds.open(of) {
                None => {}
                Some(open) if open.len() == 1 => {
                    open.iter().for_each(|one| bounds.add(one));
                    bounds.tighten();
                }
                Some(open) => left.push(open),
            }
        }
        alternatives = left;
        if alternatives.len() == before {
            break;
        }
    }
    let mut all = bounds.told();
    for of in alternatives {
        let of = of.iter().map(|one| bounds.written(one)).collect();
        all.push(SizeCondition::any(of));
    }
    all
}

/// What is known of a polynomial.
#[derive(Clone, Default)]
struct Known {
    least: Option<Integer>,
    most: Option<Integer>,
    not: Vec<Integer>,
    /// The comparison that says it as it was written, if one alone does.
    written: Option<SizeComparison>,
}

impl Known {
    fn and(mut self, fact: Fact) -> Known {
        let Fact { limit, number, .. } = fact;
        if matches!(limit, Limit::AtLeast | Limit::Equal) {
            self.least = self.least.max(Some(number.clone()));
        }
        if matches!(limit, Limit::AtMost | Limit::Equal) {
            self.most = lesser(self.most, Some(number.clone()));
        }
        if limit == Limit::Unequal && !self.not.contains(&number) {
            self.not.push(number);
        }
        self
    }
}

/// The smaller of two upper bounds, as far as they are there.
fn lesser(a: Option<Integer>, b: Option<Integer>) -> Option<Integer> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

struct Bounds {
    atoms: Atoms,
    table: Vec<(Poly, Known)>,
    /// What is told as it stands.
    kept: Vec<SizeComparison>,
}

impl Bounds {
    fn add(&mut self, of: &SizeComparison) {
        let mut rest = vec![(of.clone(), true)];
        let mut steps = 0;
        while let Some((one, is_whole)) = rest.pop() {
            steps += 1;
            match self.atoms.reduced(&one) {
                Reduced::Always => {}
                Reduced::Never | Reduced::Long => self.kept.push(one),
                Reduced::Fact(fact) => match self.apart(&fact) {
                    Some(parts) if steps < MOST => {
                        rest.extend(parts.into_iter().map(|part| (part, false)));
                    }
                    _ => self.note(fact, is_whole.then_some(one)),
                },
            }
        }
    }

    /// Comparisons of other numbers that say the same together.
    fn apart(&mut self, fact: &Fact) -> Option<Vec<SizeComparison>> {
        let (number, limit) = (&fact.number, fact.limit);
        let (zero, one) = (Integer::default(), Integer::from(1));
        if let Some(only) = fact.form.as_symbol()
            && let Some(term) = self.atoms.term(only).cloned()
        {
            return self
                .leaves_nothing(&term, limit, number)
                .or_else(|| apart(&term, limit, number));
        }
        // A positive number times another is 0 where the other is.
        if matches!(limit, Limit::Equal | Limit::Unequal) && *number == zero {
            for symbol in fact.form.symbols() {
                if let Some(rest) = fact.form.divided_by(&Poly::symbol(&symbol))
                    && self.of_symbol(&symbol).is_some_and(|(least, _)| least > zero)
                    && let Some(rest) = self.atoms.back(&rest)
                {
                    let relation = match limit {
                        Limit::Equal => SizeRelation::Equal,
                        Limit::Unequal | Limit::AtLeast | Limit::AtMost => SizeRelation::Unequal,
                    };
                    return Some(vec![SizeComparison::new(rest, relation, Poly::zero())]);
                }
            }
        }
        // One that is not negative times another: both are positive, or the product is not.
        if limit == Limit::AtLeast && *number == one {
            for symbol in fact.form.symbols() {
                if let Some(rest) = fact.form.divided_by(&Poly::symbol(&symbol))
                    && rest != Poly::one()
                    && self.is_never_negative(&symbol)
                {
                    let parts = [Poly::symbol(&symbol), rest];
                    let parts = parts.map(|part| self.atoms.back(&part));
                    let above =
                        |part| SizeComparison::new(part, SizeRelation::AtLeast, Poly::one());
                    return parts.into_iter().map(|part| part.map(above)).collect();
                }
            }
        }
        // A size without the smaller of it and another, the greater without one of both: what it is more than
        // the other, or 0.
        for symbol in fact.form.symbols() {
            let Some(SizeTerm::Least(of) | SizeTerm::Greatest(of)) = self.atoms.term(&symbol)
            else {
                continue;
            };
            let least = matches!(self.atoms.term(&symbol), Some(SizeTerm::Least(_)));
            for (own, other) in [(&of[0], &of[1]), (&of[1], &of[0])] {
                let Some(size) = self.atoms.known(own) else { continue };
                let clamp = match least {
                    true => &size - &Poly::symbol(&symbol),
                    false => &Poly::symbol(&symbol) - &size,
                };
                let (relation, number) = if fact.form == clamp {
                    (limit, number.clone())
                } else if fact.form == -&clamp {
                    (opposite_sign(limit), -number)
                } else {
                    continue;
                };
                let more = match least {
                    true => own.clone().plus(negative(other)),
                    false => other.clone().plus(negative(own)),
                };
                let relation = match relation {
                    Limit::AtLeast if number <= zero => return Some(Vec::new()),
                    Limit::AtLeast => SizeRelation::AtLeast,
                    Limit::AtMost | Limit::Equal if number < zero => return None,
                    Limit::AtMost => SizeRelation::AtMost,
                    Limit::Equal if number == zero => SizeRelation::AtMost,
                    Limit::Equal => SizeRelation::Equal,
                    Limit::Unequal if number < zero => return Some(Vec::new()),
                    Limit::Unequal if number == zero => SizeRelation::Above,
                    Limit::Unequal => SizeRelation::Unequal,
                };
                return Some(vec![SizeComparison::new(more, relation, Poly::from(number))]);
            }
        }
        None
    }

    /// That a division by a multiple of what is divided leaves nothing, or that it does: the multiple is once,
    /// or not.
    fn leaves_nothing(
        &mut self,
        term: &SizeTerm,
        limit: Limit,
        number: &Integer,
    ) -> Option<Vec<SizeComparison>> {
        let SizeTerm::Remainder(of) = term else { return None };
        if limit != Limit::Unequal || *number != Integer::default() {
            return None;
        }
        let (a, by) = (self.atoms.poly(&of[0])?, self.atoms.poly(&of[1])?);
        let times = by.divided_by(&a).filter(Poly::is_never_negative)?;
        let times = self.atoms.back(&times)?;
        Some(vec![SizeComparison::new(times, SizeRelation::Unequal, Poly::one())])
    }

    /// Whether a symbol is a size, or a number that is never below 0.
    fn is_never_negative(&self, symbol: &Symbol) -> bool {
        self.atoms.term(symbol).is_none_or(is_never_negative)
    }

    fn note(&mut self, fact: Fact, written: Option<SizeComparison>) {
        let form = fact.form.clone();
        let alone = Known::default().and(fact.clone());
        match self.table.iter_mut().find(|(own, _)| *own == form) {
            Some((_, known)) => {
                let both = known.clone().and(fact);
                // What says no more than the other leaves that as it was written.
                if (&both.least, &both.most, &both.not) != (&known.least, &known.most, &known.not) {
                    let is_all = (&both.least, &both.most, &both.not)
                        == (&alone.least, &alone.most, &alone.not);
                    *known = Known { written: written.filter(|_| is_all), ..both };
                }
            }
            None => self.table.push((form, Known { written, ..alone })),
        }
    }

    /// The least value of a quotient, or of a size over what it is a multiple of, where that is excluded.
    fn excluded_least(&self, (form, known): &(Poly, Known)) -> Option<(Poly, Integer)> {
        let own = form.as_symbol()?;
        let least = match self.atoms.term(own) {
            Some(term @ SizeTerm::Quotient(_)) => self.of_term(term).0,
            None if self.atoms.is_share(own) => Some(1.into()),
            Some(_) | None => return None,
        };
        let least = least.max(known.least.clone())?;
        known.not.contains(&least).then(|| (form.clone(), least))
    }

    /// Takes numbers that are excluded at a bound into it.
    fn tighten(&mut self) {
        for _ in 0..MOST_ROUNDS {
            let Some((form, least)) = self.table.iter().find_map(|own| self.excluded_least(own))
            else {
                break;
            };
            let own = self.table.iter_mut().find(|(own, _)| *own == form);
            own.into_iter().for_each(|(_, known)| known.not.retain(|not| *not != least));
            if let Some(form) = self.atoms.back(&form) {
                let least = Poly::from(least + 1u32);
                self.add(&SizeComparison::new(form, SizeRelation::AtLeast, least));
            }
        }
        for (_, known) in &mut self.table {
            known.not.sort();
            for not in known.not.clone() {
                if known.least.as_ref() == Some(&not) {
                    known.least = Some(not + 1u32);
                }
            }
            for not in known.not.clone().into_iter().rev() {
                if known.most.as_ref() == Some(&not) {
                    known.most = Some(not - 1u32);
                }
            }
            let (least, most) = (known.least.clone(), known.most.clone());
            known.not.retain(|not| {
                least.as_ref().is_none_or(|least| not > least)
                    && most.as_ref().is_none_or(|most| not < most)
            });
        }
    }

    /// Between which numbers a symbol lies, whatever conditions of others say.
    fn of_symbol(&self, symbol: &Symbol) -> Option<(Integer, Option<Integer>)> {
        if let Some(term) = self.atoms.term(symbol) {
            let (least, most) = self.of_term(term);
            return least.filter(|least| *least >= Integer::default()).map(|least| (least, most));
        }
        let own = self.table.iter().find(|(form, _)| form.as_symbol() == Some(symbol));
        let own = own.map(|(_, known)| known);
        let least = own.and_then(|own| own.least.clone()).unwrap_or_default();
        // A size of 0 is the tracer's, which sets it apart.
        Some((least.max(1.into()), own.and_then(|own| own.most.clone())))
    }

    fn of_poly(&self, poly: &Poly) -> (Option<Integer>, Option<Integer>) {
        if poly.symbols().iter().any(|symbol| self.of_symbol(symbol).is_none()) {
            return (None, None);
        }
        poly.range(|symbol| self.of_symbol(symbol).unwrap_or_default())
    }

    fn of_term(&self, term: &SizeTerm) -> (Option<Integer>, Option<Integer>) {
        let of = |term: &SizeTerm| match self.atoms.known(term) {
            Some(poly) => self.of_poly(&poly),
            None => (None, None),
        };
        let zero = Integer::default();
        match term {
            SizeTerm::Least(both) => {
                let ((a, b), (c, d)) = (of(&both[0]), of(&both[1]));
                (a.zip(c).map(|(a, c)| a.min(c)), lesser(b, d))
            }
            SizeTerm::Greatest(both) => {
                let ((a, b), (c, d)) = (of(&both[0]), of(&both[1]));
                (a.max(c), b.zip(d).map(|(b, d)| b.max(d)))
            }
            SizeTerm::Quotient(both) => {
                let ((least, most), (low, high)) = (of(&both[0]), of(&both[1]));
                let [low, high] = [low, high].map(|by| by.filter(|by| *by > zero));
                let by = |top: Integer, least: bool| {
                    // What is below 0 is the less the smaller the divisor.
                    let by = if (top < zero) == least { &low } else { &high };
                    by.as_ref().map(|by| floored(&top, by))
                };
                let never = least.as_ref().is_some_and(|least| *least >= zero)
                    || is_never_negative(&both[0]);
                let never = never.then(|| zero.clone());
                (
                    least.and_then(|top| by(top, true)).max(never),
                    most.and_then(|top| by(top, false)),
                )
            }
            SizeTerm::Remainder(both) => (Some(zero), of(&both[1]).1.map(|by| by - 1u32)),
            SizeTerm::Poly(_) | SizeTerm::Sum(_) | SizeTerm::Product(_) => (None, None),
        }
    }

    /// Whether what is known of polynomials says that something holds, or that it does not.
    fn settled(&self, fact: &Fact) -> Option<bool> {
        let own = self.table.iter().find(|(form, _)| *form == fact.form);
        let own = own.map(|(_, known)| known);
        let (mut least, mut most) = self.of_poly(&fact.form);
        if let Some(own) = own {
            least = least.max(own.least.clone());
            most = lesser(most, own.most.clone());
        }
        let number = &fact.number;
        let above = |than: &Integer| least.as_ref().is_some_and(|least| least > than);
        let below = |than: &Integer| most.as_ref().is_some_and(|most| most < than);
        let is = least.as_ref() == Some(number) && most.as_ref() == Some(number);
        let is_not =
            above(number) || below(number) || own.is_some_and(|own| own.not.contains(number));
        let (holds, fails) = match fact.limit {
            Limit::AtLeast => (above(&(number - 1u32)), below(number)),
            Limit::AtMost => (below(&(number + 1u32)), above(number)),
            Limit::Equal => (is, is_not),
            Limit::Unequal => (is_not, is),
        };
        if holds { Some(true) } else { fails.then_some(false) }
    }

    /// Of comparisons of which one holds those that may; none where one does.
    fn open(&mut self, of: Vec<SizeComparison>) -> Option<Vec<SizeComparison>> {
        let mut open: Vec<(SizeComparison, Option<Fact>)> = Vec::new();
        for one in of {
            let fact = match self.atoms.reduced(&one) {
                Reduced::Always => return None,
                Reduced::Never => continue,
                Reduced::Long => None,
                Reduced::Fact(fact) => match self.settled(&fact) {
                    Some(true) => return None,
                    Some(false) => continue,
                    None => Some(fact),
                },
            };
            let is_there = fact.is_some() && open.iter().any(|(_, own)| *own == fact);
            let is_opposite = |own: &Fact| fact.as_ref().is_some_and(|fact| covers(own, fact));
            if open.iter().filter_map(|(_, own)| own.as_ref()).any(is_opposite) {
                return None;
            }
            if !is_there {
                open.push((one, fact));
            }
        }
        // What never holds is told as it stands.
        Some(open.into_iter().map(|(one, _)| one).collect())
    }

    /// A comparison with its size alone on the left, if it is of one.
    fn written(&mut self, one: &SizeComparison) -> SizeComparison {
        match self.atoms.reduced(one) {
            Reduced::Fact(Fact { form, limit, number }) if form.symbols().len() == 1 => {
                self.comparison(&form, limit, &number).unwrap_or_else(|| one.clone())
            }
            _ => one.clone(),
        }
    }

    fn comparison(&self, form: &Poly, limit: Limit, number: &Integer) -> Option<SizeComparison> {
        let (left, right) = form.split();
        let [left, right] = [self.atoms.back(&left)?, self.atoms.back(&right)?];
        // A size over what it is a multiple of is told as the size.
        let (left, right, number) = match (left, right) {
            (SizeTerm::Poly(left), SizeTerm::Poly(right)) => {
                let (_, _, by) = (&left - &right).primitive();
                let by = Poly::from(by);
                (
                    SizeTerm::Poly(&left * &by),
                    SizeTerm::Poly(&right * &by),
                    Poly::from(number.clone()) * by,
                )
            }
            (left, right) => (left, right, number.clone().into()),
        };
        let alone = right == SizeTerm::Poly(Poly::zero());
        let (relation, number) = match limit {
            Limit::AtLeast if !alone && number == Poly::one() => {
                (SizeRelation::Above, Poly::zero())
            }
            Limit::AtMost if !alone && number == Poly::from(-1) => {
                (SizeRelation::Below, Poly::zero())
            }
            Limit::AtLeast => (SizeRelation::AtLeast, number),
            Limit::AtMost => (SizeRelation::AtMost, number),
            Limit::Equal => (SizeRelation::Equal, number),
            Limit::Unequal => (SizeRelation::Unequal, number),
        };
        // A number stands where it is not negative.
        if !alone && !number.is_never_negative() {
            return Some(SizeComparison::new(left.plus((-number).into()), relation, right));
        }
        Some(SizeComparison::new(left, relation, right.plus(number.into())))
    }

    /// What is known, without what bounds of single sizes imply.
    fn told(&self) -> Vec<SizeCondition> {
        let mut all: Vec<SizeCondition> = self.kept.iter().cloned().map(Into::into).collect();
        for (form, known) in &self.table {
            let alone = form.as_symbol().is_some_and(|own| self.atoms.term(own).is_none());
            let (least, most) = match alone {
                // A size of 1 at least is one that is not 0.
                true => (Some(1.into()), None),
                false => self.of_poly(form),
            };
            let mut limits = Vec::new();
            if known.least.is_some() && known.least == known.most {
                limits.extend(known.least.clone().map(|number| (Limit::Equal, number)));
            } else {
                let needed =
                    known.least.clone().filter(|own| least.as_ref().is_none_or(|l| own > l));
                limits.extend(needed.map(|number| (Limit::AtLeast, number)));
                let needed = known.most.clone().filter(|own| most.as_ref().is_none_or(|m| own < m));
                limits.extend(needed.map(|number| (Limit::AtMost, number)));
            }
            let outside = |not: &Integer| {
                least.as_ref().is_some_and(|least| not < least)
                    || most.as_ref().is_some_and(|most| not > most)
            };
            let not = known.not.iter().filter(|not| alone || !outside(not));
            limits.extend(not.map(|number| (Limit::Unequal, number.clone())));
            let several = form.symbols().len() > 1;
            if let Some(written) = known.written.as_ref().filter(|_| several && !limits.is_empty())
            {
                let length = |of: &SizeComparison| of.to_string().chars().count();
                let told = limits.pop().filter(|_| limits.is_empty());
                let told = told.and_then(|(limit, number)| self.comparison(form, limit, &number));
                let shorter = told.filter(|told| length(told) < length(written));
                all.push(shorter.unwrap_or_else(|| written.clone()).into());
                continue;
            }
            for (limit, number) in limits {
                let told = self.comparison(form, limit, &number);
                all.extend(told.or_else(|| known.written.clone()).map(SizeCondition::from));
            }
        }
        all
    }
}
