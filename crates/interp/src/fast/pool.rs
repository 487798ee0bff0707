//! Buffers of dead values, kept for later values of the same size: fresh memory costs a page fault
//! for every 4 KiB that is first touched.

use std::collections::BTreeMap;

/// Buffers that nothing reads any more, by length.
///
/// Values alive and buffers kept never exceed, together, what the run was foreseen to need: before
/// more is taken from the system, buffers that do not fit are given back.
#[derive(Clone, Debug, Default)]
pub(super) struct Pool {
    free: BTreeMap<usize, Vec<Vec<f32>>>,
    kept: u64,
    alive: u64,
    limit: u64,
}

impl Pool {
    /// A run begins that needs at most so many elements at once.
    pub(super) fn begin(&mut self, live_elements: u64) {
        self.alive = 0;
        self.limit = live_elements;
        self.shrink(0);
    }

    /// A buffer of `len` elements, whatever they are; the caller writes every one.
    pub(super) fn take(&mut self, len: usize) -> Vec<f32> {
        let reused = self.free.get_mut(&len).and_then(Vec::pop);
        self.alive += len as u64;
        match reused {
            Some(buffer) => {
                self.kept -= len as u64;
                buffer
            }
            None => {
                self.shrink(self.alive);
                vec![0.0; len]
            }
        }
    }

    /// Keeps the buffer of a value that nothing reads any more.
    pub(super) fn give(&mut self, buffer: Vec<f32>) {
        let len = buffer.len() as u64;
        self.alive = self.alive.saturating_sub(len);
        self.kept += len;
        #[cfg(debug_assertions)]
        let buffer = poisoned(buffer);
        self.free.entry(buffer.len()).or_default().push(buffer);
        self.shrink(self.alive);
    }

    /// Gives buffers back to the system, the largest first, until the rest fits beside `alive`.
    fn shrink(&mut self, alive: u64) {
        while self.kept > self.limit.saturating_sub(alive) {
            let Some((&len, buffers)) = self.free.iter_mut().next_back() else { return };
            match buffers.pop() {
                Some(_) => self.kept -= len as u64,
                None => {
                    self.free.remove(&len);
                }
            }
        }
    }
}

/// A buffer whose old contents would show in any result that is not fully written.
#[cfg(debug_assertions)]
fn poisoned(mut buffer: Vec<f32>) -> Vec<f32> {
    buffer.fill(f32::NAN);
    buffer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back_and_never_exceed_the_limit() {
        let mut pool = Pool::default();
        pool.begin(100);
        let (a, b) = (pool.take(40), pool.take(40));
        let place = a.as_ptr();
        pool.give(a);
        assert_eq!((pool.kept, pool.alive), (40, 40));
        let again = pool.take(40);
        assert_eq!(again.as_ptr(), place);
        pool.give(again);
        // 40 alive, 40 kept: 30 more fit only when the kept buffer goes.
        let c = pool.take(30);
        assert_eq!((pool.kept, pool.alive), (0, 70));
        pool.give(b);
        pool.give(c);
        assert_eq!((pool.kept, pool.alive), (70, 0));
        pool.begin(30);
        assert_eq!((pool.kept, pool.alive), (30, 0));
    }
}
