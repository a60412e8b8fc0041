//! Every observation is answered, writes are found again, and a stranger is nobody's outage.

use std::time::Duration;

use recoup_clusters::{Attempt, Cluster, Fixture};
use recoup_model::{
    action::{Capability, StaticPod},
    metrics,
    observation::{Conn, Endpoint, FailureClass, Observation, Observed, SLOTS},
    spec::{ProbeSpecs, RateSpec},
    streams::streams,
    topology::NodeRole,
};

use crate::until;

fn attempt(number: u64, seconds: u64) -> Attempt {
    Attempt { number, timeout: Duration::from_secs(seconds) }
}

/// All probes that there are.
fn all_probes() -> ProbeSpecs {
    let on = RateSpec { enabled: Some(true), ..RateSpec::default() };
    ProbeSpecs { convergence: on, scheduling: on, ..ProbeSpecs::default() }
}

pub async fn answer(cluster: &dyn Cluster, fixture: &Fixture) {
    let fingerprint = cluster.fingerprint().clone();
    let open = cluster.capabilities().contains(&Capability::Metrics);
    for stream in streams(&all_probes(), &fingerprint, &fixture.unrouted) {
        if let Observation::Metrics { component, .. } = &stream.observation
            && !open
            && matches!(component, StaticPod::KubeControllerManager | StaticPod::KubeScheduler)
        {
            continue;
        }
        let seconds = stream.rate.timeout.0.as_secs().max(5);
        let ask = || cluster.observe(&stream.observation, attempt(0, seconds));
        let told = until(&stream.name, ask, Result::is_ok).await.unwrap();
        let fits = match (&stream.observation, &told) {
            (
                Observation::ApiRead { .. } | Observation::Health { .. } | Observation::Converge,
                Observed::Answered,
            ) => true,
            (
                Observation::ApiWrite { .. } | Observation::EtcdPut { .. },
                Observed::Acknowledged { number, .. },
            ) => *number == 0,
            (Observation::EtcdStatus { .. }, Observed::Member { leader, term, applied, .. }) => {
                leader.is_some() && *term > 0 && *applied > 0
            }
            (Observation::Lease { .. }, Observed::Lease { holder, renewed }) => {
                let node = holder.split('_').next().unwrap_or_default();
                !renewed.is_empty() && fingerprint.nodes.iter().any(|known| known.name == node)
            }
            (Observation::Nodes, Observed::Nodes(nodes)) => {
                nodes.len() == fingerprint.nodes.len() && nodes.iter().all(|node| node.ready == "True")
            }
            (Observation::Pods, Observed::Pods(pods)) => {
                pods.len() == 2 && pods.iter().all(|pod| pod.ready && pod.node.is_some())
            }
            (Observation::Schedule, Observed::Scheduled { node }) => {
                fingerprint.nodes.iter().any(|known| known.name == *node)
            }
            (Observation::Workload { .. }, Observed::Served { pod }) => !pod.is_empty(),
            (Observation::NodeLease { .. }, Observed::Renewed { revision }) => *revision > 0,
            (Observation::Metrics { component, .. }, Observed::Metrics { values }) => {
                // A counter with labels is not there before its first event, so not all of the list need be.
                let there = |name: &str| values.keys().any(|key| key.split('/').next() == Some(name));
                let missing: Vec<&str> =
                    metrics::of(*component).map(|metric| metric.name).filter(|name| !there(name)).collect();
                println!("{}: {} numbers, without {missing:?}", stream.name, values.len());
                let always = match component {
                    StaticPod::Etcd => ["leaderChanges", "walFsync"],
                    StaticPod::KubeApiserver => ["readDuration", "leaseRenewals"],
                    StaticPod::KubeControllerManager => ["leading", "started"],
                    StaticPod::KubeScheduler => ["leading", "pendingPods"],
                };
                always.into_iter().all(there) && there(metrics::STARTED) && values.len() <= 60
            }
            _ => false,
        };
        assert!(fits, "{} was told {told:?}", stream.name);
    }
}

pub async fn writes_are_read_back(cluster: &dyn Cluster) {
    let planes: Vec<String> =
        cluster.fingerprint().with_role(NodeRole::ControlPlane).map(|node| node.name.clone()).collect();
    let endpoints: Vec<Endpoint> =
        std::iter::once(Endpoint::Lb).chain(planes.iter().cloned().map(Endpoint::Node)).collect();
    // It falls into the slot of 1 and overwrites that.
    let again = SLOTS + 1;
    for via in &endpoints {
        let write = Observation::ApiWrite { via: via.clone(), conn: Conn::Reused };
        for number in [1, 2, again] {
            let told = cluster.observe(&write, attempt(number, 5)).await;
            assert!(
                matches!(told, Ok(Observed::Acknowledged { number: n, .. }) if n == number),
                "{told:?} {}",
                write.stream()
            );
        }
    }
    for member in &planes {
        let put = Observation::EtcdPut { member: member.clone() };
        for number in [1, 2, again] {
            let told = cluster.observe(&put, attempt(number, 5)).await;
            assert!(
                matches!(told, Ok(Observed::Acknowledged { number: n, .. }) if n == number),
                "{told:?} {}",
                put.stream()
            );
        }
    }
    for through in &endpoints {
        let found = cluster.read_back_api(through).await.unwrap();
        for via in &endpoints {
            let stream = Observation::ApiWrite { via: via.clone(), conn: Conn::Reused }.stream();
            let slots = found.get(&stream).unwrap_or_else(|| panic!("{stream} through {through}: {found:?}"));
            assert_eq!(
                (slots.get(&1), slots.get(&2)),
                (Some(&again), Some(&2)),
                "{stream} through {through}"
            );
        }
    }
    for through in &planes {
        let found = cluster.read_back_etcd(through).await.unwrap();
        for member in &planes {
            let stream = Observation::EtcdPut { member: member.clone() }.stream();
            let keys = found.get(&stream).unwrap_or_else(|| panic!("{stream} through {through}: {found:?}"));
            for number in [1, 2, again] {
                assert_eq!(keys.get(&number), Some(&number), "{stream} through {through}");
            }
        }
    }
}

pub async fn strangers_are_the_observers_own_fault(cluster: &dyn Cluster) {
    let via = Endpoint::Node("nobody".into());
    for observation in [
        Observation::ApiWrite { via, conn: Conn::Reused },
        Observation::EtcdStatus { member: "nobody".into() },
    ] {
        let failure = cluster.observe(&observation, attempt(0, 2)).await.unwrap_err();
        assert_eq!(failure.class, FailureClass::Observer, "{}: {failure}", observation.stream());
    }
}
