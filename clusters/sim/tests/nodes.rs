//! Nodes, the workload's pods, kube-proxy's rules.

use recoup_model::action::Unit;

use super::*;

fn not_ready(truth: &Truth) -> bool {
    matches!(truth, Truth::NodeNotReady(_))
}

#[tokio::test(start_paused = true)]
async fn a_node_without_kubelet_is_not_ready_within_the_grace_period() {
    for seed in 0..12 {
        let lab = Lab::ha(seed);
        sleep(secs(0.83 * f64::from(u32::try_from(seed).expect("small")))).await;
        let before = lab.now();
        lab.act(WORKERS[0], NodeAction::UnitStop { unit: Unit::Kubelet }).await;
        sleep(secs(70.0)).await;
        let took = lab.first(before, not_ready).expect("it is noticed");
        assert!((39.5..=60.5).contains(&took), "seed {seed}: {took}");
    }
}

#[tokio::test(start_paused = true)]
async fn pods_of_a_lost_kubelet_are_evicted_replaced_and_cleared_on_its_return() {
    let lab = Lab::ha(1);
    lab.workload(Some(10)).await;
    let pods = lab.pods().await;
    let old = pods.iter().find(|p| p.node.as_deref() == Some(WORKERS[0])).expect("spread").name.clone();
    let before = lab.now();
    lab.act(WORKERS[0], NodeAction::UnitStop { unit: Unit::Kubelet }).await;
    sleep(secs(66.0)).await;
    let noticed = lab.first(before, not_ready).expect("noticed");
    sleep(secs(15.0)).await;
    let pods = lab.pods().await;
    assert_eq!(
        pods.iter().filter(|p| p.ready && p.node.as_deref() == Some(WORKERS[1])).count(),
        2,
        "{pods:?}"
    );
    assert!(pods.iter().any(|p| p.name == old && p.deleting && !p.ready), "{pods:?}");
    let replaced = lab.first(before, |t| matches!(t, Truth::PodServing(node, _) if node == WORKERS[1]));
    let replaced = replaced.expect("replaced");
    assert!((noticed + 10.0..noticed + 16.0).contains(&replaced), "{noticed} {replaced}");
    let served = lab.works(&pod(WORKERS[0])).await;
    assert_eq!(served, Observed::Served { pod: old.clone() }, "the old copy still runs");
    let Observed::Nodes(nodes) = lab.works(&Observation::Nodes).await else { panic!() };
    let lost = nodes.iter().find(|n| n.name == WORKERS[0]).expect("listed");
    assert_eq!(lost.ready, "Unknown");
    assert_eq!(
        lost.taints,
        ["node.kubernetes.io/unreachable:NoExecute", "node.kubernetes.io/unreachable:NoSchedule"]
    );
    lab.act(WORKERS[0], NodeAction::UnitStart { unit: Unit::Kubelet }).await;
    sleep(secs(20.0)).await;
    lab.fails(&pod(WORKERS[0]), FailureClass::Refused).await;
    assert!(lab.cluster.health().await.is_empty(), "{:?}", lab.cluster.health().await);
    assert_eq!(lab.pods().await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn by_default_pods_tolerate_a_lost_node_for_five_minutes() {
    let lab = Lab::ha(2);
    lab.workload(None).await;
    let before = lab.now();
    lab.act(WORKERS[1], NodeAction::Pause).await;
    sleep(secs(380.0)).await;
    let replaced = lab.first(before, |t| matches!(t, Truth::PodServing(..))).expect("replaced");
    assert!((340.0..=367.0).contains(&replaced), "{replaced}");
}

#[tokio::test(start_paused = true)]
async fn no_controller_manager_no_eviction() {
    let lab = Lab::ha(3);
    for node in CONTROL_PLANES {
        lab.hold(node, StaticPod::KubeControllerManager).await;
    }
    lab.act(WORKERS[0], NodeAction::UnitStop { unit: Unit::Kubelet }).await;
    sleep(secs(120.0)).await;
    assert_eq!(lab.first(Duration::ZERO, not_ready), None);
    for node in CONTROL_PLANES {
        lab.restore(node, StaticPod::KubeControllerManager).await;
    }
    let before = lab.now();
    sleep(secs(90.0)).await;
    let took = lab.first(before, not_ready).expect("noticed at last");
    assert!(took > 50.0, "a new one knows no node's health: {took}");
}

#[tokio::test(start_paused = true)]
async fn a_killed_container_comes_back_without_the_api() {
    let lab = Lab::ha(4);
    lab.workload(None).await;
    for node in &CONTROL_PLANES[..2] {
        lab.hold(node, StaticPod::Etcd).await;
    }
    let name = match lab.works(&pod(WORKERS[0])).await {
        Observed::Served { pod } => pod,
        other => panic!("{other:?}"),
    };
    let signal = NodeAction::SignalPod { pod: name.clone(), signal: Signal::Kill };
    assert_eq!(lab.act(WORKERS[0], signal.clone()).await.processes.len(), 1);
    lab.fails(&pod(WORKERS[0]), FailureClass::Refused).await;
    assert!(lab.until_works(&pod(WORKERS[0]), 5.0).await < 2.0);
    lab.act(WORKERS[0], signal).await;
    assert!(lab.until_works(&pod(WORKERS[0]), 15.0).await > 8.0, "back-off");
    lab.works(&service(WORKERS[1])).await;
}

#[tokio::test(start_paused = true)]
async fn a_deleted_pod_is_replaced_and_without_quorum_it_is_not() {
    let lab = Lab::ha(5);
    lab.workload(None).await;
    let names = vec![lab.pods().await[0].name.clone()];
    lab.cluster.delete_pods(&names, secs(2.0)).await.expect("granted");
    sleep(secs(5.0)).await;
    let now = lab.pods().await;
    assert!(now.len() == 2 && now.iter().all(|p| p.ready && p.name != names[0]), "{now:?}");
    for node in &CONTROL_PLANES[..2] {
        lab.hold(node, StaticPod::Etcd).await;
    }
    let names = vec![now[0].name.clone()];
    let refused = lab.cluster.delete_pods(&names, secs(2.0)).await.expect_err("no quorum");
    assert!(matches!(refused.class, FailureClass::Timeout | FailureClass::Unavailable), "{refused}");
    let before = lab.now();
    sleep(secs(30.0)).await;
    assert_eq!(lab.first(before, |t| matches!(t, Truth::PodServing(..) | Truth::PodSilent(_))), None);
}

#[tokio::test(start_paused = true)]
async fn a_frozen_kube_proxy_keeps_stale_rules() {
    let lab = Lab::ha(6);
    lab.workload(None).await;
    let from = WORKERS[0];
    lab.signal(from, Process::KubeProxy, Signal::Stop).await;
    let old: Vec<String> = lab.pods().await.into_iter().map(|p| p.name).collect();
    lab.cluster.delete_pods(&old, secs(2.0)).await.expect("granted");
    sleep(secs(10.0)).await;
    assert!(lab.observe(&service(from), 0, 1.0).await.is_err(), "its rules lead nowhere");
    lab.works(&service(WORKERS[1])).await;
    let health = Observation::Health {
        node: from.into(),
        component: recoup_model::observation::HealthPort::KubeProxy,
    };
    lab.fails(&health, FailureClass::Timeout).await;
    lab.signal(from, Process::KubeProxy, Signal::Cont).await;
    assert!(lab.until_works(&service(from), 5.0).await < 1.5);
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_is_down_leaves_containers_running_and_its_node_not_ready() {
    let lab = Lab::ha(7);
    lab.workload(None).await;
    let before = lab.now();
    lab.act(WORKERS[0], NodeAction::UnitStop { unit: Unit::Containerd }).await;
    sleep(secs(60.0)).await;
    let took = lab.first(before, not_ready).expect("the kubelet says so");
    assert!((30.0..=45.0).contains(&took), "{took}");
    lab.works(&pod(WORKERS[0])).await;
    lab.act(WORKERS[0], NodeAction::UnitStart { unit: Unit::Containerd }).await;
    sleep(secs(30.0)).await;
    assert!(lab.cluster.health().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_partitioned_worker_is_lost_and_its_observer_too() {
    let lab = Lab::ha(8);
    lab.workload(None).await;
    let rule = recoup_model::action::DropRule { tag: "all".into(), peers: vec![], ports: vec![] };
    lab.act(WORKERS[0], NodeAction::DropAdd { rule }).await;
    lab.fails(&pod(WORKERS[0]), FailureClass::Observer).await;
    let before = lab.now();
    sleep(secs(70.0)).await;
    assert!(lab.first(before, not_ready).is_some());
    lab.act(WORKERS[0], NodeAction::DropRemove { tag: "all".into() }).await;
    sleep(secs(60.0)).await;
    assert!(lab.cluster.health().await.is_empty(), "{:?}", lab.cluster.health().await);
}
