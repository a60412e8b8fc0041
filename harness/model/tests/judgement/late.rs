//! The workload is waited for longer than it may take: a late answer is none lost, and what hangs hangs all the same.

use crate::{
    common::{FAULT, Story, at, cluster, well},
    judge::{STOP, assert_bounds, asserted, kill, within},
};
use recoup_model::{
    judge::Live,
    observation::FailureClass,
    verdict::{ExperimentResult, Outage, Verdict},
};

const OF: &str = "workload/service/w1";
/// So long a request is waited for.
const DEADLINE: f64 = 3.0;

/// The service answers nothing from one second to another. What waits then is answered at once.
fn frozen(story: Story, from: f64, to: f64) -> Story {
    let ends = story.ends;
    let waits = move |t: f64| if (from..to).contains(&t) { to - t } else { 0.005 };
    let told = story.told(OF, move |stream, n, t| {
        let late = waits(t) > DEADLINE || t + waits(t) > ends;
        if late { Err(FailureClass::Timeout) } else { Ok(well(stream, n)) }
    });
    told.takes(OF, move |_, t| waits(t).min(DEADLINE).min(ends - t))
}

fn none_lost() -> Story {
    kill(&asserted(&format!("gap: {{of: {OF}, max: 0s}}")))
}

fn outages(judged: &ExperimentResult) -> &[Outage] {
    &judged.streams.iter().find(|one| one.name == OF).expect("the stream").outages
}

/// On a crowded machine one request of thousands was answered after 1.2 s, which its prober had no patience for: called
/// lost, it failed an experiment in which not one was to be lost.
#[test]
fn a_late_answer_is_none_lost() {
    let from = FAULT + 3.0;
    let late = frozen(none_lost(), from, from + 1.2).judged();
    assert_eq!(late.verdict, Verdict::Pass, "{:?}", late.reasons);
    // It is an outage all the same.
    assert_eq!(outages(&late)[0].reasons, [("slow".to_owned(), 2)]);

    let lost = frozen(none_lost(), from, from + 3.1).judged();
    assert_eq!(lost.verdict, Verdict::Fail, "{:?}", lost.reasons);
    assert!(lost.reasons[0].contains("1 attempt (timeout)"), "{:?}", lost.reasons);
    // That it was waited for longer widens no bound: after a second it was known to be one.
    assert!(outages(&lost)[0].start_high <= at(from + 1.1), "{:?}", outages(&lost));
}

/// Nor one that was still waited for when observation ended; where they are many, nobody knows.
#[test]
fn what_is_cut_off_is_none_lost() {
    let cut_off = |from: f64, to: f64| {
        let story = none_lost().told(OF, move |stream, n, t| match (from..to).contains(&t) {
            true => Err(FailureClass::Timeout),
            false => Ok(well(stream, n)),
        });
        let ends = story.ends;
        story.takes(OF, move |_, t| if (from..to).contains(&t) { ends - t } else { 0.005 }).judged()
    };
    let one = cut_off(58.75, 58.85);
    assert_eq!(one.verdict, Verdict::Pass, "{:?}", one.reasons);
    assert!(one.assertions[0].detail.contains("recoup itself lost 1"), "{}", one.assertions[0].detail);
    let many = cut_off(57.05, 59.0);
    assert_eq!(many.verdict, Verdict::Inconclusive, "{:?}", many.reasons);
}

#[test]
fn a_short_freeze_is_as_long_as_it_was() {
    let gap = |max: &str| {
        let story = kill(&asserted(&format!("gap: {{of: {OF}, max: {max}}}")));
        frozen(story, FAULT + 3.0, FAULT + 5.6).judged().verdict
    };
    assert_eq!(gap("500ms"), Verdict::Fail);
    assert_eq!(gap("3s"), Verdict::Pass);
}

#[test]
fn what_hangs_when_the_fault_ends_counts() {
    let (back, share) = (FAULT + 20.0, asserted(&format!("succeeds: {{of: {OF}, share: 0.95}}")));
    let judged = |hangs: f64| {
        let story = Story { undo: Some(back), ..Story::new(STOP, &share, "cp1") };
        frozen(story, back - hangs, back + 5.0).judged()
    };
    let long = judged(2.9);
    assert_eq!(long.verdict, Verdict::Fail, "{:?}", long.reasons);
    assert_eq!(judged(0.9).verdict, Verdict::Pass, "nobody knew it by then");
}

#[test]
fn what_began_before_the_fault_is_not_its_doing() {
    let judged = frozen(none_lost(), FAULT - 1.9, 1000.0).judged();
    assert_eq!(judged.verdict, Verdict::Inconclusive, "{:?}", judged.reasons);
    assert!(judged.reasons[0].contains("before anything was broken"), "{:?}", judged.reasons);
}

#[test]
fn a_request_lost_before_the_fault_is_not_its_beginning() {
    let story = kill(&within(&format!("{{fails: {OF}}}")).replace("10s", "15s"));
    let (one, onset) = (FAULT - 2.45..FAULT - 2.35, FAULT + 10.0..FAULT + 12.0);
    let lost = one.clone();
    let story = story.told(OF, move |stream, n, t| {
        if lost.contains(&t) {
            Err(FailureClass::Timeout)
        } else if onset.contains(&t) {
            Err(FailureClass::Refused)
        } else {
            Ok(well(stream, n))
        }
    });
    let judged = story.takes(OF, move |_, t| if one.contains(&t) { DEADLINE } else { 0.005 }).judged();
    assert_bounds(&judged, 10.0, 0.4);
}

/// What has hung for less than three seconds is not recorded yet.
#[test]
fn it_is_not_settled_while_requests_may_hang_unseen() {
    let refused = |from: f64, to: f64| {
        let milestone = within("{stable: api/write/cp2/reused}");
        let (down, hangs) = (FAULT..FAULT + 8.0, from..to);
        let waits = hangs.clone();
        let story = kill(&milestone).told(OF, move |stream, n, t| {
            if down.contains(&t) {
                Err(FailureClass::Refused)
            } else if hangs.contains(&t) {
                Err(FailureClass::Timeout)
            } else {
                Ok(well(stream, n))
            }
        });
        let story = story.takes(OF, move |_, t| if waits.contains(&t) { DEADLINE } else { 0.005 });
        story.down("api/write/cp2", FAULT, FAULT + 8.0)
    };
    let settled = |story: &Story, until: f64| {
        let mut live = Live::new(&story.plan, &cluster());
        story.records().iter().filter(|record| record.at <= at(until)).for_each(|record| live.push(record));
        live.settled(at(until))
    };
    let again = refused(FAULT + 9.0, FAULT + 20.0);
    for tenth in 0..120 {
        let until = FAULT + 8.0 + f64::from(tenth) / 10.0;
        assert!(!settled(&again, until), "{until}");
    }
    assert!(settled(&refused(0.0, 0.0), FAULT + 13.5), "it is, where none do");
}
