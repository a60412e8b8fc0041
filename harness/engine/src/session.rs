//! One run: a directory, a record, and the clusters that its experiments share.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use recoup_clusters::{Cluster, ClusterError, Profile, Provider, Wanted};
use recoup_model::{
    event::{Event, FORMAT, Record},
    plan::Plan,
    run::RecordError,
    topology::ProviderKind,
    verdict::{ExperimentResult, RunResult, Verdict},
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    experiment,
    heal::heal_cluster,
    ledger::{Ledger, LedgerError},
    overhead,
    reader::as_recorded,
    recorder::{Clock, Recorder},
};

/// The record's file name in a run's directory.
pub const EVENTS: &str = "events.jsonl";

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
    overhead: JoinSet<()>,
    experiments: u64,
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
            overhead: JoinSet::new(),
            experiments: 0,
        };
        // Under virtual time the processor time of this process says nothing.
        if session.provider.kind() != ProviderKind::Sim {
            session.overhead = overhead::watch(&session.recorder);
        }
        Ok(session)
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
        self.clusters.insert(profile.to_owned(), Arc::clone(&cluster));
        self.current = Some(profile.to_owned());
        let fingerprint = Box::new(cluster.fingerprint().clone());
        self.recorder.record(Event::ClusterReady { fingerprint, created });
        Ok(cluster)
    }

    async fn obtain(&mut self, profile: &str) -> Result<(Arc<dyn Cluster>, bool), EngineError> {
        let wanted = self.settings.wanted(profile)?;
        let healed = heal_cluster(&self.settings.runs, self.provider.as_ref(), &wanted.name).await?;
        for message in healed {
            self.recorder.record(Event::Note { message });
        }
        let recorder = self.recorder.clone();
        let progress = move |message| {
            recorder.record(Event::ClusterProgress { message });
        };
        tokio::select! {
            obtained = self.provider.obtain(&wanted, &progress) => Ok(obtained?),
            () = self.settings.cancel.cancelled() => {
                self.interrupted = true;
                Err(EngineError::Interrupted)
            }
        }
    }

    /// Runs one experiment and judges it. A harness failure gives an Inconclusive result, not an error.
    ///
    /// # Errors
    /// Where the record cannot be written or the run was cancelled.
    pub async fn experiment(&mut self, plan: &Plan) -> Result<ExperimentResult, EngineError> {
        let cluster = self.cluster(&plan.profile).await?;
        self.experiments += 1;
        let run = experiment::Run {
            cluster,
            recorder: &self.recorder,
            ledger: &self.ledger,
            cancel: &self.settings.cancel,
            seed: self.settings.seed.wrapping_add(self.experiments),
        };
        let result = experiment::run(run, plan).await;
        self.interrupted |= matches!(result, Err(EngineError::Interrupted));
        // A cluster that the harness could not work with is looked for anew by the next experiment.
        if result.as_ref().is_ok_and(|result| result.verdict == Verdict::Inconclusive) {
            self.clusters.remove(&plan.profile);
            self.current = None;
        }
        result
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
