//! kind's configuration of a cluster, from a profile. It is written as JSON, which is YAML.

use recoup_model::{configuration::names, topology::NodeRole};
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
    let mut arguments = metered();
    if let Some(election) = election {
        for (flag, span) in [
            (names::flags::LEASE_DURATION, election.lease_duration),
            (names::flags::RENEW_DEADLINE, election.renew_deadline),
            (names::flags::RETRY_PERIOD, election.retry_period),
        ] {
            arguments.insert(flag.to_owned(), json!(span.to_string()));
        }
    }
    json!({
        "kind": "ClusterConfiguration",
        "apiServer": audit::api_server(),
        "controllerManager": {"extraArgs": arguments},
        "scheduler": {"extraArgs": arguments},
    })
}

/// Controller-managers and schedulers listen on their node's address too, and tell their metrics to whoever asks: a
/// reading then needs neither the API server, which would have to check who asks, nor a secret. kubeadm leaves the
/// probes' address to the kubelet where the bind address stands for all.
fn metered() -> Map<String, Value> {
    let flags = [
        ("bind-address", "0.0.0.0"),
        // The default of the flag, and the metrics.
        ("authorization-always-allow-paths", "/healthz,/readyz,/livez,/metrics"),
    ];
    flags.into_iter().map(|(flag, value)| (flag.to_owned(), json!(value))).collect()
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
    fn both_components_tell_their_metrics_outside_of_their_node_and_keep_their_own_election() {
        let patch = patched(None);
        for component in ["controllerManager", "scheduler"] {
            let arguments = patch[component]["extraArgs"].as_object().expect("a map");
            assert!(arguments.values().all(Value::is_string), "kubeadm takes text alone: {arguments:?}");
            assert_eq!(arguments["bind-address"], "0.0.0.0");
            let paths = arguments["authorization-always-allow-paths"].as_str().expect("text");
            assert!(
                ["/healthz", "/readyz", "/livez", "/metrics"]
                    .iter()
                    .all(|path| paths.split(',').any(|p| p == *path))
            );
            assert!(!arguments.keys().any(|flag| flag.starts_with("leader-elect")), "kubernetes' own");
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
            let arguments = &patch[component]["extraArgs"];
            let elected = ["lease-duration", "renew-deadline", "retry-period"]
                .map(|flag| arguments[format!("leader-elect-{flag}")].as_str());
            assert_eq!(elected, [Some("5s"), Some("3500ms"), Some("1m")]);
        }
    }
}
