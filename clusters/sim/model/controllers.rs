//! What controller-manager, scheduler and kube-proxy do about nodes, pods and endpoints.

use std::time::Duration;

use recoup_model::action::Process;

use super::{
    Event, World,
    apiserver::{Flight, Outcome, Request},
    balancer::Key,
    kubelet::{Owner, Pod, Ready},
    network::Party,
    timing,
};

/// Controller-manager's lease, as an index.
const MANAGER: usize = 0;
/// Scheduler's.
const SCHEDULER: usize = 1;

/// A Deployment.
#[derive(Debug)]
pub(crate) struct Deployment {
    pub(crate) owner: Owner,
    pub(crate) name: &'static str,
    pub(crate) hash: String,
    pub(crate) replicas: usize,
    /// When its controller gets to it.
    act_at: Option<Duration>,
}

impl Deployment {
    pub(crate) fn new(owner: Owner, name: &'static str, hash: String) -> Deployment {
        Deployment { owner, name, hash, replicas: 0, act_at: None }
    }
}

impl World {
    /// The node lifecycle controller's look at all nodes.
    pub(crate) fn on_monitor(&mut self) {
        self.push(self.now + timing::NODE_MONITOR, Event::Monitor);
        let now = self.now;
        let Some(manager) = self.active(MANAGER) else { return };
        let identity = &self.electors[manager][MANAGER].identity;
        // A new controller-manager knows no node's health: every grace period begins anew.
        let fresh = *identity != self.monitor;
        self.monitor.clone_from(identity);
        for node in 0..self.nodes.len() {
            let machine = &mut self.nodes[node];
            if fresh || machine.seen.0 != machine.renewed {
                machine.seen = (machine.renewed, now);
            }
            if machine.seen.1 + timing::NODE_GRACE < now && machine.ready != Ready::Unknown {
                let name = machine.name.clone();
                self.set_ready(node, Ready::Unknown);
                self.act(MANAGER, manager, "patch", format!("nodes/status {name}"));
            }
        }
        // With no node left to judge by, it trusts itself less than them (full disruption).
        let all = self.nodes.iter().all(|machine| machine.ready != Ready::True);
        for node in 0..self.nodes.len() {
            let machine = &mut self.nodes[node];
            let wanted = match machine.ready {
                Ready::True => None,
                _ if all => None,
                Ready::False => Some("node.kubernetes.io/not-ready"),
                Ready::Unknown => Some("node.kubernetes.io/unreachable"),
            };
            if wanted != machine.tainted.map(|(key, _)| key) {
                machine.tainted = wanted.map(|key| (key, now));
                let name = machine.name.clone();
                self.act(MANAGER, manager, "patch", format!("nodes {name}"));
            }
            if self.nodes[node].ready != Ready::True {
                let mut marked = Vec::new();
                for pod in self.pods.iter_mut().filter(|pod| pod.node == Some(node)) {
                    if std::mem::replace(&mut pod.ready, false) {
                        marked.push(pod.name.clone());
                    }
                }
                for pod in marked {
                    self.act(MANAGER, manager, "patch", format!("pods/status recoup/{pod}"));
                }
            }
        }
    }

    /// Deployments, evictions and endpoints.
    pub(crate) fn run_controllers(&mut self) {
        let Some(manager) = self.active(MANAGER) else { return };
        let now = self.now;
        for index in 0..self.pods.len() {
            let taint = self.pods[index].node.and_then(|node| self.nodes[node].tainted);
            if taint.is_some_and(|(_, since)| now >= since + self.toleration) && !self.pods[index].deleting {
                self.pods[index].deleting = true;
                let pod = self.pods[index].name.clone();
                self.act(MANAGER, manager, "delete", format!("pods recoup/{pod}"));
            }
        }
        for index in 0..self.deployments.len() {
            let deployment = &self.deployments[index];
            let have = self.pods.iter().filter(|pod| pod.owner == deployment.owner && !pod.deleting).count();
            let wanted = deployment.replicas;
            match deployment.act_at {
                _ if have == wanted => self.deployments[index].act_at = None,
                None => {
                    let wait = self.dice.between(timing::CONTROLLER) + self.delayed_by_load(manager);
                    self.deployments[index].act_at = Some(now + wait);
                }
                Some(at) if now < at => {}
                Some(_) => {
                    self.deployments[index].act_at = None;
                    self.scale(manager, index, have);
                }
            }
        }
        let mut wanted: Vec<String> = self
            .pods
            .iter()
            .filter(|pod| pod.owner == Owner::Workload && pod.ready && !pod.deleting)
            .filter_map(|pod| pod.ip.clone())
            .collect();
        wanted.sort();
        if wanted != self.endpoints.0 {
            self.endpoints = (wanted, now);
            self.act(MANAGER, manager, "update", "endpoints recoup/workload".to_owned());
        }
    }

    fn scale(&mut self, manager: usize, deployment: usize, have: usize) {
        let Deployment { owner, name, replicas, .. } = self.deployments[deployment];
        let hash = self.deployments[deployment].hash.clone();
        for _ in have..replicas {
            let pod = format!("{name}-{hash}-{}", self.dice.word(5));
            let queued = self.now + self.dice.between(timing::CONTROLLER);
            self.act(MANAGER, manager, "create", format!("pods recoup/{pod}"));
            self.pods.push(Pod::new(pod, owner, queued));
        }
        let surplus = have.saturating_sub(replicas);
        let mut surplus: Vec<usize> = (0..self.pods.len())
            .rev()
            .filter(|index| self.pods[*index].owner == owner && !self.pods[*index].deleting)
            .take(surplus)
            .collect();
        while let Some(index) = surplus.pop() {
            self.pods[index].deleting = true;
            let pod = self.pods[index].name.clone();
            self.act(MANAGER, manager, "delete", format!("pods recoup/{pod}"));
        }
    }

    /// Gives each queued pod the worker with the fewest of its siblings.
    pub(crate) fn run_scheduler(&mut self) {
        let Some(scheduler) = self.active(SCHEDULER) else { return };
        for index in 0..self.pods.len() {
            let pod = &self.pods[index];
            if pod.node.is_some() || pod.deleting || self.now < pod.queued {
                continue;
            }
            let owner = pod.owner;
            let siblings = |node: usize| {
                self.pods.iter().filter(|p| p.owner == owner && p.node == Some(node) && !p.deleting).count()
            };
            let chosen = (self.planes..self.nodes.len())
                .filter(|node| self.nodes[*node].ready == Ready::True && self.nodes[*node].tainted.is_none())
                .min_by_key(|node| siblings(*node));
            self.pods[index].node = chosen;
            if chosen.is_some() {
                let pod = self.pods[index].name.clone();
                self.act(SCHEDULER, scheduler, "create", format!("pods/binding recoup/{pod}"));
            }
        }
    }

    /// kube-proxies follow the endpoints, at most once per [`timing::PROXY_SYNC`].
    pub(crate) fn run_proxies(&mut self) {
        let (endpoints, changed) = self.endpoints.clone();
        for node in 0..self.nodes.len() {
            let machine = &self.nodes[node];
            let due = self.now >= (machine.synced + timing::PROXY_SYNC).max(changed + timing::PROXY_WATCH);
            if machine.rules == endpoints || !due || !self.works(node, Process::KubeProxy) {
                continue;
            }
            let mut flight = Flight::at(self.now);
            let told = self.ask(Key::Proxy(node), None, Party::Node(node), Request::Cached, &mut flight);
            if told == Outcome::Good {
                self.nodes[node].rules.clone_from(&endpoints);
                self.nodes[node].synced = self.now;
            }
        }
    }
}
