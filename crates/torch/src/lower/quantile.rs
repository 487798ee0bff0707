//! Numbers between those that stand at a place when all are in their order.

use opledger_dims::Poly;
use opledger_ir::IndexExpr;
use opledger_ir::ops::{ArithmeticKind, CompareKind};

use super::elementwise::combined;
use super::movement::{reshape, sizes_of};
use super::places::{only, taken};
use super::reduction::summed;
use super::sorted::{first_of, select_either};
use super::truth::compare;
use crate::call::Call;
use crate::importer::{Importer, Lowered, Meaning, Obstacle};
use crate::whole::{Whole, WholeKind};

pub(super) fn lower(own: &mut Importer<'_>, call: &Call<'_>, base: &str) -> Lowered<Vec<Meaning>> {
    match base {
        "quantile" | "nanquantile" => {
            if call.name_of("q").is_some() {
                let instead = "quantiles by a tensor: ask for each by a number, and stack them";
                return Err(Obstacle::Bad(instead.to_owned()));
            }
            let q = call.float("q").ok_or(Obstacle::Unknown)?;
            let sorted = Sorted::of(own, call, base == "nanquantile")?;
            Ok(vec![sorted.quantile(own, call, q)?])
        }
        "nanmedian" if call.kind(own, 0)? == WholeKind::Real => {
            if call.result(1).is_ok_and(|name| own.is_asked_for(name)) {
                return Err(Obstacle::Unknown);
            }
            let sorted = Sorted::of(own, call, true)?;
            let place = sorted.last.floor_div(&2.into());
            let median = sorted.at(own, &place)?;
            let sizes = call.sizes(own, 0)?;
            Ok(vec![reshape(own, median, &sizes)?, Meaning::None])
        }
        _ => Err(Obstacle::Unknown),
    }
}

/// Reals along a dimension from the smallest to the largest; those that are no number stand behind.
struct Sorted {
    values: Meaning,
    dim: usize,
    /// The sizes of one of them for each row.
    row: Vec<Poly>,
    /// The place of the last that is one of those asked for, over the row.
    last: IndexExpr,
    /// Where all of a row are numbers, unless those that are none are left out.
    numbers: Option<(Whole, Meaning)>,
}

impl Sorted {
    /// What a call reads, all of it or one dimension.
    fn of(own: &mut Importer<'_>, call: &Call<'_>, numbers_only: bool) -> Lowered<Sorted> {
        let mut value = Meaning::Tensor(call.tensor(own, "self")?);
        let mut sizes = sizes_of(&value)?;
        if !call.has("dim") {
            sizes = vec![sizes.iter().product()];
            value = reshape(own, value, &sizes)?;
        }
        let dim = call.dim("dim", -1, sizes.len())?;
        let (length, mut row) = (sizes[dim].clone(), sizes);
        row[dim] = Poly::one();
        let [values, _] = first_of(own, value.clone(), dim, &length, true)?;
        if numbers_only {
            let are = compare(own, CompareKind::Equal, value.clone(), value)?;
            let count = summed(own, &are, dim)?.expr;
            let last = count.is_positive().choose(&count.minus(&1.into()), &0.into());
            return Ok(Sorted { values, dim, row, last, numbers: None });
        }
        let last = IndexExpr::size(&length - &Poly::one());
        let mut sorted = Sorted { values, dim, row, last: last.clone(), numbers: None };
        let most = sorted.at(own, &last)?;
        let number = compare(own, CompareKind::Equal, most.clone(), most.clone())?;
        sorted.numbers = Some((number, most));
        Ok(sorted)
    }

    /// The one of each row at a place.
    fn at(&self, own: &mut Importer<'_>, place: &IndexExpr) -> Lowered<Meaning> {
        let at = only(self.dim, place.clone(), &sizes_of(&self.values)?, &self.row);
        taken(own, self.values.clone(), &self.row, &at)
    }

    /// The quantile at `q`: between two neighbours as it lies between their places, or one of both
    /// (`aten/src/ATen/native/Sorting.cpp`, `quantile_compute`).
    fn quantile(&self, own: &mut Importer<'_>, call: &Call<'_>, q: f64) -> Lowered<Meaning> {
        let (part, whole) = ratio(q).ok_or(Obstacle::Unknown)?;
        let rank = self.last.scaled(&Poly::from(part));
        let (below, rest) = (rank.floor_div(&whole.into()), rank.modulo(&whole.into()));
        let above = rank.plus(&(whole - 1).into()).floor_div(&whole.into());
        let (place, weight) = match call.text("interpolation").unwrap_or("linear") {
            "linear" => (below, Some(rest)),
            "lower" => (below, None),
            "higher" => (above.clone(), None),
            "midpoint" => (below, Some((whole / 2).into())),
            // To the even one of two.
            "nearest" => {
                let twice = rest.scaled(&Poly::from(2));
                let is_odd = below.modulo(&2.into());
                let up = IndexExpr::from(whole).below(&twice.plus(&is_odd));
                (up.choose(&above, &below), None)
            }
            _ => return Err(Obstacle::Unknown),
        };
        let mut value = self.at(own, &place)?;
        if let Some(weight) = weight {
            let next = self.at(own, &above)?;
            let weight = match weight.as_number() {
                Some(weight) => Meaning::Number(weight as f64 / whole as f64),
                None => {
                    let sizes = self.row.clone();
                    let weight =
                        Meaning::Whole(Whole { sizes, expr: weight, kind: WholeKind::Whole });
                    let by = Meaning::Number(1.0 / whole as f64);
                    Meaning::Tensor(combined(own, ArithmeticKind::Mul, weight, by)?)
                }
            };
            let apart = combined(own, ArithmeticKind::Sub, next, value.clone())?;
            let part = combined(own, ArithmeticKind::Mul, Meaning::Tensor(apart), weight)?;
            value =
                Meaning::Tensor(combined(own, ArithmeticKind::Add, value, Meaning::Tensor(part))?);
        }
        if let Some((number, most)) = &self.numbers {
            value = select_either(own, number, value, most.clone())?;
        }
        let sizes = call.sizes(own, 0)?;
        reshape(own, value, &sizes)
    }
}

/// A number as it is written in decimal digits, as a ratio; none of more than nine.
fn ratio(q: f64) -> Option<(i64, i64)> {
    let mut whole = 1_i64;
    for _ in 0..10 {
        let part = q * whole as f64;
        if (part.round() - part).abs() < 1e-9 && part.round() as i64 <= whole {
            return Some((part.round() as i64, whole));
        }
        whole *= 10;
    }
    None
}
