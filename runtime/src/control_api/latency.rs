//! How long calls take, as counts of buckets: what every node and every reader reckons with.

/// The buckets of latencies: eight for each doubling, so that a bucket's upper end is at most an eighth above what is in it.
///
/// Bucket `b` below 8 holds what takes `b` µs and up to `b + 1` µs. Any other has the power `p = b / 8 - 1` (rounded down) and
/// holds what takes less than `(9 + b % 8) * 2^p` µs and does not fit into the one before. The last one holds what takes longer,
/// too.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Latency;

/// How many there are: the last one ends at 71 minutes.
pub(crate) const BUCKETS: u16 = 240;
/// Buckets of each doubling, as a power of two.
const PER_DOUBLING: u32 = 3;

impl Latency {
    /// The bucket of so many microseconds.
    #[must_use]
    pub fn bucket(us: u64) -> u16 {
        let power = us.max(1).ilog2().saturating_sub(PER_DOUBLING);
        let bucket = (u64::from(power) << PER_DOUBLING) + (us >> power);
        u16::try_from(bucket).unwrap_or(BUCKETS).min(BUCKETS - 1)
    }

    /// The upper end of a bucket in microseconds.
    #[must_use]
    pub fn upper_us(bucket: u16) -> u64 {
        let bucket = u64::from(bucket.min(BUCKETS - 1));
        let (doublings, within) = (bucket >> PER_DOUBLING, bucket & ((1 << PER_DOUBLING) - 1));
        if doublings == 0 { bucket + 1 } else { (within + (1 << PER_DOUBLING) + 1) << (doublings - 1) }
    }

    /// The upper end of the bucket that so large a share of the calls has not left behind, from 0 to 1; `None` where there are
    /// no calls.
    #[must_use]
    pub fn quantile_us(counts: &[(u16, u64)], share: f64) -> Option<u64> {
        let all = counts.iter().fold(0_u64, |all, (_, count)| all.saturating_add(*count));
        let wanted = (all as f64 * share.clamp(0.0, 1.0)).ceil().max(1.0);
        let mut sum = 0_u64;
        let reached = counts.iter().find(|(_, count)| {
            sum = sum.saturating_add(*count);
            sum as f64 >= wanted
        });
        reached.map(|(bucket, _)| Self::upper_us(*bucket))
    }

    /// Adds counts to others. Both are by bucket, and so is the sum.
    pub fn add(counts: &mut Vec<(u16, u64)>, more: &[(u16, u64)]) {
        for (bucket, count) in more {
            match counts.binary_search_by_key(bucket, |(bucket, _)| *bucket) {
                Ok(at) => counts[at].1 = counts[at].1.saturating_add(*count),
                Err(at) => counts.insert(at, (*bucket, *count)),
            }
        }
    }

    /// What came to counts since they were those of `earlier`.
    #[must_use]
    pub fn difference(counts: &[(u16, u64)], earlier: &[(u16, u64)]) -> Vec<(u16, u64)> {
        let before = |bucket: &u16| {
            let at = earlier.binary_search_by_key(bucket, |(bucket, _)| *bucket);
            at.map_or(0, |at| earlier[at].1)
        };
        let grown = counts.iter().map(|(bucket, count)| (*bucket, count.saturating_sub(before(bucket))));
        grown.filter(|(_, count)| *count > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_is_below_the_end_of_its_bucket_and_not_below_the_one_before() {
        let near = (0..40).flat_map(|power| [(1_u64 << power) - 1, 1 << power, (1 << power) + 1, 3 << power]);
        for us in (0..100_000).chain(near.filter(|us| *us < Latency::upper_us(BUCKETS - 1))) {
            let bucket = Latency::bucket(us);
            assert!(us < Latency::upper_us(bucket), "{us} in {bucket}");
            assert!(bucket == 0 || us >= Latency::upper_us(bucket - 1), "{us} in {bucket}");
        }
        assert_eq!(Latency::bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn an_upper_end_is_what_the_documentation_says_and_at_most_an_eighth_too_high() {
        for bucket in 8..BUCKETS {
            assert_eq!(Latency::upper_us(bucket), (9 + u64::from(bucket % 8)) << (bucket / 8 - 1));
            let (low, high) = (Latency::upper_us(bucket - 1), Latency::upper_us(bucket));
            assert!((high - low) * 8 <= low, "{bucket}");
        }
    }

    #[test]
    fn quantiles_come_from_counts() {
        let counts = [(1, 50), (3, 49), (40, 1)];
        assert_eq!(Latency::quantile_us(&counts, 0.5), Some(2));
        assert_eq!(Latency::quantile_us(&counts, 0.51), Some(4));
        assert_eq!(Latency::quantile_us(&counts, 0.99), Some(4));
        assert_eq!(Latency::quantile_us(&counts, 1.0), Some(Latency::upper_us(40)));
        assert_eq!(Latency::quantile_us(&[], 0.5), None);
    }

    #[test]
    fn counts_add_up_and_differ() {
        let mut counts = vec![(1, 5), (7, 1)];
        Latency::add(&mut counts, &[(0, 1), (7, 2), (9, 3)]);
        assert_eq!(counts, [(0, 1), (1, 5), (7, 3), (9, 3)]);
        assert_eq!(Latency::difference(&counts, &[(1, 5), (7, 1)]), [(0, 1), (7, 2), (9, 3)]);
    }
}
