//! What a cluster consists of, and what must be written beside a figure to make it comparable.

use std::{fmt, net::IpAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who made the cluster that a figure comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ProviderKind {
    /// A real cluster of Docker containers, made by kind.
    Kind,
    /// A deterministic model under virtual time: never evidence.
    Sim,
}

impl fmt::Display for ProviderKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ProviderKind::Kind => "kind",
            ProviderKind::Sim => "sim",
        })
    }
}

/// A node's part in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum NodeRole {
    /// Runs an API server, its etcd member, a controller-manager and a scheduler as static pods.
    ControlPlane,
    /// Runs workloads only.
    Worker,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Node {
    /// The node's name, which is also that of its container.
    pub name: String,
    /// Its part in the cluster.
    pub role: NodeRole,
    /// The value of `topology.kubernetes.io/zone`, where the profile sets one.
    pub zone: Option<String>,
    /// The node's internal address.
    pub address: IpAddr,
}

/// What a figure must be seen beside: the cluster, its versions, its machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fingerprint {
    /// Who made the cluster.
    pub provider: ProviderKind,
    /// The cluster's name.
    pub cluster: String,
    /// The profile it was made from.
    pub profile: String,
    /// The API server's version, as in `v1.33.1`.
    pub kubernetes: String,
    /// etcd's version.
    pub etcd: String,
    /// The container runtime and its version.
    pub runtime: String,
    /// kind's version; for a simulated cluster the model's.
    pub kind: String,
    /// The load balancer in front of the API servers with its version, or `none`.
    pub load_balancer: String,
    /// The node image.
    pub image: String,
    /// Kernel release of the machine that runs the nodes.
    pub kernel: String,
    /// Logical processors that the nodes share.
    pub cpus: u32,
    /// All nodes, control planes first.
    pub nodes: Vec<Node>,
}

impl Fingerprint {
    /// True where the figures come from a model and prove nothing about a cluster.
    #[must_use]
    pub fn simulated(&self) -> bool {
        self.provider == ProviderKind::Sim
    }

    /// Nodes of one role, in the order of the fingerprint.
    pub fn with_role(&self, role: NodeRole) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(move |node| node.role == role)
    }
}
