//! The oracles beside the clock, each both ways.

use crate::common::{FAULT, Story, at, well};
use recoup_model::{
    event::{Act, Event, Record, WatchNews},
    observation::{Failure, FailureClass, Observed},
    time::Span,
    verdict::{Checked, ExperimentResult, Verdict},
};

const STEP: &str =
    "signal: {process: kube-scheduler, on: {leaseHolder: kube-scheduler}, signal: STOP, for: 30s}";
const QUIET: &str = "  assertions:\n    - gap: {of: workload/pod/*, max: 5s}";

/// When it was thawed.
const THAWED: f64 = FAULT + 30.0;

fn story() -> Story {
    Story { undo: Some(THAWED), ..Story::new(STEP, QUIET, "cp1") }
}

fn oracle<'r>(result: &'r ExperimentResult, name: &str) -> &'r Checked {
    result.oracles.iter().find(|o| o.name == name).unwrap_or_else(|| panic!("{name}: {:?}", result.oracles))
}

#[test]
fn an_acknowledged_write_that_is_lost_fails_an_experiment_that_states_nothing_of_it() {
    let whole = story().read_back(|_, _| false).judged();
    let told = oracle(&whole, "acknowledged writes");
    assert_eq!((whole.verdict, told.verdict), (Verdict::Pass, Verdict::Pass), "{:?}", whole.reasons);
    // Four streams to API servers and three to members, 600 writes each, 300 of them while it was frozen.
    assert!(told.detail.starts_with("4200 acknowledged writes, 21"), "{}", told.detail);
    assert!(told.detail.contains("of them between injection and undo"), "{}", told.detail);
    let lost = story().read_back(|stream, n| stream == "api/write/cp2/reused" && n == 150).judged();
    assert_eq!(lost.verdict, Verdict::Fail);
    assert!(lost.reasons[0].contains("number 150 first"), "{:?}", lost.reasons);
    let unread = story().judged();
    assert_eq!(oracle(&unread, "acknowledged writes").verdict, Verdict::Skipped);
    assert_eq!(unread.verdict, Verdict::Pass, "a record in which nobody looked says nothing");
    let mut refused = story().read_back(|_, _| false);
    for record in &mut refused.more {
        if let Event::WritesReadBack { through, found, failure } = &mut record.event
            && through == "etcd/cp3"
        {
            found.clear();
            *failure = Some(Failure::new(FailureClass::Refused, "no answer"));
        }
    }
    let refused = refused.judged();
    assert_eq!(refused.verdict, Verdict::Inconclusive);
    assert!(refused.reasons[0].contains("etcd/cp3 could not be read back"), "{:?}", refused.reasons);
}

#[test]
fn without_evidence_a_lost_write_is_named_and_decides_nothing() {
    let lost = Story { effective: false, ..story().read_back(|_, n| n == 150) }.judged();
    assert_eq!(lost.verdict, Verdict::Inconclusive);
    assert!(
        lost.reasons.iter().any(|reason| reason.starts_with("besides, acknowledged")),
        "{:?}",
        lost.reasons
    );
}

/// Writes through the load balancer make revisions 1000, 1001, …; one every 100 ms.
fn revised() -> Story {
    story().told("api/write/lb", |_, n, _| Ok(Observed::Acknowledged { number: n, revision: Some(1000 + n) }))
}

fn changed(from: u64, to: u64) -> WatchNews {
    WatchNews::Changed { revisions: (from..to).collect() }
}

fn watched(news: Vec<WatchNews>) -> ExperimentResult {
    let mut story = revised();
    for (n, news) in (0_u32..).zip(news) {
        let event = Event::Watched { through: "api/cp1".into(), news };
        story.more.push(Record { at: at(1.0 + f64::from(n)), event });
    }
    story.judged()
}

fn closed() -> WatchNews {
    WatchNews::Closed { failure: Some(Failure::new(FailureClass::Reset, "gone")) }
}

fn opened(after: u64) -> WatchNews {
    WatchNews::Opened { after }
}

fn listed(revision: u64) -> WatchNews {
    WatchNews::Listed { revision }
}

#[track_caller]
fn watch(news: Vec<WatchNews>, experiment: Verdict, verdict: Verdict, text: &str) {
    let result = watched(news);
    let told = oracle(&result, "watch api/cp1");
    assert_eq!((result.verdict, told.verdict), (experiment, verdict), "{}", told.detail);
    assert!(told.detail.contains(text), "{}", told.detail);
}

#[test]
fn a_watcher_that_was_told_everything_once_passes() {
    use Verdict::{Pass, Skipped};
    let start = || vec![listed(990), opened(990)];
    let and = |more: Vec<WatchNews>| start().into_iter().chain(more).collect::<Vec<_>>();
    watch(
        and(vec![changed(991, 1600)]),
        Pass,
        Pass,
        "all 600 acknowledged changes were told once and in order",
    );
    // What the first list knew is not the watcher's to tell.
    watch(vec![listed(1100), opened(1100), changed(1101, 1600)], Pass, Pass, "all 499");
    watch(
        and(vec![changed(991, 1200), closed(), opened(1199), changed(1200, 1600)]),
        Pass,
        Pass,
        "across one re-opening",
    );
    watch(
        and(vec![
            changed(991, 1200),
            closed(),
            WatchNews::Expired,
            closed(),
            listed(1300),
            opened(1300),
            changed(1301, 1600),
        ]),
        Pass,
        Pass,
        "one of them after a proper expiry and list",
    );
    // A bookmark moves what is known; nothing of ours was written in between.
    watch(
        and(vec![changed(991, 1600), WatchNews::Bookmark { revision: 1700 }, closed(), opened(1700)]),
        Pass,
        Pass,
        "all 600",
    );
    assert_eq!(oracle(&revised().judged(), "watch").verdict, Skipped);
}

#[test]
fn gaps_duplicates_and_disorder_fail() {
    use Verdict::Fail;
    let start = || vec![listed(990), opened(990)];
    let and = |more: Vec<WatchNews>| start().into_iter().chain(more).collect::<Vec<_>>();
    watch(and(vec![changed(991, 1200), changed(1201, 1600)]), Fail, Fail, "never told: revision 1200 ");
    watch(
        and(vec![changed(991, 1200), closed(), opened(1199), changed(1203, 1600)]),
        Fail,
        Fail,
        "3 acknowledged changes were never told: revision 1200, 1201, 1202 ",
    );
    watch(and(vec![changed(991, 1200), changed(1199, 1600)]), Fail, Fail, "told twice: revision 1199");
    watch(
        and(vec![
            changed(991, 1200),
            WatchNews::Changed { revisions: vec![1201, 1200] },
            changed(1202, 1600),
        ]),
        Fail,
        Fail,
        "out of order: revision 1200",
    );
    watch(
        and(vec![changed(991, 1200), WatchNews::Bookmark { revision: 1300 }, changed(1301, 1600)]),
        Fail,
        Fail,
        "101 acknowledged changes were never told",
    );
    watch(
        and(vec![changed(991, 1600), closed(), WatchNews::Expired, listed(1500), opened(1599)]),
        Fail,
        Fail,
        "a list went back from 1599 to 1500",
    );
}

/// It was waited for: whether the rest would have been told in order nobody knows.
#[test]
fn a_watcher_that_is_told_nothing_any_more_is_inconclusive() {
    use Verdict::Inconclusive;
    let start = || vec![listed(990), opened(990)];
    let and = |more: Vec<WatchNews>| start().into_iter().chain(more).collect::<Vec<_>>();
    watch(and(vec![changed(991, 1200), closed()]), Inconclusive, Inconclusive, "it is closed since");
    watch(and(vec![changed(991, 1200)]), Inconclusive, Inconclusive, "and 400 later ones never");
    watch(start(), Inconclusive, Inconclusive, "0 acknowledged changes were told");
    watch(vec![closed()], Inconclusive, Inconclusive, "it never got as far as a list");
}

/// What the watcher itself did wrongly is not held against the cluster.
#[test]
fn a_record_that_contradicts_itself_is_inconclusive() {
    use Verdict::Inconclusive;
    let start = || vec![listed(990), opened(990), changed(991, 1200), closed()];
    let and = |more: Vec<WatchNews>| start().into_iter().chain(more).collect::<Vec<_>>();
    watch(and(vec![opened(1300), changed(1301, 1600)]), Inconclusive, Inconclusive, "went on after 1300");
    watch(
        and(vec![listed(1300), opened(1300), changed(1301, 1600)]),
        Inconclusive,
        Inconclusive,
        "nothing had expired",
    );
    watch(and(vec![changed(1200, 1600)]), Inconclusive, Inconclusive, "while it was not open");
}

/// The scheduler's lease goes to cp2 15 s after the fault, and back to cp1 at `back`.
fn led(acts: &[(f64, &str)], back: f64) -> Story {
    let mut story = story().told("lease/kube-scheduler", move |_, n, t| {
        let holder = if (FAULT + 15.0..back).contains(&t) { "cp2_b" } else { "cp1_a" };
        Ok(Observed::Lease { holder: holder.into(), renewed: n.to_string() })
    });
    let act = |(t, node): &(f64, &str)| Act {
        lease: "kube-scheduler".into(),
        node: (*node).into(),
        at: at(*t),
        verb: "create".into(),
        object: "pods/binding default/web-1".into(),
    };
    let (acts, grace) = (acts.iter().map(act).collect(), std::collections::BTreeMap::new());
    let event = Event::Acted { acts, grace, failure: None };
    story.more.push(Record { at: at(61.0), event });
    story
}

#[test]
fn an_old_leaders_write_after_the_take_over_fails() {
    let of = |story: Story| {
        let result = story.judged();
        let told = oracle(&result, "leadership kube-scheduler");
        (result.verdict, told.verdict, told.detail.clone())
    };
    let (verdict, oracle, detail) = of(led(&[(5.0, "cp1"), (27.0, "cp2"), (50.0, "cp2")], 1000.0));
    assert_eq!((verdict, oracle), (Verdict::Pass, Verdict::Pass), "{detail}");
    assert!(detail.contains("1 writes by cp1, then 2 writes by cp2"), "{detail}");

    let (verdict, _, detail) = of(led(&[(5.0, "cp1"), (27.0, "cp2"), (THAWED + 17.0, "cp1")], 1000.0));
    assert_eq!(verdict, Verdict::Fail);
    assert!(detail.contains("cp1 wrote (create pods/binding default/web-1)"), "{detail}");
    assert!(detail.contains("after cp2 had taken over"), "{detail}");
    // Even where the new holder had nothing to write yet.
    assert_eq!(of(led(&[(5.0, "cp1"), (THAWED + 17.0, "cp1")], 1000.0)).0, Verdict::Fail);
    // One that has come to hold the lease again may write again.
    assert_eq!(of(led(&[(5.0, "cp1"), (27.0, "cp2"), (50.0, "cp1")], 45.0)).1, Verdict::Pass);
    // Before the fault it is no different.
    assert_eq!(of(led(&[(5.0, "cp3"), (27.0, "cp2")], 1000.0)).0, Verdict::Fail);
    // Around the take-over the clocks may differ by a little.
    assert_eq!(of(led(&[(FAULT + 15.3, "cp1"), (FAULT + 14.8, "cp2")], 1000.0)).1, Verdict::Pass);
}

/// client-go fences nothing: the old holder goes on until its renew deadline, and that is told.
#[test]
fn a_thawed_holder_may_write_until_its_renew_deadline() {
    let with = |t: f64, grace: Option<u64>| {
        let mut story = led(&[(5.0, "cp1"), (27.0, "cp2"), (t, "cp1")], 1000.0);
        if let (Some(grace), Some(Record { event: Event::Acted { grace: given, .. }, .. })) =
            (grace, story.more.last_mut())
        {
            given.insert("kube-scheduler".into(), Span::seconds(grace));
        }
        oracle(&story.judged(), "leadership kube-scheduler").clone()
    };
    let allowed = with(THAWED + 6.0, None);
    assert_eq!(allowed.verdict, Verdict::Pass, "{}", allowed.detail);
    let told = "the thawed holder wrote 1 times in the first 6.0 s after its thaw, which client-go allows for 14.4 s";
    assert!(allowed.detail.contains(told), "{}", allowed.detail);
    assert_eq!(with(THAWED + 17.0, None).verdict, Verdict::Fail);
    assert_eq!(with(THAWED + 6.0, Some(3)).verdict, Verdict::Fail, "by the cluster's own settings");
    assert_eq!(with(THAWED - 5.0, None).verdict, Verdict::Fail, "it was frozen then");
}

/// Two that write by turns, while nobody could be asked who held the lease: the one that was named last no
/// longer counts once another has written.
#[test]
fn two_that_write_by_turns_fail() {
    let acts = [(FAULT + 14.0, "cp1"), (FAULT + 16.5, "cp2"), (FAULT + 18.0, "cp1")];
    let story = led(&acts, 1000.0);
    let gap = |t: f64| (FAULT + 15.0..FAULT + 19.0).contains(&t);
    let mut records = story.records();
    let lease = story.plan.streams.iter().position(|s| s.name == "lease/kube-scheduler").expect("a stream");
    records.retain(|record| match &record.event {
        Event::Sample(sample) => sample.stream as usize != lease || !gap(sample.sent.seconds()),
        _ => true,
    });
    let result = recoup_model::judge(&story.plan, &crate::common::cluster(), &records);
    let told = oracle(&result, "leadership kube-scheduler");
    assert_eq!(told.verdict, Verdict::Fail, "{}", told.detail);
}

#[test]
fn who_acted_is_not_looked_at_where_nothing_tells() {
    let judged = story().judged();
    assert_eq!(oracle(&judged, "leadership").verdict, Verdict::Skipped);
    let mut refused = story();
    let failure = Some(Failure::new(FailureClass::Rejected, "no audit log"));
    refused.more.push(Record {
        at: at(61.0),
        event: Event::Acted { acts: Vec::new(), grace: Default::default(), failure },
    });
    let judged = refused.judged();
    assert_eq!(judged.verdict, Verdict::Pass);
    assert!(oracle(&judged, "leadership").detail.contains("no audit log"));
    let quiet = led(&[], 1000.0).judged();
    assert_eq!(oracle(&quiet, "leadership kube-scheduler").verdict, Verdict::Skipped);
}

/// A request that had waited in a frozen API server was sent while its sender led.
#[test]
fn what_waited_in_a_frozen_api_server_is_no_intrusion() {
    let step = "signal: {process: kube-apiserver, on: controlPlane, signal: STOP, for: 30s}";
    let late = |t: f64| {
        let mut story = led(&[(5.0, "cp1"), (27.0, "cp2"), (t, "cp1")], 1000.0);
        story.plan = Story::new(step, QUIET, "cp1").plan;
        story.told.push((
            "api/".into(),
            Box::new(|stream, n, t| {
                let frozen = stream.name.contains("/cp1/") && (FAULT..FAULT + 29.9).contains(&t);
                if frozen { Err(FailureClass::Timeout) } else { Ok(well(stream, n)) }
            }),
        ));
        let result = story.judged();
        oracle(&result, "leadership kube-scheduler").clone()
    };
    let waited = late(FAULT + 31.0);
    assert_eq!(waited.verdict, Verdict::Pass, "{}", waited.detail);
    assert!(waited.detail.contains("1 more had waited in a frozen API server"), "{}", waited.detail);
    assert_eq!(late(THAWED + 12.0).verdict, Verdict::Fail);
}
