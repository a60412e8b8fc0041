//! What a setting buys: recovery time against the load of renewals, a point per variant.

use maud::{Markup, html};
use recoup_model::verdict::RunResult;

use super::svg::{line, n, text};
use crate::{
    repetition::{counted, of_percent, size},
    tradeoff::{NOTE, Point, Tradeoff, flags, median, rate, tradeoffs},
};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = WIDTH - 150.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = HEIGHT - 44.0;

/// All of a run; nothing where no experiment ran with different flags.
pub(super) fn compared(run: &RunResult) -> Markup {
    html! {
        @for one in &tradeoffs(run) {
            section {
                h2 {
                    (one.experiment) ": " (one.milestone) " against the load of renewals"
                    @if one.simulated { " " span.chip.sim { "SIMULATED" } }
                }
                div.dots { figure { figcaption { "Quicker is further down, cheaper further left." } (plot(one)) } }
                (table(one))
                p.note { (NOTE) }
            }
        }
    }
}

fn table(of: &Tradeoff<'_>) -> Markup {
    html! {
        div.wide {
            table {
                thead { tr { th { "variant" } th { "flags" } th { "trials" } th { (of.milestone) ", p50 (95 %)" } th { "p90 (95 %)" } th { "Lease writes" } } }
                tbody {
                    @for point in &of.points {
                        tr {
                            td { (point.variant) }
                            td { (flags(point)) }
                            td { (counted(&point.recovery)) }
                            @for percent in [50, 90] { td { (of_percent(&point.recovery, percent)) } }
                            td { (rate(point.renewals)) }
                        }
                    }
                }
            }
        }
    }
}

/// The plot's scales, both from zero.
struct Plot {
    rate: f64,
    seconds: f64,
}

impl Plot {
    fn x(&self, rate: f64) -> f64 {
        LEFT + (RIGHT - LEFT) * (rate / self.rate).clamp(0.0, 1.0)
    }

    fn y(&self, seconds: f64) -> f64 {
        BOTTOM - (BOTTOM - TOP) * (seconds / self.seconds).clamp(0.0, 1.0)
    }
}

fn plot(of: &Tradeoff<'_>) -> Markup {
    let drawn: Vec<(&Point<'_>, f64)> =
        of.points.iter().filter_map(|point| Some((point, point.renewals?.0))).collect();
    if drawn.is_empty() {
        return html! { p.note { "No API server told how many Leases were written: there is nothing to draw." } };
    }
    let most = |values: &mut dyn Iterator<Item = f64>| values.fold(0.01, f64::max) * 1.12;
    let rates = &mut of.points.iter().filter_map(|point| Some(point.renewals?.2));
    let times =
        &mut of.points.iter().filter_map(median).map(|(middle, _, high)| high.unwrap_or(middle).max(middle));
    let plot = Plot { rate: most(rates), seconds: most(times) };
    let label = format!("{} against Lease writes a second: the table below has the figures", of.milestone);
    html! {
        svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(label) {
            (line("frame", (LEFT, BOTTOM), (RIGHT, BOTTOM)))
            (line("frame", (LEFT, TOP), (LEFT, BOTTOM)))
            @for part in [0.25, 0.5, 0.75, 1.0] {
                @let (rate, seconds) = (plot.rate * part / 1.12, plot.seconds * part / 1.12);
                (line("grid", (plot.x(rate), TOP), (plot.x(rate), BOTTOM)))
                (line("grid", (LEFT, plot.y(seconds)), (RIGHT, plot.y(seconds))))
                (text("tick", plot.x(rate), BOTTOM + 15.0, &format!("{rate:.2}/s")))
                (text("tick", LEFT - 28.0, plot.y(seconds) + 4.0, &size(seconds)))
            }
            (text("tick", f64::midpoint(LEFT, RIGHT), BOTTOM + 34.0, "Lease writes a second, all API servers"))
            @for (point, rate) in &drawn { (dot(&plot, point, *rate)) }
        }
    }
}

fn dot(plot: &Plot, point: &Point<'_>, rate: f64) -> Markup {
    let Some((middle, low, high)) = median(point) else { return html! {} };
    let (x, y) = (plot.x(rate), plot.y(middle));
    let title = format!(
        "{}: {} at {}",
        point.variant,
        of_percent(&point.recovery, 50),
        crate::tradeoff::rate(point.renewals)
    );
    let cap = |at: Option<f64>| {
        html! { @if let Some(at) = at { (line("whisker", (x - 4.0, plot.y(at)), (x + 4.0, plot.y(at)))) } }
    };
    html! {
        g {
            title { (title) }
            (line("whisker", (x, plot.y(low.unwrap_or(middle))), (x, plot.y(high.unwrap_or(middle)))))
            (cap(low))
            (cap(high))
            circle class="dot" cx=(n(x)) cy=(n(y)) r="4.5" {}
            (text("value", x + 9.0, y + 4.0, point.variant))
        }
    }
}
