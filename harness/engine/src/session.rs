//! One run: a directory, a record, and the clusters that its experiments share.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use recoup_clusters::{Cluster, ClusterError, Making, Profile, Provider, Wanted};
use recoup_model::{
    event::{Event, FORMAT, Record, Stage},
    plan::{Earlier, Plan},
    repetition::trial_seed,
    residue::ByNode,
    run::RecordError,
    topology::ProviderKind,
    verdict::{ExperimentResult, RunResult, Verdict},
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    ending::Ending,
    experiment,
    heal::{heal_cluster, undo_all, words},
    ledger::{Ledger, LedgerError},
    overhead,
    reader::as_recorded,
    reaper::{self, Reaper},
    recorder::{self, Clock, Recorder},
    residue::{last_experiment, left_by_last, still_left},
};

/// The record's file name in a run's directory.
pub const EVENTS: &str = "events.jsonl";

/// How often an experiment that comes to no verdict is made, where nobody says otherwise.
pub const TRIES: u32 = 2;

/// Told every record as it is written; must not block.
pub type Listener = Arc<dyn Fn(&Record) + Send + Sync>;

/// What a run is.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where runs are kept; the run makes its own directory `<started>-<seed>` in here.
    pub runs: PathBuf,
    /// Everything random comes from it.
    pub seed: u64,
    /// Name of the cluster instead of `recoup-<profile>`.
    pub name: Option<String>,
    /// Node image.
    pub image: Option<String>,
    /// Kubernetes version.
    pub version: Option<String>,
    /// Use a cluster that somebody else made.
    pub adopt: bool,
    /// Delete at the end the clusters that this run makes.
    pub delete: bool,
    /// How often an experiment is made at most, while it comes to no verdict on the cluster; at least once.
    pub tries: u32,
    /// How a reaper is started, where there is to be one (see [`crate::reaper`]); none on simulated clusters, which
    /// end with their process.
    pub reaper: Option<reaper::Command>,
    /// Cancelled on Ctrl-C: the running experiment is undone and aborted.
    pub cancel: CancellationToken,
}

impl Settings {
    /// The cluster that a profile's experiments run on.
    ///
    /// # Errors
    /// Where there is no such profile.
    pub fn wanted(&self, profile: &str) -> Result<Wanted, ClusterError> {
        Ok(Wanted {
            profile: Profile::load(profile)?,
            name: self.name.clone().unwrap_or_else(|| format!("recoup-{profile}")),
            image: self.image.clone(),
            version: self.version.clone(),
            adopt: self.adopt,
            seed: self.seed,
            making: Making::default(),
        })
    }
}

/// A run under way.
pub struct Session {
    settings: Settings,
    provider: Arc<dyn Provider>,
    dir: PathBuf,
    recorder: Recorder,
    ledger: Ledger,
    clusters: BTreeMap<String, Arc<dyn Cluster>>,
    /// The profile of the experiment that ran last: its fingerprint stands in the record.
    current: Option<String>,
    interrupted: bool,
    /// What the nodes of a profile's cluster were like before and after the experiment that left something on them.
    unclean: BTreeMap<String, ByNode>,
    overhead: JoinSet<()>,
    reaper: Option<Reaper>,
}

impl Session {
    /// Makes the run's directory and begins its record.
    ///
    /// # Errors
    /// Where the directory cannot be written.
    pub fn start(
        settings: Settings,
        provider: Arc<dyn Provider>,
        experiments: &[Plan],
        listener: Listener,
    ) -> Result<Session, EngineError> {
        let started = jiff::Timestamp::now();
        let (run, dir) = make_dir(&settings, started)?;
        let ledger = Ledger::open(&dir)?;
        let recorder = Recorder::create(&dir.join(EVENTS), Clock::start(), listener)?;
        recorder.record(Event::RunStarted {
            format: FORMAT,
            run,
            recoup: env!("CARGO_PKG_VERSION").into(),
            started: started.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            seed: settings.seed,
            experiments: experiments.iter().map(|plan| plan.id.clone()).collect(),
        });
        let mut session = Session {
            settings,
            provider,
            dir,
            recorder,
            ledger,
            clusters: BTreeMap::new(),
            current: None,
            interrupted: false,
            unclean: BTreeMap::new(),
            overhead: JoinSet::new(),
            reaper: None,
        };
        // Under virtual time the processor time of this process says nothing, and a sample is not old after a while.
        if session.provider.kind() != ProviderKind::Sim {
            session.overhead = overhead::watch(&session.recorder);
            session.overhead.spawn(recorder::keep_flushed(session.recorder.clone()));
            session.watched();
        }
        Ok(session)
    }

    /// Starts the reaper. A run without one goes on: the nodes' own deadlines and `recoup heal` are left.
    fn watched(&mut self) {
        let Some(command) = &self.settings.reaper else { return };
        match Reaper::start(command, &self.dir) {
            Ok(reaper) => self.reaper = Some(reaper),
            Err(error) => {
                let message = format!(
                    "no reaper could be started ({error}): should this process be killed, the nodes' own deadlines \
                     undo its faults, and `recoup heal` what they do not"
                );
                self.recorder.record(Event::Note { message });
            }
        }
    }

    /// What is left to do after [`Session::finish`]; to be taken before it.
    #[must_use]
    pub fn ending(&mut self) -> Ending {
        let (ledger, provider) = (self.ledger.clone(), Arc::clone(&self.provider));
        Ending { ledger, provider, reaper: self.reaper.take() }
    }

    /// The run's directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The cluster of a profile: made or adopted once, then shared. What a dead run left on it is undone first.
    ///
    /// # Errors
    /// Where it cannot be had.
    pub async fn cluster(&mut self, profile: &str) -> Result<Arc<dyn Cluster>, EngineError> {
        let found = self.clusters.get(profile).cloned();
        let (cluster, created) = match found {
            Some(cluster) if self.current.as_deref() == Some(profile) => return Ok(cluster),
            Some(cluster) => (cluster, false),
            None => self.obtain(profile).await?,
        };
        if created {
            self.unclean.remove(profile);
        }
        self.check_clean(profile, &cluster).await?;
        self.clusters.insert(profile.to_owned(), Arc::clone(&cluster));
        self.current = Some(profile.to_owned());
        let fingerprint = Box::new(cluster.fingerprint().clone());
        let configuration = Some(Box::new(cluster.configuration().clone()));
        self.recorder.record(Event::ClusterReady { fingerprint, created, configuration });
        Ok(cluster)
    }

    /// Refuses a cluster on which an earlier experiment of this run has left something.
    async fn check_clean(&mut self, profile: &str, cluster: &Arc<dyn Cluster>) -> Result<(), EngineError> {
        let Some(surveys) = self.unclean.get(profile).cloned() else { return Ok(()) };
        let left = still_left(cluster, surveys).await;
        if left.is_empty() {
            self.unclean.remove(profile);
            return Ok(());
        }
        let (cluster, what) = (cluster.fingerprint().cluster.clone(), left.join("; "));
        Err(ClusterError::LeftBehind { cluster, what }.into())
    }

    async fn obtain(&mut self, profile: &str) -> Result<(Arc<dyn Cluster>, bool), EngineError> {
        let mut wanted = self.settings.wanted(profile)?;
        let (ledger, kind, delete) = (self.ledger.clone(), self.provider.kind(), self.settings.delete);
        wanted.making = Making::new(move |cluster| {
            ledger.making(kind, cluster, delete).map_err(|error| ClusterError::File {
                path: format!("{cluster} is not made, because it could not be noted"),
                source: std::io::Error::other(error),
            })
        });
        self.undo_the_rest().await;
        let left = self.ledger.pending().len();
        if left > 0 {
            return Err(EngineError::Unhealed { left, dir: self.dir.clone() });
        }
        let healed =
            heal_cluster(&self.settings.runs, self.provider.as_ref(), &wanted.name, &self.dir).await?;
        for message in healed {
            self.recorder.record(Event::Note { message });
        }
        let recorder = self.recorder.clone();
        let progress = move |message| {
            recorder.record(Event::ClusterProgress { message });
        };
        tokio::select! {
            obtained = self.provider.obtain(&wanted, &progress) => {
                let (cluster, created) = obtained?;
                if created {
                    self.ledger.made(&wanted.name)?;
                }
                Ok((cluster, created))
            }
            () = self.settings.cancel.cancelled() => {
                self.interrupted = true;
                Err(EngineError::Interrupted)
            }
        }
    }

    /// Runs one experiment and judges it, again while it says nothing of the cluster and tries are left. A harness
    /// failure gives an Inconclusive result, not an error.
    ///
    /// # Errors
    /// Where the record cannot be written or the run was cancelled.
    pub async fn experiment(&mut self, plan: &Plan) -> Result<ExperimentResult, EngineError> {
        let mut plan = plan.clone();
        loop {
            let result = self.once(&plan).await?;
            plan.earlier.push(Earlier { started: result.started, reasons: result.reasons.clone() });
            if plan.earlier.len() >= self.settings.tries as usize || !self.says_nothing(&result) {
                return Ok(result);
            }
            match self.cluster(&plan.profile).await {
                Ok(_) => {}
                Err(EngineError::Cluster(error)) => {
                    let message = format!("{} is not tried again: {error}", plan.id);
                    self.recorder.record(Event::Note { message });
                    return Ok(result);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// It is inconclusive, and nothing was seen that another try on a cluster that is well again would hide: no lost
    /// write or other broken rule, and a cluster that was healthy afterwards.
    fn says_nothing(&self, result: &ExperimentResult) -> bool {
        let healthy = last_experiment(&self.recorder.all()).iter().any(
            |record| matches!(&record.event, Event::Health { stage: Stage::After, problems } if problems.is_empty()),
        );
        let broken = result.oracles.iter().any(|oracle| oracle.verdict == Verdict::Fail);
        result.verdict == Verdict::Inconclusive && healthy && !broken
    }

    async fn once(&mut self, plan: &Plan) -> Result<ExperimentResult, EngineError> {
        let cluster = self.cluster(&plan.profile).await?;
        let run = experiment::Run {
            cluster,
            recorder: &self.recorder,
            ledger: &self.ledger,
            cancel: &self.settings.cancel,
            seed: trial_seed(self.settings.seed, &plan.id, plan.trial),
            putting_off: Arc::default(),
        };
        let result = experiment::run(run, plan).await;
        self.undo_the_rest().await;
        self.interrupted |= matches!(result, Err(EngineError::Interrupted));
        // A cluster that the harness could not work with is looked for anew by the next experiment.
        if result.as_ref().is_ok_and(|result| result.verdict == Verdict::Inconclusive) {
            self.clusters.remove(&plan.profile);
            self.current = None;
            if let Some(surveys) = left_by_last(&self.recorder) {
                self.unclean.insert(plan.profile.clone(), surveys);
            }
        }
        result
    }

    /// What the experiment could not undo on the cluster as it knew it, on the nodes that there are now: a node may
    /// be gone, and Docker may have been restarted.
    async fn undo_the_rest(&self) {
        let pending = self.ledger.pending();
        if pending.is_empty() {
            return;
        }
        for (entry, outcome) in undo_all(&self.ledger, &*self.provider, pending, false).await {
            let how = match outcome {
                Ok(true) => "undone at the second try".to_owned(),
                Ok(false) => "nothing is left to undo".to_owned(),
                Err(error) => format!("not undone at the second try either: {error}"),
            };
            self.recorder.record(Event::Note { message: format!("{}: {how}", words(&entry)) });
        }
    }

    /// Records that an experiment is left out.
    ///
    /// # Errors
    /// Where the record cannot be written.
    pub fn skip(&mut self, plan: &Plan, reason: &str) -> Result<(), EngineError> {
        let (id, hypothesis, reason) = (plan.id.clone(), plan.hypothesis.clone(), reason.to_owned());
        self.recorder.record(Event::ExperimentSkipped { id, hypothesis, reason });
        self.recorder.check()
    }

    /// Ends the record and returns the results of all.
    ///
    /// # Errors
    /// Where the record cannot be written, or undos are still pending.
    pub fn finish(mut self) -> Result<RunResult, EngineError> {
        self.overhead.abort_all();
        self.recorder.record(Event::RunFinished { interrupted: self.interrupted });
        self.recorder.sync()?;
        let left = self.ledger.pending().len();
        if left > 0 {
            return Err(EngineError::Unhealed { left, dir: self.dir });
        }
        Ok(as_recorded(&self.recorder.all())?)
    }
}

/// Two runs in one second with one seed get different directories.
fn make_dir(settings: &Settings, started: jiff::Timestamp) -> Result<(String, PathBuf), EngineError> {
    let failed = |path: &Path, source| EngineError::Record { path: path.to_owned(), source };
    std::fs::create_dir_all(&settings.runs).map_err(|source| failed(&settings.runs, source))?;
    let stem = format!("{}-{}", started.strftime("%Y%m%dT%H%M%SZ"), settings.seed);
    for number in 1..100 {
        let run = if number == 1 { stem.clone() } else { format!("{stem}-{number}") };
        let dir = settings.runs.join(&run);
        match std::fs::create_dir(&dir) {
            Ok(()) => return Ok((run, dir)),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(failed(&dir, source)),
        }
    }
    Err(failed(&settings.runs, std::io::ErrorKind::AlreadyExists.into()))
}

/// Why a run ended early.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The cluster could not be had.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The undo ledger could not be read or written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The record makes no sense.
    #[error(transparent)]
    Judge(#[from] RecordError),
    /// The record could not be written.
    #[error("{path}: {source}")]
    Record {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Ctrl-C.
    #[error("interrupted; every fault was undone")]
    Interrupted,
    /// Faults could not be undone.
    #[error("{left} faults could not be undone; run: recoup heal {dir}")]
    Unhealed {
        /// How many.
        left: usize,
        /// The run.
        dir: PathBuf,
    },
}
