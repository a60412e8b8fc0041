//! Steps of an experiment as they stand in YAML. One key names the step; the engine
//! has one file of the same name for each that breaks something.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    action::{Process, Signal, StaticPod, Unit},
    time::Span,
};

/// Who is hit, found when the step begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Target {
    /// The node whose etcd member leads.
    RaftLeader,
    /// A node whose etcd member follows.
    RaftFollower,
    /// The node whose component holds the named Lease.
    LeaseHolder(String),
    /// A control-plane node, by the run's seed.
    ControlPlane,
    /// A worker, by the run's seed.
    Worker,
    /// A worker that runs a pod of the workload.
    WorkloadNode,
    /// The node of that name.
    Node(String),
    /// The nodes that an earlier step of this variant hit, counted from 1.
    SameAs(u32),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::RaftLeader => f.write_str("the raft leader"),
            Target::RaftFollower => f.write_str("a raft follower"),
            Target::LeaseHolder(lease) => write!(f, "the holder of the lease {lease}"),
            Target::ControlPlane => f.write_str("a control plane, by the seed"),
            Target::Worker => f.write_str("a worker, by the seed"),
            Target::WorkloadNode => f.write_str("a worker that runs the workload"),
            Target::Node(name) => write!(f, "the node {name}"),
            Target::SameAs(step) => write!(f, "the nodes of step {step}"),
        }
    }
}

/// `signal:` sends a signal to a component's process on the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SignalFault {
    /// Whose process.
    pub process: Process,
    /// On which node.
    pub on: Target,
    /// KILL, TERM or STOP.
    pub signal: Signal,
    /// STOP only: thawed after this long.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub hold: Option<Span>,
    /// How often, each time on the process that came back (default once).
    #[serde(default = "once", skip_serializing_if = "is_once")]
    pub times: u32,
    /// Between the return of the process and the next signal (default none).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Span>,
}

/// `staticPod:` moves a static pod's manifest aside and ends its process, and puts it back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StaticPodFault {
    /// Which pod.
    pub pod: StaticPod,
    /// On which nodes.
    pub on: Target,
    /// On how many such nodes (default 1).
    #[serde(default = "once", skip_serializing_if = "is_once")]
    pub count: u32,
    /// Put back after this long.
    #[serde(rename = "for")]
    pub hold: Span,
    /// SIGKILL the process (default); else its kubelet ends it gently.
    #[serde(default = "yes")]
    pub kill: bool,
}

/// `unit:` stops a systemd unit and starts it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UnitFault {
    /// Which unit.
    pub unit: Unit,
    /// On which node.
    pub on: Target,
    /// Started again after this long.
    #[serde(rename = "for")]
    pub hold: Span,
}

/// `pause:` freezes a whole node, and thaws it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PauseFault {
    /// Which node.
    pub on: Target,
    /// Thawed after this long.
    #[serde(rename = "for")]
    pub hold: Span,
}

/// `drop:` drops packets between a node and named parties.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DropFault {
    /// The node whose packets are dropped, both ways.
    pub on: Target,
    /// The other parties (default everybody).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peers: Option<Peers>,
    /// TCP ports on either side (default all packets).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<u16>,
    /// Removed after this long.
    #[serde(rename = "for")]
    pub hold: Span,
}

/// Parties of a packet filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Peers {
    /// The other control-plane nodes.
    ControlPlanes,
    /// All other nodes.
    Nodes,
}

/// `killContainer:` SIGKILLs the workload's process in one of its pods, on the node, without the API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KillContainer {
    /// On which node.
    pub on: Target,
}

/// `deletePods:` asks the API to delete pods of the workload, again and again until it agrees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeletePods {
    /// How many of them (default 1); more than there are means all.
    #[serde(default = "once", skip_serializing_if = "is_once")]
    pub count: u32,
    /// Given up after this long.
    pub within: Span,
}

/// One step. Steps begin one after the other; `for:` runs on in the background, `wait:` holds the next step back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Step {
    /// A signal to a component's process.
    Signal(SignalFault),
    /// A static pod held down.
    StaticPod(StaticPodFault),
    /// A systemd unit stopped.
    Unit(UnitFault),
    /// A node paused.
    Pause(PauseFault),
    /// Packets dropped.
    Drop(DropFault),
    /// A container of the workload killed.
    KillContainer(KillContainer),
    /// Pods of the workload deleted through the API.
    DeletePods(DeletePods),
    /// A pause before the next step.
    Wait(Span),
}

impl Step {
    /// The step's key in YAML.
    #[must_use]
    pub fn key(&self) -> &'static str {
        match self {
            Step::Signal(_) => "signal",
            Step::StaticPod(_) => "staticPod",
            Step::Unit(_) => "unit",
            Step::Pause(_) => "pause",
            Step::Drop(_) => "drop",
            Step::KillContainer(_) => "killContainer",
            Step::DeletePods(_) => "deletePods",
            Step::Wait(_) => "wait",
        }
    }

    /// True for steps that break something on a node; such a step needs evidence.
    #[must_use]
    pub fn is_fault(&self) -> bool {
        !matches!(self, Step::DeletePods(_) | Step::Wait(_))
    }

    /// How long the step lasts in the background before it is undone.
    #[must_use]
    pub fn hold(&self) -> Option<Span> {
        match self {
            Step::Signal(fault) => fault.hold,
            Step::StaticPod(fault) => Some(fault.hold),
            Step::Unit(fault) => Some(fault.hold),
            Step::Pause(fault) => Some(fault.hold),
            Step::Drop(fault) => Some(fault.hold),
            Step::KillContainer(_) | Step::DeletePods(_) | Step::Wait(_) => None,
        }
    }
}

fn once() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
fn is_once(times: &u32) -> bool {
    *times == 1
}

fn yes() -> bool {
    true
}
