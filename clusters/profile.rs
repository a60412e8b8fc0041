//! Profiles: the topologies of clusters/profiles, compiled in.

use recoup_model::{time::Span, topology::NodeRole};
use serde::{Deserialize, Serialize};

/// A topology.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Profile {
    /// Its name, as suites name it.
    pub name: String,
    /// For people: what it is for.
    pub description: String,
    /// Its nodes, control planes first.
    pub nodes: Vec<ProfileNode>,
    /// Leader election of controller-manager and scheduler; none keeps Kubernetes' defaults (15 s, 10 s, 2 s).
    #[serde(default)]
    pub leader_election: Option<LeaderElection>,
}

/// A node of a topology.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProfileNode {
    /// Its part.
    pub role: NodeRole,
    /// Its `topology.kubernetes.io/zone`.
    #[serde(default)]
    pub zone: Option<String>,
}

/// The three times of client-go's leader election.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LeaderElection {
    /// A lease that was not seen renewed for this long may be taken.
    pub lease_duration: Span,
    /// A holder that could not renew for this long gives up.
    pub renew_deadline: Span,
    /// Between attempts, times 1 to 2.2.
    pub retry_period: Span,
}

impl Profile {
    /// How many nodes have that role.
    #[must_use]
    pub fn count(&self, role: NodeRole) -> usize {
        self.nodes.iter().filter(|node| node.role == role).count()
    }
}
