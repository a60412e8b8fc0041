//! One group of targets, played by their scripts and probed by recoup's own path at the same time.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use recoup_clusters::{Cluster, PROFILES};
use recoup_engine::{
    probes::Probes,
    recorder::{Clock, Recorder},
    runtime::real_time,
};
use recoup_model::{
    observation::{Conn, Endpoint, Freshness, Observation},
    plan::{Plan, Stream},
    spec::builtin,
    timeline::{Attempt, Outcome, Timeline},
};
use tokio::{runtime::Runtime, sync::mpsc, time::sleep};

use super::{
    cell::{CONNS, Cell, late, rate},
    cluster::{Address, Targets},
    heartbeat::{Heartbeat, Stall},
    script::script,
    target::{Target, Truth},
};

/// Undisturbed probing before the first outage, in periods.
const SETTLE: u32 = 40;
/// After the last one: longer than any attempt's deadline.
const AFTER: u32 = 15;

/// What one stream made of its target's outages.
pub struct Measured {
    /// The target's.
    pub cell: Cell,
    /// How it was asked.
    pub conn: Conn,
    /// What was so.
    pub truths: Vec<Truth>,
    /// What was seen.
    pub attempts: Vec<Attempt>,
    /// When the machine let nothing run, or a real server was slow by itself.
    pub stalls: Arc<[Stall]>,
}

/// Any plan with these streams: only they are looked at.
fn plan(streams: Vec<Stream>) -> Result<Plan> {
    let plans = builtin(PROFILES)?;
    let mut plan = plans.into_iter().next().context("no suite is built in")?;
    plan.id = "bench".into();
    plan.streams = streams;
    Ok(plan)
}

/// A read through one server.
pub fn read(name: &str, conn: Conn) -> Observation {
    Observation::ApiRead { via: Endpoint::Node(name.to_owned()), conn, from: Freshness::Cache }
}

/// The probes' record, made and read as in a run.
pub struct Probing {
    plan: Plan,
    cluster: Arc<dyn Cluster>,
    recorder: Recorder,
    probes: Probes,
    _dir: tempfile::TempDir,
}

impl Probing {
    /// Begins to probe; needs a runtime.
    pub fn start(streams: Vec<Stream>, cluster: Arc<dyn Cluster>, clock: Clock) -> Result<Probing> {
        let dir = tempfile::tempdir()?;
        let recorder = Recorder::create(&dir.path().join("events.jsonl"), clock, Arc::new(|_| {}))?;
        recorder.begin_experiment();
        let probes = Probes::start(&streams, &cluster, &recorder);
        Ok(Probing { plan: plan(streams)?, cluster, recorder, probes, _dir: dir })
    }

    /// Ends it: every stream's attempts, as they are judged.
    pub async fn stop(self) -> Vec<Vec<Attempt>> {
        self.probes.stop().await;
        let mut timeline = Timeline::new(&self.plan, self.cluster.fingerprint());
        for record in self.recorder.experiment() {
            timeline.push(&record);
        }
        timeline.series.into_iter().map(|series| series.attempts).collect()
    }
}

/// Plays and probes one group. The targets have a runtime, and so threads, of their own.
///
/// # Errors
/// Where a target cannot be opened, or not again after an outage.
pub fn measure(group: &[Cell], period: Duration) -> Result<Vec<Measured>> {
    let (servers, harness) = (real_time()?, real_time()?);
    let measured = harness.block_on(both(group, period, &servers));
    servers.shutdown_background();
    measured
}

async fn both(group: &[Cell], period: Duration, servers: &Runtime) -> Result<Vec<Measured>> {
    let clock = Clock::start();
    let (mut targets, mut addresses) = (Vec::new(), Vec::new());
    for (number, cell) in (0_u16..).zip(group) {
        let (mode, tls) = (cell.mode, cell.tls);
        let target =
            servers.spawn(async move { Target::open(number, mode, tls, late(period)).await }).await??;
        let authority = target.authority().map(<[u8]>::to_vec);
        addresses.push(Address { name: format!("target-{number}"), url: target.url(), authority });
        targets.push(target);
    }
    let streams: Vec<Stream> = addresses
        .iter()
        .flat_map(|address| CONNS.map(|conn| Stream::new(read(&address.name, conn), rate(period))))
        .collect();
    let probing = Probing::start(streams, Arc::new(Targets::new(&addresses)?), clock)?;

    let (tell, mut told) = mpsc::unbounded_channel();
    let mut tasks = Vec::new();
    for (number, (mut target, cell)) in targets.into_iter().zip(group).enumerate() {
        let (script, tell) = (script(cell.mode, period, cell.outages, cell.seed), tell.clone());
        tasks.push(servers.spawn(async move {
            let played = target.play(SETTLE, &script, period, clock).await;
            let over = played.is_err();
            let _ = tell.send((number, played));
            // Others are not through yet: this one stays what it was, so that the load stays the same.
            if !over {
                target.serve().await;
            }
        }));
    }
    drop(tell);
    let heartbeat = Heartbeat::start(clock);
    let mut truths: Vec<Vec<Truth>> = vec![Vec::new(); group.len()];
    for _ in group {
        let (number, played) = told.recv().await.context("a target ended early")?;
        truths[number] = played?;
    }
    sleep(period * AFTER).await;
    let seen = probing.stop().await;
    tasks.iter().for_each(tokio::task::JoinHandle::abort);

    let stalls = heartbeat.stop();
    let pairs =
        group.iter().zip(truths).flat_map(|(cell, truths)| CONNS.map(|conn| (*cell, conn, truths.clone())));
    Ok(pairs
        .zip(seen)
        .map(|((cell, conn, truths), attempts)| Measured {
            cell,
            conn,
            truths,
            attempts,
            stalls: Arc::clone(&stalls),
        })
        .collect())
}

/// Attempts that say nothing, because the observer failed or was kept from seeing them end.
pub fn lost(attempts: &[Attempt]) -> usize {
    attempts.iter().filter(|attempt| attempt.outcome == Outcome::Lost).count()
}

/// How late attempts were sent, in milliseconds: median and worst.
pub fn lateness(attempts: &[Attempt]) -> (f64, f64) {
    let mut late: Vec<f64> = attempts.iter().map(|a| a.sent.since(a.due).as_secs_f64() * 1e3).collect();
    late.sort_by(f64::total_cmp);
    (late.get(late.len() / 2).copied().unwrap_or(0.0), late.last().copied().unwrap_or(0.0))
}
