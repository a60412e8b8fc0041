//! `slowdown:` how much longer answers take than in the baseline.
//!
//! Both percentiles have intervals, and the verdict needs both: Fail where even the least that the percentile can be
//! is more than the factor allows over the most that the baseline's can be, Pass where even the most is no more than
//! it allows over the baseline's least. What lies between is Inconclusive; so is a percentile with too few attempts
//! for an interval (a p50 takes 6, a p90 36, a p99 368 in both parts). A growth by less than [`FLOOR`] is none,
//! whatever the ratio.

use std::time::Duration;

use crate::{
    assertion::Came,
    parts::{PartResult, of_part, parts},
    quantity::Factor,
    repetition::{Length, Percentile},
    spec::{Part, Slowdown},
    time::Span,
    timeline::{Series, Timeline},
    verdict::Verdict,
};

/// A growth by less means nothing: a p99 of 3 ms that becomes 12 ms is a collector of garbage, or a time slice that
/// went to somebody else, and on an idle machine every baseline is that short.
const FLOOR: Duration = Duration::from_millis(10);

pub(crate) fn slowdown(timeline: &Timeline, settings: &Slowdown) -> Came {
    let matching = timeline.matching(&settings.of);
    if matching.is_empty() {
        return Came::unknown(format!("no stream fits {:?} on this cluster", settings.of.0));
    }
    let parts = parts(timeline);
    let span = |wanted: Part| parts.iter().find(|span| span.part == wanted);
    let (Some(before), Some(part)) = (span(Part::Before), span(settings.during)) else {
        return Came::unknown(format!("there was no time {} the fault", word(settings.during)));
    };
    let mut worst: Option<(Came, f64)> = None;
    for series in matching {
        let (before, part) = (of_part(series, before), of_part(series, part));
        for (percent, most) in [(50, settings.p50), (90, settings.p90), (99, settings.p99)] {
            let Some(most) = most else { continue };
            let (came, ratio) = one(series, percent, most, &before, &part);
            let graver = |(known, last): &(Came, f64)| {
                (came.verdict, ratio)
                    .partial_cmp(&(known.verdict, *last))
                    .is_some_and(std::cmp::Ordering::is_gt)
            };
            if worst.as_ref().is_none_or(graver) {
                worst = Some((came, ratio));
            }
        }
    }
    worst.map_or_else(|| Came::unknown("no percentile was asked for"), |(came, _)| came)
}

pub(crate) fn word(part: Part) -> &'static str {
    match part {
        Part::Before => "before",
        Part::During => "during",
        Part::After => "after",
    }
}

/// One percentile of one stream, with the ratio by which the gravest is chosen.
fn one(series: &Series, percent: u8, most: Factor, before: &PartResult, part: &PartResult) -> (Came, f64) {
    let name = &series.stream.name;
    let (Some(base), Some(found)) = (before.percent(percent), part.percent(percent)) else {
        let missing = if before.percentiles.is_empty() { before.part } else { part.part };
        return (Came::unknown(format!("{name}: no attempt {} the fault", word(missing))), f64::INFINITY);
    };
    let ratio = seconds(found.estimate) / seconds(base.estimate).max(1e-6);
    let verdict = held(most, base, found);
    let mut detail = format!(
        "{name}: p{percent} {} {} the fault, {} before: {}; at most {most} allowed",
        told(found),
        word(part.part),
        told(base),
        times(base.estimate, found.estimate, ratio),
    );
    if part.failed > 0 {
        detail += &format!("; {} of {} attempts failed", part.failed, part.failed + part.answered);
    }
    if verdict == Verdict::Inconclusive {
        let few =
            [(before, base), (part, found)].into_iter().find(|(_, p)| p.low.is_none() || p.high.is_none());
        detail += &match few {
            Some((of, percentile)) => {
                let needs = percentile.needs;
                let takes = Span(series.stream.rate.period.0 * needs);
                format!(
                    "; too few attempts {} the fault ({}) for an interval: it takes {needs}, which come in {takes}",
                    word(of.part),
                    of.answered + of.failed
                )
            }
            None => "; too near to tell".to_owned(),
        };
    }
    (Came::new(verdict, detail), ratio)
}

/// What a factor allows over that time of the baseline.
fn allowed(factor: Factor, base: Duration) -> Duration {
    base.mul_f64(f64::from(factor.0) / 100.0).max(base + FLOOR)
}

fn held(factor: Factor, base: &Percentile, found: &Percentile) -> Verdict {
    // A failed attempt in the baseline has no upper bound, and one while the fault lasts has only a lower one.
    let upper = |length: Option<Length>| match length {
        Some(Length::Exactly { value } | Length::LessThan { value }) => Some(value.0),
        Some(Length::MoreThan { .. }) | None => None,
    };
    let lower = |length: Option<Length>| length.map(|length| length.span().0);
    let beyond = lower(found.low).zip(upper(base.high)).map(|(least, most)| least > allowed(factor, most));
    let within = upper(found.high).zip(lower(base.low)).map(|(most, least)| most <= allowed(factor, least));
    match (beyond, within) {
        (Some(true), _) => Verdict::Fail,
        (_, Some(true)) => Verdict::Pass,
        _ => Verdict::Inconclusive,
    }
}

fn seconds(length: Length) -> f64 {
    length.span().0.as_secs_f64()
}

fn times(base: Length, found: Length, ratio: f64) -> String {
    match (base, found) {
        (Length::Exactly { .. }, Length::Exactly { .. }) => format!("{ratio:.1} times as long"),
        (Length::Exactly { .. }, Length::MoreThan { .. }) => format!("more than {ratio:.1} times as long"),
        _ => "no ratio".to_owned(),
    }
}

fn length(length: Length) -> String {
    let text = match length.span().0.as_secs_f64() {
        s if s < 0.1 => format!("{:.1} ms", s * 1e3),
        s if s < 1.0 => format!("{:.0} ms", s * 1e3),
        s => format!("{s:.2} s"),
    };
    match length {
        Length::Exactly { .. } => text,
        Length::LessThan { .. } => format!("less than {text}"),
        Length::MoreThan { .. } => format!("more than {text}"),
    }
}

fn told(found: &Percentile) -> String {
    let end = |end: Option<Length>| end.map_or_else(|| "?".to_owned(), length);
    format!("{} ({} to {})", length(found.estimate), end(found.low), end(found.high))
}
