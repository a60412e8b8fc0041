//! What every part of an experiment works with.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};
use recoup_clusters::{Cluster, ClusterError};
use recoup_model::{
    action::{ActionReport, NodeAction},
    event::Event,
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use crate::{
    EngineError,
    ledger::{Entry, Ledger, LedgerError, SETUP},
    probes::Latest,
    recorder::Recorder,
};

/// Why an experiment was broken off. Never a verdict on the cluster.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// A node could not be acted on.
    #[error("{0}")]
    Cluster(#[from] ClusterError),
    /// An undo could not be made safe.
    #[error("nothing was injected, the undo ledger cannot be written: {0}")]
    Ledger(#[from] LedgerError),
    /// The record cannot be written.
    #[error("{0}")]
    Record(#[from] EngineError),
    /// Other flags were not put in place, or not taken back.
    #[error("flags: {0}")]
    Flags(String),
    /// Nobody has the role that a step names.
    #[error("no target: {0}")]
    NoTarget(String),
    /// A part of the engine panicked.
    #[error("the harness panicked: {0}")]
    Panicked(String),
}

/// One experiment under way.
#[derive(Clone)]
pub struct Context {
    /// The cluster.
    pub cluster: Arc<dyn Cluster>,
    /// The run's record.
    pub recorder: Recorder,
    /// The run's ledger.
    pub ledger: Ledger,
    /// What the probes were told last.
    pub latest: Latest,
    /// Ctrl-C, or a record that cannot be written.
    pub cancel: CancellationToken,
    rng: Arc<Mutex<StdRng>>,
    background: Arc<Mutex<JoinSet<Result<(), Broken>>>>,
    hit: Arc<Mutex<BTreeMap<u32, Vec<String>>>>,
}

impl Context {
    /// A context whose choices depend on the seed alone.
    pub fn new(
        cluster: Arc<dyn Cluster>,
        recorder: Recorder,
        ledger: Ledger,
        latest: Latest,
        cancel: CancellationToken,
        seed: u64,
    ) -> Context {
        Context {
            cluster,
            recorder,
            ledger,
            latest,
            cancel,
            rng: Arc::new(Mutex::new(StdRng::seed_from_u64(seed))),
            background: Arc::default(),
            hit: Arc::default(),
        }
    }

    /// Shuffles by the run's seed.
    pub fn shuffle<T>(&self, items: &mut [T]) {
        items.shuffle(&mut *self.rng.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// A number by the run's seed.
    #[must_use]
    pub fn draw(&self) -> u64 {
        self.rng.lock().unwrap_or_else(PoisonError::into_inner).next_u64()
    }

    /// Runs beside the steps: a hold's undo, a watch for a process to return.
    pub fn background(&self, task: impl Future<Output = Result<(), Broken>> + Send + 'static) {
        self.background.lock().unwrap_or_else(PoisonError::into_inner).spawn(task);
    }

    /// Waits for everything in the background.
    ///
    /// # Errors
    /// The first that failed; the others are stopped.
    pub async fn join_background(&self) -> Result<(), Broken> {
        loop {
            let mut tasks =
                std::mem::take(&mut *self.background.lock().unwrap_or_else(PoisonError::into_inner));
            if tasks.is_empty() {
                return Ok(());
            }
            while let Some(ended) = tasks.join_next().await {
                ended.map_err(|error| Broken::Panicked(error.to_string()))??;
            }
        }
    }

    /// Stops everything in the background: of an experiment that was broken off nothing may go on into the next.
    pub async fn stop_background(&self) {
        let mut tasks = std::mem::take(&mut *self.background.lock().unwrap_or_else(PoisonError::into_inner));
        tasks.shutdown().await;
    }

    /// Stops everything in the background when it is dropped, so that an experiment nobody waits for any more ends
    /// whole: its tasks hold the context, which holds them.
    #[must_use = "dropped at once it stops what is in the background"]
    pub fn stop_on_drop(&self) -> StopOnDrop {
        StopOnDrop(Arc::clone(&self.background))
    }

    /// The nodes that a step hit.
    #[must_use]
    pub fn hit(&self, step: u32) -> Vec<String> {
        self.hit.lock().unwrap_or_else(PoisonError::into_inner).get(&step).cloned().unwrap_or_default()
    }

    /// Nodes hit by any step so far.
    #[must_use]
    pub fn all_hit(&self) -> Vec<String> {
        self.hit.lock().unwrap_or_else(PoisonError::into_inner).values().flatten().cloned().collect()
    }

    /// A step begins.
    #[must_use]
    pub fn step(&self, step: u32, key: &'static str, targets: &[String], description: String) -> StepContext {
        self.hit.lock().unwrap_or_else(PoisonError::into_inner).insert(step, targets.to_vec());
        let targets = targets.to_vec();
        self.recorder.record(Event::StepStarted { step, key: key.into(), targets, description });
        StepContext { context: self.clone(), step }
    }

    /// Undoes everything that the steps of this run have left armed, latest first. What fails stays armed.
    pub async fn undo_all(&self) -> Vec<String> {
        let mut problems = Vec::new();
        // What was set up beneath them is put back when they are over (see `flags`).
        for entry in self.ledger.pending().into_iter().filter(|entry| entry.step != SETUP) {
            if let Err(error) = self.undo(&entry).await {
                problems.push(format!("{} on {} was not undone: {error}", entry.undo.name(), entry.node));
            }
        }
        problems
    }

    /// Carries out an undo and calls off the node's deadline for it, which is no part of the measured time. False
    /// where nothing was left to undo.
    pub(crate) async fn undo(&self, entry: &Entry) -> Result<bool, ClusterError> {
        let began = self.recorder.clock().now();
        let report = self.cluster.act(&entry.node, &entry.undo).await?;
        let ended = self.recorder.clock().now();
        let (step, node, action) = (entry.step, entry.node.clone(), entry.undo.clone());
        self.recorder.record(Event::Undone { step, node, action, began, ended });
        if let Some(id) = &entry.deadline {
            self.cluster.act(&entry.node, &NodeAction::DeadlineClear { id: id.clone() }).await?;
        }
        if let Err(error) = self.ledger.done(entry.id) {
            tracing::warn!(%error, "an undo was carried out but could not be noted");
        }
        Ok(report.changed)
    }
}

/// See [`Context::stop_on_drop`].
pub struct StopOnDrop(Arc<Mutex<JoinSet<Result<(), Broken>>>>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        drop(std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)));
    }
}

/// One step under way.
#[derive(Clone)]
pub struct StepContext {
    /// The experiment.
    pub context: Context,
    /// The step's number, from 1.
    pub step: u32,
}

/// Between two looks at a node while waiting for something to show.
const LOOK_PERIOD: Duration = Duration::from_millis(150);

impl StepContext {
    /// Does something to a node and records it.
    ///
    /// # Errors
    /// Where the node refuses.
    pub async fn inject(&self, node: &str, action: NodeAction) -> Result<ActionReport, Broken> {
        let clock = self.context.recorder.clock();
        let began = clock.now();
        let report = self.context.cluster.act(node, &action).await?;
        let (step, node, ended) = (self.step, node.to_owned(), clock.now());
        self.context.recorder.record(Event::Injected {
            step,
            node,
            action,
            began,
            ended,
            report: Box::new(report.clone()),
        });
        Ok(report)
    }

    /// Looks at a node without recording it.
    ///
    /// # Errors
    /// Where the node refuses.
    pub async fn look(&self, node: &str, action: &NodeAction) -> Result<ActionReport, Broken> {
        Ok(self.context.cluster.act(node, action).await?)
    }

    /// Looks again and again until `shows` is satisfied or `limit` is over, and records what came of it.
    ///
    /// # Errors
    /// Where the node refuses.
    pub async fn evidence(
        &self,
        node: &str,
        check: &str,
        look: &NodeAction,
        limit: Duration,
        shows: impl Fn(&ActionReport) -> bool + Send,
    ) -> Result<bool, Broken> {
        let deadline = Instant::now() + limit;
        loop {
            let report = self.look(node, look).await?;
            let effective = shows(&report);
            if effective || Instant::now() >= deadline {
                self.record_evidence(node, check, effective, describe(&report));
                return Ok(effective);
            }
            sleep(LOOK_PERIOD).await;
        }
    }

    /// Records evidence that was gathered otherwise.
    pub fn record_evidence(&self, node: &str, check: &str, effective: bool, seen: String) {
        let (step, node, check) = (self.step, node.to_owned(), check.to_owned());
        self.context.recorder.record(Event::Evidence { step, node, check, effective, seen });
    }
}

/// A report in words.
#[must_use]
pub fn describe(report: &ActionReport) -> String {
    let mut parts: Vec<String> = report
        .processes
        .iter()
        .map(|p| format!("process {} (started at tick {}, state {})", p.id.pid, p.id.started, p.state))
        .collect();
    if let (Some(shortest), Some(middle), Some(longest)) =
        (report.round_trips.first(), crate::handshake::median(report), report.round_trips.last())
    {
        let count = report.round_trips.len();
        parts.push(format!(
            "{count} handshakes, median {middle:.1?}, from {:.1?} to {:.1?}",
            shortest.0, longest.0
        ));
    }
    if let Some(slowed) = &report.slowed {
        parts.push(format!(
            "{} packets held and {} lost, half of them held for {:.1?} at most, 99 of 100 for {:.1?}",
            slowed.packets, slowed.lost, slowed.p50.0, slowed.p99.0
        ));
        if slowed.overflowed > 0 {
            parts.push(format!("{} let through at once, for too many waited", slowed.overflowed));
        }
    }
    if let Some(limited) = &report.limited {
        parts.push(limited.to_string());
    }
    if let Some(space) = &report.space {
        parts.push(space.to_string());
    }
    if parts.is_empty() {
        parts.push("no such process".into());
    }
    if report.paused {
        parts.push("node paused".into());
    }
    if report.packets > 0 {
        parts.push(format!("{} packets dropped", report.packets));
    }
    parts.join(", ")
}
