//! The readings of one instance in their order, and what lies between two of them.

use std::{collections::BTreeMap, time::Duration};

use super::exposition::STARTED;
use crate::{
    action::StaticPod,
    observation::{Observation, Observed},
    time::Offset,
    timeline::{Series, Timeline},
};

/// What a reading holds.
pub(super) type Values = BTreeMap<String, i64>;

/// Two processes' starts that differ by less, in millionths of a second, are the same one's.
const SAME_START: i64 = 1_000;

/// A number of a reading in its own unit.
pub(super) fn natural(millionths: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "what is lost is less than a part in 10^15")]
    let value = millionths as f64;
    value / 1e6
}

/// The time between two readings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step<'a> {
    pub(super) from: Offset,
    pub(super) to: Offset,
    /// None where another process answered since: its counters began at zero.
    pub(super) earlier: Option<&'a Values>,
    pub(super) later: &'a Values,
}

impl Step<'_> {
    pub(super) fn seconds(&self) -> f64 {
        self.to.since(self.from).as_secs_f64()
    }

    /// By how much a counter has grown; none where the later reading does not have it.
    pub(super) fn growth(&self, name: &str) -> Option<f64> {
        let now = natural(*self.later.get(name)?);
        let before = self.earlier.and_then(|values| values.get(name)).map_or(0.0, |value| natural(*value));
        // A counter never falls: one that did began anew.
        Some(if now < before { now } else { now - before })
    }
}

/// Which instance a series of attempts asks.
pub(super) fn instance(series: &Series) -> Option<(StaticPod, &str)> {
    match &series.stream.observation {
        Observation::Metrics { component, node } => Some((*component, node)),
        _ => None,
    }
}

/// All readings of a series, by the moment when they came.
pub(super) fn readings(series: &Series) -> Vec<(Offset, &Values)> {
    let told = series.attempts.iter().filter_map(|attempt| match attempt.told() {
        Some(Observed::Metrics { values }) => Some((attempt.done, values)),
        _ => None,
    });
    let mut readings: Vec<_> = told.collect();
    readings.sort_by_key(|(at, _)| *at);
    readings
}

/// The times between them.
pub(super) fn steps<'a>(readings: &[(Offset, &'a Values)]) -> Vec<Step<'a>> {
    let started = |values: &Values| values.get(STARTED).copied();
    readings
        .windows(2)
        .filter_map(|pair| {
            let [(from, earlier), (to, later)] = pair else { return None };
            let same = match (started(earlier), started(later)) {
                (Some(a), Some(b)) => a.abs_diff(b) < SAME_START.unsigned_abs(),
                _ => true,
            };
            Some(Step { from: *from, to: *to, earlier: same.then_some(*earlier), later })
        })
        .collect()
}

/// How much longer than a period a reading is waited for.
const LATE: Duration = Duration::from_secs(1);

/// Every instance that has told anything has told again since that moment, or would have by now.
pub(crate) fn read_since(timeline: &Timeline, moment: Offset, now: Offset) -> bool {
    let metered = timeline.series.iter().filter(|series| instance(series).is_some());
    metered.into_iter().all(|series| {
        now >= moment.plus(series.stream.rate.period.0 + LATE)
            || readings(series).last().is_none_or(|(last, _)| *last >= moment)
    })
}

/// Instances of which not one reading came, in a sentence; none where there is no such.
pub(crate) fn silent(timeline: &Timeline) -> Option<String> {
    let mut names: BTreeMap<StaticPod, Vec<&str>> = BTreeMap::new();
    for series in &timeline.series {
        if let Some((component, node)) = instance(series)
            && !series.attempts.is_empty()
            && readings(series).is_empty()
        {
            names.entry(component).or_default().push(node);
        }
    }
    let told: Vec<String> = names
        .into_iter()
        .map(|(component, nodes)| format!("{} on {}", component.process(), nodes.join(", ")))
        .collect();
    (!told.is_empty())
        .then(|| format!("no metrics were told by {}: whether they moved is not known", told.join("; ")))
}
