//! The targets, as the engine sees a cluster: each is an API server of its own node.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

use anyhow::Result;
use async_trait::async_trait;
use recoup_clusters::{
    Acted, Attempt, Cluster, ClusterError, Fixture, LoadTarget, LoadWanted, Nodes, ReadBack, Tell,
    kind::HttpTarget,
};
use recoup_model::{
    action::{ActionReport, Capability, NodeAction},
    configuration::Configuration,
    machine::Processors,
    observation::{Endpoint, Failure, FailureClass, Observation, Observed},
    spec::WorkloadSpec,
    topology::{Fingerprint, Node, NodeRole, ProviderKind},
};

use serde_json::json;

use super::machine::Machine;

/// Servers by name.
pub struct Targets {
    fingerprint: Fingerprint,
    configuration: Configuration,
    servers: BTreeMap<String, HttpTarget>,
}

/// A server that can be asked.
pub struct Address {
    /// Its name.
    pub name: String,
    /// Its URL.
    pub url: String,
    /// Its certificate, as DER.
    pub authority: Option<Vec<u8>>,
}

impl Targets {
    /// Connects to none of them yet.
    pub fn new(addresses: &[Address]) -> Result<Targets> {
        let mut servers = BTreeMap::new();
        let mut nodes = Vec::new();
        for Address { name, url, authority } in addresses {
            servers.insert(name.clone(), HttpTarget::new(name, url, authority.as_deref())?);
            nodes.push(Node {
                name: name.clone(),
                role: NodeRole::ControlPlane,
                zone: None,
                address: IpAddr::from([127, 0, 0, 1]),
            });
        }
        let nothing = json!({ "minor": 0, "elections": {}, "settings": {}, "doubts": [] });
        Ok(Targets {
            fingerprint: fingerprint(nodes),
            configuration: serde_json::from_value(nothing)?,
            servers,
        })
    }
}

fn fingerprint(nodes: Vec<Node>) -> Fingerprint {
    let none = || "none".to_owned();
    let machine = Machine::read();
    Fingerprint {
        provider: ProviderKind::Kind,
        cluster: "bench".into(),
        profile: none(),
        kubernetes: none(),
        etcd: none(),
        runtime: none(),
        kind: none(),
        load_balancer: none(),
        image: none(),
        kernel: machine.kernel,
        cpus: machine.cores,
        nodes,
    }
}

fn not_here() -> Failure {
    Failure::new(FailureClass::Observer, "the bench's targets answer reads alone")
}

fn no_cluster() -> ClusterError {
    ClusterError::NoSuchCluster("bench".into())
}

#[async_trait]
impl Nodes for Targets {
    async fn act(&self, _node: &str, _action: &NodeAction) -> Result<ActionReport, ClusterError> {
        Err(no_cluster())
    }
}

#[async_trait]
impl Cluster for Targets {
    fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    fn capabilities(&self) -> &[Capability] {
        &[]
    }

    async fn fixture(&self, _workload: &WorkloadSpec) -> Result<Fixture, ClusterError> {
        Err(no_cluster())
    }

    async fn observe(&self, observation: &Observation, attempt: Attempt) -> Result<Observed, Failure> {
        let Observation::ApiRead { via: Endpoint::Node(name), conn, .. } = observation else {
            return Err(not_here());
        };
        let server = self.servers.get(name).ok_or_else(not_here)?;
        server.observe(*conn, "/", attempt.timeout).await
    }

    async fn delete_pods(&self, _names: &[String], _timeout: Duration) -> Result<(), Failure> {
        Err(not_here())
    }

    async fn load(&self, _wanted: &LoadWanted) -> Result<Arc<dyn LoadTarget>, ClusterError> {
        Err(ClusterError::NoSuchCluster("bench".into()))
    }

    async fn read_back_api(&self, _through: &Endpoint) -> Result<ReadBack, Failure> {
        Err(not_here())
    }

    async fn read_back_etcd(&self, _member: &str) -> Result<ReadBack, Failure> {
        Err(not_here())
    }

    fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    async fn configuration_now(&self) -> Result<Configuration, ClusterError> {
        Ok(self.configuration.clone())
    }

    async fn watch(&self, _through: &Endpoint, _after: Option<u64>, _tell: Tell<'_>) -> Result<(), Failure> {
        Err(not_here())
    }

    async fn acts(&self, _last: Duration) -> Result<Vec<Acted>, Failure> {
        Err(not_here())
    }

    async fn processors(&self) -> Result<Option<Processors>, ClusterError> {
        Ok(None)
    }

    async fn in_backoff(&self) -> Result<Vec<(String, String)>, Failure> {
        Err(not_here())
    }

    async fn health(&self) -> Vec<String> {
        Vec::new()
    }
}
