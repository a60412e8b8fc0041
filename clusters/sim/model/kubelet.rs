//! Nodes and their kubelets: node leases and conditions, the workload's pods.

use std::{collections::BTreeMap, time::Duration};

use recoup_model::action::{Process, ProcessId, Signal};

use super::{
    Event, Fact, World,
    apiserver::{Flight, Outcome, Request},
    balancer::Key,
    network::{Filter, Party},
    process::{BackOff, Slot},
    raft::Entry,
    settings::Changed,
    slow::Late,
    timing,
};

/// A node: what runs on it, and its Node object.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) name: String,
    pub(crate) address: String,
    pub(crate) paused: bool,
    pub(crate) slots: BTreeMap<Process, Slot>,
    pub(crate) filters: Vec<Filter>,
    /// Slow rules.
    pub(crate) late: Vec<Late>,
    /// What faults have set otherwise.
    pub(crate) changed: Changed,
    next_pid: u32,
    // The API's objects.
    pub(crate) ready: Ready,
    /// Its NoExecute taint with the time it was added.
    pub(crate) tainted: Option<(&'static str, Duration)>,
    /// `renewTime` of its node lease.
    pub(crate) renewed: Duration,
    /// The revision of that renewal.
    pub(crate) lease_revision: u64,
    /// What the node lifecycle controller saw of that, and when.
    pub(crate) seen: (Duration, Duration),
    // kube-proxy's.
    /// Addresses that its rules lead to.
    pub(crate) rules: Vec<String>,
    pub(crate) synced: Duration,
}

/// A Ready condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ready {
    True,
    False,
    Unknown,
}

impl Machine {
    pub(crate) fn new(name: String, address: String, processes: &[Process]) -> Machine {
        Machine {
            name,
            address,
            paused: false,
            slots: processes.iter().map(|process| (*process, Slot::default())).collect(),
            filters: Vec::new(),
            late: Vec::new(),
            changed: Changed::default(),
            next_pid: 200,
            ready: Ready::True,
            tainted: None,
            renewed: Duration::ZERO,
            lease_revision: 0,
            seen: (Duration::ZERO, Duration::ZERO),
            rules: Vec::new(),
            synced: Duration::ZERO,
        }
    }
}

/// Whom a pod belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Owner {
    /// The experiment's workload.
    Workload,
    /// The small Deployment of the convergence probe.
    Converge,
    /// Nobody: the scheduling probe's.
    Nobody,
}

/// A pod: its object, and its process.
#[derive(Debug)]
pub(crate) struct Pod {
    pub(crate) name: String,
    pub(crate) owner: Owner,
    pub(crate) node: Option<usize>,
    pub(crate) ip: Option<String>,
    pub(crate) ready: bool,
    pub(crate) deleting: bool,
    pub(crate) restarts: u32,
    /// From when the scheduler has it in its queue.
    pub(crate) queued: Duration,
    pub(crate) process: Option<PodProcess>,
    /// Its kubelet knows of it.
    known: bool,
    start_at: Option<Duration>,
    stop_at: Option<Duration>,
    exited: Option<Duration>,
    back_off: BackOff,
}

/// The workload's process.
#[derive(Clone, Debug)]
pub(crate) struct PodProcess {
    pub(crate) id: ProcessId,
    pub(crate) stopped: bool,
    /// From when its readiness probe passes.
    ready: Duration,
}

impl Pod {
    pub(crate) fn new(name: String, owner: Owner, queued: Duration) -> Pod {
        Pod {
            name,
            owner,
            node: None,
            ip: None,
            ready: false,
            deleting: false,
            restarts: 0,
            queued,
            process: None,
            known: false,
            start_at: None,
            stop_at: None,
            exited: None,
            back_off: BackOff::default(),
        }
    }
}

impl World {
    /// A number for a new process. Ticks are those of Linux: a hundredth of a second.
    pub(crate) fn new_process(&mut self, node: usize) -> ProcessId {
        let machine = &mut self.nodes[node];
        machine.next_pid += 7;
        let started = u64::try_from(self.now.as_millis() / 10).unwrap_or(u64::MAX);
        ProcessId { pid: machine.next_pid, started }
    }

    /// A request of a node's kubelet: a control plane's asks its own API server (1.33 and later), a worker's the
    /// load balancer.
    pub(crate) fn ask_as_kubelet(&mut self, node: usize, request: Request) -> Outcome {
        if node < self.planes {
            return self.ask_local(node, request);
        }
        let mut flight = Flight::at(self.now);
        self.ask(Key::Kubelet(node), None, Party::Node(node), request, &mut flight)
    }

    /// Commits a write of a client that [`World::ask`] has just answered well.
    pub(crate) fn commit_for(&mut self, key: Key, entry: Entry) -> bool {
        self.backend(key).is_some_and(|backend| self.commit(backend, entry))
    }

    /// Renews the node lease and posts the Ready condition.
    pub(crate) fn on_kubelet(&mut self, node: usize, pid: u32) {
        if self.pid(node, Process::Kubelet) != Some(pid) {
            return;
        }
        let again = Event::Kubelet { node, pid };
        if self.frozen(node, Process::Kubelet) {
            self.push(self.now + timing::POLL, again);
            return;
        }
        match self.ask_as_kubelet(node, Request::Write) {
            Outcome::Waiting => self.push(self.now + timing::POLL, again),
            Outcome::Failed(_) => self.push(self.now + timing::secs(1), again),
            Outcome::Good => {
                let written = match node < self.planes {
                    true => self.commit(node, Entry::Other),
                    false => self.commit_for(Key::Kubelet(node), Entry::Other),
                };
                if written {
                    self.nodes[node].renewed = self.now;
                    let asked =
                        if node < self.planes { Some(node) } else { self.backend(Key::Kubelet(node)) };
                    self.nodes[node].lease_revision = asked.map_or(0, |asked| self.revision(asked));
                    let ready = if self.runtime_works(node) { Ready::True } else { Ready::False };
                    self.set_ready(node, ready);
                }
                let jitter = timing::NODE_LEASE_JITTER * self.dice.unit();
                self.push(self.now + timing::NODE_LEASE.mul_f64(1.0 + jitter), again);
            }
        }
    }

    /// The kubelet forgives its runtime [`timing::RUNTIME_DOWN`].
    fn runtime_works(&self, node: usize) -> bool {
        let Some(slot) = self.nodes[node].slots.get(&Process::Containerd) else { return false };
        let lost = match &slot.running {
            None => Some(slot.exited),
            Some(run) => run.frozen_since,
        };
        lost.is_none_or(|at| self.now < at + timing::RUNTIME_DOWN)
    }

    pub(crate) fn set_ready(&mut self, node: usize, ready: Ready) {
        let was = std::mem::replace(&mut self.nodes[node].ready, ready);
        if (was == Ready::True) != (ready == Ready::True) {
            self.tell(match ready {
                Ready::True => Fact::NodeReady { node },
                Ready::False | Ready::Unknown => Fact::NodeNotReady { node },
            });
        }
    }

    /// A signal to a pod's process; false where it has none.
    pub(crate) fn signal_pod(&mut self, pod: usize, signal: Signal) -> bool {
        let now = self.now;
        let pod = &mut self.pods[pod];
        let Some(process) = pod.process.as_mut() else { return false };
        match signal {
            Signal::Kill | Signal::Term => {
                pod.process = None;
                pod.exited = Some(now);
                true
            }
            Signal::Stop => !std::mem::replace(&mut process.stopped, true),
            Signal::Cont => std::mem::replace(&mut process.stopped, false),
        }
    }

    pub(super) fn forget_pods_back_off(&mut self, node: usize) {
        for pod in self.pods.iter_mut().filter(|pod| pod.node == Some(node)) {
            if pod.back_off.forget() && pod.exited.is_some() {
                pod.start_at = None;
            }
        }
    }

    /// Pods on a node whose container ended lately, with when.
    pub(super) fn delayed_pods(&self, node: usize) -> impl Iterator<Item = (String, Duration)> {
        let pods = self.pods.iter().filter(move |pod| pod.node == Some(node) && !pod.deleting);
        pods.filter_map(|pod| Some((pod.name.clone(), pod.back_off.ended(self.now)?)))
    }

    /// Kubelets bring their pods to what they know is wanted.
    pub(crate) fn run_kubelets(&mut self) {
        for node in 0..self.nodes.len() {
            if !self.works(node, Process::Kubelet) || !self.pods.iter().any(|pod| pod.node == Some(node)) {
                continue;
            }
            // Reading is by watch, so a cache's answer will do; writing a status needs etcd.
            let reads = self.ask_as_kubelet(node, Request::Cached) == Outcome::Good;
            let writes = reads && self.ask_as_kubelet(node, Request::Write) == Outcome::Good;
            let runtime = self.works(node, Process::Containerd);
            for index in 0..self.pods.len() {
                if self.pods[index].node == Some(node) {
                    self.run_pod(node, index, reads, writes, runtime);
                }
            }
        }
        self.pods
            .retain(|pod| !(pod.deleting && pod.process.is_none() && (pod.node.is_none() || pod.gone())));
    }

    fn run_pod(&mut self, node: usize, index: usize, reads: bool, writes: bool, runtime: bool) {
        let now = self.now;
        if reads && !self.pods[index].known {
            self.pods[index].known = true;
            self.pods[index].start_at = Some(now + self.dice.between(timing::POD_START));
        }
        if !self.pods[index].known {
            return;
        }
        if self.pods[index].deleting && reads && self.pods[index].stop_at.is_none() {
            self.pods[index].stop_at = Some(now + self.dice.between(timing::POD_STOP));
        }
        if self.pods[index].stop_at.is_some_and(|at| now >= at) {
            if runtime {
                self.pods[index].process = None;
            }
            // The object goes once the kubelet can say so.
            self.pods[index].exited = if writes { None } else { Some(now) };
            return;
        }
        if self.pods[index].process.is_none() && runtime {
            self.start_pod(node, index);
        }
        let ready = self.pods[index].process.as_ref().is_some_and(|p| !p.stopped && now >= p.ready);
        if writes && self.nodes[node].ready == Ready::True {
            self.pods[index].ready = ready && !self.pods[index].deleting;
        }
    }

    fn start_pod(&mut self, node: usize, index: usize) {
        let now = self.now;
        let pod = &mut self.pods[index];
        match pod.start_at {
            Some(at) if now < at => return,
            Some(_) => {}
            None => {
                let exited = pod.exited.unwrap_or(now);
                let wait = pod.back_off.next(exited);
                let notice = self.dice.between(timing::NOTICE);
                self.pods[index].start_at = Some((now + notice).max(exited + wait));
                return;
            }
        }
        let id = self.new_process(node);
        let ready = now + self.dice.between(timing::POD_READY);
        let pod = &mut self.pods[index];
        pod.restarts += u32::from(pod.exited.is_some());
        pod.exited = None;
        pod.start_at = None;
        pod.process = Some(PodProcess { id, stopped: false, ready });
        if pod.ip.is_none() {
            self.next_ip += 1;
            self.pods[index].ip = Some(format!("10.244.{}.{}", node, self.next_ip));
        }
    }
}

impl Pod {
    /// Its kubelet has ended it and said so.
    fn gone(&self) -> bool {
        self.known && self.stop_at.is_some() && self.exited.is_none()
    }
}
