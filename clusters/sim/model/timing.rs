//! Every constant of the model with its source. "Measured" means: on real kind clusters of
//! Kubernetes 1.20 and 1.36 with three control planes, single runs.

use std::time::Duration;

/// The Kubernetes version that is modelled: 50 s grace period, a scheduler that releases its lease.
pub(crate) const KUBERNETES: &str = "v1.33.0";
/// The etcd version that kubeadm 1.33 installs.
pub(crate) const ETCD: &str = "3.5.21";
/// The model's own version; another one may give other figures for the same seed.
pub(crate) const MODEL: &str = "recoup-sim/1";

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// How long the modelled cluster has been running when it is handed out.
pub(crate) const WARM_UP: Duration = secs(60);
/// How often level-triggered loops (kubelets' and controllers') look; finer than any of their own periods.
pub(crate) const LOOP: Duration = ms(50);
/// How often a client of the model looks whether a hung request has been answered.
pub(crate) const POLL: Duration = ms(100);

// etcd: --heartbeat-interval and --election-timeout (etcd.io, "Time parameters"); etcd's raft counts in
// ticks of one heartbeat and draws each timeout from [election, 2 * election - 1] ticks (raft.go,
// resetRandomizedElectionTimeout). PreVote and CheckQuorum are on (server/etcdserver/bootstrap.go).

/// One raft tick.
pub(crate) const HEARTBEAT: Duration = ms(100);
/// The election timeout in ticks.
pub(crate) const ELECTION_TICKS: u32 = 10;
/// Two rounds of votes, each written to disk: 5 to 25 ms.
pub(crate) const VOTES: (Duration, Duration) = (ms(5), ms(25));
/// A request that raft does not answer: 5 s + 2 * election timeout (etcd's `ReqTimeout`).
pub(crate) const ETCD_REQUEST_TIMEOUT: Duration = secs(7);
/// From SIGTERM to the end of a member once leadership is handed over.
pub(crate) const ETCD_EXIT: Duration = ms(100);

/// A TCP handshake between two containers of one machine (measured: 50 µs idle, 450 µs at first).
pub(crate) const HANDSHAKE: (Duration, Duration) = (Duration::from_micros(50), Duration::from_micros(450));
/// The least time after which TCP sends a packet again (`TCP_RTO_MIN`).
pub(crate) const RETRANSMISSION: Duration = ms(200);
/// Bits of a full packet of Ethernet.
pub(crate) const PACKET_BITS: u64 = 1500 * 8;
/// Round trips of a request over a new connection: TCP's handshake, TLS 1.3's, and its own.
pub(crate) const NEW_CONNECTION: u32 = 3;

// API server.

/// keep-alive of its etcd client: 30 s + 10 s (staging/src/k8s.io/apiserver, storage/storagebackend/factory/etcd3.go).
pub(crate) const ETCD_KEEPALIVE: Duration = secs(40);
/// From SIGTERM to its end: it drains, and its kubelet's grace ends first (measured on 1.36).
pub(crate) const API_SHUTDOWN: Duration = secs(30);
/// A starting API server that finds no etcd gives up (`--storage-initialization-timeout` and its post-start hooks).
pub(crate) const API_STARTUP_LIMIT: Duration = secs(25);

/// A watch cache sends bookmarks this often (apiserver, storage/cacher: `bookmarkFrequency`).
pub(crate) const BOOKMARK: Duration = secs(60);
/// What the watcher asks for as `timeoutSeconds`.
pub(crate) const WATCH_ENDS: Duration = secs(3600);

// Load balancer of kind up to 0.31: HAProxy 2.x with its documented defaults.

/// `inter`.
pub(crate) const LB_INTERVAL: Duration = secs(2);
/// `fall`.
pub(crate) const LB_FALL: u32 = 3;
/// `rise`.
pub(crate) const LB_RISE: u32 = 2;
/// `retries 3`, one second apart, without `redispatch`.
pub(crate) const LB_RETRIES: Duration = secs(3);
/// `timeout connect` in kind's configuration.
pub(crate) const LB_CONNECT: Duration = secs(5);
/// Silence until an HTTP/2 client pings plus the ping's timeout (apimachinery, net/http.go: 30 s + 15 s).
pub(crate) const PING_GIVES_UP: Duration = secs(45);

// Leader election: client-go, tools/leaderelection; defaults in component-base/config.

/// `LeaseDuration`.
pub(crate) const LEASE_DURATION: Duration = secs(15);
/// `RenewDeadline`.
pub(crate) const RENEW_DEADLINE: Duration = secs(10);
/// `RetryPeriod`.
pub(crate) const RETRY_PERIOD: Duration = secs(2);
/// `JitterFactor`.
pub(crate) const JITTER: f64 = 1.2;
/// From acquisition to working controllers: informers fill their caches.
pub(crate) const CACHES: (Duration, Duration) = (ms(300), ms(900));

// kubelet and the node lifecycle controller.

/// Node lease renewal: a quarter of its 40 s (`nodeLeaseRenewIntervalFraction`), jittered by 0.04.
pub(crate) const NODE_LEASE: Duration = secs(10);
/// See [`NODE_LEASE`].
pub(crate) const NODE_LEASE_JITTER: f64 = 0.04;
/// `--node-monitor-grace-period`: 50 s from 1.32.
pub(crate) const NODE_GRACE: Duration = secs(50);
/// `--node-monitor-period`.
pub(crate) const NODE_MONITOR: Duration = secs(5);
/// Tolerations that the DefaultTolerationSeconds admission adds.
pub(crate) const TOLERATION: Duration = secs(300);
/// A runtime that did not answer for this long makes its node not ready (kubelet's `runtimeState`, 30 s).
pub(crate) const RUNTIME_DOWN: Duration = secs(30);
/// The kubelet lists containers every second (PLEG's relist) and then starts what is missing.
pub(crate) const NOTICE: (Duration, Duration) = (ms(200), ms(1100));
/// A changed manifest directory: inotify, and the next sync of the pod.
pub(crate) const MANIFEST: (Duration, Duration) = (ms(300), ms(1500));
/// First back-off of a container; doubles (kubelet.go, `backOffPeriod`).
pub(crate) const BACK_OFF: Duration = secs(10);
/// The largest (`MaxContainerBackOff`).
pub(crate) const BACK_OFF_MAX: Duration = secs(300);
/// A container that ran twice the maximum starts afresh (flowcontrol.Backoff).
pub(crate) const BACK_OFF_RESET: Duration = secs(600);
/// A frozen process fails 8 liveness probes of 15 s each (kubeadm's manifests) …
pub(crate) const LIVENESS_FROZEN: Duration = secs(120);
/// … one that answers with failure 8 of them 10 s apart.
pub(crate) const LIVENESS_FAILING: Duration = secs(80);
/// `terminationGracePeriodSeconds`, after which SIGKILL follows.
pub(crate) const GRACE: Duration = secs(30);
/// `RestartSec` of kubelet and containerd in kind; kubeadm's package has 10 s for the kubelet.
pub(crate) const RESTART_SEC: Duration = secs(1);
/// A workload pod from its kubelet's first sight to a serving process.
pub(crate) const POD_START: (Duration, Duration) = (ms(1200), ms(1800));
/// From a serving process to a Ready condition.
pub(crate) const POD_READY: (Duration, Duration) = (ms(100), ms(600));
/// From a deletion mark to the pod's end: the workload ends at once on SIGTERM.
pub(crate) const POD_STOP: (Duration, Duration) = (ms(300), ms(1000));
/// A controller's or the scheduler's queue and its calls.
pub(crate) const CONTROLLER: (Duration, Duration) = (ms(50), ms(250));
/// `minSyncPeriod` of kube-proxy in kind.
pub(crate) const PROXY_SYNC: Duration = secs(1);
/// A change's way to kube-proxy.
pub(crate) const PROXY_WATCH: Duration = ms(50);
