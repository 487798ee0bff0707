//! The cut of a kernel into tasks: by shape only, so that results and counts do not depend on the
//! number of threads.

use std::marker::PhantomData;

use rayon::prelude::*;

use crate::meter::{Meter, Tally};

/// Output elements of one task of a kernel that works row by row.
const CHUNK: usize = 1 << 13;
/// Output elements up to which a kernel does not start other threads.
const SERIAL: usize = 1 << 14;

/// Runs `task(first_row, rows, tally)` over chunks of whole rows of `out`.
///
/// `weight` is the work per output element in units of a plain pass over memory.
pub(crate) fn over_rows<T: Send, M: Meter>(
    out: &mut [T],
    width: usize,
    weight: usize,
    meter: &M,
    task: impl Fn(usize, &mut [T], &mut Tally) + Sync,
) {
    if out.is_empty() || width == 0 {
        return;
    }
    let rows = (CHUNK / weight.max(1) / width).max(1);
    let run = |(chunk, part): (usize, &mut [T])| {
        let mut tally = Tally::default();
        task(chunk * rows, part, &mut tally);
        if M::ON {
            meter.record(&tally);
        }
    };
    if out.len() <= SERIAL / weight.max(1) {
        out.chunks_mut(rows * width).enumerate().for_each(run);
    } else {
        out.par_chunks_mut(rows * width).enumerate().for_each(run);
    }
}

/// A slice whose disjoint parts are written by concurrent tasks.
pub(crate) struct Shared<'a, T = f32> {
    start: *mut T,
    len: usize,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: it only hands out parts through `part`, whose caller keeps them disjoint.
unsafe impl<T: Send> Sync for Shared<'_, T> {}
// SAFETY: it stands for a `&mut [T]`, which may be sent.
unsafe impl<T: Send> Send for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    pub(crate) fn new(slice: &'a mut [T]) -> Self {
        Shared { start: slice.as_mut_ptr(), len: slice.len(), slice: PhantomData }
    }

    /// `len` elements from `offset`.
    ///
    /// # Safety
    /// No other part that overlaps is alive.
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn part(&self, offset: usize, len: usize) -> &mut [T] {
        assert!(offset <= self.len && len <= self.len - offset);
        // SAFETY: the range was checked, and the caller keeps parts disjoint.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(offset), len) }
    }

    /// A pointer to the element at `offset`, to write a strided block.
    pub(crate) fn pointer(&self, offset: usize) -> *mut T {
        assert!(offset < self.len);
        // SAFETY: the offset is inside the slice.
        unsafe { self.start.add(offset) }
    }
}
