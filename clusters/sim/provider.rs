//! Makes and keeps simulated clusters. They live as long as this value: there is nothing to find by another
//! process, and nothing left to heal.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use recoup_model::topology::ProviderKind;
use tokio::time::{Instant, sleep};

use super::SimCluster;
use crate::{Cluster, ClusterError, Listed, Nodes, Progress, Provider, Wanted};

/// A cluster that does not get healthy within this long is replaced by a new one.
const HEALTHY_WITHIN: Duration = Duration::from_secs(120);

/// Where simulated clusters come from.
#[derive(Debug, Default)]
pub struct SimProvider {
    clusters: Mutex<BTreeMap<String, Arc<SimCluster>>>,
}

impl SimProvider {
    /// One without clusters.
    #[must_use]
    pub fn new() -> SimProvider {
        SimProvider::default()
    }

    /// The cluster of that name with its truth.
    #[must_use]
    pub fn cluster(&self, name: &str) -> Option<Arc<SimCluster>> {
        self.clusters().get(name).cloned()
    }

    fn clusters(&self) -> MutexGuard<'_, BTreeMap<String, Arc<SimCluster>>> {
        self.clusters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Provider for SimProvider {
    fn kind(&self) -> ProviderKind {
        ProviderKind::Sim
    }

    async fn usable(&self, _wanted: &Wanted) -> Result<(), ClusterError> {
        Ok(())
    }

    async fn list(&self) -> Result<Vec<Listed>, ClusterError> {
        let listed = |(name, cluster): (&String, &Arc<SimCluster>)| Listed {
            name: name.clone(),
            profile: Some(cluster.fingerprint().profile.clone()),
            nodes: cluster.fingerprint().nodes.iter().map(|node| node.name.clone()).collect(),
        };
        Ok(self.clusters().iter().map(listed).collect())
    }

    async fn obtain(
        &self,
        wanted: &Wanted,
        progress: Progress<'_>,
    ) -> Result<(Arc<dyn Cluster>, bool), ClusterError> {
        if let Some(known) = self.cluster(&wanted.name)
            && known.fingerprint().profile == wanted.profile.name
        {
            let deadline = Instant::now() + HEALTHY_WITHIN;
            while Instant::now() < deadline {
                if known.health().await.is_empty() {
                    // Whoever connects reads the settings of that moment.
                    let known = Arc::new(known.connected_anew());
                    self.clusters().insert(wanted.name.clone(), Arc::clone(&known));
                    return Ok((known, false));
                }
                sleep(Duration::from_secs(1)).await;
            }
            progress(format!("SIMULATED cluster {} does not get healthy and is replaced", wanted.name));
        }
        progress(format!("making SIMULATED cluster {} (seed {})", wanted.name, wanted.seed));
        wanted.making.begins(&wanted.name)?;
        let cluster = Arc::new(SimCluster::new(wanted));
        self.clusters().insert(wanted.name.clone(), Arc::clone(&cluster));
        Ok((cluster, true))
    }

    async fn delete(&self, name: &str, progress: Progress<'_>) -> Result<(), ClusterError> {
        let known = self.clusters().remove(name);
        known.ok_or_else(|| ClusterError::NoSuchCluster(name.to_owned()))?;
        progress(format!("SIMULATED cluster {name} is gone"));
        Ok(())
    }

    async fn nodes(&self, cluster: &str) -> Result<Arc<dyn Nodes>, ClusterError> {
        let known = self.cluster(cluster).ok_or_else(|| ClusterError::NoSuchCluster(cluster.to_owned()))?;
        Ok(known)
    }
}
