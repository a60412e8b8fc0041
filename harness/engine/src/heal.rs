//! Undoes what dead runs left, from their ledgers alone: no Kubernetes API is needed, but for what a load made.

use std::{collections::BTreeMap, path::Path, time::Duration};

use futures::future::join_all;
use recoup_clusters::{ClusterError, Nodes, Provider};
use recoup_model::topology::ProviderKind;
use tokio::time::{Instant, sleep};

use crate::{
    EngineError,
    ledger::{Entry, Ledger, LedgerError, SETUP, at_work, unhealed},
};

/// A command that a dead harness had sent to a node may still be on its way there: what was undone is looked at
/// again after this long. A `docker exec` takes 0.1 s, and seconds on a busy machine.
const IN_FLIGHT: Duration = Duration::from_secs(3);
/// What changes after that was in flight all the same, and is looked at once more; but not for ever.
const PASSES: u32 = 4;
/// A ledger that nobody has written to for this long belongs to a run whose last command has long ended: Docker's
/// are given up after 30 s.
const STALE: Duration = Duration::from_secs(60);
/// Another run's reaper needs 15 s at most, and a live run undoes within a few; whoever wants its cluster waits.
const BUSY_LIMIT: Duration = Duration::from_secs(30);

/// What became of one pending undo, or of a cluster that is only half made.
#[derive(Debug)]
pub struct Healed {
    /// The run's directory name.
    pub run: String,
    /// In words, with its node or cluster.
    pub what: String,
    /// True where something was changed, false where there was nothing left to undo; or why it failed.
    pub outcome: Result<bool, ClusterError>,
}

/// Undoes what dead runs below `runs` left on clusters of this provider, latest first on each node, and deletes
/// clusters that they left half made; with `cluster`, that one only.
///
/// # Errors
/// Where a ledger cannot be read. A node that cannot be reached is an outcome.
pub async fn heal(
    runs: &Path,
    provider: &dyn Provider,
    cluster: Option<&str>,
) -> Result<Vec<Healed>, LedgerError> {
    let mut healed = Vec::new();
    let wanted = |kind: ProviderKind, name: &str| {
        kind == provider.kind() && cluster.is_none_or(|cluster| cluster == name)
    };
    for (dir, ledger) in unhealed(runs)? {
        let run = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let entries = ledger.pending().into_iter().filter(|one| wanted(one.provider, &one.cluster)).collect();
        for (entry, outcome) in undo_all(&ledger, provider, entries, fresh(&dir)).await {
            healed.push(Healed { run: run.clone(), what: words(&entry), outcome });
        }
        for half in
            ledger.clusters().into_iter().filter(|one| !one.whole && wanted(one.provider, &one.cluster))
        {
            let outcome = provider.abandon(&half.cluster, &|message| tracing::info!("{message}")).await;
            if outcome.is_ok() {
                ledger.settled(&half.cluster)?;
            }
            healed.push(Healed {
                run: run.clone(),
                what: format!("half-made cluster {}", half.cluster),
                outcome,
            });
        }
    }
    Ok(healed)
}

/// An undo in words, with its node.
pub(crate) fn words(entry: &Entry) -> String {
    format!("{} on {} of {}", entry.undo.name(), entry.node, entry.cluster)
}

/// Was the ledger written to a moment ago? Then commands of its run may be on their way.
fn fresh(dir: &Path) -> bool {
    let modified = std::fs::metadata(dir.join(crate::ledger::FILE)).and_then(|meta| meta.modified());
    modified.is_ok_and(|at| at.elapsed().is_ok_and(|ago| ago < STALE))
}

/// Carries out undos, those of the steps on all nodes at once and latest first on each, and notes them. What was set
/// up beneath the steps is put back when they are over: that restarts static pods, whom a step's undo may have to ask.
pub(crate) async fn undo_all(
    ledger: &Ledger,
    provider: &dyn Provider,
    entries: Vec<Entry>,
    in_flight: bool,
) -> Vec<(Entry, Result<bool, ClusterError>)> {
    let began = Instant::now();
    let (setup, steps): (Vec<Entry>, Vec<Entry>) = entries.into_iter().partition(|entry| entry.step == SETUP);
    let mut told = undo(ledger, provider, steps, in_flight, began).await;
    told.extend(undo(ledger, provider, setup, in_flight, began).await);
    told
}

/// Where commands may be in flight since it `began`, looks again until nothing changes any more, and only then counts
/// an undo as done.
async fn undo(
    ledger: &Ledger,
    provider: &dyn Provider,
    entries: Vec<Entry>,
    in_flight: bool,
    began: Instant,
) -> Vec<(Entry, Result<bool, ClusterError>)> {
    let mut outcomes = pass(provider, &entries).await;
    for _ in 1..PASSES {
        if !in_flight || entries.is_empty() {
            break;
        }
        // From the first look on, however long that took.
        sleep(IN_FLIGHT.saturating_sub(began.elapsed()).max(IN_FLIGHT / 3)).await;
        let again = pass(provider, &entries).await;
        let moved = again.values().any(|outcome| !matches!(outcome, Ok(false)));
        for (id, outcome) in again {
            let before = matches!(outcomes.get(&id), Some(Ok(true)));
            outcomes.insert(id, outcome.map(|changed| changed || before));
        }
        if !moved {
            break;
        }
    }
    let mut told = Vec::new();
    for entry in entries {
        let Some(outcome) = outcomes.remove(&entry.id) else { continue };
        if outcome.is_ok()
            && let Err(error) = ledger.done(entry.id)
        {
            tracing::warn!(%error, "an undo was carried out but could not be noted");
        }
        told.push((entry, outcome));
    }
    told
}

/// Each undo once.
async fn pass(provider: &dyn Provider, entries: &[Entry]) -> BTreeMap<u64, Result<bool, ClusterError>> {
    let mut by_node: BTreeMap<(&str, &str), Vec<&Entry>> = BTreeMap::new();
    for entry in entries {
        by_node.entry((&entry.cluster, &entry.node)).or_default().push(entry);
    }
    let nodes = by_node.into_iter().map(|((cluster, _), entries)| async move {
        let mut outcomes = Vec::new();
        match provider.nodes(cluster).await {
            Ok(nodes) => {
                for entry in entries {
                    outcomes.push((entry.id, one(entry, &*nodes).await));
                }
            }
            // The faults went with their cluster.
            Err(ClusterError::NoSuchCluster(_)) => {
                outcomes.extend(entries.iter().map(|entry| (entry.id, Ok(false))))
            }
            Err(error) => {
                let text = error.to_string();
                outcomes.extend(entries.iter().map(|entry| (entry.id, Err(unreachable(entry, &text)))));
            }
        }
        outcomes
    });
    join_all(nodes).await.into_iter().flatten().collect()
}

async fn one(entry: &Entry, nodes: &dyn Nodes) -> Result<bool, ClusterError> {
    match entry.act(nodes).await {
        Ok(report) => Ok(report.changed),
        // The fault went with its node.
        Err(ClusterError::NoSuchNode(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

fn unreachable(entry: &Entry, why: &str) -> ClusterError {
    ClusterError::Command {
        command: words(entry),
        status: "the nodes could not be reached".into(),
        output: why.to_owned(),
    }
}

/// As [`heal`], for one cluster before the run in `own` uses it; gives a sentence per undo. Waits for another run, or
/// a dead one's reaper, that has faults on it.
///
/// # Errors
/// Where a ledger cannot be read, an undo fails, or another live run has faults there: the cluster must not be used
/// then.
pub async fn heal_cluster(
    runs: &Path,
    provider: &dyn Provider,
    cluster: &str,
    own: &Path,
) -> Result<Vec<String>, EngineError> {
    let deadline = Instant::now() + BUSY_LIMIT;
    loop {
        let mut others = at_work(runs, provider.kind(), cluster)?;
        others.retain(|dir| dir != own);
        match others.pop() {
            None => break,
            Some(path) if Instant::now() >= deadline => return Err(LedgerError::Busy { path }.into()),
            Some(_) => sleep(IN_FLIGHT / 10).await,
        }
    }
    let mut sentences = Vec::new();
    for one in heal(runs, provider, Some(cluster)).await? {
        let changed = one.outcome?;
        let how = if changed { "healed" } else { "nothing was left of it" };
        sentences.push(format!("left by run {}: {}: {how}", one.run, one.what));
    }
    Ok(sentences)
}
