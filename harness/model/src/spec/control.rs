//! Controls: clusters and harnesses broken on purpose, each with the experiment that must notice it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Metadata, Within};
use crate::{
    action::{Process, StaticPod, Unit},
    plan::Plan,
    time::Span,
    topology::ProviderKind,
    verdict::Verdict,
};

/// A control's file: suites/controls/NAME.yaml.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ControlFile {
    /// `recoup/v1`.
    pub api_version: String,
    /// `Control`.
    pub kind: String,
    /// Its name: `controls/NAME`, as in the file's path.
    pub metadata: Metadata,
    /// What is broken, and who must notice.
    pub spec: ControlSpec,
}

/// What is broken on purpose, which experiment is run on it, and what that must come to.
///
/// The same experiment with the same budgets passes where the defect is left out, or comes to what
/// `expect.without` says: a test runs both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ControlSpec {
    /// What must be noticed, in a sentence.
    pub why: String,
    /// The experiment that must notice it, by its id: a built-in one, or one of suites/controls/experiments.
    pub experiment: String,
    /// Where it can be run: `sim` always; `kind` where the defect is a cluster's, or where real evidence or a real
    /// load must tell of the harness'.
    pub on: Vec<ProviderKind>,
    /// Belongs to the quick set on a real cluster.
    #[serde(default)]
    pub smoke: bool,
    /// What is broken.
    pub defect: Defect,
    /// Budgets in place of the experiment's own, by milestone: a duration, `predicted` or `none`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub budgets: BTreeMap<String, Within>,
    /// How long is observed, in place of the experiment's own `observe`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observe: Option<Span>,
    /// What the experiment must come to.
    pub expect: Expect,
}

/// The verdict that a control must get, for the right reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expect {
    /// `fail` or `inconclusive`; `pass` only for the counter-check of another control.
    pub verdict: Verdict,
    /// The verdict on a real cluster where it differs: what a real cluster's set-up mends, it may pass after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_kind: Option<Verdict>,
    /// The verdict on the simulation where the defect is left out: `pass`, unless the defect is what excuses a failure.
    #[serde(default = "pass", skip_serializing_if = "is_pass")]
    pub without: Verdict,
    /// Stands in one of the verdict's reasons or, for what was noticed and dealt with, in the result's notes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// The same on a real cluster where that finds and says it otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because_on_kind: Option<String>,
}

fn pass() -> Verdict {
    Verdict::Pass
}

fn is_pass(verdict: &Verdict) -> bool {
    *verdict == Verdict::Pass
}

impl Expect {
    /// The verdict that is due with that provider.
    #[must_use]
    pub fn with(&self, provider: ProviderKind) -> Verdict {
        match provider {
            ProviderKind::Kind => self.on_kind.unwrap_or(self.verdict),
            ProviderKind::Sim => self.verdict,
        }
    }

    /// What must be said with that provider; none where anything may be.
    #[must_use]
    pub fn reason(&self, provider: ProviderKind) -> Option<&str> {
        let on_kind = self.because_on_kind.as_ref().filter(|_| provider == ProviderKind::Kind);
        on_kind.or(self.because.as_ref()).map(String::as_str)
    }
}

/// What is broken: the cluster, or the harness.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Defect {
    /// Something about the cluster's nodes.
    Cluster(ClusterDefect),
    /// Something about the harness: what it does to nodes, or what it sees, is tampered with on the way.
    Harness(HarnessDefect),
}

/// A defect of the cluster's nodes. Its undo is in a ledger before it is put in place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterDefect {
    /// From when it is there.
    pub from: Onset,
    /// Where.
    pub on: Where,
    /// What.
    pub what: Deed,
}

/// From when a cluster's defect is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Onset {
    /// Before the harness first looks at the cluster, which then settles; to the end of the experiment.
    Start,
    /// Before the workload is put in place; to the end of the experiment.
    Workload,
    /// From just before the first fault is injected, until the experiment is over and the cluster's health is looked at.
    Fault,
}

/// On which nodes a cluster's defect is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Where {
    /// All control planes.
    ControlPlanes,
    /// All workers.
    Workers,
    /// The first worker.
    Worker,
    /// The control planes that do not hold the named Lease.
    StandbysOf(String),
    /// The node that the first fault hits.
    Hit,
    /// The workers that the first fault does not hit.
    OtherWorkers,
}

/// What is wrong with a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Deed {
    /// A static pod runs with other flags.
    Flags(Flags),
    /// A unit has other settings in its `[Service]` section.
    UnitSettings(UnitSettings),
    /// A static pod is held down.
    StaticPodDown(StaticPod),
    /// A unit is stopped.
    UnitDown(Unit),
    /// A component's process is frozen.
    Frozen(Process),
    /// Packets from and to the other control planes are dropped on these ports.
    Dropped(Vec<u16>),
    /// The workload's process on the node, once killed and back, freezes again and again.
    Flapping(Flapping),
}

/// The settings of `flags`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Flags {
    /// Whose.
    pub pod: StaticPod,
    /// By flag without dashes, as in `leader-elect-lease-duration: 60s`.
    pub args: BTreeMap<String, String>,
}

/// The settings of `unitSettings`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UnitSettings {
    /// Whose.
    pub unit: Unit,
    /// As in `Restart: "no"`.
    pub settings: BTreeMap<String, String>,
}

/// The settings of `flapping`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Flapping {
    /// It serves for this long, first and each time …
    pub up: Span,
    /// … and is frozen for this long.
    pub down: Span,
    /// Given up after this long: it then serves for good.
    pub lasts: Span,
}

/// A defect of the harness.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum HarnessDefect {
    /// Signals that break something go to this component's process instead.
    OtherProcess(Process),
    /// Packet filters and slow rules are made for this port instead.
    OtherPort(u16),
    /// Limits are set for this component's control group instead.
    OtherCgroup(Process),
    /// Every fault is undone this long after its injection, behind the harness' back.
    EndsEarly(Span),
    /// No undo is carried out, and each is said to be.
    UndoSwallowed,
    /// Of each stream's attempts only every so manieth is made; the observer loses the others.
    Throttled(u64),
    /// Of a load's requests only every so manieth leaves: its generator cannot keep its schedule.
    ThrottledLoad(u64),
    /// After the fault, the nodes that it hit are seen with another address.
    OtherAddress,
    /// One write that was acknowledged while the fault lasted is not found when all are read back through API servers.
    LostApiWrite,
    /// One write that was acknowledged while the fault lasted is not found when all are read back through members.
    LostEtcdWrite,
    /// Every watcher misses one change.
    MissedChange,
    /// Every watcher is told one change twice.
    RepeatedChange,
    /// The instances of that component do not answer when they are asked for their metrics.
    SilentMetrics(StaticPod),
    /// Others use almost all of the nodes' machine, so that whatever comes late may be late because of them.
    CrowdedMachine,
    /// The instance that held the named Lease when the fault was injected writes once more after another has taken it.
    LateWrite(String),
}

/// A control that was read, checked and resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// Its name without `controls/`.
    pub name: String,
    /// What its file says.
    pub spec: ControlSpec,
    /// The experiment with the control's budgets.
    pub plan: Plan,
}
