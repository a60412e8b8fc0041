//! The tables of an experiment: evidence, conditions, streams, changes of state.

use maud::{Markup, html};
use recoup_model::verdict::{ExperimentResult, StateLane, Verdict};

use super::scale::Scale;
use crate::figures;

/// A verdict as a word with its sign.
pub(super) fn chip(verdict: Verdict) -> Markup {
    html! {
        span class=(format!("chip {}", class(verdict))) {
            span aria-hidden="true" { (figures::sign(verdict)) } " " (verdict)
        }
    }
}

/// A verdict's style class.
pub(super) fn class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Skipped => "skipped",
        Verdict::Inconclusive => "inconclusive",
        Verdict::Fail => "fail",
    }
}

/// What was done, and what shows that it took effect.
pub(super) fn evidence(experiment: &ExperimentResult, scale: &Scale) -> Markup {
    html! {
        @if !experiment.bands.is_empty() {
            h3 { "Did the fault take effect?" }
            ul.evidence {
                @for band in &experiment.bands {
                    li {
                        (band.description)
                        " " span.quiet {
                            "at " (moment(scale.seconds(band.from)))
                            @if let Some(to) = band.to { ", undone at " (moment(scale.seconds(to))) }
                        }
                        ul {
                            @for (check, effective, seen) in &band.evidence {
                                @let sign = figures::sign(if *effective { Verdict::Pass } else { Verdict::Fail });
                                @let word = if *effective { "yes" } else { "no" };
                                li {
                                    span class=(if *effective { "pass" } else { "fail" }) { (sign) " " (word) }
                                    ": " (check) " " span.quiet { (seen) }
                                }
                            }
                            // Where there is a verdict, this step needed none.
                            @if band.evidence.is_empty() && experiment.verdict == Verdict::Inconclusive {
                                li { "? no evidence was gathered" }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Milestones and assertions with their figures: what the drawings show, as text.
pub(super) fn conditions(experiment: &ExperimentResult) -> Markup {
    html! {
        @if !experiment.intervals.is_empty() || !experiment.assertions.is_empty() {
            h3 { "What was required" }
            div.wide {
                table {
                    thead { tr { th { "verdict" } th { "condition" } th { "measured (error bound)" } th { "allowed" } th { "in words" } } }
                    tbody {
                        @for interval in &experiment.intervals {
                            @let limit = figures::budget(interval);
                            @let promised = limit.is_some();
                            tr {
                                td { @if promised { (chip(interval.verdict)) } @else { span.quiet { "for information" } } }
                                td { (interval.milestone.name) }
                                td { (figures::long(&interval.measure)) }
                                td.short { (limit.unwrap_or_else(|| "–".into())) }
                                td { (figures::remark(&interval.detail, Some(&interval.measure))) }
                            }
                        }
                        @for checked in &experiment.assertions {
                            tr {
                                td { (chip(checked.verdict)) }
                                td { (checked.name) }
                                td { (checked.measure.as_ref().map_or_else(|| "–".into(), figures::long)) }
                                td { "–" }
                                td { (figures::remark(&checked.detail, checked.measure.as_ref())) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Every point of view with its figures, folded.
pub(super) fn streams(experiment: &ExperimentResult) -> Markup {
    let time =
        |span: Option<recoup_model::time::Span>| span.map_or_else(|| "–".into(), |s| figures::seconds(s.0));
    html! {
        @if !experiment.streams.is_empty() {
            details {
                summary { "All " (experiment.streams.len()) " points of view, with latencies" }
                div.wide {
                    table.figures {
                        thead {
                            tr {
                                th { "stream" } th { "every" } th { "p50" } th { "p99" } th { "attempts" }
                                th { "failed" } th { "lost" } th { "outages" } th { "longest" }
                            }
                        }
                        tbody {
                            @for stream in &experiment.streams {
                                tr {
                                    td { code { (stream.name) } }
                                    td { (figures::chosen(stream.period)) }
                                    td { (time(stream.p50)) }
                                    td { (time(stream.p99)) }
                                    td { (stream.attempts) }
                                    td { (stream.failed) }
                                    td { (stream.lost) }
                                    td { (stream.outages.len()) }
                                    td {
                                        (figures::longest(stream, experiment).map_or_else(
                                            || "–".into(),
                                            |o| figures::seconds(figures::length(o, experiment.ended)),
                                        ))
                                    }
                                }
                            }
                        }
                    }
                }
                p.note {
                    "Latencies are those of good answers in the undisturbed baseline. Lost attempts are the observer's own and count neither way."
                }
            }
        }
    }
}

/// Changes of state as text, folded: the drawing may have no room for a short one's name.
pub(super) fn changes(experiment: &ExperimentResult, scale: &Scale) -> Markup {
    let moved = |lane: &&StateLane| lane.spans.len() > 1;
    html! {
        @if experiment.states.iter().any(|lane| moved(&lane)) {
            details {
                summary { "Changes of state, in words" }
                ul {
                    @for lane in experiment.states.iter().filter(moved) {
                        li {
                            b { (lane.name) } ": "
                            @for (at, span) in lane.spans.iter().enumerate() {
                                @if at > 0 { " → " }
                                (span.value) " "
                                span.quiet { (moment(scale.seconds(span.from))) " to " (moment(scale.seconds(span.to))) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A moment as the drawings' axis counts it.
pub(super) fn moment(seconds: f64) -> String {
    format!("{seconds:+.2} s")
}
