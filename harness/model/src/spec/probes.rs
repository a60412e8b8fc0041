//! Which probes run, how often, and how long each attempt may take.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::time::Span;

/// How often a probe asks and how long it waits, as written in YAML: what is left out keeps its default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RateSpec {
    /// Run it at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// From one attempt's start to the next one's, whatever the answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<Span>,
    /// The attempt's own deadline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// An answer that took longer counts as an outage from request to answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow: Option<Span>,
}

/// The probes of an experiment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProbeSpecs {
    /// Reads (quorum and cache) and writes on kept connections: each API server and the load balancer.
    #[serde(default)]
    pub api: RateSpec,
    /// Reads on new connections: each API server and the load balancer. Dear: a TLS handshake each.
    #[serde(default)]
    pub new_connections: RateSpec,
    /// Each etcd member's status and a linearizable put.
    #[serde(default)]
    pub etcd: RateSpec,
    /// Lease holders of controller-manager and scheduler.
    #[serde(default)]
    pub leases: RateSpec,
    /// Node conditions, and the workload's pods.
    #[serde(default)]
    pub nodes: RateSpec,
    /// The revision of each node's own Lease, asked of the etcd members in turn: whether its kubelet renews it.
    #[serde(default)]
    pub node_leases: RateSpec,
    /// The workload's answer from each worker: its pod there, and through the Service.
    #[serde(default)]
    pub workload: RateSpec,
    /// kubelet's and kube-proxy's own health checks on every worker.
    #[serde(default)]
    pub health: RateSpec,
    /// The metrics of etcd, API servers, controller-managers and schedulers.
    #[serde(default)]
    pub metrics: RateSpec,
    /// A change of a Deployment until it is ready (off by default).
    #[serde(default)]
    pub convergence: RateSpec,
    /// A new pod until it has a node (off by default).
    #[serde(default)]
    pub scheduling: RateSpec,
}

/// One probe's rate with defaults filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rate {
    /// From one attempt's start to the next one's.
    pub period: Span,
    /// An attempt's deadline.
    pub timeout: Span,
    /// Slower answers count as an outage.
    pub slow: Option<Span>,
}

impl RateSpec {
    /// The rate, or none where the probe is off.
    fn or(self, on: bool, period: Span, timeout: Span, slow: Option<Span>) -> Option<Rate> {
        self.enabled.unwrap_or(on).then(|| Rate {
            period: self.period.unwrap_or(period),
            timeout: self.timeout.unwrap_or(timeout),
            slow: self.slow.or(slow),
        })
    }
}

impl Rate {
    /// After this long without an answer, an attempt counts against the service.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.slow.map_or(self.timeout.0, |slow| slow.0.min(self.timeout.0))
    }
}

impl ProbeSpecs {
    /// Kept connections to API servers: every 100 ms, 1 s each.
    #[must_use]
    pub fn api(&self) -> Option<Rate> {
        self.api.or(true, Span::millis(100), Span::seconds(1), None)
    }

    /// New connections: every second, 2 s each.
    #[must_use]
    pub fn new_connections(&self) -> Option<Rate> {
        self.new_connections.or(true, Span::seconds(1), Span::seconds(2), None)
    }

    /// etcd: every 100 ms, 1 s each.
    #[must_use]
    pub fn etcd(&self) -> Option<Rate> {
        self.etcd.or(true, Span::millis(100), Span::seconds(1), None)
    }

    /// Leases: every 200 ms, 1 s each.
    #[must_use]
    pub fn leases(&self) -> Option<Rate> {
        self.leases.or(true, Span::millis(200), Span::seconds(1), None)
    }

    /// Nodes and pods: every 500 ms, 2 s each.
    #[must_use]
    pub fn nodes(&self) -> Option<Rate> {
        self.nodes.or(true, Span::millis(500), Span::seconds(2), None)
    }

    /// Node leases: every second, 1 s each. A kubelet renews its own every 10 s.
    #[must_use]
    pub fn node_leases(&self) -> Option<Rate> {
        self.node_leases.or(true, Span::seconds(1), Span::seconds(1), None)
    }

    /// The workload: every 100 ms, 3 s each, so that a request that is answered late can be told from one that is
    /// lost: TCP sends what was dropped a second time after 1 s (RFC 6298). Slower than 1 s counts as an outage.
    #[must_use]
    pub fn workload(&self) -> Option<Rate> {
        self.workload.or(true, Span::millis(100), Span::seconds(3), Some(Span::seconds(1)))
    }

    /// Health checks: every 200 ms, 1 s each.
    #[must_use]
    pub fn health(&self) -> Option<Rate> {
        self.health.or(true, Span::millis(200), Span::seconds(1), None)
    }

    /// Metrics: every 5 s, 4 s each.
    #[must_use]
    pub fn metrics(&self) -> Option<Rate> {
        self.metrics.or(true, Span::seconds(5), Span::seconds(4), None)
    }

    /// Convergence: a change every 2 s at most, 90 s each; slower than 8 s counts as an outage.
    #[must_use]
    pub fn convergence(&self) -> Option<Rate> {
        self.convergence.or(false, Span::seconds(2), Span::seconds(90), Some(Span::seconds(8)))
    }

    /// Scheduling: a pod every 2 s at most, 90 s each; slower than 5 s counts as an outage.
    #[must_use]
    pub fn scheduling(&self) -> Option<Rate> {
        self.scheduling.or(false, Span::seconds(2), Span::seconds(90), Some(Span::seconds(5)))
    }
}
