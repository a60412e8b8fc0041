//! Outages of one stream, from its attempts: bounds that hold, and the most likely moments between them.
//!
//! The bounds follow from little: an attempt that failed met the service while it was down at some moment
//! between its sending and its end (or when it was slow, if that was sooner), one that was answered met it while it was
//! up. The estimates assume more, and are for the figure in the middle only:
//!
//! - A quick failure (refused, reset, a 5xx) happened when it came; the outage began between the last good
//!   answer and it, and ended between the last such failure and the sending of the first attempt that went well.
//! - An attempt that hung met the service when an ordinary answer would have been given, the stream's median
//!   time after its sending.
//! - Late answers that come together, with each other or with the first good one, though their requests were sent
//!   apart, were all held up by the same thing: it ended an ordinary answer's time before the first of them. A late
//!   answer that others overtook was late by itself, and ends nothing.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    observation::FailureClass,
    time::Offset,
    timeline::{Attempt, Outcome},
    verdict::Outage,
};

/// An answer that took this much longer than three ordinary ones was held up, and not by a new connection alone.
const HELD: Duration = Duration::from_millis(10);
/// Answers that a thawed service gives at once arrive this close together, or as close as an ordinary answer's time.
const TOGETHER: Duration = Duration::from_millis(1);

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
    let mut usual = None;
    let mut n = 0;
    while n < counted.len() {
        if !counted[n].bad() {
            n += 1;
            continue;
        }
        let bad = counted[n..].iter().take_while(|attempt| attempt.bad()).count();
        let usual = *usual.get_or_insert_with(|| median(&counted));
        all.push(outage(&counted[..n], &counted[n..n + bad], &counted[n + bad..], usual));
        n += bad;
    }
    all
}

/// The same where an answer that took longer than `longest` is an outage, too, whatever the stream calls slow: a
/// request that waited for a second has seen more than the half of one that was allowed.
#[must_use]
pub fn outages_beyond(attempts: &[Attempt], longest: Duration) -> Vec<Outage> {
    if attempts.iter().all(|attempt| !attempt.good() || attempt.own() <= longest) {
        return outages(attempts);
    }
    outages_with(attempts, |attempt| match &attempt.outcome {
        Outcome::Good(told) if attempt.own() > longest => Outcome::Slow(Arc::clone(told)),
        other => other.clone(),
    })
}

/// The same where only a request that got no answer at all counts, not one that was answered late, nor one of those
/// sent after `last` that was still waited for when observation ended.
#[must_use]
pub fn outages_unanswered(attempts: &[Attempt], last: Offset) -> Vec<Outage> {
    outages_with(attempts, |attempt| match &attempt.outcome {
        Outcome::Slow(told) => Outcome::Good(Arc::clone(told)),
        _ if attempt.cut_off(last) => Outcome::Lost,
        other => other.clone(),
    })
}

fn outages_with(attempts: &[Attempt], outcome: impl Fn(&Attempt) -> Outcome) -> Vec<Outage> {
    let others = attempts.iter().map(|attempt| Attempt { outcome: outcome(attempt), ..attempt.clone() });
    outages(&others.collect::<Vec<_>>())
}

/// The median time of a good answer; zero where there is none.
fn median(attempts: &[&Attempt]) -> Duration {
    let mut times: Vec<Duration> = attempts.iter().filter(|a| a.good()).map(|a| took(a)).collect();
    let middle = times.len() / 2;
    if times.is_empty() { Duration::ZERO } else { *times.select_nth_unstable(middle).1 }
}

fn took(attempt: &Attempt) -> Duration {
    attempt.done.since(attempt.sent)
}

/// It was not refused, but got no answer, or a late one.
fn hung(attempt: &Attempt) -> bool {
    matches!(attempt.outcome, Outcome::Bad(FailureClass::Timeout) | Outcome::Slow(_))
}

fn middle(a: Offset, b: Offset) -> Offset {
    Offset(a.0.midpoint(b.0))
}

fn outage(before: &[&Attempt], bad: &[&Attempt], after: &[&Attempt], usual: Duration) -> Outage {
    let first = bad.first().map_or(Offset(0), |attempt| attempt.sent);
    // Only an attempt that was over by then can say that the service was still up.
    let last_good = before.iter().rev().find(|attempt| attempt.done <= first && attempt.told().is_some());
    let start_low = last_good.map_or(Offset(0), |attempt| attempt.sent);
    let start_high = bad.iter().map(|attempt| attempt.known()).min().unwrap_or(first);
    let end_low = bad.last().map_or(first, |attempt| attempt.sent).max(start_low);
    // Attempts overlap: a later one may have been answered sooner. The last slow answer is an answer too.
    let late = bad.last().filter(|attempt| attempt.told().is_some()).map(|attempt| attempt.done);
    let mut to = late;
    let mut first_good: Option<&Attempt> = None;
    for attempt in after.iter().take_while(|attempt| attempt.good()) {
        if to.is_some_and(|to| attempt.sent >= to) {
            break;
        }
        to = Some(to.map_or(attempt.done, |to| to.min(attempt.done)));
        first_good = first_good.filter(|good| good.done <= attempt.done).or(Some(attempt));
    }
    let likely_start = last_good.map(|good| {
        let met = |attempt: &&Attempt| {
            if hung(attempt) { attempt.done.min(attempt.sent.plus(usual)) } else { attempt.done }
        };
        let met = bad.iter().map(met).min().unwrap_or(first);
        middle(good.done, met).clamp(start_low, start_high)
    });
    let likely_end =
        to.and_then(|to| Some(likely_end(bad, first_good, to, usual)?.clamp(end_low.min(to), to)));

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
        end_low,
        failed: bad.len() as u64,
        reasons,
        likely_start,
        likely_end,
    }
}

/// `bad` are the bad attempts, `good` the one that was answered first after them, `to` the first answer.
fn likely_end(bad: &[&Attempt], good: Option<&Attempt>, to: Offset, usual: Duration) -> Option<Offset> {
    let last = bad.last()?;
    // What waited for the service takes an ordinary answer's time from then on.
    let back = to.minus(usual);
    let Some(good) = good else { return Some(back) };
    if released(bad, good, usual) {
        let late = bad.iter().filter(|one| one.told().is_some() && one.done >= last.sent.plus(usual));
        let first = late.map(|one| one.done).min().unwrap_or(to);
        return Some(first.min(to).minus(usual));
    }
    let held = took(good) > usual * 3 + HELD;
    Some(match (hung(last), held) {
        // Overtaken, or given up: where the good answer was held up too, it came with the service.
        (true, true) => back,
        (true, false) => middle(last.sent.plus(usual), good.done),
        (false, true) => middle(last.done, back),
        // A new connection takes longer than a kept one: the first attempt met the service when it was sent.
        (false, false) => middle(last.done, good.sent),
    })
}

/// The late answers came together with each other or with the first good one: sent apart, they were held up by the same
/// thing. A service that comes back answers what has waited in any order, and takes a moment for it.
fn released(bad: &[&Attempt], good: &Attempt, usual: Duration) -> bool {
    let Some((last, before)) = bad.split_last() else { return false };
    let apart = |one: Offset, other: Offset| one.since(other).max(other.since(one));
    let near = |one: &Attempt, other: &Attempt| {
        one.told().is_some() && apart(one.done, other.done) * 2 <= apart(one.sent, other.sent)
    };
    let together = last.told().is_some() && last.done <= good.done.plus(usual.max(TOGETHER));
    together || near(last, good) || before.last().is_some_and(|one| last.told().is_some() && near(one, last))
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

/// The longest time from `from` to `to` in which nothing is known of the service: no attempt that says something was
/// under way.
#[must_use]
pub fn unseen(attempts: &[Attempt], from: Offset, to: Offset) -> Duration {
    let counted = attempts.iter().filter(|attempt| attempt.outcome != Outcome::Lost);
    let (mut longest, mut known) = (Duration::ZERO, from);
    for attempt in counted.skip_while(|attempt| attempt.done < from).take_while(|attempt| attempt.sent < to) {
        longest = longest.max(attempt.sent.since(known));
        known = known.max(attempt.sent.plus(attempt.own()));
    }
    longest.max(to.since(known))
}
