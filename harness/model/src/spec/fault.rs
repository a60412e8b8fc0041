//! Steps of an experiment as they stand in YAML. One key names the step; the engine
//! has one file of the same name for each that breaks something.

use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    action::{Process, Signal, StaticPod, Unit},
    degrade::Limit,
    quantity::{Bitrate, Bytes, Frequency, Percent},
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
    /// All control-plane nodes.
    ControlPlanes,
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
            Target::ControlPlanes => f.write_str("all control planes"),
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

/// `slow:` holds back packets between a node and others, loses some, or lets them pass at no more than a bandwidth. It is
/// one of the two ways that is slow, so a round trip takes longer by the delay once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SlowFault {
    /// The node.
    pub on: Target,
    /// The other parties (default everybody; the node itself and its own pods are never meant).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peers: Option<Peers>,
    /// TCP ports on either side (default all packets): 2380 is etcd's for its peers, 6443 the API server's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<u16>,
    /// Held back for so long (default not at all).
    #[serde(default)]
    pub delay: Span,
    /// Give or take so much, uniformly (default nothing).
    #[serde(default)]
    pub jitter: Span,
    /// So many are lost (default none).
    #[serde(default)]
    pub loss: Percent,
    /// The rest passes at no more than this (default as fast as it can).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<Bitrate>,
    /// Let through again after this long.
    #[serde(rename = "for")]
    pub hold: Span,
}

/// `limit:` limits what one component's processes may use, by its control group; a container that is started anew
/// is limited as well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LimitFault {
    /// Whose processes.
    pub process: Process,
    /// On which node.
    pub on: Target,
    /// To what: at least one of `cpu`, `readIops`, `writeIops`, `readBytes`, `writeBytes`.
    pub to: Limit,
    /// Lifted after this long.
    #[serde(rename = "for")]
    pub hold: Span,
}

/// `fillEtcd:` writes into etcd until its quota is used up and the alarm is raised; afterwards frees it again by
/// deletion, compaction and defragmentation, and disarms the alarm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FillEtcd {
    /// Through the member of which node.
    pub on: Target,
    /// Freed after this long.
    #[serde(rename = "for")]
    pub hold: Span,
}

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum LoadVerb {
    /// All objects of the load's own namespace: 32 that stand, and what was created and not yet deleted.
    List,
    /// One object.
    Get,
    /// A watch of one object, ended after a second; its time is that until it is opened.
    Watch,
    /// A new object.
    Create,
    /// Another content for one of those that stand.
    Update,
    /// One that was created; where none is left, a request for one that is not there.
    Delete,
}

impl LoadVerb {
    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            LoadVerb::List => "list",
            LoadVerb::Get => "get",
            LoadVerb::Watch => "watch",
            LoadVerb::Create => "create",
            LoadVerb::Update => "update",
            LoadVerb::Delete => "delete",
        }
    }
}

/// A rate that grows by steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ramp {
    /// The first step's rate.
    pub from: Frequency,
    /// The last step's rate.
    pub to: Frequency,
    /// In so many steps of equal length, at least 2.
    pub steps: u32,
}

/// `load:` sends requests to the API servers on schedule, whatever the answers: a request that had to wait counts
/// from when it should have left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LoadStep {
    /// Which requests, with their weights.
    pub mix: BTreeMap<LoadVerb, u32>,
    /// So many a second from beginning to end …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Frequency>,
    /// … or by steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ramp: Option<Ramp>,
    /// Over so many kept connections, spread over the API servers (default 12).
    #[serde(default = "connections")]
    pub connections: u32,
    /// Each object's size (default 1Ki).
    #[serde(default = "object_size")]
    pub size: Bytes,
    /// A request that has no answer after this long is an error (default 10s).
    #[serde(default = "request_timeout")]
    pub timeout: Span,
    /// Ends after this long.
    #[serde(rename = "for")]
    pub hold: Span,
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
    /// A network made slow.
    Slow(SlowFault),
    /// A component's resources limited.
    Limit(LimitFault),
    /// etcd's quota used up.
    FillEtcd(FillEtcd),
    /// Requests for the API servers.
    Load(LoadStep),
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
            Step::Slow(_) => "slow",
            Step::Limit(_) => "limit",
            Step::FillEtcd(_) => "fillEtcd",
            Step::Load(_) => "load",
            Step::Wait(_) => "wait",
        }
    }

    /// True for steps that break something or put it under load; such a step needs evidence.
    #[must_use]
    pub fn is_fault(&self) -> bool {
        !matches!(self, Step::DeletePods(_) | Step::Wait(_))
    }

    /// Who is to be hit; none where the step hits no node.
    #[must_use]
    pub fn on(&self) -> Option<&Target> {
        match self {
            Step::Signal(fault) => Some(&fault.on),
            Step::StaticPod(fault) => Some(&fault.on),
            Step::Unit(fault) => Some(&fault.on),
            Step::Pause(fault) => Some(&fault.on),
            Step::Drop(fault) => Some(&fault.on),
            Step::KillContainer(fault) => Some(&fault.on),
            Step::Slow(fault) => Some(&fault.on),
            Step::Limit(fault) => Some(&fault.on),
            Step::FillEtcd(fault) => Some(&fault.on),
            Step::DeletePods(_) | Step::Load(_) | Step::Wait(_) => None,
        }
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
            Step::Slow(fault) => Some(fault.hold),
            Step::Limit(fault) => Some(fault.hold),
            Step::FillEtcd(fault) => Some(fault.hold),
            Step::Load(load) => Some(load.hold),
            Step::KillContainer(_) | Step::DeletePods(_) | Step::Wait(_) => None,
        }
    }
}

/// True for steps that the times of an experiment count from: faults, and loads where nothing else is broken.
#[must_use]
pub fn counts(steps: &[Step], step: &Step) -> bool {
    let load = |step: &Step| matches!(step, Step::Load(_));
    step.is_fault() && (!load(step) || !steps.iter().any(|other| other.is_fault() && !load(other)))
}

fn connections() -> u32 {
    12
}

fn object_size() -> Bytes {
    Bytes(1024)
}

fn request_timeout() -> Span {
    Span::seconds(10)
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
