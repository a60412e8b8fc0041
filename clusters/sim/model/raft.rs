//! etcd's members: terms, elections with PreVote and CheckQuorum, replication.
//!
//! Message exchange within a tick is instantaneous (what slow rules cost is added where somebody waits for it, and
//! members whose answers take as long as an election are apart); elections take [`timing::VOTES`]. The log is one
//! vector of which each member holds a prefix, and a new leader cuts what it does not hold: were the
//! rules of election wrong, acknowledged writes would be lost here as they would be in etcd.

use std::time::Duration;

use recoup_model::action::Process;

use super::{Event, World, network::Party, timing};

/// The client port.
pub(crate) const CLIENT: u16 = 2379;
/// The peer port.
pub(crate) const PEER: u16 = 2380;

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Follower,
    Leader,
}

/// One member. Term and log survive its process, the rest does not.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) role: Role,
    pub(crate) term: u64,
    pub(crate) lead: Option<usize>,
    /// Length of the log's prefix that it holds.
    pub(crate) applied: usize,
    /// Ticks since it heard of a leader; for a leader: since it heard of a quorum.
    elapsed: u32,
    /// Its election timeout in ticks.
    timeout: u32,
}

impl Member {
    pub(crate) fn new() -> Member {
        Member {
            role: Role::Follower,
            term: 1,
            lead: None,
            applied: 0,
            elapsed: 0,
            timeout: timing::ELECTION_TICKS,
        }
    }
}

/// What the log holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// A leader's first entry, or a write that nobody reads back.
    Other,
    /// A number in a slot of a stream.
    Write {
        /// The writing stream.
        stream: String,
        /// Its slot.
        slot: u64,
        /// What was written.
        number: u64,
    },
    /// Everything before is forgotten.
    Cleared,
}

impl World {
    pub(crate) fn quorum(&self) -> usize {
        self.members.len() / 2 + 1
    }

    /// Both members work, their peer ports reach each other, and answers come before an election would begin.
    fn linked(&self, a: usize, b: usize) -> bool {
        self.works(a, Process::Etcd)
            && self.works(b, Process::Etcd)
            && self.open(Party::Node(a), Party::Node(b), PEER)
            && self.detour(Party::Node(a), Party::Node(b), PEER) < timing::HEARTBEAT * timing::ELECTION_TICKS
    }

    pub(crate) fn peers(&self, member: usize) -> Vec<usize> {
        (0..self.members.len()).filter(|peer| *peer != member && self.linked(member, *peer)).collect()
    }

    pub(crate) fn raft_start(&mut self, node: usize, pid: u32, ready: Duration) {
        let timeout = self.election_timeout();
        let alone = self.members.len() == 1;
        let member = &mut self.members[node];
        member.role = Role::Follower;
        member.lead = None;
        member.timeout = timeout;
        // A member without peers does not wait for one (etcd's `InitialElectionTickAdvance`).
        member.elapsed = if alone { timeout - 1 } else { 0 };
        let phase = self.dice.between((Duration::ZERO, timing::HEARTBEAT));
        self.push(ready + phase, Event::Raft { node, pid });
    }

    fn election_timeout(&mut self) -> u32 {
        let extra = self.dice.below(timing::ELECTION_TICKS as usize);
        timing::ELECTION_TICKS + u32::try_from(extra).unwrap_or(0)
    }

    pub(crate) fn on_raft_tick(&mut self, node: usize, pid: u32) {
        if self.pid(node, Process::Etcd) != Some(pid) {
            return;
        }
        self.push(self.now + timing::HEARTBEAT, Event::Raft { node, pid });
        if self.frozen(node, Process::Etcd) || self.too_slow_to_lead(node) {
            return;
        }
        if self.members[node].role == Role::Leader {
            self.lead_on(node);
            return;
        }
        let member = &mut self.members[node];
        member.elapsed += 1;
        // A leader whose connection has broken (its process died) stays this member's leader until then.
        if member.elapsed >= member.timeout {
            self.campaign(node, false);
        }
    }

    /// A leader's heartbeat: replicates, learns of newer terms, and resigns without a quorum.
    fn lead_on(&mut self, node: usize) {
        for peer in (0..self.members.len()).filter(|peer| *peer != node) {
            if self.send(Party::Node(node), Party::Node(peer), PEER) {
                self.take_detour(Party::Node(node), Party::Node(peer), PEER);
            }
        }
        let peers = self.peers(node);
        let term = self.members[node].term;
        if let Some(newer) = peers.iter().map(|p| self.members[*p].term).filter(|t| *t > term).max() {
            self.follow(node, newer, None);
            return;
        }
        let applied = self.members[node].applied;
        for peer in &peers {
            self.follow(*peer, term, Some(node));
            self.members[*peer].applied = applied;
        }
        let heard = peers.len() + 1 >= self.quorum();
        let member = &mut self.members[node];
        member.elapsed = if heard { 0 } else { member.elapsed + 1 };
        if member.elapsed >= timing::ELECTION_TICKS {
            self.follow(node, term, None);
        }
    }

    fn follow(&mut self, node: usize, term: u64, lead: Option<usize>) {
        let member = &mut self.members[node];
        member.role = Role::Follower;
        member.term = term;
        member.lead = lead;
        member.elapsed = 0;
    }

    /// PreVote, then the vote; `forced` by a leader that hands over, which skips the first.
    fn campaign(&mut self, node: usize, forced: bool) {
        let timeout = self.election_timeout();
        let (term, applied) = (self.members[node].term, self.members[node].applied);
        self.follow(node, term, None);
        self.members[node].timeout = timeout;
        let peers = self.peers(node);
        let newer = peers.iter().map(|p| self.members[*p].term).max().unwrap_or(0);
        if newer > term {
            // A voter's rejection carries its term.
            self.members[node].term = newer;
        }
        let voters: Vec<usize> = peers
            .into_iter()
            .filter(|peer| {
                let voter = &self.members[*peer];
                let leased = voter.lead.is_some() && voter.elapsed < timing::ELECTION_TICKS;
                (forced || !leased) && voter.applied <= applied && voter.term <= term
            })
            .collect();
        if voters.len() + 1 < self.quorum() {
            return;
        }
        let term = term + 1;
        for voter in voters {
            self.follow(voter, term, None);
        }
        self.members[node].term = term;
        let Some(pid) = self.pid(node, Process::Etcd) else { return };
        let votes = self.dice.between(timing::VOTES);
        self.push(self.now + votes, Event::Elected { node, pid, term });
    }

    /// The votes are in: still valid where a quorum has gone to no newer term meanwhile.
    pub(crate) fn on_elected(&mut self, node: usize, pid: u32, term: u64) {
        if self.pid(node, Process::Etcd) != Some(pid) || !self.works(node, Process::Etcd) {
            return;
        }
        let with = self.peers(node).iter().filter(|p| self.members[**p].term == term).count() + 1;
        if self.members[node].term != term || with < self.quorum() {
            return;
        }
        self.follow(node, term, Some(node));
        self.members[node].role = Role::Leader;
        self.append(node, Entry::Other);
        self.lead_on(node);
    }

    /// SIGTERM: the most advanced peer is told to campaign at once.
    pub(crate) fn raft_hand_over(&mut self, node: usize) {
        if self.members[node].role != Role::Leader {
            return;
        }
        let next = self.peers(node).into_iter().max_by_key(|peer| self.members[*peer].applied);
        if let Some(next) = next {
            self.campaign(next, true);
        }
    }

    /// The leader through which that member can commit now, if any.
    pub(crate) fn commits_through(&self, member: usize) -> Option<usize> {
        if !self.works(member, Process::Etcd) {
            return None;
        }
        let lead = self.members[member].lead?;
        let leader = &self.members[lead];
        let linked = lead == member || self.linked(member, lead);
        let current = leader.role == Role::Leader && leader.term == self.members[member].term;
        let acks = self.peers(lead).into_iter().filter(|p| self.members[*p].term <= leader.term).count() + 1;
        (linked && current && acks >= self.quorum()).then_some(lead)
    }

    fn append(&mut self, leader: usize, entry: Entry) {
        let held = self.members[leader].applied;
        self.log.truncate(held);
        self.log.push(entry);
        self.members[leader].applied = held + 1;
    }

    /// Commits through that member; false where it cannot.
    pub(crate) fn commit(&mut self, member: usize, entry: Entry) -> bool {
        let Some(leader) = self.commits_through(member) else { return false };
        self.append(leader, entry);
        let (term, applied) = (self.members[leader].term, self.members[leader].applied);
        for peer in self.peers(leader) {
            if self.members[peer].term <= term {
                self.members[peer].applied = applied;
            }
        }
        true
    }

    /// The revision up to which a member knows everything: the log's length counts for one.
    pub(crate) fn revision(&self, member: usize) -> u64 {
        self.members[member].applied as u64
    }

    /// Revisions of what write probes wrote through API servers, after one revision up to another.
    pub(crate) fn written(&self, after: u64, up_to: u64) -> Vec<u64> {
        let probed =
            |entry: &Entry| matches!(entry, Entry::Write { stream, .. } if stream.starts_with("api/write/"));
        let skipped = usize::try_from(after).unwrap_or(usize::MAX);
        let revisions = (1..=up_to).zip(&self.log).skip(skipped);
        revisions.filter(|(_, entry)| probed(entry)).map(|(revision, _)| revision).collect()
    }

    /// The member that leads with a quorum behind it.
    pub(crate) fn leader(&self) -> Option<usize> {
        let leads = |member: &usize| self.members[*member].role == Role::Leader;
        (0..self.members.len()).filter(leads).find(|member| self.commits_through(*member) == Some(*member))
    }

    /// What a linearizable read through that member finds; none where it cannot be served.
    pub(crate) fn committed(&self, member: usize) -> Option<&[Entry]> {
        let leader = self.commits_through(member)?;
        let held = &self.log[..self.members[leader].applied];
        let from = held.iter().rposition(|entry| *entry == Entry::Cleared).map_or(0, |at| at + 1);
        Some(&held[from..])
    }
}
