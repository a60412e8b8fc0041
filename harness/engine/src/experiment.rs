//! One experiment from the workload's set-up to the health check after: phases, in order.

use std::{sync::Arc, time::Duration};

use recoup_clusters::{Cluster, Fixture};
use recoup_model::{
    action::{NodeAction, ProcessId},
    configuration::Configuration,
    event::{Event, Phase, Stage, read_back_name},
    judge::{Live, judge},
    observation::Endpoint,
    plan::Plan,
    predict::{predict, unpredicted},
    spec::{Assertion, Step},
    streams::streams,
    topology::NodeRole,
    verdict::ExperimentResult,
};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    EngineError, acts, backoff,
    context::{Broken, Context},
    faults, flags,
    ledger::Ledger,
    overhead,
    probes::Probes,
    recorder::Recorder,
    residue::{self, Looked, look},
    watchers::Watchers,
};

/// A cluster may still be settling from the experiment before, and a killed static pod's restart
/// back-off grows by doubling: after this long an unhealthy cluster counts as such.
const HEALTH_LIMIT: Duration = Duration::from_secs(150);
/// A thawed lease holder exits when it could not renew for its renew deadline (10 s by default), and may
/// have been within an attempt with its own timeout.
const EXIT_LIMIT: Duration = Duration::from_secs(30);
/// How long a quiet baseline is waited for: an etcd whose leader was killed, or a machine that somebody else uses, may
/// take minutes to come to rest. Without one nothing is broken, since nothing could be said of it.
const QUIET_LIMIT: Duration = Duration::from_secs(180);
/// How often an endpoint of a healthy cluster is asked for what was written, a second apart, until it tells.
const READS: u32 = 5;
/// Between two looks at what is recorded.
const LOOK: Duration = Duration::from_millis(500);

/// What an experiment runs with.
pub struct Run<'a> {
    /// The cluster.
    pub cluster: Arc<dyn Cluster>,
    /// The run's record.
    pub recorder: &'a Recorder,
    /// The run's ledger.
    pub ledger: &'a Ledger,
    /// Ctrl-C.
    pub cancel: &'a CancellationToken,
    /// The experiment's own seed.
    pub seed: u64,
    /// Of flags that are in place while it lasts.
    pub putting_off: flags::PuttingOff,
}

/// Runs and judges one experiment. Whatever happens, every fault is undone and every flag taken back before it returns.
///
/// # Errors
/// [`EngineError::Interrupted`], or a record that cannot be written.
pub async fn run(run: Run<'_>, plan: &Plan) -> Result<ExperimentResult, EngineError> {
    let Run { cluster, recorder, .. } = &run;
    recorder.record(Event::ClusterProgress { message: format!("{}: preparing the workload", plan.id) });
    let _put_off = flags::put_off(&run);
    let prepared = prepare(&run, plan).await;
    let Some(Prepared { forgotten, surveyed, configuration, fixture }) = prepared else {
        if let Err(broken) = flags::restore(&run).await {
            recorder.record(Event::Note { message: broken.to_string() });
        }
        return Err(EngineError::Interrupted);
    };
    recorder.begin_experiment();
    let mut plan = plan.clone();
    let unrouted = fixture.as_ref().map(|f| f.unrouted.clone()).unwrap_or_default();
    plan.streams = streams(&plan.probes, cluster.fingerprint(), &unrouted);
    plan.predictions = predict(&plan, &configuration);
    recorder.record(Event::ExperimentStarted { plan: Box::new(plan.clone()) });
    for doubt in &configuration.doubts {
        recorder.record(Event::Note { message: format!("settings: {doubt}") });
    }
    for (milestone, why) in unpredicted(&plan, &configuration) {
        recorder.record(Event::Note { message: format!("{milestone}: no interval is predicted: {why}") });
    }
    for (pod, args) in &plan.flags {
        let told = flags::words(*pod, args);
        recorder.record(Event::Note { message: format!("on every control plane while it lasts: {told}") });
    }
    recorder.record(Event::PhaseStarted { phase: Phase::Setup });
    for (finding, remedy) in forgotten {
        recorder.record(Event::Precondition { finding, remedy });
    }
    let ended = match fixture {
        Ok(fixture) => go(&run, &plan, &configuration, surveyed, fixture).await,
        Err(broken) => Err(broken),
    };
    // Where it was broken off, they are still in place.
    let ended = ended.and(flags::restore(&run).await);
    if let Err(broken) = &ended {
        let reason = broken.to_string();
        recorder.record(Event::ExperimentAborted { id: plan.id.clone(), reason });
    }
    let result = judge(&plan, cluster.fingerprint(), &recorder.experiment());
    recorder.record(Event::ExperimentFinished { result: Box::new(result.clone()) });
    recorder.end_experiment();
    if !plan.flags.is_empty() {
        ready(&run, cluster.configuration());
    }
    match ended {
        Err(Broken::Record(error)) => Err(error),
        _ => recorder.sync().map(|()| result),
    }
}

/// What is done before an experiment's record begins.
struct Prepared {
    /// What kubelets were made to forget.
    forgotten: Vec<(String, String)>,
    /// The nodes as they were before flags were changed; none where none are.
    surveyed: Option<Looked>,
    /// The cluster's settings while the experiment lasts.
    configuration: Configuration,
    fixture: Result<Fixture, Broken>,
}

/// None where it was cancelled.
async fn prepare(run: &Run<'_>, plan: &Plan) -> Option<Prepared> {
    let Run { cluster, cancel, .. } = run;
    // The kubelets first: what their restart stirs up has settled once the workload serves.
    let forgotten = tokio::select! {
        forgotten = backoff::forget(cluster) => forgotten,
        () = cancel.cancelled() => return None,
    };
    let usual = cluster.configuration();
    let (surveyed, configuration) = if plan.flags.is_empty() {
        (None, Ok(usual.clone()))
    } else {
        let surveyed = look(cluster).await;
        // It heeds the cancel itself: a change of flags that nobody waits for could come after its undo.
        (Some(surveyed), flags::set(run, plan).await)
    };
    match configuration {
        Ok(configuration) => {
            if surveyed.is_some() {
                ready(run, &configuration);
            }
            let fixture = tokio::select! {
                fixture = cluster.fixture(&plan.workload) => fixture.map_err(Broken::Cluster),
                () = cancel.cancelled() => return None,
            };
            Some(Prepared { forgotten, surveyed, configuration, fixture })
        }
        Err(Broken::Record(EngineError::Interrupted)) => None,
        Err(broken) => {
            Some(Prepared { forgotten, surveyed, configuration: usual.clone(), fixture: Err(broken) })
        }
    }
}

/// Records the settings that the cluster has from now on.
fn ready(run: &Run<'_>, configuration: &Configuration) {
    let fingerprint = Box::new(run.cluster.fingerprint().clone());
    let configuration = Some(Box::new(configuration.clone()));
    run.recorder.record(Event::ClusterReady { fingerprint, created: false, configuration });
}

async fn go(
    run: &Run<'_>,
    plan: &Plan,
    configuration: &Configuration,
    surveyed: Option<Looked>,
    fixture: Fixture,
) -> Result<(), Broken> {
    let Run { cluster, recorder, ledger, cancel, seed, .. } = run;
    for (finding, remedy) in fixture.preconditions {
        recorder.record(Event::Precondition { finding, remedy });
    }
    if !healthy(cluster, recorder, cancel, Stage::Before).await? {
        return Ok(());
    }
    let surveyed = match surveyed {
        Some(surveyed) => surveyed,
        None => look(cluster).await,
    };
    residue::record(recorder, Stage::Before, surveyed)?;
    let watchers = Watchers::start(&plan.streams, cluster, recorder);
    let probes = Probes::start(&plan.streams, cluster, recorder);
    let _machine = overhead::watch_machine(cluster, recorder);
    let context = Context::new(
        Arc::clone(cluster),
        (*recorder).clone(),
        (*ledger).clone(),
        probes.latest(),
        (*cancel).clone(),
        *seed,
    );
    let _stop = context.stop_on_drop();
    let disturbed = tokio::select! {
        // A task of its own, so that a panic in it is an error here and everything is undone.
        ended = disturb(context.clone(), plan.clone()) => ended,
        broken = watch(recorder, cancel) => Err(broken),
    };
    context.stop_background().await;
    let problems = context.undo_all().await;
    probes.stop().await;
    for message in problems {
        recorder.record(Event::Note { message });
    }
    recorder.record(Event::PhaseStarted { phase: Phase::Cleanup });
    if disturbed.is_ok() {
        tokio::select! {
            () = watchers.catch_up() => {}
            () = cancel.cancelled() => {}
        }
    }
    watchers.stop().await;
    let ended = match disturbed {
        Ok(()) => conclude(&context, plan, configuration).await,
        Err(broken) => Err(broken),
    };
    let restored = flags::restore(run).await;
    // However it ended, and last: what is settling back is no residue.
    let surveyed = residue::record(recorder, Stage::After, look(cluster).await);
    ended.and(restored).and(surveyed)
}

/// What is looked at once everything is undone and probing is over.
async fn conclude(context: &Context, plan: &Plan, configuration: &Configuration) -> Result<(), Broken> {
    let (cluster, recorder) = (&context.cluster, &context.recorder);
    aftermath(context, plan).await?;
    let tries = if healthy(cluster, recorder, &context.cancel, Stage::After).await? { READS } else { 1 };
    read_back(cluster, recorder, tries).await;
    acts::record(&**cluster, configuration, recorder).await;
    Ok(())
}

/// Ends when the run must stop: Ctrl-C, or a record that the disk refuses.
async fn watch(recorder: &Recorder, cancel: &CancellationToken) -> Broken {
    loop {
        tokio::select! {
            () = cancel.cancelled() => return Broken::Record(EngineError::Interrupted),
            () = sleep(LOOK) => {}
        }
        if let Err(error) = recorder.check() {
            return Broken::Record(error);
        }
    }
}

/// Baseline, steps, recovery. Spawned, so that a panic unwinds into an error.
async fn disturb(context: Context, plan: Plan) -> Result<(), Broken> {
    let mut task = tokio::task::JoinSet::new();
    task.spawn(async move {
        let recorder = &context.recorder;
        if !baseline(&context, &plan).await {
            return Ok(());
        }
        recorder.record(Event::PhaseStarted { phase: Phase::Fault });
        for (index, step) in plan.steps.iter().enumerate() {
            faults::inject(&context, u32::try_from(index + 1).unwrap_or(u32::MAX), step).await?;
        }
        recover(&context, &plan).await
    });
    match task.join_next().await {
        Some(Ok(ended)) => ended,
        Some(Err(error)) => Err(Broken::Panicked(error.to_string())),
        None => Ok(()),
    }
}

/// Undisturbed probing, begun again until it is quiet; false where it was not within [`QUIET_LIMIT`]. After a first one
/// that was not, quiet must last for twice as long: a cluster that is disturbed time and again has quiet moments, too.
async fn baseline(context: &Context, plan: &Plan) -> bool {
    let lasts = |round: u32| plan.baseline.0 * if round == 1 { 1 } else { 2 };
    let deadline = Instant::now() + QUIET_LIMIT.max(lasts(1) + 2 * lasts(2));
    let mut before = Vec::new();
    for round in 1.. {
        context.recorder.record(Event::PhaseStarted { phase: Phase::Baseline });
        sleep(lasts(round)).await;
        let mut live = Live::new(plan, context.cluster.fingerprint());
        context.recorder.experiment().iter().for_each(|record| live.push(record));
        let unquiet = live.unquiet();
        if unquiet.is_empty() {
            if round > 1 {
                let message =
                    format!("baseline {round} was quiet, the one before was not: {}", before.join("; "));
                context.recorder.record(Event::Note { message });
            }
            return true;
        }
        if Instant::now() + lasts(round + 1) > deadline {
            break;
        }
        let message = format!("the baseline begins again: {}", unquiet.join("; "));
        context.recorder.record(Event::ClusterProgress { message });
        before = unquiet;
    }
    false
}

/// Waits for the last undo and then until every milestone has come, or for `observe`.
async fn recover(context: &Context, plan: &Plan) -> Result<(), Broken> {
    let recorder = &context.recorder;
    let fingerprint = context.cluster.fingerprint();
    let longest = plan.steps.iter().filter_map(Step::hold).max().unwrap_or_default();
    let mut background = std::pin::pin!(context.join_background());
    let mut deadline = Instant::now() + longest.0 + plan.observed().0;
    let mut live = Live::new(plan, fingerprint);
    let mut pushed = 0;
    let mut joined = false;
    loop {
        tokio::select! {
            ended = &mut background, if !joined => {
                ended?;
                joined = true;
                recorder.record(Event::PhaseStarted { phase: Phase::Recovery });
                deadline = deadline.min(Instant::now() + plan.observed().0);
            }
            () = sleep(LOOK) => {}
        }
        let new = recorder.experiment_from(pushed);
        pushed += new.len();
        for record in &new {
            live.push(record);
        }
        if joined && live.settled(recorder.clock().now()) {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Ok(());
        }
    }
}

/// Looks at the processes of every fault once more: is the old one gone for good, does another run?
/// Where the old one is to be gone, it is given [`EXIT_LIMIT`] to notice.
async fn aftermath(context: &Context, plan: &Plan) -> Result<(), Broken> {
    let awaited = plan.assertions.iter().any(|a| matches!(a, Assertion::OldProcessGone(_)));
    let deadline = Instant::now() + if awaited { EXIT_LIMIT } else { Duration::ZERO };
    for (index, step) in plan.steps.iter().enumerate() {
        let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
        let process = match step {
            Step::Signal(fault) => fault.process,
            Step::StaticPod(fault) => fault.pod.process(),
            Step::Unit(fault) => fault.unit.process(),
            _ => continue,
        };
        let hit = context.recorder.experiment().into_iter().filter_map(|record| match record.event {
            Event::Injected { step, report, .. } if step == number => Some(report.processes),
            _ => None,
        });
        let hit: Vec<ProcessId> = hit.flatten().map(|process| process.id).collect();
        for node in context.hit(number) {
            let processes = loop {
                let found = context.cluster.act(&node, &NodeAction::Inspect { process }).await?.processes;
                if Instant::now() >= deadline || !found.iter().any(|p| hit.contains(&p.id)) {
                    break found;
                }
                sleep(LOOK).await;
            };
            context.recorder.record(Event::Aftermath { step: number, node, processes });
        }
    }
    Ok(())
}

/// Reads every acknowledged write back through every API server and every member.
async fn read_back(cluster: &Arc<dyn Cluster>, recorder: &Recorder, tries: u32) {
    let control_planes: Vec<String> =
        cluster.fingerprint().with_role(NodeRole::ControlPlane).map(|n| n.name.clone()).collect();
    let endpoints = std::iter::once(Endpoint::Lb).chain(control_planes.iter().cloned().map(Endpoint::Node));
    for endpoint in endpoints {
        let answer = patiently(tries, || cluster.read_back_api(&endpoint)).await;
        record_read_back(recorder, read_back_name(&endpoint), answer);
    }
    for member in control_planes {
        let answer = patiently(tries, || cluster.read_back_etcd(&member)).await;
        record_read_back(recorder, format!("etcd/{member}"), answer);
    }
}

/// Asks until there is an answer, so often at most.
async fn patiently<T, E, F: Future<Output = Result<T, E>>>(tries: u32, ask: impl Fn() -> F) -> Result<T, E> {
    for _ in 1..tries {
        if let Ok(answer) = ask().await {
            return Ok(answer);
        }
        sleep(Duration::from_secs(1)).await;
    }
    ask().await
}

fn record_read_back(
    recorder: &Recorder,
    through: String,
    answer: Result<recoup_clusters::ReadBack, recoup_model::observation::Failure>,
) {
    let (found, failure) = match answer {
        Ok(found) => (found, None),
        Err(failure) => (recoup_clusters::ReadBack::new(), Some(failure)),
    };
    recorder.record(Event::WritesReadBack { through, found, failure });
}

/// Waits until the cluster is healthy and records how it is; false where it stays unhealthy.
async fn healthy(
    cluster: &Arc<dyn Cluster>,
    recorder: &Recorder,
    cancel: &CancellationToken,
    stage: Stage,
) -> Result<bool, Broken> {
    let deadline = Instant::now() + HEALTH_LIMIT;
    let problems = loop {
        let problems = tokio::select! {
            problems = cluster.health() => problems,
            () = cancel.cancelled() => return Err(EngineError::Interrupted.into()),
        };
        if problems.is_empty() || Instant::now() >= deadline {
            break problems;
        }
        sleep(Duration::from_secs(1)).await;
    };
    let well = problems.is_empty();
    recorder.record(Event::Health { stage, problems });
    Ok(well)
}
