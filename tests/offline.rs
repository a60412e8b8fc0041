//! Runs of the engine on simulated clusters. Use under paused time.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, Result};
use recoup_clusters::{PROFILES, Provider, sim::SimProvider};
use recoup_engine::{EngineError, Listener, Session, Settings};
use recoup_model::{
    event::Record,
    plan::Plan,
    spec::builtin,
    verdict::{ExperimentResult, RunResult},
};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// The built-in experiments whose id begins with one of these.
///
/// # Errors
/// Where a suite file is wrong, or none fits.
pub fn plans(prefixes: &[&str]) -> Result<Vec<Plan>> {
    let mut plans = builtin(PROFILES)?;
    plans.retain(|plan| prefixes.iter().any(|prefix| plan.id.starts_with(prefix)));
    anyhow::ensure!(!plans.is_empty(), "no experiment fits {prefixes:?}");
    Ok(plans)
}

/// The built-in experiment of that id.
///
/// # Errors
/// Where there is none.
pub fn plan(id: &str) -> Result<Plan> {
    plans(&[id])?.into_iter().find(|plan| plan.id == id).with_context(|| format!("no experiment {id}"))
}

/// A place for runs, with its own simulated clusters.
pub struct Lab {
    runs: TempDir,
    /// Where its clusters come from.
    pub sim: Arc<SimProvider>,
    /// What sessions are started with in place of `sim`, where set.
    pub provider: Option<Arc<dyn Provider>>,
    /// How often its sessions make an experiment that comes to no verdict.
    pub tries: u32,
    /// Cancels its runs.
    pub cancel: CancellationToken,
    records: Arc<Mutex<Vec<Record>>>,
}

/// A run that is over.
pub struct Ran {
    /// Its directory.
    pub dir: PathBuf,
    /// Its results.
    pub run: RunResult,
    /// What each experiment gave.
    pub experiments: Vec<Result<ExperimentResult, EngineError>>,
}

impl Lab {
    /// An empty one.
    ///
    /// # Errors
    /// Where there is no room for it.
    pub fn new() -> Result<Lab> {
        Ok(Lab {
            runs: tempfile::tempdir()?,
            sim: Arc::new(SimProvider::new()),
            provider: None,
            tries: 1,
            cancel: CancellationToken::new(),
            records: Arc::default(),
        })
    }

    /// The directory of its runs.
    #[must_use]
    pub fn runs(&self) -> &Path {
        self.runs.path()
    }

    /// Everything that its runs have recorded.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A session that also tells `listener` what it records.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn session(
        &self,
        plans: &[Plan],
        seed: u64,
        listener: impl Fn(&Record) + Send + Sync + 'static,
    ) -> Result<Session, EngineError> {
        let settings = Settings {
            runs: self.runs().to_owned(),
            seed,
            name: None,
            image: None,
            version: None,
            adopt: false,
            delete: false,
            tries: self.tries,
            reaper: None,
            cancel: self.cancel.clone(),
        };
        let provider: Arc<dyn Provider> = match &self.provider {
            Some(provider) => Arc::clone(provider),
            None => Arc::<SimProvider>::clone(&self.sim),
        };
        let records = Arc::clone(&self.records);
        let listener: Listener = Arc::new(move |record| {
            records.lock().unwrap_or_else(PoisonError::into_inner).push(record.clone());
            listener(record);
        });
        Session::start(settings, provider, plans, listener)
    }

    /// Runs experiments to their end.
    ///
    /// # Errors
    /// Where the session cannot be started or ended.
    pub async fn run(&self, plans: &[Plan], seed: u64) -> Result<Ran> {
        self.run_telling(plans, seed, |_| {}).await
    }

    /// As [`Lab::run`], telling every record to `listener`.
    ///
    /// # Errors
    /// As there.
    pub async fn run_telling(
        &self,
        plans: &[Plan],
        seed: u64,
        listener: impl Fn(&Record) + Send + Sync + 'static,
    ) -> Result<Ran> {
        let mut session = self.session(plans, seed, listener)?;
        let dir = session.dir().to_owned();
        let mut experiments = Vec::new();
        for plan in plans {
            experiments.push(session.experiment(plan).await);
        }
        Ok(Ran { dir, run: session.finish()?, experiments })
    }
}
