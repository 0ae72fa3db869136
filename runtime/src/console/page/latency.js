// Latencies as counts in buckets: what a bucket covers, and quantiles over them.

// The upper end of a bucket in microseconds: eight buckets for each doubling, and below 8 µs one for each.
export function upper(bucket) {
  return bucket < 8 ? bucket + 1 : (9 + (bucket % 8)) * 2 ** (Math.floor(bucket / 8) - 1);
}

// The value that so many of all do not exceed, in microseconds; null where there are none.
export function quantile(buckets, share) {
  const total = [...buckets.values()].reduce((sum, times) => sum + times, 0);
  if (total === 0) return null;
  let seen = 0;
  const sorted = [...buckets].sort(([one], [other]) => one - other);
  for (const [bucket, times] of sorted) {
    seen += times;
    if (seen >= total * share) return upper(bucket);
  }
  return upper(sorted.at(-1)[0]);
}
