//! Outages of one stream, from its attempts.

use std::collections::BTreeMap;

use crate::{
    time::Offset,
    timeline::{Attempt, Outcome},
    verdict::Outage,
};

/// The outages in attempts that are ordered by the moment of sending.
///
/// An attempt that failed was sent or under way while the service was down at some moment; one that was
/// answered was so while it was up at some moment. From this alone the bounds follow: they hold for
/// attempts that overlap, that hang until the service is back, and that are refused at once. An answer
/// that came too late counts as down from its sending, and as up at its end.
#[must_use]
pub fn outages(attempts: &[Attempt]) -> Vec<Outage> {
    let counted: Vec<&Attempt> = attempts.iter().filter(|attempt| attempt.outcome != Outcome::Lost).collect();
    let mut all = Vec::new();
    let mut n = 0;
    while n < counted.len() {
        if !counted[n].bad() {
            n += 1;
            continue;
        }
        let bad = counted[n..].iter().take_while(|attempt| attempt.bad()).count();
        all.push(outage(&counted[..n], &counted[n..n + bad], &counted[n + bad..]));
        n += bad;
    }
    all
}

fn outage(before: &[&Attempt], bad: &[&Attempt], after: &[&Attempt]) -> Outage {
    let first = bad.first().map_or(Offset(0), |attempt| attempt.sent);
    // Only an attempt that was over by then can say that the service was still up.
    let last_good = before.iter().rev().find(|attempt| attempt.done <= first && attempt.told().is_some());
    let start_low = last_good.map_or(Offset(0), |attempt| attempt.sent);
    let start_high = bad.iter().map(|attempt| attempt.done).min().unwrap_or(first);
    let end_low = bad.last().map_or(first, |attempt| attempt.sent);
    // Attempts overlap: a later one may have been answered sooner. The last slow answer is an answer too.
    let late = bad.last().filter(|attempt| attempt.told().is_some()).map(|attempt| attempt.done);
    let mut to = late;
    for attempt in after.iter().take_while(|attempt| attempt.good()) {
        if to.is_some_and(|to| attempt.sent >= to) {
            break;
        }
        to = Some(to.map_or(attempt.done, |to| to.min(attempt.done)));
    }

    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for attempt in bad {
        let reason = match &attempt.outcome {
            Outcome::Bad(class) => class.to_string(),
            _ => "slow".to_owned(),
        };
        *counts.entry(reason).or_default() += 1;
    }
    let mut reasons: Vec<(String, u64)> = counts.into_iter().collect();
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    Outage {
        from: first,
        to,
        start_low,
        start_high,
        end_low: end_low.max(start_low),
        failed: bad.len() as u64,
        reasons,
    }
}

/// The longest outage that could have passed unseen from `from` on: between the sending of one good
/// attempt and the answer to the next.
#[must_use]
pub fn resolution(attempts: &[Attempt], from: Offset, to: Offset) -> std::time::Duration {
    let good: Vec<&Attempt> =
        attempts.iter().filter(|attempt| attempt.good() && attempt.done >= from).collect();
    let between = good.windows(2).map(|pair| pair[1].done.since(pair[0].sent)).max().unwrap_or_default();
    let head = good.first().map_or(to.since(from), |attempt| attempt.done.since(from.max(attempt.sent)));
    let tail = good.last().map_or(to.since(from), |attempt| to.since(attempt.sent));
    between.max(head).max(if good.len() < 2 { tail } else { std::time::Duration::ZERO })
}
