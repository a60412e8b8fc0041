//! How long answers took before, during and after the fault: a drawing of those that decide, and a table of all.

use maud::{Markup, html};
use recoup_model::{
    parts::PartResult,
    repetition::Length,
    spec::Part,
    verdict::{ExperimentResult, StreamResult},
};

use super::{
    lanes::Names,
    scale::{LEFT, RIGHT, WIDTH},
    svg::{bar, fit, line, n, text},
};
use crate::distributions::{NOTE, attempts, decisive, length, of_percent, time, word};

const TOP: f64 = 26.0;
const NAME: f64 = 22.0;
const ROW: f64 = 18.0;
/// More would be a wall: the table below has all.
const DRAWN: usize = 10;

/// Times on a logarithmic axis, from one power of ten to another.
struct Axis {
    from: i32,
    to: i32,
}

impl Axis {
    /// Wide enough for all of them.
    fn of(streams: &[&StreamResult]) -> Axis {
        let percentiles = streams.iter().flat_map(|stream| &stream.parts).flat_map(|part| &part.percentiles);
        let times = percentiles.flat_map(|found| [Some(found.estimate), found.low, found.high]);
        let seconds: Vec<f64> = times.flatten().map(|found| found.span().0.as_secs_f64().max(1e-5)).collect();
        let least = seconds.iter().copied().fold(f64::INFINITY, f64::min);
        let most = seconds.iter().copied().fold(1e-5, f64::max);
        let from = if least.is_finite() { least.log10().floor() as i32 } else { -3 };
        Axis { from, to: (most.log10().ceil() as i32).max(from + 1) }
    }

    fn x(&self, seconds: f64) -> f64 {
        let part = (seconds.max(1e-5).log10() - f64::from(self.from)) / f64::from(self.to - self.from);
        LEFT + part.clamp(0.0, 1.0) * (RIGHT - LEFT)
    }

    fn at(&self, found: Length) -> f64 {
        self.x(found.span().0.as_secs_f64())
    }
}

/// Drawing and table; nothing where no stream saw more than one part.
pub(super) fn distributions(experiment: &ExperimentResult, names: &Names) -> Markup {
    let streams: Vec<&StreamResult> = decisive(experiment);
    let any = experiment.streams.iter().any(|stream| stream.parts.len() > 1);
    html! {
        @if any {
            h3 { "How long answers took: before, during, after" }
            @if !streams.is_empty() { (drawing(experiment, &streams[..streams.len().min(DRAWN)], names)) }
            (table(experiment, &streams))
        }
    }
}

fn drawing(experiment: &ExperimentResult, streams: &[&StreamResult], names: &Names) -> Markup {
    let axis = Axis::of(streams);
    let height = |stream: &&StreamResult| NAME + ROW * stream.parts.len() as f64;
    let bottom = TOP + streams.iter().map(height).sum::<f64>() + 4.0;
    let label = format!("Times of answers of {}: the table below has the figures", experiment.id);
    let mut top = TOP;
    let placed: Vec<(f64, &&StreamResult)> = streams
        .iter()
        .map(|stream| {
            let at = top;
            top += height(stream);
            (at, stream)
        })
        .collect();
    html! {
        div.drawing {
            svg viewBox=(format!("0 0 {WIDTH} {}", n(bottom + 4.0))) role="img" aria-label=(label) {
                @for decade in axis.from..=axis.to {
                    @let seconds = 10_f64.powi(decade);
                    (line("grid", (axis.x(seconds), TOP), (axis.x(seconds), bottom)))
                    (text("tick", axis.x(seconds), TOP - 6.0, &time(seconds).replace(".0", "")))
                }
                (line("frame", (LEFT, TOP), (RIGHT, TOP)))
                @for (top, stream) in &placed {
                    (line("rule", (0.0, *top), (WIDTH, *top)))
                    (text("heading", 4.0, top + 16.0, &fit(&names.shorten(&stream.name), LEFT + 300.0)))
                    @for (row, part) in stream.parts.iter().enumerate() {
                        (boxed(part, &axis, top + NAME + ROW * row as f64))
                    }
                }
            }
        }
    }
}

/// A box from p50 to p99 with a tick at p90, and whiskers to the outer ends of their intervals.
fn boxed(part: &PartResult, axis: &Axis, top: f64) -> Markup {
    let (middle, height) = (top + ROW / 2.0, 10.0);
    let class = match part.part {
        Part::Before => "part before",
        Part::During => "part during",
        Part::After => "part after",
    };
    let percent = |percent| part.percent(percent);
    let (Some(p50), Some(p90), Some(p99)) = (percent(50), percent(90), percent(99)) else {
        return html! {
            (text("lane", LEFT - 10.0, middle + 4.0, word(part.part)))
            (text("aside", LEFT + 8.0, middle + 4.0, "no attempts"))
        };
    };
    let title = format!(
        "{}: p50 {}, p90 {}, p99 {}, of {} attempts",
        word(part.part),
        of_percent(part, 50),
        of_percent(part, 90),
        of_percent(part, 99),
        attempts(part)
    );
    let figures = [p50, p90, p99].map(|found| length(found.estimate).replace("more than ", ">")).join(" · ");
    let failed = if part.failed > 0 { format!(", {} failed", part.failed) } else { String::new() };
    let ends = (axis.at(p50.estimate), axis.at(p99.estimate));
    let open = matches!(p99.estimate, Length::MoreThan { .. });
    html! {
        g {
            title { (title) }
            (text("lane", LEFT - 10.0, middle + 4.0, word(part.part)))
            (bar(class, ends, (middle - height / 2.0, height), &title))
            @let (low, high) = (axis.at(p50.low.unwrap_or(p50.estimate)), axis.at(p99.high.unwrap_or(p99.estimate)));
            (line("whisker", (low, middle), (high, middle)))
            // An interval without an end has no cap.
            @if p50.low.is_some() { (line("whisker", (low, middle - 4.0), (low, middle + 4.0))) }
            @if p99.high.is_some() && !open { (line("whisker", (high, middle - 4.0), (high, middle + 4.0))) }
            @let tick = axis.at(p90.estimate);
            (line("p90", (tick, middle - 7.0), (tick, middle + 7.0)))
            @if open {
                @let end = ends.1.max(ends.0 + 2.5);
                path class=(class) d=(format!("M{} {}l8 6l-8 6Z", n(end), n(middle - 6.0))) {}
            }
            (text("figure", RIGHT + 10.0, middle + 4.0, &fit(&format!("{figures}{failed}"), WIDTH - RIGHT - 12.0)))
        }
    }
}

fn table(experiment: &ExperimentResult, streams: &[&StreamResult]) -> Markup {
    let drawn = streams.len().min(DRAWN);
    let all: Vec<&StreamResult> = experiment.streams.iter().filter(|stream| stream.parts.len() > 1).collect();
    html! {
        @if drawn > 0 {
            p.note {
                "A box reaches from p50 to p99 with a tick at p90, a whisker to the outer ends of the 95 % intervals; the axis is logarithmic."
                @if streams.len() > drawn { " Drawn are the " (drawn) " that became slowest, of " (streams.len()) " streams that decide." }
            }
        }
        details {
            summary { "The figures of all " (all.len()) " streams" }
            div.wide {
                table.figures {
                    thead { tr { th { "stream" } th { "part" } th { "attempts" } th { "p50 (95 %)" } th { "p90 (95 %)" } th { "p99 (95 %)" } } }
                    tbody {
                        @for stream in &all {
                            @for (row, part) in stream.parts.iter().enumerate() {
                                tr {
                                    td { @if row == 0 { code { (stream.name) } } }
                                    td { (word(part.part)) }
                                    td { (attempts(part)) }
                                    @for percent in [50, 90, 99] { td { (of_percent(part, percent)) } }
                                }
                            }
                        }
                    }
                }
            }
            p.note { (NOTE) }
        }
    }
}
