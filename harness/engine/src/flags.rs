//! `flags:` flags of static pods that have other values on every control plane while an experiment lasts: put in
//! place before the baseline and taken back at the end, one node after the other.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use recoup_clusters::{Cluster, ClusterError};
use recoup_model::{
    action::{NodeAction, ProcessId, StaticPod},
    configuration::Configuration,
    event::Event,
    plan::Plan,
    time::Span,
    topology::NodeRole,
};
use tokio::{
    sync::Mutex,
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{
    EngineError,
    context::Broken,
    experiment::Run,
    ledger::{Entry, SETUP},
    recorder::Recorder,
};

/// A kubelet looks into its folder every 20 s, and an API server may drain for a minute before it ends.
const REPLACED_WITHIN: Duration = Duration::from_secs(150);
/// The next node is not touched before the cluster is well: a member that is not back yet costs the quorum.
const WELL_WITHIN: Duration = Duration::from_secs(150);
/// Somebody waits for the prompt, and each member has been seen to run again before.
const WELL_WITHIN_CANCELLED: Duration = Duration::from_secs(30);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(500);
/// A node takes its flags back by itself this long after the harness was last there to put it off: nodes that the
/// engine does not reach for a while keep theirs.
pub const FLAGS_LIFE: Duration = Duration::from_secs(180);
/// It is put off so often.
const PUT_OFF: Duration = Duration::from_secs(45);

/// Held while nodes' deadlines are put off, and while flags are taken back: no deadline may come into being after the
/// flags are gone.
pub(crate) type PuttingOff = Arc<Mutex<()>>;

/// Puts the deadlines of flags that are in place off until it is dropped.
pub(crate) fn put_off(run: &Run<'_>) -> JoinSet<()> {
    let (cluster, ledger) = (Arc::clone(&run.cluster), run.ledger.clone());
    let (recorder, lock) = (run.recorder.clone(), Arc::clone(&run.putting_off));
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        loop {
            sleep(PUT_OFF).await;
            let _held = lock.lock().await;
            let entries = ledger.pending().into_iter().filter(|entry| entry.step == SETUP);
            let all = entries.map(|entry| deadline(&*cluster, &recorder, entry));
            futures::future::join_all(all).await;
        }
    });
    tasks
}

/// Has the node take its flags back by itself should nobody be left to put that off.
async fn deadline(cluster: &dyn Cluster, recorder: &Recorder, entry: Entry) {
    let Some(id) = entry.deadline else { return };
    let set = NodeAction::DeadlineSet { id, after: Span(FLAGS_LIFE), undo: Box::new(entry.undo) };
    if let Err(error) = cluster.act(&entry.node, &set).await {
        let node = &entry.node;
        let message = format!("{node} cannot take its flags back by itself, should the harness die: {error}");
        recorder.record(Event::Note { message });
    }
}

/// Puts the plan's flags in place, each undo in the ledger first. Gives the settings that the cluster has then.
///
/// # Errors
/// Where a node refuses, a process does not come to run with its flags, or the cluster does not get well. What is in
/// place by then stays armed: [`restore`] takes it back.
pub(crate) async fn set(run: &Run<'_>, plan: &Plan) -> Result<Configuration, Broken> {
    let nodes: Vec<String> =
        run.cluster.fingerprint().with_role(NodeRole::ControlPlane).map(|node| node.name.clone()).collect();
    unless_cancelled(run, well(run, WELL_WITHIN)).await?;
    for (pod, args) in &plan.flags {
        for node in &nodes {
            let told = words(*pod, args);
            progress(run, format!("{}: giving {told} to {node}", plan.id));
            set_one(run, node, *pod, args).await?;
            unless_cancelled(run, well(run, WELL_WITHIN)).await?;
        }
    }
    Ok(run.cluster.configuration_now().await?)
}

/// As in `etcd --quota-backend-bytes=67108864`.
pub(crate) fn words(pod: StaticPod, args: &BTreeMap<String, String>) -> String {
    let flags: Vec<String> = args.iter().map(|(flag, value)| format!("--{flag}={value}")).collect();
    format!("{} {}", pod.process(), flags.join(" "))
}

async fn set_one(
    run: &Run<'_>,
    node: &str,
    pod: StaticPod,
    args: &BTreeMap<String, String>,
) -> Result<(), Broken> {
    let cluster = &*run.cluster;
    fits(cluster, node, pod, args).await?;
    let before = running(cluster, node, pod).await?;
    let fingerprint = cluster.fingerprint();
    let undo = NodeAction::ManifestRestore { pod };
    let entry = run.ledger.arm(fingerprint.provider, &fingerprint.cluster, node, SETUP, undo, true)?;
    deadline(cluster, run.recorder, entry).await;
    cluster.act(node, &NodeAction::ManifestArgs { pod, args: args.clone() }).await?;
    let look = NodeAction::RunsWith { pod, args: args.clone() };
    let began = Instant::now();
    while began.elapsed() < REPLACED_WITHIN {
        let found = cluster.act(node, &look).await?.processes;
        if found.iter().any(|process| !before.contains(&process.id)) {
            return Ok(());
        }
        unless_cancelled(run, async {
            sleep(LOOK).await;
            Ok(())
        })
        .await?;
    }
    let (told, limit) = (words(pod, args), REPLACED_WITHIN.as_secs());
    Err(Broken::Flags(format!(
        "{told} did not come to run on {node} within {limit} s: does it take these flags?"
    )))
}

/// A quota that is used up from the beginning would raise an alarm that outlasts it: nothing is changed then.
async fn fits(
    cluster: &dyn Cluster,
    node: &str,
    pod: StaticPod,
    args: &BTreeMap<String, String>,
) -> Result<(), Broken> {
    let quota = args.get("quota-backend-bytes").filter(|_| pod == StaticPod::Etcd);
    let Some(quota) = quota.and_then(|quota| quota.parse::<u64>().ok()) else { return Ok(()) };
    let Some(space) = cluster.act(node, &NodeAction::EtcdLook).await?.space else { return Ok(()) };
    // Room for what the cluster itself writes until the experiment begins.
    if space.size + space.size / 4 > quota {
        return Err(Broken::Flags(format!(
            "etcd's database on {node} takes {} bytes of a quota of {quota}: give it a larger quota, or defragment it",
            space.size
        )));
    }
    Ok(())
}

/// Waits no longer once the run is cancelled. Nothing is done to a node meanwhile.
async fn unless_cancelled(
    run: &Run<'_>,
    wait: impl Future<Output = Result<(), Broken>>,
) -> Result<(), Broken> {
    tokio::select! {
        ended = wait => ended,
        () = run.cancel.cancelled() => Err(EngineError::Interrupted.into()),
    }
}

/// Takes back what is in place, the last first. Not called off by Ctrl-C.
///
/// # Errors
/// The first flags that could not be taken back, once all others are; they stay armed.
pub(crate) async fn restore(run: &Run<'_>) -> Result<(), Broken> {
    let mut entries = run.ledger.pending();
    entries.retain(|entry| entry.step == SETUP);
    if !entries.is_empty()
        && let Err(broken) = well(run, patience(run)).await
    {
        // They are taken back all the same.
        run.recorder.record(Event::Note { message: broken.to_string() });
    }
    let mut ended = Ok(());
    for entry in entries {
        ended = ended.and(restore_one(run, entry).await);
    }
    ended
}

async fn restore_one(run: &Run<'_>, entry: Entry) -> Result<(), Broken> {
    let NodeAction::ManifestRestore { pod } = entry.undo else { return Ok(()) };
    let cluster = &*run.cluster;
    let node = &entry.node;
    progress(run, format!("taking the flags of {} on {node} back", pod.process()));
    let held = run.putting_off.lock().await;
    let before = running(cluster, node, pod).await?;
    let report = cluster.act(node, &entry.undo).await?;
    if let Some(id) = &entry.deadline {
        cluster.act(node, &NodeAction::DeadlineClear { id: id.clone() }).await?;
    }
    if let Err(error) = run.ledger.done(entry.id) {
        tracing::warn!(%error, "flags were taken back but that could not be noted");
    }
    drop(held);
    if !report.changed {
        return Err(Broken::Flags(format!("{} on {node} did not have its flags any more", pod.process())));
    }
    let began = Instant::now();
    while running(cluster, node, pod).await?.iter().all(|id| before.contains(id)) {
        if began.elapsed() >= REPLACED_WITHIN {
            let (name, limit) = (pod.process(), REPLACED_WITHIN.as_secs());
            return Err(Broken::Flags(format!(
                "{name} did not come to run on {node} with its own flags within {limit} s"
            )));
        }
        sleep(LOOK).await;
    }
    well(run, patience(run)).await
}

fn patience(run: &Run<'_>) -> Duration {
    if run.cancel.is_cancelled() { WELL_WITHIN_CANCELLED } else { WELL_WITHIN }
}

async fn running(cluster: &dyn Cluster, node: &str, pod: StaticPod) -> Result<Vec<ProcessId>, ClusterError> {
    let found = cluster.act(node, &NodeAction::Inspect { process: pod.process() }).await?;
    Ok(found.processes.into_iter().map(|process| process.id).collect())
}

async fn well(run: &Run<'_>, limit: Duration) -> Result<(), Broken> {
    let began = Instant::now();
    loop {
        let problems = run.cluster.health().await;
        if problems.is_empty() {
            return Ok(());
        }
        if began.elapsed() >= limit {
            let problems = problems.join("; ");
            return Err(Broken::Flags(format!(
                "the cluster was not well within {} s: {problems}",
                limit.as_secs()
            )));
        }
        sleep(LOOK).await;
    }
}

fn progress(run: &Run<'_>, message: String) {
    run.recorder.record(Event::ClusterProgress { message });
}
