//! What is left to do once a run's record is ended: the clusters that it made are deleted or kept, and its reaper is
//! dismissed.

use std::sync::Arc;

use recoup_clusters::{Progress, Provider};

use crate::{EngineError, ledger::Ledger, reaper::Reaper};

/// Taken before `Session::finish`; as long as [`Ending::leave`] has not come to its end, the reaper stays on watch.
pub struct Ending {
    pub(crate) ledger: Ledger,
    pub(crate) provider: Arc<dyn Provider>,
    pub(crate) reaper: Option<Reaper>,
}

/// A cluster that the run made, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Left {
    /// It is gone.
    Deleted(String),
    /// It waits for the next run.
    Kept(String),
}

impl Ending {
    /// Deletes what the run made where it was to, and what it had only half made; then dismisses the reaper.
    ///
    /// # Errors
    /// Where a cluster cannot be deleted, or undos are pending: then the reaper is not dismissed and tries what this
    /// could not as soon as the process has ended.
    pub async fn leave(self, progress: Progress<'_>) -> Result<Vec<Left>, EngineError> {
        let mut told = Vec::new();
        for one in self.ledger.clusters() {
            if !one.whole {
                if self.provider.abandon(&one.cluster, progress).await? {
                    told.push(Left::Deleted(one.cluster.clone()));
                }
            } else if one.delete {
                self.provider.delete(&one.cluster, progress).await?;
                told.push(Left::Deleted(one.cluster.clone()));
            } else {
                told.push(Left::Kept(one.cluster.clone()));
            }
            self.ledger.settled(&one.cluster)?;
        }
        if self.ledger.pending().is_empty()
            && let Some(reaper) = self.reaper
            && let Err(error) = reaper.dismiss()
        {
            tracing::warn!(%error, "the reaper was gone before the run's end");
        }
        Ok(told)
    }
}
