//! A server that is up and down by a script, and writes down when.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use http_body_util::Full;
use hyper::{Response, body::Bytes, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use recoup_engine::recorder::Clock;
use recoup_model::time::Offset;
use rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer};
use serde::Serialize;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};
use tokio_rustls::TlsAcceptor;

use super::script::{Mode, Spell, end};

/// An outage as it was: each moment lies between two readings of the clock, just before and just after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Truth {
    /// Its beginning.
    pub start: (Offset, Offset),
    /// Its end.
    pub end: (Offset, Offset),
}

/// What a target does with requests now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Up,
    Reset,
    Hang,
    Late,
}

/// A server of its own address; lives in the runtime that opened it.
pub struct Target {
    mode: Mode,
    late: Duration,
    address: SocketAddr,
    authority: Option<Vec<u8>>,
    tls: Option<TlsAcceptor>,
    listener: Option<TcpListener>,
    mood: watch::Sender<Mood>,
    connections: JoinSet<()>,
}

impl Target {
    /// Opens a server on a loopback address that no client sends from, so that its port stays its own while it
    /// is closed. `late` is how late it answers in [`Mode::Late`].
    pub async fn open(number: u16, mode: Mode, tls: bool, late: Duration) -> Result<Target> {
        let [high, low] = number.to_be_bytes();
        let listener = TcpListener::bind(SocketAddr::from(([127, 77, high, low], 0)))
            .await
            .context("a loopback address beside 127.0.0.1: only Linux has them without being told")?;
        let address = listener.local_addr()?;
        let (authority, tls) =
            if tls { identity(address).map(|(a, t)| (Some(a), Some(t)))? } else { (None, None) };
        let (mood, _) = watch::channel(Mood::Up);
        Ok(Target {
            mode,
            late,
            address,
            authority,
            tls,
            listener: Some(listener),
            mood,
            connections: JoinSet::new(),
        })
    }

    /// Its URL.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Its certificate, as DER.
    pub fn authority(&self) -> Option<&[u8]> {
        self.authority.as_deref()
    }

    /// Serves until dropped.
    pub async fn serve(&mut self) -> Infallible {
        loop {
            self.attend(Instant::now() + Duration::from_secs(3600)).await;
        }
    }

    /// Serves for so many periods, then plays a script that was written for the period. It is up afterwards.
    pub async fn play(
        &mut self,
        settle: u32,
        script: &[Spell],
        period: Duration,
        clock: Clock,
    ) -> Result<Vec<Truth>> {
        let mut planned = Instant::now() + period * settle;
        self.attend(planned).await;
        let mut truths = Vec::new();
        for spell in script {
            planned = end(planned + spell.up, Instant::now(), period);
            self.attend(planned).await;
            let began = Instant::now();
            let start = self.down(clock).await;
            planned = end(planned + spell.down, began, period);
            self.attend(planned).await;
            let end = self.up(clock).await?;
            truths.push(Truth { start, end });
        }
        Ok(truths)
    }

    async fn down(&mut self, clock: Clock) -> (Offset, Offset) {
        let before = clock.now();
        match self.mode {
            Mode::Refuse | Mode::Flap => {
                self.listener = None;
                self.connections.shutdown().await;
            }
            Mode::Reset => {
                self.mood.send_replace(Mood::Reset);
                self.connections.shutdown().await;
            }
            Mode::Hang | Mode::Freeze => {
                self.mood.send_replace(Mood::Hang);
            }
            Mode::Late => {
                self.mood.send_replace(Mood::Late);
            }
        }
        (before, clock.now())
    }

    async fn up(&mut self, clock: Clock) -> Result<(Offset, Offset)> {
        let before = clock.now();
        self.mood.send_replace(Mood::Up);
        if self.listener.is_none() {
            let listener = TcpListener::bind(self.address).await;
            self.listener = Some(listener.with_context(|| format!("{} cannot be had again", self.address))?);
        }
        Ok((before, clock.now()))
    }

    /// Accepts and serves until then.
    async fn attend(&mut self, until: Instant) {
        let mut over = std::pin::pin!(sleep_until(until));
        // A hung process accepts nothing: connections wait in the kernel's queue.
        let open = self.listener.as_ref().filter(|_| *self.mood.borrow() != Mood::Hang);
        loop {
            tokio::select! {
                () = &mut over => return,
                accepted = accept(open) => {
                    if let Ok(stream) = accepted {
                        let mood = self.mood.subscribe();
                        if *mood.borrow() == Mood::Reset || self.mode == Mode::Reset {
                            // Closed with a reset, now or when its turn comes.
                            let _ = stream.set_zero_linger();
                        }
                        if *mood.borrow() != Mood::Reset {
                            self.connections.spawn(connection(stream, self.tls.clone(), mood, self.late));
                        }
                    }
                }
                Some(_) = self.connections.join_next() => {}
            }
        }
    }
}

async fn accept(listener: Option<&TcpListener>) -> io::Result<TcpStream> {
    match listener {
        Some(listener) => listener.accept().await.map(|(stream, _)| stream),
        None => std::future::pending().await,
    }
}

async fn connection(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    mood: watch::Receiver<Mood>,
    late: Duration,
) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |_| answer(mood.clone(), late));
    let server = auto::Builder::new(TokioExecutor::new());
    // A connection that its client closes has served: there is nothing to be done about its error.
    match tls {
        None => drop(server.serve_connection(TokioIo::new(stream), service).await),
        Some(tls) => {
            if let Ok(stream) = tls.accept(stream).await {
                drop(server.serve_connection(TokioIo::new(stream), service).await);
            }
        }
    }
}

async fn answer(
    mut mood: watch::Receiver<Mood>,
    late: Duration,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let now = *mood.borrow();
    match now {
        Mood::Late => sleep(late).await,
        Mood::Hang => drop(mood.wait_for(|mood| *mood != Mood::Hang).await),
        Mood::Up | Mood::Reset => {}
    }
    Ok(Response::new(Full::new(Bytes::from_static(b"well"))))
}

/// A certificate of its own for one address, and what serves it.
fn identity(address: SocketAddr) -> Result<(Vec<u8>, TlsAcceptor)> {
    let pair = rcgen::generate_simple_self_signed([address.ip().to_string()])?;
    let certificate = pair.cert.der().clone();
    let key = PrivateKeyDer::try_from(pair.signing_key.serialize_der()).map_err(anyhow::Error::msg)?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok((certificate.to_vec(), TlsAcceptor::from(Arc::new(config))))
}
