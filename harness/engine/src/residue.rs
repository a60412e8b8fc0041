//! The nodes looked at before the baseline and after everything was undone: what differs was left behind.

use std::sync::Arc;

use futures::future::join_all;
use recoup_clusters::{Cluster, ClusterError};
use recoup_model::{
    action::NodeAction,
    event::{Event, Record, Stage},
    residue::{ByNode, residue, surveys},
};

use crate::{context::Broken, recorder::Recorder};

/// What each node's survey found, or why it could not be looked at.
pub type Looked = Vec<(String, Result<Vec<String>, ClusterError>)>;

/// Surveys every node at once.
pub async fn look(cluster: &Arc<dyn Cluster>) -> Looked {
    let looks = cluster.fingerprint().nodes.iter().map(|node| async {
        let found = cluster.act(&node.name, &NodeAction::Survey).await;
        (node.name.clone(), found.map(|report| report.survey))
    });
    join_all(looks).await
}

/// Records what surveys found.
///
/// # Errors
/// Where a node could not be looked at. What the others said is recorded all the same; the judgement finds a node
/// of which only one survey is there.
pub fn record(recorder: &Recorder, stage: Stage, looked: Looked) -> Result<(), Broken> {
    let mut failed = None;
    for (node, found) in looked {
        match found {
            Ok(lines) => {
                recorder.record(Event::Surveyed { stage, node, lines });
            }
            Err(error) => {
                failed.get_or_insert(error);
            }
        }
    }
    failed.map_or(Ok(()), |error| Err(error.into()))
}

/// What was recorded of the experiment that began last.
pub fn last_experiment(records: &[Record]) -> &[Record] {
    let began = records.iter().rposition(|record| matches!(record.event, Event::ExperimentStarted { .. }));
    &records[began.unwrap_or(records.len())..]
}

/// The surveys of the experiment that was recorded last, where they differ.
pub fn left_by_last(recorder: &Recorder) -> Option<ByNode> {
    let surveys = surveys(last_experiment(&recorder.all()));
    (!residue(&surveys, true).is_empty()).then_some(surveys)
}

/// Looks at the nodes once more: what differs from before is still there? Some of it may have gone by itself, and
/// some been healed.
pub async fn still_left(cluster: &Arc<dyn Cluster>, mut surveys: ByNode) -> Vec<String> {
    for (node, found) in &mut surveys {
        found.after = cluster.act(node, &NodeAction::Survey).await.ok().map(|report| report.survey);
    }
    residue(&surveys, true)
}
