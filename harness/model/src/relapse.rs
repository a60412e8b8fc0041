//! Recovery that came in time, and was lost again for moments while the machine had nothing to spare: a request that
//! waited for a second on two processors which six nodes share is not the fault's doing alone.

use std::time::Duration;

use crate::{
    machine,
    milestone::{concerned, undisturbed},
    spec::When,
    time::{Offset, Span},
    timeline::Timeline,
    verdict::{Interval, Outage, Verdict},
};

/// A `stable` milestone that was late because of relapses alone is no failure of the cluster's where less than one
/// processor was idle throughout them, and all its outages together are shorter than the budget.
pub(crate) fn excuse(timeline: &Timeline, mut interval: Interval) -> Interval {
    let (Verdict::Fail, Some(budget), When::Stable(pattern), Some(fault)) =
        (interval.verdict, interval.budget(), &interval.milestone.when, timeline.fault())
    else {
        return interval;
    };
    let mut worst: Option<(Duration, String)> = None;
    for series in timeline.matching(pattern) {
        let outages = concerned(timeline, series, interval.milestone.since, fault);
        if outages.is_empty() {
            continue;
        }
        let Some(last) = undisturbed(series, &outages, timeline.plan.stable.0) else { return interval };
        let Some((first, relapses)) = down(&outages[..=last], interval.from) else { return interval };
        let starved = |one: &Outage| machine::starved(timeline, one.from, one.to.unwrap_or(one.end_low));
        if first + relapses > budget.0 || !outages[1..=last].iter().all(starved) {
            return interval;
        }
        let words = format!(
            "{} had recovered {} after that and failed again for {} in all, while less than one processor of this \
             machine was idle: on a larger machine it may hold",
            series.stream.name,
            Span(first),
            Span(relapses)
        );
        if worst.as_ref().is_none_or(|(known, _)| relapses > *known) {
            worst = Some((relapses, words));
        }
    }
    if let Some((_, words)) = worst.filter(|(relapses, _)| !relapses.is_zero()) {
        interval.verdict = Verdict::Inconclusive;
        interval.detail = format!("{}; {words}", interval.detail);
    }
    interval
}

/// For how long it was down: from `from` to the end of the first outage, and in the others together.
fn down(outages: &[Outage], from: Offset) -> Option<(Duration, Duration)> {
    let (first, others) = outages.split_first()?;
    let relapses = others.iter().map(|one| Some(one.to?.since(one.from))).sum::<Option<Duration>>()?;
    Some((first.to?.since(from), relapses))
}
