//! The model's state and its queue of events.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    time::Duration,
};

use recoup_model::{
    action::Process,
    time::Span,
    topology::{Node, NodeRole},
};

use super::{
    Deployment, Fact,
    acts::Act,
    apiserver::ApiServer,
    balancer::{Balancer, Connection, Key},
    dice::Dice,
    fact::Known,
    kubelet::{Machine, Owner, Pod},
    lease::{Elector, Lease},
    load::Queue,
    raft::{Entry, Member},
    space::Space,
    timing,
};
use crate::{LeaderElection, Profile};

/// What can be due. A pid says for which process: a later one's events are others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Event {
    /// Level-triggered loops.
    Loop,
    /// The node lifecycle controller.
    Monitor,
    /// A raft tick.
    Raft { node: usize, pid: u32 },
    /// The votes of an election.
    Elected { node: usize, pid: u32, term: u64 },
    /// A check of the load balancer.
    Check { backend: usize },
    /// An attempt at a lease.
    Elector { component: usize, node: usize, pid: u32 },
    /// A node lease.
    Kubelet { node: usize, pid: u32 },
    /// A process has finished ending.
    Exit { node: usize, process: Process, pid: u32 },
    /// An undo that a node carries out by itself; `due` tells it from a later one of the name.
    Deadline { node: usize, id: String, due: Duration },
}

/// Everything.
#[derive(Debug)]
pub(crate) struct World {
    /// Since the model's own start, which is [`timing::WARM_UP`] before the cluster is handed out.
    pub(crate) now: Duration,
    queue: BinaryHeap<Reverse<(Duration, u64, Event)>>,
    pushed: u64,
    pub(crate) dice: Dice,
    /// Control planes first.
    pub(crate) nodes: Vec<Machine>,
    /// How many of the nodes are control planes: they have API server, member and electors of the same index.
    pub(crate) planes: usize,
    pub(crate) members: Vec<Member>,
    pub(crate) log: Vec<Entry>,
    pub(crate) apis: Vec<ApiServer>,
    /// Of the API servers, by node.
    pub(crate) queues: Vec<Queue>,
    /// What loads have made and not removed.
    pub(crate) load_objects: u64,
    /// None with a single control plane.
    pub(crate) balancer: Option<Balancer>,
    pub(crate) balancer_address: String,
    pub(crate) connections: BTreeMap<Key, Connection>,
    pub(crate) leases: [Lease; 2],
    pub(crate) electors: Vec<[Elector; 2]>,
    pub(crate) election: LeaderElection,
    /// The controller-manager that last looked at the nodes.
    pub(crate) monitor: String,
    pub(crate) pods: Vec<Pod>,
    pub(crate) deployments: Vec<Deployment>,
    /// The workload's ready addresses, and since when.
    pub(crate) endpoints: (Vec<String>, Duration),
    /// The workload's toleration for nodes that are not ready.
    pub(crate) toleration: Duration,
    pub(crate) next_ip: u32,
    pub(crate) facts: Vec<(Duration, Fact)>,
    /// What API servers log of the two components' writes.
    pub(crate) acts: Vec<Act>,
    /// A holder that is thawed after its lease was taken writes once more before it notices.
    pub(crate) thawed_holders_write: bool,
    pub(crate) known: Known,
    /// etcd's quota.
    pub(crate) space: Space,
}

impl World {
    /// A cluster of those nodes, running for [`timing::WARM_UP`].
    pub(crate) fn new(profile: &Profile, nodes: &[Node], balancer_address: String, seed: u64) -> World {
        let planes = nodes.iter().filter(|node| node.role == NodeRole::ControlPlane).count();
        let machines = nodes.iter().map(|node| {
            let plane = [
                Process::Etcd,
                Process::KubeApiserver,
                Process::KubeControllerManager,
                Process::KubeScheduler,
            ];
            let mut processes = vec![Process::Kubelet, Process::KubeProxy, Process::Containerd];
            if node.role == NodeRole::ControlPlane {
                processes.extend(plane);
            }
            Machine::new(node.name.clone(), node.address.to_string(), &processes)
        });
        let mut dice = Dice::new(seed);
        let deployments = [(Owner::Workload, "workload"), (Owner::Converge, "converge")]
            .map(|(owner, name)| Deployment::new(owner, name, dice.word(9)));
        let mut world = World {
            now: Duration::ZERO,
            queue: BinaryHeap::new(),
            pushed: 0,
            dice,
            nodes: machines.collect(),
            planes,
            members: vec![Member::new(); planes],
            log: Vec::new(),
            apis: vec![ApiServer::default(); planes],
            queues: vec![Queue::default(); planes],
            load_objects: 0,
            balancer: (planes > 1).then(|| Balancer::new(planes)),
            balancer_address,
            connections: BTreeMap::new(),
            leases: Default::default(),
            electors: vec![Default::default(); planes],
            election: profile.leader_election.unwrap_or(LeaderElection {
                lease_duration: Span(timing::LEASE_DURATION),
                renew_deadline: Span(timing::RENEW_DEADLINE),
                retry_period: Span(timing::RETRY_PERIOD),
            }),
            monitor: String::new(),
            pods: Vec::new(),
            deployments: deployments.into(),
            endpoints: (Vec::new(), Duration::ZERO),
            toleration: timing::TOLERATION,
            next_ip: 1,
            facts: Vec::new(),
            acts: Vec::new(),
            thawed_holders_write: false,
            known: Known::default(),
            space: Space::default(),
        };
        world.boot();
        world
    }

    fn boot(&mut self) {
        for node in 0..self.nodes.len() {
            let processes: Vec<Process> = self.nodes[node].slots.keys().copied().collect();
            for process in processes {
                self.start(node, process);
            }
        }
        for backend in 0..self.planes {
            let phase = self.dice.between((Duration::ZERO, timing::LB_INTERVAL));
            self.push(phase, Event::Check { backend });
        }
        let phase = self.dice.between((Duration::ZERO, timing::NODE_MONITOR));
        self.push(phase, Event::Monitor);
        self.push(timing::LOOP, Event::Loop);
        self.advance(timing::WARM_UP);
    }

    pub(crate) fn push(&mut self, at: Duration, event: Event) {
        self.pushed += 1;
        self.queue.push(Reverse((at.max(self.now), self.pushed, event)));
    }

    /// When something is due next.
    pub(crate) fn next_due(&self) -> Duration {
        self.queue.peek().map_or(self.now + timing::LOOP, |Reverse((at, ..))| *at)
    }

    /// Lets everything happen that is due by `now`.
    pub(crate) fn advance(&mut self, now: Duration) {
        while let Some(Reverse((at, ..))) = self.queue.peek() {
            if *at > now {
                break;
            }
            if let Some(Reverse((at, _, event))) = self.queue.pop() {
                self.now = at;
                self.happen(event);
                self.take_note();
            }
        }
        self.now = self.now.max(now);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Loop => {
                self.push(self.now + timing::LOOP, Event::Loop);
                self.supervise();
                self.run_api_servers();
                self.run_controllers();
                self.run_scheduler();
                self.run_kubelets();
                self.run_proxies();
            }
            Event::Monitor => self.on_monitor(),
            Event::Raft { node, pid } => self.on_raft_tick(node, pid),
            Event::Elected { node, pid, term } => self.on_elected(node, pid, term),
            Event::Check { backend } => self.on_balancer_check(backend),
            Event::Elector { component, node, pid } => self.on_elector(component, node, pid),
            Event::Kubelet { node, pid } => self.on_kubelet(node, pid),
            Event::Exit { node, process, pid } => self.on_exit(node, process, pid),
            Event::Deadline { node, id, due } => {
                if let Some(undo) = self.deadline_due(node, &id, due) {
                    crate::sim::nodes::fall_due(self, node, &undo);
                }
            }
        }
    }

    /// The end of a process that was asked to end; one that is frozen ends once it is thawed.
    fn on_exit(&mut self, node: usize, process: Process, pid: u32) {
        if self.pid(node, process) != Some(pid) {
            return;
        }
        match self.frozen(node, process) {
            true => self.push(self.now + timing::POLL, Event::Exit { node, process, pid }),
            false => self.end(node, process),
        }
    }
}
