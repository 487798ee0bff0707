//! Constants of a program that are expressions in their places, and such as hide.

use opledger_dims::Poly;
use opledger_ir::IndexExpr;

use crate::hidden::hides;

/// Constants as an expression: one number everywhere, positions along the last dimension, or truth values
/// of a band over the last two.
pub(crate) fn by_places(values: &[i64], sizes: &[Poly]) -> Option<IndexExpr> {
    let first = *values.first()?;
    if values.iter().all(|value| *value == first) {
        return Some(first.into());
    }
    let dim = sizes.len().checked_sub(1)?;
    let length = usize::try_from(&sizes[dim].as_integer()?).ok()?;
    let mut places = values.iter().enumerate();
    if places.all(|(at, value)| *value == first + (at % length) as i64) {
        return Some(IndexExpr::Position(dim).plus(&first.into()));
    }
    band(values, sizes)
}

/// Which elements of a matrix are not 0, where those of each row lie between two diagonals; or which
/// are, where the others do.
fn band(values: &[i64], sizes: &[Poly]) -> Option<IndexExpr> {
    let [outer @ .., _, columns] = sizes else { return None };
    let truth = values.iter().all(|value| matches!(value, 0 | 1));
    if !truth || outer.iter().any(|size| *size != Poly::one()) {
        return None;
    }
    let columns = usize::try_from(&columns.as_integer()?).ok()?;
    let of = |held: i64| diagonals(values, columns, held);
    let places = [outer.len(), outer.len() + 1].map(IndexExpr::Position);
    let seen = |[from, to]: [Option<i64>; 2]| {
        let [row, column] = &places;
        // j ≤ i + to, and i ≤ j − from.
        let above = to.map(|to| column.below(&row.plus(&(to + 1).into())));
        let below = from.map(|from| row.below(&column.plus(&(1 - from).into())));
        match (above, below) {
            (Some(above), Some(below)) => Some(above.and(&below)),
            (above, below) => above.or(below),
        }
    };
    of(1).and_then(seen).or_else(|| Some(seen(of(0)?)?.is_zero()))
}

/// The first and the last diagonal of the elements that are `held`, as far as one of them cuts a row:
/// these are between them, and no others.
fn diagonals(values: &[i64], columns: usize, held: i64) -> Option<[Option<i64>; 2]> {
    let rows: Vec<&[i64]> = values.chunks_exact(columns.max(1)).collect();
    let (mut from, mut to) = (None, None);
    for (at, row) in rows.iter().enumerate() {
        let first = row.iter().position(|value| *value == held);
        let last = row.iter().rposition(|value| *value == held);
        if let (Some(first), Some(last)) = (first, last) {
            let diagonal = |column: usize| column as i64 - at as i64;
            from = from.or((first > 0).then(|| diagonal(first)));
            to = to.or((last + 1 < columns).then(|| diagonal(last)));
        }
    }
    let fits = |(at, row): (usize, &&[i64])| {
        row.iter().enumerate().all(|(column, value)| {
            let diagonal = column as i64 - at as i64;
            let within =
                from.is_none_or(|from| diagonal >= from) && to.is_none_or(|to| diagonal <= to);
            within == (*value == held)
        })
    };
    let told = from.is_some() || to.is_some();
    (told && rows.iter().enumerate().all(fits)).then_some([from, to])
}

/// A tensor of reals that hides: where it does not, and what it is there, where that is one number.
#[derive(Debug)]
pub(crate) struct Hiding {
    pub(crate) seen: Vec<i64>,
    pub(crate) finite: Option<f64>,
    pub(crate) hidden: f64,
}

/// What a buffer of reals is that is no weight.
#[derive(Debug)]
pub(crate) enum Marks {
    /// Zeros and ones.
    Truth(Vec<i64>),
    Hiding(Hiding),
    /// One number everywhere, which hides.
    Hidden(f64),
}

impl Marks {
    /// Reals as marks; none of other reals.
    pub(crate) fn of(values: &[f32]) -> Option<Marks> {
        let truth = |value: &f32| *value == 0.0 || *value == 1.0;
        if values.iter().all(truth) {
            return Some(Marks::Truth(
                values.iter().map(|value| i64::from(*value != 0.0)).collect(),
            ));
        }
        let is_hidden = |value: &&f32| hides(f64::from(**value));
        let hidden = f64::from(*values.iter().find(is_hidden)?);
        let seen = values.iter().map(|value| i64::from(!is_hidden(&value))).collect();
        let mut others =
            values.iter().filter(|value| !is_hidden(value)).map(|value| f64::from(*value));
        let Some(first) = others.next() else {
            return values
                .iter()
                .all(|value| f64::from(*value) == hidden)
                .then_some(Marks::Hidden(hidden));
        };
        let finite = others.all(|other| other == first).then_some(first);
        Some(Marks::Hiding(Hiding { seen, finite, hidden }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(rows: usize, columns: usize, held: impl Fn(i64, i64) -> bool) -> Option<String> {
        let places = (0..rows * columns).map(|at| (at / columns, at % columns));
        let values: Vec<i64> =
            places.map(|(row, column)| i64::from(held(row as i64, column as i64))).collect();
        let sizes = [1, rows as i64, columns as i64].map(Poly::from);
        by_places(&values, &sizes).map(|expr| {
            // The expression says the same of every element.
            for (at, value) in values.iter().enumerate() {
                let [row, column] = [at / columns, at % columns].map(|at| at as i64);
                let own = expr.at(&|dim| [0, row, column][dim].into());
                assert_eq!(own.as_number(), Some(*value), "{expr:?} at {row}, {column}");
            }
            format!("{} conditions", expr.conditions().len())
        })
    }

    #[test]
    fn bands_are_read_from_their_elements() {
        let one = Some("1 conditions".to_owned());
        let two = Some("2 conditions".to_owned());
        assert_eq!(read(5, 5, |i, j| j <= i), one);
        assert_eq!(read(5, 5, |i, j| j > i), one);
        assert_eq!(read(4, 7, |i, j| j <= i + 3), one);
        assert_eq!(read(6, 6, |i, j| j <= i && j > i - 3), two);
        assert_eq!(read(6, 6, |i, j| (i - j).abs() < 2), two);
        assert!(read(6, 6, |i, j| (i - j).abs() >= 2).is_some());
        assert_eq!(read(6, 6, |i, j| (i + j) % 3 == 0), None);
        assert_eq!(read(4, 4, |i, j| j <= i && (i, j) != (2, 1)), None);
    }
}
