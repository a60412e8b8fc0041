//! A sparse histogram of times whose relative error is bounded, as HdrHistogram's: small in a record, and two of
//! them can be added.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::time::Span;

/// Each power of two is divided into this many buckets, as a power of two itself: 2^5, so that a bucket is at most
/// 1/32 (3.1 %) of its values wide.
const PRECISION: u32 = 5;

/// How often which time came, in microseconds: pairs of a bucket's number and a count, by number, without zeros.
///
/// Bucket `b` below 64 holds the time of `b` microseconds; above, with `s = b / 32 - 1`, it holds those from
/// `(b - 32 s) 2^s` on, `2^s` of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Histogram(Vec<(u16, u64)>);

/// The bucket of a number of microseconds.
fn bucket(micros: u64) -> u16 {
    let bits = u64::BITS - micros.leading_zeros();
    let shift = bits.saturating_sub(PRECISION + 1);
    let number = (u64::from(shift) << PRECISION) + (micros >> shift);
    u16::try_from(number).unwrap_or(u16::MAX)
}

/// The largest number of microseconds in a bucket.
fn largest(bucket: u16) -> u64 {
    let shift = (u32::from(bucket) >> PRECISION).saturating_sub(1);
    let first = u64::from(bucket) - (u64::from(shift) << PRECISION);
    // The last bucket ends with u64's end.
    (((u128::from(first) + 1) << shift) - 1).try_into().unwrap_or(u64::MAX)
}

impl Histogram {
    /// Adds a time.
    pub fn record(&mut self, time: Duration) {
        self.add(bucket(u64::try_from(time.as_micros()).unwrap_or(u64::MAX)), 1);
    }

    /// Adds all of another one's times.
    pub fn merge(&mut self, other: &Histogram) {
        other.0.iter().for_each(|(bucket, count)| self.add(*bucket, *count));
    }

    fn add(&mut self, bucket: u16, count: u64) {
        match self.0.binary_search_by_key(&bucket, |(number, _)| *number) {
            Ok(at) => self.0[at].1 += count,
            Err(at) => self.0.insert(at, (bucket, count)),
        }
    }

    /// How many times there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.iter().map(|(_, count)| count).sum()
    }

    /// How many times are longer, to the precision of the buckets.
    #[must_use]
    pub fn longer_than(&self, time: Duration) -> u64 {
        let last = bucket(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
        self.0.iter().filter(|(bucket, _)| *bucket > last).map(|(_, count)| count).sum()
    }

    /// The least time that so many thousandths of all do not exceed, never less than the true one and at most
    /// 3.1 % more; none where there is nothing. 1000 is the longest of all.
    #[must_use]
    pub fn permille(&self, permille: u64) -> Option<Span> {
        let rank = (self.count() * permille).div_ceil(1000).max(1);
        let mut seen = 0;
        let found = self.0.iter().find(|(_, count)| {
            seen += count;
            seen >= rank
        });
        found.map(|(bucket, _)| Span(Duration::from_micros(largest(*bucket))))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_bucket_holds_its_numbers_and_is_narrow(micros in prop_oneof![0..200_u64, 0..100_000_000_u64, any::<u64>()]) {
            let end = largest(bucket(micros));
            prop_assert!(end >= micros);
            prop_assert!(end - micros <= micros / 32, "{micros} is in a bucket that ends with {end}");
            if end < u64::MAX {
                prop_assert_eq!(bucket(end + 1), bucket(micros) + 1, "no bucket is left out");
            }
        }

        #[test]
        fn percentiles_are_those_of_the_sorted_times(mut times in prop::collection::vec(0..10_000_000_u64, 1..300), permille in 0..=1000_u64) {
            let mut all = Histogram::default();
            let (one, other) = times.split_at(times.len() / 2);
            for part in [one, other] {
                let mut histogram = Histogram::default();
                part.iter().for_each(|micros| histogram.record(Duration::from_micros(*micros)));
                all.merge(&histogram);
            }
            times.sort_unstable();
            let rank = (times.len() * permille as usize).div_ceil(1000).max(1);
            let truth = u128::from(times[rank - 1]);
            let found = all.permille(permille).unwrap().0.as_micros();
            prop_assert!(found >= truth && found <= truth + truth / 32, "{found} for {truth}");
        }
    }

    #[test]
    fn nothing_has_no_percentile() {
        assert_eq!((Histogram::default().permille(500), Histogram::default().count()), (None, 0));
    }
}
