//! What a node says of what faults leave behind, what it undoes by itself, and settings that are changed and put back.

use std::{collections::BTreeMap, time::Duration};

use recoup_model::{
    action::{DropRule, NodeAction, Process, Signal, StaticPod, Unit},
    degrade::SlowRule,
    quantity::Percent,
    time::Span,
};
use tokio::time::{Instant, sleep};

use crate::{actions::Hand, until};

const KUBELET: Unit = Unit::Kubelet;
const SCHEDULER: StaticPod = StaticPod::KubeScheduler;

impl Hand {
    async fn survey(&self) -> Vec<String> {
        self.act(NodeAction::Survey).await.survey
    }

    /// Waits for the scheduler. Its kubelet first forgets that it was ended so often.
    async fn scheduler_runs(&self) {
        self.act(NodeAction::UnitRestart { unit: KUBELET }).await;
        self.runs(SCHEDULER.process()).await;
    }

    async fn as_before(&self, before: &Vec<String>, what: &str) {
        let what = format!("the node to be as before {what}");
        until(&what, || self.survey(), |now| now == before).await;
    }
}

pub async fn behind(plane: &Hand, worker: &Hand) {
    overrides(worker).await;
    restarts(worker).await;
    flags(plane).await;
    surveys(plane, worker).await;
    deadlines(plane, worker).await;
}

fn no_restart() -> NodeAction {
    let settings = BTreeMap::from([("Restart".to_owned(), "no".to_owned())]);
    NodeAction::UnitOverride { unit: KUBELET, settings }
}

async fn overrides(hand: &Hand) {
    let process = KUBELET.process();
    let remove = NodeAction::UnitOverrideRemove { unit: KUBELET };
    let before = hand.runs(process).await;
    hand.act(no_restart()).await;
    assert_eq!(hand.ids(process).await, before, "an override restarts nothing");
    hand.act(NodeAction::Signal { process, signal: Signal::Kill, only: None }).await;
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(6) {
        assert_eq!(hand.ids(process).await, [], "it was restarted in spite of Restart=no");
        sleep(Duration::from_millis(300)).await;
    }
    assert!(hand.act(remove.clone()).await.changed);
    hand.runs(process).await;
    assert!(!hand.act(remove).await.changed, "removed twice");
}

async fn restarts(hand: &Hand) {
    let before = hand.runs(KUBELET.process()).await;
    assert!(hand.act(NodeAction::UnitRestart { unit: KUBELET }).await.changed);
    let after = hand.runs(KUBELET.process()).await;
    assert!(after.iter().all(|id| !before.contains(id)), "{before:?} {after:?}");
}

async fn flags(hand: &Hand) {
    let process = SCHEDULER.process();
    hand.scheduler_runs().await;
    let another = async |before: &Vec<_>| {
        let fits = |ids: &Vec<_>| !ids.is_empty() && ids.iter().all(|id| !before.contains(id));
        until("a scheduler of the other flags", || hand.ids(process), fits).await
    };
    let (before, survey) = (hand.runs(process).await, hand.survey().await);
    let args = BTreeMap::from([("leader-elect-lease-duration".to_owned(), "16s".to_owned())]);
    assert!(hand.act(NodeAction::ManifestArgs { pod: SCHEDULER, args }).await.changed);
    let changed = another(&before).await;
    assert_ne!(hand.survey().await, survey, "other flags do not show");
    let restore = NodeAction::ManifestRestore { pod: SCHEDULER };
    assert!(hand.act(restore.clone()).await.changed);
    assert!(!hand.act(restore).await.changed, "restored twice");
    another(&changed).await;
    hand.as_before(&survey, "the change of flags").await;
}

/// Faults with their undo, on a node each.
async fn faults<'a>(plane: &'a Hand, worker: &'a Hand) -> Vec<(&'a Hand, NodeAction, NodeAction)> {
    let process = Process::KubeScheduler;
    plane.scheduler_runs().await;
    let only = plane.runs(process).await.into_iter().next();
    let signal = |signal| NodeAction::Signal { process, signal, only: only.clone() };
    let rule = DropRule { tag: "conformance-left".into(), peers: vec!["192.0.2.1".into()], ports: vec![1] };
    let tag = rule.tag.clone();
    let slow = SlowRule {
        tag: "conformance-slow".into(),
        peers: rule.peers.clone(),
        ports: rule.ports.clone(),
        delay: Span::millis(50),
        jitter: Span::default(),
        loss: Percent::default(),
        bandwidth: None,
    };
    vec![
        (plane, signal(Signal::Stop), signal(Signal::Cont)),
        (worker, NodeAction::DropAdd { rule }, NodeAction::DropRemove { tag }),
        (
            worker,
            NodeAction::SlowAdd { rule: slow, life: Span::seconds(60), seed: 1, by: None },
            NodeAction::SlowRemove { tag: "conformance-slow".into() },
        ),
        (worker, NodeAction::UnitStop { unit: KUBELET }, NodeAction::UnitStart { unit: KUBELET }),
        (worker, NodeAction::Pause, NodeAction::Unpause),
        (
            plane,
            NodeAction::StaticPodHold { pod: SCHEDULER, kill: true },
            NodeAction::StaticPodRestore { pod: SCHEDULER },
        ),
    ]
}

async fn surveys(plane: &Hand, worker: &Hand) {
    let mut all = faults(plane, worker).await;
    all.push((worker, no_restart(), NodeAction::UnitOverrideRemove { unit: KUBELET }));
    for (hand, deed, undo) in all {
        let before = hand.survey().await;
        assert!(!before.is_empty(), "nothing is said of the node");
        assert_eq!(hand.survey().await, before, "an undisturbed node");
        hand.act(deed.clone()).await;
        assert_ne!(hand.survey().await, before, "{} does not show", deed.name());
        hand.act(undo.clone()).await;
        hand.as_before(&before, &undo.name()).await;
        plane.scheduler_runs().await;
    }
}

/// Deadlines of 8 s: a kubelet may take seconds to stop, and the start that its deadline asks for would cancel that.
async fn deadlines(plane: &Hand, worker: &Hand) {
    for (number, (hand, deed, undo)) in faults(plane, worker).await.into_iter().enumerate() {
        let id = format!("conformance-{number}");
        let set = |seconds| NodeAction::DeadlineSet {
            id: id.clone(),
            after: Span::seconds(seconds),
            undo: Box::new(undo.clone()),
        };
        let before = hand.survey().await;
        assert!(hand.act(set(8)).await.how.is_some(), "by which means?");
        hand.act(deed.clone()).await;
        hand.as_before(&before, &format!("when its deadline is over: {}", undo.name())).await;
        plane.scheduler_runs().await;

        hand.act(set(8)).await;
        hand.act(deed).await;
        hand.act(NodeAction::DeadlineClear { id: id.clone() }).await;
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(10) {
            assert_ne!(hand.survey().await, before, "{} was done though called off", undo.name());
            sleep(Duration::from_millis(400)).await;
        }
        assert!(hand.act(undo.clone()).await.changed);
        hand.as_before(&before, &undo.name()).await;
        plane.scheduler_runs().await;
    }
}
