//! The one session that all experiments of `suites.rs` share, on the cluster that the environment asks for.

use std::{
    env,
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, anyhow};
use recoup_clusters::{Profile, Provider};
use recoup_engine::{
    EngineError, Left, Session, Settings, TRIES,
    choose::{Choice, Chosen, choose, cluster_lacks, profile_lacks, provider},
    reader::read_run,
    reaper, runtime,
};
use recoup_model::{
    plan::Plan,
    topology::ProviderKind,
    verdict::{ExperimentResult, Verdict},
};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

/// What an experiment came to, for a test.
#[derive(Debug)]
pub enum Ended {
    /// It passed.
    Passed,
    /// It cannot run on this cluster.
    Skipped(String),
    /// It did not pass; the text says why.
    Failed(String),
}

/// The session, started with the first experiment.
pub struct Live {
    settings: Settings,
    chosen: Result<Chosen, String>,
    plans: Vec<Plan>,
    under_way: Option<UnderWay>,
}

struct UnderWay {
    // Dropped before the runtime that its tasks live in.
    session: Session,
    provider: Arc<dyn Provider>,
    dir: PathBuf,
    runtime: Runtime,
}

impl Live {
    /// Reads RECOUP_CLUSTER, RECOUP_NAME, RECOUP_ADOPT, RECOUP_RUNS, RECOUP_KEEP and RECOUP_TRIES, and finds out which
    /// provider there is. Changes nothing.
    ///
    /// # Errors
    /// Where a variable makes no sense.
    pub fn from_env(plans: &[Plan]) -> Result<Live> {
        let read = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        let choice: Choice = match read("RECOUP_CLUSTER") {
            Some(text) => text.parse().map_err(|error| anyhow!("RECOUP_CLUSTER: {error}"))?,
            None => Choice::Auto,
        };
        let adopt = read("RECOUP_ADOPT");
        let keep = read("RECOUP_KEEP").is_some_and(|value| value == "1") || adopt.is_some();
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let runs = read("RECOUP_RUNS").map(PathBuf::from);
        let settings = Settings {
            runs: runs.unwrap_or_else(|| here.parent().unwrap_or(here).join("recoup-runs")),
            seed: match read("RECOUP_SEED") {
                Some(text) => text.parse().with_context(|| format!("RECOUP_SEED: {text:?} is no number"))?,
                None => {
                    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs() % 1_000_000)
                }
            },
            adopt: adopt.is_some(),
            name: adopt.or_else(|| read("RECOUP_NAME")),
            image: None,
            version: read("RECOUP_KUBERNETES"),
            delete: !keep,
            tries: match read("RECOUP_TRIES") {
                Some(text) => {
                    let tries = text.parse().ok().filter(|tries| *tries > 0);
                    tries.with_context(|| format!("RECOUP_TRIES: {text:?} is no number from 1 on"))?
                }
                None => TRIES,
            },
            reaper: reaper(),
            cancel: CancellationToken::new(),
        };
        let first = plans.first().context("there is no experiment")?;
        let wanted = settings.wanted(&first.profile)?;
        let chosen =
            runtime::real_time()?.block_on(choose(choice, &wanted)).map_err(|error| error.to_string());
        Ok(Live { settings, chosen, plans: plans.to_vec(), under_way: None })
    }

    /// How runs are to be started.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The provider that was chosen, or why there is none.
    ///
    /// # Errors
    /// What is missing.
    pub fn chosen(&self) -> Result<&Chosen, &String> {
        self.chosen.as_ref()
    }

    /// Runs one experiment on the shared cluster of its profile.
    pub fn run(&mut self, plan: &Plan) -> Ended {
        let kind = match &self.chosen {
            Ok(chosen) => chosen.kind,
            Err(missing) => return Ended::Failed(format!("there is no cluster to run on: {missing}")),
        };
        if self.settings.cancel.is_cancelled() {
            return Ended::Failed("INCONCLUSIVE: interrupted before it began".into());
        }
        match self.try_run(kind, plan) {
            Ok(ended) => ended,
            Err(error) => Ended::Failed(format!("INCONCLUSIVE: {error:#}")),
        }
    }

    fn try_run(&mut self, kind: ProviderKind, plan: &Plan) -> Result<Ended> {
        if !self.settings.adopt {
            let lacks = profile_lacks(plan, &Profile::load(&plan.profile)?);
            if !lacks.is_empty() {
                return Ok(Ended::Skipped(lacks.join("; ")));
            }
        }
        let under_way = match self.under_way.take() {
            Some(under_way) => under_way,
            None => self.start(kind)?,
        };
        let UnderWay { session, runtime, dir, .. } = self.under_way.insert(under_way);
        let dir = dir.clone();
        runtime.block_on(async {
            let lacks = cluster_lacks(plan, session.cluster(&plan.profile).await?.as_ref());
            if !lacks.is_empty() {
                session.skip(plan, &lacks.join("; "))?;
                return Ok(Ended::Skipped(lacks.join("; ")));
            }
            let result = session.experiment(plan).await?;
            Ok(if result.verdict == Verdict::Pass {
                Ended::Passed
            } else {
                Ended::Failed(explain(&result, &dir))
            })
        })
    }

    fn start(&self, kind: ProviderKind) -> Result<UnderWay> {
        let runtime = runtime::of(kind)?;
        let provider = provider(kind);
        let session = {
            let _inside = runtime.enter();
            watch(self.settings.cancel.clone());
            Session::start(self.settings.clone(), Arc::clone(&provider), &self.plans, Arc::new(|_| ()))?
        };
        let dir = session.dir().to_owned();
        Ok(UnderWay { session, provider, dir, runtime })
    }

    /// Ends the run: reports are written, a cluster that it made is deleted unless it is to be kept.
    /// Gives the lines to show.
    ///
    /// # Errors
    /// Where reports cannot be written, faults are left, or a cluster cannot be deleted.
    pub fn finish(self) -> Result<Vec<String>> {
        let Some(UnderWay { mut session, provider, dir, runtime }) = self.under_way else {
            return Ok(Vec::new());
        };
        let ending = session.ending();
        let finished = {
            let _inside = runtime.enter();
            session.finish()
        };
        let run = match &finished {
            Ok(run) => run.clone(),
            Err(_) => read_run(&dir, false)?.recorded,
        };
        recoup_report::write_all(&dir, &run)?;
        let mut lines = vec![format!("record and reports: {}", dir.display())];
        if let Err(EngineError::Unhealed { left, .. }) = &finished {
            return Err(anyhow!(
                "{left} faults are left: recoup heal --runs {}",
                self.settings.runs.display()
            ));
        }
        finished?;
        for left in runtime.block_on(ending.leave(&|message| eprintln!("{message}")))? {
            match left {
                _ if provider.kind() == ProviderKind::Sim => {}
                Left::Kept(name) => lines.push(format!("cluster {name} is kept: recoup cluster down {name}")),
                Left::Deleted(name) => {
                    lines.push(format!("cluster {name} is deleted; RECOUP_KEEP=1 keeps it"));
                }
            }
        }
        Ok(lines)
    }
}

/// Names the run's directory to the process that is to watch over it: see [`reap`].
const REAP: &str = "RECOUP_REAP";

/// How this program starts its reaper.
fn reaper() -> Option<reaper::Command> {
    let program = env::current_exe().ok()?;
    Some(reaper::Command { program, arguments: Vec::new(), variable: Some(REAP.into()) })
}

/// In a process that was started as a reaper: watches over its run, to be called first of all. None in all others.
///
/// # Errors
/// Where the run's ledger cannot be read, or something could not be undone.
pub fn reap() -> Option<Result<()>> {
    let dir = PathBuf::from(env::var_os(REAP)?);
    let watched = || {
        let watch = reaper::watch(&dir, std::io::stdin(), std::io::stdout(), provider);
        match runtime::real_time()?.block_on(watch)? {
            reaper::Outcome::Reaped { left } if left > 0 => Err(anyhow!("{left} things could not be undone")),
            reaper::Outcome::Reaped { .. } | reaper::Outcome::Dismissed => Ok(()),
        }
    };
    Some(watched())
}

/// Ctrl-C undoes what is under way; a second one changes nothing.
fn watch(cancel: CancellationToken) {
    tokio::spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() {
            let first = !cancel.is_cancelled();
            eprintln!(
                "{}",
                if first { "\ninterrupted: undoing what was done" } else { "\nhealing is under way" }
            );
            cancel.cancel();
        }
    });
}

/// Why an experiment did not pass: reasons, then every figure, then where to look.
#[must_use]
pub fn explain(result: &ExperimentResult, dir: &Path) -> String {
    let mut text = format!("{}: {}\n", result.verdict, result.hypothesis);
    if result.simulated {
        text += "SIMULATED: this says nothing about any real cluster\n";
    }
    for (number, earlier) in (1..).zip(&result.earlier) {
        text += &format!("try {number} came to no verdict: {}\n", earlier.reasons.join("; "));
    }
    for reason in &result.reasons {
        text += &format!("- {reason}\n");
    }
    for interval in &result.intervals {
        text += &format!(
            "  {} {}: {} ({})\n",
            interval.verdict, interval.milestone.name, interval.measure, interval.detail
        );
    }
    for checked in &result.assertions {
        text += &format!("  {} {}: {}\n", checked.verdict, checked.name, checked.detail);
    }
    text + &format!("report: {}", dir.join("report.html").display())
}
