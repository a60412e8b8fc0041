//! The waterfall: each milestone as a bar from the moment it is counted from.

use maud::{Markup, html};
use recoup_model::{
    spec::Since,
    verdict::{ExperimentResult, Interval, Measure, Verdict},
};

use super::{
    scale::{LEFT, RIGHT, Scale, WIDTH},
    svg::{axis, bar, fit, line, n, text, text_width},
};
use crate::{figures, predicted};

const TOP: f64 = 30.0;
const ROW: f64 = 30.0;
/// Written into a bar that has no end.
const MISSING: &str = "still missing when observation ended";

/// The drawing; nothing where there are no milestones.
pub(super) fn waterfall(experiment: &ExperimentResult, scale: &Scale) -> Markup {
    if experiment.intervals.is_empty() {
        return html! {};
    }
    let bottom = TOP + ROW * experiment.intervals.len() as f64 + 4.0;
    let label = format!("Waterfall of {}: the table below it has the same figures", experiment.id);
    html! {
        div.drawing {
            svg viewBox=(format!("0 0 {WIDTH} {}", n(bottom + 4.0))) role="img" aria-label=(label) data-axis=(scale.data()) {
                (axis(scale, TOP, bottom))
                @for (row, interval) in experiment.intervals.iter().enumerate() {
                    (milestone(interval, scale, TOP + ROW * row as f64))
                }
            }
        }
    }
}

/// One row.
fn milestone(interval: &Interval, scale: &Scale, top: f64) -> Markup {
    let (bar_top, height, middle) = (top + 7.0, 16.0, top + 15.0);
    let start = scale.x(interval.from);
    let counted = match interval.since() {
        Since::Fault => "",
        Since::Undo => " (from the undo)",
    };
    let name = format!("{}{counted}", interval.milestone.name);
    let limit = figures::budget(interval);
    let verdict = if limit.is_some() { figures::sign(interval.verdict) } else { "" };
    let tone = tone(interval, limit.is_some());
    let title = format!(
        "{name}: {}{}",
        figures::long(&interval.measure),
        limit.as_ref().map(|l| format!("; {l}")).unwrap_or_default()
    );
    let figure = match limit {
        Some(limit) => format!("{} · {limit}", figures::short(&interval.measure)),
        None => figures::short(&interval.measure),
    };
    html! {
        g {
            title { (title) }
            (line("rule", (0.0, top), (WIDTH, top)))
            (text("lane", LEFT - 10.0, middle + 4.5, &fit(&name, LEFT - 16.0)))
            (band(interval, scale, bar_top, height))
            @match interval.measure {
                Measure::Measured { value, low, high } => {
                    @let end = scale.x(interval.from.plus(value.0));
                    @let (low, high) = (scale.x(interval.from.plus(low.0)), scale.x(interval.from.plus(high.0)));
                    (bar(&format!("bar {tone}"), (start, end), (bar_top, height), &title))
                    (line("whisker", (low, middle), (high, middle)))
                    (line("whisker", (low, middle - 5.0), (low, middle + 5.0)))
                    (line("whisker", (high, middle - 5.0), (high, middle + 5.0)))
                }
                Measure::Censored { more_than } => {
                    @let end = scale.x(interval.from.plus(more_than.0)).max(start + 14.0);
                    (bar(&format!("bar open {tone}"), (start, end - 10.0), (bar_top, height), &title))
                    path class=(format!("arrow {tone}") ) d=(arrow(end, bar_top, height)) {}
                    (text("inside", clear(interval, scale, start, end), middle + 4.5, &fit(MISSING, end - start - 20.0)))
                }
                Measure::NotSeen { .. } => (text("aside", start + 8.0, middle + 4.5, &figures::long(&interval.measure))),
                Measure::Unknown => (text("aside", start + 8.0, middle + 4.5, "could not be measured")),
            }
            (limits(interval, scale, bar_top, height))
            (text(&format!("sign {tone}"), RIGHT + 10.0, middle + 4.5, verdict))
            (text("figure", RIGHT + 26.0, middle + 4.5, &fit(&figure, WIDTH - RIGHT - 28.0)))
        }
    }
}

/// The predicted interval, behind the bar; what lies beyond the drawing is cut off at its edge.
fn band(interval: &Interval, scale: &Scale, top: f64, height: f64) -> Markup {
    let Some(prediction) = &interval.prediction else { return html! {} };
    let ends =
        (scale.x(interval.from.plus(prediction.low.0)), scale.x(interval.from.plus(prediction.high.0)));
    let title = format!("predicted {}", predicted::bounds(prediction));
    bar("predicted", ends, (top - 5.0, height + 10.0), &title)
}

/// Where a text in an open bar is clear of the budget's tick.
fn clear(interval: &Interval, scale: &Scale, start: f64, end: f64) -> f64 {
    let wide = text_width(MISSING) + 10.0;
    let tick = interval.budget().map_or(start, |within| scale.x(interval.from.plus(within.0)));
    if tick < start + wide && tick + wide < end - 10.0 { tick + 8.0 } else { start + 8.0 }
}

/// Earliest and latest allowed, as ticks over the row; an arrow at the edge where the budget lies beyond it.
fn limits(interval: &Interval, scale: &Scale, top: f64, height: f64) -> Markup {
    let tick = |at, class: &str, what: &str| {
        let x = scale.x(at);
        html! {
            g {
                title { (what) }
                (line(class, (x, top - 4.0), (x, top + height + 4.0)))
            }
        }
    };
    html! {
        @if let Some(least) = interval.milestone.at_least {
            (tick(interval.from.plus(least.0), "budget least", &format!("not before {}", figures::chosen(least))))
        }
        @if let Some(within) = interval.budget() {
            @let at = interval.from.plus(within.0);
            @if scale.beyond(at) {
                @let note = format!("budget {} ▸", figures::chosen(within));
                (text("beyond", RIGHT - 4.0, top + height - 4.0, &note))
            } @else {
                (tick(at, "budget", &format!("budget {}", figures::chosen(within))))
            }
        }
    }
}

/// The head of a bar that is still open.
fn arrow(end: f64, top: f64, height: f64) -> String {
    let (base, middle) = (end - 10.0, top + height / 2.0);
    format!("M{} {}L{} {}L{} {}Z", n(base), n(top - 3.0), n(end), n(middle), n(base), n(top + height + 3.0))
}

/// The style of a bar: by its verdict, plain where nothing was promised.
fn tone(interval: &Interval, promised: bool) -> &'static str {
    match interval.verdict {
        _ if !promised => "plain",
        Verdict::Pass => "pass",
        Verdict::Skipped => "plain",
        Verdict::Inconclusive => "inconclusive",
        Verdict::Fail => "fail",
    }
}
