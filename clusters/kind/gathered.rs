//! One configuration from what was read of every node: instances that differ are covered and told.

use std::time::Duration;

use recoup_model::configuration::{Balancer, Configuration, Election, Release, Setting, names};

use super::settings::{Flags, Parts, go};

/// A node, and what was read of it or why nothing was.
pub(super) struct NodeParts {
    pub(super) name: String,
    pub(super) control_plane: bool,
    pub(super) parts: Result<Parts, String>,
}

/// Everything that was read.
pub(super) struct Gathered {
    pub(super) nodes: Vec<NodeParts>,
    /// kube-proxy's `minSyncPeriod`.
    pub(super) proxy: Result<Option<Duration>, String>,
    /// None where the cluster has no load balancer.
    pub(super) balancer: Option<Result<Balancer, String>>,
}

/// One setting as one node has it.
struct Seen {
    node: String,
    setting: Setting,
}

/// Settings of one kind from all nodes, put together.
fn together(name: &str, seen: &[Seen], doubts: &mut Vec<String>) -> Option<Setting> {
    let first = seen.first()?.setting.clone();
    if seen.iter().all(|one| one.setting.value == first.value) {
        return Some(first);
    }
    let values: Vec<String> =
        seen.iter().map(|one| format!("{} on {}", one.setting.value, one.node)).collect();
    doubts.push(format!("{name} differs between instances: {}", values.join(", ")));
    Some(seen.iter().skip(1).fold(first, |all, one| all.and(&one.setting)))
}

impl Gathered {
    /// The configuration of the whole cluster.
    pub(super) fn configuration(self, minor: u32) -> Configuration {
        let planes = self.nodes.iter().filter(|node| node.control_plane).count();
        let mut config = Configuration::documented(minor, u32::try_from(planes).unwrap_or(u32::MAX));
        let mut doubts = Vec::new();
        let mut read: Vec<(&str, bool, &Parts)> = Vec::new();
        for node in &self.nodes {
            match &node.parts {
                Ok(parts) => read.push((&node.name, node.control_plane, parts)),
                Err(why) => doubts.push(format!(
                    "the settings of {} could not be read, documented defaults stand in: {why}",
                    node.name
                )),
            }
        }
        etcd(&read, &mut config, &mut doubts);
        manager(&read, &mut config, &mut doubts);
        tolerations(&read, &mut config, &mut doubts);
        for lease in ["kube-controller-manager", "kube-scheduler"] {
            elections(lease, &read, &mut config, &mut doubts);
        }
        kubelets(&read, &mut config, &mut doubts);
        match self.proxy {
            Ok(Some(period)) => {
                let setting = Setting::new(period, "minSyncPeriod of kube-proxy's ConfigMap");
                config.settings.insert(names::PROXY_SYNC.into(), setting);
            }
            Ok(None) => {}
            Err(why) => doubts.push(format!("kube-proxy's configuration could not be read: {why}")),
        }
        config.balancer = match self.balancer {
            None => None,
            Some(Ok(balancer)) => Some(balancer),
            Some(Err(why)) => {
                doubts.push(format!(
                    "the load balancer's configuration could not be read, HAProxy's defaults stand in: {why}"
                ));
                Some(Balancer::haproxy())
            }
        };
        config.doubts = doubts;
        config
    }
}

/// A static pod's flags on every control plane; what cannot be read is a doubt.
fn flags(pod: &str, read: &[(&str, bool, &Parts)], doubts: &mut Vec<String>) -> Vec<(String, Flags)> {
    let planes = read.iter().filter(|(_, control_plane, _)| *control_plane);
    planes
        .filter_map(|(node, _, parts)| match parts.pod_flags(pod) {
            Ok(flags) => Some(((*node).to_owned(), flags)),
            Err(why) => {
                doubts.push(format!(
                    "flags of {pod} on {node} could not be read, documented defaults stand in: {why}"
                ));
                None
            }
        })
        .collect()
}

/// One flag of every instance; where it is not set, the documented value.
fn of_flag(
    (pod, flag): (&str, &str),
    instances: &[(String, Flags)],
    documented: &Setting,
    value: impl Fn(&str) -> Option<Duration>,
    doubts: &mut Vec<String>,
) -> Option<Setting> {
    let seen: Vec<Seen> = instances
        .iter()
        .map(|(node, flags)| {
            let setting = match flags.get(flag).map(|text| (text, value(text))) {
                Some((_, Some(value))) => Setting::new(value, format!("--{flag} of {pod}")),
                Some((text, None)) => {
                    doubts.push(format!("--{flag}={text} of {pod} on {node} is not understood"));
                    documented.clone()
                }
                None => documented.clone(),
            };
            Seen { node: node.clone(), setting }
        })
        .collect();
    together(&format!("--{flag} of {pod}"), &seen, doubts)
}

fn etcd(read: &[(&str, bool, &Parts)], config: &mut Configuration, doubts: &mut Vec<String>) {
    let instances = flags("etcd", read, doubts);
    // In milliseconds, without a unit.
    let millis = |text: &str| text.parse().ok().map(Duration::from_millis);
    for (name, flag) in [
        (names::ETCD_HEARTBEAT, names::flags::ETCD_HEARTBEAT),
        (names::ETCD_ELECTION, names::flags::ETCD_ELECTION),
    ] {
        let documented = config.setting(name);
        let found = of_flag(("etcd", flag), &instances, &documented, millis, doubts);
        config.settings.extend(found.map(|setting| (name.to_owned(), setting)));
    }
}

fn manager(read: &[(&str, bool, &Parts)], config: &mut Configuration, doubts: &mut Vec<String>) {
    const POD: &str = "kube-controller-manager";
    let instances = flags(POD, read, doubts);
    for (name, flag) in
        [(names::NODE_GRACE, names::flags::NODE_GRACE), (names::NODE_MONITOR, names::flags::NODE_MONITOR)]
    {
        let documented = config.setting(name);
        let found = of_flag((POD, flag), &instances, &documented, go, doubts);
        config.settings.extend(found.map(|setting| (name.to_owned(), setting)));
    }
}

/// What the API server's admission gives pods: the one for unreachable nodes and the one for those not ready.
fn tolerations(read: &[(&str, bool, &Parts)], config: &mut Configuration, doubts: &mut Vec<String>) {
    const POD: &str = "kube-apiserver";
    let instances = flags(POD, read, doubts);
    let seconds = |text: &str| text.parse().ok().map(Duration::from_secs);
    let documented = config.setting(names::TOLERATION);
    let both = ["default-unreachable-toleration-seconds", "default-not-ready-toleration-seconds"];
    let mut found =
        both.iter().filter_map(|flag| of_flag((POD, flag), &instances, &documented, seconds, doubts));
    if let Some(first) = found.next() {
        let setting = found.fold(first, |all, one| all.and(&one));
        config.settings.insert(names::TOLERATION.into(), setting);
    }
}

fn elections(
    lease: &str,
    read: &[(&str, bool, &Parts)],
    config: &mut Configuration,
    doubts: &mut Vec<String>,
) {
    // Its doubts about the manifest have been told by then, where it is the controller-manager's.
    let mut told = Vec::new();
    let instances = flags(lease, read, &mut told);
    doubts.extend(told.into_iter().filter(|doubt| !doubts.contains(doubt)).collect::<Vec<_>>());
    let documented = Election::documented(lease, config.minor);
    let mut times: [Vec<Seen>; 3] = Default::default();
    let mut releases = Vec::new();
    for (node, flags) in &instances {
        let parts = read.iter().find(|(name, ..)| name == node).map(|(_, _, parts)| *parts);
        let file = parts.filter(|_| lease == "kube-scheduler").and_then(Parts::scheduler);
        let file = match file {
            Some(Ok(file)) => Some(file),
            Some(Err(why)) => {
                doubts.push(format!("the configuration file of {lease} on {node} could not be read: {why}"));
                None
            }
            None if flags.get("config").is_some() => {
                doubts.push(format!("the configuration file of {lease} on {node} is not there"));
                None
            }
            None => None,
        };
        if flags.get("leader-elect") == Some("false") {
            doubts.push(format!("{lease} on {node} takes no part in leader election"));
        }
        if flags.gate(&["CoordinatedLeaderElection"]).is_some_and(|(_, on)| on) {
            doubts.push(format!(
                "{lease} on {node} has coordinated leader election, which the prediction of a takeover does not know"
            ));
        }
        let in_file = |pick: fn(&super::settings::LeaderElection) -> &Option<String>| {
            file.as_ref().and_then(|file| pick(file).clone())
        };
        let given = [
            (names::flags::LEASE_DURATION, in_file(|f| &f.lease_duration), &documented.lease_duration),
            (names::flags::RENEW_DEADLINE, in_file(|f| &f.renew_deadline), &documented.renew_deadline),
            (names::flags::RETRY_PERIOD, in_file(|f| &f.retry_period), &documented.retry_period),
        ];
        for (list, (flag, in_file, default)) in times.iter_mut().zip(given) {
            // A flag on the command line goes before the file.
            let of_flag =
                flags.get(flag).and_then(go).map(|v| Setting::new(v, format!("--{flag} of {lease}")));
            let of_file = in_file.and_then(|text| go(&text)).filter(|value| !value.is_zero());
            let of_file = of_file.map(|v| Setting::new(v, format!("leaderElection in the file of {lease}")));
            let setting = of_flag.or(of_file).unwrap_or_else(|| default.clone());
            list.push(Seen { node: node.clone(), setting });
        }
        releases.push(release(lease, flags, config.minor));
    }
    let [duration, deadline, retry] = times;
    let mut one = |what: &str, seen: &[Seen], default: Setting| {
        together(&format!("{what} of {lease}"), seen, doubts).unwrap_or(default)
    };
    let election = Election {
        lease_duration: one("lease duration", &duration, documented.lease_duration),
        renew_deadline: one("renew deadline", &deadline, documented.renew_deadline),
        retry_period: one("retry period", &retry, documented.retry_period),
        release: agreed(releases).unwrap_or(documented.release),
    };
    config.elections.insert(lease.to_owned(), election);
}

/// Whether an instance gives its lease back: by feature gate, else as its version does.
fn release(lease: &str, flags: &Flags, minor: u32) -> Release {
    match flags.gate(&["Release", "LeaderElection"]) {
        Some((gate, on)) => Release { value: Some(on), source: format!("feature gate {gate}") },
        None => Release::documented(lease, minor),
    }
}

/// What all instances do; not known where they differ.
fn agreed(releases: Vec<Release>) -> Option<Release> {
    let mut all = releases.into_iter();
    let first = all.next()?;
    let same = all.all(|other| other.value == first.value);
    Some(if same { first } else { Release { value: None, source: "instances that differ".into() } })
}

fn kubelets(read: &[(&str, bool, &Parts)], config: &mut Configuration, doubts: &mut Vec<String>) {
    let documented = |name: &str| config.setting(name);
    let (check, status) = (documented(names::FILE_CHECK), documented(names::NODE_STATUS));
    let renewal = documented(names::NODE_LEASE_RENEWAL);
    let mut files: [Vec<Seen>; 3] = Default::default();
    let mut units: [Vec<Seen>; 2] = Default::default();
    for (node, _, parts) in read {
        let kubelet = parts.kubelet().unwrap_or_else(|why| {
            doubts.push(format!("the kubelet's file on {node} could not be read: {why}"));
            super::settings::Kubelet::default()
        });
        let flags = parts.kubelet_flags().unwrap_or_default();
        // `0s` in the file, and a flag of zero, stand for the default.
        let pick = |flag: &str, key: &str, in_file: Option<&String>, default: &Setting| {
            let of_flag = flags.get(flag).and_then(go).map(|v| (v, format!("--{flag} of the kubelet")));
            let of_file =
                || in_file.and_then(|t| go(t)).map(|v| (v, format!("{key} of the kubelet's config.yaml")));
            let given = of_flag.or_else(of_file).filter(|(value, _)| !value.is_zero());
            given.map_or_else(|| default.clone(), |(value, source)| Setting::new(value, source))
        };
        let lease = kubelet.node_lease_duration_seconds.filter(|seconds| *seconds > 0);
        let lease = lease.map(|seconds| {
            // nodeLeaseRenewIntervalFraction.
            Setting::new(
                Duration::from_secs(seconds) / 4,
                "a quarter of the kubelet's nodeLeaseDurationSeconds",
            )
        });
        let found = [
            pick("file-check-frequency", "fileCheckFrequency", kubelet.file_check_frequency.as_ref(), &check),
            pick(
                "node-status-update-frequency",
                "nodeStatusUpdateFrequency",
                kubelet.node_status_update_frequency.as_ref(),
                &status,
            ),
            lease.unwrap_or_else(|| renewal.clone()),
        ];
        for (list, setting) in files.iter_mut().zip(found) {
            list.push(Seen { node: (*node).to_owned(), setting });
        }
        for (list, unit) in units.iter_mut().zip(["kubelet", "containerd"]) {
            match parts.unit(unit) {
                Some((restart, pause)) => {
                    if restart != "always" && restart != "on-failure" {
                        doubts.push(format!(
                            "{unit}.service on {node} has Restart={restart}: nothing starts it again"
                        ));
                    }
                    let setting = Setting::new(pause, format!("RestartSec of {unit}.service"));
                    list.push(Seen { node: (*node).to_owned(), setting });
                }
                None => doubts.push(format!("RestartSec of {unit}.service on {node} could not be read")),
            }
        }
    }
    let named = [names::FILE_CHECK, names::NODE_STATUS, names::NODE_LEASE_RENEWAL].into_iter().zip(files);
    let named = named.chain([names::KUBELET_RESTART, names::CONTAINERD_RESTART].into_iter().zip(units));
    for (name, seen) in named {
        let found = together(name, &seen, doubts);
        config.settings.extend(found.map(|setting| (name.to_owned(), setting)));
    }
}

#[cfg(test)]
mod tests {
    use recoup_model::time::Span;

    use super::*;

    const NODE: &str = include_str!("../tests/settings/control-plane-1.20.txt");

    fn node(name: &str, text: &str) -> NodeParts {
        NodeParts { name: name.into(), control_plane: true, parts: Ok(Parts::read(text)) }
    }

    fn gathered(nodes: Vec<NodeParts>) -> Gathered {
        Gathered { nodes, proxy: Ok(None), balancer: None }
    }

    #[test]
    fn a_real_cluster_of_defaults_has_documented_values_and_no_doubts() {
        let nodes = vec![node("a", NODE), node("b", NODE), node("c", NODE)];
        let config = gathered(nodes).configuration(20);
        assert_eq!(config.doubts, Vec::<String>::new());
        let documented = Configuration::documented(20, 3);
        for name in names::ALL {
            assert_eq!(config.setting(name).value, documented.setting(name).value, "{name}");
        }
        assert_eq!(config.setting(names::KUBELET_RESTART).source, "RestartSec of kubelet.service");
        assert_eq!(config.election("kube-scheduler"), documented.election("kube-scheduler"));
        assert_eq!(config.control_planes, 3);
    }

    #[test]
    fn an_instance_that_differs_is_covered_and_told() {
        let other = NODE.replace(
            "    - --leader-elect=true\n    - --port=0\n    image: registry.example/kube-scheduler",
            "    - --leader-elect=true\n    - --leader-elect-lease-duration=60s\n    image: registry.example/kube-scheduler",
        );
        assert_ne!(other, NODE);
        let config = gathered(vec![node("a", NODE), node("b", &other)]).configuration(20);
        let lease = config.election("kube-scheduler").lease_duration;
        assert_eq!((lease.value, lease.most()), (Span::seconds(15), Span::seconds(60)));
        assert_eq!(
            config.doubts,
            ["lease duration of kube-scheduler differs between instances: 15s on a, 1m on b"]
        );
        assert_eq!(config.election("kube-controller-manager").lease_duration.most, None);
    }

    #[test]
    fn what_cannot_be_read_is_a_doubt_with_the_documented_default() {
        let dead = NodeParts { name: "b".into(), control_plane: true, parts: Err("no answer".into()) };
        let config = gathered(vec![node("a", NODE), dead]).configuration(20);
        assert_eq!(config.doubts.len(), 1, "{:?}", config.doubts);
        assert!(config.doubts[0].contains("settings of b") && config.doubts[0].contains("no answer"));
        let empty = gathered(vec![node("a", "")]).configuration(20);
        assert!(empty.doubts.iter().any(|doubt| doubt.contains("flags of etcd on a")), "{:?}", empty.doubts);
        assert_eq!(
            empty.setting(names::ETCD_ELECTION),
            Configuration::documented(20, 1).setting(names::ETCD_ELECTION)
        );
    }

    #[test]
    fn tuned_flags_files_and_units_are_followed_with_their_sources() {
        let tuned = NODE
            .replace(
                "    - etcd\n",
                "    - etcd\n    - --election-timeout=5000\n    - --heartbeat-interval=500\n",
            )
            .replace("fileCheckFrequency: 0s", "fileCheckFrequency: 2s\nnodeLeaseDurationSeconds: 8")
            .replace("RestartUSec=1s", "RestartUSec=10s")
            .replace(
                "    - kube-apiserver\n",
                "    - kube-apiserver\n    - --default-unreachable-toleration-seconds=30\n",
            );
        let config = gathered(vec![node("a", &tuned)]).configuration(20);
        let value = |name| (config.setting(name).value, config.setting(name).source);
        assert_eq!(value(names::ETCD_ELECTION), (Span::seconds(5), "--election-timeout of etcd".into()));
        assert_eq!(value(names::ETCD_HEARTBEAT).0, Span::millis(500));
        assert_eq!(value(names::FILE_CHECK).0, Span::seconds(2));
        assert_eq!(value(names::NODE_LEASE_RENEWAL).0, Span::seconds(2));
        assert_eq!(value(names::KUBELET_RESTART).0, Span::seconds(10));
        let toleration = config.setting(names::TOLERATION);
        assert_eq!((toleration.value, toleration.most()), (Span::seconds(30), Span::seconds(300)));
    }

    #[test]
    fn a_unit_that_nothing_restarts_is_a_doubt() {
        let text = NODE.replacen("Restart=always", "Restart=no", 1);
        let config = gathered(vec![node("a", &text)]).configuration(20);
        assert!(config.doubts[0].contains("Restart=no"), "{:?}", config.doubts);
    }
}
