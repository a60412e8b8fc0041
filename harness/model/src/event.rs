//! The one list of what is recorded. Terminal, files and reports are its readers.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de::Error};

use crate::{
    action::{ActionReport, NodeAction, ProcessState},
    configuration::Configuration,
    load::Slice,
    machine::Processors,
    observation::{Endpoint, Failure, Observed},
    plan::Plan,
    time::{Offset, Span},
    topology::Fingerprint,
    verdict::ExperimentResult,
};

/// The version of this record's shape; a reader knows this one and all before it.
pub const FORMAT: u32 = 6;

/// One line of `events.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Record {
    /// When it was recorded.
    pub at: Offset,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "event")]
pub enum Event {
    /// The first line of every record.
    RunStarted {
        /// [`FORMAT`].
        format: u32,
        /// The run's name, which is also its directory's.
        run: String,
        /// recoup's own version.
        recoup: String,
        /// Wall time (RFC 3339) of offset 0.
        started: String,
        /// Everything random comes from it.
        seed: u64,
        /// The experiments' ids, in order.
        experiments: Vec<String>,
    },
    /// A cluster is being made, adopted or loaded: a line for people.
    ClusterProgress {
        /// What is being done.
        message: String,
    },
    /// The cluster is there and healthy.
    ClusterReady {
        /// What it is.
        fingerprint: Box<Fingerprint>,
        /// It was made by this run rather than adopted.
        created: bool,
        /// Its live settings that recovery times follow from.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        configuration: Option<Box<Configuration>>,
    },
    /// An experiment begins.
    ExperimentStarted {
        /// All of it, streams included.
        plan: Box<Plan>,
    },
    /// An experiment was left out.
    ExperimentSkipped {
        /// The experiment's id.
        id: String,
        /// Its hypothesis.
        hypothesis: String,
        /// Why.
        reason: String,
    },
    /// A check of the cluster's health.
    Health {
        /// Before the baseline or after everything was undone.
        stage: Stage,
        /// What is wrong; empty where all is well.
        problems: Vec<String>,
    },
    /// Something that the baseline's check mended or left out (a node whose kube-proxy does not follow Services, say).
    Precondition {
        /// What was found.
        finding: String,
        /// What was done about it.
        remedy: String,
    },
    /// A part of the experiment begins.
    PhaseStarted {
        /// Which.
        phase: Phase,
    },
    /// One probe's attempt.
    Sample(Sample),
    /// A step begins; for a fault: its undo is in the ledger.
    StepStarted {
        /// The step's number, from 1.
        step: u32,
        /// Its key in YAML.
        key: String,
        /// The nodes that it hits.
        targets: Vec<String>,
        /// In words, as in `SIGKILL to kube-controller-manager on cp2 (holder of kube-controller-manager)`.
        description: String,
    },
    /// An action of a step was carried out; what it did took effect between the two offsets.
    Injected {
        /// The step.
        step: u32,
        /// The node.
        node: String,
        /// What was done.
        action: NodeAction,
        /// Just before.
        began: Offset,
        /// Just after.
        ended: Offset,
        /// What was found and done.
        report: Box<ActionReport>,
    },
    /// Did the fault take effect? Gathered on the node, not through the API.
    Evidence {
        /// The step.
        step: u32,
        /// The node.
        node: String,
        /// What was looked for, as in `process 1234 is gone`.
        check: String,
        /// It was so.
        effective: bool,
        /// What was seen.
        seen: String,
    },
    /// A process that a fault ended runs again.
    ProcessBack {
        /// The step.
        step: u32,
        /// The node.
        node: String,
        /// Last look that did not see it.
        missing: Offset,
        /// First look that saw it.
        seen: Offset,
        /// The process.
        process: ProcessState,
    },
    /// An undo was carried out.
    Undone {
        /// The step.
        step: u32,
        /// The node.
        node: String,
        /// What was done.
        action: NodeAction,
        /// Just before.
        began: Offset,
        /// Just after.
        ended: Offset,
    },
    /// An answer to the deletion that a `deletePods` step asks for.
    DeletionAnswered {
        /// The step.
        step: u32,
        /// The pods.
        pods: Vec<String>,
        /// When this attempt was sent.
        sent: Offset,
        /// The refusal; none where it was granted.
        refused: Option<Failure>,
    },
    /// Processes hit by a step, looked at again when all is over.
    Aftermath {
        /// The step.
        step: u32,
        /// The node.
        node: String,
        /// The processes of the component now.
        processes: Vec<ProcessState>,
    },
    /// A load begins: what it needs is in place, and its first request is due.
    LoadStarted {
        /// The step.
        step: u32,
        /// Just before.
        began: Offset,
        /// Just after.
        ended: Offset,
    },
    /// One second of a load; recorded once every request that was due in it has ended.
    LoadSlice(Slice),
    /// A load is over: no request is due any more, and what it made is removed.
    LoadEnded {
        /// The step.
        step: u32,
        /// When the last request was no longer due.
        began: Offset,
        /// When what it made was removed.
        ended: Offset,
    },
    /// Acknowledged writes read back after recovery.
    WritesReadBack {
        /// Through which API server or member, by stream name.
        through: String,
        /// Highest number found, by writing stream and slot.
        #[serde(deserialize_with = "slots")]
        found: BTreeMap<String, BTreeMap<u64, u64>>,
        /// Why it could not be read.
        failure: Option<Failure>,
    },
    /// A watcher of the write probes' objects has news.
    Watched {
        /// Through which API server, as [`read_back_name`] names it.
        through: String,
        /// What it was told.
        news: WatchNews,
    },
    /// What the instances of lease-holding components wrote since the baseline, from the API servers' own logs.
    Acted {
        /// The writes in the order in which they came.
        acts: Vec<Act>,
        /// By Lease: how long after a thaw its old holder may go on by the cluster's settings, before it notices.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        grace: BTreeMap<String, Span>,
        /// Why the logs could not be read, or not all.
        failure: Option<Failure>,
    },
    /// A node's state, as far as faults may leave something behind.
    Surveyed {
        /// Before the baseline or after everything was undone.
        stage: Stage,
        /// The node.
        node: String,
        /// What [`NodeAction::Survey`] found.
        lines: Vec<String>,
    },
    /// What the harness itself used since the run's start.
    Overhead {
        /// Processor time, in milliseconds.
        cpu_ms: u64,
        /// Resident memory, in KiB.
        rss_kib: u64,
    },
    /// Who has used the machine of the cluster's nodes since it began.
    Processors(Processors),
    /// The observer itself was not run: answers that came meanwhile were read at the end of it.
    Stalled {
        /// When it was to look next.
        from: Offset,
        /// When it did.
        to: Offset,
    },
    /// Something that a reader of the record should know.
    Note {
        /// What.
        message: String,
    },
    /// An experiment ended and was judged; `judge` computes this again.
    ExperimentFinished {
        /// The verdict with all figures.
        result: Box<ExperimentResult>,
    },
    /// An experiment was broken off by the harness: its verdict is Inconclusive.
    ExperimentAborted {
        /// The experiment's id.
        id: String,
        /// Why.
        reason: String,
    },
    /// The last line of a complete record.
    RunFinished {
        /// It was interrupted.
        interrupted: bool,
    },
}

/// What a watcher is told; revisions are those of the objects (`resourceVersion`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum WatchNews {
    /// It listed all objects: everything up to that revision is known.
    Listed {
        /// The list's revision.
        revision: u64,
    },
    /// A watch was opened.
    Opened {
        /// It tells what came after this revision.
        after: u64,
    },
    /// Objects changed, in the order in which it was told.
    Changed {
        /// The objects' revisions.
        revisions: Vec<u64>,
    },
    /// Nothing is left to tell up to that revision; a watch that is opened again may go on from there.
    Bookmark {
        /// The revision.
        revision: u64,
    },
    /// The server said properly that it no longer knows what came after the revision asked for.
    Expired,
    /// The watch ended.
    Closed {
        /// Why; none where the server ended it in order.
        failure: Option<Failure>,
    },
}

/// A write that an instance of a lease-holding component made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Act {
    /// The component's Lease, as in `kube-scheduler`.
    pub lease: String,
    /// The node of the instance.
    pub node: String,
    /// When the API server got the request.
    pub at: Offset,
    /// As in `patch`.
    pub verb: String,
    /// As in `pods/binding default/web-1`.
    pub object: String,
}

/// JSON's keys are text, and behind `flatten` and a tag serde does not turn them back into numbers by itself.
fn slots<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, BTreeMap<u64, u64>>, D::Error> {
    let text = BTreeMap::<String, BTreeMap<String, u64>>::deserialize(from)?;
    let number = |(slot, value): (String, u64)| Ok((slot.parse().map_err(D::Error::custom)?, value));
    text.into_iter()
        .map(|(name, map)| Ok((name, map.into_iter().map(number).collect::<Result<_, _>>()?)))
        .collect()
}

/// Before or after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Stage {
    /// Before the baseline.
    Before,
    /// After everything was undone.
    After,
}

/// A part of an experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// Workload and probes are set up.
    Setup,
    /// Undisturbed probing.
    Baseline,
    /// From the first step to the last undo.
    Fault,
    /// From the last undo to the end of observation.
    Recovery,
    /// Reading back and clearing away.
    Cleanup,
}

/// One attempt of one probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Sample {
    /// Index into the plan's streams.
    pub stream: u32,
    /// When the schedule wanted it sent.
    pub due: Offset,
    /// When it was sent.
    pub sent: Offset,
    /// When it ended.
    pub done: Offset,
    /// What it was told; left out (none) where a good answer equals the stream's last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<Observed>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// How an endpoint's read-back is named in [`Event::WritesReadBack`].
#[must_use]
pub fn read_back_name(endpoint: &Endpoint) -> String {
    format!("api/{endpoint}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_back_survives_the_way_through_the_record() {
        let found = BTreeMap::from([("api/lb".to_owned(), BTreeMap::from([(7, 1031)]))]);
        let event = Event::WritesReadBack { through: "api/lb".into(), found, failure: None };
        let record = Record { at: Offset(5), event };
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record, "{text}");
    }
}
