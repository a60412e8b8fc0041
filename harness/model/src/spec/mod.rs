//! Suite files: what users write.

mod assertion;
mod builtin;
mod check;
pub mod control;
mod control_load;
mod fault;
mod load;
mod needs;
mod probes;

pub use assertion::{
    Assertion, ComesBack, Gap, HoldsUpTo, MetricMoves, Milestone, Nothing, Part, Pattern, Share, Side, Since,
    Slowdown, When, Within,
};
pub use builtin::{SUITES, builtin};
pub use control_load::{CONTROLS, controls, load_control};
pub use fault::{
    DeletePods, DropFault, FillEtcd, KillContainer, LimitFault, LoadStep, LoadVerb, PauseFault, Peers, Ramp,
    SignalFault, SlowFault, StaticPodFault, Step, Target, UnitFault, counts,
};
pub use load::load;
pub use needs::{Requirements, requirements};
pub use probes::{ProbeSpecs, Rate, RateSpec};

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{action::StaticPod, time::Span};

/// The value of `apiVersion` that this version reads.
pub const API_VERSION: &str = "recoup/v1";

/// An experiment's file: suites/AREA/EXPERIMENT.yaml.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExperimentFile {
    /// `recoup/v1`.
    pub api_version: String,
    /// `Experiment`.
    pub kind: String,
    /// Its name.
    pub metadata: Metadata,
    /// What it does.
    pub spec: ExperimentSpec,
}

/// An experiment's name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metadata {
    /// `area/experiment`, as in the file's path.
    pub name: String,
}

/// What an experiment does and expects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExperimentSpec {
    /// What is believed to hold, in one or two sentences.
    pub hypothesis: String,
    /// The cluster profile to run on: a file of clusters/profiles.
    pub profile: String,
    /// The workload that runs beside.
    #[serde(default)]
    pub workload: WorkloadSpec,
    /// Changes to the default probes.
    #[serde(default)]
    pub probes: ProbeSpecs,
    /// Flags of static pods that have other values on every control plane for as long as the experiment lasts, as in
    /// `kube-controller-manager: {leader-elect-lease-duration: 30s}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub flags: Flags,
    /// Undisturbed probing before the first step (default 10s).
    #[serde(default = "default_baseline")]
    pub baseline: Span,
    /// How long everything must be good to count as recovered (default 3s).
    #[serde(default = "default_stable")]
    pub stable: Span,
    /// Observation ends this long after the last undo at the latest (default 1m); sooner once every milestone has come.
    #[serde(default = "default_observe")]
    pub observe: Span,
    /// Milestones of every variant, before its own.
    #[serde(default)]
    pub milestones: Vec<Milestone>,
    /// Assertions of every variant, before its own.
    #[serde(default)]
    pub assertions: Vec<Assertion>,
    /// The variants: at least one. A single one may be called `default` and then adds nothing to the id.
    pub variants: Vec<Variant>,
}

/// The workload that runs beside an experiment: recoup's own HTTP server, as a Deployment with a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkloadSpec {
    /// Pods (default 2), spread over the workers.
    #[serde(default = "default_replicas")]
    pub replicas: u32,
    /// `tolerationSeconds` for not-ready and unreachable nodes, in place of Kubernetes' 300.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub toleration_seconds: Option<u32>,
}

impl Default for WorkloadSpec {
    fn default() -> Self {
        WorkloadSpec { replicas: default_replicas(), toleration_seconds: None }
    }
}

/// Values of flags, by static pod and flag without dashes.
pub type Flags = BTreeMap<StaticPod, BTreeMap<String, String>>;

/// One way to break the same thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Variant {
    /// Its name: lower-case letters, digits and `-`.
    pub name: String,
    /// Runs in the quick set.
    #[serde(default)]
    pub smoke: bool,
    /// Its own flags, beside and before the common ones.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub flags: Flags,
    /// What is done.
    pub steps: Vec<Step>,
    /// Its own milestones; one of the same name as a common one takes its place.
    #[serde(default)]
    pub milestones: Vec<Milestone>,
    /// Its own assertions.
    #[serde(default)]
    pub assertions: Vec<Assertion>,
}

fn default_baseline() -> Span {
    Span::seconds(10)
}

fn default_stable() -> Span {
    Span::seconds(3)
}

fn default_observe() -> Span {
    Span::seconds(60)
}

fn default_replicas() -> u32 {
    2
}
