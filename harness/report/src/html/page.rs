//! The page: the run's verdict, the matrix of experiments, then each experiment.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use recoup_model::{
    topology::{Fingerprint, NodeRole},
    verdict::{ExperimentResult, RunResult, Verdict},
};

use super::{
    distributions::distributions,
    lanes::Names,
    load::loads,
    metrics::metrics,
    oracles::oracles,
    predictions::predictions,
    repetition::trials,
    scale::Scale,
    tables::{changes, chip, class, conditions, evidence, streams},
    timeline::timeline,
    tradeoff::compared,
    waterfall::waterfall,
};
use crate::{
    figures::{self, Counts, SIMULATED},
    repetition::{Group, mark as trial, trials as tried},
};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("hover.js");

/// Nothing may be fetched, whatever a record's texts say.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

/// All of it.
pub(super) fn page(run: &RunResult) -> Markup {
    let simulated = figures::simulated(run);
    let names = Names::of(run);
    let groups = Group::all(run);
    let mark = if simulated { "SIMULATED " } else { "" };
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (mark) "recoup: " (run.verdict()) " (" (Counts::of(run)) ")" }
                style { (PreEscaped(STYLE)) }
            }
            body class=(if simulated { "simulated" } else { "real" }) {
                @if simulated {
                    div.banner role="alert" { (SIMULATED) }
                    div.watermark aria-hidden="true" { "SIMULATED" }
                }
                main {
                    (head(run))
                    (compared(run))
                    @for group in &groups {
                        @if let Some(repetition) = group.repetition { (trials(run, group, repetition)) }
                        @for (place, experiment) in group.told() {
                            (section(place + 1, experiment, &trial(run, experiment), &names))
                        }
                    }
                    (foot(run))
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    }
}

/// The run: verdict, counts, clusters, matrix.
fn head(run: &RunResult) -> Markup {
    let verdict = run.verdict();
    let total = run.experiments.len();
    let words = verdict_of_run(run);
    let words = if figures::simulated(run) { format!("in the model, {words}") } else { words };
    html! {
        header {
            h1 { (chip(verdict)) " " (figures::sentence(&words)) }
            p.counts {
                (total) (ran_what(run)) ": " (Counts::of(run)) "."
            }
            @if run.incomplete {
                p.warning { "The run was interrupted, or its record is cut: experiments may be missing." }
            }
            @for cluster in &run.clusters { (fingerprint(cluster)) }
            p.quiet {
                "recoup " (run.recoup) ", run " code { (run.run) } ", started " time datetime=(run.started) { (run.started) }
                ", seed " (run.seed)
                @if let Some(overhead) = figures::overhead_line(run) { "; " (overhead) }
                "."
            }
        }
        @if total > 1 { (matrix(run)) }
    }
}

/// What the counts are counts of.
fn ran_what(run: &RunResult) -> String {
    let experiments = Group::all(run).len();
    match run.experiments.len() {
        1 => " experiment".into(),
        all if all == experiments => " experiments".into(),
        _ if experiments == 1 => " trials of one experiment".into(),
        _ => format!(" trials of {experiments} experiments"),
    }
}

/// The run's verdict in words.
fn verdict_of_run(run: &RunResult) -> String {
    let counts = Counts::of(run);
    let ran = run.experiments.len() - counts.skipped;
    let what = if run.repetitions.is_empty() { "experiments" } else { "trials" };
    match run.verdict() {
        Verdict::Pass => "everything that ran recovered as required".into(),
        Verdict::Fail => {
            format!("the cluster did not recover as required in {} of {ran} {what}", counts.failed)
        }
        Verdict::Inconclusive => format!("no verdict on {} of {ran} {what}", counts.inconclusive),
        Verdict::Skipped => "nothing was run".into(),
    }
}

/// What the figures must be seen beside.
fn fingerprint(cluster: &Fingerprint) -> Markup {
    let count = |role| cluster.with_role(role).count();
    let made = if cluster.simulated() { "simulated" } else { "kind" };
    html! {
        dl.fingerprint {
            (fact("cluster", &format!("{} ({made}, profile {})", cluster.cluster, cluster.profile)))
            (fact("Kubernetes", &cluster.kubernetes))
            (fact("nodes", &format!(
                "{} control planes, {} workers", count(NodeRole::ControlPlane), count(NodeRole::Worker)
            )))
            (fact("etcd", &cluster.etcd))
            (fact("load balancer", &cluster.load_balancer))
            (fact("runtime", &cluster.runtime))
            (fact(if cluster.simulated() { "model" } else { "kind" }, &cluster.kind))
            (fact("image", &cluster.image))
            (fact("machine", &format!("{} CPUs, kernel {}", cluster.cpus, cluster.kernel)))
        }
    }
}

fn fact(name: &str, value: &str) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

/// One line per experiment, with the part of its budget that the slowest milestone used.
fn matrix(run: &RunResult) -> Markup {
    html! {
        div.wide {
            table.matrix {
                thead { tr { th { "verdict" } th { "experiment" } th { "what happened" } th { "most of a budget used" } } }
                tbody {
                    @for group in Group::all(run) {
                        @if let (Some(worst), Some((place, _))) = (group.worst(), group.trials.first()) {
                            tr {
                                td { (chip(worst.verdict)) }
                                td {
                                    @let kind = if group.repetition.is_some() { "r" } else { "e" };
                                    a href=(format!("#{kind}{}", place + 1)) { (worst.id) }
                                    @if let Some(repetition) = group.repetition { br; span.quiet { (tried(repetition)) } }
                                }
                                td {
                                    @if group.repetition.is_some() { span.quiet { "Trial " (worst.trial) ": " } }
                                    (figures::answer(worst))
                                }
                                td { (most_used(&group)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A small bar: how near the tightest milestone came to its budget.
fn most_used(group: &Group) -> Markup {
    let used = group.trials.iter().filter_map(|(_, trial)| figures::tightest(trial));
    let Some((used, interval)) = used.max_by(|a, b| a.0.total_cmp(&b.0)) else {
        return html! { span.quiet { "–" } };
    };
    let percent = (used * 100.0).round();
    // The box ends at twice the budget, so that too much can be seen as such.
    let width = (used * 50.0).clamp(1.0, 100.0);
    html! {
        svg.used viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true" {
            rect class="usedbox" x="0" y="2" width="100" height="6" {}
            rect class=(format!("bar {}", class(interval.verdict))) x="0" y="2" width=(format!("{width:.1}")) height="6" {}
            line class="budget" x1="50" x2="50" y1="0" y2="10" {}
        }
        " " (percent) " % " span.quiet { "(" (interval.milestone.name) ")" }
    }
}

/// One experiment.
fn section(number: usize, experiment: &ExperimentResult, trial: &str, names: &Names) -> Markup {
    let scale = Scale::of(experiment);
    let ran = experiment.verdict != Verdict::Skipped;
    // The first reason of what came to no verdict is the answer already.
    let told = usize::from(matches!(experiment.verdict, Verdict::Skipped | Verdict::Inconclusive));
    html! {
        section class=(class(experiment.verdict)) id=(format!("e{number}")) {
            h2 {
                (chip(experiment.verdict)) " " (experiment.id) (trial)
                @if experiment.simulated { " " span.chip.sim { "SIMULATED" } }
            }
            p.answer { (figures::answer(experiment)) }
            p.hypothesis { span.quiet { "Believed: " } (figures::sentence(&experiment.hypothesis)) }
            @if experiment.reasons.len() > told {
                ul.reasons { @for reason in experiment.reasons.iter().skip(told) { li { (reason) } } }
            }
            @for line in figures::tries(experiment) { p.note { (figures::sentence(&line)) } }
            @for note in &experiment.notes { p.note { "Before: " (note) } }
            @if ran {
                @if !experiment.intervals.is_empty() {
                    h3 { "How long it took" }
                    (waterfall(experiment, &scale))
                }
                @if !experiment.streams.is_empty() || !experiment.states.is_empty() || !experiment.bands.is_empty() {
                    h3 { "Who saw what" }
                    (timeline(experiment, &scale, names))
                }
                (distributions(experiment, names))
                (metrics(experiment, names))
                (loads(experiment))
                (evidence(experiment, &scale))
                (conditions(experiment))
                (predictions(experiment))
                (oracles(experiment))
                (changes(experiment, &scale))
                (streams(experiment))
                @if let Some(machine) = &experiment.machine { p.quiet { "From the fault to the end: " (machine) } }
            }
        }
    }
}

/// How to read it.
fn foot(run: &RunResult) -> Markup {
    html! {
        footer {
            h3 { "How to read this" }
            ul {
                li { "Times count from the moment the first fault took effect; “from the undo”, from when the last one was undone." }
                li { "A bar of the upper drawing ends when the milestone came. The thin line across its end is the error bound: probes ask at intervals, the truth lies within. The upright tick is the budget. A bar with an arrow's head had not ended when observation did." }
                li { "A bar of the lower drawing is a time in which every attempt from that point of view failed. Point at it to see why. Recovery counts from the start of the first stable window, so a flap does not end it." }
                li { "Inconclusive says nothing about the cluster: the fault was not shown to take effect, there were too few attempts, or the harness failed." }
            }
            @if figures::simulated(run) { p.warning { (SIMULATED) } }
        }
    }
}
