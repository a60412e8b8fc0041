//! The statistics against what they promise: coverage, levels and identities, with seeds.

use proptest::prelude::*;
use recoup_model::stats::{
    Value,
    percentile::{enough, interleaved, percentile},
    rank_sum::rank_sum,
    shift::shift,
    trend::trend,
};

/// SplitMix64 (Steele, Lea and Flood 2014): the same figures on every machine.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Exponential with mean 1: its quantile p is -ln(1-p).
    fn waits(&mut self, n: usize) -> Vec<f64> {
        (0..n).map(|_| -(1.0 - self.next()).ln()).collect()
    }
}

const ROUNDS: usize = 2000;

/// The share of rounds in which the interval held the true quantile.
fn covered(n: usize, p: f64, seed: u64, seen: impl Fn(f64, &mut Dice) -> Value) -> f64 {
    let mut dice = Dice(seed);
    let truth = -(1.0_f64 - p).ln();
    let mut held = 0;
    for _ in 0..ROUNDS {
        let values: Vec<Value> = dice.waits(n).into_iter().map(|x| seen(x, &mut dice)).collect();
        let found = percentile(&values, p, 0.05).expect("there are values");
        let below = found.low.is_none_or(|low| low.least() <= truth);
        let above = found.high.is_none_or(|high| truth <= high.most());
        held += usize::from(below && above);
    }
    held as f64 / ROUNDS as f64
}

#[test]
fn intervals_of_measured_values_hold_the_truth_as_often_as_they_say() {
    for (n, p) in [(6, 0.5), (20, 0.5), (20, 0.9), (20, 0.99), (60, 0.9), (100, 0.5)] {
        let share = covered(n, p, 1, |x, _| Value::Exactly(x));
        assert!(share >= 0.94, "p{} of {n}: {share}", p * 100.0);
    }
    // They are not simply endless.
    assert!(covered(100, 0.5, 1, |x, _| Value::Exactly(x)) < 0.985);
}

#[test]
fn intervals_hold_where_short_values_are_not_seen_and_long_ones_cut_off() {
    let cut = |x: f64, _: &mut Dice| match x {
        x if x < 0.3 => Value::LessThan(0.3),
        x if x > 2.0 => Value::MoreThan(2.0),
        x => Value::Exactly(x),
    };
    for (n, p) in [(20, 0.5), (20, 0.9), (40, 0.9), (40, 0.1)] {
        let share = covered(n, p, 2, cut);
        assert!(share >= 0.94, "p{} of {n}: {share}", p * 100.0);
    }
}

#[test]
fn intervals_hold_where_each_was_watched_for_another_time() {
    // Watched for 0.5 to 3 means: Kaplan–Meier with Greenwood's variance, an approximation for few values.
    let watched = |x: f64, dice: &mut Dice| {
        let until = 0.5 + 2.5 * dice.next();
        if x > until { Value::MoreThan(until) } else { Value::Exactly(x) }
    };
    for (n, p) in [(20, 0.5), (50, 0.5), (50, 0.75)] {
        let share = covered(n, p, 3, watched);
        assert!((0.92..0.995).contains(&share), "p{} of {n}: {share}", p * 100.0);
    }
}

#[test]
fn twenty_trials_give_no_upper_end_of_the_99th_percentile() {
    let values: Vec<Value> = (1..=20).map(|x| Value::Exactly(f64::from(x))).collect();
    let p99 = percentile(&values, 0.99, 0.05).expect("there are values");
    assert_eq!((p99.estimate, p99.high), (Value::Exactly(20.0), None));
    assert_eq!(p99.low, Some(Value::Exactly(19.0)));
    assert_eq!((enough(0.99, 0.05), enough(0.9, 0.05), enough(0.5, 0.05)), (368, 36, 6));
    // The usual table of nonparametric limits: the 6th and the 15th of 20.
    let p50 = percentile(&values, 0.5, 0.05).expect("there are values");
    assert_eq!((p50.low, p50.high), (Some(Value::Exactly(6.0)), Some(Value::Exactly(15.0))));
}

#[test]
fn a_percentile_among_those_that_never_came_is_no_value() {
    let mut values = vec![Value::Exactly(1.0); 15];
    values.extend([Value::MoreThan(60.0); 5]);
    let p90 = percentile(&values, 0.9, 0.05).expect("there are values");
    assert_eq!(p90.estimate, Value::MoreThan(60.0));
    assert_eq!(p90.low, Some(Value::Exactly(1.0)));
    let p50 = percentile(&values, 0.5, 0.05).expect("there are values");
    assert_eq!(p50.estimate, Value::Exactly(1.0));
}

#[test]
fn without_a_difference_one_in_twenty_is_called_one() {
    let mut dice = Dice(4);
    let mut called = 0;
    let mut outside = 0;
    for _ in 0..ROUNDS {
        let sample = |dice: &mut Dice| -> Vec<Value> {
            let cut = |x: f64| if x > 1.5 { Value::MoreThan(1.5) } else { Value::Exactly(x) };
            dice.waits(20).into_iter().map(cut).collect()
        };
        let (a, b) = (sample(&mut dice), sample(&mut dice));
        called += usize::from(rank_sum(&a, &b).expect("two samples").p < 0.05);
        let (low, high) = shift(&a, &b, 0.05).expect("two samples").interval.expect("twenty each");
        outside += usize::from(low > 0.0 || high < 0.0);
    }
    let (called, outside) = (called as f64 / ROUNDS as f64, outside as f64 / ROUNDS as f64);
    assert!((0.03..0.065).contains(&called), "{called}");
    assert!(outside < 0.06, "{outside}");
}

#[test]
fn without_drift_one_in_a_hundred_is_called_so() {
    let mut dice = Dice(5);
    let mut called = 0;
    for round in 0..ROUNDS {
        let n = 6 + round % 20;
        let cut = |x: f64| if x > 1.5 { Value::MoreThan(1.5) } else { Value::Exactly(x) };
        let series: Vec<(u32, Value)> = (1..).zip(dice.waits(n).into_iter().map(cut)).collect();
        called += usize::from(trend(&series).expect("a series").p < 0.01);
    }
    let called = called as f64 / ROUNDS as f64;
    assert!(called < 0.017, "{called}");
}

fn value() -> impl Strategy<Value = Value> {
    let length = (1_u32..50).prop_map(f64::from);
    prop_oneof![
        1 => length.clone().prop_map(Value::LessThan),
        4 => length.clone().prop_map(Value::Exactly),
        1 => length.prop_map(Value::MoreThan),
    ]
}

proptest! {
    #[test]
    fn kaplan_meier_without_censoring_is_the_empirical_quantile(
        lengths in prop::collection::vec(1_u32..100, 1..40), percent in 1_u32..100
    ) {
        let p = f64::from(percent) / 100.0;
        let pairs: Vec<(f64, bool)> = lengths.iter().map(|x| (f64::from(*x), true)).collect();
        let steps = recoup_model::stats::survival::kaplan_meier(&pairs);
        let estimate = recoup_model::stats::survival::quantile(&steps, p);
        let values: Vec<Value> = pairs.iter().map(|(x, _)| Value::Exactly(*x)).collect();
        let found = percentile(&values, p, 0.05).map(|found| found.estimate.known());
        prop_assert_eq!(estimate, found);
    }

    #[test]
    fn a_percentile_lies_in_its_interval(values in prop::collection::vec(value(), 1..40), percent in 1_u32..100) {
        let found = percentile(&values, f64::from(percent) / 100.0, 0.05).expect("there are values");
        if let Some(low) = found.low {
            prop_assert!(low.least() <= found.estimate.most(), "{:?}", found);
        }
        if let Some(high) = found.high {
            prop_assert!(found.estimate.least() <= high.most(), "{:?}", found);
        }
    }

    #[test]
    fn the_truth_behind_what_was_not_seen_stays_within_the_bounds(
        seen in prop::collection::vec((1_u32..50, 0_u32..3, 1_u32..20), 6..30)
    ) {
        // What the probes saw of a truth: itself, or that it was shorter than something.
        let truth: Vec<f64> = seen.iter().map(|(x, _, _)| f64::from(*x)).collect();
        let shown: Vec<Value> = seen.iter().map(|(x, how, more)| match how {
            0 => Value::LessThan(f64::from(x + more)),
            _ => Value::Exactly(f64::from(*x)),
        }).collect();
        prop_assume!(!interleaved(&shown));
        let all: Vec<Value> = truth.iter().map(|x| Value::Exactly(*x)).collect();
        let (known, guessed) = (percentile(&all, 0.5, 0.05), percentile(&shown, 0.5, 0.05));
        let (known, guessed) = (known.expect("values"), guessed.expect("values"));
        prop_assert!(guessed.low.expect("six").least() <= known.low.expect("six").known());
        prop_assert!(guessed.high.expect("six").most() >= known.high.expect("six").known());
    }

    #[test]
    fn to_compare_the_other_way_round_only_turns_the_sign(
        a in prop::collection::vec(value(), 1..12), b in prop::collection::vec(value(), 1..12)
    ) {
        let (there, back) = (rank_sum(&a, &b).expect("two"), rank_sum(&b, &a).expect("two"));
        prop_assert_eq!(there.score, -back.score);
        prop_assert!((there.p - back.p).abs() < 1e-9, "{} {}", there.p, back.p);
        prop_assert!((0.0..=1.0).contains(&there.p));
        let (there, back) = (shift(&a, &b, 0.05).expect("two"), shift(&b, &a, 0.05).expect("two"));
        prop_assert_eq!(there.least, -back.most);
        prop_assert_eq!(there.interval.map(|(low, high)| (-high, -low)), back.interval);
    }
}
