//! Leader election of controller-manager and scheduler, as client-go's leaderelection.go does it.

use std::time::Duration;

use recoup_model::action::Process;

use super::{
    Event, World,
    apiserver::{Outcome, Request},
    raft::Entry,
    timing,
};

/// The two components with their leases, by index.
pub(crate) const ELECTED: [(Process, &str); 2] =
    [(Process::KubeControllerManager, "kube-controller-manager"), (Process::KubeScheduler, "kube-scheduler")];

/// The Lease object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lease {
    /// `holderIdentity`; empty after a release.
    pub(crate) holder: String,
    pub(crate) renewed: Duration,
}

/// One candidate's own state; gone with its process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Elector {
    pub(crate) identity: String,
    observed: Lease,
    observed_at: Duration,
    pub(crate) leading: bool,
    /// From when its controllers act.
    works_from: Duration,
    /// First attempt of the renewal under way.
    round: Option<Duration>,
    /// Start of an attempt that hangs.
    attempt: Option<Duration>,
    /// It has done what [`World::stray`] has it do.
    pub(crate) strayed: bool,
}

impl World {
    pub(crate) fn elector_start(&mut self, component: usize, node: usize, pid: u32, ready: Duration) {
        let identity = format!("{}_{}-{}", self.nodes[node].name, self.dice.word(8), self.dice.word(12));
        self.electors[node][component] = Elector { identity, ..Elector::default() };
        self.push(ready, Event::Elector { component, node, pid });
    }

    pub(crate) fn on_elector(&mut self, component: usize, node: usize, pid: u32) {
        let (process, _) = ELECTED[component];
        if self.pid(node, process) != Some(pid) {
            return;
        }
        let again = Event::Elector { component, node, pid };
        if self.frozen(node, process) {
            // Its timers fire as soon as it is thawed.
            self.push(self.now + timing::POLL, again);
            return;
        }
        self.stray(component, node);
        let now = self.now;
        let times = self.election_of(component, node);
        let elector = &mut self.electors[node][component];
        let leading = elector.leading;
        let round = *elector.round.get_or_insert(now);
        let attempt = *elector.attempt.get_or_insert(now);
        let out_of_time = leading && now >= round + times.renew_deadline.0;
        let answer = match self.exhausted(node) {
            true => Outcome::Waiting,
            false => self.ask_local(node, Request::Write),
        };
        let success = match answer {
            // client-go gives each request half of the renew deadline.
            Outcome::Waiting if now < attempt + times.renew_deadline.0 / 2 && !out_of_time => {
                self.push(now + timing::POLL, again);
                return;
            }
            Outcome::Good => self.try_acquire_or_renew(component, node),
            Outcome::Waiting | Outcome::Failed(_) => false,
        };
        let elector = &mut self.electors[node][component];
        elector.attempt = None;
        if success {
            elector.round = None;
        }
        if leading && !success && out_of_time {
            // "leaderelection lost": both components exit.
            self.end(node, process);
            return;
        }
        if !leading {
            self.electors[node][component].round = None;
        }
        let retry = times.retry_period.0;
        // wait.JitterUntil while waiting for the lease, wait.Until once it is held.
        let wait =
            if leading || success { retry } else { retry.mul_f64(1.0 + timing::JITTER * self.dice.unit()) };
        self.push(now + wait, again);
    }

    fn try_acquire_or_renew(&mut self, component: usize, node: usize) -> bool {
        let now = self.now;
        let lease = self.leases[component].clone();
        let times = self.election_of(component, node);
        let elector = &mut self.electors[node][component];
        if elector.observed != lease {
            elector.observed = lease.clone();
            elector.observed_at = now;
        }
        let mine = lease.holder == elector.identity;
        let valid = now < elector.observed_at + times.lease_duration.0;
        if !lease.holder.is_empty() && !mine && valid {
            return false;
        }
        let renewed = Lease { holder: elector.identity.clone(), renewed: now };
        if !self.commit(node, Entry::Other) {
            return false;
        }
        let caches = self.dice.between(timing::CACHES);
        let elector = &mut self.electors[node][component];
        if !elector.leading {
            elector.leading = true;
            elector.works_from = now + caches;
        }
        elector.observed = renewed.clone();
        elector.observed_at = now;
        self.leases[component] = renewed;
        true
    }

    /// `ReleaseOnCancel`: the scheduler empties its lease when it is told to end (as from 1.33 on).
    pub(crate) fn release(&mut self, component: usize, node: usize) {
        let holds = self.leases[component].holder == self.electors[node][component].identity;
        if holds && self.ask_local(node, Request::Write) == Outcome::Good && self.commit(node, Entry::Other) {
            self.leases[component] = Lease { holder: String::new(), renewed: self.now };
        }
    }

    /// The node whose component holds its lease with a moving process.
    pub(crate) fn holder(&self, component: usize) -> Option<usize> {
        let (process, _) = ELECTED[component];
        (0..self.planes).find(|node| {
            let elector = &self.electors[*node][component];
            elector.leading && self.works(*node, process) && elector.identity == self.leases[component].holder
        })
    }

    /// The node whose component holds its lease, has filled its caches, and can write to the API.
    pub(crate) fn active(&self, component: usize) -> Option<usize> {
        self.holder(component).filter(|node| {
            self.now >= self.electors[*node][component].works_from
                && self.ask_local(*node, Request::Write) == Outcome::Good
        })
    }
}
