//! kind's configuration of a cluster, from a profile. It is written as JSON, which is YAML.

use recoup_model::topology::NodeRole;
use serde_json::{Map, Value, json};

use super::audit;
use crate::{LeaderElection, Profile};

/// The node label that says which profile a node was made from.
pub const PROFILE_LABEL: &str = "recoup.dev/profile";

/// The text for `kind create cluster --config`.
#[must_use]
pub fn render(profile: &Profile) -> String {
    let nodes: Vec<Value> = profile
        .nodes
        .iter()
        .map(|node| {
            let mut labels = Map::from_iter([(PROFILE_LABEL.to_owned(), json!(profile.name))]);
            if let Some(zone) = &node.zone {
                labels.insert("topology.kubernetes.io/zone".to_owned(), json!(zone));
            }
            let role = match node.role {
                NodeRole::ControlPlane => "control-plane",
                NodeRole::Worker => "worker",
            };
            json!({"role": role, "labels": labels})
        })
        .collect();
    let mut config = json!({"kind": "Cluster", "apiVersion": "kind.x-k8s.io/v1alpha4", "nodes": nodes});
    config["kubeadmConfigPatches"] = json!([patch(profile.leader_election.as_ref()).to_string()]);
    format!("{config:#}\n")
}

/// A patch of kubeadm's ClusterConfiguration.
///
/// Without a version: kind up to 0.31 merges it into v1beta3 (v1beta2 for Kubernetes up to 1.22), where
/// extraArgs is a map; kind from 0.32 on, which writes v1beta4 for Kubernetes 1.36 and newer,
/// turns the map of an unversioned patch into v1beta4's list. A versioned one would fit only some of them.
fn patch(election: Option<&LeaderElection>) -> Value {
    let mut patch = json!({"kind": "ClusterConfiguration", "apiServer": audit::api_server()});
    let Some(election) = election else { return patch };
    let arguments = json!({
        "leader-elect-lease-duration": election.lease_duration.to_string(),
        "leader-elect-renew-deadline": election.renew_deadline.to_string(),
        "leader-elect-retry-period": election.retry_period.to_string(),
    });
    patch["controllerManager"] = json!({"extraArgs": arguments});
    patch["scheduler"] = json!({"extraArgs": arguments});
    patch
}

#[cfg(test)]
mod tests {
    use recoup_model::time::Span;

    use super::*;
    use crate::ProfileNode;

    fn profile(leader_election: Option<LeaderElection>) -> Profile {
        Profile {
            name: "test".into(),
            description: String::new(),
            nodes: vec![
                ProfileNode { role: NodeRole::ControlPlane, zone: Some("zone-a".into()) },
                ProfileNode { role: NodeRole::Worker, zone: None },
            ],
            leader_election,
        }
    }

    #[test]
    fn nodes_bear_role_profile_and_zone() {
        let config: Value = serde_json::from_str(&render(&profile(None))).expect("JSON");
        assert_eq!(config["nodes"][0]["role"], "control-plane");
        assert_eq!(config["nodes"][0]["labels"]["topology.kubernetes.io/zone"], "zone-a");
        assert_eq!(config["nodes"][1]["labels"], json!({PROFILE_LABEL: "test"}));
        let patch = patched(None);
        assert_eq!((patch.get("scheduler"), patch.get("controllerManager")), (None, None), "kubernetes' own");
    }

    fn patched(election: Option<LeaderElection>) -> Value {
        let config: Value = serde_json::from_str(&render(&profile(election))).expect("JSON");
        serde_json::from_str(config["kubeadmConfigPatches"][0].as_str().expect("text")).expect("JSON")
    }

    #[test]
    fn api_servers_log_what_components_write_and_see_the_files_that_they_need() {
        let server = patched(None)["apiServer"].take();
        let arguments = server["extraArgs"].as_object().expect("a map");
        assert!(arguments.values().all(Value::is_string), "kubeadm takes text alone: {arguments:?}");
        let volumes = server["extraVolumes"].as_array().expect("a list");
        for file in ["audit-policy-file", "audit-log-path"] {
            let file = arguments[file].as_str().expect("text");
            let seen = |volume: &Value| file.starts_with(volume["mountPath"].as_str().expect("text"));
            assert_eq!(volumes.iter().filter(|volume| seen(volume)).count(), 1, "{file}: {volumes:?}");
        }
    }

    #[test]
    fn leader_election_reaches_both_components_in_units_that_go_reads() {
        let election = LeaderElection {
            lease_duration: Span::seconds(5),
            renew_deadline: Span::millis(3500),
            retry_period: Span::seconds(60),
        };
        let patch = patched(Some(election));
        assert_eq!(patch.get("apiVersion"), None, "versioned patches fit only some of kind's releases");
        for component in ["controllerManager", "scheduler"] {
            assert_eq!(
                patch[component]["extraArgs"],
                json!({
                    "leader-elect-lease-duration": "5s",
                    "leader-elect-renew-deadline": "3500ms",
                    "leader-elect-retry-period": "1m",
                })
            );
        }
    }
}
