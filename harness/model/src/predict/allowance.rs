//! What no setting gives: how long programs take to start, and room for the machine. Each is an upper bound with
//! its reason; none of them moves a lower bound.

use std::time::Duration;

/// A time that is allowed for.
pub(super) struct Allowance {
    pub(super) value: Duration,
    pub(super) what: &'static str,
    pub(super) source: &'static str,
}

const fn allowance(seconds: u64, what: &'static str, source: &'static str) -> Allowance {
    Allowance { value: Duration::from_secs(seconds), what, source }
}

/// Room for a machine that does other things: a share of everything else, and a least.
pub(super) struct Room {
    pub(super) what: &'static str,
    pub(super) source: &'static str,
}

/// All nodes share one machine, often of two cores: a process that should run may wait for a second or two,
/// and what takes long is slowed down in proportion.
pub(super) const ROOM: Room =
    Room { what: "room for a busy machine", source: "allowance: a fifth of the rest, 2s at least" };

impl Room {
    /// The room beside a bound of that length.
    #[expect(clippy::unused_self, reason = "there is one room, and it is named where it is used")]
    pub(super) fn of(&self, rest: Duration) -> Duration {
        (rest / 5).max(Duration::from_secs(2))
    }
}

/// A command in a node takes 0.1 s, its evidence as long; under load both take seconds.
pub(super) const ACT: Allowance =
    allowance(3, "a command on a node", "allowance: 0.1s measured on an idle machine");
/// The kubelet's `plegRelistPeriod`, a constant.
pub(super) const NOTICE: Allowance =
    allowance(1, "the kubelet lists its containers", "constant of the kubelet: every 1s");
/// A container from the kubelet's wish to its process.
pub(super) const CONTAINER_START: Allowance = allowance(
    5,
    "a container is started",
    "allowance: the service level of a whole pod's start is 5s, about 1s measured",
);
/// Ready 1.3 s after SIGKILL, most of it the container's start (measured, Kubernetes 1.36 in kind).
pub(super) const ETCD_START: Allowance =
    allowance(5, "etcd opens its log and its ports", "allowance: about 1s measured");
/// Ready 5.7 s after SIGKILL (1.36), 4.6 to 5.7 s (1.20).
pub(super) const API_START: Allowance =
    allowance(20, "the API server starts and fills its caches", "allowance: 4 to 6s measured");
/// 2.1 s (1.36), 5 to 6 s (1.20) from start to a healthy check.
pub(super) const KUBELET_START: Allowance =
    allowance(10, "the kubelet starts", "allowance: 2 to 6s measured");
/// A new holder of the controller-manager's Lease starts its controllers one after the other, with a client that is
/// held to 20 requests a second; the change of a Deployment came 10 to 15 s after the takeover on 1.20.
pub(super) const CONTROLLERS_START: Allowance = allowance(
    20,
    "the new holder starts its controllers",
    "allowance: 10 to 15s measured on Kubernetes 1.20",
);
/// A scheduler's caches.
pub(super) const SCHEDULER_START: Allowance =
    allowance(5, "the new holder fills its caches", "allowance: under 1s measured");
/// Votes are written to disk before they are given, and the new leader's first entry before it counts.
pub(super) const VOTES: Allowance = Allowance {
    value: Duration::from_millis(500),
    what: "votes are written to disk",
    source: "allowance: 5 to 25ms measured",
};
/// A thawed process works off what has piled up, and its broken connections are made again.
pub(super) const RESUME: Allowance =
    allowance(10, "a thawed process catches up and connects again", "allowance: 0.2 to 2.4s measured");
/// A pod from its creation to Ready: Kubernetes' service level without an image's pull.
pub(super) const POD_START: Allowance =
    allowance(5, "a pod is scheduled and started", "service level of Kubernetes: pod start 5s (p99)");
/// A pod's end once its kubelet knows: the workload ends at once on SIGTERM.
pub(super) const POD_STOP: Allowance =
    allowance(5, "the kubelet ends a pod's container", "allowance: 0.3 to 2s measured");
/// A controller's queue and its calls, well above the service level of 1 s for a mutating call.
pub(super) const CONTROLLER: Allowance = allowance(
    2,
    "a controller's queue and its calls",
    "service level of Kubernetes: a mutating call 1s (p99), two of them",
);
/// HAProxy's `retries 3`, a second apart, on a client's connection that leads to a dead server.
pub(super) const LB_RETRIES: Allowance =
    allowance(3, "the load balancer tries a dead server again", "default of HAProxy: retries 3, 1s apart");
/// The kubelet's first back-off after a container's restart (`backOffPeriod`).
pub(super) const BACK_OFF: Allowance = allowance(
    10,
    "back-off, where the container was started once more meanwhile",
    "constant of the kubelet: 10s",
);
/// etcd's `Stop` waits so long for a leader that is to take over (`ReqTimeout`, 5 s and two election timeouts).
pub(super) const HAND_OVER: Allowance = allowance(
    7,
    "a member that is asked to end hands over first",
    "constant of etcd: 5s and two election timeouts",
);
/// An API server that is asked to end finishes requests first (`--request-timeout`).
pub(super) const DRAIN: Allowance = allowance(
    60,
    "an API server that is asked to end finishes requests first",
    "default of --request-timeout",
);
/// recoup's workload and `deletePods` name this grace period.
pub(super) const GRACE: Allowance = allowance(
    1,
    "a pod that is asked to end may take its grace period",
    "terminationGracePeriodSeconds of the workload",
);
/// HTTP/2 clients of Kubernetes give a silent connection up (apimachinery, net/http.go).
pub(super) const PING: Allowance = allowance(
    45,
    "a kept connection that is silent is given up",
    "constants of Kubernetes' clients: a ping after 30s, 15s for its answer",
);

/// grpc's connection back-off: attempts 1 s apart at first, then 1.6 times as far, give or take a fifth. After an
/// outage of L the next attempt is at most 1.2 * (1 s + 0.6 L) away.
pub(super) fn grpc(outage: Duration) -> Duration {
    (Duration::from_secs(1) + outage.mul_f64(0.6)).mul_f64(1.2)
}

/// Where that comes from.
pub(super) const GRPC: (&str, &str) = (
    "the API server's next attempt to connect to its member: 1.2 * (1s + 0.6 of the outage)",
    "grpc's connection back-off: factor 1.6, jitter 0.2",
);
/// See [`GRPC`]: a connection that lasts is given up after this long of silence (keep-alive 30 s + 10 s).
pub(super) const ETCD_KEEPALIVE: Duration = Duration::from_secs(40);
/// How far client-go stretches the pause between two attempts for a Lease: 1 + `JitterFactor`.
pub(super) const JITTER: f64 = 2.2;
/// How far a kubelet stretches the pause between two renewals of its node lease.
pub(super) const NODE_LEASE_JITTER: f64 = 1.04;
