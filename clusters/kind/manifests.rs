//! What recoup puts into a cluster, in fields that Kubernetes 1.20 and 1.37 alike understand.

use recoup_model::spec::WorkloadSpec;
use serde_json::{Value, json};

use super::image_tar::PATH;

/// Everything lies in this namespace.
pub(super) const NAMESPACE: &str = "recoup";
/// The workload's Deployment, Service and `app` label.
pub(super) const WORKLOAD: &str = "workload";
/// The Service that is made anew before every experiment, and leads to the workload as its own does.
pub(super) const RENEWED: &str = "renewed";
/// The Deployment that convergence probes scale.
pub(super) const CONVERGE: &str = "converge";
/// The probers' DaemonSet.
pub(super) const VANTAGE: &str = "vantage";
/// The `app` label of the pods that scheduling probes create.
pub(super) const SCHEDULE: &str = "schedule";
/// The ConfigMap that reads ask for.
pub(super) const PROBE: &str = "probe";
/// The workload's port.
pub(super) const PORT: u16 = 8080;

/// The program has no handler for SIGTERM, which a container's first process then ignores.
const GRACE: u32 = 1;

/// An object to apply: its path, and itself.
pub(super) struct Manifest {
    pub path: String,
    pub object: Value,
}

/// The path of a collection in recoup's namespace.
pub(super) fn core(collection: &str) -> String {
    format!("/api/v1/namespaces/{NAMESPACE}/{collection}")
}

/// The path of a collection of `apps/v1` in recoup's namespace.
pub(super) fn apps(collection: &str) -> String {
    format!("/apis/apps/v1/namespaces/{NAMESPACE}/{collection}")
}

fn metadata(name: &str) -> Value {
    json!({ "name": name, "labels": { "app.kubernetes.io/managed-by": "recoup" } })
}

/// The namespace, which must be there first.
pub(super) fn namespace() -> Manifest {
    let object = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": metadata(NAMESPACE) });
    Manifest { path: format!("/api/v1/namespaces/{NAMESPACE}"), object }
}

/// Everything else.
pub(super) fn all(image: &str, workload: &WorkloadSpec, workers: bool) -> Vec<Manifest> {
    let probe = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(PROBE), "data": { "read": "me" },
    });
    vec![
        Manifest { path: format!("{}/{PROBE}", core("configmaps")), object: probe },
        service(WORKLOAD),
        Manifest { path: format!("{}/{VANTAGE}", apps("daemonsets")), object: vantage(image) },
        Manifest {
            path: format!("{}/{WORKLOAD}", apps("deployments")),
            object: deployment(WORKLOAD, image, workload, workers),
        },
        Manifest {
            path: format!("{}/{CONVERGE}", apps("deployments")),
            object: deployment(
                CONVERGE,
                image,
                &WorkloadSpec { replicas: 0, toleration_seconds: None },
                workers,
            ),
        },
    ]
}

/// A Service of that name that leads to the workload.
pub(super) fn service(name: &str) -> Manifest {
    let object = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": metadata(name),
        "spec": {
            "selector": { "app": WORKLOAD },
            "ports": [{ "name": "http", "port": PORT, "targetPort": PORT, "protocol": "TCP" }],
        },
    });
    Manifest { path: format!("{}/{name}", core("services")), object }
}

/// One prober per node, in the node's own network, whatever befalls the node.
fn vantage(image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": metadata(VANTAGE),
        "spec": {
            "selector": { "matchLabels": { "app": VANTAGE } },
            "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": "100%" } },
            "template": {
                "metadata": { "labels": { "app": VANTAGE } },
                "spec": {
                    "hostNetwork": true,
                    "dnsPolicy": "Default",
                    "automountServiceAccountToken": false,
                    "enableServiceLinks": false,
                    "terminationGracePeriodSeconds": GRACE,
                    "tolerations": [{ "operator": "Exists" }],
                    "containers": [container("vantage", VANTAGE, image)],
                },
            },
        },
    })
}

fn deployment(name: &str, image: &str, workload: &WorkloadSpec, workers: bool) -> Value {
    let mut pod = pod_spec(name, image, workers);
    if let Some(seconds) = workload.toleration_seconds {
        let tolerations = ["not-ready", "unreachable"].map(|condition| {
            json!({
                "key": format!("node.kubernetes.io/{condition}"), "operator": "Exists", "effect": "NoExecute",
                "tolerationSeconds": seconds,
            })
        });
        extend(&mut pod["tolerations"], &tolerations);
    }
    if name == WORKLOAD {
        pod["containers"][0]["readinessProbe"] =
            json!({ "httpGet": { "path": "/", "port": PORT }, "periodSeconds": 1 });
        // Preferred, not required: a replacement must find a place on the remaining worker.
        pod["affinity"]["podAntiAffinity"] = json!({
            "preferredDuringSchedulingIgnoredDuringExecution": [{
                "weight": 100,
                "podAffinityTerm": {
                    "topologyKey": "kubernetes.io/hostname",
                    "labelSelector": { "matchLabels": { "app": name } },
                },
            }],
        });
    }
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata(name),
        "spec": {
            "replicas": workload.replicas,
            "revisionHistoryLimit": 1,
            "selector": { "matchLabels": { "app": name } },
            // Old pods first, all at once: quick between experiments, and no old pod disturbs the spreading.
            "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxSurge": 0, "maxUnavailable": "100%" } },
            "template": { "metadata": { "labels": { "app": name } }, "spec": pod },
        },
    })
}

/// A bare pod for a scheduler to place.
pub(super) fn schedule_pod(name: &str, image: &str, workers: bool) -> Value {
    let mut metadata = metadata(name);
    metadata["labels"]["app"] = json!(SCHEDULE);
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod_spec(SCHEDULE, image, workers),
    })
}

/// A pod that serves; kept off control planes where there are workers.
fn pod_spec(app: &str, image: &str, workers: bool) -> Value {
    let roles = ["node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"];
    let mut spec = json!({
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "terminationGracePeriodSeconds": GRACE,
        "tolerations": [],
        "containers": [container("serve", app, image)],
    });
    if workers {
        let expressions = roles.map(|role| json!({ "key": role, "operator": "DoesNotExist" }));
        spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] =
            json!({ "nodeSelectorTerms": [{ "matchExpressions": expressions }] });
    } else {
        extend(&mut spec["tolerations"], &roles.map(|role| json!({ "key": role, "operator": "Exists" })));
    }
    spec
}

fn container(mode: &str, app: &str, image: &str) -> Value {
    let field =
        |name: &str, path: &str| json!({ "name": name, "valueFrom": { "fieldRef": { "fieldPath": path } } });
    json!({
        "name": app,
        "image": image,
        "imagePullPolicy": "Never",
        "command": [PATH, mode],
        "env": [
            { "name": "APP", "value": app },
            field("POD_NAME", "metadata.name"),
            field("NODE_NAME", "spec.nodeName"),
            field("HOST_IP", "status.hostIP"),
        ],
    })
}

fn extend(list: &mut Value, with: &[Value]) {
    if let Some(list) = list.as_array_mut() {
        list.extend_from_slice(with);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workload(seconds: Option<u32>, workers: bool) -> Value {
        let spec = WorkloadSpec { replicas: 3, toleration_seconds: seconds };
        let found =
            all("image", &spec, workers).into_iter().find(|m| m.path.ends_with("deployments/workload"));
        found.unwrap().object
    }

    #[test]
    fn tolerations_are_the_suites_or_left_to_kubernetes() {
        let tolerations = |object: Value| object["spec"]["template"]["spec"]["tolerations"].clone();
        assert_eq!(tolerations(workload(None, true)), json!([]));
        let short = tolerations(workload(Some(5), true));
        let keys = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];
        for (toleration, key) in short.as_array().unwrap().iter().zip(keys) {
            assert_eq!((&toleration["key"], &toleration["tolerationSeconds"]), (&json!(key), &json!(5)));
        }
        assert_eq!(short.as_array().unwrap().len(), 2);
    }

    #[test]
    fn the_workload_stays_off_control_planes_where_there_are_workers() {
        let affinity =
            |workers| workload(None, workers)["spec"]["template"]["spec"]["affinity"]["nodeAffinity"].clone();
        assert!(affinity(true).is_object());
        assert!(affinity(false).is_null());
        assert_eq!(workload(None, true)["spec"]["replicas"], 3);
    }

    #[test]
    fn no_image_is_ever_pulled() {
        let text = all("image", &WorkloadSpec::default(), true)
            .iter()
            .map(|m| m.object.to_string())
            .collect::<String>();
        assert_eq!(text.matches("\"imagePullPolicy\":\"Never\"").count(), text.matches("\"image\":").count());
    }
}
