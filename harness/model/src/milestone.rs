//! When each milestone came: found in the record, with bounds, never guessed.

use std::time::Duration;

use crate::{
    observation::Observed,
    outage::{outages, resolution},
    predict::Prediction,
    spec::{Milestone, Pattern, Since, When, Within},
    states,
    time::{Offset, Span},
    timeline::{Moment, Series, Timeline},
    verdict::{Interval, Measure, Outage, Verdict},
};

/// What the record says of a milestone.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Found {
    /// It came then.
    At(Moment),
    /// It had not come when observation ended.
    Never,
    /// There was nothing to end or to see.
    NotSeen(Duration),
    /// The record cannot tell.
    Unknown(String),
}

/// One milestone, measured and held against its budget.
#[must_use]
pub fn interval(timeline: &Timeline, milestone: &Milestone) -> Interval {
    let start = match milestone.since {
        Since::Fault => timeline.fault(),
        Since::Undo => timeline.undo(),
    };
    let prediction = timeline.plan.predictions.get(&milestone.name).cloned();
    let Some(start) = start else {
        let what = match milestone.since {
            Since::Fault => "no fault was injected",
            Since::Undo => "not every fault was undone",
        };
        return Interval {
            milestone: milestone.clone(),
            from: timeline.ended(),
            prediction,
            measure: Measure::Unknown,
            verdict: Verdict::Inconclusive,
            detail: format!("{what}, so there is nothing to count from"),
        };
    };
    let span = |later: Offset, earlier: Offset| Span(later.since(earlier));
    let (measure, why) = match find(timeline, milestone) {
        Found::At(moment) => {
            let value = span(moment.at, start.at);
            let low = span(moment.low, start.high).min(value);
            (Measure::Measured { value, low, high: span(moment.high, start.low).max(value) }, None)
        }
        Found::Never => (Measure::Censored { more_than: span(timeline.ended(), start.at) }, None),
        Found::NotSeen(resolution) => (Measure::NotSeen { resolution: Span(resolution) }, None),
        Found::Unknown(why) => (Measure::Unknown, Some(why)),
    };
    let (verdict, reason) = against(milestone, prediction.as_ref(), measure);
    let detail =
        [Some(measure.to_string()), why, reason].into_iter().flatten().collect::<Vec<_>>().join("; ");
    Interval { milestone: milestone.clone(), from: start.at, prediction, measure, verdict, detail }
}

/// Fail only where even the bound in the cluster's favour is outside of the budget.
fn against(
    milestone: &Milestone,
    prediction: Option<&Prediction>,
    measure: Measure,
) -> (Verdict, Option<String>) {
    let given = match (milestone.within, prediction) {
        (Some(Within::Span(span)), _) => Budget::Given(span),
        (Some(Within::Predicted), Some(prediction)) => Budget::Predicted(prediction),
        (Some(Within::Predicted), None) if measure != Measure::Unknown => {
            let why =
                "no interval is predicted for it on this cluster, so there is nothing to hold it against";
            return (Verdict::Inconclusive, Some(why.into()));
        }
        _ => Budget::None,
    };
    let (verdict, reason) = within_bounds(milestone, &given, measure);
    match given {
        Budget::Predicted(prediction)
            if verdict == Verdict::Pass && too_soon(milestone, prediction, measure) =>
        {
            let reason = format!(
                "sooner than the settings allow ({} to {}): something was not what it seemed",
                prediction.low, prediction.high
            );
            (Verdict::Inconclusive, Some(reason))
        }
        _ => (verdict, reason),
    }
}

/// What a milestone is held against.
enum Budget<'a> {
    None,
    Given(Span),
    Predicted(&'a Prediction),
}

/// Even the bound against it lies below what the settings allow.
fn too_soon(milestone: &Milestone, prediction: &Prediction, measure: Measure) -> bool {
    match measure {
        Measure::Measured { high, .. } => high < prediction.low,
        // What was not seen took no longer than that, but may as well not have happened.
        Measure::NotSeen { resolution } => !onset(milestone) && resolution < prediction.low,
        Measure::Censored { .. } | Measure::Unknown => false,
    }
}

/// A milestone of something going wrong is missed by not being seen; one of recovery is not.
fn onset(milestone: &Milestone) -> bool {
    matches!(milestone.when, When::Fails(_) | When::NoLeader)
}

fn within_bounds(milestone: &Milestone, given: &Budget<'_>, measure: Measure) -> (Verdict, Option<String>) {
    let at_least = &milestone.at_least;
    let onset = onset(milestone);
    let (within, predicted) = match given {
        Budget::None => (None, false),
        Budget::Given(span) => (Some(*span), false),
        Budget::Predicted(prediction) => (Some(prediction.high), true),
    };
    let late = |within: &Span| match given {
        Budget::Predicted(prediction) => format!("predicted is {} to {within}", prediction.low),
        _ => format!("the budget is {within}"),
    };
    let word = if predicted { "predicted end" } else { "budget" };
    let within = &within;
    match measure {
        Measure::Measured { value, low, high } => match (within, at_least) {
            (Some(within), _) if low > *within => (Verdict::Fail, Some(late(within))),
            (Some(within), _) if value > *within => {
                (Verdict::Inconclusive, Some(format!("too close to the {word} of {within} to tell")))
            }
            (_, Some(least)) if high < *least => {
                (Verdict::Fail, Some(format!("no sooner than {least} was expected")))
            }
            (_, Some(least)) if value < *least => {
                (Verdict::Inconclusive, Some(format!("too close to the least of {least} to tell")))
            }
            (within, _) => (Verdict::Pass, within.as_ref().map(late)),
        },
        Measure::Censored { more_than } => match within {
            Some(within) if more_than >= *within => (Verdict::Fail, Some(late(within))),
            Some(within) => {
                (Verdict::Inconclusive, Some(format!("observation ended before the {word} of {within}")))
            }
            None => (Verdict::Inconclusive, None),
        },
        Measure::NotSeen { resolution } => match (within, at_least) {
            (Some(within), _) if onset => (Verdict::Fail, Some(format!("expected within {within}"))),
            (Some(within), _) if resolution > *within => (
                Verdict::Inconclusive,
                Some(format!("the probes are too far apart for a budget of {within}")),
            ),
            (_, Some(least)) if resolution < *least => {
                (Verdict::Fail, Some(format!("no sooner than {least} was expected")))
            }
            (_, Some(least)) => {
                (Verdict::Inconclusive, Some(format!("the probes are too far apart to tell it from {least}")))
            }
            (within, None) => (Verdict::Pass, within.as_ref().map(late)),
        },
        Measure::Unknown => (Verdict::Inconclusive, None),
    }
}

/// Looks for the moment; everything before the first fault's injection is passed over.
pub(crate) fn find(timeline: &Timeline, milestone: &Milestone) -> Found {
    let Some(fault) = timeline.fault() else {
        return Found::Unknown("no fault was injected".into());
    };
    let since = milestone.since;
    match &milestone.when {
        When::Fails(pattern) => fails(timeline, pattern, fault),
        When::Succeeds(pattern) => {
            slowest(timeline, pattern, since, fault, |_, outages| outages.first().map_or(Found::Never, ended))
        }
        When::Stable(pattern) => slowest(timeline, pattern, since, fault, |series, outages| {
            stable(series, outages, timeline.plan.stable.0)
        }),
        When::NewHolder(lease) => states::new_holder(timeline, lease, fault),
        When::NewLeader => states::new_leader(timeline, fault),
        When::NoLeader => states::no_leader(timeline, fault),
        When::CaughtUp => states::caught_up(timeline, fault),
        When::NotReady => states::nodes(timeline, fault, |node| node.ready != "True"),
        When::Tainted => states::nodes(timeline, fault, |node| {
            node.taints.iter().any(|taint| {
                taint == "node.kubernetes.io/not-ready:NoExecute"
                    || taint == "node.kubernetes.io/unreachable:NoExecute"
            })
        }),
        When::Ready => states::ready_again(timeline, fault),
        When::Evicted => states::evicted(timeline, fault),
        When::Replaced => states::replaced(timeline, fault),
        When::StaleGone => stale_gone(timeline, fault),
        When::Deleted => deleted(timeline),
    }
}

/// The outages that lasted into the time after the fault.
fn since_fault(series: &Series, fault: Moment) -> Vec<Outage> {
    let mut all = outages(&series.attempts);
    all.retain(|outage| outage.to.is_none_or(|to| to >= fault.low));
    all
}

/// Those of them that a milestone is about. What begins only once everything is given back is the return's doing,
/// and not counted from the fault; what was over by then is not counted from the return.
pub(crate) fn concerned(timeline: &Timeline, series: &Series, since: Since, fault: Moment) -> Vec<Outage> {
    let mut all = since_fault(series, fault);
    // A process that was killed comes back by itself, and what that does has no beginning of its own.
    let given_back = timeline.undo().filter(|_| timeline.faults().all(|(_, step, _)| step.hold().is_some()));
    if let Some(back) = given_back {
        match since {
            Since::Fault => all.retain(|outage| outage.start_low < back.low),
            Since::Undo => all.retain(|outage| outage.to.is_none_or(|to| to >= back.low)),
        }
    }
    all
}

fn nothing_fits(pattern: &Pattern) -> Found {
    Found::Unknown(format!("no stream fits {:?} on this cluster", pattern.0))
}

fn fails(timeline: &Timeline, pattern: &Pattern, fault: Moment) -> Found {
    let matching = timeline.matching(pattern);
    if matching.is_empty() {
        return nothing_fits(pattern);
    }
    let mut first: Option<Moment> = None;
    for series in &matching {
        let bad = series.attempts.iter().filter(|a| a.bad() && a.known() >= fault.low);
        let bad = bad.min_by_key(|attempt| attempt.known());
        let outage = since_fault(series, fault).into_iter().next();
        if let (Some(bad), Some(outage)) = (bad, outage)
            && first.is_none_or(|first| bad.known() < first.at)
        {
            let at = bad.known();
            first = Some(Moment { low: outage.start_low.max(fault.low), at, high: at });
        }
    }
    first.map_or_else(|| Found::NotSeen(coarsest(timeline, &matching, fault)), Found::At)
}

fn coarsest(timeline: &Timeline, matching: &[&Series], fault: Moment) -> Duration {
    let end = timeline.ended();
    matching.iter().map(|series| resolution(&series.attempts, fault.low, end)).max().unwrap_or_default()
}

/// The latest among the streams that had an outage.
fn slowest(
    timeline: &Timeline,
    pattern: &Pattern,
    since: Since,
    fault: Moment,
    end: impl Fn(&Series, &[Outage]) -> Found,
) -> Found {
    let matching = timeline.matching(pattern);
    if matching.is_empty() {
        return nothing_fits(pattern);
    }
    let mut latest: Option<Moment> = None;
    for series in &matching {
        let outages = concerned(timeline, series, since, fault);
        if outages.is_empty() {
            continue;
        }
        match end(series, &outages) {
            Found::At(moment) => {
                latest = Some(latest.map_or(moment, |l| Moment {
                    low: l.low.max(moment.low),
                    at: l.at.max(moment.at),
                    high: l.high.max(moment.high),
                }));
            }
            other => return other,
        }
    }
    if latest.is_none() && !matching.iter().all(|series| answered_since(series, fault)) {
        return Found::Never;
    }
    let from = match since {
        Since::Fault => fault,
        Since::Undo => timeline.undo().unwrap_or(fault),
    };
    latest.map_or_else(|| Found::NotSeen(coarsest(timeline, &matching, from)), Found::At)
}

/// True once an attempt that was sent after the fault was answered. Before that nothing is known: a long
/// operation that the fault holds up shows only when it ends.
fn answered_since(series: &Series, fault: Moment) -> bool {
    series.attempts.iter().any(|attempt| attempt.good() && attempt.sent >= fault.at)
}

fn ended(outage: &Outage) -> Found {
    outage.to.map_or(Found::Never, |to| Found::At(Moment { low: outage.end_low, at: to, high: to }))
}

/// The end of the first outage after which nothing failed for the whole window.
fn stable(series: &Series, outages: &[Outage], window: Duration) -> Found {
    undisturbed(series, outages, window).map_or(Found::Never, |n| ended(&outages[n]))
}

/// The first outage that is over and was followed by a whole window in which nothing failed. A window that the end of
/// observation cuts off shows nothing.
pub(crate) fn undisturbed(series: &Series, outages: &[Outage], window: Duration) -> Option<usize> {
    let seen_until = series.attempts.iter().filter(|a| a.good()).map(|a| a.done).max().unwrap_or_default();
    for (n, outage) in outages.iter().enumerate() {
        let until = outage.to?.plus(window);
        if seen_until >= until && outages.get(n + 1).is_none_or(|next| next.from >= until) {
            return Some(n);
        }
    }
    None
}

/// When the pods that ran on the hit nodes had answered there for the last time.
fn stale_gone(timeline: &Timeline, fault: Moment) -> Found {
    let pattern = Pattern("workload/pod/@target".into());
    let matching = timeline.matching(&pattern);
    if matching.is_empty() {
        return nothing_fits(&pattern);
    }
    let mut latest: Option<Moment> = None;
    for series in matching {
        let Some(last) =
            outages(&series.attempts).pop().filter(|o| o.to.is_none() && o.start_high >= fault.low)
        else {
            return Found::Never;
        };
        // Silent for a while only is what a stable window is asked for everywhere else.
        let silent_until = series.attempts.iter().map(|attempt| attempt.done).max().unwrap_or_default();
        if silent_until < last.from.plus(timeline.plan.stable.0) {
            return Found::Never;
        }
        let moment =
            Moment { low: last.start_low.max(fault.low), at: last.start_high, high: last.start_high };
        latest = latest.max(Some(moment)).filter(|l| l.at >= moment.at).or(Some(moment));
    }
    latest.map_or(Found::Never, Found::At)
}

fn deleted(timeline: &Timeline) -> Found {
    let attempts: Vec<&(Offset, Offset, bool)> =
        timeline.steps.values().flat_map(|trace| &trace.deletions).collect();
    match attempts.iter().find(|(_, _, granted)| *granted) {
        Some((sent, answered, _)) => Found::At(Moment { low: *sent, at: *answered, high: *answered }),
        None if attempts.is_empty() => Found::Unknown("no deletion was asked for".into()),
        None => Found::Never,
    }
}

/// The attempts of a series that told something, with what they told.
pub(crate) fn told(series: &Series) -> impl DoubleEndedIterator<Item = (Offset, Offset, &Observed)> {
    series.attempts.iter().filter_map(|a| a.told().map(|told| (a.sent, a.done, told)))
}
