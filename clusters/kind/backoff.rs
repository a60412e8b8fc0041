//! Which nodes' kubelets would delay the next restart of a container: a killed one starts again at once the
//! first time, then after 10 s, 20 s and so on, until it has run for ten minutes or its kubelet was restarted.
//!
//! A static pod that is taken away and put back keeps its identity, and so its kubelet's memory, while the API
//! forgets how its container ended: such a one is known by its start.

use std::{collections::BTreeMap, time::Duration};

use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use recoup_model::observation::Failure;

use super::{
    api::Call,
    cluster::{KindCluster, PATIENCE},
    manifests::core,
    objects::{List, Pod},
};

/// The static pods and kube-proxy.
const SYSTEM: &str = "/api/v1/namespaces/kube-system/pods";
/// The kubelet forgets a container's back-off after twice the longest one, 2 * 300 s (flowcontrol.Backoff).
const REMEMBERED: Duration = Duration::from_secs(600);
/// The containers of static pods that begin so soon after their kubelet began with it.
const BOOT: SignedDuration = SignedDuration::from_secs(90);
/// How the API shows a static pod.
const MIRROR: &str = "kubernetes.io/config.mirror";
/// Seconds since 1970 at which the kubelet's process began.
const KUBELET_SINCE: &str =
    "date -d \"$(systemctl show --property ExecMainStartTimestamp --value kubelet.service)\" +%s";

impl KindCluster {
    /// Nodes with such a kubelet, each with what ended there.
    pub(super) async fn delayed(&self) -> Result<Vec<(String, String)>, Failure> {
        let now = Timestamp::now();
        let mut found: BTreeMap<String, Vec<Trace>> = BTreeMap::new();
        for path in [SYSTEM, &core("pods")] {
            let pods: List<Pod> = self.api.lb().read(Call::get(path), PATIENCE).await?;
            for pod in pods.items.iter().filter(|pod| !pod.deleting()) {
                let Some(node) = &pod.spec.node_name else { continue };
                found.entry(node.clone()).or_default().extend(traces(pod, now));
            }
        }
        found.retain(|_, traces| !traces.is_empty());
        let looked = found.into_iter().map(|(node, mut traces)| async move {
            // Where that cannot be read, one restart of the kubelet too many does no harm.
            let since = self.docker.shell(&node, KUBELET_SINCE).await.ok();
            let since = since.and_then(|text| Timestamp::from_second(text.trim().parse().ok()?).ok());
            traces.retain(|trace| since.is_none_or(|since| trace.remembered_by(since)));
            (node, traces)
        });
        let delayed = join_all(looked).await.into_iter().filter(|(_, traces)| !traces.is_empty());
        let in_words = delayed.map(|(node, mut traces)| {
            traces.sort();
            let words: Vec<String> = traces.iter().map(|trace| trace.in_words(now)).collect();
            (node, words.join(", "))
        });
        Ok(in_words.collect())
    }
}

/// What tells of a kubelet's memory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Trace {
    at: Timestamp,
    pod: String,
    /// A container began, rather than ended.
    began: bool,
}

impl Trace {
    /// Was it the kubelet that began then? The API's times are cut to seconds, and so is that one.
    fn remembered_by(&self, since: Timestamp) -> bool {
        if self.began { self.at.duration_since(since) > BOOT } else { self.at >= since }
    }

    fn in_words(&self, now: Timestamp) -> String {
        let what = if self.began { "was begun again" } else { "ended" };
        format!("a container of {} {what} {} s ago", self.pod, now.duration_since(self.at).as_secs())
    }
}

/// When a pod's container ended last, or began where the pod is a static one, as far as that is remembered.
fn traces(pod: &Pod, now: Timestamp) -> Option<Trace> {
    let containers = &pod.status.container_statuses;
    let remembered = SignedDuration::try_from(REMEMBERED).unwrap_or(SignedDuration::ZERO);
    let lately = |text: Option<&str>| -> Option<Timestamp> {
        text?.parse().ok().filter(|at: &Timestamp| now.duration_since(*at) < remembered)
    };
    let states = containers.iter().flat_map(|container| [&container.last_state, &container.state]);
    let ended = states.filter_map(|state| lately(state.terminated.as_ref()?.finished_at.as_deref())).max();
    let begun =
        containers.iter().filter_map(|one| lately(one.state.running.as_ref()?.started_at.as_deref())).max();
    let begun = begun.filter(|_| pod.metadata.annotations.contains_key(MIRROR));
    let name = || pod.metadata.name.clone();
    let trace = |at: Option<Timestamp>, began| at.map(|at| Trace { at, pod: name(), began });
    trace(ended, false).or(trace(begun, true))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json};

    use super::*;

    fn at(time: &str) -> Timestamp {
        format!("2026-01-01T{time}Z").parse().unwrap()
    }

    fn pod(annotations: &Value, statuses: &Value) -> Pod {
        let metadata = json!({ "name": "etcd-cp1", "annotations": annotations });
        from_value(json!({ "metadata": metadata, "status": { "containerStatuses": statuses } })).unwrap()
    }

    #[test]
    fn a_container_that_ended_lately_is_found_and_one_of_long_ago_is_not() {
        let now = at("12:00:00");
        let of = |finished: &str| {
            let last = json!({ "terminated": { "finishedAt": finished, "exitCode": 137 } });
            traces(&pod(&json!({}), &json!([{ "state": { "running": {} } }, { "lastState": last }])), now)
        };
        let lately = of("2026-01-01T11:59:00Z").unwrap();
        assert_eq!(lately.in_words(now), "a container of etcd-cp1 ended 60 s ago");
        assert!(lately.remembered_by(at("11:00:00")) && lately.remembered_by(at("11:59:00")));
        assert!(!lately.remembered_by(at("11:59:30")), "a kubelet that began since knows nothing of it");
        assert_eq!(of("2026-01-01T11:49:00Z"), None);
        let crashed = json!([{ "state": { "terminated": { "finishedAt": "2026-01-01T11:59:30Z" } } }]);
        assert!(traces(&pod(&json!({}), &crashed), now).is_some());
        assert_eq!(traces(&pod(&json!({}), &json!([{ "state": { "waiting": {} } }])), now), None);
    }

    #[test]
    fn a_static_pod_that_was_put_back_is_known_by_its_start() {
        let now = at("12:00:00");
        let running = json!([{ "state": { "running": { "startedAt": "2026-01-01T11:58:00Z" } } }]);
        let back = traces(&pod(&json!({ (MIRROR): "x" }), &running), now).unwrap();
        assert!(back.began && back.remembered_by(at("11:30:00")));
        assert!(!back.remembered_by(at("11:57:00")), "it began with its kubelet");
        assert!(!back.remembered_by(at("11:59:00")), "the kubelet has been restarted since");
        assert_eq!(traces(&pod(&json!({}), &running), now), None, "another pod's start says nothing");
    }
}
