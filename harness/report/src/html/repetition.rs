//! All trials of an experiment: a table of percentiles, and a dot per trial.

use maud::{Markup, html};
use recoup_model::{
    repetition::{Distribution, Repetition, counts},
    verdict::{ExperimentResult, Interval, Measure, RunResult, Verdict},
};

use super::{
    svg::{line, n, text},
    tables::{chip, class},
};
use crate::{
    figures,
    repetition::{self, Group},
};

const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 150.0;
/// The plot's edges: times stand left of it, trials' numbers below.
const LEFT: f64 = 52.0;
const RIGHT: f64 = WIDTH - 10.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = HEIGHT - 22.0;
/// A budget or a prediction is drawn up to this many times the longest trial.
const REACH: f64 = 1.6;

/// The section; trials that are told in full follow it.
pub(super) fn trials(run: &RunResult, group: &Group, found: &Repetition) -> Markup {
    let worst = group.worst().map_or(Verdict::Skipped, |worst| worst.verdict);
    let place = group.trials.first().map_or(0, |(place, _)| *place);
    let told: Vec<(usize, &ExperimentResult)> = group.told().collect();
    html! {
        section class=(class(worst)) id=(format!("r{}", place + 1)) {
            h2 {
                (chip(worst)) " " (found.id) ", " (found.trials) " trials"
                @if found.simulated { " " span.chip.sim { "SIMULATED" } }
            }
            p.answer { (figures::sentence(&found.verdicts.to_string())) }
            @if let Some(line) = repetition::left_out(found) { p.warning { (line) } }
            @if !found.milestones.is_empty() {
                h3 { "How long it took, over all trials" }
                (table(found))
                div.dots {
                    @for milestone in found.milestones.iter().filter(|m| m.n > 0) { (drawing(group, milestone)) }
                }
                p.note { (repetition::NOTE) }
                @if repetition::by_survival(found) { p.note { (repetition::CENSORED) } }
                p.note { (repetition::DRIFT) }
            }
            p.note {
                "In full below: "
                @for (n, (place, trial)) in told.iter().enumerate() {
                    @if n > 0 { ", " }
                    a href=(format!("#e{}", place + 1)) { "trial " (trial.trial) } " (" (trial.verdict) ")"
                }
                ". The others are in results.json of run " code { (run.run) } "."
            }
        }
    }
}

fn table(found: &Repetition) -> Markup {
    html! {
        div.wide {
            table {
                thead {
                    tr {
                        th { "milestone" } th { "n" } th { "p50 (95 %)" } th { "p90 (95 %)" } th { "p99 (95 %)" }
                        th { "shortest to longest" } th { "drift" }
                    }
                }
                tbody {
                    @for milestone in &found.milestones {
                        @let drift = repetition::drift(milestone.drift.as_ref(), milestone.n);
                        tr {
                            td { (milestone.name) }
                            td { (repetition::counted(milestone)) }
                            @for percent in [50, 90, 99] { td { (repetition::of_percent(milestone, percent)) } }
                            td { (repetition::extremes(milestone)) }
                            td {
                                @if milestone.drift.is_some_and(|drift| drift.flagged) { b { "! " (drift) } }
                                @else { (drift) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A milestone's place in the drawing: trials to the right, seconds upwards from 0.
struct Plot {
    last: f64,
    longest: f64,
}

impl Plot {
    fn x(&self, trial: u32) -> f64 {
        LEFT + 10.0 + (RIGHT - LEFT - 20.0) * (f64::from(trial) - 1.0) / (self.last - 1.0).max(1.0)
    }

    fn y(&self, seconds: f64) -> f64 {
        BOTTOM - (BOTTOM - TOP) * (seconds / self.longest).clamp(0.0, 1.0)
    }
}

/// The number that a measure is drawn at.
fn seconds(measure: &Measure) -> Option<f64> {
    match measure {
        Measure::Measured { value, .. } => Some(value.0.as_secs_f64()),
        Measure::NotSeen { resolution } => Some(resolution.0.as_secs_f64()),
        Measure::Censored { more_than } => Some(more_than.0.as_secs_f64()),
        Measure::Unknown => None,
    }
}

/// A dot per trial that counts, an arrow where a value is known on one side only.
fn drawing(group: &Group, milestone: &Distribution) -> Markup {
    let trials = group.trials.iter().map(|(_, trial)| *trial).filter(|trial| counts(trial));
    let points: Vec<(u32, &Interval)> = trials
        .flat_map(|trial| trial.intervals.iter().map(move |interval| (trial.trial, interval)))
        .filter(|(_, interval)| interval.milestone.name == milestone.name)
        .collect();
    let longest = points.iter().filter_map(|(_, i)| seconds(&i.measure)).fold(0.001, f64::max);
    let prediction = points.iter().find_map(|(_, i)| i.prediction.as_ref());
    let predicted = prediction.map(|p| (p.low.0.as_secs_f64(), p.high.0.as_secs_f64()));
    let budget = points.iter().find_map(|(_, i)| i.budget()).map(|budget| budget.0.as_secs_f64());
    let limits = [predicted.map(|(_, high)| high), budget];
    let drawn =
        limits.iter().flatten().filter(|limit| **limit <= longest * REACH).fold(longest, |a, b| a.max(*b));
    let last = group.trials.iter().map(|(_, trial)| trial.trial).max().unwrap_or(1);
    let plot = Plot { last: f64::from(last), longest: drawn * 1.08 };
    let middle =
        milestone.percentiles.iter().find(|p| p.percent == 50).map(|p| p.estimate.span().0.as_secs_f64());
    let label = format!("{} by trial: the table above has the figures", milestone.name);
    html! {
        figure {
            figcaption { (milestone.name) }
            svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(label) {
                @if let Some((low, high)) = predicted {
                    @let (top, bottom) = (plot.y(high), plot.y(low));
                    rect class="predicted" x=(n(LEFT)) y=(n(top)) width=(n(RIGHT - LEFT)) height=(n(bottom - top)) {
                        title { "predicted " (repetition::size(low)) " to " (repetition::size(high)) }
                    }
                }
                (line("frame", (LEFT, BOTTOM), (RIGHT, BOTTOM)))
                (line("frame", (LEFT, TOP), (LEFT, BOTTOM)))
                (text("tick", LEFT - 18.0, BOTTOM + 4.0, "0"))
                (text("tick", 22.0, plot.y(longest) + 4.0, &repetition::size(longest)))
                (text("tick", plot.x(1), BOTTOM + 16.0, "1"))
                @if last > 1 { (text("tick", plot.x(last), BOTTOM + 16.0, &last.to_string())) }
                @if let Some(at) = budget.filter(|at| *at <= plot.longest) {
                    g { title { "budget " (repetition::size(at)) } (line("budget", (LEFT, plot.y(at)), (RIGHT, plot.y(at)))) }
                }
                @if let Some(at) = middle { (line("middle", (LEFT, plot.y(at)), (RIGHT, plot.y(at)))) }
                @for (trial, interval) in &points {
                    @if let Some(at) = seconds(&interval.measure) { (point(&plot, *trial, at, interval)) }
                }
            }
        }
    }
}

fn point(plot: &Plot, trial: u32, at: f64, interval: &Interval) -> Markup {
    let (x, y) = (plot.x(trial), plot.y(at));
    let promised = figures::budget(interval).is_some();
    let style = format!("dot {}", if promised { class(interval.verdict) } else { "plain" });
    let title = format!("trial {trial}: {}", figures::long(&interval.measure));
    // Pointing to where the truth lies.
    let arrow = |up: f64| format!("M{} {}L{} {}L{} {}Z", n(x - 4.5), n(y), n(x + 4.5), n(y), n(x), n(y - up));
    match interval.measure {
        Measure::Censored { .. } => html! { path class=(style) d=(arrow(9.0)) { title { (title) } } },
        Measure::NotSeen { .. } => html! { path class=(style) d=(arrow(-9.0)) { title { (title) } } },
        _ => html! { circle class=(style) cx=(n(x)) cy=(n(y)) r="3.6" { title { (title) } } },
    }
}
