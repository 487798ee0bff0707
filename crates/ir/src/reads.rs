//! What a call has read of its operands.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::Elem;

/// Elements that one call has read of each operand, noted where it is handed their buffers: all of an
/// operand once, however often it is asked for, and those of every look-up.
///
/// A buffer that is handed over is read, by definition, an empty result notwithstanding: a bias for no
/// rows counts as one for a row. So bytes are polynomials in the sizes, zero included.
#[derive(Debug, Default)]
pub struct Reads {
    operands: Vec<AtomicU64>,
    /// Elements of the operand whose buffer the result continues.
    kept: AtomicU64,
}

impl Reads {
    /// Nothing yet, of so many operands.
    pub fn of(operands: usize) -> Self {
        Reads { operands: (0..operands).map(|_| AtomicU64::new(0)).collect(), ..Reads::default() }
    }

    /// Notes that all elements of an operand are read.
    pub fn all(&self, operand: usize, elements: usize) {
        if let Some(read) = self.operands.get(operand) {
            read.fetch_max(elements as u64, Ordering::Relaxed);
        }
    }

    /// Notes that some more elements of an operand are looked up.
    pub fn some(&self, operand: usize, elements: usize) {
        if let Some(read) = self.operands.get(operand) {
            read.fetch_add(elements as u64, Ordering::Relaxed);
        }
    }

    /// Notes elements that stay where they are, in a buffer that the result continues.
    pub fn keep(&self, elements: usize) {
        self.kept.fetch_add(elements as u64, Ordering::Relaxed);
    }

    /// The elements that stay where they are.
    pub fn kept(&self) -> u64 {
        self.kept.load(Ordering::Relaxed)
    }

    /// Bytes of the elements read, in the types of the operands.
    pub fn bytes(&self, elems: &[Elem]) -> u64 {
        let bytes = |(read, elem): (&AtomicU64, &Elem)| elem.bytes_of(read.load(Ordering::Relaxed));
        self.operands.iter().zip(elems).map(bytes).sum()
    }
}
