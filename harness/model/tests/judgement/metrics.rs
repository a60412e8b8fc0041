//! What the components said of themselves, and `metricMoves:`.

use std::collections::BTreeMap;

use recoup_model::{
    metrics::{STARTED, Statistic, condense},
    observation::{FailureClass, Observed},
    verdict::{Checked, ExperimentResult, Verdict},
};

use crate::common::{FAULT, Story};

const STEP: &str = "slow: {on: raftFollower, delay: 50ms, for: 40s}";
const UNDO: f64 = 50.0;

fn story(assertion: &str) -> Story {
    let lines = format!("  assertions:\n    - metricMoves: {assertion}");
    Story { undo: Some(UNDO), ends: 70.0, ..Story::new(STEP, &lines, "cp2") }
}

fn first(result: &ExperimentResult) -> &Checked {
    &result.assertions[0]
}

/// A reading of that many events, of a process that began so many seconds ago.
fn told(name: &str, count: f64, started: f64) -> Result<Observed, FailureClass> {
    let whole = |value: f64| (value * 1e6).round() as i64;
    let values = BTreeMap::from([(name.to_owned(), whole(count)), (STARTED.to_owned(), whole(started))]);
    Ok(Observed::Metrics { values })
}

/// A hundred syncs of the log a second, which take so long.
fn syncs(t: f64, before: f64, during: f64) -> Result<Observed, FailureClass> {
    let bounds: Vec<f64> = (0..14).map(|n| 0.001 * 2_f64.powi(n)).collect();
    let (normal, slow) =
        ((t.min(FAULT) + (t - UNDO).max(0.0)) * 100.0, (t.min(UNDO) - FAULT).max(0.0) * 100.0);
    let below = |bound: f64| {
        let share = |time: f64| if bound >= time { 1.0 } else { 0.0 };
        normal * share(before) + slow * share(during)
    };
    let mut values = BTreeMap::new();
    let buckets = bounds.iter().map(|bound| (*bound, below(*bound))).collect();
    condense("walFsync", normal + slow, normal * before + slow * during, buckets, &mut values);
    Ok(Observed::Metrics { values })
}

const CHANGES: &str = "{component: etcd, metric: leaderChanges, atLeast: 2x}";

#[test]
fn an_election_that_the_member_counts_is_seen_and_none_is_not() {
    let counted = |after: f64| {
        story(CHANGES).told("metrics/etcd/cp2", move |_, _, t| {
            told("leaderChanges", if t > 20.0 { after } else { 3.0 }, 1.0)
        })
    };
    let moved = counted(4.0).judged();
    assert_eq!(first(&moved).verdict, Verdict::Pass, "{}", first(&moved).detail);
    assert!(first(&moved).detail.contains("0 before, 1 during"), "{}", first(&moved).detail);
    let told = &moved.metrics[0];
    assert_eq!((told.metric.as_str(), told.statistic, told.moved), ("leaderChanges", Statistic::Count, true));
    assert_eq!((told.before, told.during, told.after, told.ratio), (Some(0.0), Some(1.0), Some(0.0), None));

    let still = counted(3.0).judged();
    assert_eq!(first(&still).verdict, Verdict::Fail, "{}", first(&still).detail);
    assert!(still.metrics.iter().all(|one| !one.moved));
}

#[test]
fn a_metric_endpoint_that_does_not_answer_shows_neither() {
    let silent = story(CHANGES).told("metrics/etcd/cp2", |_, _, _| Err(FailureClass::Refused));
    let silent = silent.told("metrics/", |_, _, _| told("leaderChanges", 3.0, 1.0)).judged();
    assert_eq!(first(&silent).verdict, Verdict::Inconclusive);
    assert!(first(&silent).detail.contains("cp2 answered none of 14 attempts"), "{}", first(&silent).detail);
    assert!(silent.notes.iter().any(|note| note.contains("told by etcd on cp2:")), "{:?}", silent.notes);
    // A reading is nobody's request: that none came is no outage.
    let stream = silent.streams.iter().find(|stream| stream.name == "metrics/etcd/cp2").expect("it is there");
    assert_eq!((stream.outages.len(), stream.failed, stream.lost), (0, 0, 14));
}

#[test]
fn a_counter_that_begins_anew_counts_from_zero() {
    let failed = "{component: etcd, metric: proposalsFailed, atLeast: 2x}";
    let restarted = |after: f64| {
        story(failed).told("metrics/etcd/cp2", move |_, _, t| match t > 30.0 {
            true => told("proposalsFailed", after, 30.0),
            false => told("proposalsFailed", 500.0, 1.0),
        })
    };
    let quiet = restarted(0.0).judged();
    assert_eq!(first(&quiet).verdict, Verdict::Fail, "{}", first(&quiet).detail);
    let more = restarted(503.0).judged();
    assert_eq!(more.metrics[0].during, Some(503.0), "another process, though its counter is the higher one");
}

#[test]
fn a_slow_disk_shows_in_mean_and_percentile() {
    let slow = "{component: etcd, metric: walFsync, atLeast: 5x}";
    let syncs = |during: f64| story(slow).told("metrics/etcd/cp2", move |_, _, t| syncs(t, 0.0015, during));
    let result = syncs(0.04).judged();
    assert_eq!(first(&result).verdict, Verdict::Pass, "{}", first(&result).detail);
    let moved: Vec<Statistic> =
        result.metrics.iter().filter(|one| one.moved).map(|one| one.statistic).collect();
    assert!(moved.contains(&Statistic::Mean) && moved.contains(&Statistic::P99), "{moved:?}");
    let mean = result.metrics.iter().find(|one| one.statistic == Statistic::Mean).expect("it is there");
    assert!(mean.before.is_some_and(|mean| (mean - 0.0015).abs() < 1e-6), "{mean:?}");
    assert!(mean.after.is_some_and(|mean| (mean - 0.0015).abs() < 1e-6), "{mean:?}");
    let same = syncs(0.0015).judged();
    assert_eq!(first(&same).verdict, Verdict::Fail, "{}", first(&same).detail);
    // More than twice as long, and yet too little to mean anything.
    let little = syncs(0.0035).judged();
    assert!(little.metrics.iter().all(|one| !one.moved), "{:?}", little.metrics);
}

#[test]
fn a_delay_cannot_show_where_a_time_was_long_already() {
    let slow = "{component: etcd, metric: walFsync, atLeast: 3x}";
    let syncs = |before: f64, during: f64| {
        story(slow).told("metrics/etcd/cp2", move |_, _, t| syncs(t, before, during)).judged()
    };
    // The network is slow by 50 ms, and 30 ms three times as long would take 60 more.
    let busy = syncs(0.03, 0.06);
    assert_eq!(first(&busy).verdict, Verdict::Inconclusive, "{}", first(&busy).detail);
    assert!(first(&busy).detail.contains("a delay of 50.0 ms alone"), "{}", first(&busy).detail);
    // And 40 ms more would make 20 three times as long.
    for before in [0.01, 0.02] {
        let quiet = syncs(before, before * 1.5);
        assert_eq!(first(&quiet).verdict, Verdict::Fail, "{}", first(&quiet).detail);
    }
    assert_eq!(first(&syncs(0.03, 0.1)).verdict, Verdict::Pass, "what grew, grew");
}

#[test]
fn a_metric_that_moves_by_itself_shows_nothing() {
    let gauge = "{component: kube-apiserver, metric: inflight, atLeast: 2x, on: any}";
    let restless = story(gauge).told("metrics/kube-apiserver/cp1", |_, n, t| {
        let most = if (FAULT..UNDO).contains(&t) { 110.0 } else { 50.0 };
        told("inflight", if n.is_multiple_of(2) { most } else { 1.0 }, 1.0)
    });
    let result = restless.told("metrics/kube-apiserver", |_, _, _| told("inflight", 1.0, 1.0)).judged();
    // 50 and 1 before: 110 is beyond what that varies.
    assert_eq!(first(&result).verdict, Verdict::Pass, "{}", first(&result).detail);
    let less = story(gauge).told("metrics/kube-apiserver/cp1", |_, n, t| {
        let most = if (FAULT..UNDO).contains(&t) { 90.0 } else { 45.0 };
        told("inflight", if n.is_multiple_of(2) { most } else { 0.0 }, 1.0)
    });
    let result = less.told("metrics/kube-apiserver", |_, _, _| told("inflight", 1.0, 1.0)).judged();
    assert_eq!(first(&result).verdict, Verdict::Inconclusive, "{}", first(&result).detail);
}
