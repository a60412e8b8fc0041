//! What the record itself must show of a fault, each kind both ways.

use crate::common::{FAULT, Story, at, member_told, renewed, well};
use recoup_model::{
    event::{Event, Phase, Record},
    observation::{FailureClass, Observed},
    verdict::{ExperimentResult, Verdict},
};

const QUIET: &str = "  assertions:\n    - gap: {of: workload/pod/*, max: 5s}";

fn story(step: &str, target: &str) -> Story {
    Story::new(step, QUIET, target)
}

/// A step that holds for 30 s.
fn held(step: &str, target: &str) -> Story {
    Story { undo: Some(FAULT + 30.0), ..story(step, target) }
}

/// Whether a check of that text is among the evidence and held, and what was seen.
fn shown(result: &ExperimentResult, check: &str) -> Option<(bool, String)> {
    let evidence = result.bands.iter().flat_map(|band| &band.evidence);
    evidence.clone().find(|(text, ..)| text.contains(check)).map(|(_, held, seen)| (*held, seen.clone()))
}

#[track_caller]
fn holds(story: &Story, check: &str) -> String {
    let result = story.judged();
    assert_eq!(result.verdict, Verdict::Pass, "{:?}", result.reasons);
    let (held, seen) = shown(&result, check).unwrap_or_else(|| panic!("{check}: {:?}", result.bands));
    assert!(held, "{check}: {seen}");
    seen
}

#[track_caller]
fn broken(story: &Story, check: &str) -> String {
    let result = story.judged();
    assert_eq!(result.verdict, Verdict::Inconclusive, "{:?}", result.bands);
    let (held, seen) = shown(&result, check).unwrap_or_else(|| panic!("{check}: {:?}", result.bands));
    assert!(!held, "{check}: {seen}");
    assert!(result.reasons.iter().any(|reason| reason.contains(check)), "{:?}", result.reasons);
    seen
}

const LEADER: &str = "signal: {process: etcd, on: raftLeader, signal: KILL}";
const FOLLOWER: &str = "signal: {process: etcd, on: raftFollower, signal: KILL}";
const HOLDER: &str = "signal: {process: kube-scheduler, on: {leaseHolder: kube-scheduler}, signal: KILL}";

#[test]
fn the_one_hit_had_its_role() {
    holds(&story(LEADER, "cp1"), "cp1 was the raft leader when it was hit");
    assert!(broken(&story(LEADER, "cp2"), "cp2 was the raft leader").contains("3 of 3 members followed cp1"));
    holds(&story(FOLLOWER, "cp2"), "cp2 followed the raft leader when it was hit");
    broken(&story(FOLLOWER, "cp1"), "cp1 followed the raft leader");
    assert!(holds(&story(HOLDER, "cp1"), "cp1 held the lease kube-scheduler").starts_with("cp1_a held it"));
    broken(&story(HOLDER, "cp3"), "cp3 held the lease kube-scheduler");
}

/// The leader was chosen, and at the injection another led.
#[test]
fn leadership_that_moves_between_choice_and_injection_is_named() {
    let moved = |stream: &str, step: &str| {
        let mut story = story(step, "cp1");
        // The choice was made a second before.
        let (step, key, targets, description) = (1, "signal".into(), vec!["cp1".into()], String::new());
        let chosen = Event::StepStarted { step, key, targets, description };
        story = story.told(stream, |stream, n, t| {
            let leads = if t < FAULT - 0.6 { "cp1" } else { "cp2" };
            Ok(match well(stream, n) {
                Observed::Member { .. } => {
                    member_told(stream.name.rsplit('/').next().unwrap_or_default(), Some(leads), 2, n)
                }
                Observed::Lease { renewed, .. } => Observed::Lease { holder: format!("{leads}_x"), renewed },
                other => other,
            })
        });
        let mut records = story.records();
        let late = |record: &Record| {
            matches!(record.event, Event::StepStarted { .. } | Event::PhaseStarted { phase: Phase::Fault })
        };
        for record in records.iter_mut().filter(|record| late(record)) {
            record.at = at(FAULT - 1.0);
            if let Event::StepStarted { .. } = record.event {
                record.event = chosen.clone();
            }
        }
        records.sort_by_key(|record| record.at);
        let result = recoup_model::judge(&story.plan, &crate::common::cluster(), &records);
        assert_eq!(result.verdict, Verdict::Inconclusive);
        result.reasons.join("; ")
    };
    let raft = moved("etcd/status", LEADER);
    assert!(raft.contains("leadership moved from cp1 between choice and injection"), "{raft}");
    let lease = moved("lease/kube-scheduler", HOLDER);
    assert!(lease.contains("it moved from cp1_x between choice and injection"), "{lease}");
}

#[test]
fn who_led_is_not_known_where_nobody_answered_lately() {
    let silent = story(LEADER, "cp1").down("etcd/status", FAULT - 4.0, FAULT + 20.0);
    broken(&silent, "cp1 was the raft leader");
}

const QUORUM: &str = "staticPod: {pod: etcd, on: raftFollower, count: 2, for: 30s}";

#[test]
fn quorum_was_really_lost() {
    let both = || Story { also: vec!["cp3".into()], ..held(QUORUM, "cp2") };
    let seen = holds(&both(), "quorum was lost");
    assert!(seen.ends_with("writes of 3 streams failed"), "{seen}");
    // One write in the midst of it is one too many.
    let taken = both().told("etcd/put/cp1", |stream, n, t| {
        let out = (FAULT..FAULT + 29.9).contains(&t) && n != 250;
        if out { Err(FailureClass::Timeout) } else { Ok(well(stream, n)) }
    });
    assert!(broken(&taken, "quorum was lost").contains("1 of 2"), "{:?}", taken.judged().reasons);
    // The first two seconds may still answer.
    let late = both().told("etcd/put/cp1", |stream, n, t| {
        let out = (FAULT + 1.5..FAULT + 29.9).contains(&t);
        if out { Err(FailureClass::Timeout) } else { Ok(well(stream, n)) }
    });
    holds(&late, "quorum was lost");
    // With one member of three nothing of the kind is looked for.
    assert_eq!(shown(&held(QUORUM, "cp2").judged(), "quorum"), None);
}

const KUBELET: &str = "unit: {unit: kubelet, on: worker, for: 30s}";

/// The Lease of w1 is told as the closure says.
fn lease(revision: impl Fn(f64) -> u64 + 'static) -> Story {
    held(KUBELET, "w1")
        .told("nodelease/w1", move |_, _, t| Ok(Observed::Renewed { revision: revision(t) }))
        .down("health/kubelet/w1", FAULT, FAULT + 30.0)
}

#[test]
fn the_node_lease_stopped() {
    let check = "the kubelet of w1 renewed its lease no more";
    holds(&held(KUBELET, "w1"), check);
    assert!(broken(&lease(renewed), check).contains("it was renewed"), "it went on");
    // A baseline may hold no renewal; one after the return shows that the probe sees them.
    holds(&lease(|t| if t > FAULT + 30.5 { 2 } else { 1 }), check);
    assert!(broken(&lease(|_| 1), check).contains("was not renewed before"));
    let few = held(KUBELET, "w1").down("nodelease/w1", FAULT, FAULT + 25.0);
    assert!(broken(&few, check).contains("answers while it lasted"));
    // A shorter fault may fall between two renewals.
    let short = KUBELET.replace("30s", "15s");
    let short = Story { undo: Some(FAULT + 15.0), ..story(&short, "w1") };
    assert_eq!(shown(&short.judged(), "renewed its lease"), None);
}

#[test]
fn a_long_baseline_without_a_renewal_is_held_against_the_lease() {
    let mut story = lease(|t| if t > 75.0 { 2 } else { 1 });
    story.ends = 100.0;
    let mut records = story.records();
    // The same story with the fault 25 s later.
    let shift =
        |offset: &mut recoup_model::time::Offset| *offset = offset.plus(std::time::Duration::from_secs(25));
    for record in &mut records {
        let moved = match &mut record.event {
            Event::Injected { began, ended, .. } | Event::Undone { began, ended, .. } => {
                shift(began);
                shift(ended);
                true
            }
            Event::StepStarted { .. }
            | Event::Evidence { .. }
            | Event::PhaseStarted { phase: Phase::Fault } => true,
            _ => false,
        };
        if moved {
            shift(&mut record.at);
        }
    }
    records.sort_by_key(|record| record.at);
    let result = recoup_model::judge(&story.plan, &crate::common::cluster(), &records);
    let (held, seen) = shown(&result, "renewed its lease no more").expect("evidence");
    assert!(!held && seen.contains("it was not renewed before, in 34"), "{seen}");
}

#[test]
fn the_api_server_that_was_hit_refused_or_hung() {
    let check = "kube-apiserver of cp1 stopped answering";
    let kill = || story("signal: {process: kube-apiserver, on: controlPlane, signal: KILL}", "cp1");
    holds(&kill().down("api/write/cp1", FAULT + 0.2, FAULT + 5.0), check);
    assert_eq!(broken(&kill(), check), "no request failed after the injection");
    let before = kill().down("api/", 0.0, 1000.0);
    assert_eq!(broken(&before, check), "it did not answer before it was hit either");

    let stop = || held("signal: {process: kube-apiserver, on: controlPlane, signal: STOP, for: 30s}", "cp1");
    holds(&stop(), check);
    let another = stop().told("api/read/cp1/new", |stream, n, _| Ok(well(stream, n)));
    assert!(broken(&another, check).contains("were answered while it lasted"));
}

/// Of what is back at once a probe may see nothing, and the node's own evidence suffices.
#[test]
fn a_quick_return_is_told_where_it_was_seen_and_never_demanded() {
    let kill = |process: &str, on: &str| format!("signal: {{process: {process}, on: {on}, signal: KILL}}");
    for (process, on, node, stream) in [
        ("kube-proxy", "worker", "w1", "health/kube-proxy/w1"),
        ("kubelet", "worker", "w1", "health/kubelet/w1"),
        ("etcd", "raftLeader", "cp1", "etcd/status/cp1"),
    ] {
        let check = format!("{process} of {node} stopped answering");
        let unseen = story(&kill(process, on), node).judged();
        assert_eq!((unseen.verdict, shown(&unseen, &check)), (Verdict::Pass, None), "{:?}", unseen.reasons);
        holds(&story(&kill(process, on), node).down(stream, FAULT, FAULT + 1.0), &check);
    }
    // Frozen for long, it must show.
    let frozen = || held("signal: {process: kube-proxy, on: worker, signal: STOP, for: 30s}", "w1");
    holds(&frozen(), "kube-proxy of w1 stopped answering");
    broken(&frozen().told("health", |stream, n, _| Ok(well(stream, n))), "kube-proxy of w1");
}

#[test]
fn leadership_that_moves_within_the_baseline_makes_it_inconclusive() {
    let moved = |stream: &str, at: f64| {
        story(FOLLOWER, "cp3").told(stream, move |stream, n, t| {
            let leads = if t < at { "cp2" } else { "cp1" };
            Ok(match well(stream, n) {
                Observed::Member { .. } => {
                    member_told(stream.name.rsplit('/').next().unwrap_or_default(), Some(leads), 2, n)
                }
                Observed::Lease { renewed, .. } => Observed::Lease { holder: format!("{leads}_x"), renewed },
                other => other,
            })
        })
    };
    for (stream, text) in [
        ("etcd/status", "the raft leader changed within the baseline"),
        ("lease/kube-scheduler", "the lease kube-scheduler changed its holder within the baseline"),
    ] {
        let result = moved(stream, 5.0).judged();
        assert_eq!(result.verdict, Verdict::Inconclusive);
        assert!(result.reasons.iter().any(|reason| reason.contains(text)), "{:?}", result.reasons);
        let after = moved(stream, FAULT + 5.0).judged();
        assert_eq!(after.verdict, Verdict::Pass, "{:?}", after.reasons);
    }
}

/// A node that is left out of the routes stays out, unless the experiment is about this very node.
#[test]
fn an_unrouted_node_is_left_out_where_it_is_not_needed() {
    let judged = |pattern: &str| {
        let lines = format!("  assertions:\n    - gap: {{of: {pattern}, max: 5s}}");
        let mut story = Story::new(&KUBELET.replace("30s", "15s"), &lines, "w1");
        story.undo = Some(FAULT + 15.0);
        story.plan = story.plan.resolved(&crate::common::cluster(), &["w1".to_owned()]);
        story.judged()
    };
    assert_eq!(
        judged("workload/service/*").verdict,
        Verdict::Pass,
        "{:?}",
        judged("workload/service/*").reasons
    );
    assert_eq!(judged("workload/service/@others").verdict, Verdict::Pass);
    let needed = judged("workload/service/@target");
    assert_eq!(needed.verdict, Verdict::Inconclusive);
    assert!(
        needed.reasons.iter().any(|r| r.contains("w1 did not route to the Service")),
        "{:?}",
        needed.reasons
    );
}
