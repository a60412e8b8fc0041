//! Slow rules: who waits for whom.

use recoup_model::{degrade::SlowRule, quantity::Percent, time::Span};

use super::*;

impl Lab {
    async fn slow(&self, node: &str, ports: &[u16], delay: u64) {
        let rule = SlowRule {
            tag: "t".into(),
            peers: Vec::new(),
            ports: ports.to_vec(),
            delay: Span::millis(delay),
            jitter: Span::default(),
            loss: Percent::default(),
            bandwidth: None,
        };
        let add = NodeAction::SlowAdd { rule, life: Span::seconds(600), seed: 1, by: None };
        assert!(self.act(node, add).await.changed);
    }

    /// Milliseconds that the quickest of some attempts takes.
    async fn takes(&self, observation: &Observation) -> u128 {
        let mut least = u128::MAX;
        for number in 0..5 {
            let began = Instant::now();
            self.observe(observation, number, 5.0).await.expect("it works");
            least = least.min(began.elapsed().as_millis());
        }
        least
    }

    async fn follower(&self) -> &'static str {
        let leader = self.leader().await;
        CONTROL_PLANES.into_iter().find(|name| *name != leader).expect("two of them follow")
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_follower_slows_its_own_writes_and_nobody_elses() {
    let lab = Lab::ha(3);
    let (leader, follower) = (lab.leader().await, lab.follower().await);
    lab.slow(follower, &[2380], 100).await;
    let own = lab.takes(&put(follower)).await;
    assert!((100..150).contains(&own), "{own} ms: once to the leader and back");
    let others = lab.takes(&put(&leader)).await;
    assert!(others < 30, "{others} ms: the other follower is quick enough");
    assert!(lab.takes(&write(at(follower))).await >= 100, "its API server writes through it");
    assert!(lab.takes(&cached(at(follower))).await < 30, "its cache needs nobody's agreement");
}

#[tokio::test(start_paused = true)]
async fn a_slow_leader_slows_everybody_and_others_twice() {
    let lab = Lab::ha(3);
    let (leader, follower) = (lab.leader().await, lab.follower().await);
    lab.slow(&leader, &[2380], 100).await;
    let (own, others) = (lab.takes(&put(&leader)).await, lab.takes(&put(follower)).await);
    assert!((100..150).contains(&own) && (200..260).contains(&others), "{own} ms, {others} ms");
    assert_eq!(lab.leader().await, leader, "far from the election timeout it goes on leading");
    let counted = lab.act(&leader, NodeAction::SlowCount { tag: "t".into() }).await.slowed.expect("in force");
    assert!(counted.packets > 0 && counted.p50 == Span::millis(100), "{counted:?}");
}

#[tokio::test(start_paused = true)]
async fn a_leader_slower_than_an_election_loses_leadership() {
    let lab = Lab::ha(3);
    let leader = lab.leader().await;
    lab.slow(&leader, &[2380], 1500).await;
    sleep(secs(10.0)).await;
    assert_ne!(lab.leader().await, leader);
}

#[tokio::test(start_paused = true)]
async fn clients_of_a_slow_api_server_wait_once_for_an_answer_and_thrice_with_a_new_connection() {
    let lab = Lab::ha(3);
    let [slow, other, _] = CONTROL_PLANES;
    lab.slow(slow, &[6443], 200).await;
    let kept = lab.takes(&cached(at(slow))).await;
    let new = lab.takes(&read(at(slow), Conn::New)).await;
    assert!((200..250).contains(&kept) && (600..680).contains(&new), "{kept} ms, {new} ms");
    assert!(lab.takes(&cached(at(other))).await < 30);
    lab.act(slow, NodeAction::SlowRemove { tag: "t".into() }).await;
    assert!(lab.takes(&cached(at(slow))).await < 30);
}

#[tokio::test(start_paused = true)]
async fn handshakes_show_the_delay_until_its_life_is_over() {
    let lab = Lab::ha(3);
    let to = |node: &str| {
        let address = lab.cluster.fingerprint().nodes.iter().find(|n| n.name == node).expect("known").address;
        NodeAction::RoundTrips { to: vec![format!("{address}:2380")], times: 3 }
    };
    let [one, two, three] = CONTROL_PLANES;
    lab.slow(one, &[2380], 50).await;
    lab.slow(two, &[2380], 50).await;
    let middle = async |from: &str, node: &str| lab.act(from, to(node)).await.round_trips[1].0.as_millis();
    assert_eq!(middle(three, one).await, 50);
    assert_eq!(middle(two, one).await, 100, "both ends hold a packet");
    lab.hold(three, StaticPod::Etcd).await;
    assert!(lab.act(one, to(three)).await.round_trips.is_empty(), "nobody listens");
    sleep(secs(600.0)).await;
    assert_eq!(middle(two, one).await, 0, "it let everything through by itself");
    assert_eq!(lab.act(one, NodeAction::SlowCount { tag: "t".into() }).await.slowed, None);
    assert!(lab.act(one, NodeAction::SlowRemove { tag: "t".into() }).await.changed, "the rule was left");
}
