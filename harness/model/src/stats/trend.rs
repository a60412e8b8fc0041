//! Drift: does a series rise or fall with its number? Mann and Kendall's test, and the slope after Theil and
//! Sen, both also for values known on one side only.

use super::{
    Value,
    special::{middle, two_sided},
};

/// What a series of trials shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trend {
    /// Kendall's S: pairs that rise less pairs that fall.
    pub score: i64,
    /// How probable a score as far from 0 is where the order means nothing.
    pub p: f64,
    /// Seconds per trial; none where no pair can tell.
    pub slope: Option<f64>,
}

/// Up to this many values without ties the distribution of S is counted, not approximated.
const COUNTED: usize = 60;
/// Up to this many values with ties all orders are gone through: 40320 of them.
const ENUMERATED: usize = 8;

/// The least number of trials whose strictest order has a two-sided probability below `level`.
#[must_use]
pub fn enough(level: f64) -> u32 {
    let mut orders = 1.0;
    (2..=170)
        .find(|n| {
            orders *= f64::from(*n);
            2.0 / orders < level
        })
        .unwrap_or(170)
}

/// Tests pairs of a trial's number and its value. None for fewer than two.
#[must_use]
pub fn trend(series: &[(u32, Value)]) -> Option<Trend> {
    if series.len() < 2 {
        return None;
    }
    let mut series = series.to_vec();
    series.sort_by_key(|(trial, _)| *trial);
    let values: Vec<Value> = series.iter().map(|(_, value)| *value).collect();
    let scores: Vec<Vec<i32>> =
        values.iter().map(|a| values.iter().map(|b| b.beyond(*a)).collect()).collect();
    let score = score(&scores, &(0..values.len()).collect::<Vec<_>>());
    let n = values.len();
    let clear =
        scores.iter().map(|row| row.iter().filter(|s| **s != 0).count()).sum::<usize>() == n * (n - 1);
    let p = match n {
        n if clear && n <= COUNTED => counted(n, score),
        n if n <= ENUMERATED => enumerated(&scores, score),
        _ => approximated(&scores, score),
    };
    Some(Trend { score, p, slope: slope(&series) })
}

/// S for the values in that order.
fn score(scores: &[Vec<i32>], order: &[usize]) -> i64 {
    let pairs = order.iter().enumerate().flat_map(|(n, a)| order[n + 1..].iter().map(move |b| (*a, *b)));
    pairs.map(|(a, b)| i64::from(scores[a][b])).sum()
}

/// By the number of orders with so many inversions (Kendall 1938).
fn counted(n: usize, score: i64) -> f64 {
    let mut shares = vec![1.0];
    for size in 2..=n {
        let mut next = vec![0.0; shares.len() + size - 1];
        for (inversions, share) in shares.iter().enumerate() {
            (0..size).for_each(|more| next[inversions + more] += share / size as f64);
        }
        shares = next;
    }
    let pairs = (n * (n - 1) / 2) as i64;
    let far = |inversions: usize| (pairs - 2 * inversions as i64).abs() >= score.abs();
    shares.iter().enumerate().filter(|(n, _)| far(*n)).map(|(_, share)| share).sum::<f64>().min(1.0)
}

/// By going through all orders (Heap's algorithm).
fn enumerated(scores: &[Vec<i32>], observed: i64) -> f64 {
    let n = scores.len();
    let mut order: Vec<usize> = (0..n).collect();
    let mut counters = vec![0; n];
    let (mut all, mut far) = (0_u32, 0_u32);
    let mut look = |order: &[usize]| {
        all += 1;
        far += u32::from(score(scores, order).abs() >= observed.abs());
    };
    look(&order);
    let mut at = 1;
    while at < n {
        if counters[at] < at {
            order.swap(if at % 2 == 0 { 0 } else { counters[at] }, at);
            look(&order);
            counters[at] += 1;
            at = 1;
        } else {
            counters[at] = 0;
            at += 1;
        }
    }
    f64::from(far) / f64::from(all)
}

/// By the normal distribution with the variance over all orders, whatever is tied or unknown (Daniels 1944),
/// and a correction for continuity.
fn approximated(scores: &[Vec<i32>], score: i64) -> f64 {
    let n = scores.len() as f64;
    let row = |row: &Vec<i32>| f64::from(row.iter().sum::<i32>());
    let rows: f64 = scores.iter().map(|r| row(r).powi(2)).sum();
    let all: f64 = scores.iter().flatten().map(|s| f64::from(s.pow(2))).sum();
    // The same two sums for the order of the trials, which has no ties.
    let order_rows: f64 = (0..scores.len()).map(|i| (n - 1.0 - 2.0 * i as f64).powi(2)).sum();
    let order_all = n * (n - 1.0);
    let variance = (rows - all) * (order_rows - order_all) / (n * (n - 1.0) * (n - 2.0))
        + all * order_all / (2.0 * n * (n - 1.0));
    if variance <= 0.0 {
        return 1.0;
    }
    two_sided((score.abs() as f64 - 1.0).max(0.0) / variance.sqrt())
}

/// The slope at which the residuals show no trend any more (Akritas, Murphy and LaValley 1995); without
/// censoring the median of all pairs' slopes (Theil and Sen).
fn slope(series: &[(u32, Value)]) -> Option<f64> {
    // For each pair: the slope at which its score changes, its score below that slope, and the one above.
    let mut pairs: Vec<(f64, i64, i64)> = Vec::new();
    for (n, (first, a)) in series.iter().enumerate() {
        for (second, b) in &series[n + 1..] {
            let steps = f64::from(second - first);
            let (rises, falls) = match (a, b) {
                (Value::Exactly(_), Value::Exactly(_)) => (1, -1),
                // The later one may be any longer, or the earlier one any shorter: it can only be told to rise.
                (Value::Exactly(_) | Value::LessThan(_), Value::MoreThan(_))
                | (Value::LessThan(_), Value::Exactly(_)) => (1, 0),
                (Value::MoreThan(_), Value::Exactly(_) | Value::LessThan(_))
                | (Value::Exactly(_), Value::LessThan(_)) => (0, -1),
                (Value::LessThan(_), Value::LessThan(_)) | (Value::MoreThan(_), Value::MoreThan(_)) => {
                    continue;
                }
            };
            if steps > 0.0 {
                pairs.push(((b.known() - a.known()) / steps, rises, falls));
            }
        }
    }
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut score: i64 = pairs.iter().map(|(_, rises, _)| rises).sum();
    let mut last_above = None;
    for (slope, rises, falls) in pairs {
        if let Some(before) = last_above
            && score <= 0
        {
            return Some(if score == 0 { middle(before, slope) } else { before });
        }
        score += falls - rises;
        last_above = Some(slope);
    }
    last_above
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(values: &[f64]) -> Vec<(u32, Value)> {
        (1..).zip(values.iter().map(|x| Value::Exactly(*x))).collect()
    }

    fn near(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-9, "{a} is not {b}");
    }

    #[test]
    fn six_trials_can_show_drift_at_one_in_a_hundred_and_five_cannot() {
        assert_eq!(enough(0.01), 6);
        assert_eq!(enough(0.05), 5);
        near(trend(&exact(&[1.0, 2.0, 3.0, 4.0, 5.0])).unwrap().p, 2.0 / 120.0);
        near(trend(&exact(&[6.0, 5.0, 4.0, 3.0, 2.0, 1.0])).unwrap().p, 2.0 / 720.0);
    }

    /// scipy.stats.kendalltau(range(n), x, method='exact') and scipy.stats.theilslopes.
    #[test]
    fn without_ties_it_is_scipy_s() {
        let values = [2.1, 1.9, 2.4, 2.2, 2.8, 2.3, 3.1, 2.9, 2.7, 3.3];
        let found = trend(&exact(&values)).unwrap();
        assert_eq!(found.score, 29);
        near(found.p, 0.009_148_478_835_978_836);
        near(found.slope.unwrap(), 0.133_333_333_333_333_3);
    }

    #[test]
    fn ties_and_what_never_came_are_gone_through_order_by_order() {
        let tied = exact(&[1.0, 1.0, 2.0, 2.0, 3.0]);
        // Of 5! orders of {1, 1, 2, 2, 3}, 2 * 2 are the sorted one and as many its reverse.
        near(trend(&tied).unwrap().p, 8.0 / 120.0);
        let mut late = exact(&[1.0, 2.0, 3.0, 4.0]);
        late.push((5, Value::MoreThan(60.0)));
        near(trend(&late).unwrap().p, 2.0 / 120.0);
        assert_eq!(trend(&exact(&[2.0; 12])).unwrap().p, 1.0);
    }

    /// The variance with ties is that of the usual formula, n(n-1)(2n+5) less t(t-1)(2t+5) per tie, over 18.
    #[test]
    fn many_ties_are_the_textbook_s_approximation() {
        let values = [1.0, 2.0, 2.0, 3.0, 3.0, 3.0, 4.0, 5.0, 5.0, 6.0, 7.0, 7.0];
        let found = trend(&exact(&values)).unwrap();
        let term = |n: f64| n * (n - 1.0) * (2.0 * n + 5.0);
        let variance: f64 = (term(12.0) - 3.0 * term(2.0) - term(3.0)) / 18.0;
        near(found.p, two_sided((found.score as f64 - 1.0) / variance.sqrt()));
    }

    #[test]
    fn the_slope_of_a_line_is_its_own_also_where_the_last_ones_never_came() {
        let mut line = exact(&[0.5, 1.0, 1.5, 2.0, 2.5, 3.0]);
        near(trend(&line).unwrap().slope.unwrap(), 0.5);
        line.extend([(7, Value::MoreThan(3.5)), (8, Value::MoreThan(4.0))]);
        near(trend(&line).unwrap().slope.unwrap(), 0.5);
        let gaps = [(1, Value::Exactly(1.0)), (4, Value::Exactly(4.0)), (11, Value::Exactly(11.0))];
        near(trend(&gaps).unwrap().slope.unwrap(), 1.0);
    }
}
