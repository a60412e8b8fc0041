//! The reaper's own side: watches, and does what is left to do.

use std::{
    fs::OpenOptions,
    io::{self, Read, Write},
    path::Path,
    sync::Arc,
    time::Duration,
};

use futures::future::join_all;
use recoup_clusters::{ClusterError, Provider};
use recoup_model::topology::ProviderKind;
use tokio::time::{Instant, sleep};

use super::{END, WATCHING};
use crate::{
    heal::{undo_all, words},
    ledger::{Entry, Ledger, LedgerError, MadeCluster},
};

/// The reaper's log in the run's directory.
pub const LOG: &str = "reaper.log";

/// The kernel closes a dead process' files one after the other: the ledger's lock may go after the pipe.
const LOCK_LIMIT: Duration = Duration::from_secs(5);
/// As long as Docker does not answer (it may be restarting) the reaper tries again.
const RETRY_LIMIT: Duration = Duration::from_secs(300);
/// Between two tries.
const RETRY: Duration = Duration::from_secs(2);

/// How a watch ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The run came to an orderly end.
    Dismissed,
    /// The harness died, and this many things could not be done.
    Reaped {
        /// Undos and clusters that are left for `recoup heal`.
        left: usize,
    },
}

/// Tells `out` that it is on watch, reads `from` to its end, and then does what is left to do. Signals that end a
/// process at a terminal are ignored.
///
/// # Errors
/// Where the ledger cannot be read.
pub async fn watch(
    dir: &Path,
    from: impl Read + Send + 'static,
    mut out: impl Write,
    provider: impl Fn(ProviderKind) -> Arc<dyn Provider>,
) -> Result<Outcome, LedgerError> {
    ignore_signals();
    let log = Log::open(dir);
    log.say(&format!("on watch (process {})", std::process::id()));
    // Whoever does not hear it starts no run on us.
    out.write_all(WATCHING.as_bytes()).and_then(|()| out.flush()).ok();
    let heard = tokio::task::spawn_blocking(move || to_end(from)).await.unwrap_or_default();
    if heard == END {
        log.say("the run came to an orderly end");
        return Ok(Outcome::Dismissed);
    }
    log.say("the harness is gone without an orderly end");
    let ended = reap(dir, provider, &|message| log.say(&message)).await;
    match &ended {
        Ok(left) => log.say(&format!("done; {left} left")),
        Err(error) => log.say(&format!("given up: {error}")),
    }
    ended.map(|left| Outcome::Reaped { left })
}

/// Does what the ledger of a dead run in `dir` says; gives the number of things that could not be done.
///
/// # Errors
/// Where the ledger cannot be read, or its run is alive after all.
pub async fn reap(
    dir: &Path,
    provider: impl Fn(ProviderKind) -> Arc<dyn Provider>,
    tell: &(dyn Fn(String) + Send + Sync),
) -> Result<usize, LedgerError> {
    let ledger = take(dir).await?;
    let deadline = Instant::now() + RETRY_LIMIT;
    loop {
        let left = join_all(
            [ProviderKind::Kind, ProviderKind::Sim].map(|kind| once(&ledger, kind, &provider, tell)),
        );
        let left: usize = left.await.into_iter().sum();
        if left == 0 || Instant::now() >= deadline {
            return Ok(left);
        }
        tell(format!("{left} left; once more in {} s", RETRY.as_secs()));
        sleep(RETRY).await;
    }
}

/// The ledger, as soon as the dead process has let go of it.
async fn take(dir: &Path) -> Result<Ledger, LedgerError> {
    let deadline = Instant::now() + LOCK_LIMIT;
    loop {
        match Ledger::open(dir) {
            Err(LedgerError::Busy { .. }) if Instant::now() < deadline => {
                sleep(Duration::from_millis(20)).await
            }
            opened => return opened,
        }
    }
}

/// Everything once, on clusters of one provider.
async fn once(
    ledger: &Ledger,
    kind: ProviderKind,
    provider: &impl Fn(ProviderKind) -> Arc<dyn Provider>,
    tell: &(dyn Fn(String) + Send + Sync),
) -> usize {
    let ours = |entry: &Entry| entry.provider == kind;
    let entries: Vec<Entry> = ledger.pending().into_iter().filter(ours).collect();
    let clusters =
        ledger.clusters().into_iter().filter(|one| one.provider == kind && (one.delete || !one.whole));
    let clusters: Vec<MadeCluster> = clusters.collect();
    if entries.is_empty() && clusters.is_empty() {
        return 0;
    }
    let provider = provider(kind);
    // On a cluster that goes away there is nothing to undo; freezing is seen to by whoever deletes it.
    let goes = |entry: &Entry| clusters.iter().any(|one| one.cluster == entry.cluster);
    let (going, staying): (Vec<Entry>, Vec<Entry>) = entries.into_iter().partition(goes);
    let undone = async {
        let mut left = 0;
        for (entry, outcome) in undo_all(ledger, &*provider, staying, true).await {
            left += usize::from(outcome.is_err());
            tell(format!("{}: {}", words(&entry), became(&outcome)));
        }
        left
    };
    let deleted = join_all(clusters.iter().map(|one| async {
        let outcome = provider.abandon(&one.cluster, tell).await;
        let how = match &outcome {
            Ok(true) => "deleted".to_owned(),
            Ok(false) => "nothing was there".to_owned(),
            Err(error) => format!("NOT DELETED: {error}"),
        };
        tell(format!("cluster {}{}: {how}", one.cluster, if one.whole { "" } else { " (half made)" }));
        let Ok(_) = outcome else { return 1 };
        let with_it = going.iter().filter(|entry| entry.cluster == one.cluster);
        let noted = with_it.map(|entry| ledger.done(entry.id)).chain([ledger.settled(&one.cluster)]);
        for error in noted.filter_map(Result::err) {
            tell(format!("not noted: {error}"));
        }
        0
    }));
    let (left, not_deleted) = tokio::join!(undone, deleted);
    left + not_deleted.into_iter().sum::<usize>()
}

fn became(outcome: &Result<bool, ClusterError>) -> String {
    match outcome {
        Ok(true) => "undone".to_owned(),
        Ok(false) => "nothing was left of it".to_owned(),
        Err(error) => format!("NOT UNDONE: {error}"),
    }
}

fn to_end(mut from: impl Read) -> String {
    let mut heard = Vec::new();
    // An unreadable pipe is one without the word of an orderly end.
    from.read_to_end(&mut heard).ok();
    String::from_utf8_lossy(&heard).into_owned()
}

/// Whoever ends the harness by a signal to everybody leaves the reaper its work; SIGKILL ends it.
fn ignore_signals() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        for kind in
            [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup(), SignalKind::quit()]
        {
            // Once listened to, a signal has no other effect for the rest of the process' life.
            if let Err(error) = signal(kind) {
                tracing::warn!(%error, "a signal cannot be ignored");
            }
        }
    }
}

/// Lines with the time. A disk that refuses them stops nothing.
struct Log(Option<std::fs::File>);

impl Log {
    fn open(dir: &Path) -> Log {
        Log(OpenOptions::new().create(true).append(true).open(dir.join(LOG)).ok())
    }

    fn say(&self, message: &str) {
        if let Some(mut file) = self.0.as_ref() {
            let line = format!("{} {message}\n", jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ"));
            let written: io::Result<()> = file.write_all(line.as_bytes());
            written.ok();
        }
    }
}
