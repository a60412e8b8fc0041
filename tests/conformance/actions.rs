//! Every action does what it says, its undo undoes it, and an undo done twice does nothing the second time.

use std::{sync::Arc, time::Duration};

use recoup_clusters::{Attempt, Cluster, ClusterError, Nodes, Provider};
use recoup_model::{
    action::{ActionReport, DropRule, NodeAction, Process, ProcessId, Signal, StaticPod, Unit},
    observation::{Observation, Observed},
    topology::NodeRole,
};

use crate::{healthy, left, limits, slow, until};

pub struct Hand {
    nodes: Arc<dyn Nodes>,
    pub node: String,
}

impl Hand {
    pub async fn act(&self, action: NodeAction) -> ActionReport {
        self.nodes.act(&self.node, &action).await.unwrap_or_else(|error| panic!("{}: {error}", action.name()))
    }

    /// What became of an action that may fail, in words.
    pub async fn try_act(&self, action: NodeAction) -> Result<ActionReport, String> {
        self.nodes.act(&self.node, &action).await.map_err(|error| error.to_string())
    }

    pub async fn ids(&self, process: Process) -> Vec<ProcessId> {
        self.act(NodeAction::Inspect { process }).await.processes.into_iter().map(|one| one.id).collect()
    }

    pub async fn runs(&self, process: Process) -> Vec<ProcessId> {
        until(process.program(), || self.ids(process), |ids| !ids.is_empty()).await
    }
}

/// Through the handle that `recoup heal` uses: no Kubernetes API behind it.
pub async fn each_and_its_undo(provider: &Arc<dyn Provider>, cluster: Arc<dyn Cluster>) {
    let fingerprint = cluster.fingerprint().clone();
    let nodes = provider.nodes(&fingerprint.cluster).await.unwrap();
    let of = |role| {
        let node = fingerprint.with_role(role).last().expect("a node of each role").name.clone();
        Hand { nodes: Arc::clone(&nodes), node }
    };
    let (plane, worker) = (of(NodeRole::ControlPlane), of(NodeRole::Worker));
    let stranger = nodes.act("nobody", &NodeAction::InspectNode).await;
    assert!(matches!(stranger, Err(ClusterError::NoSuchNode(_))), "{stranger:?}");

    signals(&plane).await;
    static_pods(&plane).await;
    units(&worker).await;
    healthy(&*cluster).await;
    pause(&worker).await;
    healthy(&*cluster).await;
    drops(&worker).await;
    healthy(&*cluster).await;
    let server = fingerprint.with_role(NodeRole::ControlPlane).next().expect("one").address.to_string();
    slow::networks(&*cluster, &worker, &server).await;
    healthy(&*cluster).await;
    limits::limits(&plane, cluster.capabilities()).await;
    healthy(&*cluster).await;
    // On a real cluster it waits for a dozen deadlines and restarts, five minutes in all.
    if fingerprint.simulated() || std::env::var("RECOUP_CONFORMANCE").as_deref() == Ok("all") {
        left::behind(&plane, &worker).await;
        healthy(&*cluster).await;
        limits::a_full_etcd(&plane, &*cluster).await;
        healthy(&*cluster).await;
    }
    pods(&*cluster, &nodes).await;
}

async fn signals(hand: &Hand) {
    let process = Process::KubeScheduler;
    let signal = |signal, only| NodeAction::Signal { process, signal, only };
    let before = hand.runs(process).await;
    let only = Some(before[0].clone());
    let stopped = hand.act(signal(Signal::Stop, only.clone())).await;
    assert_eq!(stopped.processes.len(), 1, "{stopped:?}");
    let seen = hand.act(NodeAction::Inspect { process }).await;
    assert_eq!(
        seen.processes.iter().map(|one| (&one.id, one.state)).collect::<Vec<_>>(),
        [(&before[0], 'T')]
    );
    for _ in 0..2 {
        hand.act(signal(Signal::Cont, only.clone())).await;
        let seen = hand.act(NodeAction::Inspect { process }).await;
        assert_ne!(seen.processes[0].state, 'T');
    }
    let killed = hand.act(signal(Signal::Kill, None)).await;
    assert!(killed.changed && killed.processes[0].id == before[0], "{killed:?}");
    let after =
        until("another scheduler", || hand.ids(process), |ids| ids.iter().any(|id| !before.contains(id)))
            .await;
    assert!(!after.contains(&before[0]), "the killed process is still there");
    // The undo of a fault whose process is gone hits nobody else.
    let missed = hand.act(signal(Signal::Stop, only)).await;
    assert!(!missed.changed && missed.processes.is_empty(), "{missed:?}");
    let seen = hand.act(NodeAction::Inspect { process }).await;
    assert!(seen.processes.iter().all(|one| one.state != 'T'), "a stranger was stopped: {seen:?}");
}

async fn static_pods(hand: &Hand) {
    let pod = StaticPod::KubeScheduler;
    let before = hand.runs(pod.process()).await;
    for kill in [true, true] {
        hand.act(NodeAction::StaticPodHold { pod, kill }).await;
    }
    until("it to be held down", || hand.ids(pod.process()), Vec::is_empty).await;
    assert!(hand.act(NodeAction::StaticPodRestore { pod }).await.changed);
    let again = hand.act(NodeAction::StaticPodRestore { pod }).await;
    assert!(!again.changed, "restored twice: {again:?}");
    let after = hand.runs(pod.process()).await;
    assert!(after.iter().all(|id| !before.contains(id)));
}

async fn units(hand: &Hand) {
    let unit = Unit::Kubelet;
    let before = hand.runs(unit.process()).await;
    hand.act(NodeAction::UnitStop { unit }).await;
    hand.act(NodeAction::UnitStop { unit }).await;
    assert_eq!(hand.ids(unit.process()).await, []);
    assert!(hand.act(NodeAction::UnitStart { unit }).await.changed);
    let after = hand.runs(unit.process()).await;
    assert!(!before.iter().any(|id| after.contains(id)), "{before:?} {after:?}");
    assert!(!hand.act(NodeAction::UnitStart { unit }).await.changed, "started twice");
    assert_eq!(hand.ids(unit.process()).await, after);
}

async fn pause(hand: &Hand) {
    let look = || hand.act(NodeAction::InspectNode);
    assert!(!look().await.paused);
    hand.act(NodeAction::Pause).await;
    assert!(look().await.paused);
    assert!(hand.act(NodeAction::Unpause).await.changed);
    assert!(!look().await.paused);
    assert!(!hand.act(NodeAction::Unpause).await.changed, "thawed twice");
}

async fn drops(hand: &Hand) {
    let rule = |tag: &str| DropRule { tag: tag.into(), peers: Vec::new(), ports: vec![6443] };
    let count = |tag: &str| hand.act(NodeAction::DropCount { tag: tag.into() });
    for _ in 0..2 {
        hand.act(NodeAction::DropAdd { rule: rule("conformance-1") }).await;
    }
    hand.act(NodeAction::DropAdd { rule: rule("conformance-11") }).await;
    // The kubelet renews its lease every 10 s, and kube-proxy watches.
    let total = || async { count("conformance-1").await.packets + count("conformance-11").await.packets };
    until("dropped packets", total, |packets| *packets > 0).await;
    let remove = |tag: &str| hand.act(NodeAction::DropRemove { tag: tag.into() });
    assert!(remove("conformance-1").await.changed);
    assert!(!remove("conformance-1").await.changed, "removed twice");
    assert!(remove("conformance-11").await.changed, "removing one tag removed another");
    assert_eq!(count("conformance-1").await.packets, 0);
}

async fn pods(cluster: &dyn Cluster, nodes: &Arc<dyn Nodes>) {
    let attempt = Attempt { number: 0, timeout: Duration::from_secs(5) };
    let look = || cluster.observe(&Observation::Pods, attempt);
    let all_ready = |told: &Result<Observed, _>| matches!(told, Ok(Observed::Pods(pods)) if pods.len() == 2 && pods.iter().all(|pod| pod.ready && !pod.deleting));
    let Ok(Observed::Pods(before)) = until("two ready pods", look, all_ready).await else {
        panic!("no pods")
    };
    let pod = &before[0];
    let node = pod.node.clone().expect("a ready pod has a node");
    let hand = Hand { nodes: Arc::clone(nodes), node };
    let kill = NodeAction::SignalPod { pod: pod.name.clone(), signal: Signal::Kill };
    assert_eq!(hand.act(kill).await.processes.len(), 1);
    let restarted = |told: &Result<Observed, _>| matches!(told, Ok(Observed::Pods(pods)) if pods.iter().any(|now| now.name == pod.name && now.ready && now.restarts > pod.restarts));
    drop(until("a restarted container", look, restarted).await);
    let gone = [before[1].name.clone()];
    cluster.delete_pods(&gone, Duration::from_secs(5)).await.unwrap();
    let replaced = |told: &Result<Observed, _>| matches!(told, Ok(Observed::Pods(pods)) if pods.iter().all(|now| now.name != gone[0]) && pods.iter().filter(|now| now.ready && !now.deleting).count() == 2);
    drop(until("a replaced pod", look, replaced).await);
}
