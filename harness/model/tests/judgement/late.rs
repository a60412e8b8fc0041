//! The workload is waited for longer than it may take: a late answer is none lost, and what hangs hangs all the same.

use std::ops::Range;

use crate::{
    common::{FAULT, Story, at, well},
    judge::{STOP, assert_bounds, asserted, kill, within},
};
use recoup_model::{
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

/// Requests sent in the one time get no answer, though they are waited for while observation lasts; those sent in the
/// other are refused.
fn met(story: Story, hangs: Range<f64>, refuses: Range<f64>) -> Story {
    let (ends, waits) = (story.ends, hangs.clone());
    let story = story.told(OF, move |stream, n, t| {
        if hangs.contains(&t) {
            Err(FailureClass::Timeout)
        } else if refuses.contains(&t) {
            Err(FailureClass::Refused)
        } else {
            Ok(well(stream, n))
        }
    });
    story.takes(OF, move |_, t| if waits.contains(&t) { DEADLINE.min(ends - t) } else { 0.005 })
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
    let cut_off = |from: f64, to: f64| met(none_lost(), from..to, 0.0..0.0).judged();
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
    let judged = met(story, FAULT - 2.45..FAULT - 2.35, FAULT + 10.0..FAULT + 12.0).judged();
    assert_bounds(&judged, 10.0, 0.4);
}

/// What has hung for less than three seconds is not recorded yet.
#[test]
fn it_is_not_settled_while_requests_may_hang_unseen() {
    let down = FAULT..FAULT + 8.0;
    let hanging = |hangs: Range<f64>| {
        let story = kill(&within("{stable: api/write/cp2/reused}"));
        met(story, hangs, down.clone()).down("api/write/cp2", down.start, down.end)
    };
    let again = hanging(FAULT + 9.0..FAULT + 20.0);
    for tenth in 0..120 {
        let until = FAULT + 8.0 + f64::from(tenth) / 10.0;
        assert!(!again.live(until).settled(at(until)), "{until}");
    }
    let until = FAULT + 13.5;
    assert!(hanging(0.0..0.0).live(until).settled(at(until)), "it is, where none do");
}
