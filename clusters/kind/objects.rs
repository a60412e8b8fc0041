//! The few fields of Kubernetes' objects that are looked at: lists come twice a second and are large.

use std::collections::BTreeMap;

use recoup_model::observation::{NodeState, PodState};
use serde::Deserialize;

#[derive(Deserialize)]
pub(super) struct List<T> {
    pub items: Vec<T>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Meta {
    pub name: String,
    #[serde(default)]
    pub generation: i64,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    pub deletion_timestamp: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Condition {
    #[serde(rename = "type")]
    pub kind: String,
    pub status: String,
}

fn condition<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a str> {
    conditions.iter().find(|condition| condition.kind == kind).map(|condition| condition.status.as_str())
}

#[derive(Deserialize)]
pub(super) struct Node {
    pub metadata: Meta,
    #[serde(default)]
    pub spec: NodeSpec,
    #[serde(default)]
    pub status: NodeStatus,
}

#[derive(Default, Deserialize)]
pub(super) struct NodeSpec {
    #[serde(default)]
    pub taints: Vec<Taint>,
}

#[derive(Deserialize)]
pub(super) struct Taint {
    pub key: String,
    pub effect: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NodeStatus {
    #[serde(default)]
    pub conditions: Vec<Condition>,
    #[serde(default)]
    pub node_info: NodeInfo,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NodeInfo {
    #[serde(default)]
    pub container_runtime_version: String,
}

impl From<Node> for NodeState {
    fn from(node: Node) -> NodeState {
        let mut taints: Vec<String> =
            node.spec.taints.iter().map(|taint| format!("{}:{}", taint.key, taint.effect)).collect();
        taints.sort();
        let ready = condition(&node.status.conditions, "Ready").unwrap_or("Unknown").to_owned();
        NodeState { name: node.metadata.name, ready, taints }
    }
}

#[derive(Deserialize)]
pub(super) struct Pod {
    pub metadata: Meta,
    #[serde(default)]
    pub spec: PodSpec,
    #[serde(default)]
    pub status: PodStatus,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PodSpec {
    pub node_name: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PodStatus {
    #[serde(default)]
    pub phase: String,
    #[serde(rename = "podIP")]
    pub pod_ip: Option<String>,
    #[serde(default)]
    pub conditions: Vec<Condition>,
    #[serde(default)]
    pub container_statuses: Vec<ContainerStatus>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ContainerStatus {
    #[serde(default)]
    pub restart_count: u32,
    #[serde(default)]
    pub state: ContainerState,
    /// How the container before this one ended.
    #[serde(default)]
    pub last_state: ContainerState,
}

#[derive(Default, Deserialize)]
pub(super) struct ContainerState {
    pub running: Option<Running>,
    pub terminated: Option<Terminated>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Running {
    pub started_at: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Terminated {
    pub finished_at: Option<String>,
}

impl Pod {
    /// Marked for deletion.
    pub fn deleting(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    /// All of its containers run, as its kubelet says. Sooner than `ready` after a kubelet's restart: that
    /// waits for the next round of the startup probe.
    pub fn runs(&self) -> bool {
        let containers = &self.status.container_statuses;
        !containers.is_empty() && containers.iter().all(|container| container.state.running.is_some())
    }

    /// None of its containers runs, as its kubelet says. (1.20 calls those of a pod that it has ended
    /// `terminated`, or `waiting` once their sandbox is gone.)
    pub fn idle(&self) -> bool {
        let containers = &self.status.container_statuses;
        !containers.is_empty() && containers.iter().all(|container| container.state.running.is_none())
    }
}

impl From<Pod> for PodState {
    fn from(pod: Pod) -> PodState {
        PodState {
            name: pod.metadata.name,
            node: pod.spec.node_name,
            ip: pod.status.pod_ip.filter(|ip| !ip.is_empty()),
            ready: condition(&pod.status.conditions, "Ready") == Some("True"),
            deleting: pod.metadata.deletion_timestamp.is_some(),
            restarts: pod.status.container_statuses.iter().map(|container| container.restart_count).sum(),
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Lease {
    pub spec: LeaseSpec,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LeaseSpec {
    /// None or empty after a holder has released it.
    pub holder_identity: Option<String>,
    pub renew_time: Option<String>,
    pub lease_duration_seconds: Option<u64>,
}

#[derive(Deserialize)]
pub(super) struct ConfigMap {
    pub metadata: Meta,
    #[serde(default)]
    pub data: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Service {
    pub spec: ServiceSpec,
}

#[derive(Deserialize)]
pub(super) struct ServiceSpec {
    #[serde(rename = "clusterIP")]
    pub cluster_ip: String,
}

/// Where a Service leads, as its controllers have told.
#[derive(Deserialize)]
pub(super) struct Endpoints {
    #[serde(default)]
    subsets: Vec<Subset>,
}

#[derive(Deserialize)]
struct Subset {
    #[serde(default)]
    addresses: Vec<EndpointAddress>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EndpointAddress {
    target_ref: Option<TargetRef>,
}

#[derive(Deserialize)]
struct TargetRef {
    name: String,
}

impl Endpoints {
    /// Names of the ready pods.
    pub fn ready(self) -> impl Iterator<Item = String> {
        let addresses = self.subsets.into_iter().flat_map(|subset| subset.addresses);
        addresses.filter_map(|address| Some(address.target_ref?.name))
    }
}

#[derive(Deserialize)]
pub(super) struct Deployment {
    pub metadata: Meta,
    #[serde(default)]
    pub status: DeploymentStatus,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct DeploymentStatus {
    pub observed_generation: i64,
    pub replicas: u32,
    pub updated_replicas: u32,
    pub ready_replicas: u32,
    pub available_replicas: u32,
}

impl Deployment {
    /// Its controller has seen generation `at_least`, and `replicas` pods of the newest template serve, no others.
    pub fn settled(&self, at_least: i64, replicas: u32) -> bool {
        let status = &self.status;
        self.metadata.generation >= at_least
            && status.observed_generation >= self.metadata.generation
            && [status.replicas, status.updated_replicas, status.ready_replicas, status.available_replicas]
                == [replicas; 4]
    }
}

#[derive(Deserialize)]
pub(super) struct DaemonSet {
    pub metadata: Meta,
    #[serde(default)]
    pub status: DaemonSetStatus,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct DaemonSetStatus {
    pub observed_generation: i64,
    pub desired_number_scheduled: u32,
    pub updated_number_scheduled: u32,
    pub number_ready: u32,
}

impl DaemonSet {
    /// One ready pod of the newest template on each of `nodes` nodes.
    pub fn settled(&self, nodes: usize) -> bool {
        let status = &self.status;
        status.observed_generation >= self.metadata.generation
            && [status.desired_number_scheduled, status.updated_number_scheduled, status.number_ready]
                .iter()
                .all(|&count| usize::try_from(count) == Ok(nodes))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json};

    use super::*;

    #[test]
    fn a_node_shows_its_ready_condition_and_taints() {
        let node: Node = from_value(json!({
            "metadata": { "name": "n", "uid": "x" },
            "spec": { "taints": [{ "key": "b", "effect": "NoExecute", "timeAdded": "t" }, { "key": "a", "effect": "NoSchedule" }] },
            "status": { "conditions": [{ "type": "DiskPressure", "status": "False" }, { "type": "Ready", "status": "Unknown" }] },
        }))
        .unwrap();
        let state = NodeState::from(node);
        assert_eq!(
            (state.ready.as_str(), state.taints.join(",")),
            ("Unknown", "a:NoSchedule,b:NoExecute".into())
        );
    }

    #[test]
    fn a_pod_that_has_just_been_made_is_read() {
        let pod: Pod =
            from_value(json!({ "metadata": { "name": "p" }, "spec": {}, "status": { "phase": "Pending" } }))
                .unwrap();
        let state = PodState::from(pod);
        assert_eq!(
            (state.node, state.ip, state.ready, state.deleting, state.restarts),
            (None, None, false, false, 0)
        );
    }

    #[test]
    fn a_pod_is_idle_when_none_of_its_containers_runs() {
        let pod = |statuses: Value| -> Pod {
            from_value(json!({ "metadata": { "name": "p" }, "status": { "containerStatuses": statuses } }))
                .unwrap()
        };
        let state = |name: &str| json!({ "state": { (name): {} } });
        assert!(pod(json!([state("terminated"), state("waiting")])).idle());
        assert!(!pod(json!([state("terminated"), state("running")])).idle());
        assert!(!pod(json!([state("terminated"), state("running")])).runs());
        assert!(!pod(json!([])).idle(), "nothing is known of it yet");
    }

    #[test]
    fn a_deployment_is_settled_only_when_its_controller_has_seen_the_change() {
        let deployment = |generation: i64, status: Value| -> Deployment {
            from_value(json!({ "metadata": { "name": "d", "generation": generation }, "status": status }))
                .unwrap()
        };
        let one = json!({ "observedGeneration": 2, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1 });
        assert!(deployment(2, one.clone()).settled(2, 1));
        assert!(!deployment(3, one.clone()).settled(3, 1), "the controller has not seen generation 3");
        assert!(!deployment(2, one.clone()).settled(3, 1), "a stale read from another API server");
        assert!(!deployment(2, one).settled(2, 0));
        assert!(deployment(4, json!({ "observedGeneration": 4 })).settled(4, 0), "zero counts are left out");
    }
}
