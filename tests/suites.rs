//! Every built-in experiment as a test: `cargo test -p recoup-tests --test suites -- --include-ignored`.
//!
//! The quick set runs by default. `RECOUP_CLUSTER=kind|sim|auto` chooses the cluster, `RECOUP_NAME` or
//! `RECOUP_ADOPT` names it, `RECOUP_KEEP=1` keeps one that was made, `RECOUP_RUNS` is where the record goes,
//! `RECOUP_TRIES` how often what comes to no verdict is made. With
//! `RECOUP_REAP` this program is the reaper of such a run: it sets that variable itself.

use std::{
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use recoup_clusters::PROFILES;
use recoup_model::{plan::Plan, spec::builtin, topology::ProviderKind};
use recoup_tests::live::{Ended, Live, reap};

fn main() -> ExitCode {
    if let Some(reaped) = reap() {
        return match reaped {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: {error:#}");
                ExitCode::from(101)
            }
        };
    }
    let mut arguments = Arguments::from_args();
    // Experiments disturb each other, and a cluster can only be broken in one way at a time.
    arguments.test_threads = Some(1);
    match run(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(101)
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let plans = builtin(PROFILES)?;
    let live = Live::from_env(&plans)?;
    let simulated = match live.chosen() {
        Ok(chosen) => {
            let simulated = chosen.kind == ProviderKind::Sim;
            let warning = if simulated { "; SIMULATED results are evidence of nothing" } else { "" };
            eprintln!("cluster: {}, because {}{warning}", chosen.kind, chosen.why);
            simulated
        }
        Err(missing) => {
            eprintln!("no cluster: {missing}");
            false
        }
    };
    let live = Arc::new(Mutex::new(Some(live)));
    let trials = plans.into_iter().map(|plan| trial(plan, Arc::clone(&live), simulated)).collect();
    let conclusion = libtest_mimic::run(arguments, trials);
    let live = live.lock().unwrap_or_else(PoisonError::into_inner).take();
    for line in live.map(Live::finish).transpose()?.unwrap_or_default() {
        eprintln!("{line}");
    }
    Ok(conclusion.exit_code())
}

fn trial(plan: Plan, live: Arc<Mutex<Option<Live>>>, simulated: bool) -> Trial {
    let name = plan.id.replace('/', "::");
    let slow = !plan.smoke;
    let trial = Trial::ignorable_test(name, move || {
        // A panic in an earlier test poisons nothing that matters: the session heals before it is used.
        let mut live = live.lock().unwrap_or_else(PoisonError::into_inner);
        match live.as_mut().map(|live| live.run(&plan)) {
            Some(Ended::Passed) => Ok(Completion::Completed),
            Some(Ended::Skipped(reason)) => Ok(Completion::ignored_with(reason)),
            Some(Ended::Failed(text)) => Err(Failed::from(text)),
            None => Err(Failed::from("the session is over")),
        }
    });
    trial.with_ignored_flag(slow).with_kind(if simulated { "SIMULATED" } else { "" })
}
