//! Observations of single etcd members.

use recoup_model::{
    action::Process,
    observation::{Failure, FailureClass, Observed},
};
use tokio::time::sleep;

use super::{
    SimCluster,
    api::found,
    model::{
        World,
        apiserver::{Flight, Outcome},
        network::Party,
        raft::{CLIENT, Entry},
        timing::ms,
    },
};
use crate::{Attempt, Cluster, ReadBack};

/// Whether a member answers at all.
fn reachable(world: &World, member: usize) -> Option<Result<(), Failure>> {
    if world.nodes[member].paused || !world.send(Party::Outside, Party::Node(member), CLIENT) {
        return None;
    }
    match world.running(member, Process::Etcd) {
        Some(run) if world.now >= run.ready => (!run.stopped).then_some(Ok(())),
        _ => Some(Err(Failure::new(FailureClass::Refused, "connection refused"))),
    }
}

/// A member's id: made up, but as stable as a real one.
fn id(member: usize) -> String {
    format!("{:016x}", 0x8e9e_05c5_2164_694d_u64.rotate_left(u32::try_from(member).unwrap_or(0) * 8))
}

impl SimCluster {
    pub(super) async fn etcd_status(
        &self,
        stream: &str,
        member: &str,
        attempt: Attempt,
    ) -> Result<Observed, Failure> {
        let member = self.plane(member)?;
        let half = self.half_latency(stream, attempt.number, ms(2));
        sleep(half).await;
        let told = self
            .until(|world| {
                let late = world.take_detour(Party::Outside, Party::Node(member), CLIENT);
                reachable(world, member).map(|reached| {
                    reached
                        .map(|()| {
                            let state = &world.members[member];
                            Observed::Member {
                                id: id(member),
                                leader: state.lead.map(id),
                                term: state.term,
                                applied: state.applied as u64,
                            }
                        })
                        .map(|told| (told, late))
                })
            })
            .await;
        let late = told.as_ref().map_or(std::time::Duration::ZERO, |(_, late)| *late);
        sleep(half + late).await;
        told.map(|(told, _)| told)
    }

    pub(super) async fn etcd_put(
        &self,
        stream: &str,
        member: &str,
        attempt: Attempt,
    ) -> Result<Observed, Failure> {
        let number = attempt.number;
        let entry = Entry::Write { stream: stream.to_owned(), slot: number, number };
        let half = self.half_latency(stream, number, ms(6));
        let told = |world: &World, member| {
            Some(Observed::Acknowledged { number, revision: Some(world.revision(member)) })
        };
        self.through_member(member, half, Some(&entry), told).await
    }

    /// The members are asked in turn.
    pub(super) async fn node_lease(
        &self,
        stream: &str,
        node: &str,
        attempt: Attempt,
    ) -> Result<Observed, Failure> {
        let node = self.node(node)?;
        let half = self.half_latency(stream, attempt.number, ms(2));
        let planes = self.look().planes as u64;
        let turn = usize::try_from(attempt.number % planes.max(1)).unwrap_or(0);
        let member = &self.fingerprint().nodes[turn].name;
        let told = |world: &World, _| Some(Observed::Renewed { revision: world.nodes[node].lease_revision });
        self.through_member(member, half, None, told).await
    }

    pub(super) async fn written_through_etcd(&self, member: &str) -> Result<ReadBack, Failure> {
        let half = self.half_latency("read-back", 1, ms(20));
        self.through_member(member, half, None, |world, member| found(world, member, "etcd/put/")).await
    }

    /// A linearizable request through one member; its answer is lost when the member ends meanwhile.
    async fn through_member<T>(
        &self,
        member: &str,
        half: std::time::Duration,
        entry: Option<&Entry>,
        answer: impl Fn(&World, usize) -> Option<T>,
    ) -> Result<T, Failure> {
        let member = self.plane(member)?;
        sleep(half).await;
        let mut flight: Option<(Flight, Option<u32>)> = None;
        let reset = || Failure::new(FailureClass::Reset, "connection reset by peer");
        let (told, pid, late) = self
            .until(|world| {
                match reachable(world, member)? {
                    // It was there when the request was sent.
                    Err(_) if flight.is_some() => return Some(Err(reset())),
                    Err(refused) => return Some(Err(refused)),
                    Ok(()) => {}
                }
                let (now, pid) = (world.now, world.pid(member, Process::Etcd));
                let (flight, sent_to) = flight.get_or_insert_with(|| (Flight::observed(now), pid));
                if *sent_to != pid {
                    return Some(Err(reset()));
                }
                match world.etcd_answer(member, entry.is_some(), flight) {
                    Outcome::Waiting => None,
                    Outcome::Failed(failure) => Some(Err(failure)),
                    Outcome::Good => {
                        let client = world.take_detour(Party::Outside, Party::Node(member), CLIENT);
                        let late = client + world.agreement(member);
                        let done = entry.is_none_or(|entry| world.commit(member, entry.clone()));
                        done.then(|| answer(world, member)).flatten().map(|told| Ok((told, pid, late)))
                    }
                }
            })
            .await?;
        sleep(half + late).await;
        self.until(|world| {
            if world.pid(member, Process::Etcd) != pid {
                return Some(Err(reset()));
            }
            (!world.frozen(member, Process::Etcd)).then_some(Ok(()))
        })
        .await?;
        Ok(told)
    }
}
