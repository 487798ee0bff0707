//! Scratch memory that begins on a cache line and is kept by its thread from task to task.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

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

    /// A new buffer that is never shared with other uses.
    pub(crate) fn new(len: usize) -> Buffer<T> {
        let lines = vec![Line([0.0; LINE]); len.div_ceil(LINE)];
        Buffer { lines, len, elements: PhantomData }
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
