//! The plain-text summary that ends a run on a terminal or in a log.

use recoup_model::{
    load::LoadResult,
    repetition::Repetition,
    verdict::{ExperimentResult, RunResult, Verdict},
};

use crate::{
    distributions,
    figures::{self, Counts, SIMULATED},
    load, metrics, predicted,
    repetition::{self, Group},
    tradeoff::{self, tradeoffs},
};

/// Columns that a line fills before it is wrapped: fits a log viewer.
const WIDTH: usize = 100;

/// A plain-text summary for stdout: no colour, no control characters, one block per experiment.
#[must_use]
pub fn terminal(run: &RunResult) -> String {
    let mut out = String::new();
    let simulated = figures::simulated(run);
    if simulated {
        out += &format!("{SIMULATED}\n\n");
    }
    for group in Group::all(run) {
        match group.repetition {
            None => group.trials.iter().for_each(|(_, experiment)| out += &block(experiment, "")),
            Some(repetition) => out += &repeated(run, &group, repetition),
        }
    }
    if !run.experiments.is_empty() {
        out.push('\n');
    }
    if !run.repetitions.is_empty() {
        out += &wrapped(repetition::NOTE, "");
        if run.repetitions.iter().any(repetition::by_survival) {
            out += &wrapped(repetition::CENSORED, "");
        }
        out += &wrapped(repetition::DRIFT, "");
        out.push('\n');
    }
    out += &compared(run);
    for cluster in &run.clusters {
        out += &wrapped(&figures::cluster_line(cluster), "");
    }
    if let Some(overhead) = figures::overhead_line(run) {
        out += &wrapped(&figures::sentence(&overhead), "");
    }
    if run.incomplete {
        out += "The run was interrupted, or its record is cut: experiments may be missing.\n";
    }
    let mark = if simulated { "SIMULATED " } else { "" };
    out += &format!("{mark}{}: {}\n", run.verdict(), Counts::of(run));
    if simulated {
        out += &format!("\n{SIMULATED}\n");
    }
    out
}

/// One experiment, or one trial of it: its verdict, what happened, and what did not hold.
fn block(experiment: &ExperimentResult, trial: &str) -> String {
    let mut out = String::new();
    let mark = if experiment.simulated { " (simulated)" } else { "" };
    let verdict = experiment.verdict.to_string();
    out += &format!("{verdict:<12}  {}{trial}{mark}\n", clean(&experiment.id));
    out += &wrapped(&figures::answer(experiment), "              ");
    if experiment.verdict == Verdict::Skipped {
        return out;
    }
    for line in [distributions::line(experiment), metrics::line(experiment)].into_iter().flatten() {
        out += &wrapped(&line, "              ");
    }
    // The first reason of an inconclusive one is its answer already.
    let told = usize::from(experiment.verdict == Verdict::Inconclusive);
    for reason in experiment.reasons.iter().skip(told) {
        out += &wrapped(&format!("- {reason}"), "              ");
    }
    for (name, verdict, detail) in figures::not_held(experiment) {
        let line = format!("{} {name}: {detail}", figures::sign(verdict));
        out += &wrapped(&line, "              ");
    }
    for line in figures::tries(experiment) {
        out += &wrapped(&format!("- {line}"), "              ");
    }
    for load in load::told(experiment) {
        out += &loaded(load);
    }
    for interval in figures::missed_predictions(experiment) {
        out += &wrapped(&format!("{} was predicted", interval.milestone.name), "              ");
        for sum in predicted::lines(interval) {
            out += &wrapped(&sum, "                ");
        }
    }
    out
}

/// A load: its knee, and a line per rate.
fn loaded(load: &LoadResult) -> String {
    let indent = "              ";
    let mut out = wrapped(&load::knee(load), indent);
    let line = |cells: [String; 7], state: &str| {
        let [offered, answered, throttled, failed, p50, p99, converged] = cells;
        let line = format!(
            "{offered:>8} {answered:>8} {throttled:>5} {failed:>6}  {p50:<16} {p99:<16} {converged:<12} {state}"
        );
        format!("{indent}{}\n", clean(line.trim_end()))
    };
    let mut names = load::COLUMNS.map(str::to_owned);
    names[6] = "convergence".into();
    out += &line(names, "");
    for stage in &load.stages {
        out += &line(load::row(stage), load::state(stage));
    }
    out
}

/// All trials of an experiment: a line per milestone, then what did not pass.
fn repeated(run: &RunResult, group: &Group, found: &Repetition) -> String {
    let indent = "              ";
    let verdict = group.worst().map_or(Verdict::Skipped, |worst| worst.verdict).to_string();
    let mark = if found.simulated { " (simulated)" } else { "" };
    let mut out = format!("{verdict:<12}  {}{mark}, {}\n", clean(&found.id), repetition::trials(found));
    for milestone in &found.milestones {
        let percentiles = [50, 90, 99].map(|p| format!("p{p} {}", repetition::of_percent(milestone, p)));
        let drift = repetition::drift(milestone.drift.as_ref(), milestone.n);
        let (name, n) = (&milestone.name, repetition::counted(milestone));
        let line = format!("{name}: n {n}; {}; drift: {drift}", percentiles.join("; "));
        out += &wrapped(&line, indent);
    }
    if let Some(line) = repetition::left_out(found) {
        out += &wrapped(&line, indent);
    }
    for (_, trial) in group.told().filter(|(_, trial)| trial.verdict != Verdict::Pass) {
        out += &block(trial, &repetition::mark(run, trial));
    }
    out
}

/// What settings buy: a line per variant of an experiment that ran with different flags.
fn compared(run: &RunResult) -> String {
    let mut out = String::new();
    for one in &tradeoffs(run) {
        let mark = if one.simulated { " (simulated)" } else { "" };
        out += &format!(
            "{}{mark}: {} against the load of renewals\n",
            clean(one.experiment),
            clean(one.milestone)
        );
        for point in &one.points {
            let p50 = repetition::of_percent(&point.recovery, 50);
            let (flags, rate) = (tradeoff::flags(point), tradeoff::rate(point.renewals));
            out += &wrapped(&format!("{} ({flags}): p50 {p50}; {rate}", point.variant), "              ");
        }
        out.push('\n');
    }
    out
}

/// Text from a cluster must not steer the terminal.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Lines of at most [`WIDTH`] columns behind an indent; a longer word stays whole.
pub(crate) fn wrapped(text: &str, indent: &str) -> String {
    let mut out = String::new();
    let mut line = String::new();
    for word in clean(text).split_whitespace() {
        let columns = indent.len() + line.chars().count() + 1 + word.chars().count();
        if !line.is_empty() && columns > WIDTH {
            out += &format!("{indent}{line}\n");
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line += word;
    }
    out + &format!("{indent}{line}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stay_within_the_width_and_lose_no_word() {
        let text = "word ".repeat(60);
        let wrapped = wrapped(&text, "    ");
        assert!(wrapped.lines().all(|line| line.chars().count() <= WIDTH), "{wrapped}");
        assert_eq!(wrapped.split_whitespace().count(), 60);
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(clean("a\u{1b}[31mb"), "a [31mb");
    }
}
