//! Undoes what dead runs left, from their ledgers alone: no Kubernetes API is needed.

use std::path::Path;

use recoup_clusters::{ClusterError, Provider};

use crate::ledger::{LedgerError, unhealed};

/// What became of one pending undo.
#[derive(Debug)]
pub struct Healed {
    /// The run's directory name.
    pub run: String,
    /// The undo in words, with its node.
    pub what: String,
    /// True where something was changed, false where there was nothing left to undo; or why it failed.
    pub outcome: Result<bool, ClusterError>,
}

/// Undoes what dead runs below `runs` left on clusters of this provider, latest first; with `cluster`, on that one only.
///
/// # Errors
/// Where a ledger cannot be read. A node that cannot be reached is an outcome.
pub async fn heal(
    runs: &Path,
    provider: &dyn Provider,
    cluster: Option<&str>,
) -> Result<Vec<Healed>, LedgerError> {
    let mut healed = Vec::new();
    for (dir, ledger) in unhealed(runs)? {
        let run = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for entry in ledger.pending() {
            if entry.provider != provider.kind() || cluster.is_some_and(|name| name != entry.cluster) {
                continue;
            }
            let outcome = match provider.nodes(&entry.cluster).await {
                Ok(nodes) => ledger.undo(&entry, &*nodes).await.map(|report| report.changed),
                // The faults went with their cluster.
                Err(ClusterError::NoSuchCluster(_)) => {
                    ledger.done(entry.id)?;
                    Ok(false)
                }
                Err(error) => Err(error),
            };
            let what = format!("{} on {} of {}", entry.undo.name(), entry.node, entry.cluster);
            healed.push(Healed { run: run.clone(), what, outcome });
        }
    }
    Ok(healed)
}

/// As [`heal`], for one cluster before it is used; gives a sentence per undo.
///
/// # Errors
/// Where a ledger cannot be read or an undo fails: the cluster must not be used then.
pub async fn heal_cluster(
    runs: &Path,
    provider: &dyn Provider,
    cluster: &str,
) -> Result<Vec<String>, crate::EngineError> {
    let mut sentences = Vec::new();
    for one in heal(runs, provider, Some(cluster)).await? {
        let changed = one.outcome?;
        let how = if changed { "healed" } else { "nothing was left of it" };
        sentences.push(format!("left by run {}: {}: {how}", one.run, one.what));
    }
    Ok(sentences)
}
