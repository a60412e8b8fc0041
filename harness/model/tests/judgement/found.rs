//! False verdicts that real clusters have shown, each mended.

use crate::{
    common::{FAULT, Story},
    judge::{STOP, assert_bounds, asserted, kill},
};
use recoup_model::verdict::{ExperimentResult, Measure, Verdict};

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
