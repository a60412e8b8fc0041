//! False verdicts that real clusters have shown, each mended.

use crate::{
    common::{FAULT, Story, at},
    judge::{STOP, assert_bounds, asserted, kill},
};
use recoup_model::{
    event::{Event, Record, WatchNews},
    machine::Processors,
    observation::{FailureClass, Observed},
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
