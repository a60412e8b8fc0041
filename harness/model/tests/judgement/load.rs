//! Loads: the knee of a ramp, what a generator that gave out leaves unknown, and whose moment the fault's is.

use std::{collections::BTreeMap, time::Duration};

use recoup_model::{
    capacity::StageState,
    event::{Event, Record},
    load::{Slice, VerbSlice},
    observation::{FailureClass, Observation, Observed},
    quantity::Frequency,
    spec::LoadVerb,
    time::Span,
    verdict::{ExperimentResult, Measure, Verdict},
};

use crate::common::{BEFORE, FAULT, Story, at, cluster, well};

/// Ten seconds at each of 100/s, 200/s, 300/s and 400/s.
const RAMP: &str = "load: {mix: {get: 1}, ramp: {from: 100/s, to: 400/s, steps: 4}, for: 40s}";

fn spec(rate: &str) -> String {
    format!(
        "  probes: {{convergence: {{enabled: true}}}}\n  assertions:\n    - holdsUpTo: {{rate: {rate}, convergence: 8s}}"
    )
}

fn slice(from: f64, stage: u32, rate: u32) -> Slice {
    let due = u64::from(rate);
    let mut get = VerbSlice { answered: due, ..VerbSlice::default() };
    (0..due).for_each(|n| get.times.record(Duration::from_millis(2 + n % 10)));
    Slice {
        step: 1,
        stage,
        from: at(from),
        to: at(from + 1.0),
        rate: Frequency(rate * 1000),
        due,
        sent: due,
        late: 0,
        worst: Span::millis(3),
        verbs: BTreeMap::from([(LoadVerb::Get, get)]),
    }
}

/// The ramp with all of its seconds; `change` may spoil one, told its stage from 1.
fn ramp(wanted: &str, change: impl Fn(u32, &mut Slice)) -> Story {
    let mut story = Story::new(RAMP, &spec(wanted), "cp1");
    for second in 0..40_u32 {
        let stage = second / 10 + 1;
        let mut slice = slice(FAULT + f64::from(second), stage, stage * 100);
        change(stage, &mut slice);
        story.more.push(Record { at: slice.to, event: Event::LoadSlice(slice) });
    }
    story
}

fn refused(slice: &mut Slice, count: u64) {
    let verb = slice.verbs.get_mut(&LoadVerb::Get).expect("gets");
    (verb.answered, verb.throttled) = (verb.answered - count, count);
}

/// The attempt at convergence that began at that second took so long, and the next ones began after it.
fn converged(story: &Story, from: f64, seconds: f64) -> ExperimentResult {
    let index = story.plan.streams.iter().position(|s| s.stream_is_converge()).expect("a stream");
    let mut records = story.records();
    for record in &mut records {
        if let Event::Sample(sample) = &mut record.event
            && sample.stream as usize == index
            && sample.due.since(at(from)) < Duration::from_secs(2)
            && sample.due >= at(from)
        {
            sample.done = sample.due.plus(Duration::from_secs_f64(seconds));
            record.at = sample.done;
        }
    }
    records.sort_by_key(|record| record.at);
    recoup_model::judge(&story.plan, &cluster(), &records)
}

trait Converges {
    fn stream_is_converge(&self) -> bool;
}

impl Converges for recoup_model::plan::Stream {
    fn stream_is_converge(&self) -> bool {
        self.observation == Observation::Converge
    }
}

fn states(result: &ExperimentResult) -> Vec<StageState> {
    result.loads[0].stages.iter().map(|stage| stage.state).collect()
}

fn words(result: &ExperimentResult) -> &str {
    &result.loads[0].capacity.as_ref().expect("a capacity").words
}

use StageState::{Ceased, GaveOut, Held, Unclear};

#[test]
fn a_load_that_everything_bears_has_no_knee() {
    let result = ramp("400/s", |_, _| {}).judged();
    assert_eq!(result.verdict, Verdict::Pass, "{:?}", result.reasons);
    assert_eq!(words(&result), "holds up to 400/s, the highest rate that was offered");
    let load = &result.loads[0];
    assert_eq!((load.stages.len(), load.seconds.len()), (4, 40));
    assert_eq!((load.stages[2].due, load.stages[2].answered), (3000, 3000));
    let times = load.stages[2].verbs[&LoadVerb::Get];
    assert!(times.p50 >= Span::millis(6) && times.longest <= Span::millis(12), "{times:?}");
    assert!(load.stages[1].converged >= 4 && load.stages[1].slowest.is_some());
}

#[test]
fn refusals_are_a_knee_and_the_rate_that_is_wanted_decides() {
    let busy = |stage, slice: &mut Slice| {
        if stage >= 3 {
            refused(slice, slice.due / 20);
        }
    };
    let result = ramp("200/s", busy).judged();
    assert_eq!(states(&result), [Held, Held, Ceased, Ceased]);
    assert_eq!(result.verdict, Verdict::Pass, "{:?}", result.reasons);
    assert!(words(&result).starts_with("holds up to 200/s, ceases at 300/s because 150 of 3000 requests"));
    assert_eq!(ramp("300/s", busy).judged().verdict, Verdict::Fail);
    let between = ramp("250/s", busy).judged();
    assert_eq!(between.verdict, Verdict::Inconclusive, "nobody asked at 250/s: {:?}", between.reasons);
}

#[test]
fn other_failures_count_as_refusals_do_and_a_single_one_does_not() {
    let failing = |count: u64| {
        ramp("400/s", move |stage, slice| {
            if stage == 4 {
                let verb = slice.verbs.get_mut(&LoadVerb::Get).expect("gets");
                verb.answered -= count;
                verb.failed.insert(FailureClass::Timeout, count);
            }
        })
        .judged()
    };
    assert_eq!(failing(2).verdict, Verdict::Pass);
    let failed = failing(40);
    assert_eq!(failed.verdict, Verdict::Fail);
    assert!(words(&failed).ends_with("because 400 failed (timeout)"), "{}", words(&failed));
}

#[test]
fn a_generator_that_gave_out_says_nothing_of_the_cluster() {
    let late = |at: u32| {
        move |stage: u32, slice: &mut Slice| {
            if stage == at {
                slice.late = slice.due / 10;
                refused(slice, slice.due / 2);
            }
        }
    };
    let result = ramp("200/s", late(2)).judged();
    assert_eq!(result.verdict, Verdict::Inconclusive);
    assert!(result.reasons[0].contains("its requests left on schedule"), "{:?}", result.reasons);
    // Beyond the rate that is wanted it may give out.
    let result = ramp("200/s", late(4)).judged();
    assert_eq!(result.verdict, Verdict::Pass, "{:?}", result.reasons);
    assert_eq!(states(&result), [Held, Held, Held, GaveOut]);
    assert!(words(&result).starts_with("holds up to 300/s; beyond it nothing is known: at 400/s only"));
}

#[test]
fn requests_that_never_left_are_not_on_time() {
    let result = ramp("400/s", |stage, slice| {
        if stage == 1 {
            slice.sent -= 10;
            refused(slice, 0);
        }
    })
    .judged();
    assert_eq!((result.verdict, states(&result)[0]), (Verdict::Inconclusive, GaveOut));
}

#[test]
fn a_load_that_was_cut_is_no_evidence() {
    let mut story = ramp("100/s", |_, _| {});
    story.more.pop();
    let result = story.judged();
    assert_eq!(result.verdict, Verdict::Inconclusive);
    assert!(result.reasons[0].contains("39 of 40 seconds"), "{:?}", result.reasons);
}

#[test]
fn an_attempt_that_is_missed_within_its_stage_ceases_there() {
    let story = ramp("300/s", |_, _| {});
    // Due at second 30 of the record, by second 38 at the latest: all of it at 300/s.
    let result = converged(&story, 29.9, 8.9);
    assert_eq!(states(&result), [Held, Held, Ceased, Held]);
    assert_eq!(result.verdict, Verdict::Fail);
    assert!(words(&result).contains("a changed Deployment took 8.9 s to converge"), "{}", words(&result));
}

#[test]
fn an_attempt_that_is_missed_in_a_later_stage_leaves_the_earlier_one_unclear() {
    // Begun at 300/s and missed at 400/s: which of them it was is not known.
    let of = |wanted| converged(&ramp(wanted, |_, _| {}), 36.5, 12.0);
    let result = of("300/s");
    assert_eq!(states(&result), [Held, Held, Unclear, Ceased]);
    assert_eq!(result.verdict, Verdict::Inconclusive, "{:?}", result.reasons);
    assert_eq!((of("200/s").verdict, of("400/s").verdict), (Verdict::Pass, Verdict::Fail));
}

#[test]
fn an_attempt_that_ends_after_the_load_belongs_to_its_last_rate() {
    let result = converged(&ramp("400/s", |_, _| {}), 46.5, 9.5);
    assert_eq!(states(&result), [Held, Held, Held, Ceased]);
    assert_eq!(result.verdict, Verdict::Fail);
}

#[test]
fn a_lease_that_changes_its_holder_or_is_not_renewed_is_a_knee() {
    let story = ramp("200/s", |_, _| {}).told("lease/kube-scheduler", |stream, n, t| {
        if t < 35.0 {
            return Ok(well(stream, n));
        }
        Ok(Observed::Lease { holder: "cp2_b".into(), renewed: n.to_string() })
    });
    let result = story.judged();
    assert_eq!(states(&result), [Held, Held, Ceased, Held]);
    assert!(words(&result).contains("the lease kube-scheduler changed its holder"), "{}", words(&result));
    let story = ramp("100/s", |_, _| {}).told("lease/kube-scheduler", |_, n, t| {
        let renewed = if (22.0..42.0).contains(&t) { "stuck".to_owned() } else { n.to_string() };
        Ok(Observed::Lease { holder: "cp1_a".into(), renewed })
    });
    let result = story.judged();
    assert_eq!(states(&result), [Held, Unclear, Ceased, Held], "from 22 s on, and sure by 37 s");
    assert_eq!(result.verdict, Verdict::Pass, "{:?}", result.reasons);
}

/// Times count from the signal, and the load beside it is no fault of its own.
#[test]
fn beside_a_signal_the_signal_is_the_fault() {
    let steps = "load: {mix: {get: 1}, rate: 100/s, for: 40s}\n        - wait: 3s\n        - signal: {process: etcd, on: raftLeader, signal: KILL}";
    let lines = "  milestones:\n    - {name: back, when: {stable: api/write/cp1/reused}, within: 10s}\n  assertions:\n    - sameHolder: kube-scheduler";
    let mut story = Story::new(steps, lines, "cp1").down("api/write/cp1", FAULT, FAULT + 4.0);
    for second in 0..40_u32 {
        let slice = slice(FAULT - BEFORE + f64::from(second), 1, 100);
        story.more.push(Record { at: slice.to, event: Event::LoadSlice(slice) });
    }
    let result = story.judged();
    let Measure::Measured { value, .. } = result.intervals[0].measure else {
        panic!("{:?}", result.intervals[0])
    };
    assert!(value.0.abs_diff(Duration::from_secs(4)) < Duration::from_millis(300), "{value}");
    assert_eq!(result.intervals[0].from, at(FAULT + 0.1));
    assert_eq!(result.loads[0].capacity, None, "whose doing it was could not be told");
    assert_eq!((result.bands[0].key.as_str(), result.bands[1].key.as_str()), ("load", "signal"));
}
