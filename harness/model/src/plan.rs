//! A validated experiment, resolved against a cluster: what runs and what decides.
//! It is recorded with the events, so that a record can be judged by itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use std::collections::BTreeMap;

use crate::{
    observation::Observation,
    predict::Prediction,
    spec::{Assertion, Flags, Milestone, ProbeSpecs, Rate, Step, Within, WorkloadSpec},
    time::{Offset, Span},
};

/// One variant of one experiment, ready to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Plan {
    /// `area/experiment`, or `area/experiment/variant` where there are several.
    pub id: String,
    /// What is believed to hold.
    pub hypothesis: String,
    /// Which repetition it is, from 1.
    #[serde(default = "first", skip_serializing_if = "is_first")]
    pub trial: u32,
    /// The tries before this one, none of which came to a verdict on the cluster.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Earlier>,
    /// Belongs to the quick set.
    pub smoke: bool,
    /// The profile that it needs.
    pub profile: String,
    /// The workload beside it.
    pub workload: WorkloadSpec,
    /// Changes to the default probes; what became of them is in `streams`.
    #[serde(default)]
    pub probes: ProbeSpecs,
    /// Flags of static pods that have other values on every control plane while it lasts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub flags: Flags,
    /// Undisturbed probing before the first step.
    pub baseline: Span,
    /// How long everything must be good to count as recovered.
    pub stable: Span,
    /// Observation ends this long after the last undo, whatever has come.
    pub observe: Span,
    /// The steps.
    pub steps: Vec<Step>,
    /// The waterfall.
    pub milestones: Vec<Milestone>,
    /// The other conditions.
    pub assertions: Vec<Assertion>,
    /// By milestone: the interval in which it must come. Empty until resolved against a cluster.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub predictions: BTreeMap<String, Prediction>,
    /// The probes; a sample names its stream by the index in here. Empty until resolved against a cluster.
    pub streams: Vec<Stream>,
}

impl Plan {
    /// How long after the last undo observation goes on at the most: `observe`, and never so short that a
    /// predicted milestone could still be due.
    #[must_use]
    pub fn observed(&self) -> Span {
        let predicted = self.milestones.iter().filter(|m| m.within == Some(Within::Predicted));
        let latest = predicted.filter_map(|m| self.predictions.get(&m.name)).map(|p| p.high).max();
        self.observe.max(Span(latest.unwrap_or_default().0 + self.stable.0))
    }
}

/// A try of an experiment that was inconclusive, and made again for that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Earlier {
    /// When it began.
    pub started: Offset,
    /// Why it came to no verdict; each a sentence.
    pub reasons: Vec<String>,
}

fn first() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
fn is_first(trial: &u32) -> bool {
    *trial == 1
}

/// One probe on its schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Stream {
    /// Its name, as patterns match it.
    pub name: String,
    /// What it asks.
    pub observation: Observation,
    /// How often and how patiently.
    pub rate: Rate,
}

impl Stream {
    /// The stream of an observation.
    #[must_use]
    pub fn new(observation: Observation, rate: Rate) -> Stream {
        Stream { name: observation.stream(), observation, rate }
    }
}
