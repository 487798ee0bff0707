//! Probes of what a core can do at most: fused multiply-adds in registers, and reading memory.
//!
//! Each returns what it computed, so that it can be held against a plain loop and no part of it is
//! left out as unused.

use std::hint::black_box;

use crate::isa::{Isa, Level, vectorised};
use crate::number::simd::prefetch;

/// Chains that do not depend on each other. A core with two units of latency four needs eight to
/// keep both busy, one of latency five needs ten.
const CHAINS_OF_16: usize = 24;
/// As many as sixteen registers hold beside the factor and the term.
const CHAINS_OF_8: usize = 12;

/// What [`fma_chains`] computes on an instruction set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FmaChains {
    /// Independent chains, each in a register of its own.
    pub chains: usize,
    /// Numbers in a register.
    pub lanes: usize,
}

impl FmaChains {
    /// The chains of an instruction set.
    pub fn of(isa: Isa) -> FmaChains {
        match isa.level() {
            Level::Avx512 => FmaChains { chains: CHAINS_OF_16, lanes: 16 },
            Level::Avx2 => FmaChains { chains: CHAINS_OF_8, lanes: 8 },
            Level::Scalar => FmaChains { chains: CHAINS_OF_8, lanes: 8 },
        }
    }

    /// Scalar operations of so many rounds: a fused multiply-add is one multiplication and one
    /// addition.
    pub fn operations(self, rounds: u64) -> u64 {
        2 * (self.chains * self.lanes) as u64 * rounds
    }

    /// Where a lane of a chain begins.
    fn start(chain: usize, lane: usize) -> f32 {
        chain as f32 + lane as f32 / 16.0
    }
}

/// Runs chains of `x ← x·factor + term` in registers for so many rounds and returns the sum of all
/// lanes, chain by chain in order. Lane `l` of chain `c` begins with `c + l/16`.
///
/// The portable code leaves the fused multiply-add to the compiler, which calls a function for it
/// where the target has no such instruction.
pub fn fma_chains(isa: Isa, rounds: u64, factor: f32, term: f32) -> f32 {
    let (factor, term) = (black_box(factor), black_box(term));
    match isa.level() {
        // SAFETY: an `Isa` of this level exists only where the features were detected.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => unsafe { x86::avx512(rounds, factor, term) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { x86::avx2(rounds, factor, term) },
        _ => {
            let mut chains: [[f32; 8]; CHAINS_OF_8] = starts();
            for _ in 0..rounds {
                for x in chains.as_flattened_mut() {
                    *x = x.mul_add(factor, term);
                }
            }
            sum(&chains)
        }
    }
}

#[inline(always)]
fn starts<const LANES: usize, const CHAINS: usize>() -> [[f32; LANES]; CHAINS] {
    std::array::from_fn(|chain| std::array::from_fn(|lane| FmaChains::start(chain, lane)))
}

#[inline(always)]
fn sum<const LANES: usize>(chains: &[[f32; LANES]]) -> f32 {
    chains.as_flattened().iter().sum()
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{CHAINS_OF_8, CHAINS_OF_16, starts, sum};

    macro_rules! chains {
        ($name:ident, $features:literal, $chains:ident of $lanes:literal,
            $splat:ident, $load:ident, $store:ident, $fused:ident) => {
            /// As [`super::fma_chains`].
            #[target_feature(enable = $features)]
            pub(super) fn $name(rounds: u64, factor: f32, term: f32) -> f32 {
                let mut lanes: [[f32; $lanes]; $chains] = starts();
                let (factor, term) = ($splat(factor), $splat(term));
                // SAFETY: each array holds the numbers of one register.
                let mut chains = lanes.map(|chain| unsafe { $load(chain.as_ptr()) });
                for _ in 0..rounds {
                    for x in &mut chains {
                        *x = $fused(*x, factor, term);
                    }
                }
                for (chain, x) in lanes.iter_mut().zip(chains) {
                    // SAFETY: each array holds the numbers of one register.
                    unsafe { $store(chain.as_mut_ptr(), x) };
                }
                sum(&lanes)
            }
        };
    }

    chains!(avx512, "avx512f", CHAINS_OF_16 of 16,
        _mm512_set1_ps, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_fmadd_ps);
    chains!(avx2, "avx2,fma", CHAINS_OF_8 of 8,
        _mm256_set1_ps, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_fmadd_ps);
}

/// Streams that a read follows side by side, pages of one stream after the other, and numbers of a page
/// and of a cache line: one stream alone does not occupy a memory.
const STREAMS: usize = 8;
const PAGE: usize = 1024;
const LINE: usize = 16;

vectorised! {
    /// Reads all of `data` once and returns the sum of its numbers modulo 2³².
    pub fn read_sum(data: &[u32]) -> u32 {
        let mut sums = [[0u32; LINE]; STREAMS];
        let (blocks, rest) = data.as_chunks::<{ STREAMS * PAGE }>();
        for block in blocks {
            for line in (0..PAGE).step_by(LINE) {
                for (stream, sums) in sums.iter_mut().enumerate() {
                    let numbers = &block[stream * PAGE + line..][..LINE];
                    prefetch(numbers.as_ptr().wrapping_add(block.len()), LINE);
                    for (sum, x) in sums.iter_mut().zip(numbers) {
                        *sum = sum.wrapping_add(*x);
                    }
                }
            }
        }
        let total = rest.iter().fold(0u32, |sum, &x| sum.wrapping_add(x));
        sums.as_flattened().iter().fold(total, |sum, &x| sum.wrapping_add(x))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_are_the_recurrence_lane_by_lane() {
        for isa in Isa::available() {
            let shape = FmaChains::of(isa);
            assert!(shape.chains >= 10);
            // Growing, shrinking and alternating chains.
            for (rounds, factor, term) in
                [(0, 0.5, 1.0), (1, 3.0, -1.0), (37, 0.75, 0.3), (1000, -0.999, 0.5)]
            {
                let lane = |chain, lane| {
                    let start = FmaChains::start(chain, lane);
                    (0..rounds).fold(start, |x: f32, _| x.mul_add(factor, term))
                };
                let lanes = (0..shape.chains)
                    .flat_map(|chain| (0..shape.lanes).map(move |lane| (chain, lane)));
                let expected: f32 = lanes.map(|(c, l)| lane(c, l)).sum();
                let found = fma_chains(isa, rounds, factor, term);
                assert_eq!(found.to_bits(), expected.to_bits(), "{isa}, {rounds} rounds");
            }
            let operations = 2 * (shape.chains * shape.lanes) as u64;
            assert_eq!((shape.operations(0), shape.operations(3)), (0, 3 * operations));
        }
    }

    #[test]
    fn a_read_sums_every_number() {
        let data: Vec<u32> =
            (0..20_000).map(|i: u32| i.wrapping_mul(0x9e37_79b9) ^ 0x85eb_ca6b).collect();
        for isa in Isa::available() {
            for len in [0, 1, 127, 8191, 8192, 8193, 20_000] {
                let expected = data[..len].iter().fold(0u32, |sum, &x| sum.wrapping_add(x));
                assert_eq!(read_sum(isa, &data[..len]), expected, "{isa}, {len} numbers");
            }
        }
    }
}
