//! Before, during and after: the parts of an experiment, and how long answers took in each.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    milestone::{self, Found},
    outage::outages,
    repetition::{ALPHA, Length, Percentile},
    spec::Part,
    stats::percentile::{enough, ranks},
    time::{Offset, Span},
    timeline::{Attempt, Series, Timeline},
};

/// The percentiles that are told.
pub(crate) const PERCENTS: [u8; 3] = [50, 90, 99];

/// From when to when a part lasted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PartSpan {
    /// Which part.
    pub part: Part,
    /// Its beginning.
    pub from: Offset,
    /// Its end.
    pub to: Offset,
}

/// How long a stream's answers took in a part of the experiment.
///
/// Times are those of answers, counted from when the attempt was due: a late one counts from when it should have
/// been sent. A failed attempt took longer than any answer: it has a rank and no time. Attempts that the observer
/// lost count nowhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PartResult {
    /// Which part.
    pub part: Part,
    /// Attempts that were answered.
    pub answered: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// The 50th, 90th and 99th of all of them, with 95 % confidence intervals by order statistics. An interval takes
    /// neighbouring attempts for independent, which they are not quite: it is rather too narrow. Empty without
    /// attempts.
    pub percentiles: Vec<Percentile>,
}

impl PartResult {
    /// The percentile of that number.
    #[must_use]
    pub fn percent(&self, percent: u8) -> Option<&Percentile> {
        self.percentiles.iter().find(|found| found.percent == percent)
    }
}

/// The parts that the experiment has had, in their order.
///
/// `before` is the baseline. `during` runs from the last injection of a fault that lasts to the first undo after it;
/// where no fault lasts (a KILL), from the first injection until the last milestone has come and the last outage that
/// began after the injection is over, and for the window of stability at least. `after` begins a window of stability
/// behind the last undo, not before `during` is over, and ends with observation.
pub(crate) fn parts(timeline: &Timeline) -> Vec<PartSpan> {
    let mut parts =
        vec![PartSpan { part: Part::Before, from: timeline.started(), to: timeline.baseline_end() }];
    let ended = timeline.ended();
    if let Some((from, to)) = during(timeline) {
        parts.push(PartSpan { part: Part::During, from, to });
        if let Some(undo) = timeline.undo() {
            let from = undo.at.plus(timeline.plan.stable.0).max(to);
            parts.extend((from < ended).then_some(PartSpan { part: Part::After, from, to: ended }));
        }
    }
    parts.retain(|span| span.from < span.to);
    parts
}

fn during(timeline: &Timeline) -> Option<(Offset, Offset)> {
    let lasting = timeline.faults().filter(|(_, step, _)| step.hold().is_some());
    let injected = lasting.filter_map(|(_, _, trace)| trace).flat_map(|trace| &trace.injected);
    if let Some(from) = injected.map(|injection| injection.ended).max() {
        let undone = timeline.faults().filter_map(|(_, _, trace)| trace).flat_map(|trace| &trace.undone);
        let to = undone.map(|(_, began, _)| *began).filter(|began| *began > from).min();
        return Some((from, to.unwrap_or(timeline.ended())));
    }
    let fault = timeline.fault()?;
    let came = timeline.plan.milestones.iter().filter_map(|one| match milestone::find(timeline, one) {
        Found::At(moment) => Some(moment.at),
        _ => None,
    });
    let over = timeline.series.iter().flat_map(|series| outages(&series.attempts)).filter_map(|outage| {
        let to = outage.to.unwrap_or(timeline.ended());
        (to >= fault.low).then_some(to)
    });
    let least = fault.at.plus(timeline.plan.stable.0);
    let to = came.chain(over).max().unwrap_or(least).max(least).min(timeline.ended());
    Some((fault.low, to))
}

/// A stream's answers in each part.
pub(crate) fn of_series(series: &Series, parts: &[PartSpan]) -> Vec<PartResult> {
    parts.iter().map(|span| of_part(series, span)).collect()
}

/// A stream's answers in one part.
pub(crate) fn of_part(series: &Series, span: &PartSpan) -> PartResult {
    // What was due in the baseline and was answered after the injection may have met the fault.
    let inside = |attempt: &&Attempt| {
        attempt.due >= span.from
            && attempt.due < span.to
            && (span.part != Part::Before || attempt.done <= span.to)
    };
    let (mut times, mut failed) = (Vec::new(), 0_usize);
    for attempt in series.attempts.iter().filter(inside) {
        if attempt.told().is_some() {
            times.push(attempt.done.since(attempt.due));
        } else if attempt.bad() {
            failed += 1;
        }
    }
    times.sort_unstable();
    PartResult {
        part: span.part,
        answered: times.len() as u64,
        failed: failed as u64,
        percentiles: percentiles(&times, failed, series.stream.rate.patience()),
    }
}

/// Percentiles of sorted times and of so many attempts that took longer than all of them, and than `patience`.
fn percentiles(times: &[Duration], failed: usize, patience: Duration) -> Vec<Percentile> {
    let n = times.len() + failed;
    if n == 0 {
        return Vec::new();
    }
    let beyond = Span(times.last().copied().unwrap_or_default().max(patience));
    let at = |rank: usize| {
        let time = times.get(rank.saturating_sub(1)).map(|time| Length::Exactly { value: Span(*time) });
        time.unwrap_or(Length::MoreThan { value: beyond })
    };
    let percentile = |percent: u8| {
        let p = f64::from(percent) / 100.0;
        let (low, high) = ranks(n, p, ALPHA);
        let rank = (n * usize::from(percent)).div_ceil(100).max(1);
        Percentile {
            percent,
            estimate: at(rank),
            low: low.map(at),
            high: high.map(at),
            needs: enough(p, ALPHA),
        }
    };
    PERCENTS.map(percentile).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(found: Length) -> (u128, bool) {
        (found.span().0.as_millis(), matches!(found, Length::MoreThan { .. }))
    }

    #[test]
    fn a_failed_attempt_is_slower_than_any_answer_and_has_no_time() {
        let times: Vec<Duration> = (1..=95).map(Duration::from_millis).collect();
        let found = percentiles(&times, 5, Duration::from_secs(1));
        let told: Vec<(u128, bool)> = found.iter().map(|p| millis(p.estimate)).collect();
        assert_eq!(told, [(50, false), (90, false), (1000, true)]);
        let high = found[1].high.map(millis);
        assert_eq!(high, Some((1000, true)), "the interval of the p90 reaches the failed ones");
        assert_eq!(percentiles(&[], 0, Duration::from_secs(1)), []);
    }

    #[test]
    fn too_few_attempts_leave_an_interval_open() {
        let times: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        let found = percentiles(&times, 0, Duration::from_secs(1));
        assert!(found[0].low.is_some() && found[0].high.is_some());
        assert_eq!((found[2].high, found[2].needs), (None, 368));
    }
}
