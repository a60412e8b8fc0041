//! What slow rules add to the ways between parties.

use std::{cell::Cell, time::Duration};

use recoup_model::degrade::{SlowRule, Slowed};
use recoup_model::time::Span;

use super::{
    World,
    network::{Party, covers},
    raft::PEER,
    timing,
};

/// A rule in force with the packets it has held.
#[derive(Debug)]
pub(crate) struct Late {
    pub(crate) rule: SlowRule,
    /// What holds packets ends then by itself; the rule stays, and holds nothing.
    pub(crate) until: Duration,
    pub(crate) packets: Cell<u64>,
}

impl Late {
    /// What it counts.
    pub(crate) fn slowed(&self) -> Slowed {
        let packets = self.packets.get();
        let longest = Span(self.rule.delay.0 + self.rule.jitter.0);
        let lost = packets * u64::from(self.rule.loss.0) / 1_000_000;
        Slowed {
            packets: packets - lost,
            lost,
            overflowed: 0,
            p50: self.rule.delay,
            p99: longest,
            max: longest,
        }
    }

    /// How much later a packet is, in the mean: the delay, its time on the line, and what TCP waits before it sends
    /// one again that was lost.
    fn lateness(&self) -> Duration {
        let share = f64::from(self.rule.loss.0.min(990_000)) / 1e6;
        let again = timing::RETRANSMISSION.mul_f64(share / (1.0 - share));
        let line = self.rule.bandwidth.map_or(Duration::ZERO, |bandwidth| {
            Duration::from_micros(timing::PACKET_BITS * 1_000_000 / bandwidth.0.max(1))
        });
        self.rule.delay.0 + again + line
    }
}

impl World {
    /// The first rule of each end that holds packets of that TCP port between the two, on one of their two ways.
    fn holding(&self, a: Party, b: Party, port: u16) -> impl Iterator<Item = &Late> {
        let ends = [(a, b), (b, a)];
        ends.into_iter().filter(move |_| a != b).filter_map(move |(here, peer)| {
            let Party::Node(node) = here else { return None };
            let late = self.nodes[node].late.iter().filter(|late| self.now < late.until);
            late.rev().find(|late| covers(&late.rule.peers, &late.rule.ports, self.address(peer), port))
        })
    }

    /// How much longer a packet and its answer take.
    pub(crate) fn detour(&self, a: Party, b: Party, port: u16) -> Duration {
        self.holding(a, b, port).map(Late::lateness).sum()
    }

    /// The same of a packet that is sent now, which is counted.
    pub(crate) fn take_detour(&self, a: Party, b: Party, port: u16) -> Duration {
        let held = self.holding(a, b, port);
        held.inspect(|late| late.packets.set(late.packets.get() + 1)).map(Late::lateness).sum()
    }

    /// How much longer agreement takes through that member: its own way to the leader, and the leader's to those
    /// that make a quorum with it, the quickest ones. A slow follower that is not needed costs nothing.
    pub(crate) fn agreement(&self, member: usize) -> Duration {
        let Some(leader) = self.commits_through(member) else { return Duration::ZERO };
        let way = |peer: usize| self.detour(Party::Node(leader), Party::Node(peer), PEER);
        let mut ways: Vec<Duration> = self.peers(leader).into_iter().map(way).collect();
        ways.sort();
        let needed =
            self.quorum().checked_sub(2).and_then(|last| ways.get(last)).copied().unwrap_or_default();
        needed + if member == leader { Duration::ZERO } else { way(member) }
    }
}
