//! A simulated cluster whose nodes misbehave on purpose: what the engine does then is what is tested.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use recoup_clusters::{
    Attempt, Cluster, ClusterError, Fixture, Listed, Nodes, Progress, Provider, ReadBack, Wanted,
    sim::SimProvider,
};
use recoup_model::{
    action::{ActionReport, Capability, NodeAction},
    observation::{Endpoint, Failure, Observation, Observed},
    spec::WorkloadSpec,
    topology::{Fingerprint, ProviderKind},
};

/// What becomes of an action: carried out, swallowed, or worse.
pub type Meddler = Arc<dyn Fn(&NodeAction) -> Meddling + Send + Sync>;

/// See [`Meddler`].
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

/// Gives out simulated clusters with a meddler on their nodes.
pub struct FaultyProvider {
    sim: Arc<SimProvider>,
    meddler: Meddler,
}

impl FaultyProvider {
    /// Wraps the simulation.
    pub fn new(
        sim: &Arc<SimProvider>,
        meddler: impl Fn(&NodeAction) -> Meddling + Send + Sync + 'static,
    ) -> Arc<FaultyProvider> {
        Arc::new(FaultyProvider { sim: Arc::clone(sim), meddler: Arc::new(meddler) })
    }
}

#[async_trait]
impl Provider for FaultyProvider {
    fn kind(&self) -> ProviderKind {
        self.sim.kind()
    }

    async fn usable(&self, wanted: &Wanted) -> Result<(), ClusterError> {
        self.sim.usable(wanted).await
    }

    async fn list(&self) -> Result<Vec<Listed>, ClusterError> {
        self.sim.list().await
    }

    async fn obtain(
        &self,
        wanted: &Wanted,
        progress: Progress<'_>,
    ) -> Result<(Arc<dyn Cluster>, bool), ClusterError> {
        let (inner, made) = self.sim.obtain(wanted, progress).await?;
        Ok((Arc::new(Faulty { inner, meddler: Arc::clone(&self.meddler) }), made))
    }

    async fn delete(&self, name: &str, progress: Progress<'_>) -> Result<(), ClusterError> {
        self.sim.delete(name, progress).await
    }

    async fn nodes(&self, cluster: &str) -> Result<Arc<dyn Nodes>, ClusterError> {
        let inner = self.sim.nodes(cluster).await?;
        Ok(Arc::new(FaultyNodes { inner, meddler: Arc::clone(&self.meddler) }))
    }
}

struct FaultyNodes {
    inner: Arc<dyn Nodes>,
    meddler: Meddler,
}

#[async_trait]
impl Nodes for FaultyNodes {
    async fn act(&self, node: &str, action: &NodeAction) -> Result<ActionReport, ClusterError> {
        meddle(&self.meddler, node, action, self.inner.act(node, action)).await
    }
}

struct Faulty {
    inner: Arc<dyn Cluster>,
    meddler: Meddler,
}

#[async_trait]
impl Nodes for Faulty {
    async fn act(&self, node: &str, action: &NodeAction) -> Result<ActionReport, ClusterError> {
        meddle(&self.meddler, node, action, self.inner.act(node, action)).await
    }
}

/// An action that nobody awaits is not carried out.
async fn meddle(
    meddler: &Meddler,
    node: &str,
    action: &NodeAction,
    act: impl Future<Output = Result<ActionReport, ClusterError>> + Send,
) -> Result<ActionReport, ClusterError> {
    match meddler(action) {
        Meddling::None => act.await,
        Meddling::Swallow => Ok(ActionReport::default()),
        Meddling::Panic => panic!("a panic on purpose: {}", action.name()),
        Meddling::Refuse => Err(ClusterError::NoSuchNode(node.to_owned())),
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
        self.inner.fixture(workload).await
    }

    async fn observe(&self, observation: &Observation, attempt: Attempt) -> Result<Observed, Failure> {
        self.inner.observe(observation, attempt).await
    }

    async fn delete_pods(&self, names: &[String], timeout: Duration) -> Result<(), Failure> {
        self.inner.delete_pods(names, timeout).await
    }

    async fn read_back_api(&self, through: &Endpoint) -> Result<ReadBack, Failure> {
        self.inner.read_back_api(through).await
    }

    async fn read_back_etcd(&self, member: &str) -> Result<ReadBack, Failure> {
        self.inner.read_back_etcd(member).await
    }

    async fn health(&self) -> Vec<String> {
        self.inner.health().await
    }
}
