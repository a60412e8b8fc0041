//! The undo ledger: what must be undone, on disk before anything is done.
//!
//! `ledger.jsonl` holds one line per armed undo and one per undo carried out, and the clusters that the run makes.
//! It is locked while its run lives, so that `recoup heal` tells a dead run's ledger from a live one's.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use recoup_clusters::{ClusterError, Nodes};
use recoup_model::{
    action::{ActionReport, NodeAction},
    topology::ProviderKind,
};
use serde::{Deserialize, Serialize};

/// The ledger's file name in a run's directory.
pub const FILE: &str = "ledger.jsonl";

/// The step of what is set up before the first step, and put back when the last one is over.
pub const SETUP: u32 = 0;

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
    /// The step that it undoes, from 1; or [`SETUP`].
    pub step: u32,
    /// What to do.
    pub undo: NodeAction,
    /// Under this name the node itself has a deadline for it (see `NodeAction::DeadlineSet`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<String>,
}

/// A cluster that the run makes or made, until it is deleted or is to stay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MadeCluster {
    /// Where it comes from.
    pub provider: ProviderKind,
    /// Its name.
    pub cluster: String,
    /// The run is to delete it at its end.
    pub delete: bool,
    /// It was made to the end. What is only half made is of use to nobody.
    #[serde(default)]
    pub whole: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Line {
    Armed(Box<Entry>),
    Done(u64),
    Making(MadeCluster),
    Made(String),
    Settled(String),
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
    /// The last line was cut by the death of its writer: a new one begins on a line of its own.
    cut: bool,
    state: State,
}

/// What a ledger's lines come to.
#[derive(Default)]
struct State {
    last: u64,
    open: BTreeMap<u64, Entry>,
    clusters: BTreeMap<String, MadeCluster>,
}

impl State {
    fn take(&mut self, line: Line) {
        match line {
            Line::Armed(entry) => {
                self.last = self.last.max(entry.id);
                self.open.insert(entry.id, *entry);
            }
            Line::Done(id) => drop(self.open.remove(&id)),
            Line::Making(making) => drop(self.clusters.insert(making.cluster.clone(), making)),
            Line::Made(name) => {
                if let Some(cluster) = self.clusters.get_mut(&name) {
                    cluster.whole = true;
                }
            }
            Line::Settled(name) => drop(self.clusters.remove(&name)),
        }
    }

    /// Reads the ledger in a run's directory as it is now, even one that another process holds.
    fn look(dir: &Path) -> Result<State, LedgerError> {
        let path = dir.join(FILE);
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(State::read(&path, &text)?.0),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(State::default()),
            Err(source) => Err(LedgerError::File { path, source }),
        }
    }

    /// Reads a ledger's text; true where its last line is cut.
    fn read(path: &Path, text: &str) -> Result<(State, bool), LedgerError> {
        let mut state = State::default();
        let complete = text.ends_with('\n') || text.is_empty();
        let count = text.lines().count();
        for (index, line) in text.lines().enumerate() {
            match serde_json::from_str(line) {
                Ok(line) => state.take(line),
                // A line cut by the writer's death was not synced, so nothing was injected for it.
                Err(_) if !complete && index + 1 == count => {}
                Err(_) if line.trim().is_empty() => {}
                // The same line, completed by a later process.
                Err(source) if source.is_eof() => {}
                Err(source) => {
                    return Err(LedgerError::Line { path: path.to_owned(), line: index + 1, source });
                }
            }
        }
        Ok((state, !complete))
    }
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
        let (state, cut) = State::read(&path, &text)?;
        Ok(Ledger { path: Arc::new(path), inner: Arc::new(Mutex::new(Inner { file, cut, state })) })
    }

    /// Writes and syncs an undo, before what it undoes is done. Gives the entry; where it is `timed`, that names the
    /// deadline that the node is then to be given.
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
        timed: bool,
    ) -> Result<Entry, LedgerError> {
        let mut inner = self.lock();
        let id = inner.state.last + 1;
        let deadline = timed.then(|| self.deadline(id));
        let entry = Entry { id, provider, cluster: cluster.into(), node: node.into(), step, undo, deadline };
        self.append(&mut inner, Line::Armed(Box::new(entry.clone())))?;
        Ok(entry)
    }

    /// Of the run and the entry's number: no two runs on a node meet.
    fn deadline(&self, id: u64) -> String {
        let run = self.path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
        let run: String = run.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        format!("{run}-{id}")
    }

    /// Notes that an undo was carried out.
    ///
    /// # Errors
    /// Where it cannot be written; the undo is idempotent, so nothing is lost.
    pub fn done(&self, id: u64) -> Result<(), LedgerError> {
        self.note(Line::Done(id))
    }

    /// Writes and syncs that a cluster is about to be made, and whether the run is to delete it at its end.
    ///
    /// # Errors
    /// Where it is not safely on disk: then make nothing.
    pub fn making(&self, provider: ProviderKind, cluster: &str, delete: bool) -> Result<(), LedgerError> {
        let making = MadeCluster { provider, cluster: cluster.into(), delete, whole: false };
        self.append(&mut self.lock(), Line::Making(making))
    }

    /// Notes that a cluster was made to the end.
    ///
    /// # Errors
    /// Where it cannot be written: were the run to die now, the cluster would be taken for half made.
    pub fn made(&self, cluster: &str) -> Result<(), LedgerError> {
        self.note(Line::Made(cluster.into()))
    }

    /// Notes that nothing more is to be done about a cluster: it is gone, or is to stay.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn settled(&self, cluster: &str) -> Result<(), LedgerError> {
        self.note(Line::Settled(cluster.into()))
    }

    /// What is still to be undone, latest first.
    #[must_use]
    pub fn pending(&self) -> Vec<Entry> {
        self.lock().state.open.values().rev().cloned().collect()
    }

    /// The clusters that the run makes or made and about which something may be left to do.
    #[must_use]
    pub fn clusters(&self) -> Vec<MadeCluster> {
        self.lock().state.clusters.values().cloned().collect()
    }

    /// True for a dead run's where something is still to be done: undos, or a cluster that is only half made or was
    /// to be deleted.
    #[must_use]
    pub fn owes(&self) -> bool {
        let inner = self.lock();
        !inner.state.open.is_empty() || inner.state.clusters.values().any(|one| one.delete || !one.whole)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What happened is so, whether the disk takes it or not.
    fn note(&self, line: Line) -> Result<(), LedgerError> {
        let mut inner = self.lock();
        let written = self.write(&mut inner, &line);
        inner.state.take(line);
        written
    }

    /// What is to happen counts once it is on disk.
    fn append(&self, inner: &mut Inner, line: Line) -> Result<(), LedgerError> {
        self.write(inner, &line)?;
        inner.state.take(line);
        Ok(())
    }

    fn write(&self, inner: &mut Inner, line: &Line) -> Result<(), LedgerError> {
        let failed = |source| LedgerError::File { path: self.path.to_path_buf(), source };
        let mut text = if inner.cut { b"\n".to_vec() } else { Vec::new() };
        serde_json::to_writer(&mut text, line).map_err(|error| failed(error.into()))?;
        text.push(b'\n');
        // A disk that fills up within the line leaves it cut.
        inner.cut = true;
        inner.file.write_all(&text).and_then(|()| inner.file.sync_data()).map_err(failed)?;
        inner.cut = false;
        Ok(())
    }

    /// Carries out one pending undo on the cluster's nodes and notes it.
    ///
    /// # Errors
    /// Where the node could not be reached; the entry stays pending.
    pub async fn undo(&self, entry: &Entry, nodes: &dyn Nodes) -> Result<ActionReport, ClusterError> {
        let report = entry.act(nodes).await?;
        if let Err(error) = self.done(entry.id) {
            tracing::warn!(%error, "an undo was carried out but could not be noted");
        }
        Ok(report)
    }
}

impl Entry {
    /// Carries out the undo and calls off the node's own deadline for it: that one would hit a later fault.
    ///
    /// # Errors
    /// Where the node could not be reached.
    pub async fn act(&self, nodes: &dyn Nodes) -> Result<ActionReport, ClusterError> {
        let report = nodes.act(&self.node, &self.undo).await?;
        if let Some(id) = &self.deadline {
            nodes.act(&self.node, &NodeAction::DeadlineClear { id: id.clone() }).await?;
        }
        Ok(report)
    }
}

/// Directories below `runs` whose ledger has something to do (see [`Ledger::owes`]) and whose run is dead, with their
/// ledgers.
///
/// # Errors
/// Where a ledger cannot be read.
pub fn unhealed(runs: &Path) -> Result<Vec<(PathBuf, Ledger)>, LedgerError> {
    let mut found = Vec::new();
    for dir in with_ledgers(runs)? {
        match Ledger::open(&dir) {
            Ok(ledger) if !ledger.owes() => {}
            Ok(ledger) => found.push((dir, ledger)),
            Err(LedgerError::Busy { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// Directories below `runs` whose ledger is held by its run or by that one's reaper, and has something to undo on
/// this cluster.
///
/// # Errors
/// Where a ledger cannot be read.
pub fn at_work(runs: &Path, provider: ProviderKind, cluster: &str) -> Result<Vec<PathBuf>, LedgerError> {
    let mut found = Vec::new();
    for dir in with_ledgers(runs)? {
        if !matches!(Ledger::open(&dir), Err(LedgerError::Busy { .. })) {
            continue;
        }
        let state = State::look(&dir)?;
        let here = |of: ProviderKind, name: &str| of == provider && name == cluster;
        let undos = state.open.values().any(|entry| here(entry.provider, &entry.cluster));
        if undos || state.clusters.values().any(|one| !one.whole && here(one.provider, &one.cluster)) {
            found.push(dir);
        }
    }
    Ok(found)
}

/// What a ledger still has to undo, latest first, whoever holds it now.
///
/// # Errors
/// Where it cannot be read.
pub fn peek(dir: &Path) -> Result<Vec<Entry>, LedgerError> {
    Ok(State::look(dir)?.open.into_values().rev().collect())
}

/// In order. Most ledgers are empty: nothing was ever armed, or the file is not there at all.
fn with_ledgers(runs: &Path) -> Result<Vec<PathBuf>, LedgerError> {
    let entries = match std::fs::read_dir(runs) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(LedgerError::File { path: runs.to_owned(), source }),
    };
    let dirs = entries.flatten().map(|entry| entry.path());
    let mut dirs: Vec<PathBuf> =
        dirs.filter(|dir| std::fs::metadata(dir.join(FILE)).is_ok_and(|meta| meta.len() > 0)).collect();
    dirs.sort();
    Ok(dirs)
}

#[cfg(test)]
mod tests;
