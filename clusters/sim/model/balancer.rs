//! The load balancer in front of the API servers, and connections that stay with a backend.

use std::time::Duration;

use recoup_model::{
    action::Process,
    observation::{Failure, FailureClass},
};

use super::{
    Event, World,
    apiserver::{Flight, Outcome, PORT, Request},
    network::Party,
    timing,
};

/// HAProxy's view of its backends.
#[derive(Debug)]
pub(crate) struct Balancer {
    backends: Vec<Backend>,
    next: usize,
}

#[derive(Clone, Debug)]
struct Backend {
    up: bool,
    /// Checks in a row that contradict `up`.
    streak: u32,
}

impl Balancer {
    pub(crate) fn new(planes: usize) -> Balancer {
        Balancer { backends: vec![Backend { up: true, streak: 0 }; planes], next: 0 }
    }

    /// Round robin over the backends that are believed up.
    fn pick(&mut self) -> Option<usize> {
        let count = self.backends.len();
        let chosen = (0..count).map(|i| (self.next + i) % count).find(|i| self.backends[*i].up)?;
        self.next = chosen + 1;
        Some(chosen)
    }
}

/// Who keeps a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    /// The observer's kept one to an API server, or one of three to the load balancer.
    Kept(Option<usize>, u8),
    /// A new one for a single request.
    Once(u64),
    /// A worker's kubelet.
    Kubelet(usize),
    /// A node's kube-proxy.
    Proxy(usize),
}

/// A connection to an API server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connection {
    backend: usize,
    /// The process at the other end; none while connecting.
    pid: Option<u32>,
    since: Duration,
    heard: Duration,
}

impl World {
    pub(crate) fn on_balancer_check(&mut self, backend: usize) {
        self.push(self.now + timing::LB_INTERVAL, Event::Check { backend });
        let good = self.send(Party::Balancer, Party::Node(backend), PORT) && self.api_ready(backend);
        let Some(state) = self.balancer.as_mut().and_then(|b| b.backends.get_mut(backend)) else { return };
        state.streak = if good == state.up { 0 } else { state.streak + 1 };
        if state.streak >= if state.up { timing::LB_FALL } else { timing::LB_RISE } {
            state.up = good;
            state.streak = 0;
        }
    }

    /// Packets pass between the client and that backend, on whichever way `via` names.
    fn path_open(&self, from: Party, via: Option<usize>, backend: usize) -> bool {
        match (via, &self.balancer) {
            (None, Some(_)) => {
                self.send(from, Party::Balancer, PORT)
                    && self.send(Party::Balancer, Party::Node(backend), PORT)
            }
            _ => self.send(from, Party::Node(backend), PORT),
        }
    }

    /// How a request on the connection of that key stands; connects first where there is none.
    ///
    /// `via` is a control plane's index, or none for the load balancer.
    pub(crate) fn ask(
        &mut self,
        key: Key,
        via: Option<usize>,
        from: Party,
        request: Request,
        flight: &mut Flight,
    ) -> Outcome {
        let connection = match self.connections.get(&key).copied() {
            Some(known) => match self.still_good(key, known, via, from, flight) {
                Ok(Some(good)) => good,
                Ok(None) => match self.dial(via) {
                    Some(new) => new,
                    None => {
                        return Outcome::failed(FailureClass::Reset, "the load balancer has no server up");
                    }
                },
                Err(outcome) => return outcome,
            },
            None => match self.dial(via) {
                Some(new) => new,
                None => return Outcome::failed(FailureClass::Reset, "the load balancer has no server up"),
            },
        };
        let connection = match self.connect(connection, via, from) {
            Ok(open) => open,
            Err(Outcome::Failed(failure)) => {
                self.connections.remove(&key);
                return Outcome::Failed(failure);
            }
            Err(waiting) => {
                self.connections.insert(key, connection);
                return waiting;
            }
        };
        flight.bound = connection.pid.map(|pid| (connection.backend, pid));
        let outcome = self.api_answer(connection.backend, request, flight);
        let heard = if outcome == Outcome::Waiting { connection.heard } else { self.now };
        self.connections.insert(key, Connection { heard, ..connection });
        outcome
    }

    /// What has become of a connection: usable, to be replaced (none), or the request's end.
    fn still_good(
        &mut self,
        key: Key,
        known: Connection,
        via: Option<usize>,
        from: Party,
        flight: &Flight,
    ) -> Result<Option<Connection>, Outcome> {
        let Some(pid) = known.pid else { return Ok(Some(known)) };
        let silent = self.frozen(known.backend, Process::KubeApiserver)
            || self.nodes[known.backend].paused
            || !self.path_open(from, via, known.backend);
        if silent && self.now < known.heard + timing::PING_GIVES_UP {
            return Err(Outcome::Waiting);
        }
        if silent {
            self.connections.remove(&key);
            return Err(Outcome::failed(FailureClass::Reset, "http2: client connection lost"));
        }
        if self.pid(known.backend, Process::KubeApiserver) == Some(pid) && self.listens(known.backend) {
            return Ok(Some(known));
        }
        self.connections.remove(&key);
        if flight.bound == Some((known.backend, pid)) {
            return Err(Outcome::failed(FailureClass::Reset, "connection reset by peer"));
        }
        Ok(None)
    }

    fn dial(&mut self, via: Option<usize>) -> Option<Connection> {
        let backend = match (via, self.balancer.as_mut()) {
            (Some(node), _) => node,
            (None, None) => 0,
            (None, Some(balancer)) => balancer.pick()?,
        };
        Some(Connection { backend, pid: None, since: self.now, heard: self.now })
    }

    fn connect(
        &self,
        connection: Connection,
        via: Option<usize>,
        from: Party,
    ) -> Result<Connection, Outcome> {
        if connection.pid.is_some() {
            return Ok(connection);
        }
        let balanced = via.is_none() && self.balancer.is_some();
        let waited = self.now.saturating_sub(connection.since);
        let gave_up =
            || Failure::new(FailureClass::Reset, "closed by the load balancer, which could not connect");
        let backend = connection.backend;
        let silent = self.nodes[backend].paused || !self.path_open(from, via, backend);
        if silent || (self.listens(backend) && self.frozen(backend, Process::KubeApiserver)) {
            // A frozen process's kernel still completes the handshake of TCP, but TLS never answers.
            return match balanced && silent && waited >= timing::LB_CONNECT {
                true => Err(Outcome::Failed(gave_up())),
                false => Err(Outcome::Waiting),
            };
        }
        match self.pid(backend, Process::KubeApiserver).filter(|_| self.listens(backend)) {
            Some(pid) => Ok(Connection { pid: Some(pid), heard: self.now, ..connection }),
            None if !balanced => Err(Outcome::failed(FailureClass::Refused, "connection refused")),
            None if waited >= timing::LB_RETRIES => Err(Outcome::Failed(gave_up())),
            None => Err(Outcome::Waiting),
        }
    }

    /// The control plane at the other end of the connection of that key.
    pub(crate) fn backend(&self, key: Key) -> Option<usize> {
        self.connections.get(&key).map(|connection| connection.backend)
    }

    /// The revision up to which whoever is at the other end knows everything.
    pub(crate) fn revision_for(&self, key: Key) -> Option<u64> {
        self.backend(key).map(|backend| self.revision(backend))
    }

    /// Closes the connection of that key.
    pub(crate) fn hang_up(&mut self, key: Key) {
        self.connections.remove(&key);
    }
}
