//! `recoup run`: experiments on a cluster, their verdicts, their reports.

use std::{
    path::Path,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::Result;
use recoup_clusters::{Profile, Provider};
use recoup_engine::{
    Ending, EngineError, Left, Session, Settings, TRIES,
    choose::{choose, cluster_lacks, profile_lacks, provider},
    reader::read_run,
};
use recoup_model::{
    plan::Plan,
    topology::ProviderKind,
    verdict::{RunResult, Verdict},
};
use recoup_report::{terminal, write_all};
use tokio_util::sync::CancellationToken;

use crate::{
    args,
    exit::{Exit, Told},
    output::{print, real_time, virtual_time},
    progress::Progress,
    select::{in_rounds, select},
    signals,
};

/// Runs the selection.
///
/// # Errors
/// Where nothing could be run, or the run ended before its last experiment.
pub fn run(args: &args::Run) -> Result<Exit> {
    let mut plans = select(&args.selection)?;
    by_profile(&mut plans);
    one_cluster_per_name(args, &plans)?;
    let plans = in_rounds(&plans, args.repeat);
    let settings = settings(args);
    let first = plans.first().map(|plan| plan.profile.clone()).unwrap_or_default();
    let wanted = settings.wanted(&first)?;
    // The provider that a run uses is made in the runtime of that run: connections belong to one.
    let chosen = real_time()?.block_on(choose(args.cluster, &wanted))?;
    let simulated = chosen.kind == ProviderKind::Sim;
    let progress = Progress::new();
    let warning = if simulated { "; SIMULATED figures are evidence of nothing" } else { "" };
    progress.say(&format!("cluster: {}, because {}{warning}", chosen.kind, chosen.why));
    if simulated && (args.adopt.is_some() || args.making.image.is_some() || args.making.kubernetes.is_some())
    {
        let message = "--adopt, --image and --kubernetes need a real cluster";
        return Err(Told::new(Exit::Usage, message)
            .help("see `recoup doctor`, or say --cluster kind")
            .into());
    }
    let runtime = if simulated { virtual_time()? } else { real_time()? };
    let ended = runtime.block_on(async {
        signals::watch(settings.cancel.clone(), progress.clone());
        Run { args, plans: &plans, settings, provider: provider(chosen.kind), progress: progress.clone() }
            .go()
            .await
    });
    progress.end();
    ended
}

/// Experiments of one profile run one after the other: a change of clusters costs minutes.
fn by_profile(plans: &mut [Plan]) {
    let mut order: Vec<String> = Vec::new();
    for plan in plans.iter() {
        if !order.contains(&plan.profile) {
            order.push(plan.profile.clone());
        }
    }
    plans.sort_by_key(|plan| order.iter().position(|profile| *profile == plan.profile));
}

fn one_cluster_per_name(args: &args::Run, plans: &[Plan]) -> Result<()> {
    let flag = if args.adopt.is_some() { "--adopt" } else { "--name" };
    let named = args.adopt.is_some() || args.making.name.is_some();
    let (first, last) = (plans.first(), plans.last());
    match (first, last) {
        (Some(first), Some(last)) if named && first.profile != last.profile => {
            let message = format!(
                "{flag} names one cluster, and these experiments need two: {} runs on profile {}, {} on {}",
                first.id, first.profile, last.id, last.profile
            );
            Err(Told::new(Exit::Usage, message).help("run them one profile at a time").into())
        }
        _ => Ok(()),
    }
}

fn settings(args: &args::Run) -> Settings {
    let by_clock = || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // Six digits are easily typed again.
        u64::from(now.subsec_micros()) ^ (now.as_secs() % 1_000_000)
    };
    Settings {
        runs: args.runs.dir.clone(),
        seed: args.seed.unwrap_or_else(by_clock),
        name: args.adopt.clone().or_else(|| args.making.name.clone()),
        image: args.making.image.clone(),
        version: args.making.kubernetes.clone(),
        adopt: args.adopt.is_some(),
        delete: args.delete,
        // Of what is repeated another trial follows anyway.
        tries: args.tries.unwrap_or(if args.repeat > 1 { 1 } else { TRIES }),
        reaper: crate::reap::command(),
        cancel: CancellationToken::new(),
    }
}

struct Run<'a> {
    args: &'a args::Run,
    plans: &'a [Plan],
    settings: Settings,
    provider: Arc<dyn Provider>,
    progress: Progress,
}

impl Run<'_> {
    async fn go(self) -> Result<Exit> {
        let listener = self.progress.listener();
        let (settings, provider) = (self.settings.clone(), Arc::clone(&self.provider));
        let mut session = Session::start(settings, provider, self.plans, listener)?;
        let dir = session.dir().to_owned();
        let ended = self.experiments(&mut session).await;
        let ending = session.ending();
        let finished = session.finish();
        let run = match &finished {
            Ok(run) => run.clone(),
            // What was recorded is told even where the end went wrong.
            Err(_) => read_run(&dir, false)?.recorded,
        };
        self.progress.end();
        self.tell(&dir, &run)?;
        let unhealed = matches!(finished, Err(EngineError::Unhealed { .. }));
        if !unhealed {
            self.leave(ending).await?;
        }
        finished?;
        ended?;
        Ok(Exit::of_run(&run))
    }

    /// All experiments in their order; one that cannot run here is skipped with its reason.
    async fn experiments(&self, session: &mut Session) -> Result<()> {
        let mut stop: Option<String> = None;
        let mut failed = None;
        for plan in self.plans {
            if let Some(reason) = &stop {
                session.skip(plan, reason)?;
                continue;
            }
            match self.experiment(session, plan).await {
                Ok(verdict) => {
                    if self.args.fail_fast && matches!(verdict, Verdict::Fail | Verdict::Inconclusive) {
                        stop = Some(format!("left out by --fail-fast: {} came to {verdict}", plan.id));
                    }
                }
                Err(EngineError::Interrupted) => return Err(EngineError::Interrupted.into()),
                Err(EngineError::Cluster(error)) => {
                    let reason = format!("the cluster for {} could not be had: {error}", plan.id);
                    session.skip(plan, &reason)?;
                    stop = Some(reason);
                    failed = Some(EngineError::Cluster(error));
                }
                Err(error) => return Err(error.into()),
            }
        }
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    async fn experiment(&self, session: &mut Session, plan: &Plan) -> Result<Verdict, EngineError> {
        // An adopted cluster has the nodes that it has; its profile is only a name.
        let mut lacks = Vec::new();
        if !self.settings.adopt {
            lacks = profile_lacks(plan, &Profile::load(&plan.profile)?);
        }
        if lacks.is_empty() {
            lacks = cluster_lacks(plan, session.cluster(&plan.profile).await?.as_ref());
        }
        if !lacks.is_empty() {
            session.skip(plan, &lacks.join("; "))?;
            return Ok(Verdict::Skipped);
        }
        Ok(session.experiment(plan).await?.verdict)
    }

    fn tell(&self, dir: &Path, run: &RunResult) -> Result<()> {
        let written = write_all(dir, run)?;
        for path in written {
            self.progress.say(&format!("written: {}", path.display()));
        }
        print(&terminal(run))
    }

    /// Deletes what this run made, or says how to, and sends the reaper home.
    async fn leave(&self, ending: Ending) -> Result<()> {
        let progress = self.progress.clone();
        for left in ending.leave(&move |message| progress.say(&message)).await? {
            if let (Left::Kept(name), ProviderKind::Kind) = (left, self.provider.kind()) {
                let how = format!("recoup cluster down {name}");
                self.progress.say(&format!("cluster {name} is kept for the next run; to delete it: {how}"));
            }
        }
        Ok(())
    }
}
