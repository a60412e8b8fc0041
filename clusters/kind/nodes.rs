//! Actions on the nodes of a kind cluster, through Docker alone: they work with every API server down.

use std::collections::BTreeSet;

use async_trait::async_trait;
use recoup_model::action::{ActionReport, Capability, NodeAction};

use super::{
    docker::{Docker, succeeded},
    scripts::{self, Script},
};
use crate::{ClusterError, Nodes};

/// The nodes of one kind cluster. Cheap to clone.
#[derive(Clone)]
pub struct KindNodes {
    docker: Docker,
    cluster: String,
    names: BTreeSet<String>,
}

impl KindNodes {
    /// The nodes that the cluster has now.
    ///
    /// # Errors
    /// [`ClusterError::NoSuchCluster`], or where Docker does not answer.
    pub async fn connect(docker: Docker, cluster: &str) -> Result<KindNodes, ClusterError> {
        let containers = docker.containers(cluster).await?;
        let names: BTreeSet<String> =
            containers.into_iter().filter(super::Container::is_node).map(|node| node.name).collect();
        if names.is_empty() {
            return Err(ClusterError::NoSuchCluster(cluster.to_owned()));
        }
        Ok(KindNodes { docker, cluster: cluster.to_owned(), names })
    }

    /// The engine that runs them.
    #[must_use]
    pub fn docker(&self) -> &Docker {
        &self.docker
    }

    /// The cluster's name.
    #[must_use]
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// The nodes' names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// What can be done to these nodes, found by looking at them. Signals, static pods and pausing always can;
    /// systemd and the packet filter depend on node image and kernel.
    ///
    /// # Errors
    /// Where a node cannot be reached.
    pub async fn capabilities(&self) -> Result<Vec<Capability>, ClusterError> {
        let mut found =
            vec![Capability::Signal, Capability::StaticPods, Capability::Pause, Capability::EtcdAccess];
        let all = |capability, script: &'static str| {
            let checks = self.names.iter().map(move |node| {
                let argv = ["sh", "-c", script];
                async move { self.docker.exec(node, &argv, None).await.map(|output| output.status == 0) }
            });
            async move {
                let answers = futures::future::try_join_all(checks).await?;
                Ok::<_, ClusterError>(answers.into_iter().all(|works| works).then_some(capability))
            }
        };
        let systemd = all(Capability::Systemd, "systemctl show --property Version");
        let filter = all(
            Capability::PacketFilter,
            // A transaction that changes nothing, with every match that our rules use.
            "{ echo '*filter'; echo '-A INPUT -s 192.0.2.1 -p tcp --dport 1 -m comment --comment recoup:check -j DROP'; \
             echo COMMIT; } | iptables-restore --test --noflush && iptables-save -c -t filter > /dev/null",
        );
        let (systemd, filter) = futures::future::try_join(systemd, filter).await?;
        found.extend(systemd);
        found.extend(filter);
        Ok(found)
    }
}

#[async_trait]
impl Nodes for KindNodes {
    async fn act(&self, node: &str, action: &NodeAction) -> Result<ActionReport, ClusterError> {
        if !self.names.contains(node) {
            return Err(ClusterError::NoSuchNode(node.to_owned()));
        }
        let failed = |output: String| ClusterError::Command {
            command: format!("{} on {node}", action.name()),
            status: "not carried out".to_owned(),
            output,
        };
        let Some(script) = Script::of(action).map_err(failed)? else {
            let changed = match action {
                NodeAction::Pause => self.docker.pause(node).await?,
                NodeAction::Unpause => self.docker.unpause(node).await?,
                _ => false,
            };
            let paused = self.docker.is_paused(node).await?;
            return Ok(ActionReport { paused, changed, ..ActionReport::default() });
        };
        let argv = script.argv();
        let output = self.docker.exec(node, &argv, None).await?;
        let output = succeeded(node, &argv, output)?;
        scripts::read(&String::from_utf8_lossy(&output.stdout)).map_err(failed)
    }
}
