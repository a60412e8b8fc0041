//! By how much one sample is longer than another: Hodges and Lehmann's shift with its interval.

use super::{
    Value,
    rank_sum::distribution,
    special::{median, normal_quantile},
};

/// A shift as far as it is known, in seconds: where values are censored, somewhere between two numbers, of
/// which the outer ones may be infinite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shift {
    /// The estimate: no less than this.
    pub least: f64,
    /// The estimate: no more than this. Equal to `least` where nothing that counts is censored.
    pub most: f64,
    /// The interval at the confidence asked for; none where there are too few values for one.
    pub interval: Option<(f64, f64)>,
}

/// Up to this many values in each sample the interval's ranks are counted exactly.
const COUNTED: usize = 50;

/// The median of all differences of a value of the second sample and one of the first, with its interval at
/// confidence `1 - alpha`. None where a sample is empty.
///
/// A censored value makes each of its differences a range; the lower ends give the lower bounds and the
/// upper ends the upper ones, so that both hold wherever the truth lay.
#[must_use]
pub fn shift(first: &[Value], second: &[Value], alpha: f64) -> Option<Shift> {
    if first.is_empty() || second.is_empty() {
        return None;
    }
    let differences = |range: fn(Value, Value) -> f64| {
        let mut all: Vec<f64> =
            second.iter().flat_map(|b| first.iter().map(move |a| range(*a, *b))).collect();
        all.sort_by(f64::total_cmp);
        all
    };
    let low = differences(|a, b| b.least() - a.most());
    let high = differences(|a, b| b.most() - a.least());
    let rank = rank(first.len(), second.len(), alpha);
    let interval = rank.and_then(|k| Some((*low.get(k - 1)?, *high.get(high.len().checked_sub(k)?)?)));
    Some(Shift { least: median(&low), most: median(&high), interval })
}

/// The number, from 1, of the difference at which the interval begins: the largest that leaves no more than
/// half of `alpha` outside. None where even the outermost leaves more.
fn rank(first: usize, second: usize, alpha: f64) -> Option<usize> {
    if first.max(second) > COUNTED {
        let (a, b) = (first as f64, second as f64);
        let spread = (a * b * (a + b + 1.0) / 12.0).sqrt();
        let rank = (a * b / 2.0 - normal_quantile(alpha / 2.0) * spread).floor();
        return (rank >= 1.0).then_some(rank as usize);
    }
    let mut outside = 0.0;
    let shares = distribution(first, second);
    let ranks = shares.iter().take_while(|share| {
        outside += **share;
        outside <= alpha / 2.0 + 1e-12
    });
    Some(ranks.count()).filter(|rank| *rank > 0)
}

/// The smallest two-sided probability that so many values can come to: that of complete separation.
#[must_use]
pub fn least_probability(first: usize, second: usize) -> f64 {
    (2.0 * (-super::special::ln_choose((first + second) as u64, second as u64)).exp()).min(1.0)
}

/// How many values each of two equal samples needs before any difference can be shown at `level`.
#[must_use]
pub fn enough(level: f64) -> usize {
    (1..1000).find(|n| least_probability(*n, *n) <= level).unwrap_or(1000)
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{exact, near},
        *,
    };

    /// The 11th of 56 differences from either end: P(U <= 10) is 0.0200, P(U <= 11) 0.0270.
    #[test]
    fn the_interval_begins_where_the_rank_test_would_reject() {
        let a = exact(&[1.1, 1.4, 1.2, 1.9, 1.6, 1.3, 1.8]);
        let b = exact(&[1.7, 2.1, 1.5, 2.3, 2.6, 2.0, 2.4, 1.95]);
        let found = shift(&a, &b, 0.05).unwrap();
        near(found.least, 0.6);
        near(found.most, 0.6);
        let (low, high) = found.interval.unwrap();
        near(low, 0.2);
        near(high, 1.0);
        // Moved by a little more than either end, the samples differ; by a little less, they do not.
        for (by, differs) in
            [(low - 1e-6, true), (low + 1e-6, false), (high - 1e-6, false), (high + 1e-6, true)]
        {
            let moved: Vec<Value> = a.iter().map(|value| Value::Exactly(value.known() + by)).collect();
            let p = crate::stats::rank_sum::rank_sum(&moved, &b).unwrap().p;
            assert_eq!(p < 0.05, differs, "moved by {by}: p = {p}");
        }
    }

    #[test]
    fn what_never_came_opens_the_upper_end() {
        let a = exact(&[1.0, 1.1, 1.2, 1.3, 1.4, 1.5]);
        let mut b = exact(&[2.0, 2.1, 2.2]);
        b.extend(vec![Value::MoreThan(60.0); 3]);
        let found = shift(&a, &b, 0.05).unwrap();
        assert!(found.least > 1.0 && found.most == f64::INFINITY, "{found:?}");
        let (low, high) = found.interval.unwrap();
        assert!(low > 0.6 && high == f64::INFINITY, "{found:?}");
    }

    #[test]
    fn three_and_three_can_show_nothing() {
        let (a, b) = (exact(&[1.0, 1.1, 1.2]), exact(&[9.0, 9.1, 9.2]));
        assert_eq!(shift(&a, &b, 0.05).unwrap().interval, None);
        near(least_probability(3, 3), 0.1);
        assert_eq!(enough(0.05), 4);
    }
}
