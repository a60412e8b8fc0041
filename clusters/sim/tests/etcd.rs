//! Members, elections, quorum.

use super::*;

fn elected(truth: &Truth) -> bool {
    matches!(truth, Truth::LeaderElected(..))
}

#[tokio::test(start_paused = true)]
async fn without_quorum_puts_fail_and_with_it_they_work_again() {
    let lab = Lab::ha(1);
    let [one, two, three] = CONTROL_PLANES;
    lab.works(&put(three)).await;
    lab.hold(one, StaticPod::Etcd).await;
    lab.hold(two, StaticPod::Etcd).await;
    sleep(secs(3.0)).await;
    lab.fails(&put(three), FailureClass::Timeout).await;
    lab.fails(&put(one), FailureClass::Refused).await;
    let slow = lab.observe(&put(three), 1, 20.0).await.expect_err("no quorum");
    assert_eq!(slow.class, FailureClass::Unavailable, "the member itself gives up after 7 s: {slow}");
    assert!(matches!(lab.works(&status(three)).await, Observed::Member { leader: None, .. }));
    lab.restore(one, StaticPod::Etcd).await;
    assert!(lab.until_works(&put(three), 10.0).await < 8.0);
}

#[tokio::test(start_paused = true)]
async fn a_killed_leader_is_replaced_within_an_election_timeout() {
    let mut fastest: f64 = 9.0;
    for seed in 0..40 {
        let lab = Lab::ha(seed);
        let leader = lab.leader().await;
        lab.signal(&leader, Process::Etcd, Signal::Kill).await;
        sleep(secs(5.0)).await;
        let lost = lab.first(Duration::ZERO, |t| *t == Truth::LeaderLost(leader.clone())).expect("lost");
        let took = lab.first(secs(lost), elected).expect("elected");
        assert!((0.9..=3.0).contains(&took), "seed {seed}: {took} s");
        fastest = fastest.min(took);
        assert_ne!(
            lab.leader().await,
            leader,
            "seed {seed}: PreVote keeps the returned member from disturbing"
        );
    }
    assert!(fastest < 1.3, "timeouts are drawn from 1 to 2 s: {fastest}");
}

#[tokio::test(start_paused = true)]
async fn a_terminated_leader_hands_over() {
    for seed in 0..20 {
        let lab = Lab::ha(seed);
        let leader = lab.leader().await;
        lab.signal(&leader, Process::Etcd, Signal::Term).await;
        sleep(secs(5.0)).await;
        let lost = lab.first(Duration::ZERO, |t| *t == Truth::LeaderLost(leader.clone())).expect("lost");
        let took = lab.first(secs(lost), elected).expect("elected");
        assert!(took < 0.1, "seed {seed}: {took} s");
    }
}

#[tokio::test(start_paused = true)]
async fn a_frozen_leader_is_silent_and_follows_when_thawed() {
    let lab = Lab::ha(3);
    let leader = lab.leader().await;
    let before = lab.now();
    lab.signal(&leader, Process::Etcd, Signal::Stop).await;
    lab.fails(&status(&leader), FailureClass::Timeout).await;
    sleep(secs(3.0)).await;
    let took = lab.first(before, elected).expect("elected");
    assert!((0.9..=3.0).contains(&took), "{took}");
    let report = lab.signal(&leader, Process::Etcd, Signal::Cont).await;
    assert_eq!((report.processes[0].state, report.changed), ('T', true));
    sleep(secs(0.5)).await;
    assert_ne!(lab.leader().await, leader);
    lab.works(&put(&leader)).await;
    assert!(!lab.signal(&leader, Process::Etcd, Signal::Cont).await.changed, "thawed already");
}

#[tokio::test(start_paused = true)]
async fn a_follower_that_was_away_catches_up_under_the_same_leader() {
    let lab = Lab::ha(4);
    let leader = lab.leader().await;
    let follower = CONTROL_PLANES.into_iter().find(|m| *m != leader).expect("two of them");
    lab.hold(follower, StaticPod::Etcd).await;
    for number in 0..50 {
        lab.observe(&put(&leader), number, 1.0).await.expect("quorum is there");
    }
    lab.restore(follower, StaticPod::Etcd).await;
    lab.until_works(&put(follower), 10.0).await;
    let applied = |told| match told {
        Observed::Member { applied, .. } => applied,
        other => panic!("{other:?}"),
    };
    sleep(secs(0.3)).await;
    assert!(applied(lab.works(&status(follower)).await) >= 50);
    assert_eq!(lab.leader().await, leader);
}

#[tokio::test(start_paused = true)]
async fn nothing_acknowledged_is_lost_over_changing_leaders() {
    for seed in 0..5 {
        let lab = Lab::ha(seed);
        let mut acknowledged: Vec<(String, u64)> = Vec::new();
        for number in 0..200 {
            let member = CONTROL_PLANES[usize::try_from(number % 3).expect("small")];
            if lab.observe(&put(member), number, 0.3).await.is_ok() {
                acknowledged.push((put(member).stream(), number));
            }
            if number % 50 == 25 {
                lab.signal(&lab.leader().await, Process::Etcd, Signal::Kill).await;
            }
        }
        assert!(acknowledged.len() > 100, "{}", acknowledged.len());
        sleep(secs(60.0)).await;
        for member in CONTROL_PLANES {
            let found = lab.cluster.read_back_etcd(member).await.expect("quorum is back");
            for (stream, number) in &acknowledged {
                assert_eq!(found[stream].get(number), Some(number), "seed {seed}: {stream} through {member}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_log_that_a_leader_does_not_hold_is_cut() {
    // Guards the test above: were a member elected that lacks acknowledged entries, they would be missed.
    let lab = Lab::ha(1);
    lab.works(&put(CONTROL_PLANES[0])).await;
    {
        let mut world = lab.cluster.look();
        for member in &mut world.members {
            member.applied = 0;
        }
    }
    sleep(secs(3.0)).await;
    let found = lab.cluster.read_back_etcd(CONTROL_PLANES[0]).await.expect("quorum is there");
    assert!(found.is_empty(), "{found:?}");
}

#[tokio::test(start_paused = true)]
async fn a_leader_cut_off_from_its_peers_resigns() {
    let lab = Lab::ha(6);
    let leader = lab.leader().await;
    let tag = "cut".to_owned();
    let rule = recoup_model::action::DropRule { tag: tag.clone(), peers: vec![], ports: vec![2380] };
    let before = lab.now();
    lab.act(&leader, NodeAction::DropAdd { rule }).await;
    sleep(secs(4.0)).await;
    assert!(lab.first(before, elected).expect("the others elect") <= 3.0);
    lab.fails(&put(&leader), FailureClass::Timeout).await;
    assert!(matches!(lab.works(&status(&leader)).await, Observed::Member { leader: None, .. }));
    assert!(lab.act(&leader, NodeAction::DropCount { tag: tag.clone() }).await.packets > 10);
    assert!(lab.act(&leader, NodeAction::DropRemove { tag: tag.clone() }).await.changed);
    assert!(!lab.act(&leader, NodeAction::DropRemove { tag }).await.changed, "an undo may come twice");
    assert!(lab.until_works(&put(&leader), 3.0).await < 2.0);
}
