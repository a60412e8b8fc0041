//! How long answers took before, during and after the fault, in the words that all reports share.

use recoup_model::{
    parts::PartResult,
    repetition::{Length, Percentile},
    spec::Part,
    verdict::{ExperimentResult, StreamResult},
};

/// What every such table needs beside it.
pub(crate) const NOTE: &str = "Times are those of answers, counted from when the attempt was due; in brackets are \
    95 % confidence intervals by order statistics, open (“?”) where there are too few attempts: a p50 takes 6, a p90 \
    36 and a p99 368. A failed attempt counts as slower than any answer. Before is the baseline, during is while the \
    fault lasts (for a kill: until all has come back), after begins a window of stability behind the last undo.";

/// A part of the experiment in a word.
pub(crate) fn word(part: Part) -> &'static str {
    match part {
        Part::Before => "before",
        Part::During => "during",
        Part::After => "after",
    }
}

/// A time with a digit more below ten milliseconds.
pub(crate) fn time(seconds: f64) -> String {
    match seconds {
        s if s < 0.000_95 => format!("{:.0} µs", s * 1e6),
        s if s < 0.009_95 => format!("{:.1} ms", s * 1e3),
        s if s < 0.999_5 => format!("{:.0} ms", s * 1e3),
        s => format!("{s:.1} s"),
    }
}

/// A length as far as it is known.
pub(crate) fn length(found: Length) -> String {
    let text = time(found.span().0.as_secs_f64());
    match found {
        Length::Exactly { .. } => text,
        Length::LessThan { .. } => format!("less than {text}"),
        Length::MoreThan { .. } => format!("more than {text}"),
    }
}

/// A percentile with its interval: `4.2 ms (4.0 ms to 4.5 ms)`.
pub(crate) fn percentile(found: &Percentile) -> String {
    let end = |end: Option<Length>| end.map_or_else(|| "?".to_owned(), length);
    format!("{} ({} to {})", length(found.estimate), end(found.low), end(found.high))
}

/// One of a part's percentiles; a dash where nothing was attempted.
pub(crate) fn of_percent(part: &PartResult, percent: u8) -> String {
    part.percent(percent).map_or_else(|| "–".to_owned(), percentile)
}

/// How many attempts there were, and how many failed.
pub(crate) fn attempts(part: &PartResult) -> String {
    let all = part.answered + part.failed;
    if part.failed == 0 { all.to_string() } else { format!("{all} ({} failed)", part.failed) }
}

/// How many times as long a stream's p90 is while the fault lasts; none where too many failed for it, or nothing was
/// attempted.
fn growth(stream: &StreamResult) -> Option<f64> {
    let p90 = |part: Part| match stream.parts.iter().find(|found| found.part == part)?.percent(90)?.estimate {
        Length::Exactly { value } => Some(value.0.as_secs_f64()),
        Length::LessThan { .. } | Length::MoreThan { .. } => None,
    };
    Some(p90(Part::During)? / p90(Part::Before)?.max(1e-6))
}

/// The streams that decide and saw more than one part: those that became slowest before the others.
pub(crate) fn decisive(experiment: &ExperimentResult) -> Vec<&StreamResult> {
    let streams = experiment.decisive.iter();
    let streams = streams.filter_map(|name| experiment.streams.iter().find(|stream| stream.name == *name));
    let seen =
        |stream: &&StreamResult| stream.parts.iter().filter(|part| !part.percentiles.is_empty()).count() > 1;
    let mut found: Vec<&StreamResult> = streams.filter(seen).collect();
    let rank = |stream: &StreamResult| growth(stream).unwrap_or(0.0);
    found.sort_by(|a, b| rank(b).total_cmp(&rank(a)));
    found
}

/// Growth by less is none, in times and in seconds: as for metrics, and as for `slowdown:`.
const LEAST: (f64, f64) = (2.0, 0.01);

/// The streams whose answers became slower, with how many times; the slowest first. What failed is told as an outage.
fn slower(experiment: &ExperimentResult) -> Vec<(&StreamResult, f64)> {
    let grown = |stream: &StreamResult, ratio: f64| {
        let before = stream.parts.iter().find(|part| part.part == Part::Before)?.percent(90)?;
        Some(before.estimate.span().0.as_secs_f64() * (ratio - 1.0))
    };
    decisive(experiment)
        .into_iter()
        .filter_map(|stream| Some((stream, growth(stream)?)))
        .filter(|(stream, ratio)| {
            *ratio > LEAST.0 && grown(stream, *ratio).is_some_and(|seconds| seconds > LEAST.1)
        })
        .collect()
}

/// How much slower answers became, in one sentence; none where none did.
pub(crate) fn line(experiment: &ExperimentResult) -> Option<String> {
    let slower = slower(experiment);
    let (worst, ratio) = slower.first()?;
    let others = match slower.len() {
        1 => String::new(),
        2 => "; one other stream that decides was slower too".to_owned(),
        n => format!("; {} others of those that decide were slower too", n - 1),
    };
    let part = |wanted| worst.parts.iter().find(|found| found.part == wanted);
    let (before, during) = (part(Part::Before)?.percent(90)?, part(Part::During)?.percent(90)?);
    Some(format!(
        "Slower while the fault lasted: {} p90 {} after {} before ({ratio:.1}x){others}.",
        worst.name,
        length(during.estimate),
        length(before.estimate),
    ))
}
