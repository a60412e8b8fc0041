//! Times in which the observer itself was not run: neither the cluster's failure nor a proof of its health.

use crate::{
    common::{Story, at},
    judge::{asserted, kill},
};
use recoup_model::{
    event::{Event, Record},
    observation::FailureClass,
    verdict::{ExperimentResult, Verdict},
};

const STREAM: &str = "api/write/cp2/reused";

fn stalled(from: f64, to: f64) -> Record {
    Record { at: at(to), event: Event::Stalled { from: at(from), to: at(to) } }
}

/// Requests that leave between two seconds time out after one; the observer stood still in between.
fn unanswered(max: &str, (from, to): (f64, f64), stalls: Vec<Record>) -> ExperimentResult {
    let within = move |t: f64| (from..to).contains(&t);
    let story =
        kill(&asserted(&format!("gap: {{of: {STREAM}, max: {max}}}")))
            .told(STREAM, move |stream, n, t| {
                if within(t) { Err(FailureClass::Timeout) } else { Ok(crate::common::well(stream, n)) }
            })
            .takes(STREAM, move |_, t| if within(t) { 1.0 } else { 0.005 });
    Story { more: stalls, ..story }.judged()
}

#[test]
fn requests_that_nobody_was_there_to_read_the_answers_of_are_set_aside() {
    let judged = |max, stalls| unanswered(max, (30.0, 34.0), stalls);
    assert_eq!(judged("1s", vec![]).verdict, Verdict::Fail);
    let aside = judged("6s", vec![stalled(29.9, 34.9)]);
    assert_eq!(aside.verdict, Verdict::Pass, "{:?}", aside.reasons);
    let told = aside.notes.iter().find(|note| note.contains("was not run 1 times, 5.00 s in all"));
    assert!(told.is_some_and(|note| note.contains("40 attempts")), "{:?}", aside.notes);
    // What was not looked at may have been longer than what is allowed.
    let unseen = judged("1s", vec![stalled(29.9, 34.9)]);
    assert_eq!(unseen.verdict, Verdict::Inconclusive, "{:?}", unseen.reasons);
}

#[test]
fn a_cluster_that_hangs_is_not_excused_by_moments() {
    let moments = (0..50).map(|n| stalled(30.0 + f64::from(n) * 0.1, 30.01 + f64::from(n) * 0.1));
    let judged = unanswered("1s", (30.0, 34.0), moments.collect());
    assert_eq!(judged.verdict, Verdict::Fail, "{:?}", judged.reasons);
    assert!(!judged.notes.iter().any(|note| note.contains("was not run")), "{:?}", judged.notes);
}

#[test]
fn an_answer_that_would_have_been_read_in_time_is_no_slow_one() {
    // Recorded before and after what it held up.
    for recorded in [32.2, 34.0] {
        let judged = |stalls: Vec<Record>| {
            let story = kill(&asserted(&format!("gap: {{of: {STREAM}, max: 1500ms}}")))
                .takes(STREAM, |_, t| if (30.0..32.2).contains(&t) { 32.205 - t } else { 0.005 });
            Story { more: stalls, ..story }.judged()
        };
        let stall = |from, to| Record { at: at(recorded), ..stalled(from, to) };
        // All were answered at once: it was down once the first of them had been slow, and before that perhaps.
        assert_eq!(judged(vec![]).verdict, Verdict::Inconclusive);
        let held = judged(vec![stall(29.99, 32.2)]);
        assert_eq!(held.verdict, Verdict::Pass, "{:?}", held.reasons);
        assert_eq!(
            judged(vec![stall(30.1, 30.3)]).verdict,
            Verdict::Inconclusive,
            "the rest was not its own"
        );
    }
}
