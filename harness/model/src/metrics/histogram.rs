//! Histograms of readings: their differences, means and percentiles.

use std::collections::BTreeMap;

use super::readings::natural;

/// A histogram: how many observations, their sum, and how many lie at or below each bound.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Histogram {
    pub(super) count: f64,
    pub(super) sum: f64,
    pub(super) buckets: Vec<(f64, f64)>,
}

impl Histogram {
    /// The reading's histogram of that name, as [`super::condense`] wrote it.
    pub(super) fn read(values: &BTreeMap<String, i64>, name: &str) -> Option<Histogram> {
        let value = |part: &str| values.get(&format!("{name}/{part}")).copied().map(natural);
        let prefix = format!("{name}/le/");
        let bounds = values.range(prefix.clone()..).take_while(|(key, _)| key.starts_with(&prefix));
        let mut buckets: Vec<(f64, f64)> = bounds
            .filter_map(|(key, value)| Some((key[prefix.len()..].parse().ok()?, natural(*value))))
            .collect();
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        Some(Histogram { count: value("count")?, sum: value("sum")?, buckets })
    }

    /// How many lie at or below a bound. Bounds are left out where nothing, or everything, lies below.
    fn below(&self, bound: f64) -> f64 {
        match self.buckets.binary_search_by(|(known, _)| known.total_cmp(&bound)) {
            Ok(at) => self.buckets[at].1,
            Err(0) => 0.0,
            Err(at) if at == self.buckets.len() => self.count,
            Err(at) => self.buckets[at - 1].1,
        }
    }

    fn with(&self, other: &Histogram, sign: f64) -> Histogram {
        let mut bounds: Vec<f64> =
            self.buckets.iter().chain(&other.buckets).map(|(bound, _)| *bound).collect();
        bounds.sort_by(f64::total_cmp);
        bounds.dedup();
        Histogram {
            count: self.count + sign * other.count,
            sum: self.sum + sign * other.sum,
            buckets: bounds
                .into_iter()
                .map(|bound| (bound, (self.below(bound) + sign * other.below(bound)).max(0.0)))
                .collect(),
        }
    }

    /// What was observed since an earlier reading of the same process.
    pub(super) fn since(&self, earlier: &Histogram) -> Histogram {
        self.with(earlier, -1.0)
    }

    /// Both together.
    pub(super) fn plus(&self, other: &Histogram) -> Histogram {
        self.with(other, 1.0)
    }

    /// The mean; none without observations.
    pub(super) fn mean(&self) -> Option<f64> {
        (self.count >= 1.0).then(|| self.sum / self.count)
    }

    /// The value of the observation of that rank, from 1: within its bucket it is taken to lie in proportion. Beyond
    /// the last bound it is that bound: no less is known.
    pub(super) fn at_rank(&self, rank: f64) -> Option<f64> {
        if self.count < 1.0 {
            return None;
        }
        let (mut from, mut below) = (0.0, 0.0);
        for (bound, upto) in &self.buckets {
            if *upto >= rank && *upto > below {
                return Some(from + (bound - from) * ((rank - below) / (upto - below)).clamp(0.0, 1.0));
            }
            (from, below) = (*bound, *upto);
        }
        Some(from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::condense;

    fn histogram(count: f64, sum: f64, buckets: &[(f64, f64)]) -> Histogram {
        let mut values = BTreeMap::new();
        condense("x", count, sum, buckets.to_vec(), &mut values);
        Histogram::read(&values, "x").expect("it was written")
    }

    #[test]
    fn what_lies_between_two_readings_is_their_difference() {
        let all = [0.001, 0.002, 0.004, 0.008, 0.016];
        let told = |counts: [f64; 5]| -> Vec<(f64, f64)> { all.into_iter().zip(counts).collect() };
        // Bounds without anything below, and those with everything, are left out of a reading.
        let first = histogram(10.0, 0.02, &told([0.0, 0.0, 10.0, 10.0, 10.0]));
        assert_eq!(first.buckets, [(0.002, 0.0), (0.004, 10.0)]);
        let second = histogram(30.0, 0.3, &told([0.0, 0.0, 10.0, 20.0, 30.0]));
        let between = second.since(&first);
        assert_eq!(between.count, 20.0);
        assert_eq!(between.mean().map(|mean| (mean * 1e6).round()), Some(14_000.0));
        assert_eq!(between.at_rank(10.0), Some(0.008));
        assert_eq!(between.at_rank(5.0), Some(0.006));
        assert_eq!(between.at_rank(20.0), Some(0.016));
        assert_eq!(between.plus(&first), second.since(&Histogram::default()));
    }

    #[test]
    fn nothing_observed_is_no_value() {
        let none = Histogram::default();
        assert_eq!((none.mean(), none.at_rank(1.0)), (None, None));
        assert_eq!(Histogram::read(&BTreeMap::new(), "x"), None);
    }

    #[test]
    fn beyond_the_last_bound_no_more_than_that_is_said() {
        let slow = Histogram { count: 10.0, sum: 100.0, buckets: vec![(1.0, 4.0)] };
        assert_eq!(slow.at_rank(10.0), Some(1.0));
    }
}
