//! `summary.md`: what a reviewer reads in a job's summary.

use std::fmt::Write;

use recoup_model::{
    repetition::Repetition,
    verdict::{ExperimentResult, RunResult, Verdict},
};

use crate::{
    figures::{self, Counts, SIMULATED},
    load, predicted,
    repetition::{self, Group},
    sections,
};

/// A Markdown summary, fit for a job summary on GitHub: a table of the experiments, then what did not pass.
#[must_use]
pub fn summary(run: &RunResult) -> String {
    let mut out = String::new();
    let simulated = figures::simulated(run);
    if simulated {
        out += &format!("> **{SIMULATED}**\n\n");
    }
    let mark = if simulated { "SIMULATED " } else { "" };
    out += &format!("## recoup: {} {mark}{}\n\n", figures::sign(run.verdict()), run.verdict());
    out += &format!("{}.", Counts::of(run));
    if run.incomplete {
        out += " **The run was interrupted, or its record is cut: experiments may be missing.**";
    }
    out += "\n\n";
    if !run.experiments.is_empty() {
        out += "| verdict | experiment | what happened | tightest budget |\n| --- | --- | --- | --- |\n";
    }
    for group in Group::all(run) {
        out += &match group.repetition {
            None => group.trials.iter().map(|(_, experiment)| row(experiment)).collect::<String>(),
            Some(repetition) => repeated(run, &group, repetition),
        };
    }
    out += &over_trials(run);
    out += &loads(run);
    for experiment in &run.experiments {
        if matches!(experiment.verdict, Verdict::Fail | Verdict::Inconclusive) {
            out += &details(experiment, &repetition::mark(run, experiment));
        }
    }
    out += &tried_again(run);
    out += &sections::compared(run);
    out += &sections::times(run);
    out += &sections::moves(run);
    out += &predictions(run);
    out += "\n<sub>";
    for cluster in &run.clusters {
        out += &format!("{}.<br>", escape(&figures::cluster_line(cluster)));
    }
    out += &format!(
        "recoup {}, run {}, started {}, seed {}",
        escape(&run.recoup),
        escape(&run.run),
        run.started,
        run.seed
    );
    if let Some(overhead) = figures::overhead_line(run) {
        out += &format!("; {overhead}");
    }
    out += ".</sub>\n";
    if simulated {
        out += &format!("\n> **{SIMULATED}**\n");
    }
    out
}

/// An experiment's line of the table.
fn row(experiment: &ExperimentResult) -> String {
    let tightest = figures::tightest(experiment)
        .map(|(used, i)| format!("{:.0} %: {}", used * 100.0, escape(&i.milestone.name)))
        .unwrap_or_default();
    let answer = figures::answer(experiment);
    let mark = if experiment.simulated { " (simulated)" } else { "" };
    format!(
        "| {} {} | {}{mark} | {} | {} |\n",
        figures::sign(experiment.verdict),
        experiment.verdict,
        escape(&experiment.id),
        escape(&answer),
        tightest
    )
}

/// The line of an experiment that was repeated: the worst trial stands for all, the fullest budget likewise.
fn repeated(run: &RunResult, group: &Group, found: &Repetition) -> String {
    let Some(worst) = group.worst() else { return String::new() };
    let tightest = group.trials.iter().filter_map(|(_, trial)| figures::tightest(trial));
    let tightest = tightest
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(used, i)| format!("{:.0} %: {}", used * 100.0, escape(&i.milestone.name)))
        .unwrap_or_default();
    let mark = if found.simulated { " (simulated)" } else { "" };
    let trial = repetition::mark(run, worst);
    let trial = figures::sentence(trial.trim_start_matches(", ")).replace('.', ":");
    format!(
        "| {} {} | {}{mark}, {} | {trial} {} | {tightest} |\n",
        figures::sign(worst.verdict),
        worst.verdict,
        escape(&found.id),
        repetition::trials(found),
        escape(&figures::answer(worst)),
    )
}

/// The milestones of everything that was repeated; nothing where nothing was.
fn over_trials(run: &RunResult) -> String {
    if run.repetitions.is_empty() {
        return String::new();
    }
    let mut out = "\n### Over trials\n\n| experiment | trials | milestone | n | p50 | p90 | p99 | drift |\n\
                   | --- | --- | --- | --- | --- | --- | --- | --- |\n"
        .to_owned();
    for found in &run.repetitions {
        for (row, milestone) in found.milestones.iter().enumerate() {
            let (id, trials) = match row {
                0 => (escape(&found.id), repetition::trials(found)),
                _ => (String::new(), String::new()),
            };
            let [p50, p90, p99] = [50, 90, 99].map(|p| repetition::of_percent(milestone, p));
            let drift = repetition::drift(milestone.drift.as_ref(), milestone.n);
            let flagged = milestone.drift.is_some_and(|drift| drift.flagged);
            let drift = if flagged { format!("**{drift}**") } else { drift };
            let (name, n) = (escape(&milestone.name), repetition::counted(milestone));
            out += &format!("| {id} | {trials} | {name} | {n} | {p50} | {p90} | {p99} | {drift} |\n");
        }
        if found.milestones.is_empty() {
            let (id, trials) = (escape(&found.id), repetition::trials(found));
            out += &format!("| {id} | {trials} | – | – | – | – | – | – |\n");
        }
    }
    out += &format!("\n{}", repetition::NOTE);
    if run.repetitions.iter().any(repetition::by_survival) {
        out += &format!(" {}", repetition::CENSORED);
    }
    out += &format!(" {}\n", repetition::DRIFT);
    for found in &run.repetitions {
        if let Some(line) = repetition::left_out(found) {
            out += &format!("\n{}: {line}\n", escape(&found.id));
        }
    }
    out
}

/// A table per load, with a row per rate.
fn loads(run: &RunResult) -> String {
    let mut out = String::new();
    for experiment in &run.experiments {
        for load in load::told(experiment) {
            let trial = repetition::mark(run, experiment);
            out += &format!(
                "\n### Load: {}{trial}\n\n{}\n\n",
                escape(&experiment.id),
                escape(&load::knee(load))
            );
            out += &format!(
                "| {} | |\n|{}\n",
                load::COLUMNS.join(" | "),
                " --- |".repeat(load::COLUMNS.len() + 1)
            );
            for stage in &load.stages {
                let because = if stage.because.is_empty() { "" } else { ": " };
                let state = format!("{}{because}{}", load::state(stage), escape(&stage.because));
                out += &format!("| {} | {state} |\n", load::row(stage).join(" | "));
            }
            out += &format!("\n{}\n", load::NOTE);
        }
    }
    out
}

/// Every predicted interval beside what was measured, folded.
fn predictions(run: &RunResult) -> String {
    let with = |experiment: &ExperimentResult| {
        let intervals = experiment.intervals.iter();
        let rows = intervals.filter_map(|i| {
            let bounds = predicted::bounds(i.prediction.as_ref()?);
            let (name, measured) = (escape(&i.milestone.name), escape(&figures::short(&i.measure)));
            Some(format!("| {} | {name} | {bounds} | {measured} |\n", escape(&experiment.id)))
        });
        rows.collect::<String>()
    };
    let rows: String = run.experiments.iter().map(with).collect();
    if rows.is_empty() {
        return rows;
    }
    format!(
        "\n<details><summary>Predicted from the cluster's settings, and measured</summary>\n\n\
         | experiment | milestone | predicted | measured |\n| --- | --- | --- | --- |\n{rows}\n</details>\n"
    )
}

/// What did not pass, and why.
fn details(experiment: &ExperimentResult, trial: &str) -> String {
    let (sign, id) = (figures::sign(experiment.verdict), escape(&experiment.id));
    let mut out = format!("\n### {sign} {id}{trial}\n\n");
    if !experiment.hypothesis.is_empty() {
        out += &format!("Believed: {}\n\n", escape(&figures::sentence(&experiment.hypothesis)));
    }
    for reason in &experiment.reasons {
        out += &format!("- **{}**\n", escape(reason));
    }
    for (name, verdict, detail) in figures::not_held(experiment) {
        out += &format!("- {} {}: {}\n", figures::sign(verdict), escape(name), escape(detail));
    }
    for interval in figures::missed_predictions(experiment) {
        for sum in predicted::lines(interval) {
            out += &format!("- {} was predicted {}\n", escape(&interval.milestone.name), escape(&sum));
        }
    }
    for band in &experiment.bands {
        let _ = write!(out, "- done: {}", escape(&band.description));
        for (check, effective, seen) in &band.evidence {
            let held = if *effective { "seen" } else { "**not seen**" };
            let _ = write!(out, "; {held}: {} ({})", escape(check), escape(seen));
        }
        out.push('\n');
    }
    out
}

/// What was made again because it had come to no verdict.
fn tried_again(run: &RunResult) -> String {
    let told = run.experiments.iter().flat_map(|experiment| {
        let id = format!("{}{}", escape(&experiment.id), repetition::mark(run, experiment));
        figures::tries(experiment).map(move |line| format!("- {id}: {}\n", escape(&line)))
    });
    let lines: String = told.collect();
    if lines.is_empty() { lines } else { format!("\n### Tried again\n\n{lines}") }
}

/// Text as text: no Markdown, no HTML, no end of a table's cell.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '&' => out += "&amp;",
            // GitHub would call whoever is named so.
            '@' => out += "&#64;",
            '\n' | '\r' | '\t' => out.push(' '),
            '|' | '`' | '*' | '_' | '[' | ']' | '\\' | '~' => {
                out.push('\\');
                out.push(letter);
            }
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_leave_its_cell_or_call_anybody() {
        assert_eq!(escape("a|b\n<b>*x* @y"), "a\\|b &lt;b&gt;\\*x\\* &#64;y");
    }
}
