//! The nodes looked at before the baseline and after everything was undone: what differs was left behind.

use std::sync::Arc;

use futures::future::join_all;
use recoup_clusters::Cluster;
use recoup_model::{
    action::NodeAction,
    event::{Event, Stage},
    residue::{ByNode, residue, surveys},
};

use crate::{context::Broken, recorder::Recorder};

/// Surveys every node at once and records what was found.
///
/// # Errors
/// Where a node cannot be looked at. What the others said is recorded all the same; the judgement finds a node
/// of which only one survey is there.
pub async fn survey(cluster: &Arc<dyn Cluster>, recorder: &Recorder, stage: Stage) -> Result<(), Broken> {
    let nodes = &cluster.fingerprint().nodes;
    let looks = nodes.iter().map(|node| async {
        let found = cluster.act(&node.name, &NodeAction::Survey).await;
        (node.name.clone(), found)
    });
    let mut failed = None;
    for (node, found) in join_all(looks).await {
        match found {
            Ok(report) => {
                recorder.record(Event::Surveyed { stage, node, lines: report.survey });
            }
            Err(error) => {
                failed.get_or_insert(error);
            }
        }
    }
    failed.map_or(Ok(()), |error| Err(error.into()))
}

/// The surveys of the experiment that was recorded last, where they differ.
pub fn left_by_last(recorder: &Recorder) -> Option<ByNode> {
    let records = recorder.all();
    let began = records.iter().rposition(|record| matches!(record.event, Event::ExperimentStarted { .. }))?;
    let surveys = surveys(&records[began..]);
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
