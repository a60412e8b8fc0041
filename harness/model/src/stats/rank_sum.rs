//! Are two samples different? Mann and Whitney's test, and Gehan's where values are known on one side only.

use super::{
    Value,
    special::{ln_choose, two_sided},
};

/// Which distribution a probability was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Mann–Whitney, counted exactly: no ties.
    MannWhitney,
    /// Mann–Whitney with ties, over all ways to deal the values out.
    MannWhitneyTies,
    /// Mann–Whitney with ties or many values, by the normal distribution.
    MannWhitneyNormal,
    /// Gehan's test over all ways to deal the values out.
    Gehan,
    /// Gehan's test by the normal distribution.
    GehanNormal,
}

/// What comparing two samples came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RankSum {
    /// Pairs in which the second sample's value is the longer one, less pairs in which it is the shorter.
    pub score: i64,
    /// How probable a score as far from 0 is where both are one population.
    pub p: f64,
    /// How that was found.
    pub method: Method,
}

/// Up to this many values in each sample the distribution is counted.
const COUNTED: usize = 50;
/// Up to this many ways to deal the values out, all are gone through: nine and nine.
const ENUMERATED: f64 = 50_000.0;

/// Compares two samples. None where one is empty.
#[must_use]
pub fn rank_sum(first: &[Value], second: &[Value]) -> Option<RankSum> {
    if first.is_empty() || second.is_empty() {
        return None;
    }
    let score: i64 = second.iter().flat_map(|b| first.iter().map(move |a| i64::from(b.beyond(*a)))).sum();
    let pooled: Vec<Value> = first.iter().chain(second).copied().collect();
    // What each value scores against all others: the test statistic is the sum over the second sample.
    let scores: Vec<i64> =
        pooled.iter().map(|a| pooled.iter().map(|b| i64::from(a.beyond(*b))).sum()).collect();
    let n = pooled.len();
    let exact = pooled.iter().all(|value| value.exact());
    let decided = pooled.iter().map(|a| pooled.iter().filter(|b| a.beyond(**b) != 0).count()).sum::<usize>();
    let ways = ln_choose(n as u64, second.len() as u64).exp();
    let (p, method) = if exact && decided == n * (n - 1) && first.len().max(second.len()) <= COUNTED {
        (counted(first.len(), second.len(), score), Method::MannWhitney)
    } else if ways <= ENUMERATED {
        let method = if exact { Method::MannWhitneyTies } else { Method::Gehan };
        (dealt(&scores, second.len(), score), method)
    } else {
        let method = if exact { Method::MannWhitneyNormal } else { Method::GehanNormal };
        (approximated(&scores, first.len(), second.len(), score), method)
    };
    Some(RankSum { score, p, method })
}

/// The share of ways to order two samples without ties in which exactly `u` pairs have the second one's value
/// as the longer: Mann and Whitney's distribution (1947), for every `u`.
#[must_use]
pub fn distribution(first: usize, second: usize) -> Vec<f64> {
    // The largest value belongs to one of the two; no term is ever taken away, so nothing cancels.
    let mut rows: Vec<Vec<f64>> = vec![vec![1.0]; first + 1];
    for n in 1..=second {
        let mut next: Vec<Vec<f64>> = vec![vec![1.0]];
        for m in 1..=first {
            let mut shares = vec![0.0; m * n + 1];
            let all = (m + n) as f64;
            for (u, share) in next.last().into_iter().flatten().enumerate() {
                shares[u] += share * m as f64 / all;
            }
            for (u, share) in rows[m].iter().enumerate() {
                shares[u + m] += share * n as f64 / all;
            }
            next.push(shares);
        }
        rows = next;
    }
    rows.pop().unwrap_or_default()
}

fn counted(first: usize, second: usize, score: i64) -> f64 {
    let pairs = (first * second) as i64;
    let far = |u: usize| (2 * u as i64 - pairs).abs() >= score.abs();
    let shares = distribution(first, second);
    shares.iter().enumerate().filter(|(u, _)| far(*u)).map(|(_, share)| share).sum::<f64>().min(1.0)
}

/// Over all choices of `size` of the scores.
fn dealt(scores: &[i64], size: usize, observed: i64) -> f64 {
    // By how many were taken: the sums with the number of ways to them.
    let mut ways: Vec<std::collections::BTreeMap<i64, f64>> =
        vec![std::collections::BTreeMap::new(); size + 1];
    ways[0].insert(0, 1.0);
    for score in scores {
        for taken in (1..=size).rev() {
            let more: Vec<(i64, f64)> = ways[taken - 1].iter().map(|(sum, n)| (sum + score, *n)).collect();
            more.into_iter().for_each(|(sum, n)| *ways[taken].entry(sum).or_default() += n);
        }
    }
    let all: f64 = ways[size].values().sum();
    ways[size].iter().filter(|(sum, _)| sum.abs() >= observed.abs()).map(|(_, n)| n).sum::<f64>() / all
}

/// By the normal distribution with the variance over all ways to deal the values out (Mantel 1967), which
/// accounts for ties and censoring, and a correction for continuity: scores are two apart without ties.
fn approximated(scores: &[i64], first: usize, second: usize, score: i64) -> f64 {
    let (a, b) = (first as f64, second as f64);
    let squares: f64 = scores.iter().map(|score| (*score as f64).powi(2)).sum();
    let variance = squares * a * b / ((a + b) * (a + b - 1.0));
    if variance <= 0.0 {
        return 1.0;
    }
    two_sided((score.abs() as f64 - 1.0).max(0.0) / variance.sqrt())
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{exact, near},
        *,
    };

    /// scipy.stats.mannwhitneyu(b, a, method='exact'): U = 51.
    #[test]
    fn without_ties_it_is_scipy_s() {
        let a = exact(&[1.1, 1.4, 1.2, 1.9, 1.6, 1.3, 1.8]);
        let b = exact(&[1.7, 2.1, 1.5, 2.3, 2.6, 2.0, 2.4, 1.95]);
        let found = rank_sum(&a, &b).unwrap();
        assert_eq!((found.score, found.method), (2 * 51 - 56, Method::MannWhitney));
        near(found.p, 0.005_905_205_905_205_905);
        assert_eq!(rank_sum(&b, &a).unwrap().score, -found.score);
        near(rank_sum(&b, &a).unwrap().p, found.p);
    }

    /// By going through all 6435 choices in another language.
    #[test]
    fn the_distribution_is_the_counted_one() {
        let shares = distribution(7, 8);
        assert_eq!(shares.len(), 57);
        near(shares[..=7].iter().sum(), 0.006_993_006_993_006_993);
        near(shares[..=10].iter().sum(), 0.020_046_620_046_620_046);
        near(distribution(50, 50).iter().sum(), 1.0);
    }

    /// The first by going through the rank sums of all 462 choices with scipy.stats.rankdata, the second
    /// scipy.stats.mannwhitneyu with method='asymptotic'.
    #[test]
    fn with_ties_it_is_scipy_s() {
        let found = rank_sum(&exact(&[1.0, 2.0, 2.0, 3.0, 4.0]), &exact(&[2.0, 3.0, 3.0, 5.0, 6.0, 6.0]));
        assert_eq!(found.unwrap().method, Method::MannWhitneyTies);
        near(found.unwrap().p, 57.0 / 462.0);
        let a = exact(&[1.0, 2.0, 2.0, 3.0, 3.0, 3.0, 4.0, 5.0, 5.0, 6.0, 7.0, 7.0]);
        let b = exact(&[3.0, 4.0, 4.0, 5.0, 6.0, 6.0, 7.0, 8.0, 8.0, 9.0, 9.0, 10.0]);
        let found = rank_sum(&a, &b).unwrap();
        assert_eq!(found.method, Method::MannWhitneyNormal);
        near(found.p, 0.012_475_288_945_765_405);
    }

    /// Gehan (1965) has 271 for the remissions of Freireich et al.; the permutation variance is 5644.39.
    #[test]
    fn with_censoring_it_is_gehan_s() {
        let placebo = exact(&[
            1.0, 1.0, 2.0, 2.0, 3.0, 4.0, 4.0, 5.0, 5.0, 8.0, 8.0, 8.0, 8.0, 11.0, 11.0, 12.0, 12.0, 15.0,
            17.0, 22.0, 23.0,
        ]);
        let mut treated = exact(&[6.0, 6.0, 6.0, 7.0, 10.0, 13.0, 16.0, 22.0, 23.0]);
        let going_on = [6.0, 9.0, 10.0, 11.0, 17.0, 19.0, 20.0, 25.0, 32.0, 32.0, 34.0, 35.0];
        treated.extend(going_on.map(Value::MoreThan));
        let found = rank_sum(&placebo, &treated).unwrap();
        assert_eq!((found.score, found.method), (271, Method::GehanNormal));
        near(found.p, two_sided(270.0 / 5_644.390_243_902_439_f64.sqrt()));
    }

    #[test]
    fn what_never_came_is_longer_than_all_that_did() {
        let quick = exact(&[1.0, 1.1, 1.2, 1.3, 1.4]);
        let never = vec![Value::MoreThan(60.0); 5];
        let found = rank_sum(&quick, &never).unwrap();
        assert_eq!((found.score, found.method), (25, Method::Gehan));
        near(found.p, 2.0 / 252.0);
        assert_eq!(rank_sum(&never, &never).unwrap().p, 1.0, "nothing can be told");
    }
}
