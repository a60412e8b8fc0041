//! What is measured from outside agrees with what the simulation knows happened inside.

use std::time::Duration;

use recoup_clusters::sim::Truth;
use recoup_model::{
    action::Process,
    event::Event,
    spec::When,
    verdict::{ExperimentResult, Measure},
};
use recoup_tests::offline::{Lab, plan};

const SEEDS: [u64; 3] = [1, 2, 3];

/// One experiment's result, and the truth by the run's offsets from the fault on.
async fn measured(id: &str, seed: u64) -> (ExperimentResult, Vec<(Duration, Truth)>) {
    let lab = Lab::new().unwrap();
    let ran = lab.run(&[plan(id).unwrap()], seed).await.unwrap();
    let made = lab.records().into_iter().find_map(|record| match record.event {
        Event::ClusterReady { fingerprint, created: true, .. } => Some((record.at, fingerprint.cluster)),
        _ => None,
    });
    let (at, name) = made.expect("a cluster was made");
    let began = lab.records().into_iter().find_map(|record| match record.event {
        Event::Injected { began, .. } => Some(Duration::from_micros(began.0)),
        _ => None,
    });
    let began = began.expect("something was injected");
    let mut truth = lab.sim.cluster(&name).expect("the cluster is there").truth();
    for (when, _) in &mut truth {
        *when += Duration::from_micros(at.0);
    }
    truth.retain(|(when, _)| *when >= began);
    (ran.run.experiments[0].clone(), truth)
}

fn first(truth: &[(Duration, Truth)], after: Duration, what: impl Fn(&Truth) -> bool) -> Duration {
    let found = truth.iter().find(|(when, fact)| *when >= after && what(fact));
    found.unwrap_or_else(|| panic!("it never happened: {truth:#?}")).0
}

/// The milestone's bounds hold the true length.
fn holds(result: &ExperimentResult, seed: u64, when: impl Fn(&When) -> bool, truly: Duration) {
    let interval =
        result.intervals.iter().find(|interval| when(&interval.milestone.when)).expect("the milestone");
    let Measure::Measured { value, low, high } = interval.measure else {
        panic!("{} (seed {seed}): {}: {}", result.id, interval.milestone.name, interval.measure);
    };
    let name = &interval.milestone.name;
    assert!(low <= value && value <= high, "{name}: {}", interval.measure);
    assert!(
        low.0 <= truly && truly <= high.0,
        "{} (seed {seed}): {name} truly took {truly:?}, and was measured as {}",
        result.id,
        interval.measure
    );
    // A bound that is wide enough to hold anything says nothing.
    assert!(high.0 - low.0 < Duration::from_secs(3), "{name}: {}", interval.measure);
}

#[tokio::test(start_paused = true)]
async fn a_new_lease_holder() {
    for (id, lease) in [
        ("controller-manager/lease-expiry/kill", "kube-controller-manager"),
        ("scheduler/lease-expiry/kill", "kube-scheduler"),
    ] {
        for seed in SEEDS {
            let (result, truth) = measured(id, seed).await;
            let lost =
                first(&truth, Duration::ZERO, |fact| matches!(fact, Truth::HolderLost(_, l) if l == lease));
            let taken = first(&truth, lost, |fact| matches!(fact, Truth::HolderAcquired(_, l) if l == lease));
            holds(&result, seed, |when| matches!(when, When::NewHolder(l) if l == lease), taken - lost);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_raft_leader() {
    for seed in SEEDS {
        let (result, truth) = measured("etcd/leader-loss/kill", seed).await;
        let lost = first(&truth, Duration::ZERO, |fact| matches!(fact, Truth::LeaderLost(_)));
        let elected = first(&truth, lost, |fact| matches!(fact, Truth::LeaderElected(..)));
        holds(&result, seed, |when| *when == When::NewLeader, elected - lost);
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_not_ready() {
    for seed in SEEDS {
        let (result, truth) = measured("kubelet/down", seed).await;
        let ended =
            first(&truth, Duration::ZERO, |fact| matches!(fact, Truth::ProcessEnded(_, Process::Kubelet)));
        let unready = first(&truth, ended, |fact| matches!(fact, Truth::NodeNotReady(_)));
        holds(&result, seed, |when| *when == When::NotReady, unready - ended);
    }
}
