//! Restart back-off that an earlier experiment left with a kubelet: it would be measured as the cluster's slowness.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use recoup_clusters::{Attempt, Cluster};
use recoup_model::{
    action::{NodeAction, Unit},
    observation::{Observation, Observed},
};
use tokio::time::{Instant, sleep};

/// A kubelet renews its node lease within two seconds of its start, and needs longer on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(500);
/// An answer that takes longer comes too late for a look.
const ASK: Duration = Duration::from_secs(5);

/// Restarts the kubelets that would delay a container's next start, and waits until they work again. Gives each
/// finding with what was done about it.
pub async fn forget(cluster: &Arc<dyn Cluster>) -> Vec<(String, String)> {
    let began = Instant::now();
    let delayed = loop {
        match cluster.in_backoff().await {
            Ok(delayed) => break delayed,
            // The cluster may still be settling from the experiment before.
            Err(_) if began.elapsed() < LIMIT => sleep(LOOK).await,
            // The health check comes next and says what is wrong.
            Err(failure) => {
                let finding =
                    format!("it could not be looked whether a kubelet would delay restarts: {failure}");
                return vec![(finding, "nothing was done about it".into())];
            }
        }
    };
    join_all(delayed.into_iter().map(|(node, ended)| async move {
        let remedy = restart(cluster, &node).await;
        (format!("the kubelet of {node} would delay the next restart of a container: {ended}"), remedy)
    }))
    .await
}

async fn restart(cluster: &Arc<dyn Cluster>, node: &str) -> String {
    if let Err(error) = cluster.act(node, &NodeAction::UnitRestart { unit: Unit::Kubelet }).await {
        return format!("restarting it failed: {error}");
    }
    let began = Instant::now();
    // Read after the old process has ended: what differs from now on was written by the new one.
    let mut before = renewal(cluster, node).await;
    while began.elapsed() < LIMIT {
        sleep(LOOK).await;
        let now = renewal(cluster, node).await;
        before = before.or(now);
        if now.is_some() && now != before && ready(cluster, node).await {
            return format!("it was restarted, and works again {:.1} s later", began.elapsed().as_secs_f64());
        }
    }
    format!("it was restarted, and was not seen to work again within {} s", LIMIT.as_secs())
}

/// When the node's lease was renewed last, as a revision.
async fn renewal(cluster: &Arc<dyn Cluster>, node: &str) -> Option<u64> {
    let lease = Observation::NodeLease { node: node.to_owned() };
    match cluster.observe(&lease, Attempt { number: 0, timeout: ASK }).await {
        Ok(Observed::Renewed { revision }) => Some(revision),
        _ => None,
    }
}

async fn ready(cluster: &Arc<dyn Cluster>, node: &str) -> bool {
    match cluster.observe(&Observation::Nodes, Attempt { number: 0, timeout: ASK }).await {
        Ok(Observed::Nodes(nodes)) => nodes.iter().any(|seen| seen.name == node && seen.ready == "True"),
        _ => false,
    }
}
