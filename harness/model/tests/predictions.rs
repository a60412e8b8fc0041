//! The predicted intervals: their arithmetic adds up, they follow the settings, and they hold what was measured.

use std::{collections::BTreeMap, time::Duration};

use recoup_model::{
    configuration::{Balancer, Configuration, Release, Setting, names},
    plan::Plan,
    predict::{Prediction, predict, unpredicted},
    spec::{Milestone, Step, Within, builtin, load},
    time::Span,
};

const PROFILES: [&str; 2] = ["single", "ha"];

fn plans() -> Vec<Plan> {
    builtin(&PROFILES).unwrap_or_else(|error| panic!("{error}"))
}

fn plan(id: &str) -> Plan {
    plans().into_iter().find(|plan| plan.id == id).unwrap_or_else(|| panic!("no {id}"))
}

/// The interval of a milestone, in seconds.
fn interval(id: &str, milestone: &str, config: &Configuration) -> (f64, f64) {
    let all = predict(&plan(id), config);
    let found = all.get(milestone).unwrap_or_else(|| panic!("{id}: nothing is predicted for {milestone}"));
    (found.low.0.as_secs_f64(), found.high.0.as_secs_f64())
}

fn old() -> Configuration {
    Configuration::documented(20, 3)
}

/// Leases of these times for both components.
fn leases(duration: u64, deadline: u64, retry: u64) -> Configuration {
    let mut config = old();
    for election in config.elections.values_mut() {
        let set = |seconds| Setting::new(Duration::from_secs(seconds), "test");
        election.lease_duration = set(duration);
        election.renew_deadline = set(deadline);
        election.retry_period = set(retry);
    }
    config
}

fn set(config: &mut Configuration, name: &str, seconds: u64) {
    config.settings.insert(name.into(), Setting::new(Duration::from_secs(seconds), "test"));
}

/// Adds up the lines of one bound.
fn added(prediction: &Prediction, bound: &str) -> f64 {
    let lines = prediction.arithmetic.iter().filter_map(|line| line.strip_prefix(bound));
    let addends = lines.map(|line| {
        let (value, _) = line.trim_start().split_once(':').unwrap_or_else(|| panic!("{line}"));
        value.trim_end_matches('s').parse::<f64>().unwrap_or_else(|error| panic!("{value}: {error}"))
    });
    addends.sum()
}

#[test]
fn every_addend_stands_in_the_arithmetic_with_its_source() {
    let mut seen = 0;
    for minor in [20, 33, 37] {
        for planes in [1, 3] {
            let config = Configuration::documented(minor, planes);
            for plan in plans() {
                for (name, prediction) in predict(&plan, &config) {
                    let (low, high) = (prediction.low.0.as_secs_f64(), prediction.high.0.as_secs_f64());
                    let of = format!("{}: {name}: {:#?}", plan.id, prediction.arithmetic);
                    assert!((added(&prediction, "low ") - low).abs() < 1e-6, "{low} {of}");
                    assert!((added(&prediction, "high ") - high).abs() < 1e-6, "{high} {of}");
                    assert!(low < high, "{of}");
                    assert!(
                        prediction.arithmetic.iter().all(|line| line.ends_with(')') && line.contains(" (")),
                        "{of}"
                    );
                    assert!(prediction.arithmetic.iter().any(|line| line.contains("busy machine")), "{of}");
                    assert!(prediction.arithmetic.iter().any(|line| line.contains("until a probe")), "{of}");
                    seen += 1;
                }
            }
        }
    }
    assert!(seen > 200, "only {seen} intervals were looked at");
}

#[test]
fn every_experiment_has_a_prediction_and_every_recovery_is_one() {
    for plan in plans() {
        let predictions = predict(&plan, &Configuration::documented(33, 3));
        // How slow something may become is stated; what is broken has its formula.
        let degrades =
            |step: &Step| matches!(step, Step::Slow(_) | Step::Limit(_) | Step::FillEtcd(_) | Step::Load(_));
        if plan.steps.iter().any(degrades) {
            assert!(plan.milestones.iter().all(|milestone| milestone.decides()), "{}", plan.id);
            continue;
        }
        assert!(!predictions.is_empty(), "{}", plan.id);
        // Nothing but the machine says how long a return disturbs.
        let stated = |milestone: &&Milestone| milestone.name != "undisturbed after its return";
        for milestone in plan.milestones.iter().filter(stated) {
            let information = milestone.name == "writes fail" || milestone.name == "cached reads fail";
            assert_eq!(
                milestone.within,
                (!information).then_some(Within::Predicted),
                "{}: {}",
                plan.id,
                milestone.name
            );
        }
        assert_eq!(unpredicted(&plan, &Configuration::documented(33, 3)), [], "{}", plan.id);
    }
}

#[test]
fn a_lease_of_the_defaults_is_taken_after_13_to_24_seconds() {
    let (low, high) = interval("scheduler/lease-expiry/kill", "new holder", &old());
    assert!((low - 13.0).abs() < 1e-9, "{low}");
    // 15 + 2 * 2.2 * 2 = 23.8, the probe's 1.2, and a fifth of it all.
    assert!((high - (23.8 + 1.2) * 1.2).abs() < 1e-9, "{high}");
}

#[test]
fn predictions_follow_the_leases() {
    let of = |config: &Configuration| interval("controller-manager/lease-expiry/kill", "new holder", config);
    let ((low, high), (short_low, short_high)) = (of(&leases(15, 10, 2)), of(&leases(5, 3, 1)));
    assert!(short_low < low && short_high < high / 2.0);
    assert!((short_low - 4.0).abs() < 1e-9, "{short_low}");
    assert!(short_high < low, "a short lease is over before a default one begins to end");
    let (long_low, _) = of(&leases(60, 40, 2));
    assert!((long_low - 58.0).abs() < 1e-9, "{long_low}");
}

#[test]
fn a_lease_that_outlasts_the_freeze_is_not_predicted_and_says_why() {
    let plan = plan("controller-manager/lease-expiry/stop");
    let long = leases(60, 40, 2);
    assert!(!predict(&plan, &long).contains_key("new holder"), "the old holder thaws and renews");
    let why = unpredicted(&plan, &long);
    assert!(why.iter().any(|(name, why)| name == "new holder" && why.contains("40s")), "{why:?}");
    assert!(predict(&plan, &old()).contains_key("new holder"));
}

#[test]
fn a_released_lease_is_taken_at_once_and_an_unknown_one_either_way() {
    let of = |value| {
        let mut config = old();
        for election in config.elections.values_mut() {
            election.release = Release { value, source: "test".into() };
        }
        interval("scheduler/lease-expiry/term", "new holder", &config)
    };
    let (kept, given, unknown) = (of(Some(false)), of(Some(true)), of(None));
    assert!(kept.0 > 12.0 && given.0 == 0.0 && given.1 < kept.0, "{kept:?} {given:?}");
    assert!(unknown.0 == 0.0 && (unknown.1 - kept.1).abs() < 1e-9, "{unknown:?}");
}

#[test]
fn instances_that_differ_are_covered_all() {
    let mut config = leases(15, 10, 2);
    let long = leases(60, 40, 2);
    for (name, election) in &mut config.elections {
        election.lease_duration = election.lease_duration.and(&long.election(name).lease_duration);
    }
    let (low, high) = interval("scheduler/lease-expiry/kill", "new holder", &config);
    assert!((low - 13.0).abs() < 1e-9 && high > 68.0, "{low} {high}");
}

#[test]
fn nodes_follow_grace_period_monitor_and_toleration() {
    let not_ready = |config: &Configuration| interval("kubelet/down", "node not ready", config);
    let (low, high) = not_ready(&old());
    assert!((low - 29.6).abs() < 1e-9, "40 s less 10.4 s: {low}");
    assert!(high > 52.0 && high < 65.0, "40 s, 2 * 5 s, the probe, and room: {high}");
    let (newer, _) = not_ready(&Configuration::documented(32, 3));
    assert!((newer - 39.6).abs() < 1e-9, "{newer}");
    let (evicted, _) = interval("kubelet/down", "pod evicted", &old());
    assert!((evicted - 44.6).abs() < 1e-9, "15 s of the workload's own toleration more: {evicted}");
    let mut slow = old();
    set(&mut slow, names::NODE_GRACE, 200);
    assert!(
        !predict(&plan("kubelet/down"), &slow).contains_key("node not ready"),
        "the kubelet is back before"
    );
}

#[test]
fn elections_follow_etcds_own_timeouts() {
    let new_leader = |config: &Configuration| interval("etcd/leader-loss/kill", "new leader", config);
    let (low, high) = new_leader(&old());
    assert!((low - 0.8).abs() < 1e-9 && high > 5.0 && high < 9.0, "{low} {high}");
    let mut slow = old();
    set(&mut slow, names::ETCD_ELECTION, 5);
    let (low, high) = new_leader(&slow);
    assert!((low - 4.8).abs() < 1e-9 && high > 20.0, "{low} {high}");
    let (term, _) = interval("etcd/leader-loss/term", "new leader", &old());
    assert!(term == 0.0, "a leader that is asked to end hands over: {term}");
}

#[test]
fn the_load_balancers_checks_bound_new_connections() {
    let of = |balancer: Balancer| {
        let config = Configuration { balancer: Some(balancer), ..old() };
        interval("apiserver/instance-loss/stop", "new connections through the load balancer", &config).1
    };
    let (haproxy, envoy) = (of(Balancer::haproxy()), of(Balancer::envoy()));
    // 3 * (2 s + 2 s), 2 * (2 s + 3 s); a probe every second with 2 s; a fifth.
    assert!((haproxy - (12.0 + 3.0) * 1.2).abs() < 1e-9, "{haproxy}");
    assert!((envoy - (10.0 + 3.0) * 1.2).abs() < 1e-9, "{envoy}");
    let mut slow = Balancer::haproxy();
    slow.interval = Setting::new(Duration::from_secs(10), "test");
    assert!(of(slow) > haproxy + 20.0);
}

#[test]
fn systemds_pause_bounds_a_kubelets_return_from_both_sides() {
    let mut config = old();
    let one = interval("kubelet/crash-patterns/one", "kubelet healthy", &config);
    assert!((one.0 - 1.0).abs() < 1e-9, "{one:?}");
    set(&mut config, names::KUBELET_RESTART, 10);
    let package = interval("kubelet/crash-patterns/one", "kubelet healthy", &config);
    assert!((package.0 - 10.0).abs() < 1e-9 && package.1 > one.1 + 9.0, "{package:?}");
}

#[test]
fn a_budget_is_predicted_only_where_there_is_a_formula() {
    let file = |within: &str, when: &str| {
        let text = format!(
            "apiVersion: recoup/v1\nkind: Experiment\nmetadata: {{name: a/b}}\nspec:\n  hypothesis: h\n  profile: ha\n  milestones:\n    - {{name: m, when: {when}{within}}}\n  variants:\n    - name: default\n      steps:\n        - signal: {{process: etcd, on: raftLeader, signal: KILL}}\n"
        );
        load("a.yaml", &text, &PROFILES).map(|plans| plans[0].milestones[0].within)
    };
    assert_eq!(file("", "newLeader"), Ok(Some(Within::Predicted)));
    assert_eq!(file(", within: predicted", "newLeader"), Ok(Some(Within::Predicted)));
    assert_eq!(file(", within: none", "newLeader"), Ok(None));
    assert_eq!(file(", within: 30s", "newLeader"), Ok(Some(Within::Span(Span::seconds(30)))));
    assert_eq!(file("", "{fails: api/cached/*/reused}"), Ok(None));
    let error =
        file(", within: predicted", "{fails: api/cached/*/reused}").expect_err("no formula").to_string();
    assert!(error.contains("a.yaml:8:") && error.contains("spec.milestones[0].within"), "{error}");
}

/// Seconds as real clusters gave them: kind 0.27, 3 control planes and 2 workers on 2 cores, Kubernetes 1.20.2,
/// HAProxy; three to seven runs each, those left out in which a static pod waited for its restart's back-off.
const MEASURED: &[(&str, &str, &[f64])] = &[
    ("controller-manager/lease-expiry/kill", "new holder", &[16.6, 18.6, 17.2, 17.4, 18.2, 17.4, 18.2]),
    ("controller-manager/lease-expiry/kill", "a change converges again", &[30.2, 28.9, 30.3]),
    ("controller-manager/lease-expiry/term", "new holder", &[18.1, 16.6, 17.8, 16.4, 16.6]),
    ("controller-manager/lease-expiry/stop", "new holder", &[17.3, 17.0, 17.4]),
    ("controller-manager/lease-expiry/stop", "a change converges again", &[32.3, 30.3, 29.1]),
    ("scheduler/lease-expiry/kill", "new holder", &[14.7, 16.7, 16.5]),
    ("scheduler/lease-expiry/kill", "pods are scheduled again", &[14.7, 16.2, 16.5]),
    ("scheduler/lease-expiry/term", "new holder", &[19.1, 15.4, 17.5]),
    ("scheduler/lease-expiry/stop", "new holder", &[17.8, 15.7, 15.8, 16.0]),
    ("etcd/member-loss", "member lost", &[0.0, 0.1, 0.0]),
    ("etcd/member-loss", "new connections through the load balancer", &[10.5, 11.3, 10.3]),
    ("etcd/member-loss", "member answers", &[3.0, 1.5, 3.3]),
    ("etcd/member-loss", "caught up", &[3.0, 1.5, 2.9]),
    ("etcd/member-loss", "its API server writes", &[10.7, 15.3, 10.4]),
    ("etcd/leader-loss/kill", "new leader", &[1.3, 1.8, 1.3, 1.1]),
    ("etcd/leader-loss/kill", "writes through the others", &[1.3, 1.8, 1.5, 1.1]),
    ("etcd/leader-loss/kill", "new connections through the load balancer", &[1.5, 1.3]),
    ("etcd/leader-loss/kill", "old leader's node writes again", &[3.0, 3.3, 3.1, 2.2]),
    ("etcd/leader-loss/kill", "old leader caught up", &[1.9, 2.8, 1.7, 1.7]),
    ("etcd/leader-loss/term", "new leader", &[0.3, 0.1, 0.2]),
    ("etcd/leader-loss/term", "old leader caught up", &[4.1, 2.4]),
    ("etcd/leader-loss/stop", "new leader", &[1.5, 1.1, 1.6, 1.6]),
    ("etcd/leader-loss/stop", "new connections through the load balancer", &[9.5, 11.2, 9.3]),
    ("etcd/leader-loss/stop", "old leader's node writes again", &[0.2, 2.0, 0.2]),
    ("etcd/leader-loss/stop", "old leader caught up", &[0.3, 2.0, 0.2, 0.0]),
    ("etcd/quorum-loss", "no leader", &[1.4, 1.4, 1.0]),
    ("etcd/quorum-loss", "killed container serves again", &[13.5, 12.6, 13.2]),
    ("etcd/quorum-loss", "quorum back", &[2.8, 1.7, 1.9]),
    ("etcd/quorum-loss", "writes back", &[25.3, 29.1, 29.5]),
    ("etcd/quorum-loss", "pod's deletion granted", &[22.6, 2.3, 1.7]),
    ("etcd/quorum-loss", "deleted pod replaced", &[37.2, 32.3, 35.9]),
    ("apiserver/instance-loss/kill", "instance lost", &[0.0, 0.1, 0.2, 0.1]),
    ("apiserver/instance-loss/kill", "new connections through the load balancer", &[6.1, 5.4, 1.4, 2.4]),
    ("apiserver/instance-loss/kill", "kept connections through the load balancer", &[3.4, 0.4, 0.2]),
    ("apiserver/instance-loss/kill", "instance back", &[4.6, 5.7]),
    ("apiserver/instance-loss/stop", "new connections through the load balancer", &[8.6, 10.3, 11.3, 10.3]),
    ("apiserver/instance-loss/stop", "kept connections through the load balancer", &[45.0, 45.0]),
    ("apiserver/instance-loss/stop", "instance back", &[2.4, 1.0, 0.8, 1.3]),
    ("kubelet/down", "kubelet silent", &[0.0, 0.0, 0.1]),
    ("kubelet/down", "node not ready", &[33.5, 35.8, 37.8]),
    ("kubelet/down", "node tainted", &[39.0, 41.7, 43.3]),
    ("kubelet/down", "pod evicted", &[53.9, 56.5, 58.1]),
    ("kubelet/down", "pod replaced", &[55.5, 58.5, 59.6]),
    ("kubelet/down", "node ready", &[6.5, 6.5, 16.1]),
    ("kubelet/down", "old copy gone", &[8.1, 8.2, 8.4]),
    ("kubelet/crash-patterns/one", "kubelet healthy", &[7.0, 6.8, 7.0, 6.9]),
    ("kubelet/crash-patterns/five-in-a-row", "kubelet healthy", &[13.5, 12.3, 12.7]),
    ("kubelet/crash-patterns/spaced", "kubelet healthy", &[7.0, 7.2, 7.0]),
    ("kube-proxy/down", "pod deleted", &[3.2, 3.1, 3.1]),
    ("kube-proxy/down", "stale route met", &[5.5, 5.3, 5.3]),
    ("kube-proxy/down", "pod replaced", &[5.0, 5.1, 4.1]),
    ("kube-proxy/down", "routes right again", &[0.2, 0.0, 0.0]),
];

#[test]
fn what_real_clusters_gave_lies_within() {
    let config = old();
    let all: BTreeMap<String, BTreeMap<String, Prediction>> =
        plans().into_iter().map(|plan| (plan.id.clone(), predict(&plan, &config))).collect();
    for (id, milestone, values) in MEASURED {
        let found = &all[*id];
        let prediction =
            found.get(*milestone).unwrap_or_else(|| panic!("{id}: {milestone} is not predicted"));
        for value in *values {
            let (low, high) = (prediction.low.0.as_secs_f64(), prediction.high.0.as_secs_f64());
            assert!((low..=high).contains(value), "{id}: {milestone}: {value} is not in {low} to {high}");
        }
        println!(
            "{id:42} {milestone:44} {:>6.1} {:>6.1}  {values:?}",
            prediction.low.0.as_secs_f64(),
            prediction.high.0.as_secs_f64()
        );
    }
}
