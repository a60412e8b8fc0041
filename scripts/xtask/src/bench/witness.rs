//! When an API server really answers, by a client that has nothing to do with what is measured.
//!
//! A process that is continued is not back at once: it shares the machine with all that waited for it, and answers
//! one request in a few milliseconds and another, of the same moment, in a hundred. So the end of a freeze lies between
//! the signal and the moment at which a client that asks in the same way has had all the answers that were held up.
//! And a real API server is slow by itself at times, which is no freeze, and no fault of whoever notices.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result};
use recoup_engine::{recorder::Clock, runtime::real_time};
use recoup_model::{observation::Conn, time::Offset};
use reqwest::Identity;
use rustls::crypto::ring;
use tokio::{
    runtime::Runtime,
    time::{MissedTickBehavior, interval, timeout},
};

use super::{heartbeat::Stall, target::Truth};

/// The port of a node's API server: kubeadm's bindPort.
const PORT: u16 = 6443;
/// What it reads: an object of every cluster that kubeadm made, from memory, as the probes read theirs.
const OBJECT: &str = "/api/v1/namespaces/kube-system/configmaps/kubeadm-config?resourceVersion=0";
/// Kept connections, which ask in turn: a thawed server answers one of them some 10 ms before another, and of few the
/// one that is measured would be the last too often.
const CONNECTIONS: usize = 10;
/// They ask so many times a period, all together, and no faster than every 10 ms: what has waited is work for the server.
const IN_TURN: (u32, Duration) = (3, Duration::from_millis(10));
/// A server that has not answered by then is slow, not thawing.
const PATIENCE: Duration = Duration::from_secs(2);

/// A request of the witness.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// When it was sent.
    pub sent: Offset,
    /// When it was answered, or failed.
    pub over: Offset,
    /// It was answered.
    pub answered: bool,
}

impl Asked {
    fn slow(&self, slow: Duration) -> bool {
        !self.answered || self.over.since(self.sent) > slow
    }
}

/// One freeze: each end of it lies between two readings of the clock.
#[derive(Clone, Copy, Debug)]
pub struct Freeze {
    /// Before the signal that stopped it, and after all of its threads stood still.
    pub stopped: (Offset, Offset),
    /// Just before and just after the signal that continued it.
    pub continued: (Offset, Offset),
}

impl Freeze {
    /// As it was for whom an answer that takes longer than `slow` is none.
    pub fn truth(&self, asked: &[Asked], slow: Duration) -> Truth {
        let (from, to) = self.continued;
        let mut back = to;
        // What waited, and what had to wait because of it.
        let held = |one: &&Asked, back: Offset| {
            one.sent <= back && one.over > back && (one.sent <= to || one.slow(slow))
        };
        while let Some(last) = asked.iter().filter(|one| held(one, back)).map(|one| one.over).max() {
            back = last;
        }
        Truth { start: self.stopped, end: (from, back) }
    }
}

/// When the server was slow without having been frozen. So it was, too, where it took longer than twice `slow` to answer
/// what had waited: nobody knows then since when it was back.
pub fn slow_by_itself(asked: &[Asked], frozen: &[Truth], slow: Duration) -> Vec<Stall> {
    let held = |one: &Asked| frozen.iter().any(|truth| truth.start.0 <= one.over && one.sent <= truth.end.1);
    let unheld = asked.iter().filter(|one| one.slow(slow) && !held(one));
    let unheld = unheld.map(|one| Stall { from: one.sent, to: one.over });
    let ends = frozen.iter().map(|truth| Stall { from: truth.end.0, to: truth.end.1 });
    unheld.chain(ends.filter(|end| end.to.since(end.from) > 2 * slow)).collect()
}

/// Clients of a kind of connection, with a thread of their own.
pub struct Witness {
    /// There until it is dropped, which must not wait: that is done on another runtime's thread.
    runtime: Option<Runtime>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Witness {
    /// They ask the API server at that address, on a new connection once a period or on the kept ones in turn, whatever
    /// became of the requests before; with a client's certificate and key, as PEM.
    pub fn start(
        address: IpAddr,
        identity: &[u8],
        conn: Conn,
        period: Duration,
        clock: Clock,
    ) -> Result<Witness> {
        // Another may be installed already: either serves.
        let _ = ring::default_provider().install_default();
        let client = || {
            let client = reqwest::Client::builder().identity(Identity::from_pem(identity)?);
            let client = match conn {
                Conn::Reused => client,
                Conn::New => client.http1_only().pool_max_idle_per_host(0),
            };
            // Whose certificate it is matters to nobody here: what counts is when an answer comes.
            client.danger_accept_invalid_certs(true).build().context("a client for the API server")
        };
        let (connections, period) = match conn {
            Conn::Reused => (CONNECTIONS, (period / IN_TURN.0).max(IN_TURN.1)),
            Conn::New => (1, period),
        };
        let clients = (0..connections).map(|_| client()).collect::<Result<Vec<_>>>()?;
        let url = format!("https://{}{OBJECT}", SocketAddr::new(address, PORT));
        let (runtime, asked) = (real_time()?, Arc::<Mutex<Vec<Asked>>>::default());
        let noted = Arc::clone(&asked);
        runtime.spawn(async move {
            let mut ticks = interval(period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            for client in clients.iter().cycle() {
                ticks.tick().await;
                let (request, noted) = (client.get(&url).send(), Arc::clone(&noted));
                tokio::spawn(async move {
                    let sent = clock.now();
                    let answer = timeout(PATIENCE, request).await;
                    let answered = answer.is_ok_and(|answer| answer.is_ok_and(|a| a.status().is_success()));
                    let one = Asked { sent, over: clock.now(), answered };
                    noted.lock().unwrap_or_else(PoisonError::into_inner).push(one);
                });
            }
        });
        Ok(Witness { runtime: Some(runtime), asked })
    }

    /// Ends it: all that was answered or given up.
    pub fn stop(self) -> Vec<Asked> {
        std::mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Offset {
        Offset(ms * 1000)
    }

    fn asked(all: &[(u64, u64)]) -> Vec<Asked> {
        all.iter().map(|(sent, over)| Asked { sent: at(*sent), over: at(*over), answered: true }).collect()
    }

    const FREEZE: Freeze =
        Freeze { stopped: (Offset(0), Offset(0)), continued: (Offset(100_000), Offset(101_000)) };

    #[test]
    fn a_freeze_ends_between_its_signal_and_the_last_answer_that_was_held_up() {
        let end = |all: &[(u64, u64)]| FREEZE.truth(&asked(all), Duration::from_millis(10)).end;
        assert_eq!(end(&[(1, 130), (50, 110), (105, 108)]), (at(100), at(130)));
        // Sent after it was continued, and slow all the same: it is not back yet.
        assert_eq!(end(&[(1, 130), (120, 145), (140, 160), (170, 200)]), (at(100), at(160)));
        assert_eq!(end(&[(1, 130), (120, 128), (131, 139)]), (at(100), at(130)));
        assert_eq!(end(&[(1, 50)]), (at(100), at(101)), "nothing waited");
    }

    #[test]
    fn what_was_slow_before_and_after_a_freeze_was_slow_by_itself() {
        let slow = Duration::from_millis(10);
        let mut asked = asked(&[(0, 30), (50, 51), (60, 170), (171, 172), (200, 230), (300, 301)]);
        asked[5].answered = false;
        let truth = Freeze { stopped: (at(70), at(70)), ..FREEZE }.truth(&asked, slow);
        assert_eq!(truth.end, (at(100), at(170)));
        let alone = slow_by_itself(&asked, &[truth], slow);
        let stall = |from: u64, to: u64| Stall { from: at(from), to: at(to) };
        assert_eq!(alone, [stall(0, 30), stall(200, 230), stall(300, 301), stall(100, 170)]);
        assert_eq!(slow_by_itself(&[], &[truth], slow * 4), [], "within what a thaw takes");
    }
}
