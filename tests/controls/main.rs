//! Clusters and harnesses broken on purpose, on which experiments must fail or be inconclusive, each as a test:
//! `controls::sim::NAME` and `controls::kind::NAME`, from suites/controls.
//!
//! On the simulation all run by default, each beside the same experiment without the defect, which must pass.
//! Those on a real cluster need `RECOUP_CLUSTER=kind` and, but for the quick set, `--include-ignored`. What was
//! caught is printed at the end as a table and written beside the records: `RECOUP_RUNS`, or recoup-runs for a
//! real cluster and target/tmp/controls for the simulation. `RECOUP_KEEP=1` keeps a cluster that was made;
//! A defect that a killed test left behind is undone by its reaper, or by `recoup heal --runs` on the table's folder.
//! `UPDATE_CONTROLS=1` notes in suites/controls/caught.json what the real cluster said.

mod cluster;
mod deeds;
mod harness;
mod run;
mod table;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, Result, anyhow};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use recoup_clusters::PROFILES;
use recoup_engine::{Settings, choose::provider};
use recoup_model::{
    spec::{builtin, control::Control, controls},
    topology::ProviderKind,
    verdict::Verdict,
};
use recoup_tests::live::{Live, reap};
use run::{Ended, Runner};
use table::Row;

fn main() -> ExitCode {
    if let Some(reaped) = reap() {
        return match reaped {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: {error:#}");
                ExitCode::FAILURE
            }
        };
    }
    match run(Arguments::from_args()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(101)
        }
    }
}

struct Program {
    settings: Settings,
    /// RECOUP_CLUSTER asks for a real one.
    real: Result<(), String>,
    /// Where the table goes, with the ledgers of the defects.
    dir: PathBuf,
    made: Arc<Mutex<Vec<String>>>,
    rows: Mutex<Vec<Row>>,
}

fn run(mut arguments: Arguments) -> Result<ExitCode> {
    let plans = builtin(PROFILES)?;
    let controls = controls(&plans, PROFILES)?;
    let kind = env::var("RECOUP_CLUSTER").is_ok_and(|value| value == "kind");
    if kind {
        // A cluster can only be broken in one way at a time.
        arguments.test_threads = Some(1);
    }
    let program = Arc::new(program(kind, &plans)?);
    let mut trials = Vec::new();
    for control in controls {
        for provider in control.spec.on.clone() {
            let (program, control) = (Arc::clone(&program), control.clone());
            let name = format!("controls::{provider}::{}", control.name);
            let slow = provider == ProviderKind::Kind && !(kind && control.spec.smoke);
            let trial = Trial::ignorable_test(name, move || program.trial(&control, provider));
            trials.push(trial.with_ignored_flag(slow));
        }
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    program.finish()?;
    Ok(conclusion.exit_code())
}

fn program(kind: bool, plans: &[recoup_model::plan::Plan]) -> Result<Program> {
    let live = Live::from_env(plans)?;
    let real = match live.chosen() {
        Ok(chosen) if kind && chosen.kind == ProviderKind::Kind => Ok(()),
        Ok(_) => Err("a real cluster's: set RECOUP_CLUSTER=kind".to_owned()),
        Err(missing) => Err(missing.clone()),
    };
    let mut settings = live.settings().clone();
    if !kind && env::var_os("RECOUP_RUNS").is_none() {
        settings.runs = Path::new(env!("CARGO_TARGET_TMPDIR")).join("controls");
    }
    let stamp = format!("controls-{}", settings.seed);
    let dir = settings.runs.join(stamp);
    Ok(Program { settings, real, dir, made: Arc::default(), rows: Mutex::default() })
}

impl Program {
    fn trial(&self, control: &Control, provider: ProviderKind) -> Result<Completion, Failed> {
        if provider == ProviderKind::Kind
            && let Err(missing) = &self.real
        {
            return Ok(Completion::ignored_with(missing));
        }
        let ended = self.try_trial(control, provider);
        let outcome = match &ended {
            Ok(Ended::Skipped(reason)) => return Ok(Completion::ignored_with(reason)),
            Ok(Ended::Ran(outcome)) => Some(outcome),
            Err(_) => None,
        };
        let row = Row::new(control, provider, outcome);
        self.rows.lock().unwrap_or_else(PoisonError::into_inner).push(row);
        let outcome = match ended {
            Ok(Ended::Ran(outcome)) => outcome,
            Ok(Ended::Skipped(reason)) => return Ok(Completion::ignored_with(reason)),
            Err(error) => return Err(Failed::from(format!("it could not be carried out: {error:#}"))),
        };
        if outcome.caught {
            return Ok(Completion::Completed);
        }
        let expect = &control.spec.expect;
        let due = expect.with(provider);
        let because = expect.because.as_deref().unwrap_or("anything");
        Err(Failed::from(format!("{due} because of {because:?} was due, not\n{}", outcome.text)))
    }

    fn try_trial(&self, control: &Control, provider: ProviderKind) -> Result<Ended> {
        let mut settings = self.settings.clone();
        // The next control is to find the cluster; what was made is deleted at the end of all.
        settings.delete = false;
        // No verdict is what many of them are to come to.
        settings.tries = 1;
        if provider == ProviderKind::Sim {
            settings.reaper = None;
            settings.adopt = false;
            settings.name = None;
            settings.runs = self.dir.join(&control.name);
            if env::var_os("RECOUP_SEED").is_none() {
                settings.seed = 1;
            }
        }
        // Not among the runs: a session would take the defect for the work of another run on its cluster.
        let ledger = self.dir.join(format!("{}-defect", control.name));
        let runner = Runner { settings, made: Arc::clone(&self.made) };
        let mut ended = runner.run(control, provider, &ledger)?;
        // Inconclusive where another verdict is due has neither caught the defect nor missed it, if others crowded
        // the machine meanwhile.
        if let Ended::Ran(outcome) = &ended
            && outcome.crowded
            && outcome.got == Verdict::Inconclusive
            && control.spec.expect.with(provider) != Verdict::Inconclusive
        {
            eprintln!("{}: once more, others crowded the machine:\n{}", control.name, outcome.text);
            ended = runner.run(control, provider, &self.dir.join(format!("{}-defect-2", control.name)))?;
        }
        if provider == ProviderKind::Sim {
            let sound = runner.without_defect(control)?;
            anyhow::ensure!(
                sound.verdict == control.spec.expect.without,
                "without the defect it is {} and not {}, so its verdict says nothing: {:#?}",
                sound.verdict,
                control.spec.expect.without,
                sound.reasons
            );
        }
        Ok(ended)
    }

    /// Prints and writes the table, and deletes the cluster that was made.
    fn finish(&self) -> Result<()> {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        if rows.is_empty() {
            return Ok(());
        }
        let text = table::table(&rows);
        fs::create_dir_all(&self.dir)?;
        let file = self.dir.join("controls.md");
        fs::write(&file, &text).with_context(|| file.display().to_string())?;
        eprintln!("{text}\ntable: {}", file.display());
        if env::var_os("UPDATE_CONTROLS").is_some() {
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../suites/controls/caught.json");
            table::keep(&rows, &root)?;
        }
        let mut made = std::mem::take(&mut *self.made.lock().unwrap_or_else(PoisonError::into_inner));
        made.sort();
        made.dedup();
        if self.real.is_err() || !self.settings.delete {
            return Ok(());
        }
        let runtime = recoup_engine::runtime::real_time()?;
        for name in made {
            let deleted = runtime
                .block_on(provider(ProviderKind::Kind).delete(&name, &|message| eprintln!("{message}")));
            deleted.map_err(|error| anyhow!("cluster {name}: {error}"))?;
        }
        Ok(())
    }
}
