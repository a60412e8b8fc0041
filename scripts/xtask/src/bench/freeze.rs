//! An API server of a real cluster, stopped and continued by signals from this machine: for exactly so long.

use std::{
    fs,
    net::IpAddr,
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use recoup_clusters::{Cluster, Profile, Provider as _, Wanted, kind::KindProvider, provider::Making};
use recoup_engine::{recorder::Clock, runtime::real_time};
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
    cell::{CONNS, Cell, rate},
    command,
    heartbeat::{Heartbeat, Stall},
    measure::{Measured, Probing, read},
    script::{Mode, end, script},
    target::Truth,
    witness::{Freeze, Witness, slow_by_itself},
};

/// Before the first freeze, and after the last one.
const SETTLE: Duration = Duration::from_secs(4);
/// In service between freezes beyond the script's own time: who was frozen has work to catch up with.
const BETWEEN: Duration = Duration::from_millis(300);
/// New TLS connections are dear for a real API server: the shortest period at which it is asked on some, too. At 10 ms
/// two of them a period would be its main load, and most of what it has to catch up with when it is thawed.
const NEW: Duration = Duration::from_millis(100);
/// Between two looks at a process that is to stop.
const LOOK: Duration = Duration::from_micros(200);
/// A freeze that the kernel takes longer to bring about is not to be judged.
const STOPS_WITHIN: Duration = Duration::from_secs(1);

/// Freezes an API server again and again while streams ask it, one period after the other: what asks more often would
/// leave it more to do when it is thawed. Adds what they measured, and says on what it was measured.
pub fn run(name: &str, args: &command::Accuracy, busy: bool, rows: &mut Rows) -> Result<String> {
    let harness = real_time()?;
    harness.block_on(async {
        let cluster = cluster(name).await?;
        cluster.fixture(&WorkloadSpec::default()).await?;
        let node = cluster.fingerprint().with_role(NodeRole::ControlPlane).next().cloned();
        let node = node.context("there is no control plane")?;
        let process = Frozen::find(node.address)?;
        let identity = process.identity()?;
        let clock = Clock::start();

        let mut backs = Vec::new();
        for Span(period) in &args.periods {
            let conns = CONNS.into_iter().filter(|conn| *conn == Conn::Reused || *period >= NEW);
            let conns: Vec<Conn> = conns.collect();
            eprintln!("period {}, {}: {} freezes of an API server of {name}", Span(*period), words(busy), args.freezes);
            let streams = conns.iter().map(|conn| Stream::new(read(&node.name, *conn), rate(*period)));
            let probing = Probing::start(streams.collect(), Arc::clone(&cluster), clock)?;
            let heartbeat = Heartbeat::start(clock);
            let witnesses: Vec<Witness> = conns
                .iter()
                .map(|conn| Witness::start(node.address, &identity, *conn, *period, clock))
                .collect::<Result<_>>()?;
            sleep(SETTLE).await;
            let frozen = freezes(&process, args, *period, clock).await;
            sleep(SETTLE).await;
            let seen = probing.stop().await;
            let ((frozen, unsure), hidden) = (frozen?, heartbeat.stop());
            for ((conn, attempts), witness) in conns.into_iter().zip(seen).zip(witnesses) {
                let asked = witness.stop();
                let truths: Vec<Truth> =
                    frozen.iter().map(|freeze| freeze.truth(&asked, *period / 2)).collect();
                backs.extend(truths.iter().map(|truth| truth.end));
                let slow = slow_by_itself(&asked, &truths, *period / 2);
                let stalls = [&hidden[..], &slow, &unsure].concat().into();
                let cell = Cell { mode: Mode::Freeze, tls: true, outages: frozen.len(), seed: args.seed };
                let one = Measured { cell, conn, truths, attempts, stalls };
                add(rows, *period, busy, &one);
            }
        }
        let fingerprint = cluster.fingerprint();
        Ok(format!(
            "{}: API server of {} ({}, Kubernetes {}), frozen {} times; {:.1} ms after it was continued, in the median, \
             it had answered all that had waited.",
            words(busy),
            node.name,
            fingerprint.provider,
            fingerprint.kubernetes,
            args.freezes * args.periods.len(),
            median(&backs)
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

/// Of the lengths, in milliseconds.
fn median(spans: &[(Offset, Offset)]) -> f64 {
    let mut all: Vec<Duration> = spans.iter().map(|(from, to)| to.since(*from)).collect();
    all.sort_unstable();
    all.get(all.len() / 2).map_or(f64::NAN, |span| span.as_secs_f64() * 1e3)
}

/// The freezes, and those times of which nobody knows since when it stood still.
async fn freezes(
    process: &Frozen,
    args: &command::Accuracy,
    period: Duration,
    clock: Clock,
) -> Result<(Vec<Freeze>, Vec<Stall>)> {
    let (mut frozen, mut unsure) = (Vec::new(), Vec::new());
    let mut planned = Instant::now();
    for spell in script(Mode::Freeze, period, args.freezes, args.seed) {
        planned = end(planned + spell.up, Instant::now() + BETWEEN, period);
        sleep_until(planned).await;
        let began = Instant::now();
        let (before, _) = process.signal(Signal::STOP, clock)?;
        let stopped = process.stopped(clock)?;
        planned = end(planned + spell.down, began, period);
        sleep_until(planned).await;
        let continued = process.signal(Signal::CONT, clock)?;
        if stopped.is_none() {
            unsure.push(Stall { from: before, to: continued.1 });
        }
        frozen.push(Freeze { stopped: (before, stopped.unwrap_or(continued.0)), continued });
    }
    Ok((frozen, unsure))
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

    /// The certificate and the key with which it calls kubelets, which kubeadm lets read everything.
    fn identity(&self) -> Result<Vec<u8>> {
        let mut both = Vec::new();
        for end in ["crt", "key"] {
            let path = format!(
                "/proc/{}/root/etc/kubernetes/pki/apiserver-kubelet-client.{end}",
                self.process.as_raw_pid()
            );
            both.extend(fs::read(&path).with_context(|| format!("{path}, as root"))?);
        }
        Ok(both)
    }

    /// When all of its threads stand still: on a busy machine the one that takes the signal waits for its turn, and
    /// the others go on until it has had it. None, and said, where that took too long.
    fn stopped(&self, clock: Clock) -> Result<Option<Offset>> {
        let deadline = clock.now().plus(STOPS_WITHIN);
        loop {
            let going = self.going()?;
            let now = clock.now();
            if going.is_empty() {
                return Ok(Some(now));
            }
            if now > deadline {
                eprintln!(
                    "{} after SIGSTOP threads of the API server are in state {going}",
                    Span(STOPS_WITHIN)
                );
                return Ok(None);
            }
            thread::sleep(LOOK);
        }
    }

    /// The states of its threads that are not stopped, a letter each.
    fn going(&self) -> Result<String> {
        let tasks = format!("/proc/{}/task", self.process.as_raw_pid());
        let tasks = fs::read_dir(tasks).context("the API server ended")?.flatten();
        let states = tasks.filter_map(|task| {
            let stat = fs::read_to_string(task.path().join("stat")).ok()?;
            // The state follows the name, which may hold anything but its own closing parenthesis last.
            stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next())
        });
        Ok(states.filter(|state| *state != 'T').collect())
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
