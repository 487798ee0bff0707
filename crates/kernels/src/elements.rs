//! The elements of weights as they are kept: in 32 bits, in 16 that loads widen, or in blocks.
//!
//! Widening 16 bits is exact and no operation, widening blocks takes operations ([`Tally::widened`]); a product
//! by a weight is that by the same weight widened before, bit by bit.

pub use half::{bf16, f16};

use crate::blocks::{BlockType, Blocks};
use crate::isa::Isa;
use crate::meter::Tally;
use crate::number::Number;
use crate::number::simd::Vector;

/// The type in which the elements of a weight are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightType {
    /// 32 bits.
    F32,
    /// The upper 16 bits of an `f32`.
    Bf16,
    /// Half precision (IEEE 754 binary16).
    F16,
    /// Blocks of few bits with scales.
    Blocks(BlockType),
}

impl WeightType {
    /// Bytes of so many elements, whole blocks where they are kept so; none if they exceed the address space.
    pub fn bytes(self, elements: usize) -> Option<usize> {
        match self {
            WeightType::F32 => elements.checked_mul(4),
            WeightType::Bf16 | WeightType::F16 => elements.checked_mul(2),
            WeightType::Blocks(of) => (elements / of.elements()).checked_mul(of.bytes()),
        }
    }
}

/// Elements of a weight.
#[derive(Clone, Copy, Debug)]
pub enum Elements<'a, T = f32> {
    /// In 32 bits.
    F32(&'a [T]),
    /// The upper halves of numbers.
    Bf16(&'a [bf16]),
    /// In half precision.
    F16(&'a [f16]),
    /// In blocks.
    Blocks(Blocks<'a>),
}

/// Does the same for whichever type single elements are of, and something else for blocks.
macro_rules! for_elements {
    ($elements:expr, $name:ident => $work:expr, $blocks:ident => $other:expr) => {
        match $elements {
            $crate::elements::Elements::F32($name) => $work,
            $crate::elements::Elements::Bf16($name) => $work,
            $crate::elements::Elements::F16($name) => $work,
            $crate::elements::Elements::Blocks($blocks) => $other,
        }
    };
}
pub(crate) use for_elements;

impl<'a, T: Number> Elements<'a, T> {
    /// How many there are.
    pub fn len(self) -> usize {
        for_elements!(self, all => all.len(), blocks => blocks.len())
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Their type.
    pub fn weight_type(self) -> WeightType {
        match self {
            Elements::F32(_) => WeightType::F32,
            Elements::Bf16(_) => WeightType::Bf16,
            Elements::F16(_) => WeightType::F16,
            Elements::Blocks(blocks) => WeightType::Blocks(blocks.of),
        }
    }

    /// The first elements, as many as there are up to a number, which is one of whole blocks, and the others.
    pub fn split_at(self, at: usize) -> (Elements<'a, T>, Elements<'a, T>) {
        let at = at.min(self.len());
        match self {
            Elements::F32(all) => (Elements::F32(&all[..at]), Elements::F32(&all[at..])),
            Elements::Bf16(all) => (Elements::Bf16(&all[..at]), Elements::Bf16(&all[at..])),
            Elements::F16(all) => (Elements::F16(&all[..at]), Elements::F16(&all[at..])),
            Elements::Blocks(all) => {
                let (first, rest) = all.split_at(at);
                (Elements::Blocks(first), Elements::Blocks(rest))
            }
        }
    }

    /// Those from a place on.
    pub(crate) fn from(self, at: usize) -> Elements<'a, T> {
        self.split_at(at).1
    }
}

/// An element of a weight, read as a number.
pub(crate) trait Element<T: Number>: Copy + Send + Sync + 'static {
    fn widened(self) -> T;
    /// # Safety
    /// The processor has the instruction set of `V`, and `V::LANES` elements can be read.
    unsafe fn load<V: Vector<Number = T>>(from: *const Self) -> V;
}

impl<T: Number> Element<T> for T {
    #[inline(always)]
    fn widened(self) -> T {
        self
    }
    #[inline(always)]
    unsafe fn load<V: Vector<Number = T>>(from: *const Self) -> V {
        // SAFETY: by contract.
        unsafe { V::load(from) }
    }
}

impl<T: Number> Element<T> for bf16 {
    #[inline(always)]
    fn widened(self) -> T {
        T::of(self.to_f32())
    }
    #[inline(always)]
    unsafe fn load<V: Vector<Number = T>>(from: *const Self) -> V {
        // SAFETY: by contract.
        unsafe { V::load_bf16(from) }
    }
}

impl<T: Number> Element<T> for f16 {
    #[inline(always)]
    fn widened(self) -> T {
        T::of(self.to_f32())
    }
    #[inline(always)]
    unsafe fn load<V: Vector<Number = T>>(from: *const Self) -> V {
        // SAFETY: by contract.
        unsafe { V::load_f16(from) }
    }
}

/// Writes rows of a panel as numbers.
pub(crate) fn widen<T: Number>(isa: Isa, panel: Elements<'_, T>, out: &mut [T], tally: &mut Tally) {
    for_elements!(panel,
        all => out.iter_mut().zip(all).for_each(|(out, x)| *out = x.widened()),
        blocks => blocks.rows(isa, 0, out, tally));
}
