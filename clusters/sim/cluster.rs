//! One simulated cluster: the model behind a lock, advanced to tokio's clock at every look.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use recoup_model::{
    action::{Capability, Process},
    configuration::Configuration,
    machine::Processors,
    observation::{Endpoint, Failure, FailureClass, Observation, Observed},
    spec::WorkloadSpec,
    topology::{Fingerprint, Node, NodeRole, ProviderKind},
};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::{
    load::SimLoad,
    metrics::Meters,
    model::{Truth, World, dice::Dice, kubelet::Ready, lease::ELECTED, timing},
};
use crate::{
    Acted, Attempt, Cluster, ClusterError, Fixture, LoadTarget, LoadWanted, Profile, ReadBack, Tell, Wanted,
};

/// The wall time at which every model starts: 2025-01-01T00:00:00Z, so that the same seed gives the same
/// `renewTime`, whenever it runs.
const START: i64 = 1_735_689_600;
/// Answers to questions that no probe asks.
pub(super) const ASK: Duration = timing::secs(10);

/// A simulated cluster.
#[derive(Debug)]
pub struct SimCluster {
    fingerprint: Fingerprint,
    /// As it was when this handle was made; `usual` is the profile's own.
    configuration: Configuration,
    usual: Configuration,
    world: Arc<Mutex<World>>,
    /// When it was handed out; the model began [`timing::WARM_UP`] before.
    created: Instant,
    seed: u64,
    /// Numbers for connections that are used once.
    once: Arc<AtomicU64>,
    /// The pod that each node's direct probe asks, since the last fixture.
    pub(super) routes: Arc<Mutex<Vec<Option<String>>>>,
    /// What the components have told of themselves.
    pub(super) meters: Arc<Meters>,
}

const CAPABILITIES: &[Capability] = &[
    Capability::Signal,
    Capability::StaticPods,
    Capability::Systemd,
    Capability::Pause,
    Capability::PacketFilter,
    Capability::EtcdAccess,
    Capability::AuditLog,
    Capability::SlowNetwork,
    Capability::CpuLimit,
    Capability::IoLimit,
    Capability::Metrics,
];

impl SimCluster {
    /// A new one of that topology, up and running.
    #[must_use]
    pub fn new(wanted: &Wanted) -> SimCluster {
        let nodes = nodes(&wanted.name, &wanted.profile);
        let balancer = address(1 + nodes.len());
        let seed = wanted.seed;
        let world = World::new(&wanted.profile, &nodes, balancer.to_string(), seed);
        let one = wanted.profile.count(NodeRole::ControlPlane) == 1;
        let fingerprint = Fingerprint {
            provider: ProviderKind::Sim,
            cluster: wanted.name.clone(),
            profile: wanted.profile.name.clone(),
            kubernetes: timing::KUBERNETES.into(),
            etcd: timing::ETCD.into(),
            runtime: "SIMULATED".into(),
            kind: timing::MODEL.into(),
            load_balancer: if one { "none" } else { "SIMULATED haproxy" }.into(),
            image: "SIMULATED".into(),
            kernel: "SIMULATED".into(),
            cpus: 0,
            nodes,
        };
        let routes = Arc::new(Mutex::new(vec![None; fingerprint.nodes.len()]));
        let usual = super::configuration::configuration(&wanted.profile);
        SimCluster {
            fingerprint,
            configuration: usual.clone(),
            usual,
            world: Arc::new(Mutex::new(world)),
            created: Instant::now(),
            seed,
            once: Arc::default(),
            routes,
            meters: Arc::default(),
        }
    }

    /// Another handle to the same model, with the settings that it has now.
    pub(super) fn connected_anew(&self) -> SimCluster {
        SimCluster {
            fingerprint: self.fingerprint.clone(),
            configuration: super::configuration::live(&self.usual, &self.look()),
            usual: self.usual.clone(),
            world: Arc::clone(&self.world),
            created: self.created,
            seed: self.seed,
            once: Arc::clone(&self.once),
            routes: Arc::clone(&self.routes),
            meters: Arc::clone(&self.meters),
        }
    }

    /// What truly happened since it was handed out, by the offset from then.
    #[must_use]
    pub fn truth(&self) -> Vec<(Duration, Truth)> {
        let world = self.look();
        let since = |(at, fact): &(Duration, _)| Some((at.checked_sub(timing::WARM_UP)?, world.named(fact)));
        world.facts.iter().filter_map(since).collect()
    }

    /// How many objects of loads there are.
    #[must_use]
    pub fn load_objects(&self) -> u64 {
        self.look().load_objects
    }

    /// From now on a holder that is thawed after its lease was taken writes once more, as none may: for tests of
    /// what must notice it.
    pub fn let_thawed_holders_write(&self) {
        self.look().thawed_holders_write = true;
    }

    /// The model as it is now.
    pub(super) fn look(&self) -> Look<'_> {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        world.advance(timing::WARM_UP + self.created.elapsed());
        Look(world)
    }

    /// Looks whenever something happens, until `step` has an answer.
    pub(super) async fn until<T>(&self, mut step: impl FnMut(&mut World) -> Option<T>) -> T {
        loop {
            let due = {
                let mut world = self.look();
                if let Some(answer) = step(&mut world) {
                    return answer;
                }
                world.next_due().saturating_sub(timing::WARM_UP)
            };
            // tokio's clock has a resolution of a millisecond.
            sleep_until((self.created + due).max(Instant::now() + timing::ms(1))).await;
        }
    }

    /// Half of the time that an answer takes: `typical` times 0.5 to 1.5, and now and then three times that.
    /// Drawn from stream and number alone, so that observing does not change what is observed.
    pub(super) fn half_latency(&self, stream: &str, number: u64, typical: Duration) -> Duration {
        let mut dice = Dice::branch(self.seed, stream, number);
        let slow = if dice.unit() < 0.02 { 3.0 } else { 1.0 };
        typical.mul_f64((0.5 + dice.unit()) * slow / 2.0)
    }

    /// Randomness of one attempt.
    pub(super) fn dice(&self, stream: &str, number: u64) -> Dice {
        Dice::branch(self.seed ^ 1, stream, number)
    }

    pub(super) fn next_once(&self) -> u64 {
        self.once.fetch_add(1, Ordering::Relaxed)
    }

    /// A node's index.
    pub(super) fn node(&self, name: &str) -> Result<usize, Failure> {
        let found = self.fingerprint.nodes.iter().position(|node| node.name == name);
        found.ok_or_else(|| Failure::new(FailureClass::Observer, format!("there is no node {name:?}")))
    }

    /// A control plane's index.
    pub(super) fn plane(&self, name: &str) -> Result<usize, Failure> {
        let planes = self.fingerprint.with_role(NodeRole::ControlPlane).count();
        self.node(name).and_then(|node| match node < planes {
            true => Ok(node),
            false => Err(Failure::new(FailureClass::Observer, format!("{name} is no control plane"))),
        })
    }

    async fn ask(&self, observation: &Observation, attempt: Attempt) -> Result<Observed, Failure> {
        let stream = observation.stream();
        match observation {
            Observation::ApiRead { via, conn, from } => {
                self.api_read(&stream, via, *conn, *from, attempt).await
            }
            Observation::ApiWrite { via, conn } => self.api_write(&stream, via, *conn, attempt).await,
            Observation::EtcdStatus { member } => self.etcd_status(&stream, member, attempt).await,
            Observation::EtcdPut { member } => self.etcd_put(&stream, member, attempt).await,
            Observation::Lease { name } => self.lease(&stream, name, attempt).await,
            Observation::Nodes => self.nodes_seen(&stream, attempt).await,
            Observation::Pods => self.pods_seen(&stream, attempt).await,
            Observation::Converge => self.converge(&stream, attempt).await,
            Observation::NodeLease { node } => self.node_lease(&stream, node, attempt).await,
            Observation::Schedule => self.schedule(&stream, attempt).await,
            Observation::Workload { from, to } => self.workload(&stream, from, *to, attempt).await,
            Observation::Metrics { component, node } => {
                self.metrics(&stream, *component, node, attempt).await
            }
            Observation::Health { node, component } => {
                self.component_health(&stream, node, *component, attempt).await
            }
        }
    }
}

/// The model, locked and advanced to now; notes what its user has changed.
pub(super) struct Look<'a>(MutexGuard<'a, World>);

impl std::ops::Deref for Look<'_> {
    type Target = World;

    fn deref(&self) -> &World {
        &self.0
    }
}

impl std::ops::DerefMut for Look<'_> {
    fn deref_mut(&mut self) -> &mut World {
        &mut self.0
    }
}

/// `renewTime` as the API writes it.
pub(super) fn wall(at: Duration) -> String {
    let offset = SignedDuration::try_from(at).unwrap_or(SignedDuration::ZERO);
    Timestamp::from_second(START)
        .and_then(|start| start.checked_add(offset))
        .map(|time| time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string())
        .unwrap_or_default()
}

/// The failure of an attempt that ran out of its time.
pub(super) fn timed_out(after: Duration) -> Failure {
    Failure::new(FailureClass::Timeout, format!("no answer within {after:?}"))
}

fn address(last: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(172, 18, 0, u8::try_from(last + 1).unwrap_or(u8::MAX)))
}

/// Named as kind names its containers.
fn nodes(cluster: &str, profile: &Profile) -> Vec<Node> {
    let mut counts = [0, 0];
    let mut nodes: Vec<Node> = Vec::new();
    for (index, node) in profile.nodes.iter().enumerate() {
        let (word, count) = match node.role {
            NodeRole::ControlPlane => ("control-plane", &mut counts[0]),
            NodeRole::Worker => ("worker", &mut counts[1]),
        };
        *count += 1;
        let number = if *count == 1 { String::new() } else { count.to_string() };
        nodes.push(Node {
            name: format!("{cluster}-{word}{number}"),
            role: node.role,
            zone: node.zone.clone(),
            address: address(1 + index),
        });
    }
    nodes.sort_by_key(|node| node.role == NodeRole::Worker);
    nodes
}

#[async_trait]
impl Cluster for SimCluster {
    fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    fn capabilities(&self) -> &[Capability] {
        CAPABILITIES
    }

    async fn fixture(&self, workload: &WorkloadSpec) -> Result<Fixture, ClusterError> {
        let fixture = self.set_up(workload).await?;
        self.hang_up_kept();
        Ok(fixture)
    }

    async fn observe(&self, observation: &Observation, attempt: Attempt) -> Result<Observed, Failure> {
        let answer = timeout(attempt.timeout, self.ask(observation, attempt)).await;
        answer.unwrap_or_else(|_| Err(timed_out(attempt.timeout)))
    }

    async fn delete_pods(&self, names: &[String], limit: Duration) -> Result<(), Failure> {
        timeout(limit, self.mark_deleted(names)).await.unwrap_or_else(|_| Err(timed_out(limit)))
    }

    async fn load(&self, _: &LoadWanted) -> Result<Arc<dyn LoadTarget>, ClusterError> {
        Ok(Arc::new(SimLoad::prepare(self.connected_anew()).await))
    }

    async fn read_back_api(&self, through: &Endpoint) -> Result<ReadBack, Failure> {
        timeout(ASK, self.written_through_api(through)).await.unwrap_or_else(|_| Err(timed_out(ASK)))
    }

    async fn read_back_etcd(&self, member: &str) -> Result<ReadBack, Failure> {
        timeout(ASK, self.written_through_etcd(member)).await.unwrap_or_else(|_| Err(timed_out(ASK)))
    }

    fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    async fn configuration_now(&self) -> Result<Configuration, ClusterError> {
        Ok(super::configuration::live(&self.usual, &self.look()))
    }

    async fn watch(&self, through: &Endpoint, after: Option<u64>, tell: Tell<'_>) -> Result<(), Failure> {
        self.watched(through, after, tell).await
    }

    async fn acts(&self, last: Duration) -> Result<Vec<Acted>, Failure> {
        self.logged(last).await
    }

    /// Its time is virtual: it cannot be starved.
    async fn processors(&self) -> Result<Option<Processors>, ClusterError> {
        Ok(None)
    }

    async fn in_backoff(&self) -> Result<Vec<(String, String)>, Failure> {
        sleep(timing::ms(20)).await;
        let world = self.look();
        let nodes = world.nodes.iter().enumerate().filter_map(|(index, node)| {
            let ended = world.delayed(index);
            let words = |(name, ago): &(String, Duration)| {
                format!("a container of {name} ended {} s ago", ago.as_secs())
            };
            let words: Vec<String> = ended.iter().map(words).collect();
            (!words.is_empty()).then(|| (node.name.clone(), words.join(", ")))
        });
        Ok(nodes.collect())
    }

    async fn health(&self) -> Vec<String> {
        sleep(timing::ms(20)).await;
        let world = self.look();
        let mut problems = Vec::new();
        for (index, node) in world.nodes.iter().enumerate() {
            if node.ready != Ready::True || node.tainted.is_some() {
                problems.push(format!("node {} is not ready", node.name));
            }
            if index >= world.planes {
                continue;
            }
            if world.commits_through(index).is_none() {
                problems.push(format!("etcd member {} has no leader", node.name));
            }
            if !world.api_ready(index) {
                problems.push(format!("the api server on {} is not ready", node.name));
            }
            // A standby that is down shows nowhere else.
            for process in [Process::KubeControllerManager, Process::KubeScheduler] {
                if world.running(index, process).is_none() {
                    problems.push(format!("{process} on {} does not run", node.name));
                }
            }
        }
        for (component, (_, name)) in ELECTED.iter().enumerate() {
            let lease = &world.leases[component];
            let age = world.now.saturating_sub(lease.renewed);
            if lease.holder.is_empty() || age > world.election.lease_duration.0 {
                problems.push(format!("lease {name} was last renewed {age:?} ago"));
            }
        }
        problems
    }
}

impl Drop for Look<'_> {
    fn drop(&mut self) {
        self.0.take_note();
    }
}
