//! Results: what was measured, with its error bound, and what follows from it.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    load::LoadResult,
    machine::MachineUse,
    metrics::MetricMove,
    parts::{PartResult, PartSpan},
    plan::Earlier,
    predict::Prediction,
    repetition::Repetition,
    spec::{Flags, Milestone, Since, Within},
    time::{Offset, Span},
};

/// What an experiment or an assertion came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// The fault took effect and every condition held.
    Pass,
    /// It was not run; the reason says why.
    Skipped,
    /// No verdict on the cluster: no evidence of the fault, too little data, or the harness failed.
    Inconclusive,
    /// The fault took effect and a condition did not hold.
    Fail,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Pass => "PASS",
            Verdict::Skipped => "SKIPPED",
            Verdict::Inconclusive => "INCONCLUSIVE",
            Verdict::Fail => "FAIL",
        })
    }
}

/// The length of an interval, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "is")]
pub enum Measure {
    /// It ended: `value` by the samples, the true one between `low` and `high`.
    Measured {
        /// From the interval's start to the sample that showed its end.
        value: Span,
        /// The truth is no less.
        low: Span,
        /// The truth is no more.
        high: Span,
    },
    /// Nothing to measure: no attempt failed, so an outage was shorter than `resolution` or there was none.
    NotSeen {
        /// The longest time between two good answers.
        resolution: Span,
    },
    /// It had not ended when observation did: longer than this.
    Censored {
        /// From the interval's start to the end of observation.
        more_than: Span,
    },
    /// It could not be measured; the assertion's detail says why.
    Unknown,
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |span: &Span| span.0.as_secs_f64();
        match self {
            Measure::Measured { value, low, high } => {
                write!(f, "{:.2} s (true {:.2} to {:.2})", seconds(value), seconds(low), seconds(high))
            }
            Measure::NotSeen { resolution } => {
                write!(f, "not seen (shorter than {:.2} s)", seconds(resolution))
            }
            Measure::Censored { more_than } => {
                write!(f, "more than {:.1} s (never came)", seconds(more_than))
            }
            Measure::Unknown => f.write_str("unknown"),
        }
    }
}

/// One milestone of the waterfall, as it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Interval {
    /// What was asked.
    pub milestone: Milestone,
    /// The run's offset from which it is counted.
    pub from: Offset,
    /// In which interval it had to come by the cluster's settings, where there is a formula.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prediction: Option<Prediction>,
    /// How long it took.
    pub measure: Measure,
    /// Against its budget; Pass where it has none and was measured.
    pub verdict: Verdict,
    /// In words.
    pub detail: String,
}

impl Interval {
    /// Where the interval's start lies: shorthand for the milestone's own.
    #[must_use]
    pub fn since(&self) -> Since {
        self.milestone.since
    }

    /// The latest allowed: the budget that was given, or the predicted interval's end.
    #[must_use]
    pub fn budget(&self) -> Option<Span> {
        match self.milestone.within? {
            Within::Span(span) => Some(span),
            Within::Predicted => self.prediction.as_ref().map(|prediction| prediction.high),
            Within::Unlimited => None,
        }
    }
}

/// One assertion, as it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Checked {
    /// Its name, as in `gap api/write/lb/reused`.
    pub name: String,
    /// What it came to.
    pub verdict: Verdict,
    /// In words, with the figures.
    pub detail: String,
    /// The figure that decided, where there is one.
    pub measure: Option<Measure>,
}

/// A time during which a stream's attempts failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Outage {
    /// When the first failing attempt was sent.
    pub from: Offset,
    /// When the first good answer after it came; none while it lasted.
    pub to: Option<Offset>,
    /// The true start lies between the last good attempt before and the moment at which the first failing one had failed
    /// or was slow.
    pub start_low: Offset,
    /// See `start_low`.
    pub start_high: Offset,
    /// The true end lies between the sending of the last failing attempt and `to`.
    pub end_low: Offset,
    /// Failed attempts.
    pub failed: u64,
    /// Why, with how often: most frequent first.
    pub reasons: Vec<(String, u64)>,
    /// The best estimate of the true start, between `start_low` and `start_high`; see [`crate::outage`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub likely_start: Option<Offset>,
    /// The best estimate of the true end, between `end_low` and `to`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub likely_end: Option<Offset>,
}

impl Outage {
    /// When it most likely began.
    #[must_use]
    pub fn start(&self) -> Offset {
        self.likely_start.unwrap_or(self.from)
    }

    /// When it most likely ended; none while it lasted.
    #[must_use]
    pub fn end(&self) -> Option<Offset> {
        self.to.map(|to| self.likely_end.unwrap_or(to))
    }

    /// How long it most likely lasted; until `now` where it did not end.
    #[must_use]
    pub fn length(&self, now: Offset) -> std::time::Duration {
        self.end().unwrap_or(now).since(self.start())
    }
}

/// A stream's summary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StreamResult {
    /// The stream.
    pub name: String,
    /// Its period.
    pub period: Span,
    /// Attempts that count.
    pub attempts: u64,
    /// Failed ones.
    pub failed: u64,
    /// Attempts that the observer lost.
    pub lost: u64,
    /// Median time of a good answer in the baseline.
    pub p50: Option<Span>,
    /// 99th percentile likewise.
    pub p99: Option<Span>,
    /// All outages, in order.
    pub outages: Vec<Outage>,
    /// How long answers took before, during and after the fault, as far as there was such a time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<PartResult>,
}

/// One thing that has a value at every moment, as in `holder of kube-scheduler`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StateLane {
    /// What it is.
    pub name: String,
    /// Its values, in order, without overlap; where nothing was known there is a hole.
    pub spans: Vec<StateSpan>,
}

/// A time during which a value stayed the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StateSpan {
    /// First sample that said so.
    pub from: Offset,
    /// First sample that said otherwise, or the last one.
    pub to: Offset,
    /// The value.
    pub value: String,
}

/// A fault as it was: a band in the timeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Band {
    /// The step.
    pub step: u32,
    /// The step's key.
    pub key: String,
    /// In words.
    pub description: String,
    /// The nodes hit.
    pub targets: Vec<String>,
    /// Its first action took effect no later than this.
    pub from: Offset,
    /// Undone by then; none where nothing is undone (a kill).
    pub to: Option<Offset>,
    /// The evidence: check, whether it held, what was seen.
    pub evidence: Vec<(String, bool, String)>,
}

/// An experiment's result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExperimentResult {
    /// The experiment's id.
    pub id: String,
    /// Which repetition it is, from 1.
    #[serde(default = "first")]
    pub trial: u32,
    /// The tries before this one, none of which came to a verdict on the cluster.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Earlier>,
    /// What was believed.
    pub hypothesis: String,
    /// What it came to.
    pub verdict: Verdict,
    /// Why, where it did not pass; each a sentence.
    pub reasons: Vec<String>,
    /// From a model: proves nothing about a cluster.
    pub simulated: bool,
    /// When the baseline began.
    pub started: Offset,
    /// When observation ended.
    pub ended: Offset,
    /// The faults.
    pub bands: Vec<Band>,
    /// The waterfall.
    pub intervals: Vec<Interval>,
    /// The other conditions.
    pub assertions: Vec<Checked>,
    /// What must hold in every experiment, whatever its times say: no acknowledged write lost, no watcher that
    /// missed a change, no two lease holders acting at once.
    #[serde(default)]
    pub oracles: Vec<Checked>,
    /// Every point of view.
    pub streams: Vec<StreamResult>,
    /// What the cluster said of itself over time: raft leader, lease holders, nodes' Ready conditions.
    pub states: Vec<StateLane>,
    /// From when to when its parts lasted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<PartSpan>,
    /// The streams that its conditions are read from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decisive: Vec<String>,
    /// What the components said of themselves: those metrics that moved first, the strongest before the others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<MetricMove>,
    /// Flags of static pods that had other values than the cluster's own.
    #[serde(default, skip_serializing_if = "Flags::is_empty")]
    pub flags: Flags,
    /// What loads came to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub loads: Vec<LoadResult>,
    /// Who used the machine of the cluster's nodes, where that can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<MachineUse>,
    /// What was found and mended before.
    pub notes: Vec<String>,
}

fn first() -> u32 {
    1
}

/// `results.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RunResult {
    /// [`crate::event::FORMAT`].
    pub format: u32,
    /// The run.
    pub run: String,
    /// recoup's version.
    pub recoup: String,
    /// Wall time of the start.
    pub started: String,
    /// The seed.
    pub seed: u64,
    /// From a model: proves nothing about a cluster.
    pub simulated: bool,
    /// The clusters it ran on, in order.
    pub clusters: Vec<crate::topology::Fingerprint>,
    /// The experiments, in order.
    pub experiments: Vec<ExperimentResult>,
    /// What experiments of more than one trial came to together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repetitions: Vec<Repetition>,
    /// It was interrupted or the record is cut.
    pub incomplete: bool,
    /// What the harness itself used.
    pub overhead: Option<Overhead>,
}

/// What the harness used while it probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Overhead {
    /// Processor time per thousand of one core, from the first baseline to the last recovery.
    pub cpu_permille: u32,
    /// The largest resident memory, in KiB.
    pub rss_kib: u64,
}

impl RunResult {
    /// The worst verdict; Skipped where there is no experiment.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let ran = self.experiments.iter().map(|e| e.verdict).filter(|v| *v != Verdict::Skipped);
        ran.max().unwrap_or(Verdict::Skipped)
    }
}
