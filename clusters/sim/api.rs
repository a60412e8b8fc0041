//! Observations of API servers and of what they tell: leases, nodes, pods.

use std::time::Duration;

use recoup_model::{
    action::Process,
    observation::{Conn, Endpoint, Failure, FailureClass, Freshness, NodeState, Observed, PodState, SLOTS},
};
use tokio::time::sleep;

use super::{
    SimCluster,
    cluster::wall,
    model::{
        World,
        apiserver::{self, Flight, Outcome, Request},
        balancer::Key,
        kubelet::{Owner, Ready},
        lease::ELECTED,
        network::Party,
        raft::Entry,
        timing::{self, ms},
    },
};
use crate::{Attempt, ReadBack};

/// A request's connection; a new one is closed when the request is over or dropped.
pub(super) struct Call<'a> {
    cluster: &'a SimCluster,
    pub(super) key: Key,
    pub(super) via: Option<usize>,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if matches!(self.key, Key::Once(_)) {
            self.cluster.look().hang_up(self.key);
        }
    }
}

impl SimCluster {
    /// Through the load balancer quorum reads (0), cached reads (1) and writes (2) keep a connection each.
    pub(super) fn call(&self, via: &Endpoint, conn: Conn, lane: u8) -> Result<Call<'_>, Failure> {
        let via = match via {
            Endpoint::Lb => None,
            Endpoint::Node(node) => Some(self.plane(node)?),
        };
        let key = match conn {
            Conn::Reused => Key::Kept(via, if via.is_none() { lane } else { 0 }),
            Conn::New => Key::Once(self.next_once()),
        };
        Ok(Call { cluster: self, key, via })
    }

    /// The next experiment's kept connections to the load balancer are opened anew.
    pub(super) fn hang_up_kept(&self) {
        let mut world = self.look();
        (0..3).for_each(|lane| world.hang_up(Key::Kept(None, lane)));
    }

    /// A load's connection to an API server: the probes' are others.
    pub(super) fn load_call(&self, plane: usize) -> Call<'_> {
        Call { cluster: self, key: Key::Kept(Some(plane), 1), via: Some(plane) }
    }

    /// One request with its latency; `answer` sees the model at the moment when the server decides, after a
    /// write has been committed. Where there is a load, it waits in the server's queue.
    pub(super) async fn exchange<T>(
        &self,
        call: &Call<'_>,
        request: Request,
        half: Duration,
        entry: Option<Entry>,
        answer: impl FnMut(&mut World) -> T,
    ) -> Result<T, Failure> {
        let told = self.exchange_unqueued(call, request, half, entry, answer).await?;
        let queued = {
            let world = self.look();
            world.backend(call.key).map_or(Duration::ZERO, |plane| world.queued(plane))
        };
        if !queued.is_zero() {
            sleep(queued).await;
        }
        Ok(told)
    }

    /// The same, where it has waited already.
    pub(super) async fn exchange_unqueued<T>(
        &self,
        call: &Call<'_>,
        request: Request,
        half: Duration,
        entry: Option<Entry>,
        mut answer: impl FnMut(&mut World) -> T,
    ) -> Result<T, Failure> {
        // Measured on an idle kind cluster: a new connection costs two more round trips and a handshake.
        sleep(if matches!(call.key, Key::Once(_)) { half + ms(6) } else { half }).await;
        let mut flight: Option<Flight> = None;
        let trips = if matches!(call.key, Key::Once(_)) { timing::NEW_CONNECTION } else { 1 };
        let (told, bound, late) = self
            .until(|world| {
                let now = world.now;
                let flight = flight.get_or_insert_with(|| Flight::observed(now));
                match world.ask(call.key, call.via, Party::Outside, request, flight) {
                    Outcome::Waiting => None,
                    Outcome::Failed(failure) => Some(Err(failure)),
                    Outcome::Good => {
                        let late = flight.bound.map_or(Duration::ZERO, |(backend, _)| {
                            let way =
                                world.take_detour(Party::Outside, Party::Node(backend), apiserver::PORT);
                            let agreed = request != Request::Cached;
                            way * trips + if agreed { world.agreement(backend) } else { Duration::ZERO }
                        });
                        let done = entry.clone().is_none_or(|entry| world.commit_for(call.key, entry));
                        done.then(|| Ok((answer(world), flight.bound, late)))
                    }
                }
            })
            .await?;
        sleep(half + late).await;
        // The answer is on its way back: lost with its sender, held up while that is frozen.
        self.until(|world| {
            let Some((backend, pid)) = bound else { return Some(Ok(())) };
            if world.pid(backend, Process::KubeApiserver) != Some(pid) {
                return Some(Err(Failure::new(FailureClass::Reset, "connection reset by peer")));
            }
            (!world.frozen(backend, Process::KubeApiserver)).then_some(Ok(()))
        })
        .await?;
        Ok(told)
    }

    pub(super) async fn api_read(
        &self,
        stream: &str,
        via: &Endpoint,
        conn: Conn,
        from: Freshness,
        attempt: Attempt,
    ) -> Result<Observed, Failure> {
        let (request, typical, lane) = match from {
            Freshness::Linearizable => (Request::Read, ms(4), 0),
            Freshness::Cache => (Request::Cached, ms(2), 1),
        };
        let half = self.half_latency(stream, attempt.number, typical);
        self.exchange(&self.call(via, conn, lane)?, request, half, None, |_| Observed::Answered).await
    }

    pub(super) async fn api_write(
        &self,
        stream: &str,
        via: &Endpoint,
        conn: Conn,
        attempt: Attempt,
    ) -> Result<Observed, Failure> {
        let number = attempt.number;
        let half = self.half_latency(stream, number, ms(10));
        let entry = Entry::Write { stream: stream.to_owned(), slot: number % SLOTS, number };
        let call = self.call(via, conn, 2)?;
        let key = call.key;
        let told = |world: &mut World| Observed::Acknowledged { number, revision: world.revision_for(key) };
        self.exchange(&call, Request::Write, half, Some(entry), told).await
    }

    /// A write of the harness's own through the load balancer: `change` is done when it is committed.
    pub(super) async fn change(
        &self,
        stream: &str,
        attempt: Attempt,
        change: impl FnMut(&mut World),
    ) -> Result<(), Failure> {
        let half = self.half_latency(stream, attempt.number, ms(10));
        self.exchange(
            &self.call(&Endpoint::Lb, Conn::Reused, 2)?,
            Request::Write,
            half,
            Some(Entry::Other),
            change,
        )
        .await
    }

    /// A quorum read through the API servers in turn.
    async fn read_in_turn<T>(
        &self,
        stream: &str,
        attempt: Attempt,
        answer: impl FnMut(&mut World) -> T,
    ) -> Result<T, Failure> {
        let planes = self.look().planes as u64;
        let turn = usize::try_from(attempt.number % planes.max(1)).unwrap_or(0);
        let call = Call { cluster: self, key: Key::Kept(Some(turn), 0), via: Some(turn) };
        let half = self.half_latency(stream, attempt.number, ms(5));
        self.exchange(&call, Request::Read, half, None, answer).await
    }

    pub(super) async fn lease(
        &self,
        stream: &str,
        name: &str,
        attempt: Attempt,
    ) -> Result<Observed, Failure> {
        let component = ELECTED.iter().position(|(_, lease)| *lease == name);
        let component = component
            .ok_or_else(|| Failure::new(FailureClass::Rejected, format!("leases {name:?} not found")))?;
        self.read_in_turn(stream, attempt, |world| {
            let lease = &world.leases[component];
            Observed::Lease { holder: lease.holder.clone(), renewed: wall(lease.renewed) }
        })
        .await
    }

    pub(super) async fn nodes_seen(&self, stream: &str, attempt: Attempt) -> Result<Observed, Failure> {
        let states = |world: &mut World| {
            let state = |(index, node): (usize, &super::model::kubelet::Machine)| {
                let mut taints: Vec<String> = Vec::new();
                if index < world.planes {
                    taints.push("node-role.kubernetes.io/control-plane:NoSchedule".into());
                }
                if let Some((key, _)) = node.tainted {
                    taints.extend([format!("{key}:NoExecute"), format!("{key}:NoSchedule")]);
                }
                taints.sort();
                let ready = match node.ready {
                    Ready::True => "True",
                    Ready::False => "False",
                    Ready::Unknown => "Unknown",
                };
                NodeState { name: node.name.clone(), ready: ready.into(), taints }
            };
            Observed::Nodes(world.nodes.iter().enumerate().map(state).collect())
        };
        self.read_in_turn(stream, attempt, states).await
    }

    pub(super) async fn pods_seen(&self, stream: &str, attempt: Attempt) -> Result<Observed, Failure> {
        let pods = |world: &mut World| {
            let mut pods: Vec<PodState> = world
                .pods
                .iter()
                .filter(|pod| pod.owner == Owner::Workload)
                .map(|pod| PodState {
                    name: pod.name.clone(),
                    node: pod.node.map(|node| world.nodes[node].name.clone()),
                    ip: pod.ip.clone(),
                    ready: pod.ready,
                    deleting: pod.deleting,
                    restarts: pod.restarts,
                })
                .collect();
            pods.sort_by(|a, b| a.name.cmp(&b.name));
            Observed::Pods(pods)
        };
        self.read_in_turn(stream, attempt, pods).await
    }

    pub(super) async fn written_through_api(&self, through: &Endpoint) -> Result<ReadBack, Failure> {
        let half = self.half_latency("read-back", 0, ms(20));
        let call = self.call(through, Conn::New, 0)?;
        let key = call.key;
        let read = |world: &mut World| world.backend(key).and_then(|plane| found(world, plane, "api/write/"));
        let gone = || Failure::new(FailureClass::Unavailable, "etcdserver: no leader");
        self.exchange(&call, Request::Read, half, None, read).await?.ok_or_else(gone)
    }
}

/// Highest number by stream and slot, of streams that begin with `prefix`, as that member's quorum has it.
pub(super) fn found(world: &World, member: usize, prefix: &str) -> Option<ReadBack> {
    let mut found = ReadBack::new();
    for entry in world.committed(member)? {
        if let Entry::Write { stream, slot, number } = entry
            && stream.starts_with(prefix)
        {
            let highest = found.entry(stream.clone()).or_default().entry(*slot).or_default();
            *highest = (*highest).max(*number);
        }
    }
    Some(found)
}
