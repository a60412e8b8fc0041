//! A cluster with something between it and the harness that misbehaves on purpose: what the harness makes
//! of it is what is tested.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use recoup_clusters::{
    Acted, Attempt, Cluster, ClusterError, Fixture, Listed, LoadTarget, LoadWanted, Nodes, Progress,
    Provider, ReadBack, Tell, Wanted, sim::SimProvider,
};
use recoup_model::{
    action::{ActionReport, Capability, NodeAction},
    configuration::Configuration,
    machine::Processors,
    observation::{Endpoint, Failure, Observation, Observed},
    spec::WorkloadSpec,
    topology::{Fingerprint, ProviderKind},
};

/// What stands between the harness and a cluster. Each method hands on what it is given, unless it is
/// implemented otherwise.
#[async_trait]
pub trait Between: Send + Sync {
    /// The harness has got this cluster.
    fn obtained(&self, _cluster: &Arc<dyn Cluster>) {}

    /// See [`Nodes::act`].
    ///
    /// # Errors
    /// As there, or on purpose.
    async fn act(
        &self,
        nodes: &Arc<dyn Nodes>,
        node: &str,
        action: &NodeAction,
    ) -> Result<ActionReport, ClusterError> {
        nodes.act(node, action).await
    }

    /// See [`Cluster::fixture`].
    ///
    /// # Errors
    /// As there, or on purpose.
    async fn fixture(
        &self,
        cluster: &Arc<dyn Cluster>,
        workload: &WorkloadSpec,
    ) -> Result<Fixture, ClusterError> {
        cluster.fixture(workload).await
    }

    /// See [`Cluster::observe`].
    ///
    /// # Errors
    /// As there, or on purpose.
    async fn observe(
        &self,
        cluster: &Arc<dyn Cluster>,
        observation: &Observation,
        attempt: Attempt,
    ) -> Result<Observed, Failure> {
        cluster.observe(observation, attempt).await
    }

    /// See [`Cluster::read_back_api`].
    ///
    /// # Errors
    /// As there, or on purpose.
    async fn read_back_api(
        &self,
        cluster: &Arc<dyn Cluster>,
        through: &Endpoint,
    ) -> Result<ReadBack, Failure> {
        cluster.read_back_api(through).await
    }

    /// See [`Cluster::read_back_etcd`].
    ///
    /// # Errors
    /// As there, or on purpose.
    async fn read_back_etcd(&self, cluster: &Arc<dyn Cluster>, member: &str) -> Result<ReadBack, Failure> {
        cluster.read_back_etcd(member).await
    }

    /// See [`Cluster::watch`].
    ///
    /// # Errors
    /// As there, or on purpose.
    async fn watch(
        &self,
        cluster: &Arc<dyn Cluster>,
        through: &Endpoint,
        after: Option<u64>,
        tell: Tell<'_>,
    ) -> Result<(), Failure> {
        cluster.watch(through, after, tell).await
    }

    /// See [`Cluster::acts`].
    ///
    /// # Errors
    /// As there, or on purpose.
    async fn acts(&self, cluster: &Arc<dyn Cluster>, last: Duration) -> Result<Vec<Acted>, Failure> {
        cluster.acts(last).await
    }

    /// See [`Cluster::load`].
    ///
    /// # Errors
    /// As there, or on purpose.
    async fn load(
        &self,
        cluster: &Arc<dyn Cluster>,
        wanted: &LoadWanted,
    ) -> Result<Arc<dyn LoadTarget>, ClusterError> {
        cluster.load(wanted).await
    }

    /// See [`Cluster::processors`].
    ///
    /// # Errors
    /// As there, or on purpose.
    async fn processors(&self, cluster: &Arc<dyn Cluster>) -> Result<Option<Processors>, ClusterError> {
        cluster.processors().await
    }

    /// See [`Cluster::health`].
    async fn health(&self, cluster: &Arc<dyn Cluster>) -> Vec<String> {
        cluster.health().await
    }
}

/// What becomes of an action: carried out, swallowed, or worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meddling {
    /// It is carried out.
    None,
    /// It is said to be done, and is not.
    Swallow,
    /// The call panics.
    Panic,
    /// The call fails.
    Refuse,
}

/// Decides on each action by itself.
struct Meddler<F>(F);

#[async_trait]
impl<F: Fn(&NodeAction) -> Meddling + Send + Sync> Between for Meddler<F> {
    /// An action that nobody awaits is not carried out.
    async fn act(
        &self,
        nodes: &Arc<dyn Nodes>,
        node: &str,
        action: &NodeAction,
    ) -> Result<ActionReport, ClusterError> {
        match (self.0)(action) {
            Meddling::None => nodes.act(node, action).await,
            Meddling::Swallow => Ok(ActionReport::default()),
            Meddling::Panic => panic!("a panic on purpose: {}", action.name()),
            Meddling::Refuse => Err(ClusterError::NoSuchNode(node.to_owned())),
        }
    }
}

/// Gives out another provider's clusters with something between.
pub struct FaultyProvider {
    inner: Arc<dyn Provider>,
    between: Arc<dyn Between>,
}

impl FaultyProvider {
    /// Wraps the simulation; `meddler` decides what becomes of each action on a node.
    pub fn new(
        sim: &Arc<SimProvider>,
        meddler: impl Fn(&NodeAction) -> Meddling + Send + Sync + 'static,
    ) -> Arc<FaultyProvider> {
        FaultyProvider::with(Arc::<SimProvider>::clone(sim), Arc::new(Meddler(meddler)))
    }

    /// Wraps any provider.
    pub fn with(inner: Arc<dyn Provider>, between: Arc<dyn Between>) -> Arc<FaultyProvider> {
        Arc::new(FaultyProvider { inner, between })
    }
}

#[async_trait]
impl Provider for FaultyProvider {
    fn kind(&self) -> ProviderKind {
        self.inner.kind()
    }

    async fn usable(&self, wanted: &Wanted) -> Result<(), ClusterError> {
        self.inner.usable(wanted).await
    }

    async fn list(&self) -> Result<Vec<Listed>, ClusterError> {
        self.inner.list().await
    }

    async fn obtain(
        &self,
        wanted: &Wanted,
        progress: Progress<'_>,
    ) -> Result<(Arc<dyn Cluster>, bool), ClusterError> {
        let (inner, made) = self.inner.obtain(wanted, progress).await?;
        self.between.obtained(&inner);
        Ok((Arc::new(Faulty { inner, between: Arc::clone(&self.between) }), made))
    }

    async fn delete(&self, name: &str, progress: Progress<'_>) -> Result<(), ClusterError> {
        self.inner.delete(name, progress).await
    }

    async fn abandon(&self, name: &str, progress: Progress<'_>) -> Result<bool, ClusterError> {
        self.inner.abandon(name, progress).await
    }

    async fn nodes(&self, cluster: &str) -> Result<Arc<dyn Nodes>, ClusterError> {
        let inner = self.inner.nodes(cluster).await?;
        Ok(Arc::new(FaultyNodes { inner, between: Arc::clone(&self.between) }))
    }
}

struct FaultyNodes {
    inner: Arc<dyn Nodes>,
    between: Arc<dyn Between>,
}

#[async_trait]
impl Nodes for FaultyNodes {
    async fn act(&self, node: &str, action: &NodeAction) -> Result<ActionReport, ClusterError> {
        self.between.act(&self.inner, node, action).await
    }
}

struct Faulty {
    inner: Arc<dyn Cluster>,
    between: Arc<dyn Between>,
}

#[async_trait]
impl Nodes for Faulty {
    async fn act(&self, node: &str, action: &NodeAction) -> Result<ActionReport, ClusterError> {
        let nodes: Arc<dyn Nodes> = Arc::<dyn Cluster>::clone(&self.inner);
        self.between.act(&nodes, node, action).await
    }
}

#[async_trait]
impl Cluster for Faulty {
    fn fingerprint(&self) -> &Fingerprint {
        self.inner.fingerprint()
    }

    fn capabilities(&self) -> &[Capability] {
        self.inner.capabilities()
    }

    async fn fixture(&self, workload: &WorkloadSpec) -> Result<Fixture, ClusterError> {
        self.between.fixture(&self.inner, workload).await
    }

    async fn observe(&self, observation: &Observation, attempt: Attempt) -> Result<Observed, Failure> {
        self.between.observe(&self.inner, observation, attempt).await
    }

    async fn delete_pods(&self, names: &[String], timeout: Duration) -> Result<(), Failure> {
        self.inner.delete_pods(names, timeout).await
    }

    async fn load(&self, wanted: &LoadWanted) -> Result<Arc<dyn LoadTarget>, ClusterError> {
        self.between.load(&self.inner, wanted).await
    }

    async fn read_back_api(&self, through: &Endpoint) -> Result<ReadBack, Failure> {
        self.between.read_back_api(&self.inner, through).await
    }

    async fn read_back_etcd(&self, member: &str) -> Result<ReadBack, Failure> {
        self.between.read_back_etcd(&self.inner, member).await
    }

    fn configuration(&self) -> &Configuration {
        self.inner.configuration()
    }

    async fn configuration_now(&self) -> Result<Configuration, ClusterError> {
        self.inner.configuration_now().await
    }

    async fn watch(&self, through: &Endpoint, after: Option<u64>, tell: Tell<'_>) -> Result<(), Failure> {
        self.between.watch(&self.inner, through, after, tell).await
    }

    async fn acts(&self, last: Duration) -> Result<Vec<Acted>, Failure> {
        self.between.acts(&self.inner, last).await
    }

    async fn processors(&self) -> Result<Option<Processors>, ClusterError> {
        self.between.processors(&self.inner).await
    }

    async fn in_backoff(&self) -> Result<Vec<(String, String)>, Failure> {
        self.inner.in_backoff().await
    }

    async fn health(&self) -> Vec<String> {
        self.between.health(&self.inner).await
    }
}
