//! Scratch memory that begins on a cache line and is kept by its thread from task to task.

use std::alloc::{Layout, alloc_zeroed};
use std::cell::RefCell;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use half::{bf16, f16};

use crate::number::Number;

/// Numbers of one cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; LINE]);

const LINE: usize = 16;
/// Elements that a thread keeps in all; larger buffers go back to the system.
const KEPT: usize = 1 << 23;

thread_local! {
    static FREE: RefCell<Vec<Vec<Line>>> = const { RefCell::new(Vec::new()) };
}

/// At least so many elements; what they hold is not defined by any earlier use.
pub(crate) struct Buffer<T = f32> {
    lines: Vec<Line>,
    len: usize,
    elements: PhantomData<T>,
}

impl<T: Number> Buffer<T> {
    /// Takes a buffer that the thread keeps, or a new one.
    pub(crate) fn take(len: usize) -> Buffer<T> {
        let count = len.div_ceil(LINE);
        let kept = FREE.with_borrow_mut(|free| {
            let fits = free.iter().position(|lines| lines.len() >= count);
            fits.map(|at| free.swap_remove(at))
        });
        let lines = kept.unwrap_or_else(|| vec![Line([0.0; LINE]); count]);
        Buffer { lines, len, elements: PhantomData }
    }

    /// A new buffer of zeros that is never shared with other uses; none where memory is short.
    pub(crate) fn zeros(len: usize) -> Option<Buffer<T>> {
        let count = len.div_ceil(LINE);
        let layout = Layout::array::<Line>(count).ok().filter(|layout| layout.size() > 0);
        let lines = match layout {
            None if count == 0 => Vec::new(),
            None => return None,
            Some(layout) => {
                // SAFETY: the layout is not of size zero.
                let start = unsafe { alloc_zeroed(layout) }.cast::<Line>();
                if start.is_null() {
                    return None;
                }
                // SAFETY: so many lines were allocated by the global allocator with the layout of their
                // array, and a line may be all zeros.
                unsafe { Vec::from_raw_parts(start, count, count) }
            }
        };
        Some(Buffer { lines, len, elements: PhantomData })
    }

    /// Gives the buffer to the thread, for its next [`Buffer::take`].
    pub(crate) fn keep(self) {
        // A thread that ends has no list any more; the buffer is then freed.
        let _ = FREE.try_with(|free| {
            let mut free = free.borrow_mut();
            let kept: usize = free.iter().map(|lines| lines.len() * LINE).sum();
            if kept + self.lines.len() * LINE <= KEPT {
                free.push(self.lines);
            }
        });
    }
}

/// Numbers of 16 bits that begin on a cache line.
pub(crate) struct HalfBuffer<H> {
    numbers: Buffer,
    len: usize,
    elements: PhantomData<H>,
}

/// A number of 16 bits, any of which it may be.
pub(crate) trait Half: Copy + Send + Sync + 'static {}
impl Half for bf16 {}
impl Half for f16 {}

impl<H: Half> HalfBuffer<H> {
    /// As [`Buffer::zeros`].
    pub(crate) fn zeros(len: usize) -> Option<HalfBuffer<H>> {
        let numbers = Buffer::zeros(len.div_ceil(2))?;
        Some(HalfBuffer { numbers, len, elements: PhantomData })
    }
}

impl<H: Half> Deref for HalfBuffer<H> {
    type Target = [H];

    fn deref(&self) -> &[H] {
        const { assert!(size_of::<H>() == 2 && align_of::<H>() <= align_of::<f32>()) };
        // SAFETY: there are at least half as many numbers of twice the width, and any bits are a `Half`.
        unsafe { std::slice::from_raw_parts(self.numbers.as_ptr().cast(), self.len) }
    }
}

impl<H: Half> DerefMut for HalfBuffer<H> {
    fn deref_mut(&mut self) -> &mut [H] {
        // SAFETY: as above, borrowed exclusively; any bits of a `Half` are those of an `f32`.
        unsafe { std::slice::from_raw_parts_mut(self.numbers.as_mut_ptr().cast(), self.len) }
    }
}

impl<T: Number> Deref for Buffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        const { assert!(size_of::<T>() == size_of::<f32>() && align_of::<T>() == align_of::<f32>()) };
        // SAFETY: `Line` is `LINE` numbers without padding, `len` is at most all of them, and a
        // `Number` is an `f32` or a transparent wrapper of one.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl<T: Number> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_aligned_sized_and_used_again() {
        let mut buffer = Buffer::<f32>::take(100);
        assert_eq!((buffer.len(), buffer.as_ptr() as usize % 64), (100, 0));
        buffer.fill(7.0);
        let place = buffer.as_ptr();
        buffer.keep();
        let again = Buffer::<f32>::take(90);
        assert_eq!((again.as_ptr(), again.len()), (place, 90));
        assert_ne!(Buffer::<f32>::take(90).as_ptr(), place);
        let large = Buffer::<f32>::take(KEPT + 1);
        assert_eq!(large[KEPT], 0.0);
        large.keep();
        FREE.with_borrow(|free| assert!(free.is_empty()));
    }
}
