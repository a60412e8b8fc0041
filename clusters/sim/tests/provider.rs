//! Making clusters, and their determinism.

use recoup_model::topology::ProviderKind;

use super::*;
use crate::{ClusterError, Provider, sim::SimProvider};

#[tokio::test(start_paused = true)]
async fn a_new_cluster_is_healthy_whatever_its_seed() {
    for seed in 0..12 {
        for profile in crate::profile::PROFILES {
            let lab = Lab::new(profile, seed);
            let problems = lab.cluster.health().await;
            assert!(problems.is_empty(), "{profile} {seed}: {problems:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_healthy_cluster_stays_as_it_is() {
    let lab = Lab::ha(9);
    lab.workload(None).await;
    let before = lab.now();
    sleep(secs(600.0)).await;
    assert_eq!(lab.first(before, |_| true), None, "{:?}", lab.cluster.truth().last());
}

/// Everything seen of a run with faults.
async fn history(seed: u64) -> (Vec<(Duration, Truth)>, Vec<String>) {
    let lab = Lab::ha(seed);
    lab.workload(Some(5)).await;
    let mut seen = Vec::new();
    lab.signal(&lab.leader().await, Process::Etcd, Signal::Kill).await;
    lab.act(WORKERS[0], NodeAction::UnitStop { unit: recoup_model::action::Unit::Kubelet }).await;
    for number in 0..300 {
        for asked in
            [write(Endpoint::Lb), read(Endpoint::Lb, Conn::New), put(CONTROL_PLANES[0]), service(WORKERS[1])]
        {
            seen.push(format!("{:?} {:?}", lab.now(), lab.observe(&asked, number, 1.0).await));
        }
        sleep(secs(0.25)).await;
    }
    (lab.cluster.truth(), seen)
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_history_and_another_does_not() {
    let (first, second, other) = (history(11).await, history(11).await, history(12).await);
    assert!(first.0.len() > 5, "{:?}", first.0);
    assert_eq!(first, second);
    assert_ne!(first, other);
}

#[tokio::test(start_paused = true)]
async fn observing_changes_nothing() {
    let watched = Lab::ha(13);
    for number in 0..200 {
        let _ = watched.observe(&read(Endpoint::Lb, Conn::New), number, 1.0).await;
        let _ = watched.observe(&status(CONTROL_PLANES[1]), number, 1.0).await;
    }
    let signal = NodeAction::Signal { process: Process::KubeScheduler, signal: Signal::Kill, only: None };
    let spent = watched.now();
    watched.act(CONTROL_PLANES[0], signal.clone()).await;
    sleep(secs(60.0)).await;
    let alone = Lab::ha(13);
    sleep(spent).await;
    alone.act(CONTROL_PLANES[0], signal).await;
    sleep(secs(60.0)).await;
    assert_eq!(watched.cluster.truth(), alone.cluster.truth());
}

#[tokio::test(start_paused = true)]
async fn a_provider_keeps_its_clusters_and_says_that_they_are_simulated() {
    let provider = SimProvider::new();
    let quiet = |_: String| {};
    let (cluster, made) = provider.obtain(&wanted("ha", 1), &quiet).await.expect("made");
    assert!(made && cluster.fingerprint().provider == ProviderKind::Sim && cluster.fingerprint().simulated());
    assert_eq!(cluster.fingerprint().kind, "recoup-sim/1");
    assert_eq!(cluster.fingerprint().with_role(NodeRole::Worker).count(), 2);
    let (_, made) = provider.obtain(&wanted("ha", 1), &quiet).await.expect("there");
    assert!(!made);
    let nodes = provider.nodes("t").await.expect("there");
    assert!(matches!(nodes.act("x", &NodeAction::Pause).await, Err(ClusterError::NoSuchNode(_))));
    assert_eq!(provider.list().await.expect("there")[0].nodes.len(), 5);
    provider.delete("t", &quiet).await.expect("there");
    assert!(matches!(provider.delete("t", &quiet).await, Err(ClusterError::NoSuchCluster(_))));
    assert!(provider.nodes("t").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_broken_cluster_is_replaced() {
    let provider = SimProvider::new();
    let quiet = |_: String| {};
    let (cluster, _) = provider.obtain(&wanted("ha", 1), &quiet).await.expect("made");
    let hold = NodeAction::StaticPodHold { pod: StaticPod::Etcd, kill: true };
    cluster.act(CONTROL_PLANES[0], &hold).await.expect("held");
    let (_, made) = provider.obtain(&wanted("ha", 2), &quiet).await.expect("made");
    assert!(made);
}
