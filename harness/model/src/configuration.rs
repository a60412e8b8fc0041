//! The settings of a cluster that its recovery times follow from, each with the place it was read from.

use std::{collections::BTreeMap, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{streams::LEASES, time::Span};

/// The keys of [`Configuration::settings`].
pub mod names {
    /// The flags of components that settings are read from and that experiments change, without dashes.
    pub mod flags {
        /// How long a lease holds without renewal.
        pub const LEASE_DURATION: &str = "leader-elect-lease-duration";
        /// For how long a holder tries to renew before it ends.
        pub const RENEW_DEADLINE: &str = "leader-elect-renew-deadline";
        /// Between two attempts to take or renew a lease.
        pub const RETRY_PERIOD: &str = "leader-elect-retry-period";
        /// See [`super::NODE_GRACE`].
        pub const NODE_GRACE: &str = "node-monitor-grace-period";
        /// See [`super::NODE_MONITOR`].
        pub const NODE_MONITOR: &str = "node-monitor-period";
        /// See [`super::ETCD_HEARTBEAT`].
        pub const ETCD_HEARTBEAT: &str = "heartbeat-interval";
        /// See [`super::ETCD_ELECTION`].
        pub const ETCD_ELECTION: &str = "election-timeout";
    }
    /// etcd's `--heartbeat-interval`.
    pub const ETCD_HEARTBEAT: &str = "etcdHeartbeatInterval";
    /// etcd's `--election-timeout`: members draw theirs from once to twice this.
    pub const ETCD_ELECTION: &str = "etcdElectionTimeout";
    /// The controller-manager's `--node-monitor-grace-period`.
    pub const NODE_GRACE: &str = "nodeMonitorGracePeriod";
    /// The controller-manager's `--node-monitor-period`.
    pub const NODE_MONITOR: &str = "nodeMonitorPeriod";
    /// How often a kubelet renews its node lease: a quarter of `nodeLeaseDurationSeconds`.
    pub const NODE_LEASE_RENEWAL: &str = "nodeLeaseRenewal";
    /// The kubelet's `nodeStatusUpdateFrequency`.
    pub const NODE_STATUS: &str = "nodeStatusUpdateFrequency";
    /// The kubelet's `fileCheckFrequency`, at which it looks at the static pods' manifests.
    pub const FILE_CHECK: &str = "fileCheckFrequency";
    /// `RestartSec` of `kubelet.service`.
    pub const KUBELET_RESTART: &str = "kubeletRestartSec";
    /// `RestartSec` of `containerd.service`.
    pub const CONTAINERD_RESTART: &str = "containerdRestartSec";
    /// `tolerationSeconds` that the API server gives pods for nodes that are not ready or unreachable.
    pub const TOLERATION: &str = "defaultToleration";
    /// kube-proxy's `minSyncPeriod`.
    pub const PROXY_SYNC: &str = "kubeProxyMinSyncPeriod";
    /// All of them.
    pub const ALL: [&str; 11] = [
        ETCD_HEARTBEAT,
        ETCD_ELECTION,
        NODE_GRACE,
        NODE_MONITOR,
        NODE_LEASE_RENEWAL,
        NODE_STATUS,
        FILE_CHECK,
        KUBELET_RESTART,
        CONTAINERD_RESTART,
        TOLERATION,
        PROXY_SYNC,
    ];
}

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Setting {
    /// Its value; the least where instances differ.
    pub value: Span,
    /// The largest value, where instances differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most: Option<Span>,
    /// Where it was read, as in `--leader-elect-lease-duration of kube-scheduler`, or `default of Kubernetes 1.20`.
    pub source: String,
}

impl Setting {
    /// A setting that is the same everywhere.
    pub fn new(value: impl Into<Duration>, source: impl Into<String>) -> Setting {
        Setting { value: Span(value.into()), most: None, source: source.into() }
    }

    /// The largest value of any instance.
    #[must_use]
    pub fn most(&self) -> Span {
        self.most.unwrap_or(self.value).max(self.value)
    }

    /// This one and another instance's: from the least to the largest.
    #[must_use]
    pub fn and(&self, other: &Setting) -> Setting {
        let (least, most) = (self.value.min(other.value), self.most().max(other.most()));
        let source = if self.source == other.source {
            self.source.clone()
        } else {
            format!("{}; {}", self.source, other.source)
        };
        Setting { value: least, most: (most > least).then_some(most), source }
    }
}

/// A number that is set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Count {
    /// Its value.
    pub value: u32,
    /// Where it was read.
    pub source: String,
}

impl Count {
    /// A number with its source.
    pub fn new(value: u32, source: impl Into<String>) -> Count {
        Count { value, source: source.into() }
    }
}

/// Whether a component that is asked to end gives its Lease back, so that nobody has to wait for it to run out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Release {
    /// It does, it does not; none where it is not known.
    pub value: Option<bool>,
    /// How that is known.
    pub source: String,
}

/// The times of a component's leader election.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Election {
    /// A Lease that was not seen renewed for this long may be taken.
    pub lease_duration: Setting,
    /// A holder that could not renew for this long gives up.
    pub renew_deadline: Setting,
    /// Between attempts, times 1 to 2.2.
    pub retry_period: Setting,
    /// What a holder does with it on SIGTERM.
    pub release: Release,
}

/// The load balancer in front of the API servers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Balancer {
    /// Which program: `haproxy` or `envoy`.
    pub program: String,
    /// Between two checks of a server, from the end of one to the begin of the next.
    pub interval: Setting,
    /// A check that is not answered for so long has failed.
    pub timeout: Setting,
    /// Failed checks in a row that take a server out.
    pub fall: Count,
    /// Good checks in a row that take it in again.
    pub rise: Count,
    /// A client's connection that leads to no server is given up after so long.
    pub connect: Setting,
}

/// What a cluster is set to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Configuration {
    /// Kubernetes' minor version, as in 20 for 1.20.
    pub minor: u32,
    /// How many control planes there are, each with an etcd member.
    #[serde(default = "three")]
    pub control_planes: u32,
    /// Leader elections by Lease.
    pub elections: BTreeMap<String, Election>,
    /// The load balancer; none where there is one API server only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balancer: Option<Balancer>,
    /// Everything else by its name in [`names`].
    pub settings: BTreeMap<String, Setting>,
    /// What could not be read, or differs between instances, each in a sentence.
    pub doubts: Vec<String>,
}

fn three() -> u32 {
    3
}

impl Configuration {
    /// What the documentation of a Kubernetes version says of a cluster that kubeadm and kind made and nobody
    /// has tuned: what a prediction falls back on where nothing was read.
    #[must_use]
    pub fn documented(minor: u32, control_planes: u32) -> Configuration {
        let default = |what: &str| format!("default of {what}");
        let version = format!("default of Kubernetes 1.{minor}");
        let seconds = Duration::from_secs;
        let settings = [
            // etcd.io, "Time parameters".
            (names::ETCD_HEARTBEAT, Duration::from_millis(100), default("etcd")),
            (names::ETCD_ELECTION, seconds(1), default("etcd")),
            // Raised from 40 s by kubernetes/kubernetes#126287.
            (names::NODE_GRACE, seconds(if minor >= 32 { 50 } else { 40 }), version.clone()),
            (names::NODE_MONITOR, seconds(5), version.clone()),
            // nodeLeaseDurationSeconds 40, nodeLeaseRenewIntervalFraction 0.25.
            (names::NODE_LEASE_RENEWAL, seconds(10), version.clone()),
            (names::NODE_STATUS, seconds(10), version.clone()),
            (names::FILE_CHECK, seconds(20), version.clone()),
            (names::KUBELET_RESTART, seconds(1), default("kind's kubelet.service")),
            (names::CONTAINERD_RESTART, seconds(1), default("kind's containerd.service")),
            (names::TOLERATION, seconds(300), version.clone()),
            (names::PROXY_SYNC, seconds(1), default("kind's kube-proxy")),
        ];
        let settings = settings.map(|(name, value, source)| (name.to_owned(), Setting::new(value, source)));
        let elections = LEASES.map(|lease| (lease.to_owned(), Election::documented(lease, minor)));
        Configuration {
            minor,
            control_planes,
            elections: elections.into(),
            balancer: (control_planes > 1).then(Balancer::haproxy),
            settings: settings.into(),
            doubts: Vec::new(),
        }
    }

    /// The setting of that name; its documented value where this configuration has none.
    #[must_use]
    pub fn setting(&self, name: &str) -> Setting {
        let documented = || Configuration::documented(self.minor, self.control_planes).settings.remove(name);
        let found = self.settings.get(name).cloned().or_else(documented);
        found.unwrap_or_else(|| Setting::new(Duration::ZERO, format!("there is no setting {name}")))
    }

    /// The election of that Lease; its documented times where this configuration has none.
    #[must_use]
    pub fn election(&self, lease: &str) -> Election {
        self.elections.get(lease).cloned().unwrap_or_else(|| Election::documented(lease, self.minor))
    }
}

impl Election {
    /// client-go's defaults, which both components take over (component-base/config).
    #[must_use]
    pub fn documented(lease: &str, minor: u32) -> Election {
        let source = format!("default of Kubernetes 1.{minor}");
        let setting = |seconds| Setting::new(Duration::from_secs(seconds), source.clone());
        Election {
            lease_duration: setting(15),
            renew_deadline: setting(10),
            retry_period: setting(2),
            release: Release::documented(lease, minor),
        }
    }
}

impl Release {
    /// What that component of that version does, as far as it is known.
    ///
    /// The scheduler's `ReleaseOnCancel` came with kubernetes/kubernetes#100305 between 1.20 and 1.22; the
    /// controller-manager has a feature gate for it, off at least up to 1.36.
    #[must_use]
    pub fn documented(lease: &str, minor: u32) -> Release {
        let value = match lease {
            "kube-scheduler" if minor >= 22 => Some(true),
            "kube-scheduler" if minor <= 20 => Some(false),
            "kube-controller-manager" if minor <= 36 => Some(false),
            _ => None,
        };
        Release { value, source: format!("Kubernetes 1.{minor}") }
    }
}

impl Balancer {
    /// HAProxy as kind up to 0.31 configures it: without a word about checks, so with HAProxy's own defaults.
    #[must_use]
    pub fn haproxy() -> Balancer {
        let source = "default of HAProxy";
        Balancer {
            program: "haproxy".into(),
            interval: Setting::new(Duration::from_secs(2), source),
            // Without `timeout check` the interval limits the whole of a check.
            timeout: Setting::new(Duration::from_secs(2), source),
            fall: Count::new(3, source),
            rise: Count::new(2, source),
            connect: Setting::new(Duration::from_secs(5), "timeout connect of kind's haproxy.cfg"),
        }
    }

    /// Envoy as kind from 0.32 on configures it.
    #[must_use]
    pub fn envoy() -> Balancer {
        let source = "default of kind's Envoy";
        Balancer {
            program: "envoy".into(),
            interval: Setting::new(Duration::from_secs(2), source),
            timeout: Setting::new(Duration::from_secs(3), source),
            fall: Count::new(2, source),
            rise: Count::new(1, source),
            connect: Setting::new(Duration::from_secs(5), "default of Envoy"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grace_period_follows_the_version() {
        let grace = |minor| Configuration::documented(minor, 3).setting(names::NODE_GRACE).value;
        assert_eq!(
            (grace(20), grace(31), grace(32)),
            (Span::seconds(40), Span::seconds(40), Span::seconds(50))
        );
    }

    #[test]
    fn every_name_has_a_documented_value_with_a_source() {
        let documented = Configuration::documented(36, 3);
        for name in names::ALL {
            let setting = documented.settings.get(name).unwrap_or_else(|| panic!("{name} has no value"));
            assert!(!setting.source.is_empty() && !setting.value.0.is_zero(), "{name}");
        }
        assert_eq!(documented.settings.len(), names::ALL.len());
    }

    #[test]
    fn instances_that_differ_give_an_interval() {
        let a = Setting::new(Duration::from_secs(15), "a");
        let both = a.and(&Setting::new(Duration::from_secs(60), "b"));
        assert_eq!((both.value, both.most()), (Span::seconds(15), Span::seconds(60)));
        assert_eq!(both.source, "a; b");
        assert_eq!(a.and(&a), a);
    }

    #[test]
    fn a_configuration_without_the_newer_fields_reads_still() {
        let text = r#"{"minor": 20, "elections": {}, "settings": {}, "doubts": []}"#;
        let read: Configuration = serde_json::from_str(text).expect("an older record");
        assert_eq!((read.control_planes, read.balancer), (3, None));
    }
}
