//! What truly happened, for tests that compare it with what was measured.

use std::fmt;

use recoup_model::action::Process;

use super::{World, kubelet::Owner, lease::ELECTED};

/// Something that happened inside the model. Nodes are indexes while recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    ProcessStarted { node: usize, process: Process },
    ProcessEnded { node: usize, process: Process },
    LeaderLost { node: usize },
    LeaderElected { node: usize, term: u64 },
    HolderLost { component: usize, node: usize },
    HolderAcquired { component: usize, node: usize },
    ApiUp { node: usize },
    ApiDown { node: usize },
    NodeReady { node: usize },
    NodeNotReady { node: usize },
    PodServing { pod: String, node: usize },
    PodSilent { pod: String },
}

/// The truth as [`crate::sim::SimCluster::truth`] tells it; each variant names its node.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Truth {
    /// A component's process began.
    ProcessStarted(String, Process),
    /// A component's process ended.
    ProcessEnded(String, Process),
    /// The raft leader died, froze or lost its quorum.
    LeaderLost(String),
    /// A raft leader has a quorum behind it; with its term.
    LeaderElected(String, u64),
    /// The holder of that Lease died, froze or lost it; node, lease.
    HolderLost(String, String),
    /// A candidate has taken that Lease; node, lease.
    HolderAcquired(String, String),
    /// The API server is ready: it answers quorum reads and writes.
    ApiUp(String),
    /// It no longer is.
    ApiDown(String),
    /// The Node object's Ready condition became True.
    NodeReady(String),
    /// It became False or Unknown.
    NodeNotReady(String),
    /// A pod of the workload answers; node, pod.
    PodServing(String, String),
    /// It no longer does.
    PodSilent(String),
}

impl fmt::Display for Truth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Truth::ProcessStarted(node, process) => write!(f, "{process} on {node} started"),
            Truth::ProcessEnded(node, process) => write!(f, "{process} on {node} ended"),
            Truth::LeaderLost(node) => write!(f, "raft leader {node} lost"),
            Truth::LeaderElected(node, term) => write!(f, "raft leader {node} elected in term {term}"),
            Truth::HolderLost(node, lease) => write!(f, "holder {node} of {lease} lost"),
            Truth::HolderAcquired(node, lease) => write!(f, "{lease} acquired by {node}"),
            Truth::ApiUp(node) => write!(f, "api server on {node} up"),
            Truth::ApiDown(node) => write!(f, "api server on {node} down"),
            Truth::NodeReady(node) => write!(f, "node {node} ready"),
            Truth::NodeNotReady(node) => write!(f, "node {node} not ready"),
            Truth::PodServing(node, pod) => write!(f, "pod {pod} serving on {node}"),
            Truth::PodSilent(pod) => write!(f, "pod {pod} silent"),
        }
    }
}

/// The last known values of what facts tell.
#[derive(Debug, Default)]
pub(crate) struct Known {
    leader: Option<(usize, u64)>,
    holders: [Option<usize>; 2],
    apis: Vec<bool>,
    serving: Vec<String>,
}

impl World {
    pub(crate) fn tell(&mut self, fact: Fact) {
        self.facts.push((self.now, fact));
    }

    /// Records what has changed since the last look; called after every event and every deed.
    pub(crate) fn take_note(&mut self) {
        let leader = self.leader().map(|node| (node, self.members[node].term));
        let before = std::mem::replace(&mut self.known.leader, leader);
        if before != leader {
            if let Some((node, _)) = before {
                self.tell(Fact::LeaderLost { node });
            }
            if let Some((node, term)) = leader {
                self.tell(Fact::LeaderElected { node, term });
            }
        }
        for component in 0..ELECTED.len() {
            let holder = self.holder(component);
            let before = std::mem::replace(&mut self.known.holders[component], holder);
            if before == holder {
                continue;
            }
            if let Some(node) = before {
                self.tell(Fact::HolderLost { component, node });
            }
            if let Some(node) = holder {
                self.tell(Fact::HolderAcquired { component, node });
            }
        }
        self.known.apis.resize(self.planes, false);
        for node in 0..self.planes {
            let up = self.api_ready(node);
            if std::mem::replace(&mut self.known.apis[node], up) != up {
                self.tell(if up { Fact::ApiUp { node } } else { Fact::ApiDown { node } });
            }
        }
        self.note_pods();
    }

    fn note_pods(&mut self) {
        let serving: Vec<(String, usize)> = self
            .pods
            .iter()
            .filter(|pod| pod.owner == Owner::Workload && pod.process.as_ref().is_some_and(|p| !p.stopped))
            .filter_map(|pod| Some((pod.name.clone(), pod.node?)))
            .filter(|(_, node)| !self.nodes[*node].paused)
            .collect();
        let now: Vec<String> = serving.iter().map(|(pod, _)| pod.clone()).collect();
        if now == self.known.serving {
            return;
        }
        let before = std::mem::replace(&mut self.known.serving, now);
        for (pod, node) in &serving {
            if !before.contains(pod) {
                self.tell(Fact::PodServing { pod: pod.clone(), node: *node });
            }
        }
        for pod in before {
            if !serving.iter().any(|(name, _)| *name == pod) {
                self.tell(Fact::PodSilent { pod });
            }
        }
    }

    /// A fact with names in place of indexes.
    pub(crate) fn named(&self, fact: &Fact) -> Truth {
        let name = |node: &usize| self.nodes[*node].name.clone();
        let lease = |component: &usize| ELECTED[*component].1.to_owned();
        match fact {
            Fact::ProcessStarted { node, process } => Truth::ProcessStarted(name(node), *process),
            Fact::ProcessEnded { node, process } => Truth::ProcessEnded(name(node), *process),
            Fact::LeaderLost { node } => Truth::LeaderLost(name(node)),
            Fact::LeaderElected { node, term } => Truth::LeaderElected(name(node), *term),
            Fact::HolderLost { component, node } => Truth::HolderLost(name(node), lease(component)),
            Fact::HolderAcquired { component, node } => Truth::HolderAcquired(name(node), lease(component)),
            Fact::ApiUp { node } => Truth::ApiUp(name(node)),
            Fact::ApiDown { node } => Truth::ApiDown(name(node)),
            Fact::NodeReady { node } => Truth::NodeReady(name(node)),
            Fact::NodeNotReady { node } => Truth::NodeNotReady(name(node)),
            Fact::PodServing { pod, node } => Truth::PodServing(name(node), pod.clone()),
            Fact::PodSilent { pod } => Truth::PodSilent(pod.clone()),
        }
    }
}
