//! API servers, the load balancer, kept and new connections.

use recoup_model::observation::SLOTS;

use super::*;

#[tokio::test(start_paused = true)]
async fn an_api_server_without_its_member_answers_from_its_cache_only() {
    let lab = Lab::ha(1);
    let [one, two, _] = CONTROL_PLANES;
    lab.hold(one, StaticPod::Etcd).await;
    lab.works(&cached(at(one))).await;
    lab.fails(&write(at(one)), FailureClass::Unavailable).await;
    lab.fails(&read(at(one), Conn::New), FailureClass::Unavailable).await;
    sleep(secs(3.0)).await;
    lab.works(&write(at(two))).await;
    let problems = lab.cluster.health().await;
    assert!(problems.iter().any(|p| p.contains("api server") && p.contains(one)), "{problems:?}");
    lab.restore(one, StaticPod::Etcd).await;
    assert!(lab.until_works(&write(at(one)), 10.0).await < 6.0);
}

#[tokio::test(start_paused = true)]
async fn without_quorum_caches_answer_and_writes_hang() {
    let lab = Lab::ha(2);
    let [one, two, three] = CONTROL_PLANES;
    lab.hold(one, StaticPod::Etcd).await;
    lab.hold(two, StaticPod::Etcd).await;
    lab.works(&cached(at(three))).await;
    lab.fails(&write(at(three)), FailureClass::Timeout).await;
    let slow = lab.observe(&write(at(three)), 1, 20.0).await.expect_err("no quorum");
    assert_eq!(slow.class, FailureClass::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn a_killed_api_server_is_back_in_about_six_seconds() {
    let lab = Lab::ha(3);
    let node = CONTROL_PLANES[0];
    lab.works(&read(at(node), Conn::Reused)).await;
    lab.signal(node, Process::KubeApiserver, Signal::Kill).await;
    lab.fails(&read(at(node), Conn::Reused), FailureClass::Refused).await;
    let took = lab.until_works(&read(at(node), Conn::Reused), 15.0).await;
    assert!((3.0..=7.0).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn the_load_balancer_leaves_a_dead_backend_out_after_three_checks() {
    let lab = Lab::ha(4);
    lab.hold(CONTROL_PLANES[1], StaticPod::KubeApiserver).await;
    let mut failed = 0;
    for number in 0..6 {
        failed += u32::from(lab.observe(&read(Endpoint::Lb, Conn::New), number, 0.5).await.is_err());
    }
    assert!(failed > 0, "a new connection meets the dead backend");
    sleep(secs(7.0)).await;
    for number in 10..30 {
        lab.observe(&read(Endpoint::Lb, Conn::New), number, 0.5).await.expect("two backends are up");
    }
}

#[tokio::test(start_paused = true)]
async fn a_kept_connection_hangs_on_a_frozen_backend_until_the_ping_gives_up() {
    let lab = Lab::ha(5);
    let through = read(Endpoint::Lb, Conn::Reused);
    lab.works(&through).await;
    let used = {
        let world = lab.cluster.look();
        let backend = world.backend(crate::sim::model::balancer::Key::Kept(None, 0)).expect("connected");
        world.nodes[backend].name.clone()
    };
    lab.signal(&used, Process::KubeApiserver, Signal::Stop).await;
    lab.fails(&through, FailureClass::Timeout).await;
    sleep(secs(10.0)).await;
    for number in 0..10 {
        lab.observe(&read(Endpoint::Lb, Conn::New), number, 1.0).await.expect("new ones go elsewhere");
    }
    lab.fails(&through, FailureClass::Timeout).await;
    let took = lab.until_works(&through, 60.0).await;
    assert!((25.0..=36.0).contains(&took), "45 s from the last answer: {took}");
}

#[tokio::test(start_paused = true)]
async fn a_killed_backend_resets_kept_connections_at_once() {
    let lab = Lab::ha(6);
    let through = read(Endpoint::Lb, Conn::Reused);
    lab.works(&through).await;
    for node in &CONTROL_PLANES[..2] {
        lab.hold(node, StaticPod::KubeApiserver).await;
    }
    sleep(secs(7.0)).await;
    lab.works(&through).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_acknowledged_is_read_back_and_a_fixture_empties_it() {
    let lab = Lab::ha(7);
    for number in 0..SLOTS + 6 {
        lab.observe(&write(Endpoint::Lb), number, 1.0).await.expect("healthy");
    }
    let found = lab.cluster.read_back_api(&at(CONTROL_PLANES[2])).await.expect("healthy");
    let slots = &found[&write(Endpoint::Lb).stream()];
    assert_eq!((slots.len() as u64, slots[&5], slots[&1023]), (SLOTS, SLOTS + 5, 1023));
    lab.workload(None).await;
    assert!(lab.cluster.read_back_api(&Endpoint::Lb).await.expect("healthy").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_single_control_plane_is_its_own_load_balancer() {
    let lab = Lab::new("single", 1);
    assert_eq!(lab.cluster.fingerprint().load_balancer, "none");
    lab.works(&write(Endpoint::Lb)).await;
    lab.works(&put("t-control-plane")).await;
    lab.workload(None).await;
    lab.signal("t-control-plane", Process::KubeApiserver, Signal::Kill).await;
    lab.fails(&read(Endpoint::Lb, Conn::New), FailureClass::Refused).await;
    lab.until_works(&write(Endpoint::Lb), 10.0).await;
    lab.signal("t-control-plane", Process::Etcd, Signal::Kill).await;
    assert!(lab.until_works(&write(Endpoint::Lb), 10.0).await > 0.5, "it elects itself again");
}
