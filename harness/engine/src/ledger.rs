//! The undo ledger: what must be undone, on disk before anything is done.
//!
//! `ledger.jsonl` holds one line per armed undo and one per undo carried out. It is locked
//! while its run lives, so that `recoup heal` tells a dead run's ledger from a live one's.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use recoup_clusters::{ClusterError, Nodes};
use recoup_model::{
    action::{ActionReport, NodeAction},
    topology::ProviderKind,
};
use serde::{Deserialize, Serialize};

/// The ledger's file name in a run's directory.
pub const FILE: &str = "ledger.jsonl";

/// One thing to undo.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Entry {
    /// Its number in this ledger.
    pub id: u64,
    /// Whose cluster it is.
    pub provider: ProviderKind,
    /// The cluster.
    pub cluster: String,
    /// The node.
    pub node: String,
    /// The step that it undoes.
    pub step: u32,
    /// What to do.
    pub undo: NodeAction,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Line {
    Armed(Entry),
    Done(u64),
}

/// Why the ledger cannot be trusted or written. Nothing is injected then.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The file.
    #[error("{path}: {source}")]
    File {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line that is not one of a ledger's.
    #[error("{path}:{line}: not a line of a ledger: {source}")]
    Line {
        /// Its path.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// Why.
        source: serde_json::Error,
    },
    /// Its run is still alive.
    #[error("{path}: its run is still alive; stop that first (Ctrl-C heals)")]
    Busy {
        /// Its path.
        path: PathBuf,
    },
}

/// A ledger, open and locked.
#[derive(Clone)]
pub struct Ledger {
    path: Arc<PathBuf>,
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    file: File,
    next: u64,
    open: BTreeMap<u64, Entry>,
}

impl Ledger {
    /// Opens the ledger of a run's directory, new or as an earlier process left it.
    ///
    /// # Errors
    /// Where it cannot be read, holds a foreign line, or its run is alive.
    pub fn open(dir: &Path) -> Result<Ledger, LedgerError> {
        let path = dir.join(FILE);
        let failed = |source| LedgerError::File { path: path.clone(), source };
        let mut file = OpenOptions::new().create(true).read(true).append(true).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LedgerError::Busy { path }),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(failed)?;
        let (mut open, mut next) = (BTreeMap::new(), 1);
        let complete = text.ends_with('\n') || text.is_empty();
        let count = text.lines().count();
        for (index, line) in text.lines().enumerate() {
            match serde_json::from_str(line) {
                Ok(Line::Armed(entry)) => {
                    next = next.max(entry.id + 1);
                    open.insert(entry.id, entry);
                }
                Ok(Line::Done(id)) => {
                    open.remove(&id);
                }
                // A line cut by the writer's death was not synced, so nothing was injected for it.
                Err(_) if !complete && index + 1 == count => {
                    file.write_all(b"\n").map_err(failed)?;
                }
                Err(_) if line.trim().is_empty() => {}
                // The same line, completed by a later process as above.
                Err(source) if source.is_eof() => {}
                Err(source) => return Err(LedgerError::Line { path, line: index + 1, source }),
            }
        }
        Ok(Ledger { path: Arc::new(path), inner: Arc::new(Mutex::new(Inner { file, next, open })) })
    }

    /// Writes and syncs an undo, before what it undoes is done. Gives the entry's number.
    ///
    /// # Errors
    /// Where it is not safely on disk: then do not inject.
    pub fn arm(
        &self,
        provider: ProviderKind,
        cluster: &str,
        node: &str,
        step: u32,
        undo: NodeAction,
    ) -> Result<u64, LedgerError> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let id = inner.next;
        let entry = Entry { id, provider, cluster: cluster.into(), node: node.into(), step, undo };
        self.append(&mut inner.file, &Line::Armed(entry.clone()))?;
        inner.next += 1;
        inner.open.insert(id, entry);
        Ok(id)
    }

    /// Notes that an undo was carried out.
    ///
    /// # Errors
    /// Where it cannot be written; the undo is idempotent, so nothing is lost.
    pub fn done(&self, id: u64) -> Result<(), LedgerError> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.open.remove(&id);
        self.append(&mut inner.file, &Line::Done(id))
    }

    /// What is still to be undone, latest first.
    #[must_use]
    pub fn pending(&self) -> Vec<Entry> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.open.values().rev().cloned().collect()
    }

    fn append(&self, file: &mut File, line: &Line) -> Result<(), LedgerError> {
        let failed = |source| LedgerError::File { path: self.path.to_path_buf(), source };
        let mut text = serde_json::to_vec(line).map_err(|error| failed(error.into()))?;
        text.push(b'\n');
        file.write_all(&text).and_then(|()| file.sync_data()).map_err(failed)
    }

    /// Carries out one pending undo on the cluster's nodes and notes it.
    ///
    /// # Errors
    /// Where the node could not be reached; the entry stays pending.
    pub async fn undo(&self, entry: &Entry, nodes: &dyn Nodes) -> Result<ActionReport, ClusterError> {
        let report = nodes.act(&entry.node, &entry.undo).await?;
        if let Err(error) = self.done(entry.id) {
            tracing::warn!(%error, "an undo was carried out but could not be noted");
        }
        Ok(report)
    }
}

/// Directories below `runs` whose ledger has something to undo and whose run is dead, with their ledgers.
///
/// # Errors
/// Where a ledger cannot be read.
pub fn unhealed(runs: &Path) -> Result<Vec<(PathBuf, Ledger)>, LedgerError> {
    let mut found = Vec::new();
    let entries = match std::fs::read_dir(runs) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        Err(source) => return Err(LedgerError::File { path: runs.to_owned(), source }),
    };
    for dir in entries.flatten().map(|entry| entry.path()) {
        // Most are empty: nothing was ever armed, or the file is not there at all.
        if !std::fs::metadata(dir.join(FILE)).is_ok_and(|meta| meta.len() > 0) {
            continue;
        }
        match Ledger::open(&dir) {
            Ok(ledger) if ledger.pending().is_empty() => {}
            Ok(ledger) => found.push((dir, ledger)),
            Err(LedgerError::Busy { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arm(ledger: &Ledger, node: &str) -> u64 {
        ledger.arm(ProviderKind::Kind, "c", node, 1, NodeAction::Unpause).unwrap()
    }

    #[test]
    fn what_was_armed_and_not_done_is_found_by_the_next_process_latest_first() {
        let runs = tempfile::tempdir().unwrap();
        let dir = runs.path().join("run");
        std::fs::create_dir(&dir).unwrap();
        let ledger = Ledger::open(&dir).unwrap();
        let (a, _b, _c) = (arm(&ledger, "a"), arm(&ledger, "b"), arm(&ledger, "c"));
        ledger.done(a).unwrap();
        assert!(
            matches!(Ledger::open(&dir), Err(LedgerError::Busy { .. })),
            "a live run's ledger was opened"
        );
        assert!(unhealed(runs.path()).unwrap().is_empty(), "a live run was listed");
        drop(ledger);
        let found = unhealed(runs.path()).unwrap();
        let nodes: Vec<_> = found[0].1.pending().into_iter().map(|entry| entry.node).collect();
        assert_eq!(nodes, ["c", "b"]);
    }

    #[test]
    fn a_line_cut_by_death_is_passed_over_and_later_ones_count() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(dir.path()).unwrap();
        arm(&ledger, "a");
        drop(ledger);
        let path = dir.path().join(FILE);
        let mut text = std::fs::read_to_string(&path).unwrap();
        text.push_str("{\"armed\":{\"id\":2,\"prov");
        std::fs::write(&path, text).unwrap();
        let ledger = Ledger::open(dir.path()).unwrap();
        arm(&ledger, "b");
        drop(ledger);
        assert_eq!(Ledger::open(dir.path()).unwrap().pending().len(), 2);
    }

    #[test]
    fn a_foreign_line_is_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), "{\"done\":1}\nhello\n").unwrap();
        let error = Ledger::open(dir.path()).err().unwrap().to_string();
        assert!(error.contains("ledger.jsonl:2: not a line of a ledger"), "{error}");
    }
}
