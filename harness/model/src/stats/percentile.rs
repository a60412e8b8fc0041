//! Percentiles of lengths that may be censored, with confidence intervals.
//!
//! Where ranks are known, an interval runs from one order statistic to another, chosen by the binomial
//! distribution: exact, and free of any assumption on the lengths. Where something that never came was watched
//! for less long than others took, ranks are not known: then it is Kaplan–Meier with Greenwood's variance.
//! What was not seen lies between nothing and its resolution: lower bounds take it as nothing, the figure
//! and upper bounds as the resolution, so an interval holds whatever the truth was.

use super::{
    Value,
    survival::{kaplan_meier, quantile, quantile_interval},
};

/// A percentile with its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Percentile {
    /// The estimate.
    pub estimate: Value,
    /// The interval's lower end; none where there are too few values for one.
    pub low: Option<Value>,
    /// The interval's upper end; likewise.
    pub high: Option<Value>,
}

/// True where somebody gave up on a length before a measured one (or one not seen) ended: ranks are not known.
#[must_use]
pub fn interleaved(values: &[Value]) -> bool {
    let longest = values.iter().filter(|v| !matches!(v, Value::MoreThan(_))).map(|v| v.known());
    let longest = longest.fold(f64::NEG_INFINITY, f64::max);
    values.iter().any(|value| matches!(value, Value::MoreThan(x) if *x < longest))
}

/// The `p`-th quantile (`p` between 0 and 1) with its interval at confidence `1 - alpha`. None without values.
#[must_use]
pub fn percentile(values: &[Value], p: f64, alpha: f64) -> Option<Percentile> {
    if values.is_empty() {
        None
    } else if interleaved(values) {
        Some(by_survival(values, p, alpha))
    } else {
        by_rank(values, p, alpha)
    }
}

fn by_rank(values: &[Value], p: f64, alpha: f64) -> Option<Percentile> {
    let (mut up, mut down) = (values.to_vec(), values.to_vec());
    up.sort_by(Value::by_most);
    down.sort_by(Value::by_least);
    let n = values.len();
    // The least number of values that makes up a share of p; products like 0.9 * 10 are a little off.
    let rank = ((p * n as f64 - 1e-9).ceil().max(1.0) as usize).min(n);
    let (low, high) = ranks(n, p, alpha);
    Some(Percentile {
        estimate: *up.get(rank - 1)?,
        low: low.and_then(|rank| down.get(rank - 1).copied()),
        high: high.and_then(|rank| up.get(rank - 1).copied()),
    })
}

/// The order statistics, from 1, between which the quantile lies at confidence `1 - alpha`, each side with
/// half of the error; none where even the outermost is not far enough out.
#[must_use]
pub fn ranks(n: usize, p: f64, alpha: f64) -> (Option<usize>, Option<usize>) {
    // X(l) lies above the quantile where fewer than l values lie below it, X(u) below it where at least u do: the
    // distribution of how many do is summed up in one pass, by logarithms because its ends are tiny.
    let draws = n as f64;
    let (odds, mut chance) = ((p / (1.0 - p)).ln(), draws * (1.0 - p).ln());
    let (mut below, mut low, mut high) = (0.0, None, None);
    for rank in 1..=n {
        // Fewer than `rank` values.
        below += chance.exp();
        chance += ((draws - rank as f64 + 1.0) / rank as f64).ln() + odds;
        if below <= alpha / 2.0 {
            low = Some(rank);
        }
        if high.is_none() && 1.0 - below <= alpha / 2.0 + 1e-12 {
            high = Some(rank);
        }
    }
    (low, high)
}

/// How many values it takes for an interval with both ends.
#[must_use]
pub fn enough(p: f64, alpha: f64) -> u32 {
    let least = |share: f64| ((alpha / 2.0).ln() / share.ln() - 1e-9).ceil().max(1.0) as u32;
    least(p).max(least(1.0 - p))
}

fn by_survival(values: &[Value], p: f64, alpha: f64) -> Percentile {
    let lengths = |unseen: fn(f64) -> f64| {
        let length = |value: &Value| match *value {
            Value::LessThan(x) => (unseen(x), true),
            Value::Exactly(x) => (x, true),
            Value::MoreThan(x) => (x, false),
        };
        kaplan_meier(&values.iter().map(length).collect::<Vec<_>>())
    };
    let (late, early) = (lengths(|resolution| resolution), lengths(|_| 0.0));
    let longest = values.iter().map(|value| value.known()).fold(0.0, f64::max);
    let told = |found: Option<f64>| {
        let Some(x) = found else { return Value::MoreThan(longest) };
        let unseen = |value: &&Value| matches!(value, Value::LessThan(limit) if x == 0.0 || *limit == x);
        let measured = values.contains(&Value::Exactly(x));
        values.iter().find(unseen).filter(|_| !measured).copied().unwrap_or(Value::Exactly(x))
    };
    Percentile {
        estimate: told(quantile(&late, p)),
        low: Some(told(quantile_interval(&early, p, alpha).0)),
        high: Some(told(quantile_interval(&late, p, alpha).1)),
    }
}
