//! Each rule of judgement, on an invented record.

use crate::common::{FAULT, Story, at, cluster, member_told, nodes, pod, process, well};
use recoup_model::{
    event::{Event, Record},
    observation::{Failure, FailureClass, Observed},
    predict::Prediction,
    spec::Within,
    time::{Offset, Span},
    verdict::{ExperimentResult, Measure, Verdict},
};

const KILL: &str = "signal: {process: etcd, on: raftLeader, signal: KILL}";
pub const STOP: &str = "signal: {process: etcd, on: raftLeader, signal: STOP, for: 20s}";

/// A milestone within 10 s.
pub fn within(when: &str) -> String {
    format!("  milestones:\n    - {{name: m, when: {when}, within: 10s}}")
}

pub fn asserted(assertion: &str) -> String {
    format!("  assertions:\n    - {assertion}")
}

pub fn kill(lines: &str) -> Story {
    Story::new(KILL, lines, "cp1")
}

/// Value, low and high in seconds.
fn measured(result: &ExperimentResult) -> (f64, f64, f64) {
    let seconds = |span: Span| span.0.as_secs_f64();
    match result.intervals[0].measure {
        Measure::Measured { value, low, high } => (seconds(value), seconds(low), seconds(high)),
        other => panic!("{other:?}: {:?}", result.intervals[0]),
    }
}

/// The truth, in seconds after the fault, lies within the bounds, and these are no wider than `wide`.
pub fn assert_bounds(result: &ExperimentResult, truth: f64, wide: f64) {
    let (value, low, high) = measured(result);
    assert!(low <= truth && truth <= high, "{truth} is not in {low}..{high}");
    assert!(low <= value && value <= high, "{value} is not in {low}..{high}");
    assert!(high - low <= wide, "{low}..{high} is wider than {wide}");
}

fn lease(from: f64) -> Story {
    kill(&within("{newHolder: kube-scheduler}")).told("lease/kube-scheduler", move |_, n, t| {
        let holder = if t < FAULT + from { "cp1_a" } else { "cp2_b" };
        Ok(Observed::Lease { holder: holder.into(), renewed: n.to_string() })
    })
}

#[test]
fn a_new_holder_is_found_with_its_bounds() {
    let result = lease(5.0).judged();
    assert_eq!(result.verdict, Verdict::Pass, "{:?}", result.reasons);
    assert_bounds(&result, 5.0, 0.5);
    let lane = result.states.iter().find(|lane| lane.name == "holder of kube-scheduler").expect("a lane");
    assert_eq!(lane.spans.iter().map(|s| s.value.as_str()).collect::<Vec<_>>(), ["cp1", "cp2"]);
}

#[test]
fn later_than_the_budget_fails() {
    assert_eq!(lease(15.0).judged().verdict, Verdict::Fail);
}

#[test]
fn what_never_came_is_censored_and_fails_where_the_budget_was_used_up() {
    let result = lease(1000.0).judged();
    assert_eq!(result.verdict, Verdict::Fail);
    assert!(matches!(result.intervals[0].measure, Measure::Censored { .. }), "{:?}", result.intervals[0]);
    let short = Story { ends: 15.0, ..lease(1000.0) }.judged();
    assert_eq!(short.verdict, Verdict::Inconclusive, "observation was shorter than the budget");
}

#[test]
fn sooner_than_possible_fails() {
    let lines = "  milestones:\n    - {name: m, when: {newHolder: kube-scheduler}, atLeast: 8s, within: 30s}";
    let mut story = lease(2.0);
    story.plan.milestones = crate::common::plan(KILL, lines).milestones;
    assert_eq!(story.judged().verdict, Verdict::Fail);
}

#[test]
fn without_evidence_there_is_no_verdict() {
    for story in [Story { evidence: false, ..lease(1000.0) }, Story { effective: false, ..lease(1000.0) }] {
        let result = story.judged();
        assert_eq!(result.verdict, Verdict::Inconclusive);
        assert!(result.reasons[0].contains("step 1"), "{:?}", result.reasons);
    }
}

#[test]
fn a_cluster_that_was_ill_before_is_not_judged_and_one_that_is_ill_after_fails() {
    let ill = vec!["node w1 is not ready".to_owned()];
    assert_eq!(Story { before: ill.clone(), ..lease(5.0) }.judged().verdict, Verdict::Inconclusive);
    assert_eq!(Story { after: ill, ..lease(5.0) }.judged().verdict, Verdict::Fail);
}

#[test]
fn an_aborted_experiment_is_inconclusive_whatever_was_seen() {
    let mut story = lease(1000.0);
    let event = Event::ExperimentAborted { id: "a/b".into(), reason: "interrupted".into() };
    story.more.push(Record { at: at(59.0), event });
    assert_eq!(story.judged().verdict, Verdict::Inconclusive);
}

#[test]
fn an_unstable_or_empty_baseline_is_inconclusive() {
    let unstable =
        kill(&asserted("gap: {of: api/write/cp2/reused, max: 1s}")).down("api/write/cp2", 3.0, 5.0);
    assert_eq!(unstable.judged().verdict, Verdict::Inconclusive);
    let story = kill(&asserted("gap: {of: api/write/cp2/reused, max: 1s}"));
    let index = story.plan.streams.iter().position(|s| s.name == "api/write/cp2/reused").expect("a stream");
    let mut records = story.records();
    records
        .retain(|r| !matches!(&r.event, Event::Sample(s) if s.stream as usize == index && s.sent < at(5.0)));
    let result = recoup_model::judge(&story.plan, &cluster(), &records);
    assert_eq!(result.verdict, Verdict::Inconclusive, "half of the baseline is missing");
}

#[test]
fn what_the_observer_lost_makes_it_inconclusive() {
    let story =
        kill(&asserted("gap: {of: api/write/cp2/reused, max: 1s}")).told("api/write/cp2", |stream, n, t| {
            if t > 20.0 && n % 4 == 0 { Err(FailureClass::Observer) } else { Ok(well(stream, n)) }
        });
    let result = story.judged();
    assert_eq!(result.verdict, Verdict::Inconclusive);
    assert!(result.reasons[0].contains("observer"), "{:?}", result.reasons);
}

#[test]
fn a_flap_does_not_end_the_clock() {
    let flapping = |when: &str| {
        kill(&within(when)).told("api/write/cp2", |stream, n, t| {
            let down = (FAULT..FAULT + 2.0).contains(&t) || (FAULT + 4.0..FAULT + 6.0).contains(&t);
            if down { Err(FailureClass::Unavailable) } else { Ok(well(stream, n)) }
        })
    };
    assert_bounds(&flapping("{succeeds: api/write/cp2/reused}").judged(), 2.0, 0.4);
    assert_bounds(&flapping("{stable: api/write/cp2/reused}").judged(), 6.0, 0.4);
}

#[test]
fn a_window_that_is_cut_off_is_not_stability() {
    let story = kill(&within("{stable: api/write/cp2/reused}")).down("api/write/cp2", FAULT, FAULT + 20.0);
    let cut = Story { ends: FAULT + 22.0, ..story }.judged();
    assert!(matches!(cut.intervals[0].measure, Measure::Censored { .. }), "{:?}", cut.intervals[0]);
}

#[test]
fn no_failure_is_not_seen_and_not_zero() {
    let result = kill(&within("{stable: api/write/cp2/reused}")).judged();
    let Measure::NotSeen { resolution } = result.intervals[0].measure else {
        panic!("{:?}", result.intervals[0])
    };
    assert!(resolution <= Span::millis(120) && resolution >= Span::millis(100), "{resolution}");
    assert_eq!(result.verdict, Verdict::Pass);
}

#[test]
fn the_slowest_recovery_and_the_earliest_failure_decide() {
    let story = |when: &str| {
        kill(&within(when)).down("api/write/cp2", FAULT + 2.0, FAULT + 4.0).down(
            "api/write/cp3",
            FAULT + 1.0,
            FAULT + 8.0,
        )
    };
    assert_bounds(&story("{fails: api/write/@others/reused}").judged(), 1.0, 0.4);
    assert_bounds(&story("{stable: api/write/@others/reused}").judged(), 8.0, 0.4);
}

#[test]
fn a_pattern_without_streams_on_this_cluster_is_inconclusive() {
    let story = kill(&asserted("gap: {of: api/write/elsewhere/reused, max: 1s}"));
    assert_eq!(story.judged().verdict, Verdict::Inconclusive);
}

#[test]
fn gaps_are_held_against_their_allowance() {
    let gap = |max: &str, to: f64| {
        kill(&asserted(&format!("gap: {{of: api/write/cp2/reused, max: {max}}}")))
            .down("api/write/cp2", FAULT, to)
            .judged()
    };
    assert_eq!(gap("5s", FAULT + 2.0).verdict, Verdict::Pass);
    assert_eq!(gap("1s", FAULT + 2.0).verdict, Verdict::Fail);
    assert_eq!(gap("0s", FAULT + 0.05).verdict, Verdict::Fail, "one failed attempt");
    assert_eq!(gap("5s", 1000.0).verdict, Verdict::Fail, "it never ended");
}

#[test]
fn shares_are_counted_while_the_fault_lasts() {
    let lasting = |assertion: &str, to: f64| {
        let story = Story::new(STOP, &asserted(assertion), "cp1").down("api/write/cp2", FAULT, to);
        Story { undo: Some(FAULT + 20.0), ..story }.judged()
    };
    assert_eq!(lasting("fails: {of: api/write/cp2/reused, after: 1s}", FAULT + 25.0).verdict, Verdict::Pass);
    assert_eq!(lasting("fails: {of: api/write/cp2/reused, after: 1s}", FAULT + 10.0).verdict, Verdict::Fail);
    assert_eq!(
        lasting("succeeds: {of: api/write/cp2/reused, after: 5s}", FAULT + 2.0).verdict,
        Verdict::Pass
    );
    assert_eq!(lasting("succeeds: {of: api/write/cp2/reused}", FAULT + 2.0).verdict, Verdict::Fail);
}

fn election(lines: &str, elected: f64) -> Story {
    kill(lines).told("etcd/status", move |stream, n, t| {
        let member = stream.name.rsplit('/').next().unwrap_or_default().to_owned();
        match t {
            t if t < FAULT => Ok(member_told(&member, Some("cp1"), 2, n)),
            t if member == "cp1" && t < FAULT + 8.0 => Err(FailureClass::Refused),
            t if t < FAULT + elected => Ok(member_told(&member, None, 2, n)),
            _ => Ok(member_told(&member, Some("cp2"), 3, n)),
        }
    })
}

#[test]
fn an_old_leader_that_is_back_within_an_election_timeout_may_win_again() {
    let again = kill(&within("newLeader")).told("etcd/status", |stream, n, t| {
        let member = stream.name.rsplit('/').next().unwrap_or_default().to_owned();
        match t {
            t if t < FAULT => Ok(member_told(&member, Some("cp1"), 2, n)),
            t if member == "cp1" && t < FAULT + 0.8 => Err(FailureClass::Refused),
            // Its followers go on naming it until they vote.
            t if t < FAULT + 1.4 => Ok(member_told(&member, Some("cp1"), 2, n)),
            _ => Ok(member_told(&member, Some("cp1"), 3, n)),
        }
    });
    assert_bounds(&again.judged(), 1.4, 0.4);
}

#[test]
fn an_election_is_told_by_the_majority() {
    assert_bounds(&election(&within("newLeader"), 2.0).judged(), 2.0, 0.4);
    assert_bounds(&election(&within("noLeader"), 2.0).judged(), 0.0, 0.4);
    assert_bounds(&election(&within("caughtUp"), 2.0).judged(), 8.0, 0.4);
    assert_eq!(election(&asserted("sameLeader: {}"), 2.0).judged().verdict, Verdict::Fail);
    assert_eq!(kill(&asserted("sameLeader: {}")).judged().verdict, Verdict::Pass);
    let never = kill(&within("newLeader")).judged();
    assert!(matches!(never.intervals[0].measure, Measure::Censored { .. }), "the old leader was never lost");
    let lane = election("  assertions: [sameLeader: {}]", 2.0).judged().states.remove(0);
    assert_eq!(lane.spans.iter().map(|s| s.value.as_str()).collect::<Vec<_>>(), ["cp1", "nobody", "cp2"]);
}

#[test]
fn nodes_and_pods_are_followed_through_a_loss() {
    let story = |when: &str| {
        let step = "unit: {unit: kubelet, on: workloadNode, for: 20s}";
        let lines = format!("  milestones:\n    - {{name: m, when: {when}, within: 40s}}");
        let story = Story::new(step, &lines, "w1")
            .told("nodes", |_, _, t| {
                Ok(nodes(if (FAULT + 4.0..FAULT + 25.0).contains(&t) { &["w1"] } else { &[] }))
            })
            .told("pods", |_, _, t| {
                let mut pods = vec![pod("p1", "w1"), pod("p2", "w2")];
                pods[0].deleting = t >= FAULT + 6.0;
                pods.extend((t >= FAULT + 9.0).then(|| pod("p3", "w2")));
                Ok(Observed::Pods(pods))
            })
            .down("workload/pod/w1", FAULT + 28.0, 1000.0);
        Story { undo: Some(FAULT + 20.0), ..story }.judged()
    };
    for (when, truth) in [
        ("notReady", 4.0),
        ("tainted", 4.0),
        ("ready", 25.0),
        ("evicted", 6.0),
        ("replaced", 9.0),
        ("staleGone", 28.0),
    ] {
        let result = story(when);
        assert_bounds(&result, truth, 1.2);
        assert_eq!(result.verdict, Verdict::Pass, "{when}: {:?}", result.reasons);
    }
}

#[test]
fn a_replacement_during_the_fault_is_found_in_lists_and_in_answers() {
    let story = |stream: &str| {
        let stream = stream.to_owned();
        let story = Story::new(STOP, &asserted("noReplacementDuringFault: {}"), "cp1").told(
            &stream,
            |stream, n, t| match well(stream, n) {
                Observed::Served { .. } if t > FAULT + 5.0 => Ok(Observed::Served { pod: "p3".into() }),
                Observed::Pods(mut pods) if t > FAULT + 5.0 => {
                    pods.push(pod("p3", "w2"));
                    Ok(Observed::Pods(pods))
                }
                other => Ok(other),
            },
        );
        Story { undo: Some(FAULT + 20.0), ..story }.judged().verdict
    };
    assert_eq!(story("pods"), Verdict::Fail);
    assert_eq!(story("workload/service"), Verdict::Fail);
    assert_eq!(story("nothing"), Verdict::Pass);
}

#[test]
fn a_lost_write_fails_and_an_unread_one_is_inconclusive() {
    let story = || kill(&asserted("noLostWrites: {}"));
    let whole = story().read_back(|_, _| false).judged();
    assert_eq!(whole.verdict, Verdict::Pass, "{:?}", whole.reasons);
    assert_eq!(
        story().read_back(|stream, n| stream == "etcd/put/cp2" && n == 300).judged().verdict,
        Verdict::Fail
    );
    assert_eq!(
        story().read_back(|stream, n| stream.starts_with("api/write/lb") && n == 599).judged().verdict,
        Verdict::Fail
    );
    assert_eq!(story().judged().verdict, Verdict::Inconclusive, "nothing was read back");
    let mut unread = story().read_back(|_, _| false);
    if let Event::WritesReadBack { failure, .. } = &mut unread.more[0].event {
        *failure = Some(Failure::new(FailureClass::Timeout, "late"));
    }
    assert_eq!(unread.judged().verdict, Verdict::Inconclusive);
}

#[test]
fn an_old_holder_that_holds_again_fails() {
    let story = |back: f64| {
        kill(&asserted("oldHolderStaysOut: kube-scheduler")).told("lease/kube-scheduler", move |_, n, t| {
            let holder = if (FAULT + 5.0..FAULT + back).contains(&t) { "cp2_b" } else { "cp1_a" };
            Ok(Observed::Lease { holder: holder.into(), renewed: n.to_string() })
        })
    };
    assert_eq!(story(20.0).judged().verdict, Verdict::Fail);
    assert_eq!(story(1000.0).judged().verdict, Verdict::Pass);
    assert_eq!(story(0.0).judged().verdict, Verdict::Inconclusive, "nobody ever took it");
}

#[test]
fn processes_must_be_others_and_back_in_time() {
    let aftermath = |pids: &[u32]| {
        let mut story = kill(&asserted("oldProcessGone: {}"));
        let processes = pids.iter().map(|pid| process(*pid)).collect();
        let event = Event::Aftermath { step: 1, node: "cp1".into(), processes };
        story.more.push(Record { at: at(59.5), event });
        story.judged().verdict
    };
    assert_eq!(aftermath(&[8]), Verdict::Pass);
    assert_eq!(aftermath(&[7]), Verdict::Fail);
    assert_eq!(aftermath(&[]), Verdict::Pass, "the next one waits for its restart");
    let back = |seen: Option<f64>| {
        let mut story = kill(&asserted("comesBack: {within: 5s}"));
        if let Some(seen) = seen {
            let (missing, node) = (at(FAULT + seen - 0.2), "cp1".to_owned());
            let event =
                Event::ProcessBack { step: 1, node, missing, seen: at(FAULT + seen), process: process(8) };
            story.more.push(Record { at: at(FAULT + seen), event });
        }
        story.judged().verdict
    };
    assert_eq!(back(Some(2.0)), Verdict::Pass);
    assert_eq!(back(Some(9.0)), Verdict::Fail);
    assert_eq!(back(None), Verdict::Fail);
}

#[test]
fn it_is_settled_once_all_has_come_and_held() {
    let story = lease(5.0).down("api/write/cp1", FAULT, FAULT + 8.0);
    let settled = |until: f64| story.live(until).settled(at(until));
    assert!(!settled(FAULT + 4.0), "no new holder yet");
    assert!(!settled(FAULT + 7.0), "a point of view still fails");
    assert!(!settled(FAULT + 10.0), "the window of stability is not over");
    assert!(!settled(FAULT + 12.0), "what the workload was asked last may hang yet");
    assert!(settled(FAULT + 14.0));
}

#[test]
fn judging_again_gives_the_same_result() {
    let story = election(&within("newLeader"), 2.0);
    assert_eq!(story.judged(), story.judged());
    let text: Vec<String> = story.records().iter().map(|r| serde_json::to_string(r).expect("JSON")).collect();
    let read: Vec<Record> = text.iter().map(|line| serde_json::from_str(line).expect("a record")).collect();
    assert_eq!(recoup_model::judge(&story.plan, &cluster(), &read), story.judged());
    assert!(story.judged().started < Offset(1));
}

/// Once a change that the fault held up was still under way when observation ended, and the controller-manager's
/// loss passed as "not seen".
#[test]
fn an_operation_that_never_ended_is_not_an_outage_that_was_not_seen() {
    let story = kill(&format!(
        "  probes: {{convergence: {{enabled: true}}}}\n{}",
        within("{stable: converge}").replace("10s", "50s")
    ));
    let plan = &story.plan;
    let converge = plan.streams.iter().position(|stream| stream.name == "converge").unwrap();
    let held_up = |record: &Record| match &record.event {
        Event::Sample(sample) => sample.stream as usize == converge && sample.sent >= at(FAULT),
        _ => false,
    };
    let mut records = story.records();
    records.retain(|record| !held_up(record));
    let result = recoup_model::judge(plan, &cluster(), &records);
    assert!(matches!(result.intervals[0].measure, Measure::Censored { .. }), "{:?}", result.intervals[0]);
    assert_ne!(result.verdict, Verdict::Pass);
    assert!(!recoup_model::judge::settled(plan, &cluster(), &records, at(59.0)));
}

#[test]
fn a_baseline_that_was_not_quiet_begins_again_and_the_last_one_counts() {
    let mut story =
        kill(&asserted("gap: {of: api/write/*/reused, max: 30s}")).down("api/write/cp2", 0.5, 2.0);
    assert_eq!(story.judged().verdict, Verdict::Inconclusive);
    // Just before the fault, which ends the baseline.
    let unquiet = |story: &Story| story.live(FAULT - 1e-6).unquiet();
    assert!(unquiet(&story)[0].contains("failed before anything was broken"), "{:?}", unquiet(&story));
    let phase = recoup_model::event::Phase::Baseline;
    story.more.push(Record { at: at(2.5), event: Event::PhaseStarted { phase } });
    assert_eq!(unquiet(&story), Vec::<String>::new());
    assert_eq!(story.judged().verdict, Verdict::Pass);
}

/// The lease's takeover held against a prediction of 4 s to 8 s.
fn predicted(from: f64) -> ExperimentResult {
    let mut story = lease(from);
    story.plan.milestones =
        crate::common::plan(LEASE_KILL, "  milestones:\n    - {name: m, when: {newHolder: kube-scheduler}}")
            .milestones;
    assert_eq!(story.plan.milestones[0].within, Some(Within::Predicted), "it has a formula");
    let prediction = Prediction { low: Span::seconds(4), high: Span::seconds(8), arithmetic: Vec::new() };
    story.plan.predictions.insert("m".into(), prediction);
    story.judged()
}

const LEASE_KILL: &str = "signal: {process: kube-scheduler, on: {leaseHolder: kube-scheduler}, signal: KILL}";

#[test]
fn inside_of_the_predicted_interval_passes_and_later_fails() {
    let inside = predicted(6.0);
    assert_eq!(inside.verdict, Verdict::Pass, "{:?}", inside.reasons);
    assert_eq!(inside.intervals[0].budget(), Some(Span::seconds(8)));
    let late = predicted(12.0);
    assert_eq!(late.verdict, Verdict::Fail);
    assert!(late.reasons[0].contains("predicted is 4s to 8s"), "{:?}", late.reasons);
    assert_eq!(predicted(1000.0).verdict, Verdict::Fail, "it never came");
}

#[test]
fn sooner_than_the_settings_allow_is_neither_pass_nor_fail() {
    let soon = predicted(2.0);
    assert_eq!(soon.verdict, Verdict::Inconclusive);
    let reason = &soon.reasons[0];
    assert!(reason.contains("sooner than the settings allow (4s to 8s)"), "{reason}");
}

#[test]
fn a_figure_on_the_edge_of_a_prediction_is_too_close_to_tell() {
    assert_eq!(predicted(8.1).verdict, Verdict::Inconclusive);
    assert_eq!(predicted(3.95).verdict, Verdict::Pass, "the upper bound reaches into the interval");
}

#[test]
fn a_predicted_budget_without_a_prediction_is_no_pass() {
    let mut story = lease(6.0);
    story.plan.milestones[0].within = Some(Within::Predicted);
    let result = story.judged();
    assert_eq!(result.verdict, Verdict::Inconclusive);
    assert!(result.reasons[0].contains("no interval is predicted"), "{:?}", result.reasons);
}

#[test]
fn an_explicit_budget_goes_before_a_prediction() {
    let mut story = lease(2.0);
    let prediction = Prediction { low: Span::seconds(4), high: Span::seconds(8), arithmetic: Vec::new() };
    story.plan.predictions.insert("m".into(), prediction);
    assert_eq!(story.judged().verdict, Verdict::Pass, "within 10 s, whatever is predicted");
}
