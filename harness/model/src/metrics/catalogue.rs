//! The one list of series that are read.
//!
//! Names of series are those of etcd 3.4 to 3.6 and of Kubernetes 1.20 to 1.36; where a series was renamed, both
//! names stand here and the newer one is taken where both are there. A series that a version does not have is left
//! out of its readings.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::action::StaticPod;

/// How a series is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A value that goes up and down: its largest reading counts.
    Gauge,
    /// A counter of what does not happen while all is well: each one counts.
    Events,
    /// A counter of what happens all the time: counted per second.
    Rate,
    /// A histogram of times: its mean and its 99th percentile count.
    Histogram,
}

/// A metric's unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Unit {
    /// A number of things.
    Count,
    /// A number of things per second.
    PerSecond,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
}

impl Unit {
    /// A value as people read it: `4.2 ms`, `18 MiB`, `1.5/s`, `3`.
    #[must_use]
    pub fn write(self, value: f64) -> String {
        match self {
            Unit::Count => format!("{value:.0}"),
            Unit::PerSecond => format!("{value:.1}/s"),
            Unit::Bytes => format!("{:.1} MiB", value / 1_048_576.0),
            Unit::Seconds if value < 0.001 => format!("{:.0} µs", value * 1e6),
            Unit::Seconds if value < 0.1 => format!("{:.1} ms", value * 1e3),
            Unit::Seconds if value < 1.0 => format!("{:.0} ms", value * 1e3),
            Unit::Seconds => format!("{value:.2} s"),
        }
    }
}

/// A series of Prometheus, without a histogram's `_bucket`, `_sum` and `_count`.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// Its name.
    pub family: &'static str,
    /// Only where each of these labels has one of the values; `5*` stands for all that begin with `5`.
    pub only: &'static [(&'static str, &'static [&'static str])],
}

/// One metric of the list.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Whose.
    pub component: StaticPod,
    /// Its name in suites, records and reports.
    pub name: &'static str,
    /// What it tells, in a few words.
    pub tells: &'static str,
    /// How it is read.
    pub kind: Kind,
    /// Its unit.
    pub unit: Unit,
    /// A growth by less than this means nothing, however many times it is: in the unit, for counters in events.
    pub floor: f64,
    /// Where it comes from: the first alternative of which anything is there; its series are added up.
    pub sources: &'static [&'static [Source]],
}

const fn all(family: &'static str) -> Source {
    Source { family, only: &[] }
}

const fn some(family: &'static str, only: &'static [(&'static str, &'static [&'static str])]) -> Source {
    Source { family, only }
}

const READS: &[&str] = &["GET", "LIST"];
const WRITES: &[&str] = &["POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION"];
/// Requests that the API server ended early (priority and fairness, its own time-outs) never come to the handler that
/// counts the others.
const ENDED_EARLY: &str = "apiserver_request_terminations_total";
const REQUESTS: &str = "apiserver_request_total";
const DURATION: &str = "apiserver_request_duration_seconds";
const CLIENT: &str = "rest_client_requests_total";
/// Answers of 5xx, and requests that got no answer (`<error>`).
const CLIENT_FAILED: &[(&str, &[&str])] = &[("code", &["5*", "<error>"])];
const TOO_MANY: &[(&str, &[&str])] = &[("code", &["429"])];
const FAILED: &[(&str, &[&str])] = &[("code", &["5*"])];
const LEADING: &str = "leader_election_master_status";

/// Ten milliseconds, in seconds.
const MS_10: f64 = 0.01;

macro_rules! metrics {
    ($($component:ident { $($name:literal: $kind:ident $unit:ident, $floor:expr, $tells:literal, [$($alternative:expr),+];)+ })+) => {
        /// All of them, by component.
        pub const CATALOGUE: &[Metric] = &[$($(Metric {
            component: StaticPod::$component,
            name: $name,
            tells: $tells,
            kind: Kind::$kind,
            unit: Unit::$unit,
            floor: $floor,
            sources: &[$(&$alternative),+],
        }),+),+];
    };
}

metrics! {
    Etcd {
        "leaderChanges": Events Count, 1.0, "changes of the raft leader that the member has seen",
            [[all("etcd_server_leader_changes_seen_total")]];
        "proposalsFailed": Events Count, 1.0, "proposals that failed",
            [[all("etcd_server_proposals_failed_total")]];
        "heartbeatsLate": Events Count, 1.0, "heartbeats that the leader could not send in time: overloaded, by its disk mostly",
            [[all("etcd_server_heartbeat_send_failures_total")]];
        "slowApplies": Events Count, 5.0, "entries whose application took longer than 100 ms",
            [[all("etcd_server_slow_apply_total")]];
        "proposalsPending": Gauge Count, 5.0, "proposals that wait for a majority",
            [[all("etcd_server_proposals_pending")]];
        "walFsync": Histogram Seconds, 0.005, "syncs of the write-ahead log to the disk",
            [[all("etcd_disk_wal_fsync_duration_seconds")]];
        "backendCommit": Histogram Seconds, 0.005, "commits of the database to the disk",
            [[all("etcd_disk_backend_commit_duration_seconds")]];
        // Every 4 s a peer is probed, the smoothed time (an eighth of each new one) is told every 30 s
        // (rafthttp, probing_status.go): it follows a slow network half a minute late.
        "peerRoundTrip": Histogram Seconds, 0.001, "round trips to the other members, smoothed, told every 30 s",
            [[all("etcd_network_peer_round_trip_time_seconds")]];
        "dbSize": Gauge Bytes, 16_777_216.0, "size of the database's file",
            [[all("etcd_mvcc_db_total_size_in_bytes")], [all("etcd_debugging_mvcc_db_total_size_in_bytes")]];
    }
    KubeApiserver {
        "readDuration": Histogram Seconds, MS_10, "reads and lists, without watches",
            [[some(DURATION, &[("verb", READS)])]];
        "writeDuration": Histogram Seconds, MS_10, "writes",
            [[some(DURATION, &[("verb", WRITES)])]];
        "etcdRequest": Histogram Seconds, MS_10, "the API server's own requests to etcd",
            [[all("etcd_request_duration_seconds")]];
        "throttled": Events Count, 1.0, "requests answered with 429",
            [[some(REQUESTS, TOO_MANY), some(ENDED_EARLY, TOO_MANY)]];
        "errors": Events Count, 1.0, "requests answered with 5xx",
            [[some(REQUESTS, FAILED), some(ENDED_EARLY, FAILED)]];
        "inflight": Gauge Count, 20.0, "requests under way, without watches",
            [[all("apiserver_current_inflight_requests")]];
        "leaseRenewals": Rate PerSecond, 5.0, "writes of Leases: leader elections', nodes' and API servers'",
            [[some(REQUESTS, &[("resource", &["leases"]), ("verb", &["PUT", "PATCH", "APPLY"])])]];
    }
    KubeControllerManager {
        "queueDepth": Gauge Count, 10.0, "objects that wait in the controllers' queues",
            [[all("workqueue_depth")]];
        "queueDuration": Histogram Seconds, MS_10, "time that objects wait in the controllers' queues",
            [[all("workqueue_queue_duration_seconds")]];
        "requestsThrottled": Events Count, 1.0, "own requests answered with 429",
            [[some(CLIENT, TOO_MANY)]];
        "requestsFailed": Events Count, 1.0, "own requests answered with 5xx or not at all",
            [[some(CLIENT, CLIENT_FAILED)]];
        "leading": Gauge Count, 1.0, "1 while the instance holds the Lease",
            [[some(LEADING, &[("name", &["kube-controller-manager"])])]];
    }
    KubeScheduler {
        "pendingPods": Gauge Count, 1.0, "pods that wait for a node",
            [[all("scheduler_pending_pods")]];
        "attemptDuration": Histogram Seconds, MS_10, "attempts to give a pod a node",
            // Up to 1.23 the end-to-end time; the attempt's own from 1.23 on.
            [[all("scheduler_scheduling_attempt_duration_seconds")], [all("scheduler_e2e_scheduling_duration_seconds")]];
        "requestsThrottled": Events Count, 1.0, "own requests answered with 429",
            [[some(CLIENT, TOO_MANY)]];
        "requestsFailed": Events Count, 1.0, "own requests answered with 5xx or not at all",
            [[some(CLIENT, CLIENT_FAILED)]];
        "leading": Gauge Count, 1.0, "1 while the instance holds the Lease",
            [[some(LEADING, &[("name", &["kube-scheduler"])])]];
    }
}

/// The metrics of a component, in the list's order.
pub fn of(component: StaticPod) -> impl Iterator<Item = &'static Metric> {
    CATALOGUE.iter().filter(move |metric| metric.component == component)
}

/// The component's metric of that name.
#[must_use]
pub fn find(component: StaticPod, name: &str) -> Option<&'static Metric> {
    of(component).find(|metric| metric.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::streams::METERED;

    #[test]
    fn every_metered_component_has_metrics_and_no_name_stands_twice() {
        for component in METERED {
            let mut names: Vec<&str> = of(component).map(|metric| metric.name).collect();
            assert!(names.len() >= 5, "{component:?}: {names:?}");
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count, "{component:?}: a name stands twice");
        }
    }

    #[test]
    fn units_fit_the_kinds() {
        for metric in CATALOGUE {
            let fits = match metric.kind {
                Kind::Histogram => metric.unit == Unit::Seconds,
                Kind::Rate => metric.unit == Unit::PerSecond,
                Kind::Events => metric.unit == Unit::Count,
                Kind::Gauge => matches!(metric.unit, Unit::Count | Unit::Bytes),
            };
            assert!(fits && metric.floor > 0.0, "{metric:?}");
        }
    }
}
