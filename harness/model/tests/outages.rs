//! Whatever the service does, the measured outages bound the true ones.

use proptest::prelude::*;
use recoup_model::{
    event::Sample,
    observation::{Failure, FailureClass, Observation, Observed},
    outage::{outages, resolution},
    plan::Stream,
    spec::Rate,
    time::{Offset, Span},
    timeline::Series,
};

const PERIOD: u64 = 100_000;
const TIMEOUT: u64 = 1_000_000;

/// A true outage, in microseconds: requests are refused at once, or hang until it is over.
#[derive(Clone, Copy, Debug)]
struct Truth {
    from: u64,
    to: u64,
    hangs: bool,
}

/// One attempt on a service with these outages.
fn attempt(sent: u64, latency: u64, truths: &[Truth]) -> (u64, Option<FailureClass>) {
    match truths.iter().find(|truth| truth.to > sent) {
        Some(t) if t.from <= sent && !t.hangs => (sent + 2_000, Some(FailureClass::Refused)),
        Some(t) if t.from <= sent && t.to + latency <= sent + TIMEOUT => (t.to + latency, None),
        Some(t) if t.from <= sent => (sent + TIMEOUT, Some(FailureClass::Timeout)),
        // Under way when the service went down.
        Some(t) if t.from < sent + latency => (t.from + 1_000, Some(FailureClass::Reset)),
        _ => (sent + latency, None),
    }
}

fn series(samples: Vec<Sample>, slow: Option<Span>) -> Series {
    let rate = Rate { period: Span::millis(100), timeout: Span::seconds(1), slow };
    let mut series = Series::new(Stream::new(Observation::Nodes, rate));
    samples.iter().for_each(|sample| series.push(sample));
    series
}

fn sample(sent: u64, done: u64, failure: Option<FailureClass>) -> Sample {
    Sample {
        stream: 0,
        due: Offset(sent),
        sent: Offset(sent),
        done: Offset(done),
        told: failure.is_none().then_some(Observed::Answered),
        failure: failure.map(|class| Failure::new(class, "")),
    }
}

fn truths() -> impl Strategy<Value = Vec<Truth>> {
    proptest::collection::vec((300_000_u64..3_000_000, 20_000_u64..4_000_000, any::<bool>()), 0..5).prop_map(
        |gaps| {
            let mut at = 1_000_000;
            let mut truths = Vec::new();
            for (up, down, hangs) in gaps {
                let from = at + up;
                truths.push(Truth { from, to: from + down, hangs });
                at = from + down;
            }
            truths
        },
    )
}

proptest! {
    #[test]
    fn measured_outages_bound_the_true_ones(
        truths in truths(),
        noise in proptest::collection::vec((0_u64..20_000, 1_000_u64..20_000), 320),
    ) {
        let mut samples: Vec<Sample> = (0_u64..).zip(&noise).map(|(n, (late, latency))| {
            let sent = n * PERIOD + late;
            let (done, failure) = attempt(sent, *latency, &truths);
            sample(sent, done, failure)
        }).collect();
        // Recorded as they end, which is not the order in which they were sent.
        samples.sort_by_key(|sample| sample.done);
        let series = series(samples, None);
        let measured = outages(&series.attempts);
        for outage in &measured {
            let starts = truths.iter().any(|t| (outage.start_low.0..=outage.start_high.0).contains(&t.from));
            prop_assert!(starts, "no outage began within {outage:?} of {truths:?}");
            if let Some(to) = outage.to {
                let ends = truths.iter().any(|t| (outage.end_low.0..=to.0).contains(&t.to));
                prop_assert!(ends, "no outage ended within {outage:?} of {truths:?}");
            }
        }
        for truth in &truths {
            // A refusal is met by the next attempt; whoever hangs must run into its deadline.
            let seen = if truth.hangs { TIMEOUT + 2 * PERIOD } else { 2 * PERIOD };
            if truth.to - truth.from > seen && truth.to < 29_000_000 {
                let met = measured.iter().any(|o| o.from.0 < truth.to && o.to.is_none_or(|to| to.0 > truth.from));
                prop_assert!(met, "{truth:?} was not seen: {measured:?}");
            }
        }
        // What was not seen was shorter than the resolution says.
        if measured.is_empty() {
            let finest = resolution(&series.attempts, Offset(0), Offset(31_000_000));
            for truth in truths.iter().filter(|truth| truth.to < 31_000_000) {
                let length = truth.to - truth.from;
                prop_assert!(u128::from(length) <= finest.as_micros(), "{truth:?} is longer than {finest:?}");
            }
        }
    }
}

#[test]
fn what_the_observer_lost_is_no_outage() {
    let lost = series(
        vec![sample(0, 5, None), sample(100, 200, Some(FailureClass::Observer)), sample(200, 205, None)],
        None,
    );
    assert_eq!(outages(&lost.attempts), []);
}

#[test]
fn a_slow_answer_is_an_outage_from_request_to_answer() {
    let slow = series(
        vec![sample(0, 5, None), sample(100_000, 900_000, None), sample(1_000_000, 1_000_005, None)],
        Some(Span::millis(500)),
    );
    let found = outages(&slow.attempts);
    let [outage] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((outage.from, outage.to), (Offset(100_000), Some(Offset(900_000))));
    assert_eq!(outage.reasons, [("slow".to_owned(), 1)]);
}

#[test]
fn an_outage_that_lasts_has_no_end() {
    let down = series(vec![sample(0, 5, None), sample(100, 110, Some(FailureClass::Refused))], None);
    let found = outages(&down.attempts);
    assert_eq!(found.iter().map(|o| o.to).collect::<Vec<_>>(), [None]);
}

#[test]
fn a_good_answer_that_says_nothing_new_repeats_the_last_one() {
    let mut news = sample(0, 5, None);
    news.told = Some(Observed::Served { pod: "a".into() });
    let mut same = sample(100, 105, None);
    same.told = None;
    let series = series(vec![news, sample(50, 55, Some(FailureClass::Reset)), same], None);
    assert_eq!(series.attempts[2].told(), Some(&Observed::Served { pod: "a".into() }));
}
