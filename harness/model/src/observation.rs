//! What a probe asks of a cluster, what it may be told, and how it may fail.
//!
//! An [`Observation`] is one attempt at one question from one point of view. It
//! never retries and never hides which instance answered.

use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::action::StaticPod;

/// Which API server a request goes to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Endpoint {
    /// The load balancer, or the only API server where there is none.
    Lb,
    /// The API server of the named control-plane node, by that node's own address.
    Node(String),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Endpoint::Lb => "lb",
            Endpoint::Node(node) => node,
        })
    }
}

/// Whether a request opens its own connection: the two see outages of different length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Conn {
    /// A new TCP and TLS connection with HTTP/1.1, closed after the answer.
    New,
    /// One kept HTTP/2 connection with client-go's health check (ping after 30 s of silence, given up 15 s later).
    /// Through the load balancer quorum reads, cached reads and writes keep one each, so that each may be with
    /// another API server.
    Reused,
}

/// How fresh a read must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Freshness {
    /// A quorum read, which etcd must answer.
    Linearizable,
    /// `resourceVersion=0`: the API server may answer from its watch cache.
    Cache,
}

/// Where a request for the workload goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Route {
    /// Straight to the pod that ran on the node when the experiment began: no kube-proxy in the way.
    Pod,
    /// To the Service's cluster address, as kube-proxy on that node has programmed it.
    Service,
}

/// A component that answers a health check on its node's own port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HealthPort {
    /// The kubelet's `healthz`, port 10248 of the loopback address.
    Kubelet,
    /// kube-proxy's `healthz`, port 10256.
    KubeProxy,
}

impl HealthPort {
    /// The component's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            HealthPort::Kubelet => "kubelet",
            HealthPort::KubeProxy => "kube-proxy",
        }
    }

    /// The port, on the node's loopback address.
    #[must_use]
    pub fn port(self) -> u16 {
        match self {
            HealthPort::Kubelet => 10248,
            HealthPort::KubeProxy => 10256,
        }
    }
}

/// Slots of a stream of [`Observation::ApiWrite`]. With ten attempts a second none is written twice within six
/// minutes, so that a write that was lost is not hidden by a later one.
pub const SLOTS: u64 = 4096;

/// One question from one point of view.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Observation {
    /// Read one small object.
    #[serde(rename_all = "camelCase")]
    ApiRead {
        /// Which API server.
        via: Endpoint,
        /// New or kept connection.
        conn: Conn,
        /// Quorum read or cache.
        from: Freshness,
    },
    /// Write a number into slot `n %` [`SLOTS`] of this stream's own ConfigMaps; `n` counts up by one per attempt.
    #[serde(rename_all = "camelCase")]
    ApiWrite {
        /// Which API server.
        via: Endpoint,
        /// New or kept connection.
        conn: Conn,
    },
    /// Ask one member for its status: who leads, which term.
    #[serde(rename_all = "camelCase")]
    EtcdStatus {
        /// The member's node.
        member: String,
    },
    /// A linearizable put through one member, under `/recoup/`; the key is the attempt's number.
    #[serde(rename_all = "camelCase")]
    EtcdPut {
        /// The member's node.
        member: String,
    },
    /// Read a component's Lease in kube-system through the API servers in turn (attempt `n` asks number `n` modulo their count).
    #[serde(rename_all = "camelCase")]
    Lease {
        /// The lease's name: `kube-controller-manager` or `kube-scheduler`.
        name: String,
    },
    /// List the nodes with their Ready condition and taints, through the API servers in turn.
    Nodes,
    /// List the workload's pods, through the API servers in turn.
    Pods,
    /// Scale a small Deployment between none and one, and wait until its status agrees (created and ready, or gone).
    Converge,
    /// Create a pod and wait until a scheduler has given it a node.
    Schedule,
    /// How often a node's kubelet has renewed its Lease: the revision of the Lease's key, asked of the etcd members
    /// in turn, so that it shows with the API servers down.
    #[serde(rename_all = "camelCase")]
    NodeLease {
        /// The node.
        node: String,
    },
    /// An HTTP request for the workload, sent from the named node's own network.
    #[serde(rename_all = "camelCase")]
    Workload {
        /// The node that asks.
        from: String,
        /// The way to the workload.
        to: Route,
    },
    /// What a component of the control plane says of itself: the selected series of its own `/metrics`
    /// (see [`crate::metrics`]).
    #[serde(rename_all = "camelCase")]
    Metrics {
        /// The component.
        component: StaticPod,
        /// The node of the instance.
        node: String,
    },
    /// A component's own health check, asked on its node.
    #[serde(rename_all = "camelCase")]
    Health {
        /// The node.
        node: String,
        /// The component.
        component: HealthPort,
    },
}

impl Observation {
    /// An attempt takes as long as the cluster needs for a piece of work on one object: the next waits for its end.
    #[must_use]
    pub fn unscheduled(&self) -> bool {
        matches!(self, Observation::Converge | Observation::Schedule)
    }

    /// The stream's name, as patterns in suites match it: segments parted by `/`.
    ///
    /// `api/read/<endpoint>/<conn>`, `api/cached/…`, `api/write/…`, `etcd/status/<node>`,
    /// `etcd/put/<node>`, `lease/<name>`, `nodelease/<node>`, `nodes`, `pods`, `converge`, `schedule`,
    /// `workload/pod/<node>`, `workload/service/<node>`, `health/<component>/<node>`,
    /// `metrics/<component>/<node>`.
    #[must_use]
    pub fn stream(&self) -> String {
        let word = |conn: &Conn| match conn {
            Conn::New => "new",
            Conn::Reused => "reused",
        };
        match self {
            Observation::ApiRead { via, conn, from: Freshness::Linearizable } => {
                format!("api/read/{via}/{}", word(conn))
            }
            Observation::ApiRead { via, conn, from: Freshness::Cache } => {
                format!("api/cached/{via}/{}", word(conn))
            }
            Observation::ApiWrite { via, conn } => format!("api/write/{via}/{}", word(conn)),
            Observation::EtcdStatus { member } => format!("etcd/status/{member}"),
            Observation::EtcdPut { member } => format!("etcd/put/{member}"),
            Observation::Lease { name } => format!("lease/{name}"),
            Observation::Nodes => "nodes".into(),
            Observation::Pods => "pods".into(),
            Observation::Converge => "converge".into(),
            Observation::Schedule => "schedule".into(),
            Observation::NodeLease { node } => format!("nodelease/{node}"),
            Observation::Workload { from, to: Route::Pod } => format!("workload/pod/{from}"),
            Observation::Workload { from, to: Route::Service } => format!("workload/service/{from}"),
            Observation::Metrics { component, node } => format!("metrics/{}/{node}", component.process()),
            Observation::Health { node, component } => format!("health/{}/{node}", component.name()),
        }
    }
}

/// A node's state as the API tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeState {
    /// The node.
    pub name: String,
    /// `True`, `False` or `Unknown`.
    pub ready: String,
    /// Keys of its taints with their effect, as in `node.kubernetes.io/unreachable:NoExecute`, sorted.
    pub taints: Vec<String>,
}

/// A pod of the workload as the API tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodState {
    /// The pod.
    pub name: String,
    /// Where it runs; none while unscheduled.
    pub node: Option<String>,
    /// Its address; none before it has one.
    pub ip: Option<String>,
    /// Its Ready condition.
    pub ready: bool,
    /// Marked for deletion, though perhaps still there.
    pub deleting: bool,
    /// Restarts of its container.
    pub restarts: u32,
}

/// What a successful observation was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Observed {
    /// It answered, and nothing more is of interest.
    Answered,
    /// A write was acknowledged.
    #[serde(rename_all = "camelCase")]
    Acknowledged {
        /// The attempt's number.
        number: u64,
        /// The revision that the write made, where the answer said it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        revision: Option<u64>,
    },
    /// A Lease's key was last written with that revision.
    #[serde(rename_all = "camelCase")]
    Renewed {
        /// etcd's modification revision of the key.
        revision: u64,
    },
    /// An etcd member's status.
    #[serde(rename_all = "camelCase")]
    Member {
        /// This member's id, hexadecimal.
        id: String,
        /// The leader that it follows, hexadecimal; none where it knows none.
        leader: Option<String>,
        /// Raft term.
        term: u64,
        /// Raft applied index.
        applied: u64,
    },
    /// A lease's holder.
    #[serde(rename_all = "camelCase")]
    Lease {
        /// `holderIdentity`; the node's name stands before the first `_`.
        holder: String,
        /// `renewTime` as the object has it.
        renewed: String,
    },
    /// All nodes.
    Nodes(Vec<NodeState>),
    /// All pods of the workload.
    Pods(Vec<PodState>),
    /// A workload's answer.
    #[serde(rename_all = "camelCase")]
    Served {
        /// The pod that answered.
        pod: String,
    },
    /// A component's metrics.
    #[serde(rename_all = "camelCase")]
    Metrics {
        /// By name, in millionths of the series' unit, so that equal readings are equal.
        values: BTreeMap<String, i64>,
    },
    /// A pod was given a node.
    #[serde(rename_all = "camelCase")]
    Scheduled {
        /// The node.
        node: String,
    },
}

/// Why an observation failed, in classes that users tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum FailureClass {
    /// Nobody listens.
    Refused,
    /// A connection was closed before the answer.
    Reset,
    /// No answer within the probe's deadline.
    Timeout,
    /// TLS failed.
    Tls,
    /// The server said that it cannot now (5xx, gRPC unavailable, no leader).
    Unavailable,
    /// The server asked for patience (429).
    Throttled,
    /// The server said no (other 4xx).
    Rejected,
    /// An answer that makes no sense.
    Malformed,
    /// An answer from another party than the one asked for (stale route).
    Misrouted,
    /// The observer itself failed: never counted against the cluster, but missing as a sample.
    Observer,
}

impl fmt::Display for FailureClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FailureClass::Refused => "refused",
            FailureClass::Reset => "reset",
            FailureClass::Timeout => "timeout",
            FailureClass::Tls => "tls",
            FailureClass::Unavailable => "unavailable",
            FailureClass::Throttled => "throttled",
            FailureClass::Rejected => "rejected",
            FailureClass::Malformed => "malformed",
            FailureClass::Misrouted => "misrouted",
            FailureClass::Observer => "observer",
        })
    }
}

/// A failed observation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize, JsonSchema)]
#[error("{class}: {message}")]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Failure {
    /// The kind of failure.
    pub class: FailureClass,
    /// What was said, at most 200 characters.
    pub message: String,
}

impl Failure {
    /// A failure with its message cut to 200 characters.
    #[must_use]
    pub fn new(class: FailureClass, message: impl fmt::Display) -> Failure {
        Failure { class, message: message.to_string().chars().take(200).collect() }
    }
}
