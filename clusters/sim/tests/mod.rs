//! One test per behaviour of the model, all under a paused clock.

mod api;
mod etcd;
mod leases;
mod metrics;
mod nodes;
mod oracles;
mod processes;
mod provider;
mod slow;

use std::{sync::Arc, time::Duration};

use recoup_model::{
    action::{ActionReport, NodeAction, Process, Signal, StaticPod},
    observation::{Conn, Endpoint, Failure, FailureClass, Freshness, Observation, Observed, Route},
    spec::WorkloadSpec,
    topology::NodeRole,
};
use tokio::time::{Instant, sleep};

use super::{SimCluster, Truth};
use crate::{Attempt, Cluster, Nodes, Profile, Wanted};

const CONTROL_PLANES: [&str; 3] = ["t-control-plane", "t-control-plane2", "t-control-plane3"];
const WORKERS: [&str; 2] = ["t-worker", "t-worker2"];

fn secs(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

fn wanted(profile: &str, seed: u64) -> Wanted {
    Wanted {
        profile: Profile::load(profile).expect("it is compiled in"),
        name: "t".into(),
        image: None,
        version: None,
        adopt: false,
        seed,
        making: crate::Making::default(),
    }
}

/// A cluster with what tests do to it.
struct Lab {
    cluster: Arc<SimCluster>,
    began: Instant,
}

impl Lab {
    fn new(profile: &str, seed: u64) -> Lab {
        Lab::around(Arc::new(SimCluster::new(&wanted(profile, seed))))
    }

    fn around(cluster: Arc<SimCluster>) -> Lab {
        Lab { cluster, began: Instant::now() }
    }

    fn ha(seed: u64) -> Lab {
        Lab::new("ha", seed)
    }

    async fn act(&self, node: &str, action: NodeAction) -> ActionReport {
        self.cluster.act(node, &action).await.expect("the action is carried out")
    }

    async fn signal(&self, node: &str, process: Process, signal: Signal) -> ActionReport {
        self.act(node, NodeAction::Signal { process, signal, only: None }).await
    }

    async fn hold(&self, node: &str, pod: StaticPod) {
        let report = self.act(node, NodeAction::StaticPodHold { pod, kill: true }).await;
        assert!(report.changed, "{pod:?} on {node}");
    }

    async fn restore(&self, node: &str, pod: StaticPod) {
        assert!(self.act(node, NodeAction::StaticPodRestore { pod }).await.changed, "{pod:?} on {node}");
    }

    async fn observe(
        &self,
        observation: &Observation,
        number: u64,
        timeout: f64,
    ) -> Result<Observed, Failure> {
        self.cluster.observe(observation, Attempt { number, timeout: secs(timeout) }).await
    }

    async fn fails(&self, observation: &Observation, class: FailureClass) {
        let failure = self.observe(observation, 0, 1.0).await.expect_err(&observation.stream());
        assert_eq!(failure.class, class, "{}: {failure}", observation.stream());
    }

    async fn works(&self, observation: &Observation) -> Observed {
        let told = self.observe(observation, 0, 1.0).await;
        told.unwrap_or_else(|failure| panic!("{}: {failure}", observation.stream()))
    }

    /// Now, as the truth counts.
    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// The first fact of that kind from then on, as seconds from then.
    fn first(&self, from: Duration, wanted: impl Fn(&Truth) -> bool) -> Option<f64> {
        let truth = self.cluster.truth();
        truth.iter().find(|(at, what)| *at >= from && wanted(what)).map(|(at, _)| (*at - from).as_secs_f64())
    }

    async fn leader(&self) -> String {
        for member in CONTROL_PLANES {
            if let Ok(Observed::Member { id, leader, .. }) = self.observe(&status(member), 0, 1.0).await
                && Some(&id) == leader.as_ref()
            {
                return member.to_owned();
            }
        }
        panic!("no member leads");
    }

    /// A restarted candidate of the same node has another identity.
    async fn identity(&self, lease: &str) -> String {
        match self.works(&Observation::Lease { name: lease.into() }).await {
            Observed::Lease { holder, .. } => holder,
            other => panic!("{other:?}"),
        }
    }

    /// The holder's node.
    async fn holder(&self, lease: &str) -> String {
        self.identity(lease).await.split('_').next().expect("a name").to_owned()
    }

    async fn workload(&self, toleration_seconds: Option<u32>) {
        let spec = WorkloadSpec { replicas: 2, toleration_seconds };
        self.cluster.fixture(&spec).await.expect("the workload serves");
    }

    async fn pods(&self) -> Vec<recoup_model::observation::PodState> {
        match self.works(&Observation::Pods).await {
            Observed::Pods(pods) => pods,
            other => panic!("{other:?}"),
        }
    }

    /// Waits until the observation works, at most that long; the seconds it took.
    async fn until_works(&self, observation: &Observation, limit: f64) -> f64 {
        let from = Instant::now();
        for number in 0.. {
            if self.observe(observation, number, 1.0).await.is_ok() {
                break;
            }
            assert!(from.elapsed() < secs(limit), "{} fails for {limit} s", observation.stream());
            sleep(secs(0.1)).await;
        }
        from.elapsed().as_secs_f64()
    }
}

fn status(member: &str) -> Observation {
    Observation::EtcdStatus { member: member.into() }
}

fn put(member: &str) -> Observation {
    Observation::EtcdPut { member: member.into() }
}

fn at(node: &str) -> Endpoint {
    Endpoint::Node(node.into())
}

fn read(via: Endpoint, conn: Conn) -> Observation {
    Observation::ApiRead { via, conn, from: Freshness::Linearizable }
}

fn cached(via: Endpoint) -> Observation {
    Observation::ApiRead { via, conn: Conn::Reused, from: Freshness::Cache }
}

fn write(via: Endpoint) -> Observation {
    Observation::ApiWrite { via, conn: Conn::Reused }
}

fn service(from: &str) -> Observation {
    Observation::Workload { from: from.into(), to: Route::Service }
}

fn pod(from: &str) -> Observation {
    Observation::Workload { from: from.into(), to: Route::Pod }
}
