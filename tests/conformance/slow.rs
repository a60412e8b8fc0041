//! Slow networks: a rule is shown by handshakes, counts what it holds, and goes without a trace.

use recoup_clusters::Cluster;
use recoup_model::{
    action::{ActionReport, Capability, NodeAction},
    degrade::{SlowMeans, SlowRule},
    quantity::Percent,
    time::Span,
};

use crate::{actions::Hand, until};

const DELAY: Span = Span::millis(100);
/// What a busy machine may add to or take from a median.
const SLACK: u128 = 40;

fn rule(tag: &str, peer: &str, delay: Span) -> SlowRule {
    SlowRule {
        tag: tag.into(),
        peers: vec![peer.to_owned()],
        ports: vec![6443],
        delay,
        jitter: Span::default(),
        loss: Percent::default(),
        bandwidth: None,
    }
}

fn add(rule: SlowRule, by: Option<SlowMeans>) -> NodeAction {
    NodeAction::SlowAdd { rule, life: Span::seconds(120), seed: 1, by }
}

fn remove(tag: &str) -> NodeAction {
    NodeAction::SlowRemove { tag: tag.into() }
}

impl Hand {
    /// The median of some handshakes in milliseconds.
    async fn handshake(&self, to: &str) -> u128 {
        let trips = self.act(NodeAction::RoundTrips { to: vec![to.to_owned()], times: 5 }).await.round_trips;
        assert_eq!(trips.len(), 5, "some handshakes did not come about: {trips:?}");
        assert!(trips.is_sorted(), "{trips:?}");
        trips[2].0.as_millis()
    }

    /// The same while a rule of that means is in force, and by which means it was.
    async fn slowed(&self, to: &str, peer: &str, by: SlowMeans) -> u128 {
        let added = self.act(add(rule("conformance-means", peer, DELAY), Some(by))).await;
        assert_eq!(added.how.as_deref(), Some(by.name()));
        let took = self.handshake(to).await;
        self.act(remove("conformance-means")).await;
        took
    }
}

/// From a worker to the API server of a control plane.
pub async fn networks(cluster: &dyn Cluster, hand: &Hand, plane: &str) {
    if !cluster.capabilities().contains(&Capability::SlowNetwork) {
        eprintln!("left out: slow networks, for no node can hold packets back");
        return;
    }
    let to = format!("{plane}:6443");
    let before = hand.act(NodeAction::Survey).await.survey;
    let quick = hand.handshake(&to).await;
    assert_eq!(
        hand.act(NodeAction::Survey).await.survey,
        before,
        "timing handshakes leaves something behind"
    );

    let count = |tag: &'static str| hand.act(NodeAction::SlowCount { tag: tag.into() });
    let added = hand.act(add(rule("conformance-1", plane, Span::seconds(2)), None)).await;
    assert!(added.changed && added.how.is_some(), "{added:?}");
    // In place of the one of the same tag.
    hand.act(add(rule("conformance-1", plane, DELAY), None)).await;
    let late = hand.handshake(&to).await;
    assert!(late.abs_diff(quick + 100) <= SLACK, "{quick} ms before, {late} ms by a rule of 100 ms");
    let held = |report: &ActionReport| report.slowed.is_some_and(|slowed| slowed.packets > 0);
    let counted = until("packets of the rule", || count("conformance-1"), held).await;
    let p50 = counted.slowed.map(|slowed| slowed.p50.0.as_millis()).unwrap_or_default();
    assert!(p50 == 0 || p50.abs_diff(100) <= SLACK, "{counted:?}");
    assert_ne!(hand.act(NodeAction::Survey).await.survey, before, "a slow rule does not show");

    assert_eq!(count("conformance-11").await.slowed, None, "another tag");
    assert!(!hand.act(remove("conformance-11")).await.changed);
    let removed = hand.act(remove("conformance-1")).await;
    assert!(removed.changed && held(&removed), "{removed:?}");
    assert!(!hand.act(remove("conformance-1")).await.changed, "removed twice");
    assert_eq!(count("conformance-1").await.slowed, None);
    let again = hand.handshake(&to).await;
    assert!(again <= quick + SLACK, "{quick} ms before, {again} ms after");
    assert_eq!(hand.act(NodeAction::Survey).await.survey, before, "a slow rule leaves something behind");
    means(hand, &to, plane).await;
}

/// Where a node has both means, they do the same.
async fn means(hand: &Hand, to: &str, plane: &str) {
    let mut lacking = None;
    for by in [SlowMeans::Netem, SlowMeans::Nfqueue] {
        let added = hand.try_act(add(rule("conformance-means", plane, DELAY), Some(by))).await;
        hand.act(remove("conformance-means")).await;
        match added {
            Ok(added) if added.how.as_deref() == Some(by.name()) => {}
            Ok(added) => lacking = Some(format!("{} is {:?} here", by.name(), added.how)),
            Err(error) => lacking = Some(format!("{} does not work here: {error}", by.name())),
        }
    }
    if let Some(lacking) = lacking {
        let line = lacking.lines().last().unwrap_or_default();
        eprintln!("left out: do netem and the program agree? {line}");
        return;
    }
    let netem = hand.slowed(to, plane, SlowMeans::Netem).await;
    let program = hand.slowed(to, plane, SlowMeans::Nfqueue).await;
    assert!(netem.abs_diff(program) <= SLACK, "netem {netem} ms, the program {program} ms");
}
