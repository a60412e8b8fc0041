//! Whatever the service does, the measured outages bound the true ones.

use proptest::prelude::*;
use recoup_model::{
    event::Sample,
    observation::{Failure, FailureClass, Observation, Observed},
    outage::{outages, outages_beyond, resolution},
    plan::Stream,
    spec::Rate,
    stall::Stalls,
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
    let mut stalls = Stalls::default();
    samples.iter().for_each(|sample| series.push(sample, &mut stalls));
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
            // What is most likely is possible.
            prop_assert!((outage.start_low..=outage.start_high).contains(&outage.start()), "{outage:?}");
            prop_assert!(outage.end().is_none_or(|end| end >= outage.end_low && outage.to >= Some(end)), "{outage:?}");
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

/// Attempts every 10 ms that take 1 ms where nothing is wrong, asked until 300 ms; an answer after 10 ms is slow.
fn probed(mut answer: impl FnMut(u64) -> (u64, Option<FailureClass>)) -> Series {
    let samples = (0..30).map(|n| {
        let sent = n * 10_000;
        let (done, failure) = answer(sent);
        sample(sent, done, failure)
    });
    series(samples.collect(), Some(Span::millis(10)))
}

/// The only outage: most likely start, end, and what bounds both.
fn only(series: &Series) -> (u64, u64, [u64; 4]) {
    let found = outages(&series.attempts);
    let [o] = found.as_slice() else { panic!("{found:?}") };
    let (end, to) = (o.end().unwrap_or_default(), o.to.unwrap_or_default());
    (o.start().0, end.0, [o.start_low.0, o.start_high.0, o.end_low.0, to.0])
}

#[test]
fn a_hang_shorter_than_the_deadline_ends_with_the_answers_that_it_held_up() {
    // From 104 to 143 ms: what was sent meanwhile is answered then, the last of it in time.
    let hang =
        probed(
            |sent| if (104_000..143_000).contains(&sent) { (144_000, None) } else { (sent + 1_000, None) },
        );
    // Between 101 and 111 ms, without a bias to either side; what was sent at 110 was slow at 120.
    assert_eq!(only(&hang), (106_000, 143_000, [100_000, 120_000, 130_000, 144_000]));
}

/// A frozen API server took 20 ms to answer what had waited, in any order, and its outage was thought to have ended half
/// a period before.
#[test]
fn what_a_service_answers_in_any_order_when_it_is_back_was_held_up_by_the_same_thing() {
    let thawed = probed(|sent| {
        let at = match sent {
            110_000 => 147_000,
            120_000 => 144_000,
            130_000 => 146_500,
            140_000 => 145_000,
            _ => sent + 1_000,
        };
        (at, None)
    });
    assert_eq!(only(&thawed).1, 143_000);
}

#[test]
fn refusals_began_and_ended_in_the_middle_between_good_and_bad() {
    let refused = |sent| (sent + 200, Some(FailureClass::Refused));
    let down =
        probed(|sent| if (104_000..143_000).contains(&sent) { refused(sent) } else { (sent + 1_000, None) });
    let (start, end, _) = only(&down);
    // Good at 101 ms, refused at 110.2; refused at 140.2, met well at 150.
    assert_eq!((start, end), (105_600, 145_100));
}

#[test]
fn a_late_answer_that_others_overtook_does_not_end_an_outage() {
    // Each request of 104 to 143 ms is answered 30 ms late; the one of 150 ms long before the one of 140.
    let late = probed(|sent| (sent + if (104_000..143_000).contains(&sent) { 30_000 } else { 1_000 }, None));
    let (start, end, bounds) = only(&late);
    assert_eq!((start, end), (106_000, 146_000));
    // The first of them was slow at 120.
    assert_eq!(bounds, [100_000, 120_000, 140_000, 151_000]);
}

#[test]
fn the_first_attempt_on_a_new_connection_does_not_make_an_outage_longer() {
    let refused = |sent| (sent + 200, Some(FailureClass::Refused));
    let down = probed(|sent| match sent {
        100_000..=140_000 => refused(sent),
        150_000 => (sent + 8_000, None),
        _ => (sent + 1_000, None),
    });
    assert_eq!(only(&down).1, 145_100);
}

#[test]
fn an_answer_later_than_what_is_allowed_is_an_outage_even_where_no_answer_is_slow() {
    let held = series(
        vec![sample(0, 5, None), sample(100_000, 800_000, None), sample(200_000, 800_100, None)],
        None,
    );
    assert_eq!(outages(&held.attempts), []);
    assert_eq!(outages_beyond(&held.attempts, std::time::Duration::from_millis(900)), []);
    let found = outages_beyond(&held.attempts, std::time::Duration::from_millis(500));
    assert_eq!(
        found.iter().map(|o| (o.from, o.to)).collect::<Vec<_>>(),
        [(Offset(100_000), Some(Offset(800_100)))]
    );
}
