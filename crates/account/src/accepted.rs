//! Which sizes a program accepts: those that its conditions hold at, and of which it has positions.

use std::fmt;

use opledger_dims::{Binding, Integer, Symbol};
use opledger_ir::SizeCondition;

use crate::{AccountError, Model};

/// What sizes have to be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SizeLimit<'m> {
    Condition(&'m SizeCondition),
    /// There are so many positions in a table.
    Rows(&'m Symbol, u64),
    /// Guards are not understood, and what they hold at is the example's.
    Example(&'m Symbol, &'m Integer),
}

impl SizeLimit<'_> {
    /// Whether sizes break it: those that it is about are given, and it does not hold.
    fn breaks(&self, sizes: &Binding) -> bool {
        match self {
            SizeLimit::Condition(condition) => match condition.holds(sizes) {
                Some(holds) => !holds,
                None => condition.symbols().iter().all(|symbol| sizes.get(symbol).is_some()),
            },
            SizeLimit::Rows(symbol, most) => {
                sizes.get(symbol).is_some_and(|size| *size > (*most).into())
            }
            SizeLimit::Example(symbol, only) => sizes.get(symbol).is_some_and(|size| size != *only),
        }
    }
}

impl fmt::Display for SizeLimit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SizeLimit::Condition(condition) => condition.fmt(f),
            SizeLimit::Rows(symbol, most) => write!(f, "{symbol} ≤ {most}, positions"),
            SizeLimit::Example(symbol, only) => write!(f, "{symbol} = {only}, the example"),
        }
    }
}

/// The most sizes that are tried one by one: conditions hold at every so many at least, or are bounds.
const TRIED: u32 = 128;

impl Model {
    /// What a program says of its sizes; nothing of other models.
    pub(crate) fn limits(&self) -> Vec<SizeLimit<'_>> {
        let recorded = self.recorded();
        let rows = recorded.rows.iter().map(|(symbol, most)| SizeLimit::Rows(symbol, *most));
        let only = recorded.only.iter().flat_map(Binding::iter);
        let only = only.map(|(symbol, size)| SizeLimit::Example(symbol, size));
        recorded.conditions.iter().map(SizeLimit::Condition).chain(rows).chain(only).collect()
    }

    /// The greatest of the numbers up to `most`, 1 or more, at which nothing is broken, and what is broken by
    /// all that are greater; nothing of that where one of them, beyond `most`, is accepted.
    ///
    /// # Errors
    /// Those of `at`, which gives the sizes at a number.
    pub(crate) fn greatest_accepted(
        &self,
        most: &Integer,
        at: impl Fn(&Integer) -> Result<Binding, AccountError>,
    ) -> Result<(Integer, Option<String>), AccountError> {
        let (limits, one) = (self.limits(), Integer::from(1));
        let broken = |number: &Integer| -> Result<Option<&SizeLimit<'_>>, AccountError> {
            let sizes = at(number)?;
            Ok(limits.iter().find(|limit| limit.breaks(&sizes)))
        };
        let mut greatest = most.clone();
        // What is broken by a run of numbers is broken by all that are greater: a bound is found by halving.
        for limit in &limits {
            let holds_near = |from: &Integer| -> Result<bool, AccountError> {
                let mut number = from.clone();
                for _ in 0..TRIED {
                    if number < one {
                        break;
                    }
                    if !limit.breaks(&at(&number)?) {
                        return Ok(true);
                    }
                    number -= &one;
                }
                Ok(false)
            };
            let first = Integer::from(TRIED).min(greatest.clone());
            if holds_near(&greatest)? || !holds_near(&first)? {
                continue;
            }
            let (mut least, mut above) = (first, greatest.clone());
            while &above - &least > one {
                let middle = (&least + &above) / 2u32;
                match holds_near(&middle)? {
                    true => least = middle,
                    false => above = middle,
                }
            }
            greatest = least;
        }
        let mut found = Integer::default();
        for down in 0..TRIED {
            let number = &greatest - down;
            if number < one {
                break;
            }
            if broken(&number)?.is_none() {
                found = number;
                break;
            }
        }
        // Whether more would be accepted, were there more memory.
        for up in 1..=TRIED {
            let number = most + up;
            if broken(&number)?.is_none() {
                return Ok((found, None));
            }
        }
        Ok((found.clone(), broken(&(found + one))?.map(ToString::to_string)))
    }
}
