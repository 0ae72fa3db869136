//! Where a node's chances come from: one source that it holds, so that a simulation can give it a seed.

use std::{
    ops::Range,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// `SplitMix64` (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014): its state is a counter,
/// so that all callers of a node share it without a lock. It spreads load and pauses; nothing of it is a secret.
#[derive(Debug)]
pub(crate) struct Random(AtomicU64);

/// The golden ratio, as a step that reaches every number.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

impl Random {
    pub(crate) const fn seeded(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// Any number.
    #[inline]
    pub(crate) fn next(&self) -> u64 {
        let counted = self.0.fetch_add(STEP, Relaxed).wrapping_add(STEP);
        let mixed = (counted ^ (counted >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `count`, and 0 below 0. Off by a chance of `count` in 2^64 from even.
    #[inline]
    pub(crate) fn below(&self, count: usize) -> usize {
        let scaled = (u128::from(self.next()) * count as u128) >> 64;
        usize::try_from(scaled).unwrap_or(0)
    }

    /// A number in `range`.
    pub(crate) fn share(&self, range: Range<f64>) -> f64 {
        let part = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        (range.end - range.start).mul_add(part, range.start)
    }
}

// === impl Random ===

impl Default for Random {
    /// Seeded by the operating system.
    fn default() -> Self {
        Self::seeded(rand::random())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_published_generator() {
        // The first outputs for the seed 1234567, as published with the reference implementation.
        let random = Random::seeded(1_234_567);
        let first = [(); 3].map(|()| random.next());
        assert_eq!(first, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn numbers_are_within_their_ranges_and_reach_all_of_them() {
        let random = Random::default();
        let mut seen = [0; 5];
        for _ in 0..1000 {
            seen[random.below(5)] += 1;
            assert!((0.5..1.0).contains(&random.share(0.5..1.0)));
        }
        assert!(seen.iter().all(|count| *count > 100), "{seen:?}");
        assert_eq!((random.below(1), random.below(0)), (0, 0));
    }
}
