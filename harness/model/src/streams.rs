//! Which probes an experiment runs against a given cluster.

use crate::{
    action::StaticPod,
    observation::{Conn, Endpoint, Freshness, HealthPort, Observation, Route},
    plan::{Plan, Stream},
    spec::ProbeSpecs,
    topology::{Fingerprint, Node, NodeRole},
};

/// The Leases that the `leases` probe reads.
pub const LEASES: [&str; 2] = ["kube-controller-manager", "kube-scheduler"];

/// The components whose metrics are read.
pub const METERED: [StaticPod; 4] =
    [StaticPod::Etcd, StaticPod::KubeApiserver, StaticPod::KubeControllerManager, StaticPod::KubeScheduler];

/// Every stream of an experiment's probes on a cluster of those nodes.
///
/// `unrouted` are workers whose route to the Service is known not to work before anything is broken.
#[must_use]
pub fn streams(probes: &ProbeSpecs, fingerprint: &Fingerprint, unrouted: &[String]) -> Vec<Stream> {
    of_nodes(probes, &fingerprint.nodes, unrouted)
}

pub(crate) fn of_nodes(probes: &ProbeSpecs, nodes: &[Node], unrouted: &[String]) -> Vec<Stream> {
    let names = |role: NodeRole| nodes.iter().filter(move |n| n.role == role).map(|n| n.name.clone());
    let control_planes: Vec<String> = names(NodeRole::ControlPlane).collect();
    let workers: Vec<String> = names(NodeRole::Worker).collect();
    let endpoints: Vec<Endpoint> =
        std::iter::once(Endpoint::Lb).chain(control_planes.iter().cloned().map(Endpoint::Node)).collect();
    let mut all = Vec::new();

    if let Some(rate) = probes.api() {
        for via in &endpoints {
            let read = |from| Observation::ApiRead { via: via.clone(), conn: Conn::Reused, from };
            all.push(Stream::new(read(Freshness::Linearizable), rate));
            all.push(Stream::new(read(Freshness::Cache), rate));
            all.push(Stream::new(Observation::ApiWrite { via: via.clone(), conn: Conn::Reused }, rate));
        }
    }
    if let Some(rate) = probes.new_connections() {
        for via in &endpoints {
            let from = Freshness::Linearizable;
            all.push(Stream::new(Observation::ApiRead { via: via.clone(), conn: Conn::New, from }, rate));
        }
    }
    if let Some(rate) = probes.etcd() {
        for member in &control_planes {
            all.push(Stream::new(Observation::EtcdStatus { member: member.clone() }, rate));
            all.push(Stream::new(Observation::EtcdPut { member: member.clone() }, rate));
        }
    }
    if let Some(rate) = probes.leases() {
        all.extend(LEASES.map(|name| Stream::new(Observation::Lease { name: name.into() }, rate)));
    }
    if let Some(rate) = probes.nodes() {
        all.push(Stream::new(Observation::Nodes, rate));
        all.push(Stream::new(Observation::Pods, rate));
    }
    if let Some(rate) = probes.node_leases() {
        let leases = nodes.iter().map(|node| Observation::NodeLease { node: node.name.clone() });
        all.extend(leases.map(|lease| Stream::new(lease, rate)));
    }
    if let Some(rate) = probes.workload() {
        for from in &workers {
            all.push(Stream::new(Observation::Workload { from: from.clone(), to: Route::Pod }, rate));
            if !unrouted.contains(from) {
                all.push(Stream::new(Observation::Workload { from: from.clone(), to: Route::Service }, rate));
            }
        }
    }
    if let Some(rate) = probes.health() {
        for node in &workers {
            for component in [HealthPort::Kubelet, HealthPort::KubeProxy] {
                all.push(Stream::new(Observation::Health { node: node.clone(), component }, rate));
            }
        }
    }
    if let Some(rate) = probes.metrics() {
        for node in &control_planes {
            let of = |component| Observation::Metrics { component, node: node.clone() };
            all.extend(METERED.map(|component| Stream::new(of(component), rate)));
        }
    }
    all.extend(probes.convergence().map(|rate| Stream::new(Observation::Converge, rate)));
    all.extend(probes.scheduling().map(|rate| Stream::new(Observation::Schedule, rate)));
    all
}

impl Plan {
    /// This plan with its streams on a cluster.
    #[must_use]
    pub fn resolved(&self, fingerprint: &Fingerprint, unrouted: &[String]) -> Plan {
        Plan { streams: streams(&self.probes, fingerprint, unrouted), ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::RateSpec;

    fn node(name: &str, role: NodeRole) -> Node {
        Node { name: name.into(), role, zone: None, address: [10, 0, 0, 1].into() }
    }

    fn names(probes: &ProbeSpecs, unrouted: &[String]) -> Vec<String> {
        let nodes =
            [node("cp1", NodeRole::ControlPlane), node("w1", NodeRole::Worker), node("w2", NodeRole::Worker)];
        of_nodes(probes, &nodes, unrouted).into_iter().map(|s| s.name).collect()
    }

    #[test]
    fn every_point_of_view_is_there_once() {
        let mut all = names(&ProbeSpecs::default(), &[]);
        assert!(all.contains(&"api/write/lb/reused".into()) && all.contains(&"api/read/cp1/new".into()));
        assert!(all.contains(&"nodelease/cp1".into()) && all.contains(&"nodelease/w2".into()));
        assert!(!all.contains(&"converge".into()), "off by default");
        let count = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), count, "a name is given twice");
    }

    #[test]
    fn an_unrouted_node_keeps_its_pod_and_loses_its_service() {
        let all = names(&ProbeSpecs::default(), &["w1".into()]);
        assert!(all.contains(&"workload/pod/w1".into()) && !all.contains(&"workload/service/w1".into()));
        assert!(all.contains(&"workload/service/w2".into()));
    }

    #[test]
    fn what_is_off_is_left_out() {
        let off = RateSpec { enabled: Some(false), ..RateSpec::default() };
        let probes = ProbeSpecs { etcd: off, api: off, ..ProbeSpecs::default() };
        let all = names(&probes, &[]);
        assert!(!all.iter().any(|name| name.starts_with("etcd/") || name.ends_with("/reused")));
        assert!(all.contains(&"api/read/lb/new".into()));
    }
}
