//! False verdicts that real clusters have shown, each mended.

use crate::{
    common::{FAULT, Story, at, well},
    judge::{STOP, assert_bounds, asserted, kill},
};
use recoup_model::{
    event::{Event, Record, WatchNews},
    machine::Processors,
    observation::{FailureClass, Observed},
    plan::Stream,
    verdict::{ExperimentResult, Measure, Verdict},
};

/// A stall of a second when a frozen API server thawed counted as 62 s since the freeze.
#[test]
fn what_the_return_disturbs_is_counted_from_the_return() {
    let back = FAULT + 20.0;
    let judged = |since: &str, from: f64, to: f64| {
        let milestone = format!(
            "  milestones:\n    - {{name: m, when: {{stable: api/write/cp2/reused}}, since: {since}, within: 10s}}"
        );
        let story = Story::new(STOP, &milestone, "cp1").down("etcd/put/cp1", FAULT, back);
        Story { undo: Some(back), ..story.down("api/write/cp2", from, to) }.judged()
    };
    let not_seen = |result: ExperimentResult| {
        assert_eq!(result.verdict, Verdict::Pass, "{:?}", result.reasons);
        assert!(matches!(result.intervals[0].measure, Measure::NotSeen { .. }), "{:?}", result.intervals);
    };
    not_seen(judged("fault", back + 0.5, back + 2.0));
    assert_bounds(&judged("undo", back + 0.5, back + 2.0), 2.0, 0.5);
    // What had begun before goes on counting, and what was over by then does not count from the return.
    assert_eq!(judged("fault", FAULT + 1.0, back + 2.0).verdict, Verdict::Fail);
    not_seen(judged("undo", FAULT + 1.0, FAULT + 5.0));
}

/// A Service that lost requests by itself, in the baseline too, failed an experiment in
/// which not one was to be lost.
#[test]
fn a_stream_of_which_nothing_may_be_lost_must_lose_nothing_before_the_fault() {
    let lost_before = |max: &str| {
        let gap = format!("gap: {{of: api/write/*/reused, max: {max}}}");
        kill(&asserted(&gap)).down("api/write/cp2", 0.5, 0.55).judged()
    };
    let strict = lost_before("0s");
    assert_eq!(strict.verdict, Verdict::Inconclusive, "{:?}", strict.reasons);
    assert!(strict.reasons[0].contains("not one may fail"), "{:?}", strict.reasons);
    assert_eq!(lost_before("1s").verdict, Verdict::Pass, "one attempt of many is no unquiet baseline");
}

/// Readings every 5 s of two processors of which others use so many permille, and the cluster 300.
fn used(others: impl Fn(f64) -> u64) -> Vec<Record> {
    let mut sum = Processors { count: 2, ..Processors::default() };
    let seconds = (0..=12).map(|n| f64::from(n) * 5.0);
    seconds
        .map(|second| {
            let record = Record { at: at(second), event: Event::Processors(sum) };
            let others = others(second) * 10;
            sum.cluster_ms += 3_000;
            sum.busy_ms += 3_000 + others;
            sum.idle_ms += 7_000 - others;
            record
        })
        .collect()
}

/// A compiler held both processors: a failure that a quiet machine would not have shown.
#[test]
fn lateness_beside_a_crowded_machine_is_no_failure_of_the_clusters() {
    let late = |others: fn(f64) -> u64| {
        let milestone = "  milestones:\n    - {name: m, when: {stable: api/write/cp2/reused}, within: 5s}";
        let story = kill(milestone).down("api/write/cp2", FAULT, FAULT + 8.0);
        Story { more: used(others), ..story }.judged()
    };
    let crowded = late(|second| if second < FAULT { 0 } else { 600 });
    assert_eq!(crowded.verdict, Verdict::Inconclusive, "{:?}", crowded.reasons);
    assert!(crowded.reasons[0].contains("used 60 % of this machine for 50 of the"), "{:?}", crowded.reasons);
    assert_eq!(crowded.intervals[0].verdict, Verdict::Inconclusive);
    let shares = crowded.machine.expect("who used the machine");
    assert_eq!((shares.cluster_permille, shares.others_permille, shares.idle_permille), (300, 600, 100));
    // A quiet machine, one that was busy before the fault only, and one with a processor to spare.
    let before = |second| if second + 5.0 < FAULT { 700 } else { 0 };
    // And one that was busy for a moment, which explains five seconds and not thirty.
    let moment = |second: f64| if (second - FAULT).abs() < 1.0 { 700 } else { 0 };
    let never = "  milestones:\n    - {name: m, when: {stable: api/write/cp2/reused}, within: 5s}";
    let story = kill(never).down("api/write/cp2", FAULT, FAULT + 30.0);
    let judged = Story { more: used(moment), ..story }.judged();
    assert_eq!(judged.verdict, Verdict::Fail, "{:?}", judged.reasons);
    for (why, others) in [("quiet", (|_| 20) as fn(f64) -> u64), ("before", before), ("spare", |_| 190)] {
        let judged = late(others);
        assert_eq!(judged.verdict, Verdict::Fail, "{why}: {:?}", judged.reasons);
    }
}

/// What must fail while the fault lasts did not, on whatever machine.
#[test]
fn a_crowded_machine_excuses_lateness_alone() {
    let asserted = asserted("fails: {of: api/write/cp2/reused}");
    let story = Story::new(STOP, &asserted, "cp1").down("etcd/put/cp1", FAULT, FAULT + 20.0);
    let judged = Story { more: used(|_| 650), undo: Some(FAULT + 20.0), ..story }.judged();
    assert_eq!(judged.verdict, Verdict::Fail, "{:?}", judged.reasons);
}

/// A long outage that was over in time hid a shorter one that was not over when observation ended.
#[test]
fn the_gravest_outage_decides_and_not_the_longest() {
    let story = kill(&asserted("gap: {of: api/write/*/reused, max: 5s}"));
    let judged = story.down("api/write/cp2", FAULT, FAULT + 4.0).down("api/write/cp3", 57.0, 1000.0).judged();
    assert_eq!(judged.verdict, Verdict::Inconclusive, "{:?}", judged.reasons);
    assert!(judged.reasons[0].contains("worst outage more than"), "{:?}", judged.reasons);
}

/// A tenth of the attempts could be lost by recoup itself, and "not one failed" was said of all.
#[test]
fn where_none_may_fail_few_may_be_lost() {
    let losing = |every: u64| {
        kill(&asserted("gap: {of: api/write/cp2/reused, max: 0s}"))
            .told("api/write/cp2/reused", move |_, n, t| {
                let lost = t > FAULT && n.is_multiple_of(every);
                if lost {
                    Err(FailureClass::Observer)
                } else {
                    Ok(Observed::Acknowledged { number: n, revision: None })
                }
            })
            .judged()
    };
    let few = losing(100);
    assert_eq!(few.verdict, Verdict::Pass, "{:?}", few.reasons);
    assert!(few.assertions[0].detail.contains("recoup itself lost"), "{}", few.assertions[0].detail);
    let many = losing(20);
    assert_eq!(many.verdict, Verdict::Inconclusive);
    assert!(many.reasons[0].contains("attempts since the fault, which say nothing"), "{:?}", many.reasons);
}

/// A soak's kill left a record that the judgement panicked on: a watcher had listed and been told nothing since, while
/// writes were acknowledged.
#[test]
fn a_watcher_that_was_told_nothing_is_inconclusive() {
    let story = kill(&asserted("gap: {of: api/write/*/reused, max: 1s}"))
        .told("api/write/lb", |_, n, _| Ok(Observed::Acknowledged { number: n, revision: Some(1000 + n) }));
    let news = [WatchNews::Listed { revision: 990 }, WatchNews::Opened { after: 990 }];
    let watched = |news| Event::Watched { through: "api/cp1".into(), news };
    let more = news.into_iter().map(|news| Record { at: at(1.0), event: watched(news) }).collect();
    let judged = Story { more, ..story }.judged();
    let told = judged.oracles.iter().find(|one| one.name == "watch api/cp1").expect("the watcher");
    assert_eq!(told.verdict, Verdict::Inconclusive, "{}", told.detail);
}

/// A burst of five seconds excused a cluster that was not healthy after minutes of patience.
#[test]
fn a_crowd_of_a_moment_does_not_excuse_a_cluster_that_stays_unhealthy() {
    let unhealthy = |others: fn(f64) -> u64| {
        let story = kill(&asserted("gap: {of: api/write/*/reused, max: 1s}"));
        Story { more: used(others), after: vec!["cp2 is not ready".into()], ..story }.judged()
    };
    let throughout = unhealthy(|_| 650);
    assert_eq!(throughout.verdict, Verdict::Inconclusive, "{:?}", throughout.reasons);
    let moment = unhealthy(|second| if (second - FAULT).abs() < 1.0 { 700 } else { 0 });
    assert_eq!(moment.verdict, Verdict::Fail, "{:?}", moment.reasons);
}

/// Every pod and prober of a node that the fault had not hit was starved for a second, and six requests to the pod
/// there failed an experiment in which not one was to be lost.
#[test]
fn a_node_that_stands_still_as_a_whole_is_not_the_faults_doing() {
    let (from, to) = (FAULT + 3.0, FAULT + 4.0);
    let judged = |target: &str, prober: f64| {
        let gap = asserted("gap: {of: workload/service/w1, max: 0s}");
        let story = Story::new("signal: {process: kube-proxy, on: worker, signal: KILL}", &gap, target);
        let failing = |failure, until: f64| {
            move |stream: &Stream, n: u64, t: f64| {
                if (from..until).contains(&t) { Err(failure) } else { Ok(well(stream, n)) }
            }
        };
        let story = story
            .told("workload/service/w1", failing(FailureClass::Timeout, from + 0.3))
            .told("workload/pod/w2", failing(FailureClass::Observer, prober))
            .takes("workload/", move |_, t| if (from..to).contains(&t) { 1.0 } else { 0.005 });
        story.judged()
    };
    let still = judged("cp1", to);
    assert_eq!(still.verdict, Verdict::Inconclusive, "{:?}", still.reasons);
    assert!(still.reasons[0].contains("w2 as a whole stood still"), "{:?}", still.reasons);
    // The node was hit, or its prober answered but for one attempt.
    for (why, judged) in [("hit", judged("w2", to)), ("well", judged("cp1", from + 0.05))] {
        assert_eq!(judged.verdict, Verdict::Fail, "{why}: {:?}", judged.reasons);
    }
}

/// After 1.8 s all was well, and one write that waited for longer than a second, three seconds later and again after
/// that, made 8 s of it.
#[test]
fn a_moments_relapse_on_a_full_machine_is_no_failure_of_the_clusters() {
    let judged = |idle: u64, relapse: f64| {
        let milestone = "  milestones:\n    - {name: m, when: {stable: api/write/cp2/reused}, within: 4s}";
        let story = kill(milestone).told("api/write/cp2", move |stream, n, t| {
            let after = t - FAULT;
            let down = (0.0..1.8).contains(&after) || (4.0..4.0 + relapse).contains(&after);
            if down { Err(FailureClass::Timeout) } else { Ok(well(stream, n)) }
        });
        let reading = |n: u64| {
            let (idle_ms, busy_ms) = (n * idle, n * (10_000 - idle));
            let cluster_ms = busy_ms;
            Processors { count: 2, busy_ms, idle_ms, cluster_ms, ..Processors::default() }
        };
        let more = (0..=12_u32).map(|n| {
            let event = Event::Processors(reading(u64::from(n)));
            Record { at: at(f64::from(n) * 5.0), event }
        });
        Story { more: more.collect(), ..story }.judged()
    };
    let full = judged(500, 0.6);
    assert_eq!(full.verdict, Verdict::Inconclusive, "{:?}", full.reasons);
    assert!(
        full.reasons[0].contains("less than one processor of this machine was idle"),
        "{:?}",
        full.reasons
    );
    assert_eq!(judged(6000, 0.6).verdict, Verdict::Fail, "a processor was idle");
    assert_eq!(judged(500, 2.5).verdict, Verdict::Fail, "down for longer than the budget in all");
}

/// A crowd that came long after an outage excused it.
#[test]
fn a_crowd_excuses_nothing_that_was_over_before_it_came() {
    let judged = |assertion: &str| {
        let story = kill(assertion).down("api/write/cp2", FAULT, FAULT + 8.0);
        Story { more: used(|second| if second < FAULT + 20.0 { 0 } else { 600 }), ..story }.judged()
    };
    let milestone = "  milestones:\n    - {name: m, when: {stable: api/write/cp2/reused}, within: 5s}";
    for text in [milestone.to_owned(), asserted("gap: {of: api/write/cp2/reused, max: 1s}")] {
        let judged = judged(&text);
        assert_eq!(judged.verdict, Verdict::Fail, "{:?}", judged.reasons);
    }
}
