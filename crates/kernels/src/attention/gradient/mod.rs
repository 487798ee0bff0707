//! The gradients of attention (Dao et al. 2022, algorithm 4): scores and weights of a block of rows are
//! computed again from queries and keys, and given up when its sums are taken, so that nothing of the size
//! of all pairs is kept.
//!
//! A block is 32 rows of a key head, one per lane, against all keys that any of them sees: maxima, sums and
//! the products of weights with their gradients run down columns, and a row needs no statistic of the forward
//! pass. Gradients of keys and values are added up block after block in the order of the rows.

mod block;
mod problem;

use opledger_dims::Class;
use rayon::prelude::*;

use self::block::{Cut, KeyHead, Outs, add};
use self::problem::Tallies;
pub use self::problem::{AttentionGradient, AttentionGradientMeters};
use crate::attention::{AttentionShape, SERIAL};
use crate::buffer::Buffer;
use crate::error::KernelError;
use crate::isa::isa;
use crate::meter::{AttentionPart, Meter};
use crate::number::Number;
use crate::tasks::Shared;

/// Computes the gradients of queries, keys and values, contiguous `[batch, tokens, heads, width]`: zeros for
/// a query that sees no key and for a key that no query sees. What a hidden pair has never reaches a result.
///
/// Counts per part as [`AttentionGradientMeters`] says. Executed are the keys that any row of a block sees,
/// in lanes that hold a row or none, and columns in sixteens; in place of divisions, one reciprocal per row;
/// where blocks of a head are several tasks, the addition of their sums.
///
/// # Errors
/// A shape, length or reach error; [`KernelError::EmptyReduction`] if a head has no width.
pub fn attention_gradient<T: Number, M: Meter>(
    problem: &AttentionGradient<'_, T>,
    [dq, dk, dv]: [&mut [T]; 3],
    meters: &AttentionGradientMeters<'_, M>,
) -> Result<(), KernelError> {
    let isa = isa()?;
    problem.check([dq, dk, dv])?;
    let shape = &problem.of.shape;
    let AttentionShape { batch, keys, kv_heads, .. } = *shape;
    if shape.no_rows() || keys == 0 {
        [dq, dk, dv].into_iter().for_each(|out| out.fill(T::of(0.0)));
        return Ok(());
    }
    let visible: Vec<_> = (0..batch).map(|item| problem.of.mask.keys(item, shape)).collect();
    let cut = Cut::new(shape);
    let pairs = batch * kv_heads;
    let outs = Outs { dq: Shared::new(dq), dk: Shared::new(dk), dv: Shared::new(dv) };
    let waiting = if cut.chunks > 1 { pairs * cut.chunks * cut.sums } else { 0 };
    let mut waiting = Buffer::take(waiting);
    let shared = Shared::new(&mut waiting);
    let task = |index: usize| {
        let (pair, chunk) = (index / cut.chunks, index % cut.chunks);
        let (item, kv_head) = (pair / kv_heads, pair % kv_heads);
        let mut head = KeyHead::new(isa, problem, (&visible[item], item, kv_head), &cut);
        let mut tallies = Tallies::default();
        for block in chunk * cut.blocks..cut.all.min((chunk + 1) * cut.blocks) {
            // SAFETY: each row of `dq` belongs to one task.
            unsafe { head.block(block, &outs.dq, &mut tallies) };
        }
        if chunk == 0 && problem.of.mask.is_none() {
            // The first terms of sums over all rows join nothing.
            let first = keys * (shape.key_width + shape.value_width);
            tallies.products.useful[Class::Add] -= first as u64;
        }
        if cut.chunks == 1 {
            // SAFETY: the rows of a key head belong to one task.
            unsafe { head.finish(&outs) };
        } else {
            // SAFETY: these sums belong to one task.
            unsafe { shared.part(index * cut.sums, cut.sums) }.copy_from_slice(&head.sums);
        }
        head.keep();
        tallies.record(meters);
    };
    let parallel = shape.pairs().saturating_mul(shape.key_width + shape.value_width) > SERIAL;
    for_each(pairs * cut.chunks, parallel, task);
    if cut.chunks > 1 {
        let merge = |pair: usize| {
            let (item, kv_head) = (pair / kv_heads, pair % kv_heads);
            let mut head = KeyHead::new(isa, problem, (&visible[item], item, kv_head), &cut);
            let mut tallies = Tallies::default();
            T::belongs_to(AttentionPart::Products);
            let of_pair = &waiting[pair * cut.chunks * cut.sums..][..cut.chunks * cut.sums];
            for part in of_pair.chunks_exact(cut.sums) {
                add(isa, &mut head.sums, part);
                tallies.products.executed(Class::Add, cut.sums);
            }
            // SAFETY: the rows of a key head belong to one task.
            unsafe { head.finish(&outs) };
            head.keep();
            tallies.record(meters);
        };
        for_each(pairs, parallel, merge);
    }
    waiting.keep();
    Ok(())
}

fn for_each(tasks: usize, parallel: bool, task: impl Fn(usize) + Sync + Send) {
    if parallel && tasks > 1 {
        (0..tasks).into_par_iter().with_max_len(1).for_each(task);
    } else {
        (0..tasks).for_each(task);
    }
}
