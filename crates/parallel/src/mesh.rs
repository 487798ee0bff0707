//! Ranks by their places in a mesh, the last axis running fastest.

use opledger_dims::Scalar;
use opledger_ir::{OpError, Value};

use crate::exchange::{assembled, flat};
use crate::pieces::{cut_value, reshaped};
use crate::placement::{Placement, Placements};
use crate::strategy::MeshAxis;

/// How many ranks each axis has.
#[derive(Clone, Debug)]
pub(crate) struct Mesh(Vec<usize>);

impl Mesh {
    pub(crate) fn of(mesh: &[MeshAxis]) -> Mesh {
        Mesh(mesh.iter().map(|axis| usize::try_from(axis.ranks).unwrap_or(usize::MAX)).collect())
    }

    pub(crate) fn ranks(&self) -> usize {
        self.0.iter().product()
    }

    /// How many ranks an axis has.
    pub(crate) fn size(&self, along: usize) -> usize {
        self.0[along]
    }

    /// How far apart neighbours along an axis are.
    fn stride(&self, along: usize) -> usize {
        self.0[along + 1..].iter().product()
    }

    /// The place of a rank along an axis.
    pub(crate) fn place(&self, rank: usize, along: usize) -> usize {
        rank / self.stride(along) % self.0[along]
    }

    /// The ranks that differ along an axis alone, group by group.
    pub(crate) fn groups(&self, along: usize) -> impl Iterator<Item = Vec<usize>> {
        let (ranks, stride, size) = (self.ranks(), self.stride(along), self.0[along]);
        let first = (0..ranks).filter(move |rank| rank / stride % size == 0);
        first.map(move |first| (0..size).map(|place| first + place * stride).collect())
    }

    /// Among how many ranks an axis of a value is cut.
    pub(crate) fn shares(&self, layout: &Placements, axis: usize) -> usize {
        let cut = layout.iter().zip(&self.0).filter(|(own, _)| **own == Placement::Cut(axis));
        cut.map(|(_, ranks)| ranks).product()
    }

    /// What each rank has of a value.
    pub(crate) fn parts<T: Scalar>(
        &self,
        value: &Value<T>,
        layout: &Placements,
    ) -> Result<Vec<Value<T>>, OpError> {
        // Elements are told apart in what is left of axes that are cut.
        let mut order: Vec<usize> = (0..layout.len()).collect();
        order.sort_by_key(|along| layout[*along] == Placement::Flat);
        let part = |rank: usize| {
            let mut part = value.clone();
            for along in &order {
                let place = self.place(rank, *along);
                let mut pieces = match layout[*along] {
                    Placement::Cut(axis) => cut_value(&part, axis, self.0[*along])?,
                    Placement::Flat => flat(&part, self.0[*along])?,
                    Placement::Whole | Placement::Partial | Placement::Chosen { .. } => continue,
                };
                part = pieces.swap_remove(place);
            }
            Ok(part)
        };
        (0..self.ranks()).map(part).collect()
    }

    /// A value of such sizes from what each rank has.
    pub(crate) fn whole<T: Scalar>(
        &self,
        mut parts: Vec<Value<T>>,
        layout: &Placements,
        sizes: &[usize],
    ) -> Result<Value<T>, OpError> {
        let mut order: Vec<usize> = (0..layout.len()).collect();
        order.sort_by_key(|along| layout[*along] != Placement::Flat);
        let mut left = layout.clone();
        for along in order {
            left = left.with(along, Placement::Whole);
            let now: Vec<usize> = { sizes.iter().enumerate() }
                .map(|(axis, size)| size / self.shares(&left, axis))
                .collect();
            for group in self.groups(along) {
                let own: Vec<Value<T>> = group.iter().map(|rank| parts[*rank].clone()).collect();
                let joined = match layout[along] {
                    Placement::Cut(axis) => assembled(&own, &now, axis)?,
                    Placement::Flat => {
                        reshaped(&assembled(&own, &[now.iter().product()], 0)?, &now)?
                    }
                    Placement::Whole | Placement::Partial | Placement::Chosen { .. } => {
                        own[0].clone()
                    }
                };
                for rank in group {
                    parts[rank] = joined.clone();
                }
            }
        }
        Ok(parts.swap_remove(0))
    }
}
