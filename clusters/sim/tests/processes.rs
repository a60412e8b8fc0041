//! Restarts and their back-off, pauses, units.

use super::*;

/// Seconds from each of three kills in a row to the next process.
async fn kills(lab: &Lab, node: &str, process: Process) -> Vec<f64> {
    let mut waits = Vec::new();
    for _ in 0..3 {
        let killed = lab.signal(node, process, Signal::Kill).await.processes;
        assert_eq!(killed.len(), 1);
        let from = Instant::now();
        loop {
            let seen = lab.act(node, NodeAction::Inspect { process }).await.processes;
            if let [other] = seen.as_slice() {
                assert!(other.id.pid != killed[0].id.pid && other.id.started >= killed[0].id.started);
                break;
            }
            assert!(from.elapsed() < secs(60.0));
        }
        waits.push(from.elapsed().as_secs_f64());
        sleep(secs(1.5)).await;
    }
    waits
}

#[tokio::test(start_paused = true)]
async fn a_static_pod_killed_again_and_again_waits_0_10_20_seconds() {
    let lab = Lab::ha(1);
    let waits = kills(&lab, CONTROL_PLANES[0], Process::KubeScheduler).await;
    for (wait, least) in waits.iter().zip([0.0, 9.8, 19.8]) {
        assert!((least..=least + 2.0).contains(wait), "{waits:?}");
    }
    sleep(secs(700.0)).await;
    let again = kills(&lab, CONTROL_PLANES[0], Process::KubeScheduler).await;
    assert!(again[0] < 2.0, "forgotten after ten minutes: {again:?}");
}

#[tokio::test(start_paused = true)]
async fn a_kubelet_is_restarted_by_systemd_every_time_after_a_second() {
    let lab = Lab::ha(2);
    let waits = kills(&lab, WORKERS[0], Process::Kubelet).await;
    assert!(waits.iter().all(|wait| (0.7..=1.6).contains(wait)), "{waits:?}");
    let health = |component| Observation::Health { node: WORKERS[0].into(), component };
    lab.until_works(&health(recoup_model::observation::HealthPort::Kubelet), 3.0).await;
    lab.works(&health(recoup_model::observation::HealthPort::KubeProxy)).await;
}

#[tokio::test(start_paused = true)]
async fn a_held_static_pod_stays_away_until_restored_and_knows_no_back_off() {
    let lab = Lab::ha(3);
    let node = CONTROL_PLANES[1];
    lab.hold(node, StaticPod::KubeScheduler).await;
    sleep(secs(60.0)).await;
    let process = Process::KubeScheduler;
    assert!(lab.act(node, NodeAction::Inspect { process }).await.processes.is_empty());
    lab.restore(node, StaticPod::KubeScheduler).await;
    sleep(secs(2.0)).await;
    assert_eq!(lab.act(node, NodeAction::Inspect { process }).await.processes.len(), 1);
    let again = lab.act(node, NodeAction::StaticPodRestore { pod: StaticPod::KubeScheduler }).await;
    assert!(!again.changed, "an undo may come twice");
}

#[tokio::test(start_paused = true)]
async fn a_manifest_moved_aside_ends_its_process_gently() {
    let lab = Lab::ha(4);
    let node = CONTROL_PLANES[1];
    let before = lab.now();
    lab.act(node, NodeAction::StaticPodHold { pod: StaticPod::KubeApiserver, kill: false }).await;
    sleep(secs(3.0)).await;
    lab.fails(&read(at(node), Conn::New), FailureClass::Refused).await;
    sleep(secs(40.0)).await;
    let ended = |t: &Truth| *t == Truth::ProcessEnded(node.into(), Process::KubeApiserver);
    let took = lab.first(before, ended).expect("it ends");
    assert!((30.0..=32.0).contains(&took), "its grace period: {took}");
}

#[tokio::test(start_paused = true)]
async fn a_frozen_static_pod_is_replaced_by_liveness() {
    let lab = Lab::ha(5);
    let node = CONTROL_PLANES[0];
    let before = lab.now();
    lab.signal(node, Process::KubeApiserver, Signal::Stop).await;
    sleep(secs(200.0)).await;
    let ended = |t: &Truth| *t == Truth::ProcessEnded(node.into(), Process::KubeApiserver);
    let took = lab.first(before, ended).expect("its kubelet kills it");
    assert!((120.0..=152.0).contains(&took), "{took}");
    lab.works(&write(at(node))).await;
}

#[tokio::test(start_paused = true)]
async fn a_kubelet_that_is_away_restarts_nothing() {
    let lab = Lab::ha(6);
    let node = CONTROL_PLANES[0];
    let unit = recoup_model::action::Unit::Kubelet;
    assert!(lab.act(node, NodeAction::UnitStop { unit }).await.changed);
    assert!(!lab.act(node, NodeAction::UnitStop { unit }).await.changed);
    lab.signal(node, Process::KubeScheduler, Signal::Kill).await;
    sleep(secs(20.0)).await;
    let look = NodeAction::Inspect { process: Process::KubeScheduler };
    assert!(lab.act(node, look.clone()).await.processes.is_empty());
    assert!(lab.act(node, NodeAction::UnitStart { unit }).await.changed);
    assert!(!lab.act(node, NodeAction::UnitStart { unit }).await.changed, "an undo may come twice");
    sleep(secs(4.0)).await;
    assert_eq!(lab.act(node, look).await.processes.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_paused_node_is_silent_and_goes_on_when_thawed() {
    let lab = Lab::ha(7);
    let node = CONTROL_PLANES[2];
    assert!(lab.act(node, NodeAction::Pause).await.changed);
    assert!(lab.act(node, NodeAction::InspectNode).await.paused);
    lab.fails(&status(node), FailureClass::Timeout).await;
    lab.fails(&read(at(node), Conn::New), FailureClass::Timeout).await;
    let refused = lab.cluster.act(node, &NodeAction::Inspect { process: Process::Etcd }).await;
    assert!(refused.is_err_and(|e| e.to_string().contains("paused")));
    sleep(secs(5.0)).await;
    assert!(lab.act(node, NodeAction::Unpause).await.changed);
    assert!(!lab.act(node, NodeAction::Unpause).await.changed, "an undo may come twice");
    lab.until_works(&put(node), 5.0).await;
    assert!(lab.cluster.health().await.is_empty());
}
