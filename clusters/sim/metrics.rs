//! The components' own metrics, as the model has them: a function per series.
//!
//! Counters and histograms stand for what has happened since the process began. Between two readings each of them is
//! taken to have gone on as it stands at the later one: a model of metrics, not of their resolution.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use recoup_model::{
    action::StaticPod,
    metrics::{Kind, STARTED, condense, of},
    observation::{Failure, FailureClass, Observed},
};
use tokio::time::sleep;

use super::{
    SimCluster,
    model::{Fact, World, apiserver, lease::ELECTED, network::Party, raft, timing},
};
use crate::Attempt;

/// `--secure-port` of controller-managers and schedulers.
const PORTS: [u16; 2] = [10257, 10259];
/// Shares of a typical time, and how many observations take no longer: about what an idle real cluster shows.
const SHAPE: [(f64, f64); 5] = [(0.5, 0.1), (1.0, 0.5), (2.0, 0.9), (4.0, 0.99), (8.0, 1.0)];
/// The first bound of a histogram, and their count: each is twice the one before.
const BOUNDS: (f64, u32) = (0.000_1, 17);

/// What one process has told so far.
#[derive(Debug, Default)]
struct Meter {
    pid: u32,
    /// When it was read last, since the model's start.
    read: Duration,
    counters: BTreeMap<&'static str, f64>,
    histograms: BTreeMap<&'static str, Histogram>,
}

/// Count, sum, and what lies at or below each bound.
type Histogram = (f64, f64, Vec<(f64, f64)>);

/// Of every instance.
#[derive(Debug, Default)]
pub(super) struct Meters(Mutex<BTreeMap<(StaticPod, usize), Meter>>);

/// How a series stands now.
enum Now {
    /// A gauge's value.
    Level(f64),
    /// Events since the process began.
    Events(f64),
    /// Events per second.
    PerSecond(f64),
    /// Observations per second, and the time that a typical one takes.
    Times(f64, Duration),
    /// The model does not have it.
    Absent,
}

impl SimCluster {
    pub(super) async fn metrics(
        &self,
        stream: &str,
        component: StaticPod,
        node: &str,
        attempt: Attempt,
    ) -> Result<Observed, Failure> {
        let node = self.plane(node)?;
        let half = self.half_latency(stream, attempt.number, timing::ms(10));
        sleep(half).await;
        let told = self
            .until(|world| {
                Some(reachable(world, component, node)?.map(|()| self.meters.read(world, component, node)))
            })
            .await;
        sleep(half).await;
        told.map(|values| Observed::Metrics { values })
    }
}

/// Whether the instance answers at all; none while it hangs.
fn reachable(world: &World, component: StaticPod, node: usize) -> Option<Result<(), Failure>> {
    let port = match component {
        StaticPod::Etcd => raft::CLIENT,
        StaticPod::KubeApiserver => apiserver::PORT,
        StaticPod::KubeControllerManager => PORTS[0],
        StaticPod::KubeScheduler => PORTS[1],
    };
    if world.nodes[node].paused || !world.send(Party::Outside, Party::Node(node), port) {
        return None;
    }
    let listens = component != StaticPod::KubeApiserver || world.listens(node);
    match world.running(node, component.process()) {
        Some(run) if listens && world.now >= run.ready => (!run.stopped).then_some(Ok(())),
        _ => Some(Err(Failure::new(FailureClass::Refused, "connection refused"))),
    }
}

impl Meters {
    fn read(&self, world: &World, component: StaticPod, node: usize) -> BTreeMap<String, i64> {
        let mut meters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let meter = meters.entry((component, node)).or_default();
        let (pid, since) =
            world.running(node, component.process()).map_or((0, world.now), |run| (run.id.pid, run.since));
        if meter.pid != pid {
            *meter = Meter { pid, read: since, ..Meter::default() };
        }
        let passed = world.now.saturating_sub(std::mem::replace(&mut meter.read, world.now)).as_secs_f64();
        let mut values = BTreeMap::from([(STARTED.to_owned(), millionths(since.as_secs_f64()))]);
        for metric in of(component) {
            let name = metric.name;
            match series(world, node, component, name) {
                Now::Level(value) | Now::Events(value) => {
                    values.insert(name.to_owned(), millionths(value));
                }
                Now::PerSecond(rate) => {
                    let counter = meter.counters.entry(name).or_default();
                    *counter += rate * passed;
                    values.insert(name.to_owned(), millionths(counter.floor()));
                }
                Now::Times(rate, typical) if metric.kind == Kind::Histogram => {
                    let (count, sum, buckets) =
                        meter.histograms.entry(name).or_insert_with(|| (0.0, 0.0, bounds()));
                    observe(rate * passed, typical.as_secs_f64(), count, sum, buckets);
                    condense(name, *count, *sum, buckets.clone(), &mut values);
                }
                Now::Times(..) | Now::Absent => {}
            }
        }
        values
    }
}

fn millionths(value: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "a cast to an integer saturates")]
    let whole = (value * 1e6).round() as i64;
    whole
}

fn bounds() -> Vec<(f64, f64)> {
    (0..BOUNDS.1).map(|n| (BOUNDS.0 * f64::from(1 << n), 0.0)).collect()
}

/// Adds that many observations, spread around a typical time by [`SHAPE`].
fn observe(observations: f64, typical: f64, count: &mut f64, sum: &mut f64, buckets: &mut [(f64, f64)]) {
    let (mut from, mut below) = (0.0, 0.0);
    for (share, upto) in SHAPE {
        *sum += observations * (upto - below) * typical * (from + share) / 2.0;
        (from, below) = (share, upto);
    }
    *count += observations;
    for (bound, counted) in buckets {
        let at = *bound / typical.max(1e-9);
        let (mut from, mut below) = (0.0, 0.0);
        let mut part = 1.0;
        for (share, upto) in SHAPE {
            if at < share {
                part = below + (upto - below) * (at - from) / (share - from);
                break;
            }
            (from, below) = (share, upto);
        }
        *counted += observations * part;
    }
}

/// One of the list's metrics on one instance now: here the model's delays and limits come in.
fn series(world: &World, node: usize, component: StaticPod, name: &str) -> Now {
    match (component, name) {
        (StaticPod::Etcd, "leaderChanges") => Now::Events(leader_changes(world, node)),
        (StaticPod::Etcd, "proposalsFailed" | "heartbeatsLate") => Now::Events(0.0),
        (StaticPod::Etcd, "peerRoundTrip") => Now::Times(0.2, peer_round_trip(world, node)),
        (StaticPod::Etcd, "walFsync") => Now::Times(30.0, wal_fsync(world, node)),
        (StaticPod::Etcd, "backendCommit") => Now::Times(10.0, backend_commit(world, node)),
        (StaticPod::Etcd, "dbSize") => Now::Level(db_size(world, node)),
        (StaticPod::KubeApiserver, "readDuration") => Now::Times(20.0, read_duration(world, node)),
        (StaticPod::KubeApiserver, "writeDuration") => Now::Times(15.0, write_duration(world, node)),
        (StaticPod::KubeApiserver, "leaseRenewals") => Now::PerSecond(lease_renewals(world, node)),
        (StaticPod::KubeApiserver, "throttled") => Now::Events(0.0),
        (StaticPod::KubeControllerManager, "leading") => Now::Level(leading(world, node, 0)),
        (StaticPod::KubeScheduler, "leading") => Now::Level(leading(world, node, 1)),
        (StaticPod::KubeScheduler, "pendingPods") => Now::Level(pending_pods(world, node)),
        _ => Now::Absent,
    }
}

/// A member counts the leader that it finds at its start, and every later one.
fn leader_changes(world: &World, node: usize) -> f64 {
    let since = world.running(node, StaticPod::Etcd.process()).map_or(world.now, |run| run.since);
    let elected =
        world.facts.iter().filter(|(at, fact)| *at > since && matches!(fact, Fact::LeaderElected { .. }));
    let changes = u32::try_from(elected.count()).unwrap_or(u32::MAX);
    f64::from(changes.max(u32::from(world.members[node].lead.is_some())))
}

/// The mean over the other members.
fn peer_round_trip(world: &World, node: usize) -> Duration {
    let others = (0..world.planes).filter(|other| *other != node);
    let detours: Vec<Duration> =
        others.map(|other| world.detour(Party::Node(node), Party::Node(other), raft::PEER)).collect();
    let count = u32::try_from(detours.len().max(1)).unwrap_or(u32::MAX);
    Duration::from_micros(600) + detours.iter().sum::<Duration>() / count
}

fn wal_fsync(world: &World, node: usize) -> Duration {
    Duration::from_micros(1_500) + world.member_delay(node, true)
}

fn backend_commit(_world: &World, _node: usize) -> Duration {
    Duration::from_micros(2_500)
}

/// 4 KiB a revision on top of an empty file's 20 MiB.
fn db_size(world: &World, node: usize) -> f64 {
    let revisions = u32::try_from(world.revision(node)).unwrap_or(u32::MAX);
    20.0 * 1_048_576.0 + f64::from(revisions) * 4096.0
}

fn read_duration(_world: &World, _node: usize) -> Duration {
    timing::ms(3)
}

fn write_duration(_world: &World, _node: usize) -> Duration {
    timing::ms(9)
}

/// A holder renews by its own API server, once per retry period, and so does its kubelet every 10 s.
fn lease_renewals(world: &World, node: usize) -> f64 {
    let held = (0..ELECTED.len()).filter(|component| world.holder(*component) == Some(node));
    let elected: f64 =
        held.map(|component| 1.0 / world.election_of(component, node).retry_period.0.as_secs_f64()).sum();
    elected + 1.0 / timing::NODE_LEASE.as_secs_f64()
}

fn leading(world: &World, node: usize, component: usize) -> f64 {
    f64::from(u8::from(world.holder(component) == Some(node)))
}

/// Only the instance that leads has a queue.
fn pending_pods(world: &World, node: usize) -> f64 {
    if world.holder(1) != Some(node) {
        return 0.0;
    }
    let pending = world.pods.iter().filter(|pod| pod.node.is_none() && !pod.deleting).count();
    f64::from(u32::try_from(pending).unwrap_or(u32::MAX))
}
