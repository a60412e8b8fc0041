//! What a load came to, by step of the ramp and by second.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Slice, VerbSlice};
use crate::{
    capacity::{self, Capacity, StageState},
    observation::FailureClass,
    quantity::Frequency,
    spec::LoadVerb,
    time::{Offset, Span},
    timeline::Timeline,
};

/// A load and how the cluster bore it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LoadResult {
    /// The step.
    pub step: u32,
    /// When its first request was due.
    pub from: Offset,
    /// When no more were due.
    pub to: Offset,
    /// Each rate with what became of its requests; one where there is no ramp.
    pub stages: Vec<LoadStage>,
    /// The same by second.
    pub seconds: Vec<LoadSecond>,
    /// Up to which rate everything held; none beside another fault, because whose doing it was could not be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<Capacity>,
}

/// The time of a load at one rate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LoadStage {
    /// The rate that was offered.
    pub rate: Frequency,
    /// From when on.
    pub from: Offset,
    /// Until when.
    pub to: Offset,
    /// Requests that were due.
    pub due: u64,
    /// Those that left.
    pub sent: u64,
    /// Those that left on time ([`super::ON_TIME`]).
    pub on_time: u64,
    /// Those that were answered well.
    pub answered: u64,
    /// Those that were asked to come again later (429).
    pub throttled: u64,
    /// Other failures, by class.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub failed: BTreeMap<FailureClass, u64>,
    /// How long good answers took.
    pub verbs: BTreeMap<LoadVerb, VerbTimes>,
    /// Attempts of the convergence probe that began in it, and the longest of them.
    pub converged: u64,
    /// See `converged`; none where none ended well.
    pub slowest: Option<Span>,
    /// Whether everything held.
    pub state: StageState,
    /// Why not, or why that is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub because: String,
}

/// One second of a load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LoadSecond {
    /// Its beginning.
    pub from: Offset,
    /// Its end: the last one of a stage may be shorter.
    pub to: Offset,
    /// The rate that was offered.
    pub rate: Frequency,
    /// Requests that were due in it.
    pub due: u64,
    /// Those that were answered well.
    pub answered: u64,
    /// Those that were asked to come again later (429).
    pub throttled: u64,
    /// Those that failed otherwise.
    pub failed: u64,
    /// How long good answers took.
    pub verbs: BTreeMap<LoadVerb, VerbTimes>,
}

/// How long good answers took, from when the request was due; each up to 3.1 % too long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VerbTimes {
    /// Good answers.
    pub answered: u64,
    /// The median.
    pub p50: Span,
    /// The 90th percentile.
    pub p90: Span,
    /// The 99th percentile.
    pub p99: Span,
    /// The longest.
    pub longest: Span,
}

impl LoadStage {
    /// Failures other than 429.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failed.values().sum()
    }
}

fn times(verbs: &BTreeMap<LoadVerb, VerbSlice>) -> BTreeMap<LoadVerb, VerbTimes> {
    let of = |slice: &VerbSlice| {
        let at = |permille| slice.times.permille(permille);
        let (p50, p90, p99, longest) = (at(500)?, at(900)?, at(990)?, at(1000)?);
        Some(VerbTimes { answered: slice.answered, p50, p90, p99, longest })
    };
    verbs.iter().filter_map(|(verb, slice)| Some((*verb, of(slice)?))).collect()
}

/// Every load of the experiment of which something is recorded.
pub(crate) fn results(timeline: &Timeline) -> Vec<LoadResult> {
    let all = timeline.loads.iter().filter(|(_, slices)| !slices.is_empty());
    all.map(|(step, slices)| result(timeline, *step, slices)).collect()
}

fn result(timeline: &Timeline, step: u32, slices: &[Slice]) -> LoadResult {
    let mut stages: BTreeMap<u32, Vec<&Slice>> = BTreeMap::new();
    for slice in slices {
        stages.entry(slice.stage).or_default().push(slice);
    }
    let mut stages: Vec<LoadStage> = stages.values().map(|slices| stage(slices)).collect();
    let capacity = capacity::weigh(timeline, &mut stages);
    let mut seconds: Vec<LoadSecond> = slices.iter().map(second).collect();
    seconds.sort_by_key(|second| second.from);
    LoadResult {
        step,
        from: slices.iter().map(|slice| slice.from).min().unwrap_or_default(),
        to: slices.iter().map(|slice| slice.to).max().unwrap_or_default(),
        stages,
        seconds,
        capacity,
    }
}

fn second(slice: &Slice) -> LoadSecond {
    LoadSecond {
        from: slice.from,
        to: slice.to,
        rate: slice.rate,
        due: slice.due,
        answered: slice.verbs.values().map(|verb| verb.answered).sum(),
        throttled: slice.verbs.values().map(|verb| verb.throttled).sum(),
        failed: slice.verbs.values().map(VerbSlice::failures).sum(),
        verbs: times(&slice.verbs),
    }
}

fn stage(slices: &[&Slice]) -> LoadStage {
    let sum = |of: fn(&Slice) -> u64| slices.iter().map(|slice| of(slice)).sum::<u64>();
    let mut verbs: BTreeMap<LoadVerb, VerbSlice> = BTreeMap::new();
    for (verb, slice) in slices.iter().flat_map(|slice| &slice.verbs) {
        verbs.entry(*verb).or_default().merge(slice);
    }
    let mut failed = BTreeMap::new();
    for (class, count) in verbs.values().flat_map(|verb| &verb.failed) {
        *failed.entry(*class).or_default() += count;
    }
    LoadStage {
        rate: slices.first().map(|slice| slice.rate).unwrap_or_default(),
        from: slices.iter().map(|slice| slice.from).min().unwrap_or_default(),
        to: slices.iter().map(|slice| slice.to).max().unwrap_or_default(),
        due: sum(|slice| slice.due),
        sent: sum(|slice| slice.sent),
        on_time: sum(|slice| slice.sent - slice.late.min(slice.sent)),
        answered: verbs.values().map(|verb| verb.answered).sum(),
        throttled: verbs.values().map(|verb| verb.throttled).sum(),
        failed,
        verbs: times(&verbs),
        converged: 0,
        slowest: None,
        state: StageState::Held,
        because: String::new(),
    }
}
