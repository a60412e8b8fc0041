//! kind's containers as Docker lists them: who they are by kind's labels, and where they answer.

use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use bollard::{
    models::{ContainerSummary, ContainerSummaryStateEnum},
    query_parameters::ListContainersOptionsBuilder,
};

use super::docker::{Docker, failed};
use crate::ClusterError;

/// kind's label with the cluster's name.
const CLUSTER_LABEL: &str = "io.x-k8s.kind.cluster";
/// kind's label with the container's part.
const ROLE_LABEL: &str = "io.x-k8s.kind.role";
/// The port of the API server, and of the load balancer, inside its container.
const API_PORT: u16 = 6443;

/// A container's part in a kind cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// A control-plane node.
    ControlPlane,
    /// A worker.
    Worker,
    /// The load balancer in front of several control planes; no node.
    ExternalLoadBalancer,
}

impl Role {
    /// The value of kind's label.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Role::ControlPlane => "control-plane",
            Role::Worker => "worker",
            Role::ExternalLoadBalancer => "external-load-balancer",
        }
    }

    fn from_label(label: &str) -> Option<Role> {
        [Role::ControlPlane, Role::Worker, Role::ExternalLoadBalancer]
            .into_iter()
            .find(|role| role.label() == label)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// A container of a kind cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Its name, which for a node is also the node's.
    pub name: String,
    /// The cluster that it belongs to.
    pub cluster: String,
    /// Its part.
    pub role: Role,
    /// Its address on kind's network; unspecified (`0.0.0.0`) where it does not run.
    pub address: IpAddr,
    /// The image it was made from.
    pub image: String,
    /// The host's address that leads to its port 6443.
    pub published: Option<SocketAddr>,
    /// It runs; a paused one does too.
    pub running: bool,
    /// Its processes are frozen.
    pub paused: bool,
}

impl Container {
    /// True for nodes, false for the load balancer.
    #[must_use]
    pub fn is_node(&self) -> bool {
        self.role != Role::ExternalLoadBalancer
    }

    /// A node of cluster `c` that runs.
    #[cfg(test)]
    pub(super) fn example(name: &str, role: Role, address: [u8; 4]) -> Container {
        Container {
            name: name.into(),
            cluster: "c".into(),
            role,
            address: address.into(),
            image: String::new(),
            published: None,
            running: true,
            paused: false,
        }
    }

    fn read(summary: ContainerSummary) -> Option<Container> {
        let labels = summary.labels?;
        let state = summary.state;
        let endpoint = summary.network_settings.and_then(|settings| {
            // kind's own network is called `kind` unless KIND_EXPERIMENTAL_DOCKER_NETWORK names another.
            let mut networks = settings.networks.unwrap_or_default();
            networks.remove("kind").or_else(|| networks.into_values().next())
        });
        let address = endpoint.and_then(|endpoint| {
            let parse = |text: Option<String>| text.and_then(|text| text.parse::<IpAddr>().ok());
            parse(endpoint.ip_address).or_else(|| parse(endpoint.global_ipv6_address))
        });
        let published = summary.ports.unwrap_or_default().into_iter().find_map(|port| {
            let host: IpAddr = port.ip?.parse().ok()?;
            (port.private_port == API_PORT).then_some(SocketAddr::new(host, port.public_port?))
        });
        Some(Container {
            name: summary.names?.first()?.trim_start_matches('/').to_owned(),
            cluster: labels.get(CLUSTER_LABEL)?.clone(),
            role: Role::from_label(labels.get(ROLE_LABEL)?)?,
            address: address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            image: summary.image.unwrap_or_default(),
            published,
            running: matches!(
                state,
                Some(ContainerSummaryStateEnum::RUNNING | ContainerSummaryStateEnum::PAUSED)
            ),
            paused: state == Some(ContainerSummaryStateEnum::PAUSED),
        })
    }
}

impl Docker {
    /// The containers of one cluster: control planes first, then workers, then the load balancer, each by number.
    ///
    /// # Errors
    /// Where the engine does not answer. A cluster that does not exist has no containers.
    pub async fn containers(&self, cluster: &str) -> Result<Vec<Container>, ClusterError> {
        self.labelled(format!("{CLUSTER_LABEL}={cluster}")).await
    }

    /// The containers of all kind clusters, in the same order.
    ///
    /// # Errors
    /// Where the engine does not answer.
    pub async fn all_containers(&self) -> Result<Vec<Container>, ClusterError> {
        self.labelled(CLUSTER_LABEL.to_owned()).await
    }

    async fn labelled(&self, label: String) -> Result<Vec<Container>, ClusterError> {
        let filters = HashMap::from([("label".to_owned(), vec![label])]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let listed =
            self.engine.list_containers(Some(options)).await.map_err(failed("list kind's containers"))?;
        let mut containers: Vec<Container> = listed.into_iter().filter_map(Container::read).collect();
        // By length first: kind numbers nodes from the second on, without leading zeros.
        containers.sort_by(|a, b| {
            (&a.cluster, a.role, a.name.len(), &a.name).cmp(&(&b.cluster, b.role, b.name.len(), &b.name))
        });
        Ok(containers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(json: serde_json::Value) -> ContainerSummary {
        serde_json::from_value(json).expect("a container as Docker lists it")
    }

    #[test]
    fn a_node_is_read_from_dockers_list() {
        let node = Container::read(summary(serde_json::json!({
            "Names": ["/play-control-plane"], "Image": "kindest/node:v1.33.1", "State": "running",
            "Labels": {"io.x-k8s.kind.cluster": "play", "io.x-k8s.kind.role": "control-plane"},
            "Ports": [{"IP": "127.0.0.1", "PrivatePort": 6443, "PublicPort": 37435, "Type": "tcp"}],
            "NetworkSettings": {"Networks": {"kind": {"IPAddress": "172.18.0.7", "GlobalIPv6Address": "fc00::7"}}},
        })))
        .expect("it is a node");
        assert_eq!((node.name.as_str(), node.role), ("play-control-plane", Role::ControlPlane));
        assert_eq!(node.address.to_string(), "172.18.0.7");
        assert_eq!(node.published.map(|at| at.to_string()).as_deref(), Some("127.0.0.1:37435"));
        assert!(node.running && !node.paused && node.is_node());
    }

    #[test]
    fn a_stopped_container_has_no_address_and_a_strange_one_is_left_out() {
        let labels = serde_json::json!({"io.x-k8s.kind.cluster": "c", "io.x-k8s.kind.role": "worker"});
        let stopped = Container::read(summary(serde_json::json!({
            "Names": ["/c-worker"], "State": "exited", "Labels": labels,
            "NetworkSettings": {"Networks": {"kind": {"IPAddress": ""}}},
        })))
        .expect("it is a node");
        assert!(stopped.address.is_unspecified() && !stopped.running && !stopped.paused);
        let strange = serde_json::json!({"Names": ["/x"], "Labels": {"io.x-k8s.kind.cluster": "c"}});
        assert_eq!(Container::read(summary(strange)), None);
    }
}
