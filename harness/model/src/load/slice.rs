//! What is recorded of a load: not a line per request, but one per second.

use std::{collections::BTreeMap, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Histogram;
use crate::{
    observation::FailureClass,
    quantity::Frequency,
    spec::LoadVerb,
    time::{Offset, Span},
};

/// The length of a slice.
pub const SLICE: Duration = Duration::from_secs(1);

/// A request that left no later than this after it was due left on time. A busy machine delays a task by some
/// milliseconds; what a load is about (hundredths of seconds and more) does not change by them, and the times of the
/// answers count from when the request was due anyway.
pub const ON_TIME: Duration = Duration::from_millis(50);

/// The requests that were due within a second, and what became of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Slice {
    /// The step.
    pub step: u32,
    /// Which step of the ramp, from 1.
    pub stage: u32,
    /// When its first request could be due …
    pub from: Offset,
    /// … and from when on none is any more.
    pub to: Offset,
    /// The rate that was wanted.
    pub rate: Frequency,
    /// Requests that were due.
    pub due: u64,
    /// Those that left. The others did not: too many were under way, or the generator itself failed.
    pub sent: u64,
    /// Those of them that left more than [`ON_TIME`] after they were due.
    pub late: u64,
    /// How late the latest one left.
    pub worst: Span,
    /// What became of those that left.
    pub verbs: BTreeMap<LoadVerb, VerbSlice>,
}

/// The requests of a kind that were due within a slice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VerbSlice {
    /// Those that were answered well.
    pub answered: u64,
    /// Those that the API server asked to come again later (429).
    pub throttled: u64,
    /// The others, by class.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub failed: BTreeMap<FailureClass, u64>,
    /// How long the good answers took, from when the request was due.
    pub times: Histogram,
}

impl VerbSlice {
    /// Failures other than 429.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failed.values().sum()
    }

    /// Adds another slice's.
    pub fn merge(&mut self, other: &VerbSlice) {
        self.answered += other.answered;
        self.throttled += other.throttled;
        for (class, count) in &other.failed {
            *self.failed.entry(*class).or_default() += count;
        }
        self.times.merge(&other.times);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, Record};

    #[test]
    fn a_slice_survives_the_way_through_the_record() {
        let mut get = VerbSlice { answered: 2, throttled: 1, ..VerbSlice::default() };
        get.failed.insert(FailureClass::Timeout, 3);
        get.times.record(Duration::from_micros(1500));
        get.times.record(Duration::from_secs(1));
        let slice = Slice {
            step: 1,
            stage: 2,
            from: Offset(1),
            to: Offset(2),
            rate: Frequency(12_500),
            due: 7,
            sent: 6,
            late: 1,
            worst: Span::millis(70),
            verbs: BTreeMap::from([(LoadVerb::Get, get)]),
        };
        let record = Record { at: Offset(9), event: Event::LoadSlice(slice) };
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record, "{text}");
    }
}
