//! What the components say of themselves.

use std::collections::BTreeMap;

use recoup_model::metrics::STARTED;

use super::*;

fn asked(component: StaticPod, node: &str) -> Observation {
    Observation::Metrics { component, node: node.into() }
}

async fn read(lab: &Lab, component: StaticPod, node: &str) -> BTreeMap<String, i64> {
    match lab.works(&asked(component, node)).await {
        Observed::Metrics { values } => values,
        other => panic!("no metrics: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn an_election_is_counted_by_the_members_that_saw_it() {
    let lab = Lab::ha(3);
    let leader = lab.leader().await;
    let other = CONTROL_PLANES.into_iter().find(|node| *node != leader).expect("three of them");
    let before = read(&lab, StaticPod::Etcd, other).await["leaderChanges"];
    lab.signal(&leader, Process::Etcd, Signal::Kill).await;
    lab.fails(&asked(StaticPod::Etcd, &leader), FailureClass::Refused).await;
    sleep(secs(10.0)).await;
    let after = read(&lab, StaticPod::Etcd, other).await["leaderChanges"];
    assert_eq!(after - before, 1_000_000);
}

#[tokio::test(start_paused = true)]
async fn counters_grow_with_time_and_begin_anew_with_their_process() {
    let lab = Lab::ha(4);
    let node = CONTROL_PLANES[1];
    let first = read(&lab, StaticPod::Etcd, node).await;
    sleep(secs(5.0)).await;
    let second = read(&lab, StaticPod::Etcd, node).await;
    assert!(second["walFsync/count"] > first["walFsync/count"]);
    assert!(second["walFsync/sum"] > first["walFsync/sum"]);
    assert_eq!(first[STARTED], second[STARTED]);
    assert!(first.len() <= 60, "{}", first.len());
    lab.signal(node, Process::Etcd, Signal::Kill).await;
    sleep(secs(10.0)).await;
    let third = read(&lab, StaticPod::Etcd, node).await;
    assert!(third[STARTED] > second[STARTED]);
    assert!(third["walFsync/count"] < second["walFsync/count"]);
}

#[tokio::test(start_paused = true)]
async fn one_instance_says_that_it_leads() {
    let lab = Lab::ha(5);
    for component in [StaticPod::KubeControllerManager, StaticPod::KubeScheduler] {
        let mut leading = 0;
        for node in CONTROL_PLANES {
            leading += read(&lab, component, node).await["leading"];
        }
        assert_eq!(leading, 1_000_000, "{component:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_frozen_component_tells_nothing() {
    let lab = Lab::ha(6);
    let node = CONTROL_PLANES[0];
    lab.signal(node, Process::KubeScheduler, Signal::Stop).await;
    lab.fails(&asked(StaticPod::KubeScheduler, node), FailureClass::Timeout).await;
    lab.signal(node, Process::KubeScheduler, Signal::Cont).await;
    read(&lab, StaticPod::KubeScheduler, node).await;
}
