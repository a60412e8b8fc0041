//! One control: the experiment on what is broken, held against the verdict that is due.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, Result, bail};
use recoup_clusters::{Provider, sim::SimProvider};
use recoup_engine::{
    EngineError, Session, Settings,
    choose::{cluster_lacks, provider},
    ledger::Ledger,
    reaper::Reaper,
    runtime,
};
use recoup_model::{
    event::{Event, Record},
    spec::control::{Control, Defect},
    topology::ProviderKind,
    verdict::{ExperimentResult, Verdict},
};
use recoup_tests::{
    faulty::{Between, FaultyProvider},
    live::explain,
};

use crate::{cluster::ClusterControl, harness::HarnessControl};

/// What a control came to.
pub struct Outcome {
    /// The verdict that the experiment got.
    pub got: Verdict,
    /// It is the one that is due, for the reason that is due.
    pub caught: bool,
    /// Others than the cluster and the harness crowded the real machine during it, for a time.
    pub crowded: bool,
    /// Reasons and figures.
    pub text: String,
    /// The cluster's Kubernetes version.
    pub kubernetes: String,
}

/// How a control ended.
pub enum Ended {
    /// With a verdict.
    Ran(Outcome),
    /// The cluster cannot run it.
    Skipped(String),
}

/// Where controls run and leave their records.
pub struct Runner {
    /// How runs are started.
    pub settings: Settings,
    /// Clusters that were made on the way.
    pub made: Arc<Mutex<Vec<String>>>,
}

impl Runner {
    /// Runs one control on one provider; `ledger` is the folder for the undo of the defect itself.
    ///
    /// # Errors
    /// Where it could not be carried out: that is no verdict at all.
    pub fn run(&self, control: &Control, kind: ProviderKind, ledger: &Path) -> Result<Ended> {
        let runtime = runtime::of(kind)?;
        let base = base(kind);
        let settings = self.settings.clone();
        runtime.block_on(async {
            std::fs::create_dir_all(ledger).with_context(|| ledger.display().to_string())?;
            let armed = Ledger::open(ledger)?;
            let reaper = settings.reaper.as_ref().map(|command| Reaper::start(command, ledger)).transpose();
            let reaper = reaper.context("the reaper of the control's own ledger")?;
            let (between, defect): (Arc<dyn Between>, _) = match &control.spec.defect {
                Defect::Cluster(defect) => {
                    let defect = Arc::new(ClusterControl::new(defect.clone(), armed.clone()));
                    (Arc::<ClusterControl>::clone(&defect), Some(defect))
                }
                Defect::Harness(defect) => {
                    (Arc::new(HarnessControl::new(defect.clone(), armed.clone())), None)
                }
            };
            let ran = async {
                if let Some(defect) = &defect {
                    let wanted = settings.wanted(&control.plan.profile)?;
                    let (cluster, created) = base.obtain(&wanted, &|message| eprintln!("{message}")).await?;
                    if created && kind == ProviderKind::Kind {
                        self.note_made(&wanted.name);
                    }
                    defect.start(&cluster).await?;
                }
                let provider = FaultyProvider::with(Arc::clone(&base), between);
                self.experiment(control, provider).await
            };
            let ran = ran.await;
            if let Some(defect) = &defect
                && let Err(error) = defect.end().await
            {
                let name = settings.wanted(&control.plan.profile)?.name;
                anyhow::ensure!(!settings.adopt, "{error:#}: cluster {name} must be mended by hand");
                eprintln!("{}: {error:#}: cluster {name} is deleted", control.name);
                base.delete(&name, &|message| eprintln!("{message}")).await?;
            }
            let left = armed.pending();
            if !left.is_empty() {
                bail!("the defect is not all undone: {} entries in {}", left.len(), ledger.display());
            }
            if let Some(reaper) = reaper {
                reaper.dismiss().context("the reaper of the control's own ledger")?;
            }
            ran
        })
    }

    /// The same experiment with the same budgets on a sound simulated cluster.
    ///
    /// # Errors
    /// Where it could not be carried out.
    pub fn without_defect(&self, control: &Control) -> Result<ExperimentResult> {
        let runtime = runtime::virtual_time()?;
        runtime.block_on(async { Ok(self.one(control, Arc::new(SimProvider::new())).await?.0) })
    }

    async fn experiment(&self, control: &Control, provider: Arc<dyn Provider>) -> Result<Ended> {
        let kind = provider.kind();
        let (result, dir, kubernetes) = match self.one(control, provider).await {
            Ok(ran) => ran,
            Err(error) => match error.downcast::<Lacks>() {
                Ok(Lacks(lacks)) => return Ok(Ended::Skipped(lacks.join("; "))),
                Err(error) => return Err(error),
            },
        };
        let due = control.spec.expect.with(kind);
        let said = result.reasons.iter().chain(&result.notes);
        let because = control.spec.expect.reason(kind);
        let found = because.is_none_or(|text| said.clone().any(|reason| reason.contains(text)));
        let mut text = explain(&result, &dir);
        for oracle in &result.oracles {
            text += &format!("\n  {} {}: {}", oracle.verdict, oracle.name, oracle.detail);
        }
        for note in &result.notes {
            text += &format!("\n  note: {note}");
        }
        Ok(Ended::Ran(Outcome {
            got: result.verdict,
            caught: result.verdict == due && found,
            crowded: kind == ProviderKind::Kind && result.machine.is_some_and(|used| used.was_crowded()),
            text,
            kubernetes,
        }))
    }

    /// One session with this one experiment: a badly configured cluster must be connected to anew.
    async fn one(
        &self,
        control: &Control,
        provider: Arc<dyn Provider>,
    ) -> Result<(ExperimentResult, PathBuf, String)> {
        let plan = &control.plan;
        let made = Arc::clone(&self.made);
        let listener = Arc::new(move |record: &Record| {
            if let Event::ClusterReady { fingerprint, created: true, .. } = &record.event
                && fingerprint.provider == ProviderKind::Kind
            {
                made.lock().unwrap_or_else(PoisonError::into_inner).push(fingerprint.cluster.clone());
            }
        });
        let settings = self.settings.clone();
        let mut session = Session::start(settings, provider, std::slice::from_ref(plan), listener)?;
        let dir = session.dir().to_owned();
        let cluster = session.cluster(&plan.profile).await?;
        let kubernetes = cluster.fingerprint().kubernetes.clone();
        let lacks = cluster_lacks(plan, cluster.as_ref());
        let ran = if lacks.is_empty() {
            session.experiment(plan).await.map_err(anyhow::Error::from)
        } else {
            session.skip(plan, &lacks.join("; "))?;
            Err(Lacks(lacks).into())
        };
        let ending = session.ending();
        let finished = session.finish();
        // An undo that was swallowed on purpose is pending for nobody: the harness was told that it is done.
        if let Err(error @ EngineError::Unhealed { .. }) = finished {
            return Err(error.into());
        }
        recoup_report::write_all(&dir, &finished?)?;
        ending.leave(&|message| eprintln!("{message}")).await?;
        Ok((ran?, dir, kubernetes))
    }

    fn note_made(&self, name: &str) {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).push(name.to_owned());
    }
}

/// What the cluster cannot do that the experiment needs.
#[derive(Debug)]
struct Lacks(Vec<String>);

impl std::fmt::Display for Lacks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

impl std::error::Error for Lacks {}

fn base(kind: ProviderKind) -> Arc<dyn Provider> {
    match kind {
        // One of its own each time: what one control leaves is no other's matter.
        ProviderKind::Sim => Arc::new(SimProvider::new()),
        ProviderKind::Kind => provider(kind),
    }
}
