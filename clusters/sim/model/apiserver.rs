//! API servers, each on its own node's etcd member, and how a request to one ends.

use std::time::Duration;

use recoup_model::{
    action::Process,
    observation::{Failure, FailureClass},
};

use super::{World, timing};

/// The port.
pub(crate) const PORT: u16 = 6443;

/// An API server's own state; gone with its process.
#[derive(Clone, Debug, Default)]
pub(crate) struct ApiServer {
    /// It has read everything once: it listens and can answer from its cache.
    pub(crate) initialised: bool,
    /// Its watch cache knows nothing of what came before this revision.
    pub(crate) cache_from: u64,
    /// Since when its etcd check fails.
    pub(crate) etcd_lost: Option<Duration>,
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// From the watch cache.
    Cached,
    /// A quorum read.
    Read,
    /// A write.
    Write,
}

/// How a request stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is answered well; a write may be committed now.
    Good,
    /// No answer yet.
    Waiting,
    /// It has failed.
    Failed(Failure),
}

impl Outcome {
    pub(crate) fn failed(class: FailureClass, message: &str) -> Outcome {
        Outcome::Failed(Failure::new(class, message))
    }
}

/// One request's memory between two looks.
#[derive(Clone, Debug)]
pub(crate) struct Flight {
    pub(crate) asked: Duration,
    /// The process that it was sent to.
    pub(crate) bound: Option<(usize, u32)>,
    /// The raft leader that a proposal was forwarded to while it could not commit.
    forwarded: Option<(usize, u64)>,
    /// What slow components add to its time counts: it is an observer's own.
    observed: bool,
}

impl Flight {
    pub(crate) fn at(asked: Duration) -> Flight {
        Flight { asked, bound: None, forwarded: None, observed: false }
    }

    /// An observer's request. (The components' own loops ask anew at every look, and would never be answered.)
    pub(crate) fn observed(asked: Duration) -> Flight {
        Flight { observed: true, ..Flight::at(asked) }
    }

    /// It must have taken so much longer by then.
    fn waits(&self, now: Duration, delay: Duration) -> bool {
        self.observed && now < self.asked + delay
    }
}

impl World {
    /// The API server on that node takes connections (when it moves at all).
    pub(crate) fn listens(&self, node: usize) -> bool {
        self.apis[node].initialised
            && self.running(node, Process::KubeApiserver).is_some_and(|run| !run.ending)
    }

    /// `/readyz`: it moves, listens, and its etcd check passes.
    pub(crate) fn api_ready(&self, node: usize) -> bool {
        self.works(node, Process::KubeApiserver) && self.listens(node) && self.commits_through(node).is_some()
    }

    /// What one member makes of a request.
    pub(crate) fn etcd_answer(&self, member: usize, write: bool, flight: &mut Flight) -> Outcome {
        if write && self.space.full && self.commits_through(member).is_some() {
            return Outcome::failed(FailureClass::Rejected, "etcdserver: mvcc: database space exceeded");
        }
        if flight.waits(self.now, self.etcd_delay(member, write)) {
            return Outcome::Waiting;
        }
        let state = &self.members[member];
        let timed_out = self.now.saturating_sub(flight.asked) >= timing::ETCD_REQUEST_TIMEOUT;
        if self.frozen(member, Process::Etcd) {
            return Outcome::Waiting;
        }
        // A proposal goes to the leader of its moment; when that one is deposed, it is lost, and its
        // client learns so by time-out. Reads are asked again and again.
        let sent = flight.forwarded.filter(|_| write);
        match self.commits_through(member) {
            Some(leader) if sent.is_none_or(|sent| sent == (leader, self.members[leader].term)) => {
                return Outcome::Good;
            }
            None if flight.forwarded.is_none() => {
                flight.forwarded = state.lead.map(|leader| (leader, state.term));
            }
            _ => {}
        }
        if timed_out {
            return Outcome::failed(FailureClass::Unavailable, "etcdserver: request timed out");
        }
        Outcome::Waiting
    }

    /// What a moving, listening API server makes of a request.
    pub(crate) fn api_answer(&self, node: usize, request: Request, flight: &mut Flight) -> Outcome {
        if flight.waits(self.now, self.api_delay(node)) {
            return Outcome::Waiting;
        }
        if request == Request::Cached {
            return Outcome::Good;
        }
        if self.running(node, Process::Etcd).is_none_or(|run| self.now < run.ready) {
            return Outcome::failed(
                FailureClass::Unavailable,
                "rpc error: code = Unavailable desc = connection refused",
            );
        }
        let frozen = self.running(node, Process::Etcd).and_then(|run| run.frozen_since);
        if frozen.is_some_and(|at| self.now >= at + timing::ETCD_KEEPALIVE) {
            return Outcome::failed(
                FailureClass::Unavailable,
                "rpc error: code = Unavailable desc = keepalive timeout",
            );
        }
        match self.etcd_answer(node, request == Request::Write, flight) {
            // The API server makes a failure of its own of the member's refusal.
            Outcome::Failed(failure) if failure.class == FailureClass::Rejected => {
                Outcome::Failed(Failure::new(FailureClass::Unavailable, format!("500 {}", failure.message)))
            }
            other => other,
        }
    }

    /// A request by a component of that control plane to its own API server.
    pub(crate) fn ask_local(&self, node: usize, request: Request) -> Outcome {
        if self.frozen(node, Process::KubeApiserver) {
            return Outcome::Waiting;
        }
        if !self.listens(node) {
            return Outcome::failed(FailureClass::Refused, "connection refused");
        }
        self.api_answer(node, request, &mut Flight::at(self.now))
    }

    /// Start-up, and the etcd check that liveness sees.
    pub(crate) fn run_api_servers(&mut self) {
        for node in 0..self.planes {
            if !self.works(node, Process::KubeApiserver) {
                if self.running(node, Process::KubeApiserver).is_none() {
                    self.apis[node] = ApiServer::default();
                }
                continue;
            }
            let etcd = self.commits_through(node).is_some();
            let since = self.running(node, Process::KubeApiserver).map_or(self.now, |run| run.since);
            let (now, revision) = (self.now, self.revision(node));
            let api = &mut self.apis[node];
            if etcd && !api.initialised {
                api.initialised = true;
                api.cache_from = revision;
            }
            api.etcd_lost = if etcd { None } else { api.etcd_lost.or(Some(now)) };
            if !api.initialised && now >= since + timing::API_STARTUP_LIMIT {
                self.end(node, Process::KubeApiserver);
            }
        }
    }
}
