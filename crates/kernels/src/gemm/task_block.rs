//! How a product is cut into tasks.

use super::Source;
use super::microkernel::NR;
use super::panels::MC;
use super::unpacked::SWEPT;

/// Rows, where they are not many, and least columns of a task where terms of `A` are brought together: once, if
/// they can.
const APART: [usize; 2] = [48, 512];
/// Multiplications below which one task takes several batch items, or no smaller cut is made.
const TASK: usize = 1 << 19;
/// Columns that are not cut where rows of B are read as they are stored: memory delivers long pieces
/// faster.
const WIDE: usize = 384;
/// Tasks aimed at.
const TASKS: usize = 32;

/// The part of `C` that a task computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TaskBlock {
    pub(super) items: usize,
    pub(super) rows: usize,
    pub(super) cols: usize,
}

impl TaskBlock {
    /// Depends on the sizes alone; `k` is never cut.
    pub(super) fn new<T>(
        [batch, m, k, n]: [usize; 4],
        source: &Source<'_, T>,
        apart: bool,
    ) -> TaskBlock {
        let item = m.saturating_mul(k).saturating_mul(n);
        if item < TASK {
            return TaskBlock { items: (TASK / item.max(1)).clamp(1, batch), rows: m, cols: n };
        }
        let rows = match source {
            Source::Panels(_) if apart && m < TASKS / 2 * MC => m.min(APART[0]),
            Source::Panels(_) => m.min(MC),
            // Each cut of rows would pack the same columns again.
            Source::Plain(_) => m,
            Source::Direct(_) => m.min(256),
        };
        let narrowest = match source {
            Source::Direct(b) if b.col_stride == 1 && m <= SWEPT => WIDE,
            Source::Panels(_) if apart => APART[1],
            _ => NR,
        };
        let mut cut = TaskBlock { items: 1, rows, cols: n };
        let tasks = |cut: &TaskBlock| {
            batch.saturating_mul(m.div_ceil(cut.rows)).saturating_mul(n.div_ceil(cut.cols))
        };
        while tasks(&cut) < TASKS
            && cut.cols > narrowest
            && cut.rows.saturating_mul(k).saturating_mul(cut.cols) > TASK
        {
            cut.cols = (cut.cols / 2).next_multiple_of(NR);
        }
        cut
    }
}

#[cfg(test)]
mod tests {
    use super::super::MatrixBatch;
    use super::*;
    use crate::elements::Elements;

    #[test]
    fn large_products_are_cut_and_small_items_grouped() {
        let data = vec![0.0; 1];
        let cut = |batch, m, k, n, packed: bool| {
            let plain = MatrixBatch { data: &data, offsets: &[0], row_stride: 0, col_stride: 0 };
            let panels = Source::Panels(Elements::F32(&data));
            let source = if packed { panels } else { Source::Plain(plain) };
            TaskBlock::new([batch, m, k, n], &source, false)
        };
        let large = cut(1, 4096, 512, 512, true);
        assert!(4096_usize.div_ceil(large.rows) * 512_usize.div_ceil(large.cols) >= TASKS);
        let row = cut(1, 1, 4096, 4096, true);
        assert!(4096 / row.cols >= TASKS && row.rows == 1);
        let small = cut(1000, 8, 8, 8, false);
        assert_eq!((small.items, small.rows, small.cols), (1000, 8, 8));
        let data = Source::Panels(Elements::F32(&data));
        let apart = |m, n| TaskBlock::new([1, m, 4096, n], &data, true);
        assert_eq!((apart(512, 512).rows, apart(512, 512).cols), (48, 512));
        assert_eq!((apart(2048, 2048).rows, apart(2048, 2048).cols), (MC, 1024));
        let items = cut(3, 1000, 512, 512, false);
        assert_eq!((items.items, items.rows), (1, 1000));
    }
}
