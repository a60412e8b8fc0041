//! The two units of time in every record: offsets on the run's one monotonic clock, and spans.

use std::{fmt, str::FromStr, time::Duration};

use jiff::{SignedDuration, fmt::friendly};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// Microseconds since the run's start, on the run's monotonic clock.
///
/// Wall time is stored once per run; everything else is an offset, so that a
/// step of the system's clock cannot change a measurement.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Offset(pub u64);

impl Offset {
    /// The time from `earlier` to `self`; zero where `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Offset) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// The offset `span` after this one.
    #[must_use]
    pub fn plus(self, span: Duration) -> Offset {
        Offset(self.0 + u64::try_from(span.as_micros()).unwrap_or(u64::MAX / 2))
    }

    /// The offset `span` before this one, or the run's start.
    #[must_use]
    pub fn minus(self, span: Duration) -> Offset {
        Offset(self.0.saturating_sub(u64::try_from(span.as_micros()).unwrap_or(u64::MAX)))
    }

    /// Seconds since the run's start.
    #[must_use]
    pub fn seconds(self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "microseconds of a run fit 52 bits")]
        let micros = self.0 as f64;
        micros / 1e6
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{:.3}s", self.seconds())
    }
}

/// A length of time, written with its unit: `100ms`, `30s`, `1m30s`. A bare number is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub Duration);

impl Span {
    /// A span of whole seconds.
    #[must_use]
    pub const fn seconds(seconds: u64) -> Span {
        Span(Duration::from_secs(seconds))
    }

    /// A span of milliseconds.
    #[must_use]
    pub const fn millis(millis: u64) -> Span {
        Span(Duration::from_millis(millis))
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Span, String> {
        let wrong =
            || format!("{text:?} is not a duration: write a number with its unit, as in 100ms, 30s or 1m30s");
        let parsed: SignedDuration =
            friendly::SpanParser::new().parse_duration(text.trim()).map_err(|_| wrong())?;
        Duration::try_from(parsed).map(Span).map_err(|_| wrong())
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_micros();
        match micros {
            0 => f.write_str("0s"),
            n if n % 60_000_000 == 0 => write!(f, "{}m", n / 60_000_000),
            n if n % 1_000_000 == 0 => write!(f, "{}s", n / 1_000_000),
            n if n % 1_000 == 0 => write!(f, "{}ms", n / 1_000),
            n => write!(f, "{n}us"),
        }
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl JsonSchema for Span {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A duration with its unit: 100ms, 30s, 1m30s.",
            "pattern": "^([0-9]+(us|ms|s|m|h))+$"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_needs_a_unit() {
        assert_eq!("1m30s".parse::<Span>(), Ok(Span::seconds(90)));
        assert_eq!("100ms".parse::<Span>(), Ok(Span::millis(100)));
        for wrong in ["30", "", "-5s", "soon", "10 parsecs"] {
            assert!(wrong.parse::<Span>().is_err(), "{wrong:?} was taken");
        }
    }

    #[test]
    fn a_span_reads_what_it_writes() {
        for millis in [0, 1, 100, 1000, 1500, 60_000, 90_000] {
            let span = Span::millis(millis);
            assert_eq!(span.to_string().parse::<Span>(), Ok(span), "{span}");
        }
    }
}
