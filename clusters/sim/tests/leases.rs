//! Leader election of controller-manager and scheduler.

use super::*;

const MANAGER: &str = "kube-controller-manager";
const SCHEDULER: &str = "kube-scheduler";

fn acquired(lease: &'static str) -> impl Fn(&Truth) -> bool {
    move |truth| matches!(truth, Truth::HolderAcquired(_, name) if name == lease)
}

/// Seconds from a signal to the holder until another holds the lease.
async fn takeover(lab: &Lab, lease: &'static str, process: Process, signal: Signal) -> f64 {
    let holder = lab.holder(lease).await;
    let identity = lab.identity(lease).await;
    sleep(secs(0.037)).await;
    let before = lab.now() + secs(0.05);
    lab.signal(&holder, process, signal).await;
    sleep(secs(40.0)).await;
    assert_ne!(lab.identity(lease).await, identity);
    lab.first(before, acquired(lease)).expect("a new holder")
}

#[tokio::test(start_paused = true)]
async fn a_killed_holder_is_replaced_when_its_lease_has_run_out() {
    let mut all = Vec::new();
    for seed in 0..30 {
        let lab = Lab::ha(seed);
        sleep(secs(0.31 * f64::from(u32::try_from(seed).expect("small")))).await;
        let took = takeover(&lab, MANAGER, Process::KubeControllerManager, Signal::Kill).await;
        assert!((13.0..=24.5).contains(&took), "seed {seed}: {took} s");
        all.push(took);
    }
    let spread = all.iter().copied().fold(f64::MIN, f64::max) - all.iter().copied().fold(f64::MAX, f64::min);
    assert!(spread > 3.0, "the jitter shows: {spread}");
}

#[tokio::test(start_paused = true)]
async fn a_terminated_scheduler_releases_its_lease_and_the_controller_manager_does_not() {
    for seed in 0..10 {
        let lab = Lab::ha(seed);
        let scheduler = takeover(&lab, SCHEDULER, Process::KubeScheduler, Signal::Term).await;
        assert!(scheduler < 4.5, "seed {seed}: {scheduler}");
        let manager = takeover(&lab, MANAGER, Process::KubeControllerManager, Signal::Term).await;
        assert!((13.0..=24.5).contains(&manager), "seed {seed}: {manager}");
    }
}

#[tokio::test(start_paused = true)]
async fn short_leases_are_taken_sooner() {
    for seed in 0..10 {
        let lab = Lab::new("ha-short-lease", seed);
        let took = takeover(&lab, MANAGER, Process::KubeControllerManager, Signal::Kill).await;
        assert!((4.0..=9.9).contains(&took), "seed {seed}: {took} s");
    }
}

#[tokio::test(start_paused = true)]
async fn a_thawed_holder_exits_and_stays_a_candidate() {
    let lab = Lab::ha(2);
    let holder = lab.holder(MANAGER).await;
    let process = Process::KubeControllerManager;
    let stopped = lab.signal(&holder, process, Signal::Stop).await.processes;
    sleep(secs(30.0)).await;
    assert_ne!(lab.holder(MANAGER).await, holder);
    let seen = lab.act(&holder, NodeAction::Inspect { process }).await.processes;
    assert_eq!((&seen[0].id, seen[0].state), (&stopped[0].id, 'T'));
    let only = Some(seen[0].id.clone());
    lab.act(&holder, NodeAction::Signal { process, signal: Signal::Cont, only: only.clone() }).await;
    sleep(secs(20.0)).await;
    let seen = lab.act(&holder, NodeAction::Inspect { process }).await.processes;
    assert_ne!(seen[0].id, stopped[0].id, "it gave up and was started again");
    let report = lab.act(&holder, NodeAction::Signal { process, signal: Signal::Cont, only }).await;
    assert!(!report.changed && report.processes.is_empty(), "an undo never hits a stranger");
    assert_ne!(lab.holder(MANAGER).await, holder);
}

#[tokio::test(start_paused = true)]
async fn a_holder_whose_api_server_is_down_gives_up_after_the_renew_deadline() {
    let lab = Lab::ha(5);
    let holder = lab.holder(MANAGER).await;
    let before = lab.now();
    lab.hold(&holder, StaticPod::KubeApiserver).await;
    sleep(secs(40.0)).await;
    let ended = |t: &Truth| *t == Truth::ProcessEnded(holder.clone(), Process::KubeControllerManager);
    let took = lab.first(before, ended).expect("it exits");
    assert!((8.0..=14.5).contains(&took), "{took}");
    let other = CONTROL_PLANES.into_iter().find(|n| *n != holder).expect("two of them");
    let told = lab.observe(&Observation::Lease { name: MANAGER.into() }, 1, 1.0).await;
    let told = match told {
        Ok(told) => told,
        Err(_) => lab.observe(&Observation::Lease { name: MANAGER.into() }, 2, 1.0).await.expect(other),
    };
    assert!(matches!(told, Observed::Lease { holder: new, .. } if !new.starts_with(&format!("{holder}_"))));
}

#[tokio::test(start_paused = true)]
async fn renewals_show_in_the_lease() {
    let lab = Lab::ha(7);
    let renewed = async || match lab.works(&Observation::Lease { name: SCHEDULER.into() }).await {
        Observed::Lease { renewed, .. } => renewed,
        other => panic!("{other:?}"),
    };
    let first = renewed().await;
    sleep(secs(2.5)).await;
    let second = renewed().await;
    assert!(
        first < second && first.starts_with("2025-01-01T00:0") && first.ends_with('Z'),
        "{first} {second}"
    );
}

#[tokio::test(start_paused = true)]
async fn deployments_and_pods_wait_for_their_component() {
    let lab = Lab::ha(8);
    let quick = Instant::now();
    lab.observe(&Observation::Converge, 0, 20.0).await.expect("created");
    assert!(quick.elapsed() > secs(1.0) && quick.elapsed() < secs(6.0), "{:?}", quick.elapsed());
    lab.observe(&Observation::Converge, 1, 20.0).await.expect("gone");
    lab.observe(&Observation::Schedule, 0, 5.0).await.expect("scheduled");
    lab.signal(&lab.holder(SCHEDULER).await, Process::KubeScheduler, Signal::Kill).await;
    assert!(lab.observe(&Observation::Schedule, 1, 5.0).await.is_err(), "no scheduler");
    lab.observe(&Observation::Schedule, 2, 30.0).await.expect("a new scheduler");
    lab.signal(&lab.holder(MANAGER).await, Process::KubeControllerManager, Signal::Kill).await;
    assert!(lab.observe(&Observation::Converge, 2, 5.0).await.is_err(), "no controller-manager");
    lab.observe(&Observation::Converge, 3, 40.0).await.expect("a new controller-manager");
}
