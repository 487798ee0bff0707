//! Collectives on buffers: what ranks hand to each other, one link at a time.

use std::ops::{Add, Range};

/// What joins ranks. Every buffer that goes from one to another goes through it.
pub trait Wire {
    /// Hands a buffer over: what arrives.
    fn send<T: Copy>(&mut self, from: usize, to: usize, buffer: &[T]) -> Vec<T>;

    /// Bytes that each rank has sent.
    fn sent(&self) -> &[u64];
}

/// A wire that counts the bytes of each buffer as it copies it.
#[derive(Clone, Debug)]
pub struct CountingWire {
    sent: Vec<u64>,
}

impl CountingWire {
    /// A wire between so many ranks.
    pub fn new(ranks: usize) -> Self {
        CountingWire { sent: vec![0; ranks] }
    }
}

impl Wire for CountingWire {
    fn send<T: Copy>(&mut self, from: usize, _: usize, buffer: &[T]) -> Vec<T> {
        let mut arrived = Vec::with_capacity(buffer.len());
        for element in buffer {
            arrived.push(*element);
            self.sent[from] += size_of::<T>() as u64;
        }
        arrived
    }

    fn sent(&self) -> &[u64] {
        &self.sent
    }
}

/// Part `part` of `parts` of a buffer of so many elements.
fn run(len: usize, parts: usize, part: usize) -> Range<usize> {
    part * len / parts..(part + 1) * len / parts
}

/// The sum of all buffers, for every rank: parts of it go round once to be summed, and once more.
pub(crate) fn all_reduce<T: Copy + Add<Output = T>>(
    wire: &mut impl Wire,
    buffers: Vec<Vec<T>>,
) -> Vec<Vec<T>> {
    let ranks = buffers.len();
    let parts = |buffer: &Vec<T>| -> Vec<Vec<T>> {
        (0..ranks).map(|part| buffer[run(buffer.len(), ranks, part)].to_vec()).collect()
    };
    let summed = reduce_scatter(wire, buffers.iter().map(parts).collect());
    all_gather(wire, summed).into_iter().map(|parts| parts.concat()).collect()
}

/// Of the sum of all ranks' lists of parts, part i for rank i.
pub(crate) fn reduce_scatter<T: Copy + Add<Output = T>>(
    wire: &mut impl Wire,
    mut parts: Vec<Vec<Vec<T>>>,
) -> Vec<Vec<T>> {
    let ranks = parts.len();
    for step in 1..ranks {
        let arrive = |from: usize, wire: &mut _, parts: &[Vec<Vec<T>>]| {
            let (part, to) = ((from + ranks - step) % ranks, (from + 1) % ranks);
            (to, part, Wire::send(wire, from, to, &parts[from][part]))
        };
        let arrived: Vec<_> = (0..ranks).map(|from| arrive(from, wire, &parts)).collect();
        for (to, part, term) in arrived {
            let own = &mut parts[to][part];
            own.iter_mut().zip(term).for_each(|(own, term)| *own = *own + term);
        }
    }
    parts.into_iter().enumerate().map(|(rank, mut own)| own.swap_remove(rank)).collect()
}

/// The parts of all ranks, in their order, for every rank.
pub(crate) fn all_gather<T: Copy>(wire: &mut impl Wire, parts: Vec<Vec<T>>) -> Vec<Vec<Vec<T>>> {
    let ranks = parts.len();
    let mut all: Vec<Vec<Option<Vec<T>>>> = vec![vec![None; ranks]; ranks];
    for (rank, part) in parts.into_iter().enumerate() {
        all[rank][rank] = Some(part);
    }
    for step in 0..ranks.saturating_sub(1) {
        let mut arrived = Vec::new();
        for (from, own) in all.iter().enumerate() {
            let (part, to) = ((from + ranks - step) % ranks, (from + 1) % ranks);
            let buffer = own[part].as_deref().unwrap_or_default();
            arrived.push((to, part, wire.send(from, to, buffer)));
        }
        for (to, part, buffer) in arrived {
            all[to][part] = Some(buffer);
        }
    }
    all.into_iter().map(|parts| parts.into_iter().flatten().collect()).collect()
}

/// Of each rank's list of parts, part i for rank i: what each has then, in the order of the ranks.
pub(crate) fn all_to_all<T: Copy>(
    wire: &mut impl Wire,
    parts: Vec<Vec<Vec<T>>>,
) -> Vec<Vec<Vec<T>>> {
    let ranks = parts.len();
    let mut arrived: Vec<Vec<Vec<T>>> = vec![Vec::with_capacity(ranks); ranks];
    for (from, parts) in parts.into_iter().enumerate() {
        for (to, part) in parts.into_iter().enumerate() {
            arrived[to].push(if from == to { part } else { wire.send(from, to, &part) });
        }
    }
    arrived
}
