//! Buffers of dead values, kept for later values of the same size: fresh memory costs a page fault
//! for every 4 KiB that is first touched.

use std::collections::BTreeMap;

use crate::Peak;

/// Buffers that nothing reads any more, by length.
///
/// Values alive and buffers kept never exceed, together, what the run was foreseen to need: before
/// more is taken from the system, buffers that do not fit are given back.
#[derive(Clone, Debug, Default)]
pub(super) struct BufferPool {
    free: BTreeMap<usize, Vec<Vec<f32>>>,
    /// Bytes of these buffers, and of the values alive.
    kept: u64,
    alive: u64,
    limit: u64,
    peak: Peak,
}

impl BufferPool {
    /// A run begins that needs at most so many bytes at once.
    pub(super) fn begin(&mut self, limit: u64) {
        (self.alive, self.limit, self.peak) = (0, limit, Peak::default());
        self.shrink();
    }

    /// The most that was needed since the run began.
    pub(super) fn peak(&self) -> Peak {
        self.peak
    }

    /// A buffer of `len` elements, whatever they are; the caller writes every one.
    pub(super) fn take(&mut self, len: usize) -> Vec<f32> {
        let reused = self.free.get_mut(&len).and_then(Vec::pop);
        if reused.is_some() {
            self.kept -= bytes::<f32>(len);
        }
        self.made(bytes::<f32>(len));
        reused.unwrap_or_else(|| vec![0.0; len])
    }

    /// A value was made that takes so many bytes.
    pub(super) fn made(&mut self, bytes: u64) {
        self.alive += bytes;
        self.shrink();
        self.peak.live = self.peak.live.max(self.alive);
        self.peak.held = self.peak.held.max(self.alive + self.kept);
    }

    /// A value of so many bytes is gone.
    pub(super) fn gone(&mut self, bytes: u64) {
        self.alive = self.alive.saturating_sub(bytes);
    }

    /// Keeps the buffer of a value that nothing reads any more.
    pub(super) fn give(&mut self, buffer: Vec<f32>) {
        let bytes = bytes::<f32>(buffer.len());
        self.gone(bytes);
        self.kept += bytes;
        #[cfg(debug_assertions)]
        let buffer = poisoned(buffer);
        self.free.entry(buffer.len()).or_default().push(buffer);
        self.shrink();
    }

    /// Gives buffers back to the system, the largest first, until the rest fits beside what is alive.
    fn shrink(&mut self) {
        while self.kept > self.limit.saturating_sub(self.alive) {
            let Some((&len, buffers)) = self.free.iter_mut().next_back() else { return };
            match buffers.pop() {
                Some(_) => self.kept -= bytes::<f32>(len),
                None => {
                    self.free.remove(&len);
                }
            }
        }
    }
}

/// Bytes of so many elements.
pub(super) fn bytes<T>(len: usize) -> u64 {
    (len * size_of::<T>()) as u64
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
        let mut pool = BufferPool::default();
        pool.begin(400);
        let (a, b) = (pool.take(40), pool.take(40));
        let place = a.as_ptr();
        pool.give(a);
        assert_eq!((pool.kept, pool.alive), (160, 160));
        let again = pool.take(40);
        assert_eq!(again.as_ptr(), place);
        pool.give(again);
        // 40 alive, 40 kept: 30 more fit only when the kept buffer goes.
        let c = pool.take(30);
        assert_eq!((pool.kept, pool.alive), (0, 280));
        pool.give(b);
        pool.give(c);
        assert_eq!((pool.kept, pool.alive), (280, 0));
        assert_eq!(pool.peak(), Peak { live: 320, held: 320 });
        pool.begin(120);
        assert_eq!((pool.kept, pool.alive), (120, 0));
        assert_eq!(pool.peak(), Peak::default());
    }
}
