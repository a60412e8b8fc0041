//! How long answers took in each part, and `slowdown:`.

use recoup_model::{
    observation::FailureClass,
    repetition::Length,
    spec::Part,
    verdict::{Checked, Verdict},
};

use crate::common::{FAULT, Story, well};

const STEP: &str = "slow: {on: raftFollower, delay: 50ms, for: 60s}";
/// The undo: 60 s after the fault.
const UNDO: f64 = 70.0;

fn story(assertion: &str) -> Story {
    let lines = format!("  assertions:\n    - slowdown: {assertion}");
    Story { undo: Some(UNDO), ends: 100.0, ..Story::new(STEP, &lines, "cp2") }
}

/// Answers in 5 to 14 ms before and after, and so many times that while the fault lasts.
fn slower(assertion: &str, times: f64) -> Checked {
    checked(&story(assertion).takes("api/write/lb", move |n, t| {
        let usual = 0.005 + n as f64 % 10.0 * 0.001;
        if (FAULT..UNDO).contains(&t) { usual * times } else { usual }
    }))
}

fn checked(story: &Story) -> Checked {
    story.judged().assertions.remove(0)
}

#[test]
fn an_answer_that_takes_six_times_as_long_is_not_within_three() {
    let one = slower("{of: api/write/lb/reused, p50: 3x}", 6.0);
    assert_eq!(one.verdict, Verdict::Fail, "{}", one.detail);
    assert!(one.detail.contains("6.0 times as long") && one.detail.contains("at most 3x"), "{}", one.detail);
    assert_eq!(slower("{of: api/write/lb/reused, p50: 10x}", 6.0).verdict, Verdict::Pass);
    assert_eq!(slower("{of: api/write/lb/reused, p90: 3x}", 1.0).verdict, Verdict::Pass);
}

#[test]
fn what_lies_within_both_intervals_is_too_near_to_tell() {
    let one = slower("{of: api/write/lb/reused, p50: 4x}", 4.0);
    assert_eq!(one.verdict, Verdict::Inconclusive, "{}", one.detail);
    assert!(one.detail.contains("too near to tell"), "{}", one.detail);
}

#[test]
fn a_p99_of_a_hundred_attempts_has_no_interval_and_no_verdict() {
    let one = slower("{of: api/write/lb/reused, p99: 3x}", 6.0);
    assert_eq!(one.verdict, Verdict::Inconclusive, "{}", one.detail);
    assert!(one.detail.contains("too few attempts before the fault"), "{}", one.detail);
    assert!(one.detail.contains("it takes 368"), "{}", one.detail);
}

#[test]
fn milliseconds_more_are_no_slowdown_whatever_the_ratio() {
    let quick = story("{of: api/write/lb/reused, p50: 2x}")
        .takes("api/write/lb", |_, t| if (FAULT..UNDO).contains(&t) { 0.008 } else { 0.002 });
    assert_eq!(checked(&quick).verdict, Verdict::Pass, "{}", checked(&quick).detail);
}

#[test]
fn failed_attempts_are_not_left_out() {
    let fails = |assertion: &str| {
        checked(&story(assertion).told("api/write/lb", |stream, n, t| {
            let lost = (FAULT..UNDO).contains(&t) && n.is_multiple_of(4);
            if lost { Err(FailureClass::Refused) } else { Ok(well(stream, n)) }
        }))
    };
    let one = fails("{of: api/write/lb/reused, p90: 20x}");
    assert_eq!(one.verdict, Verdict::Fail, "{}", one.detail);
    assert!(one.detail.contains("more than") && one.detail.contains("attempts failed"), "{}", one.detail);
    assert_eq!(fails("{of: api/write/lb/reused, p50: 20x}").verdict, Verdict::Pass);
}

#[test]
fn afterwards_is_another_part() {
    let still = story("{of: api/write/lb/reused, during: after, p50: 2x}")
        .takes("api/write/lb", |_, t| if t > FAULT { 0.08 } else { 0.008 });
    assert_eq!(checked(&still).verdict, Verdict::Fail, "{}", checked(&still).detail);
}

#[test]
fn every_stream_is_told_in_parts() {
    let result = story("{of: api/write/lb/reused, p50: 2x}").judged();
    let parts: Vec<Part> = result.parts.iter().map(|span| span.part).collect();
    assert_eq!(parts, [Part::Before, Part::During, Part::After]);
    assert!(result.parts.windows(2).all(|pair| pair[0].to <= pair[1].from), "{:?}", result.parts);
    for stream in result.streams.iter().filter(|stream| stream.name.starts_with("api/")) {
        assert_eq!(stream.parts.len(), 3, "{}", stream.name);
        let p50 = stream.parts[1].percent(50).expect("a median").estimate;
        assert!(matches!(p50, Length::Exactly { value } if value.0.as_micros() == 5_000), "{p50:?}");
    }
    assert_eq!(result.decisive, ["api/write/lb/reused"]);
}

#[test]
fn a_kill_lasts_until_all_has_come_back() {
    let lines = "  milestones:\n    - {name: back, when: {stable: api/write/lb/reused}, within: 30s}";
    let story = Story {
        ends: 40.0,
        ..Story::new("signal: {process: etcd, signal: KILL, on: raftLeader}", lines, "cp1")
    }
    .down("api/write/lb", 10.2, 14.0);
    let result = story.judged();
    let during = result.parts.iter().find(|span| span.part == Part::During).expect("it was there");
    assert!((during.to.seconds() - 14.0).abs() < 0.2, "{during:?}");
    let writes =
        result.streams.iter().find(|stream| stream.name == "api/write/lb/reused").expect("it is there");
    assert!(writes.parts[1].failed > 30 && writes.parts[2].failed == 0, "{:?}", writes.parts);
}
