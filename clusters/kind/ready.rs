//! Waiting until every node of a cluster is Ready: kind returns as soon as the control planes are.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Container, Docker, Role};
use crate::ClusterError;

/// For a cluster that kind has just made. A node under load takes its time to pull up its pod network.
pub(super) const NEW: Duration = Duration::from_secs(300);

/// For a cluster that was there: a node that an earlier fault had cut off is Ready within a minute of its return.
pub(super) const EXISTING: Duration = Duration::from_secs(90);

/// Between looks.
const PERIOD: Duration = Duration::from_secs(1);

/// Prints `NAME STATUS` of every node that the API knows.
const SCRIPT: &str = r#"kubectl --kubeconfig /etc/kubernetes/admin.conf --request-timeout 5s get nodes \
    -o jsonpath='{range .items[*]}{.metadata.name} {.status.conditions[?(@.type=="Ready")].status}{"\n"}{end}'"#;

/// Waits until each node's container runs and its Ready condition is true.
///
/// # Errors
/// [`ClusterError::TimedOut`] with what was seen last.
pub(super) async fn wait(docker: &Docker, cluster: &str, deadline: Duration) -> Result<(), ClusterError> {
    let began = Instant::now();
    loop {
        let last = match look(docker, cluster).await {
            Ok(waiting_for) if waiting_for.is_empty() => return Ok(()),
            Ok(waiting_for) => waiting_for.join(", "),
            Err(error) => error.to_string(),
        };
        if began.elapsed() >= deadline {
            return Err(ClusterError::TimedOut {
                waited: deadline,
                what: format!("the nodes of {cluster} to be Ready"),
                last,
            });
        }
        sleep(PERIOD).await;
    }
}

/// What is still missing.
async fn look(docker: &Docker, cluster: &str) -> Result<Vec<String>, ClusterError> {
    let containers = docker.containers(cluster).await?;
    let mut answer = Err(ClusterError::NoSuchCluster(cluster.to_owned()));
    // One API server may be down; each control plane asks through the load balancer or its own.
    for container in containers.iter().filter(|container| container.role == Role::ControlPlane) {
        answer = docker.shell(&container.name, SCRIPT).await;
        if answer.is_ok() {
            break;
        }
    }
    Ok(missing(&containers, &answer?))
}

fn missing(containers: &[Container], answer: &str) -> Vec<String> {
    containers
        .iter()
        .filter(|container| container.is_node())
        .filter_map(|node| {
            let status = answer.lines().find_map(|line| {
                let (name, status) = line.split_once(' ')?;
                (name == node.name).then_some(status)
            });
            match status {
                Some("True") => None,
                Some(status) => Some(format!("{} is not Ready ({status})", node.name)),
                None => Some(format!("{} has not joined", node.name)),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(name: &str, role: Role) -> Container {
        Container::example(name, role, [127, 0, 0, 1])
    }

    #[test]
    fn every_node_is_waited_for_and_the_load_balancer_is_none() {
        let containers = [
            container("c-control-plane", Role::ControlPlane),
            container("c-worker", Role::Worker),
            container("c-worker2", Role::Worker),
            container("c-external-load-balancer", Role::ExternalLoadBalancer),
        ];
        let answer = "c-control-plane True\nc-worker2 Unknown\n";
        assert_eq!(
            missing(&containers, answer),
            ["c-worker has not joined", "c-worker2 is not Ready (Unknown)"]
        );
        assert!(missing(&containers, "c-control-plane True\nc-worker True\nc-worker2 True\n").is_empty());
    }
}
