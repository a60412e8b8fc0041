//! Components whose processor time or disk is limited: what that makes of their answers, and what a kernel counts.
//!
//! A component needs a steady share of a core and of its disk. One that gets less works the slower, by the ratio; the
//! counters follow from the time. Answers of etcd and of API servers get slower; the other components only show it.

use std::time::Duration;

use recoup_model::{
    action::Process,
    degrade::{Limit, Limited},
    time::Span,
};

use super::{World, raft::Role, timing};

/// A limit in force.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limiting {
    pub(crate) limit: Limit,
    since: Duration,
}

/// The kernel's period of a processor quota.
const PERIOD: Duration = timing::ms(100);
/// What a member uses under recoup's probes, in thousandths of a core (measured: 60 to 120 on an idle cluster).
const ETCD_NEEDS: u32 = 100;
/// The same of an API server.
const API_NEEDS: u32 = 200;
/// The same of the other components.
const OTHERS_NEED: u32 = 20;
/// Writes a second of a member under recoup's probes: a few requests share one (measured: 60 to 120).
const WRITES: u32 = 80;
/// Bytes of one of them.
const WRITE: u32 = 4096;
/// A request waits for so many of its member's writes: the log's, and the file's end.
const WRITES_PER_REQUEST: u32 = 2;

fn needs(process: Process) -> u32 {
    match process {
        Process::Etcd => ETCD_NEEDS,
        Process::KubeApiserver => API_NEEDS,
        _ => OTHERS_NEED,
    }
}

impl Limiting {
    /// How much later than usual each of the process's answers is, for want of processor time: it gets on only for
    /// its share of each period.
    fn processor(&self, process: Process) -> Duration {
        let starved = self.limit.cpu.filter(|cores| cores.0 < needs(process));
        starved.map_or(Duration::ZERO, |cores| PERIOD * needs(process) / cores.0.max(1))
    }

    /// Writes a second that the disk takes of it.
    fn writes(&self) -> u32 {
        let bytes = self.limit.write_bytes.map(|bytes| u32::try_from(bytes.0).unwrap_or(u32::MAX) / WRITE);
        [self.limit.write_iops, bytes].into_iter().flatten().min().unwrap_or(WRITES).clamp(1, WRITES)
    }

    /// How much later a member has written something to its disk.
    fn disk(&self) -> Duration {
        let writes = self.writes();
        if writes == WRITES { Duration::ZERO } else { Duration::from_secs(1) * WRITES_PER_REQUEST / writes }
    }
}

impl World {
    /// Limits a process, in place of an earlier limit; false where there is none of its name on the node.
    pub(crate) fn limit(&mut self, node: usize, process: Process, limit: Limit) -> bool {
        if self.running(node, process).is_none() {
            return false;
        }
        let since = self.now;
        self.nodes[node].changed.limits.insert(process, Limiting { limit, since });
        true
    }

    /// What a kernel would have counted by now.
    pub(crate) fn limited(&self, node: usize, process: Process) -> Option<Limited> {
        let limiting = self.nodes[node].changed.limits.get(&process)?;
        let over = self.now.saturating_sub(limiting.since);
        let periods = u64::try_from(over.as_millis() / PERIOD.as_millis()).unwrap_or(u64::MAX);
        let starved = limiting.limit.cpu.filter(|cores| cores.0 < needs(process));
        let throttled = if starved.is_some() { periods } else { 0 };
        let stopped = starved.map_or(0.0, |cores| 1.0 - f64::from(cores.0) / f64::from(needs(process)));
        let io = Limit { cpu: None, ..limiting.limit } != Limit::default();
        let writes = if process == Process::Etcd && io {
            over.as_millis() * u128::from(limiting.writes()) / 1000
        } else {
            0
        };
        let writes = u64::try_from(writes).unwrap_or(u64::MAX);
        Some(Limited {
            cgroup: format!("SIMULATED/{process}"),
            in_force: self.running(node, process).is_some(),
            periods: if limiting.limit.cpu.is_some() { periods } else { 0 },
            throttled,
            throttled_for: Span((PERIOD * u32::try_from(throttled).unwrap_or(u32::MAX)).mul_f64(stopped)),
            writes,
            write_bytes: writes * u64::from(WRITE),
            disks: u32::from(io),
            ..Limited::default()
        })
    }

    fn limiting(&self, node: usize, process: Process) -> Option<&Limiting> {
        self.nodes[node].changed.limits.get(&process)
    }

    /// How much later an API server's answer is.
    pub(crate) fn api_delay(&self, node: usize) -> Duration {
        let of = |limiting: &Limiting| limiting.processor(Process::KubeApiserver);
        self.limiting(node, Process::KubeApiserver).map_or(Duration::ZERO, of)
    }

    /// How much later a member has taken note of a message, and of a write where it is one.
    pub(crate) fn member_delay(&self, member: usize, write: bool) -> Duration {
        let of = |limiting: &Limiting| {
            limiting.processor(Process::Etcd) + if write { limiting.disk() } else { Duration::ZERO }
        };
        self.limiting(member, Process::Etcd).map_or(Duration::ZERO, of)
    }

    /// How much later a request through that member is answered: its own part, the leader's, and that of the quickest
    /// others that make a majority with the leader.
    pub(crate) fn etcd_delay(&self, member: usize, write: bool) -> Duration {
        let Some(leader) = self.members[member].lead else { return Duration::ZERO };
        let own = if leader == member { Duration::ZERO } else { self.member_delay(member, write) };
        let mut others: Vec<Duration> = (0..self.members.len())
            .filter(|other| *other != leader)
            .map(|other| self.member_delay(other, write))
            .collect();
        others.sort_unstable();
        let majority = (self.members.len() / 2).checked_sub(1).and_then(|last| others.get(last));
        own + self.member_delay(leader, write) + majority.copied().unwrap_or_default()
    }

    /// A leader so slow that its heartbeats come later than the others wait for them.
    pub(crate) fn too_slow_to_lead(&self, member: usize) -> bool {
        self.members[member].role == Role::Leader
            && self.member_delay(member, false) >= timing::HEARTBEAT * timing::ELECTION_TICKS
    }
}
