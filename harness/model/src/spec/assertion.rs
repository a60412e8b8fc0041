//! What is measured and what decides: named milestones with budgets, and assertions.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use crate::{
    action::StaticPod,
    quantity::{Factor, Frequency},
    time::Span,
};

/// Streams by name: segments parted by `/`, where `*` stands for any one segment,
/// `@target` for a node that a fault hit and `@others` for a node that none hit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Pattern(pub String);

impl Pattern {
    /// True where `stream` fits. `targets` are the nodes that the experiment's faults hit,
    /// `nodes` all nodes of the cluster (`@others` fits only these).
    #[must_use]
    pub fn fits(&self, stream: &str, targets: &[String], nodes: &[String]) -> bool {
        let mut wanted = self.0.split('/');
        let mut given = stream.split('/');
        loop {
            match (wanted.next(), given.next()) {
                (None, None) => return true,
                (Some("*"), Some(_)) => {}
                (Some("@target"), Some(node)) if targets.iter().any(|t| t == node) => {}
                (Some("@others"), Some(node))
                    if nodes.iter().any(|n| n == node) && !targets.iter().any(|t| t == node) => {}
                (Some(want), Some(have)) if want == have => {}
                _ => return false,
            }
        }
    }
}

/// A moment that a waterfall names. All are counted from the first fault's injection, or, with `since: undo`,
/// from the moment the last fault was undone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Milestone {
    /// Its name in reports, as in `new leader`.
    pub name: String,
    /// What happens then.
    pub when: When,
    /// From when it is counted.
    #[serde(default)]
    pub since: Since,
    /// The budget: later than this fails the experiment. Left out, it is `predicted` where the milestone has a
    /// formula, and `none` otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Within>,
    /// Sooner than this fails it too: something was not what it seemed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<Span>,
}

impl Milestone {
    /// It has a budget; one without informs and does not decide.
    #[must_use]
    pub fn decides(&self) -> bool {
        matches!(self.within, Some(Within::Predicted | Within::Span(_))) || self.at_least.is_some()
    }
}

/// The budget of a milestone, as it is written: `predicted`, `none`, or a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Within {
    /// In the interval that follows from the cluster's own settings: later fails, sooner is inconclusive.
    Predicted,
    /// No budget: for information only.
    Unlimited,
    /// Within that time.
    Span(Span),
}

impl fmt::Display for Within {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Within::Predicted => f.write_str("predicted"),
            Within::Unlimited => f.write_str("none"),
            Within::Span(span) => span.fmt(f),
        }
    }
}

impl Serialize for Within {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Within {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Within, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "predicted" => Ok(Within::Predicted),
            "none" => Ok(Within::Unlimited),
            span => span
                .parse()
                .map(Within::Span)
                .map_err(|error: String| D::Error::custom(format!("{error}; or write predicted, or none"))),
        }
    }
}

impl JsonSchema for Within {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Within".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A milestone's budget: a duration; `predicted`, the interval that follows from the cluster's own settings; or `none`, for information only.",
            "anyOf": [{"enum": ["predicted", "none"]}, generator.subschema_for::<Span>()]
        })
    }
}

/// The start of an interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Since {
    /// The first fault's injection.
    #[default]
    Fault,
    /// The last fault's undo (for a fault that needs none: its injection).
    Undo,
}

/// The event that makes a milestone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum When {
    /// The first failed attempt of any of the streams: somebody noticed.
    Fails(Pattern),
    /// The first good answer after the first failure, in the slowest of the streams.
    Succeeds(Pattern),
    /// The start of the first window of stability after the first failure, in the slowest of the streams.
    Stable(Pattern),
    /// The named Lease has another holder than before the fault.
    NewHolder(String),
    /// A majority of the members follows a leader of a later term than before the fault's injection: another member,
    /// or the old leader, which may win again where it is back soon. Where it was never lost, this never comes.
    NewLeader,
    /// No member that answers knows a leader.
    NoLeader,
    /// The API shows a target node's Ready condition as not True.
    NotReady,
    /// The API shows every target node as Ready again after it was not.
    Ready,
    /// A target node carries a NoExecute taint for being not ready or unreachable.
    Tainted,
    /// A pod of the workload on a target node is marked for deletion.
    Evicted,
    /// A pod that was not there before the fault is Ready, and as many are as before.
    Replaced,
    /// None of the pods that ran on a target node and were replaced answers any more on its node.
    StaleGone,
    /// A target member is back: its applied index has caught up with the largest that any other member had shown.
    CaughtUp,
    /// The API agreed to the deletion that a `deletePods` step asked for.
    Deleted,
}

/// A condition on the whole of an experiment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Assertion {
    /// No outage of any of the streams is longer.
    Gap(Gap),
    /// Attempts fail while the fault lasts.
    Fails(Share),
    /// Attempts succeed while the fault lasts.
    Succeeds(Share),
    /// The same raft leader from the baseline to the end.
    SameLeader(Nothing),
    /// Every write acknowledged through API servers and members is there at the end, through each of them.
    NoLostWrites(Nothing),
    /// Once the named Lease has a new holder, the old one never holds it again.
    OldHolderStaysOut(String),
    /// The processes that the fault hit are gone for good at the end. (Whether others run in their place: `comesBack`.)
    OldProcessGone(Nothing),
    /// No pod was created to replace one of the workload while the fault lasted.
    NoReplacementDuringFault(Nothing),
    /// Answers of the streams take no more than so many times as long as in the baseline.
    Slowdown(Slowdown),
    /// A component's own metric moved: an operator would have seen it.
    MetricMoves(MetricMoves),
    /// The named Lease has the same holder from the baseline to the end of recovery.
    SameHolder(String),
    /// Under a `load` step, everything is as it should be up to that rate at least.
    HoldsUpTo(HoldsUpTo),
    /// Every component that a KILL or TERM ended is back within this long of each signal, and running at the end.
    ComesBack(ComesBack),
}

/// Takes no settings: written `{}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// The settings of `gap`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Gap {
    /// Which streams.
    pub of: Pattern,
    /// The longest outage allowed; `0s` allows not one that got no answer, while a late one is none lost.
    pub max: Span,
}

/// The settings of `fails` and `succeeds`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Share {
    /// Which streams.
    pub of: Pattern,
    /// Attempts are counted from this long after the injection of the last fault …
    #[serde(default)]
    pub after: Span,
    /// … to the first undo. At least this part of them, from 0 to 1.
    #[serde(default = "all")]
    pub share: f64,
}

/// The settings of `slowdown`. Times are those of good answers, counted from when the attempt was due.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Slowdown {
    /// Which streams, each by itself.
    pub of: Pattern,
    /// In which part of the experiment (default: while the fault lasts).
    #[serde(default)]
    pub during: Part,
    /// The median's ratio is at most this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50: Option<Factor>,
    /// The same of the 90th percentile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p90: Option<Factor>,
    /// The same of the 99th percentile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99: Option<Factor>,
}

/// A part of an experiment whose distributions are told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Part {
    /// The baseline.
    Before,
    /// From the last injection to the first undo.
    #[default]
    During,
    /// From the last undo, and the window of stability after it, to the end.
    After,
}

/// The settings of `metricMoves`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MetricMoves {
    /// Whose.
    pub component: StaticPod,
    /// Its name in recoup's list (see `metrics` in the reference).
    pub metric: String,
    /// On a node that a fault hit (the default), or on one that none hit.
    #[serde(default)]
    pub on: Side,
    /// From the baseline to the time of the fault it grew at least so many times.
    pub at_least: Factor,
}

/// Which instances are meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Side {
    /// Those on nodes that a fault hit: one of them is enough.
    #[default]
    Target,
    /// Those on other nodes: one of them is enough.
    Others,
    /// Any instance.
    Any,
}

/// The settings of `holdsUpTo`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HoldsUpTo {
    /// It must hold at this rate, as offered, and at every lower one of the ramp.
    pub rate: Frequency,
    /// A changed Deployment converges within this (needs the probe `convergence`).
    pub convergence: Span,
}

/// The settings of `comesBack`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ComesBack {
    /// After each signal, the process is there again within this long.
    pub within: Span,
}

impl Eq for Share {}

fn all() -> f64 {
    1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_know_targets_from_others() {
        let nodes = ["cp1".to_owned(), "cp2".to_owned()];
        let targets = [nodes[0].clone()];
        let fits = |pattern: &str, stream: &str| Pattern(pattern.into()).fits(stream, &targets, &nodes);
        assert!(fits("api/write/@target/reused", "api/write/cp1/reused"));
        assert!(!fits("api/write/@target/reused", "api/write/cp2/reused"));
        assert!(fits("api/*/@others/*", "api/read/cp2/new"));
        assert!(!fits("api/*/@others/*", "api/read/lb/new"), "the load balancer is no node");
        assert!(!fits("etcd/put", "etcd/put/cp1"), "a pattern fits whole names only");
    }
}
