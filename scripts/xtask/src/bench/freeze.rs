//! An API server of a real cluster, stopped and continued by signals from this machine: for exactly so long.

use std::{
    fs,
    net::IpAddr,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use recoup_clusters::{Cluster, Profile, Provider as _, Wanted, kind::KindProvider, provider::Making};
use recoup_engine::recorder::Clock;
use recoup_model::{
    observation::Conn,
    plan::Stream,
    spec::WorkloadSpec,
    time::{Offset, Span},
    topology::NodeRole,
};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep, sleep_until};

use super::{
    accuracy::{Rows, add, words},
    cell::{Cell, rate},
    command,
    heartbeat::Heartbeat,
    measure::{Measured, Probing, lateness, lost, read, runtime},
    script::{Mode, script},
    target::Truth,
};

/// Before the first freeze, and after the last one.
const SETTLE: Duration = Duration::from_secs(4);
/// An API server that was frozen for a second has work to catch up with.
const BETWEEN: Duration = Duration::from_millis(700);

/// Freezes an API server again and again while streams of every period ask it; adds what they measured, and says
/// on what it was measured.
pub fn run(name: &str, args: &command::Accuracy, busy: bool, rows: &mut Rows) -> Result<String> {
    let harness = runtime("harness")?;
    harness.block_on(async {
        let cluster = cluster(name).await?;
        cluster.fixture(&WorkloadSpec::default()).await?;
        let node = cluster.fingerprint().with_role(NodeRole::ControlPlane).next().cloned();
        let node = node.context("there is no control plane")?;
        let process = Frozen::find(node.address)?;

        let mut asked: Vec<(Duration, Conn)> = args.periods.iter().map(|p| (p.0, Conn::Reused)).collect();
        // New TLS connections are dear for a real API server: the widest period only.
        asked.extend(args.periods.iter().max().map(|period| (period.0, Conn::New)));
        let streams: Vec<Stream> = asked
            .iter()
            .map(|(period, conn)| {
                let mut stream = Stream::new(read(&node.name, *conn), rate(*period));
                stream.name = format!("{} every {}", stream.name, Span(*period));
                stream
            })
            .collect();
        let clock = Clock::start();
        let probing = Probing::start(streams, Arc::clone(&cluster), clock)?;
        let heartbeat = Heartbeat::start(clock);
        sleep(SETTLE).await;
        let truths = freezes(&process, args, clock).await;
        sleep(SETTLE).await;
        let seen = probing.stop().await;
        let (truths, stalls) = (truths?, heartbeat.stop());
        for ((period, conn), (samples, outages)) in asked.into_iter().zip(seen) {
            let cell = Cell { mode: Mode::Freeze, tls: true, outages: truths.len(), seed: args.seed };
            let (attempts, lost, lateness) = (samples.len(), lost(&samples), lateness(&samples));
            let (truths, stalls) = (truths.clone(), Arc::clone(&stalls));
            let one = Measured { cell, conn, truths, outages, attempts, lost, lateness, stalls };
            add(rows, period, busy, &one);
        }
        let fingerprint = cluster.fingerprint();
        Ok(format!(
            "{}: API server of {} ({}, Kubernetes {}), {} freezes.",
            words(busy),
            node.name,
            fingerprint.provider,
            fingerprint.kubernetes,
            truths.len()
        ))
    })
}

async fn cluster(name: &str) -> Result<Arc<dyn Cluster>> {
    let provider = KindProvider::new();
    // Nothing is made here: whoever names a cluster that is not there has mistyped it.
    let listed = provider.list().await?.into_iter().find(|listed| listed.name == name);
    let profile = listed.and_then(|listed| listed.profile).with_context(|| {
        format!(
            "recoup made no cluster {name:?}: see `recoup cluster list`, or make it with `recoup cluster up`"
        )
    })?;
    let wanted = Wanted {
        profile: Profile::load(&profile)?,
        name: name.to_owned(),
        image: None,
        version: None,
        adopt: false,
        seed: 0,
        making: Making::default(),
    };
    Ok(provider.obtain(&wanted, &|message| eprintln!("{message}")).await?.0)
}

/// Lengths by the periods in turn, so that every stream meets outages just longer than two of its own.
async fn freezes(process: &Frozen, args: &command::Accuracy, clock: Clock) -> Result<Vec<Truth>> {
    let share = args.freezes.div_ceil(args.periods.len().max(1));
    let of = |period: &Span| script(Mode::Freeze, period.0, share, args.seed);
    let scripts: Vec<Vec<_>> = args.periods.iter().map(of).collect();
    let mut truths = Vec::new();
    for n in 0..share {
        for spell in scripts.iter().filter_map(|script| script.get(n)) {
            sleep(BETWEEN + spell.up).await;
            let until = Instant::now() + spell.down;
            let start = process.signal(Signal::STOP, clock)?;
            sleep_until(until).await;
            let end = process.signal(Signal::CONT, clock)?;
            truths.push(Truth { start, end });
        }
    }
    Ok(truths)
}

/// An API server's process, which runs again when this is dropped; its guard sees to that where this process is
/// killed.
struct Frozen {
    process: Pid,
    guard: Child,
}

impl Frozen {
    /// The API server that announces that address, among the processes of this machine.
    fn find(address: IpAddr) -> Result<Frozen> {
        let flag = format!("--advertise-address={address}");
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").context("processes are found on Linux alone")?.flatten() {
            let Some(number) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
                continue;
            };
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let mut words = line.split(|byte| *byte == 0);
            let server = words.next().is_some_and(|program| program.ends_with(b"kube-apiserver"));
            if server && words.any(|word| word == flag.as_bytes()) {
                found.push(number);
            }
        }
        let [number] = found[..] else {
            bail!("{} processes of this machine are the API server of {address}; one is needed", found.len());
        };
        let process = Pid::from_raw(number).context("no process has that number")?;
        // Reads until this process ends, however it ends; then continues the API server.
        let mut guard = Command::new("sh");
        guard.arg("-c").arg(format!("trap '' INT TERM; cat >/dev/null; kill -CONT {number} 2>/dev/null"));
        let guard = guard.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
        Ok(Frozen { process, guard })
    }

    fn signal(&self, signal: Signal, clock: Clock) -> Result<(Offset, Offset)> {
        let before = clock.now();
        kill_process(self.process, signal).context("the API server could not be signalled")?;
        Ok((before, clock.now()))
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = kill_process(self.process, Signal::CONT);
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}
