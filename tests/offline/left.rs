//! What outlives an experiment: a node undoes what nobody else does, what is left makes no verdict and no next
//! experiment, and a kubelet's back-off does not leak into the next trial.

use std::time::Duration;

use recoup_clusters::Nodes;
use recoup_engine::EngineError;
use recoup_model::{
    action::{NodeAction, Signal, StaticPod},
    event::{Event, Record, Stage},
    plan::Plan,
    time::Offset,
    verdict::Verdict,
};
use recoup_tests::{
    faulty::{FaultyProvider, Meddling},
    offline::{Lab, plan, plans},
};

const CLUSTER: &str = "recoup-ha";

fn held() -> Plan {
    plans(&["etcd/quorum-loss"]).unwrap().into_iter().next().unwrap()
}

fn surveys(records: &[Record], wanted: Stage) -> usize {
    let fits = |record: &&Record| matches!(&record.event, Event::Surveyed { stage, .. } if *stage == wanted);
    records.iter().filter(fits).count()
}

#[tokio::test(start_paused = true)]
async fn every_node_is_surveyed_before_and_after_and_a_clean_one_says_nothing() {
    let lab = Lab::new().unwrap();
    let ran = lab.run(&[held()], 1).await.unwrap();
    let result = &ran.run.experiments[0];
    assert_eq!(result.verdict, Verdict::Pass, "{:?}", result.reasons);
    let records = lab.records();
    assert_eq!((surveys(&records, Stage::Before), surveys(&records, Stage::After)), (5, 5));
    let lasted =
        result.bands.iter().flat_map(|band| &band.evidence).filter(|(check, ..)| check.contains("lasted"));
    assert_eq!(lasted.count(), 2, "one per node: {:?}", result.bands);
}

/// Neither the undo nor the node's own deadline is carried out: that is residue, not the cluster's failure.
#[tokio::test(start_paused = true)]
async fn what_is_left_behind_makes_no_verdict_and_the_cluster_is_not_used_again() {
    let mut lab = Lab::new().unwrap();
    lab.provider = Some(FaultyProvider::new(&lab.sim, |action| match action {
        NodeAction::Signal { signal: Signal::Cont, .. } | NodeAction::DeadlineSet { .. } => Meddling::Swallow,
        _ => Meddling::None,
    }));
    // The frozen holder's lease goes to another one, so that the cluster is healthy with the frozen process in it.
    let plan = plan("scheduler/lease-expiry/stop").unwrap();
    let mut session = lab.session(std::slice::from_ref(&plan), 1, |_| {}).unwrap();
    let result = session.experiment(&plan).await.unwrap();
    assert_eq!(result.verdict, Verdict::Inconclusive, "{:?}", result.reasons);
    let named = |part: &str| result.reasons.iter().any(|reason| reason.contains(part));
    assert!(named("left behind on") && named("stopped process: kube-scheduler"), "{:?}", result.reasons);
    assert!(named("nothing was left to undo"), "{:?}", result.reasons);
    let refused = session.experiment(&plan).await.map(|result| result.verdict).unwrap_err();
    assert!(
        matches!(&refused, EngineError::Cluster(error) if error.to_string().contains("is not as it was")),
        "{refused}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_fault_that_somebody_else_ends_early_is_no_fault() {
    let lab = Lab::new().unwrap();
    let cluster = std::sync::Arc::clone(&lab.sim);
    let meddle = move |record: &Record| {
        if let Event::Evidence { node, .. } = &record.event {
            let (sim, node) = (std::sync::Arc::clone(&cluster), node.clone());
            tokio::spawn(async move {
                let restore = NodeAction::StaticPodRestore { pod: StaticPod::Etcd };
                sim.cluster(CLUSTER).unwrap().act(&node, &restore).await.map(drop)
            });
        }
    };
    let ran = lab.run_telling(&[held()], 1, meddle).await.unwrap();
    let result = &ran.run.experiments[0];
    assert_eq!(result.verdict, Verdict::Inconclusive, "{:?}", result.reasons);
    assert!(
        result.reasons.iter().any(|reason| reason.contains("lasted until it was undone")),
        "{:?}",
        result.reasons
    );
}

#[tokio::test(start_paused = true)]
async fn a_node_undoes_by_itself_what_a_killed_run_and_everybody_else_leaves() {
    for id in ["controller-manager/lease-expiry/stop", "etcd/quorum-loss", "kubelet/down"] {
        let lab = Lab::new().unwrap();
        let plan = plans(&[id]).unwrap().into_iter().next().unwrap();
        let hold = plan.steps.iter().filter_map(recoup_model::spec::Step::hold).max().unwrap().0;
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let mut session = lab
            .session(std::slice::from_ref(&plan), 1, move |record| {
                if matches!(record.event, Event::Evidence { .. }) {
                    let _ = tell.send(());
                }
            })
            .unwrap();
        let dying = tokio::spawn(async move { session.experiment(&plan).await.map(drop) });
        told.recv().await.unwrap();
        dying.abort();
        assert!(dying.await.unwrap_err().is_cancelled());
        let cluster = lab.sim.cluster(CLUSTER).unwrap();
        let left = async || {
            let mut lines = Vec::new();
            for node in &recoup_clusters::Cluster::fingerprint(&*cluster).nodes {
                lines.extend(cluster.act(&node.name, &NodeAction::Survey).await.unwrap().survey);
            }
            let residue = |line: &String| {
                ["stopped", "of ours", "inactive", "packet filter", "paused"]
                    .iter()
                    .any(|word| line.contains(word))
            };
            lines.retain(residue);
            lines
        };
        assert!(!left().await.is_empty(), "{id}: nothing was broken");
        tokio::time::sleep(hold + Duration::from_secs(16)).await;
        assert_eq!(left().await, [""; 0], "{id}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_kubelets_back_off_does_not_leak_into_the_next_experiment() {
    let lab = Lab::new().unwrap();
    let plan = plan("apiserver/instance-loss/kill").unwrap();
    // The same instance each time: it would come back after 0, 10 and 20 s more.
    let node = format!("{CLUSTER}-control-plane");
    let mut plan = plan;
    for step in &mut plan.steps {
        if let recoup_model::spec::Step::Signal(fault) = step {
            assert_eq!(fault.signal, Signal::Kill);
            fault.on = recoup_model::spec::Target::Node(node.clone());
        }
    }
    let trials: Vec<Plan> = (1..=3).map(|trial| Plan { trial, ..plan.clone() }).collect();
    let ran = lab.run(&trials, 1).await.unwrap();
    let records = lab.records();
    let away: Vec<Duration> = records
        .iter()
        .filter_map(|record| match &record.event {
            Event::ProcessBack { missing, seen, .. } => Some((*missing, *seen)),
            _ => None,
        })
        .zip(killed(&records))
        .map(|((_, seen), killed)| seen.since(killed))
        .collect();
    assert_eq!(away.len(), 3, "{:?}", ran.run.experiments);
    assert!(away.iter().all(|away| *away < Duration::from_secs(4)), "{away:?}");
    let findings = records.iter().filter(|record| {
        matches!(&record.event, Event::Precondition { finding, remedy }
            if finding.contains("would delay the next restart") && remedy.contains("works again"))
    });
    assert_eq!(findings.count(), 2, "before the second and the third");
    for result in &ran.run.experiments {
        assert_eq!(result.verdict, Verdict::Pass, "{:?}", result.reasons);
    }
}

fn killed(records: &[Record]) -> Vec<Offset> {
    let kills = records.iter().filter_map(|record| match &record.event {
        Event::Injected { began, .. } => Some(*began),
        _ => None,
    });
    kills.collect()
}
