//! A bound that is added up, every addend with its value and its source.

use std::time::Duration;

use super::{Prediction, allowance::ROOM};
use crate::{configuration::Setting, time::Span};

/// Both bounds, as far as they are added up.
#[derive(Clone, Debug, Default)]
pub(super) struct Sum {
    /// Microseconds; below zero while what is taken off stands before what it is taken from.
    low: i128,
    high: Duration,
    lines: Vec<String>,
}

impl Sum {
    /// Nothing yet.
    pub(super) fn new() -> Sum {
        Sum::default()
    }

    /// Adds to the lower bound.
    pub(super) fn low(mut self, value: Duration, what: &str, source: &str) -> Sum {
        self.low += micros(value);
        self.lines.push(line("low", '+', value, what, source));
        self
    }

    /// Takes off from the lower bound.
    pub(super) fn low_less(mut self, value: Duration, what: &str, source: &str) -> Sum {
        self.low -= micros(value);
        self.lines.push(line("low", '-', value, what, source));
        self
    }

    /// Adds to the upper bound.
    pub(super) fn high(mut self, value: Duration, what: &str, source: &str) -> Sum {
        self.high += value;
        self.lines.push(line("high", '+', value, what, source));
        self
    }

    /// Adds an allowance to the upper bound.
    pub(super) fn allow(self, allowance: &super::allowance::Allowance) -> Sum {
        self.high(allowance.value, allowance.what, allowance.source)
    }

    /// Adds a setting to the upper bound: the largest, where instances differ.
    pub(super) fn high_setting(self, setting: &Setting, what: &str) -> Sum {
        self.high(setting.most().0, what, &setting.source)
    }

    /// Adds a setting to both: the least to the lower, the largest to the upper bound.
    pub(super) fn both(self, setting: &Setting, what: &str) -> Sum {
        self.low(setting.value.0, what, &setting.source).high_setting(setting, what)
    }

    /// Adds the same to both.
    pub(super) fn each(self, value: Duration, what: &str, source: &str) -> Sum {
        if value.is_zero() {
            return self;
        }
        self.low(value, what, source).high(value, what, source)
    }

    /// The upper bound so far.
    pub(super) fn so_far(&self) -> Duration {
        self.high
    }

    /// Forgets the lower bound: it may come at any time.
    pub(super) fn any_time(mut self) -> Sum {
        self.low = 0;
        self.lines.retain(|line| !line.starts_with("low "));
        self
    }

    /// Adds what a probe needs to see it, and room for a busy machine.
    pub(super) fn done(self, detection: Duration, detected_by: &str) -> Prediction {
        let seen =
            self.high(detection, "until a probe has seen it: its period and its time-out", detected_by);
        let room = ROOM.of(seen.high);
        let mut seen = seen.high(room, ROOM.what, ROOM.source);
        if seen.low < 0 {
            let short = Duration::from_micros(u64::try_from(-seen.low).unwrap_or(0));
            seen = seen.low(short, "nothing comes before the moment it is counted from", "the clock");
        }
        if !seen.lines.iter().any(|line| line.starts_with("low ")) {
            seen = seen.low(Duration::ZERO, "no setting keeps it from coming at once", "no formula");
        }
        seen.lines.sort_by_key(|line| line.starts_with("high "));
        let low = Duration::from_micros(u64::try_from(seen.low).unwrap_or(0));
        Prediction { low: Span(low), high: Span(seen.high), arithmetic: seen.lines }
    }
}

fn micros(value: Duration) -> i128 {
    i128::try_from(value.as_micros()).unwrap_or(i128::MAX)
}

fn line(bound: &str, sign: char, value: Duration, what: &str, source: &str) -> String {
    format!("{bound} {sign}{}: {what} ({source})", seconds(value))
}

/// Seconds without needless digits: `15s`, `4.4s`, `0.1s`.
pub(super) fn seconds(value: Duration) -> String {
    let text = format!("{:.6}", value.as_secs_f64());
    format!("{}s", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_below_zero_is_lifted_to_it_and_says_so() {
        let sum = Sum::new().low(Duration::from_secs(1), "a", "x").low_less(Duration::from_secs(3), "b", "y");
        let done = sum.done(Duration::ZERO, "p");
        assert_eq!(done.low, Span::seconds(0));
        assert_eq!(
            done.arithmetic[2],
            "low +2s: nothing comes before the moment it is counted from (the clock)"
        );
    }

    #[test]
    fn room_is_a_fifth_and_two_seconds_at_least() {
        let high =
            |seconds| Sum::new().high(Duration::from_secs(seconds), "a", "x").done(Duration::ZERO, "p").high;
        assert_eq!((high(1), high(50)), (Span::seconds(3), Span::seconds(60)));
    }

    #[test]
    fn seconds_have_no_needless_digits() {
        let said = |ms| seconds(Duration::from_millis(ms));
        assert_eq!(
            (said(15_000), said(4400), said(100), said(0)),
            ("15s".into(), "4.4s".into(), "0.1s".into(), "0s".into())
        );
    }
}
