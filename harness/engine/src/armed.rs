//! Undos that are safely on disk and on the node before anything is broken, and carried out when the hold is over.

use std::time::Duration;

use recoup_clusters::ClusterError;
use recoup_model::{
    action::{ActionReport, NodeAction},
    event::Event,
    time::Span,
};
use tokio::time::{Instant, sleep_until};

use crate::{
    context::{Broken, Context, StepContext},
    ledger::Entry,
};

/// How much later than the harness a node undoes a fault by itself: an undo on a busy machine takes seconds, a node's
/// own must not cut a hold short, and a dead harness's reaper has done it within 15 s.
pub(crate) const DEADLINE_GRACE: Duration = Duration::from_secs(15);
/// So long before the end of a hold it is looked whether the fault still lasts, so that the undo itself is on time: a
/// look is a `docker exec` of 0.1 to 0.3 s.
const LAST_LOOK: Duration = Duration::from_millis(500);
/// By then an undo that was carried out shows.
const OVER: Duration = Duration::from_secs(5);

/// An undo that is safely on disk. Whoever holds it must carry it out; the ledger does if nobody can.
#[must_use = "an armed fault must be undone"]
pub struct Armed {
    context: Context,
    entry: Entry,
}

impl Armed {
    /// Undoes it now. Where nothing was left to undo, the fault ended before its time, and that is recorded.
    ///
    /// # Errors
    /// Where the node cannot be reached: it stays in the ledger.
    pub async fn undo(self) -> Result<(), ClusterError> {
        let lasted = self.context.undo(&self.entry).await?;
        let (step, node) = (self.entry.step, self.entry.node);
        let check = "the fault lasted until it was undone".to_owned();
        let seen = if lasted { "there was something to undo" } else { "nothing was left to undo" }.to_owned();
        self.context.recorder.record(Event::Evidence { step, node, check, effective: lasted, seen });
        Ok(())
    }
}

/// A last look before a fault is undone: does it still last?
pub struct Last {
    /// The node.
    pub node: String,
    /// What is looked for.
    pub check: String,
    /// The look.
    pub look: NodeAction,
    /// Does the report show it?
    pub shows: Box<dyn Fn(&ActionReport) -> bool + Send + Sync>,
}

impl StepContext {
    /// Puts an undo on disk, and has the node carry it out by itself should nobody be left to ask for it once the
    /// hold is over.
    ///
    /// # Errors
    /// Where it is not safely on disk: do not inject. A node that takes no deadline is a note in the record; the
    /// ledger is there all the same.
    pub async fn arm(&self, node: &str, undo: NodeAction, hold: Duration) -> Result<Armed, Broken> {
        let fingerprint = self.context.cluster.fingerprint();
        let ledger = &self.context.ledger;
        let entry =
            ledger.arm(fingerprint.provider, &fingerprint.cluster, node, self.step, undo.clone(), true)?;
        if let Some(id) = entry.deadline.clone() {
            let (after, undo) = (Span(hold + DEADLINE_GRACE), Box::new(undo));
            let set = NodeAction::DeadlineSet { id, after, undo };
            match self.context.cluster.act(node, &set).await {
                Ok(report) => tracing::debug!(node, how = ?report.how, "{}", set.name()),
                Err(error) => {
                    let message =
                        format!("{node} cannot undo this by itself, should the harness die: {error}");
                    self.context.recorder.record(Event::Note { message });
                }
            }
        }
        Ok(Armed { context: self.context.clone(), entry })
    }

    /// Undoes armed faults after a time, in the background, and looks before whether they still last.
    pub fn undo_after(&self, hold: Duration, armed: Vec<Armed>, last: Vec<Last>) {
        self.undo_after_and_look(hold, armed, last, Vec::new());
    }

    /// As [`StepContext::undo_after`], and looks afterwards whether they are really over.
    pub fn undo_after_and_look(&self, hold: Duration, armed: Vec<Armed>, last: Vec<Last>, after: Vec<Last>) {
        let deadline = Instant::now() + hold;
        let step = self.clone();
        self.context.background(async move {
            sleep_until(deadline - LAST_LOOK.min(hold / 4)).await;
            let looked = step.look_all(&last, Duration::ZERO).await;
            sleep_until(deadline).await;
            let undone = futures::future::join_all(armed.into_iter().map(Armed::undo)).await;
            // A node that could not be looked at is undone all the same.
            undone.into_iter().collect::<Result<(), _>>()?;
            looked?;
            step.look_all(&after, OVER).await
        });
    }

    async fn look_all(&self, looks: &[Last], limit: Duration) -> Result<(), Broken> {
        let looks = looks
            .iter()
            .map(|one| self.evidence(&one.node, &one.check, &one.look, limit, |seen| (one.shows)(seen)));
        let looked = futures::future::join_all(looks).await;
        looked.into_iter().collect::<Result<Vec<_>, _>>().map(drop)
    }
}
