//! `summary.md`: what a reviewer reads in a job's summary.

use std::fmt::Write;

use recoup_model::verdict::{ExperimentResult, RunResult, Verdict};

use crate::figures::{self, Counts, SIMULATED};

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
    for experiment in &run.experiments {
        out += &row(experiment);
    }
    for experiment in &run.experiments {
        if matches!(experiment.verdict, Verdict::Fail | Verdict::Inconclusive) {
            out += &details(experiment);
        }
    }
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

/// What did not pass, and why.
fn details(experiment: &ExperimentResult) -> String {
    let mut out = format!("\n### {} {}\n\n", figures::sign(experiment.verdict), escape(&experiment.id));
    if !experiment.hypothesis.is_empty() {
        out += &format!("Believed: {}\n\n", escape(&figures::sentence(&experiment.hypothesis)));
    }
    for reason in &experiment.reasons {
        out += &format!("- **{}**\n", escape(reason));
    }
    for (name, verdict, detail) in figures::not_held(experiment) {
        out += &format!("- {} {}: {}\n", figures::sign(verdict), escape(name), escape(detail));
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

/// Text as text: no Markdown, no HTML, no end of a table's cell.
fn escape(text: &str) -> String {
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
