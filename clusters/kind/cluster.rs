//! A kind cluster: what it is, and the ways to everything that is asked of it.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use async_trait::async_trait;
use futures::future::try_join_all;
use recoup_model::{
    action::{ActionReport, Capability, NodeAction},
    configuration::Configuration,
    machine::Processors,
    observation::{Conn, Endpoint, Failure, FailureClass, Observation, Observed},
    spec::WorkloadSpec,
    topology::{Fingerprint, Node, NodeRole, ProviderKind},
};
use rustls::ClientConfig;
use serde::Deserialize;
use tokio::sync::OnceCell;

use super::{
    Container, Docker, KindNodes, Role,
    api::{Api, Call, Server},
    audit, configuration,
    credentials::{Credentials, install_ring},
    etcd::Member,
    failure::{self, while_doing},
    image_tar::Image,
    load::KindLoad,
    manifests::core,
    metrics::Meters,
    objects,
    processors::Meter,
    vantage::Vantage,
    watch, writes,
};
use crate::{Acted, Attempt, Cluster, ClusterError, Fixture, LoadTarget, LoadWanted, Nodes, ReadBack, Tell};

/// What is asked outside the measured path may take this long.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// Where kubeadm lets API servers listen.
pub(super) const API_PORT: u16 = 6443;
/// The label of a node's zone.
const ZONE: &str = "topology.kubernetes.io/zone";

/// The workload as the last fixture left it.
pub(super) struct Placed {
    /// By node: a pod of the workload that ran there, and its address.
    pub pods: BTreeMap<String, (String, SocketAddr)>,
    /// The Service's cluster address.
    pub service: SocketAddr,
}

/// A kind cluster that is reachable from this machine.
pub struct KindCluster {
    pub(super) docker: Docker,
    nodes: KindNodes,
    /// What was found by trial.
    capabilities: Vec<Capability>,
    pub(super) fingerprint: Fingerprint,
    configuration: Configuration,
    pub(super) api: Arc<Api>,
    /// Where API servers listen, and how they are talked to.
    addresses: Vec<SocketAddr>,
    tls: ClientConfig,
    pub(super) members: Vec<Member>,
    pub(super) meters: Meters,
    /// None where this machine cannot tell what the nodes' machine does.
    meter: Option<Meter>,
    pub(super) vantage: Vantage,
    pub(super) image: Image,
    /// The image is in all nodes.
    pub(super) loaded: OnceCell<()>,
    pub(super) placed: RwLock<Option<Arc<Placed>>>,
}

impl KindCluster {
    /// Connects to a healthy cluster, to each of its API servers and etcd members.
    ///
    /// `kubeconfig` is the text that `kind get kubeconfig` prints.
    ///
    /// # Errors
    /// Where it does not answer, or the kubeconfig is not of kind's making.
    pub async fn connect(
        docker: Docker,
        nodes: KindNodes,
        name: &str,
        profile: &str,
        kubeconfig: &str,
        image: &str,
        kind_version: &str,
    ) -> Result<KindCluster, ClusterError> {
        install_ring();
        let credentials = Credentials::read(kubeconfig)?;
        let containers = docker.containers(name).await?;
        let control_planes: Vec<&Container> =
            containers.iter().filter(|container| container.role == Role::ControlPlane).collect();
        let servers = control_planes
            .iter()
            .map(|container| {
                let base = format!("https://{}", SocketAddr::new(container.address, API_PORT));
                Server::new(Endpoint::Node(container.name.clone()), &base, &credentials.tls)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let lb = Server::new(Endpoint::Lb, &credentials.server, &credentials.tls)?;
        let members =
            try_join_all(control_planes.iter().map(|node| Member::open(&docker, &node.name, node.address)))
                .await?;
        let mut capabilities = nodes.capabilities().await?;
        if audit::offered(&docker, &containers).await {
            capabilities.push(Capability::AuditLog);
        }
        let meters = Meters::new(&control_planes, &members, &credentials.tls).await?;
        if meters.open {
            capabilities.push(Capability::Metrics);
        }
        let mut fingerprint = identify(&lb, &containers).await?;
        let configuration = configuration::read(&docker, &lb, &containers, &fingerprint.kubernetes).await;
        let engine = docker.engine().await?;
        name.clone_into(&mut fingerprint.cluster);
        profile.clone_into(&mut fingerprint.profile);
        image.clone_into(&mut fingerprint.image);
        kind_version.clone_into(&mut fingerprint.kind);
        (fingerprint.kernel, fingerprint.cpus) = (engine.kernel, engine.cpus);
        for member in &members {
            if let Ok(status) = member.status(PATIENCE).await {
                fingerprint.etcd = status.version;
                break;
            }
        }
        Ok(KindCluster {
            nodes,
            capabilities,
            fingerprint,
            configuration,
            api: Arc::new(Api::new(lb, servers)),
            addresses: control_planes.iter().map(|node| SocketAddr::new(node.address, API_PORT)).collect(),
            tls: credentials.tls,
            members,
            meters,
            meter: Meter::new(&docker, &containers).await,
            docker,
            vantage: Vantage::new()?,
            image: Image::workload()?,
            loaded: OnceCell::new(),
            placed: RwLock::new(None),
        })
    }

    /// The node of that name.
    pub(super) fn node(&self, name: &str) -> Result<&Node, Failure> {
        self.fingerprint
            .nodes
            .iter()
            .find(|node| node.name == name)
            .ok_or_else(|| Failure::new(FailureClass::Observer, format!("there is no node {name}")))
    }

    /// The etcd member on that node.
    pub(super) fn member(&self, name: &str) -> Result<&Member, Failure> {
        self.members
            .iter()
            .find(|member| member.node == name)
            .ok_or_else(|| Failure::new(FailureClass::Observer, format!("{name} has no etcd member")))
    }

    /// The etcd member number `turn` modulo their count.
    pub(super) fn member_in_turn(&self, turn: u64) -> Result<&Member, Failure> {
        let index = usize::try_from(turn).unwrap_or_default().checked_rem(self.members.len());
        index.and_then(|index| self.members.get(index)).ok_or_else(|| observer("there is no etcd member"))
    }

    /// The workload, once a fixture is in place.
    pub(super) fn placed(&self) -> Option<Arc<Placed>> {
        self.placed.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// True where pods can be kept off control planes.
    pub(super) fn has_workers(&self) -> bool {
        self.fingerprint.with_role(NodeRole::Worker).next().is_some()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    git_version: String,
}

/// Versions and nodes as the API and Docker show them.
async fn identify(lb: &Server, containers: &[Container]) -> Result<Fingerprint, ClusterError> {
    let version: Version =
        lb.read(Call::get("/version"), PATIENCE).await.map_err(while_doing("read its version"))?;
    let listed: objects::List<objects::Node> =
        lb.read(Call::get("/api/v1/nodes"), PATIENCE).await.map_err(while_doing("list its nodes"))?;
    let known = |name: &str| listed.items.iter().find(|node| node.metadata.name == name);
    let nodes = containers.iter().filter(|container| container.is_node()).map(|container| Node {
        name: container.name.clone(),
        role: if container.role == Role::ControlPlane { NodeRole::ControlPlane } else { NodeRole::Worker },
        zone: known(&container.name).and_then(|node| node.metadata.labels.get(ZONE).cloned()),
        address: container.address,
    });
    let runtime = listed.items.first().map(|node| node.status.node_info.container_runtime_version.clone());
    let balancer = containers.iter().find(|container| container.role == Role::ExternalLoadBalancer);
    Ok(Fingerprint {
        provider: ProviderKind::Kind,
        cluster: String::new(),
        profile: String::new(),
        kubernetes: version.git_version,
        etcd: String::new(),
        runtime: runtime.unwrap_or_default(),
        kind: String::new(),
        load_balancer: balancer.map_or_else(|| "none".into(), |container| container.image.clone()),
        image: String::new(),
        kernel: String::new(),
        cpus: 0,
        nodes: nodes.collect(),
    })
}

#[async_trait]
impl Nodes for KindCluster {
    async fn act(&self, node: &str, action: &NodeAction) -> Result<ActionReport, ClusterError> {
        self.nodes.act(node, action).await
    }
}

#[async_trait]
impl Cluster for KindCluster {
    fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    fn capabilities(&self) -> &[Capability] {
        &self.capabilities
    }

    async fn fixture(&self, workload: &WorkloadSpec) -> Result<Fixture, ClusterError> {
        let fixture = self.put_in_place(workload).await?;
        self.api.lb().reconnect().await?;
        Ok(fixture)
    }

    async fn observe(&self, observation: &Observation, attempt: Attempt) -> Result<Observed, Failure> {
        self.ask(observation, attempt).await
    }

    async fn delete_pods(&self, names: &[String], timeout: Duration) -> Result<(), Failure> {
        let deletions = names.iter().map(|name| async move {
            let path = format!("{}/{name}?gracePeriodSeconds=1", core("pods"));
            match self.api.lb().call(Conn::Reused, Call::delete(&path), timeout).await {
                // Gone already: what was asked for is so.
                Err(failure) if failure.message.starts_with("404") => Ok(()),
                other => other.map(drop),
            }
        });
        try_join_all(deletions).await.map(drop)
    }

    async fn load(&self, wanted: &LoadWanted) -> Result<Arc<dyn LoadTarget>, ClusterError> {
        Ok(Arc::new(KindLoad::prepare(&self.api, &self.addresses, &self.tls, wanted).await?))
    }

    async fn read_back_api(&self, through: &Endpoint) -> Result<ReadBack, Failure> {
        writes::read_back(self.api.at(through)?, PATIENCE).await
    }

    async fn read_back_etcd(&self, member: &str) -> Result<ReadBack, Failure> {
        self.member(member)?.read_back(PATIENCE).await
    }

    fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    async fn configuration_now(&self) -> Result<Configuration, ClusterError> {
        let containers = self.docker.containers(&self.fingerprint.cluster).await?;
        let kubernetes = &self.fingerprint.kubernetes;
        Ok(configuration::read(&self.docker, self.api.lb(), &containers, kubernetes).await)
    }

    async fn watch(&self, through: &Endpoint, after: Option<u64>, tell: Tell<'_>) -> Result<(), Failure> {
        watch::watch(self.api.at(through)?, after, tell).await
    }

    async fn acts(&self, last: Duration) -> Result<Vec<Acted>, Failure> {
        if !self.capabilities.contains(&Capability::AuditLog) {
            return Err(observer("the API servers keep no audit log: make the cluster anew"));
        }
        let planes: Vec<&str> = self.members.iter().map(|member| member.node.as_str()).collect();
        audit::acts(&self.docker, &self.fingerprint.nodes, &planes, last).await
    }

    async fn processors(&self) -> Result<Option<Processors>, ClusterError> {
        match &self.meter {
            Some(meter) => meter.read(&self.docker).await,
            None => Ok(None),
        }
    }

    async fn in_backoff(&self) -> Result<Vec<(String, String)>, Failure> {
        self.delayed().await
    }

    async fn health(&self) -> Vec<String> {
        self.problems().await
    }
}

/// A failure of the harness's own making.
pub(super) fn observer(message: impl std::fmt::Display) -> Failure {
    Failure::new(FailureClass::Observer, message)
}

/// The failure's class without its instance's words, where only the time ran out.
pub(super) fn out_of_time(after: Duration, last: &str) -> Failure {
    let failure = failure::timed_out(after);
    if last.is_empty() {
        failure
    } else {
        Failure::new(failure.class, format!("{}: {last}", failure.message))
    }
}
