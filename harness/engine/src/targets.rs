//! Roles to nodes, at the moment when a step begins.

use std::time::Duration;

use recoup_clusters::Attempt;
use recoup_model::{
    observation::{Observation, Observed},
    spec::{Peers, Target},
    topology::NodeRole,
};

use crate::context::{Broken, Context};

/// Asking who has a role may take this long; with the API down the probes' last answer is taken.
const ASK: Duration = Duration::from_secs(2);

impl Context {
    /// `count` nodes with that role.
    ///
    /// # Errors
    /// [`Broken::NoTarget`] where there are fewer.
    pub async fn targets(&self, target: &Target, count: u32) -> Result<Vec<String>, Broken> {
        let mut found = match target {
            Target::RaftLeader => self.raft(true).await?,
            Target::RaftFollower => self.raft(false).await?,
            Target::LeaseHolder(lease) => vec![self.lease_holder(lease).await?],
            Target::ControlPlane | Target::ControlPlanes => self.by_role(NodeRole::ControlPlane),
            Target::Worker => self.by_role(NodeRole::Worker),
            Target::WorkloadNode => self.workload_nodes().await,
            Target::Node(name) => {
                let fingerprint = self.cluster.fingerprint();
                fingerprint.nodes.iter().map(|n| n.name.clone()).filter(|n| n == name).collect()
            }
            Target::SameAs(step) => self.hit(*step),
        };
        let all = matches!(target, Target::SameAs(_) | Target::ControlPlanes);
        let wanted = if all { found.len() } else { count as usize };
        if found.len() < wanted || found.is_empty() {
            return Err(Broken::NoTarget(format!(
                "{} of '{target}' wanted, {} found",
                wanted.max(1),
                found.len()
            )));
        }
        found.truncate(wanted);
        Ok(found)
    }

    /// Addresses of a node's peers of that kind; none where everybody is meant.
    #[must_use]
    pub fn addresses_of(&self, peers: Option<Peers>, node: &str) -> Vec<String> {
        let others = self.cluster.fingerprint().nodes.iter().filter(|peer| peer.name != node);
        let meant = others.filter(|peer| match peers {
            Some(Peers::ControlPlanes) => peer.role == NodeRole::ControlPlane,
            Some(Peers::Nodes) => true,
            None => false,
        });
        meant.map(|peer| peer.address.to_string()).collect()
    }

    fn by_role(&self, role: NodeRole) -> Vec<String> {
        let mut nodes: Vec<_> = self.cluster.fingerprint().with_role(role).map(|n| n.name.clone()).collect();
        self.shuffle(&mut nodes);
        nodes
    }

    /// What the cluster says now, else what the probes heard last.
    async fn ask(&self, observation: &Observation) -> Option<Observed> {
        let attempt = Attempt { number: 0, timeout: ASK };
        match self.cluster.observe(observation, attempt).await {
            Ok(told) => Some(told),
            Err(failure) => {
                tracing::debug!(%failure, stream = observation.stream(), "taking the last answer");
                self.latest.get(&observation.stream())
            }
        }
    }

    /// The nodes of the raft leader (one) or of the followers (all others), as most members see it.
    async fn raft(&self, leader: bool) -> Result<Vec<String>, Broken> {
        let mut members = Vec::new();
        for member in self.by_role(NodeRole::ControlPlane) {
            if let Some(Observed::Member { id, leader, .. }) =
                self.ask(&Observation::EtcdStatus { member: member.clone() }).await
            {
                members.push((member, id, leader));
            }
        }
        let votes = |id: &String| members.iter().filter(|(_, _, l)| l.as_ref() == Some(id)).count();
        let Some((name, ..)) = members.iter().find(|(_, id, _)| votes(id) * 2 > members.len()) else {
            return Err(Broken::NoTarget("no etcd member is followed by most of the others".into()));
        };
        Ok(members.iter().map(|(m, ..)| m.clone()).filter(|m| (m == name) == leader).collect())
    }

    async fn lease_holder(&self, lease: &str) -> Result<String, Broken> {
        let told = self.ask(&Observation::Lease { name: lease.to_owned() }).await;
        let holder = match told {
            Some(Observed::Lease { holder, .. }) => holder,
            _ => return Err(Broken::NoTarget(format!("nobody knows who holds the lease {lease}"))),
        };
        let node = holder.split('_').next().unwrap_or_default().to_owned();
        if self.cluster.fingerprint().nodes.iter().any(|n| n.name == node) {
            return Ok(node);
        }
        Err(Broken::NoTarget(format!("the holder {holder:?} of the lease {lease} names no node")))
    }

    /// Workers with a ready pod of the workload.
    async fn workload_nodes(&self) -> Vec<String> {
        let Some(Observed::Pods(pods)) = self.ask(&Observation::Pods).await else { return Vec::new() };
        let mut nodes: Vec<_> =
            pods.into_iter().filter(|p| p.ready && !p.deleting).filter_map(|p| p.node).collect();
        nodes.sort();
        nodes.dedup();
        self.shuffle(&mut nodes);
        nodes
    }
}
