//! `deletePods:` asks the API to delete pods of the workload until it agrees.

use std::{collections::BTreeSet, time::Duration};

use recoup_model::{event::Event, spec::DeletePods};
use tokio::time::{Instant, sleep_until};

use crate::context::{Broken, Context};

/// One request's deadline and the time to the next one.
const ATTEMPT: Duration = Duration::from_secs(2);

pub(super) async fn ask(context: &Context, step: u32, ask: &DeletePods) -> Result<(), Broken> {
    let mut pods = context.pods();
    pods.retain(|pod| pod.ready && !pod.deleting);
    context.shuffle(&mut pods);
    // A pod on a node that an earlier step hit has its own fate to tell.
    let hit: BTreeSet<String> = context.all_hit().into_iter().collect();
    pods.sort_by_key(|pod| pod.node.as_ref().is_some_and(|node| hit.contains(node)));
    pods.truncate(ask.count as usize);
    if pods.is_empty() {
        return Err(Broken::NoTarget("no ready pod of the workload to delete".into()));
    }
    let names: Vec<String> = pods.into_iter().map(|pod| pod.name).collect();
    let step =
        context.step(step, "deletePods", &[], format!("the API is asked to delete {}", names.join(", ")));
    let deadline = Instant::now() + ask.within.0;
    let asking = step.clone();
    context.background(async move {
        let (context, step) = (&asking.context, asking.step);
        loop {
            let next = Instant::now() + ATTEMPT;
            let sent = context.recorder.clock().now();
            let refused = context.cluster.delete_pods(&names, ATTEMPT).await.err();
            let granted = refused.is_none();
            context.recorder.record(Event::DeletionAnswered { step, pods: names.clone(), sent, refused });
            if granted || next >= deadline || context.cancel.is_cancelled() {
                return Ok(());
            }
            sleep_until(next).await;
        }
    });
    Ok(())
}
