//! When a thawed API server really answers again, by a client that has nothing to do with what is measured.
//!
//! A process that is continued is not back at once: it shares the machine with all that waited for it. So the end of
//! a freeze lies between the signal and the moment at which the server answers as quickly as is asked of it.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use anyhow::{Context as _, Result};
use recoup_engine::{recorder::Clock, runtime::real_time};
use recoup_model::time::Offset;
use rustls::crypto::ring;
use tokio::{
    runtime::Runtime,
    task::JoinHandle,
    time::{Instant, timeout_at},
};

use super::target::Truth;

/// The port of a node's API server: kubeadm's bindPort.
const PORT: u16 = 6443;
/// A server that is not quick by then is slow, not thawing.
const PATIENCE: Duration = Duration::from_secs(2);

/// One freeze, and what the witness saw of its end.
pub struct Freeze {
    /// Just before and just after the signal that stopped it.
    pub stopped: (Offset, Offset),
    /// The same of the one that continued it.
    pub continued: (Offset, Offset),
    /// Requests, one after the other from the stop on: when each was sent and answered.
    pub asked: Vec<(Offset, Offset)>,
}

impl Freeze {
    /// As it was for whom an answer that takes longer than `slow` is none.
    pub fn truth(&self, slow: Duration) -> Truth {
        let took = |(sent, answered): &(Offset, Offset)| answered.since((*sent).max(self.continued.1));
        let quick = self.asked.iter().find(|one| took(one) <= slow).or(self.asked.last());
        let back = quick.map_or(self.continued.1, |(_, answered)| (*answered).max(self.continued.1));
        Truth { start: self.stopped, end: (self.continued.0, back) }
    }
}

/// A client with a kept connection, and a thread of its own.
pub struct Witness {
    runtime: Runtime,
    client: reqwest::Client,
    url: String,
    clock: Clock,
}

impl Witness {
    /// Of the API server at that address.
    pub fn new(address: IpAddr, clock: Clock) -> Result<Witness> {
        // Another may be installed already: either serves.
        let _ = ring::default_provider().install_default();
        let client = reqwest::Client::builder();
        // Whose certificate it is matters to nobody here: what counts is when an answer comes.
        let client =
            client.danger_accept_invalid_certs(true).build().context("a client for the API server")?;
        let url = format!("https://{}/version", SocketAddr::new(address, PORT));
        Ok(Witness { runtime: real_time()?, client, url, clock })
    }

    /// Asks at once, and again until an answer takes no longer than `quick`.
    pub fn ask(&self, quick: Duration) -> JoinHandle<Vec<(Offset, Offset)>> {
        let (client, url, clock) = (self.client.clone(), self.url.clone(), self.clock);
        self.runtime.spawn(async move {
            let deadline = Instant::now() + PATIENCE;
            let mut asked = Vec::new();
            loop {
                let sent = clock.now();
                let Ok(answer) = timeout_at(deadline, client.get(&url).send()).await else { return asked };
                let answered = clock.now();
                if answer.is_err() {
                    continue;
                }
                asked.push((sent, answered));
                if answered.since(sent) <= quick {
                    return asked;
                }
            }
        })
    }

    /// Ends its thread.
    pub fn stop(self) {
        self.runtime.shutdown_background();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freeze_ends_between_its_signal_and_the_first_quick_answer() {
        let at = |ms: u64| Offset(ms * 1000);
        let asked = vec![(at(1), at(130)), (at(130), at(145)), (at(145), at(147))];
        let freeze = Freeze { stopped: (at(0), at(0)), continued: (at(100), at(101)), asked };
        let end = |slow| freeze.truth(Duration::from_millis(slow)).end;
        assert_eq!(end(100), (at(100), at(130)), "29 ms after it was continued");
        assert_eq!(end(20), (at(100), at(145)));
        assert_eq!(end(10), (at(100), at(147)));
        let none = Freeze { asked: Vec::new(), ..freeze };
        assert_eq!(none.truth(Duration::from_millis(10)).end, (at(100), at(101)));
    }
}
