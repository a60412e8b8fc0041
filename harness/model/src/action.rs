//! What can be done to a node, as data: a fault's actions and their undo are written
//! to the ledger before they are carried out, and any process can carry them out later.

use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    degrade::{EtcdSpace, Limit, Limited, SlowMeans, SlowRule, Slowed},
    time::Span,
};

/// A component's process, as a node's process table shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Process {
    /// The etcd member.
    Etcd,
    /// The API server.
    KubeApiserver,
    /// The controller-manager.
    KubeControllerManager,
    /// The scheduler.
    KubeScheduler,
    /// The kubelet.
    Kubelet,
    /// kube-proxy.
    KubeProxy,
    /// The container runtime.
    Containerd,
}

impl Process {
    /// The program's name. A kernel's `comm` shows only its first 15 characters.
    #[must_use]
    pub fn program(self) -> &'static str {
        match self {
            Process::Etcd => "etcd",
            Process::KubeApiserver => "kube-apiserver",
            Process::KubeControllerManager => "kube-controller-manager",
            Process::KubeScheduler => "kube-scheduler",
            Process::Kubelet => "kubelet",
            Process::KubeProxy => "kube-proxy",
            Process::Containerd => "containerd",
        }
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.program())
    }
}

/// A static pod of the control plane, named as its manifest in /etc/kubernetes/manifests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StaticPod {
    /// The etcd member.
    Etcd,
    /// The API server.
    KubeApiserver,
    /// The controller-manager.
    KubeControllerManager,
    /// The scheduler.
    KubeScheduler,
}

impl StaticPod {
    /// The pod's one process.
    #[must_use]
    pub fn process(self) -> Process {
        match self {
            StaticPod::Etcd => Process::Etcd,
            StaticPod::KubeApiserver => Process::KubeApiserver,
            StaticPod::KubeControllerManager => Process::KubeControllerManager,
            StaticPod::KubeScheduler => Process::KubeScheduler,
        }
    }
}

/// A systemd unit of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// `kubelet.service`.
    Kubelet,
    /// `containerd.service`.
    Containerd,
}

impl Unit {
    /// The unit's main process.
    #[must_use]
    pub fn process(self) -> Process {
        match self {
            Unit::Kubelet => Process::Kubelet,
            Unit::Containerd => Process::Containerd,
        }
    }
}

/// A signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Signal {
    /// Ends the process at once.
    Kill,
    /// Asks it to end.
    Term,
    /// Freezes it until CONT.
    Stop,
    /// Thaws it.
    Cont,
}

impl Signal {
    /// The name that `kill -s` takes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Signal::Kill => "KILL",
            Signal::Term => "TERM",
            Signal::Stop => "STOP",
            Signal::Cont => "CONT",
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SIG{}", self.name())
    }
}

/// Packets to drop on one node, both ways.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DropRule {
    /// Tells this rule from everybody else's: it stands in the rule's comment.
    pub tag: String,
    /// Addresses of the other party; none means everybody.
    pub peers: Vec<String>,
    /// TCP ports, on either side; none means all packets.
    pub ports: Vec<u16>,
}

/// One deed on one node. Each is idempotent where it is used as an undo.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", tag = "do")]
pub enum NodeAction {
    /// Send a signal to every process of a component, or to the one of that identity only.
    #[serde(rename_all = "camelCase")]
    Signal {
        /// The component.
        process: Process,
        /// What to send.
        signal: Signal,
        /// Only this very process (pid and start time): what an undo names, so that no stranger is hit.
        only: Option<ProcessId>,
    },
    /// Move a static pod's manifest aside, then SIGKILL its process where asked.
    #[serde(rename_all = "camelCase")]
    StaticPodHold {
        /// The pod.
        pod: StaticPod,
        /// Kill it rather than let the kubelet end it gently.
        kill: bool,
    },
    /// Move the manifest back by one rename; nothing where it is in place.
    #[serde(rename_all = "camelCase")]
    StaticPodRestore {
        /// The pod.
        pod: StaticPod,
    },
    /// `systemctl stop`.
    #[serde(rename_all = "camelCase")]
    UnitStop {
        /// The unit.
        unit: Unit,
    },
    /// `systemctl start`; nothing where it runs. Clears a start limit that was hit.
    #[serde(rename_all = "camelCase")]
    UnitStart {
        /// The unit.
        unit: Unit,
    },
    /// `systemctl restart`. A kubelet forgets the restart back-off of its containers with it, and they run on.
    #[serde(rename_all = "camelCase")]
    UnitRestart {
        /// The unit.
        unit: Unit,
    },
    /// Give a unit's `[Service]` section other settings by a drop-in below /run; what runs is not restarted.
    #[serde(rename_all = "camelCase")]
    UnitOverride {
        /// The unit.
        unit: Unit,
        /// As in `Restart=no`.
        settings: BTreeMap<String, String>,
    },
    /// Remove the drop-in, and start the unit where it does not run; nothing where there is none.
    #[serde(rename_all = "camelCase")]
    UnitOverrideRemove {
        /// The unit.
        unit: Unit,
    },
    /// Give flags of a static pod's command other values; its manifest is kept aside as it was.
    #[serde(rename_all = "camelCase")]
    ManifestArgs {
        /// The pod.
        pod: StaticPod,
        /// By flag without dashes, as in `leader-elect-lease-duration: 60s`.
        args: BTreeMap<String, String>,
    },
    /// Put the manifest back as it was before `ManifestArgs`; nothing where none is kept.
    #[serde(rename_all = "camelCase")]
    ManifestRestore {
        /// The pod.
        pod: StaticPod,
    },
    /// Look only: processes of a static pod that run with all of these flags.
    #[serde(rename_all = "camelCase")]
    RunsWith {
        /// The pod.
        pod: StaticPod,
        /// By flag without dashes.
        args: BTreeMap<String, String>,
    },
    /// Have the node itself carry out an undo after a time, even if nobody is left to ask for it.
    #[serde(rename_all = "camelCase")]
    DeadlineSet {
        /// Names it: letters, digits and `-`.
        id: String,
        /// From now.
        after: Span,
        /// What it then does.
        undo: Box<NodeAction>,
    },
    /// Call that off; nothing where it is gone or over.
    #[serde(rename_all = "camelCase")]
    DeadlineClear {
        /// Its name.
        id: String,
    },
    /// Look only: everything of the node that a fault may leave behind, a line each, in an order of its own.
    Survey,
    /// Freeze every process of the node.
    Pause,
    /// Thaw the node; nothing where it is not paused.
    Unpause,
    /// Drop packets.
    #[serde(rename_all = "camelCase")]
    DropAdd {
        /// Which.
        rule: DropRule,
    },
    /// Remove every rule of that tag; nothing where there is none.
    #[serde(rename_all = "camelCase")]
    DropRemove {
        /// The rule's tag.
        tag: String,
    },
    /// Send a signal to the workload's process inside the pod of that name.
    #[serde(rename_all = "camelCase")]
    SignalPod {
        /// The pod.
        pod: String,
        /// What to send.
        signal: Signal,
    },
    /// Look only: processes of a component.
    #[serde(rename_all = "camelCase")]
    Inspect {
        /// The component.
        process: Process,
    },
    /// Look only: packets that the rules of a tag have dropped.
    #[serde(rename_all = "camelCase")]
    DropCount {
        /// The rule's tag.
        tag: String,
    },
    /// Look only: is the node's container paused?
    InspectNode,
    /// Hold back packets between the node and others, in place of a rule of the same tag.
    #[serde(rename_all = "camelCase")]
    SlowAdd {
        /// Which, and how.
        rule: SlowRule,
        /// What holds them back ends by itself after this long, and then lets everything through.
        life: Span,
        /// Jitter and loss come from it, where the means lets them.
        seed: u64,
        /// By which means; none takes the best that the node has. The report says which it was.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<SlowMeans>,
    },
    /// Let them through again; nothing where no rule bears the tag.
    #[serde(rename_all = "camelCase")]
    SlowRemove {
        /// The rule's tag.
        tag: String,
    },
    /// Look only: what a slow rule has done so far.
    #[serde(rename_all = "camelCase")]
    SlowCount {
        /// The rule's tag.
        tag: String,
    },
    /// Look only: how long TCP handshakes from the node take, which says how late packets really are.
    #[serde(rename_all = "camelCase")]
    RoundTrips {
        /// With whom: `ADDRESS:PORT` of parties that listen.
        to: Vec<String>,
        /// How many with each, one after the other.
        times: u32,
    },
    /// Limit what a component's processes may use, those of a container that is started anew included.
    #[serde(rename_all = "camelCase")]
    LimitSet {
        /// The component.
        process: Process,
        /// To what.
        limit: Limit,
    },
    /// Give a component the limits back that it had before; nothing where none was set.
    #[serde(rename_all = "camelCase")]
    LimitClear {
        /// The component.
        process: Process,
    },
    /// Look only: what a component's limit has done so far.
    #[serde(rename_all = "camelCase")]
    LimitCount {
        /// The component.
        process: Process,
    },
    /// Write into etcd, through the node's own member, until its quota is used up and an alarm is raised.
    EtcdFill,
    /// Delete what `EtcdFill` wrote, compact, defragment every member in turn and disarm the alarm; nothing where
    /// nothing is left of it. One node does it for all members.
    EtcdFree,
    /// Look only: how full the node's member is.
    EtcdLook,
    /// Remove everything that a load made; nothing where nothing is left of it. One node does it for the cluster.
    LoadClear,
}

impl NodeAction {
    /// What it does, in words for people.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            NodeAction::Signal { process, signal, .. } => format!("{signal} to {process}"),
            NodeAction::StaticPodHold { pod, .. } => format!("holding down static pod {}", pod.process()),
            NodeAction::StaticPodRestore { pod } => format!("restoring static pod {}", pod.process()),
            NodeAction::UnitStop { unit } => format!("stopping {}.service", unit.process()),
            NodeAction::UnitStart { unit } => format!("starting {}.service", unit.process()),
            NodeAction::UnitRestart { unit } => format!("restarting {}.service", unit.process()),
            NodeAction::UnitOverride { unit, .. } => {
                format!("overriding settings of {}.service", unit.process())
            }
            NodeAction::UnitOverrideRemove { unit } => {
                format!("removing the override of {}.service", unit.process())
            }
            NodeAction::ManifestArgs { pod, .. } => format!("changing flags of static pod {}", pod.process()),
            NodeAction::ManifestRestore { pod } => {
                format!("restoring flags of static pod {}", pod.process())
            }
            NodeAction::RunsWith { pod, .. } => format!("looking at the flags of {}", pod.process()),
            NodeAction::DeadlineSet { id, undo, .. } => format!("setting deadline {id} for {}", undo.name()),
            NodeAction::DeadlineClear { id } => format!("clearing deadline {id}"),
            NodeAction::Survey => "surveying the node".into(),
            NodeAction::Pause => "pausing the node".into(),
            NodeAction::Unpause => "unpausing the node".into(),
            NodeAction::DropAdd { rule } => format!("adding packet filter {}", rule.tag),
            NodeAction::DropRemove { tag } => format!("removing packet filter {tag}"),
            NodeAction::SignalPod { pod, signal } => format!("{signal} to pod {pod}"),
            NodeAction::Inspect { process } => format!("looking for {process}"),
            NodeAction::DropCount { tag } => format!("counting packets of filter {tag}"),
            NodeAction::InspectNode => "looking at the node".into(),
            NodeAction::SlowAdd { rule, .. } => format!("holding back packets, rule {}", rule.tag),
            NodeAction::SlowRemove { tag } => format!("letting packets through again, rule {tag}"),
            NodeAction::SlowCount { tag } => format!("counting packets of rule {tag}"),
            NodeAction::RoundTrips { to, .. } => format!("timing handshakes with {}", to.join(", ")),
            NodeAction::LimitSet { process, .. } => format!("limiting {process}"),
            NodeAction::LimitClear { process } => format!("giving {process} its limits back"),
            NodeAction::LimitCount { process } => format!("looking at the limits of {process}"),
            NodeAction::EtcdFill => "filling etcd".into(),
            NodeAction::EtcdFree => "freeing etcd".into(),
            NodeAction::EtcdLook => "looking how full etcd is".into(),
            NodeAction::LoadClear => "removing what a load made".into(),
        }
    }
}

/// Is that a flag's name without its dashes?
#[must_use]
pub fn plain_flag(flag: &str) -> bool {
    !flag.is_empty() && flag.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') && !flag.starts_with('-')
}

/// Can a manifest take that as a flag's value without quotes? It must be a plain word of YAML.
#[must_use]
pub fn plain_value(value: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    value.chars().all(plain) && !value.ends_with(':')
}

/// Tells one process from a later one of the same number.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProcessId {
    /// Its number on the node.
    pub pid: u32,
    /// Field 22 of `/proc/<pid>/stat`: clock ticks from the machine's start to its own.
    pub started: u64,
}

/// One process of a component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProcessState {
    /// Which process.
    #[serde(rename = "process")]
    pub id: ProcessId,
    /// Field 3 of `/proc/<pid>/stat`: `T` when stopped.
    pub state: char,
}

/// What an action found or did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ActionReport {
    /// The component's processes: those that were signalled, limited, or seen by a look at them.
    pub processes: Vec<ProcessState>,
    /// Packets dropped so far (`DropCount`).
    pub packets: u64,
    /// The node is paused (`InspectNode`).
    pub paused: bool,
    /// Something was changed (an undo that found nothing to do says false).
    pub changed: bool,
    /// What `Survey` found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub survey: Vec<String>,
    /// By which of several means it was done, as in `systemd timer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub how: Option<String>,
    /// What a slow rule did (`SlowCount`, `SlowRemove`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slowed: Option<Slowed>,
    /// Handshakes that came about, shortest first (`RoundTrips`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub round_trips: Vec<Span>,
    /// A component's limits (`LimitSet`, `LimitCount`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limited: Option<Limited>,
    /// How full etcd is (`EtcdFill`, `EtcdFree`, `EtcdLook`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub space: Option<EtcdSpace>,
}

/// What a cluster's nodes let be done; a fault names what it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Capability {
    /// Signals to a component's process.
    Signal,
    /// Static pod manifests can be moved.
    StaticPods,
    /// systemd runs the node's services.
    Systemd,
    /// A whole node can be paused.
    Pause,
    /// Packets can be dropped by rule.
    PacketFilter,
    /// etcd can be asked directly.
    EtcdAccess,
    /// The API servers record who writes, by instance.
    AuditLog,
    /// Packets can be held back, by netem or by NFQUEUE.
    SlowNetwork,
    /// A component's processor time can be limited by its control group.
    CpuLimit,
    /// A component's reads and writes can be limited by its control group.
    IoLimit,
    /// Controller-managers and schedulers let their metrics be read from outside of their nodes.
    Metrics,
}
