//! Whatever goes wrong, faults are undone, and nobody is blamed for it.

use std::sync::atomic::{AtomicBool, Ordering};

use recoup_clusters::{Nodes, Provider};
use recoup_engine::{EngineError, heal::heal, ledger::unhealed};
use recoup_model::{
    action::{NodeAction, Process},
    event::Event,
    plan::Plan,
    topology::NodeRole,
    verdict::Verdict,
};
use recoup_tests::{
    faulty::{FaultyProvider, Meddling},
    offline::{Lab, plan},
};

/// Holds static pods down or freezes processes for long.
fn frozen() -> Plan {
    plan("controller-manager/lease-expiry/stop").unwrap()
}

fn held() -> Plan {
    let plans = recoup_tests::offline::plans(&["etcd/quorum-loss"]).unwrap();
    plans.into_iter().next().unwrap()
}

const CLUSTER: &str = "recoup-ha";

/// No process of the control plane is stopped or missing.
async fn assert_whole(lab: &Lab) {
    let cluster = lab.sim.cluster(CLUSTER).unwrap();
    let fingerprint = recoup_clusters::Cluster::fingerprint(&*cluster).clone();
    // A static pod's manifest is looked for by its kubelet every 20 s, and a restart may be backed off.
    tokio::time::sleep(std::time::Duration::from_secs(120)).await;
    for node in fingerprint.with_role(NodeRole::ControlPlane) {
        for process in
            [Process::Etcd, Process::KubeApiserver, Process::KubeControllerManager, Process::KubeScheduler]
        {
            let seen = cluster.act(&node.name, &NodeAction::Inspect { process }).await.unwrap();
            let states: Vec<char> = seen.processes.iter().map(|one| one.state).collect();
            assert!(!states.is_empty() && !states.contains(&'T'), "{process} on {}: {states:?}", node.name);
        }
    }
}

fn undone(lab: &Lab) -> usize {
    lab.records().iter().filter(|record| matches!(record.event, Event::Undone { .. })).count()
}

#[tokio::test(start_paused = true)]
async fn a_cancel_in_mid_fault_undoes_it_and_blames_nobody() {
    for plan in [frozen(), held()] {
        let lab = Lab::new().unwrap();
        let cancel = lab.cancel.clone();
        let telling = move |record: &recoup_model::event::Record| {
            if matches!(record.event, Event::Evidence { .. }) {
                cancel.cancel();
            }
        };
        let ran = lab.run_telling(std::slice::from_ref(&plan), 1, telling).await.unwrap();
        assert!(matches!(ran.experiments[0], Err(EngineError::Interrupted)), "{:?}", ran.experiments[0]);
        assert!(ran.run.incomplete);
        assert_eq!(
            ran.run.experiments[0].verdict,
            Verdict::Inconclusive,
            "{:?}",
            ran.run.experiments[0].reasons
        );
        assert!(undone(&lab) > 0);
        assert!(unhealed(lab.runs()).unwrap().is_empty());
        assert_whole(&lab).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_mid_fault_undoes_it_and_blames_nobody() {
    for plan in [frozen(), held()] {
        let mut lab = Lab::new().unwrap();
        let broken = AtomicBool::new(false);
        // The first look after the first deed panics.
        lab.provider = Some(FaultyProvider::new(&lab.sim, move |action| match action {
            NodeAction::StaticPodHold { .. } | NodeAction::Signal { .. } => {
                broken.store(true, Ordering::Relaxed);
                Meddling::None
            }
            NodeAction::Inspect { .. } if broken.swap(false, Ordering::Relaxed) => Meddling::Panic,
            _ => Meddling::None,
        }));
        let ran = lab.run(std::slice::from_ref(&plan), 1).await.unwrap();
        let result = &ran.run.experiments[0];
        assert_eq!(result.verdict, Verdict::Inconclusive);
        assert!(result.reasons.iter().any(|reason| reason.contains("panicked")), "{:?}", result.reasons);
        assert!(undone(&lab) > 0);
        assert!(unhealed(lab.runs()).unwrap().is_empty());
        assert_whole(&lab).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_fault_without_evidence_is_inconclusive_and_undone_all_the_same() {
    let mut lab = Lab::new().unwrap();
    lab.provider = Some(FaultyProvider::new(&lab.sim, |action| match action {
        NodeAction::StaticPodHold { .. } => Meddling::Swallow,
        _ => Meddling::None,
    }));
    let ran = lab.run(&[held()], 1).await.unwrap();
    let result = &ran.run.experiments[0];
    assert_eq!(result.verdict, Verdict::Inconclusive, "{:?}", result.reasons);
    assert!(result.reasons.iter().any(|reason| reason.contains("had no effect")), "{:?}", result.reasons);
    assert!(undone(&lab) > 0);
    assert_whole(&lab).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_refuses_is_the_harness_own_failure() {
    let mut lab = Lab::new().unwrap();
    lab.provider = Some(FaultyProvider::new(&lab.sim, |action| match action {
        NodeAction::Signal { .. } => Meddling::Refuse,
        _ => Meddling::None,
    }));
    let plan = plan("scheduler/lease-expiry/kill").unwrap();
    let ran = lab.run(&[plan], 1).await.unwrap();
    assert_eq!(ran.run.experiments[0].verdict, Verdict::Inconclusive);
}

#[tokio::test(start_paused = true)]
async fn what_a_killed_run_left_is_healed_by_another_from_the_ledger_alone() {
    let lab = Lab::new().unwrap();
    let plan = frozen();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let mut session = lab
        .session(std::slice::from_ref(&plan), 1, move |record| {
            if matches!(record.event, Event::Evidence { .. }) {
                let _ = tell.send(());
            }
        })
        .unwrap();
    // Dropped in the middle: neither the engine's own undo nor any destructor of its guards runs to the end.
    let dying = tokio::spawn(async move { session.experiment(&plan).await.map(drop) });
    told.recv().await.unwrap();
    assert!(unhealed(lab.runs()).unwrap().is_empty(), "a live run's faults are its own");
    dying.abort();
    assert!(dying.await.unwrap_err().is_cancelled());
    tokio::task::yield_now().await;

    let pending: usize = unhealed(lab.runs()).unwrap().iter().map(|(_, ledger)| ledger.pending().len()).sum();
    assert!(pending > 0, "nothing was left to heal");
    let healed = heal(lab.runs(), &*lab.sim, None).await.unwrap();
    assert_eq!(healed.len(), pending);
    for one in &healed {
        assert!(matches!(one.outcome, Ok(true)), "{one:?}");
    }
    assert!(unhealed(lab.runs()).unwrap().is_empty());
    assert_eq!(heal(lab.runs(), &*lab.sim, None).await.unwrap().len(), 0, "healing again does nothing");
    assert!(!lab.sim.list().await.unwrap().is_empty());
    assert_whole(&lab).await;
}
