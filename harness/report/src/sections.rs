//! Parts of the Markdown summary: what settings buy, how long answers took, which metrics moved.

use recoup_model::verdict::{ExperimentResult, RunResult};

use crate::{
    distributions, metrics,
    repetition::{self, Group},
    summary::escape,
    tradeoff::{self, tradeoffs},
};

/// What settings buy, where variants of one experiment ran with different flags.
pub(crate) fn compared(run: &RunResult) -> String {
    let mut out = String::new();
    for one in &tradeoffs(run) {
        let mark = if one.simulated { " (simulated)" } else { "" };
        let milestone = escape(one.milestone);
        out += &format!(
            "\n### {}{mark}: {milestone} against the load of renewals\n\n\
             | variant | flags | trials | {milestone}, p50 (95 %) | p90 (95 %) | Lease writes |\n\
             | --- | --- | --- | --- | --- | --- |\n",
            escape(one.experiment)
        );
        for point in &one.points {
            let [p50, p90] = [50, 90].map(|percent| repetition::of_percent(&point.recovery, percent));
            out += &format!(
                "| {} | {} | {} | {p50} | {p90} | {} |\n",
                escape(point.variant),
                escape(&tradeoff::flags(point)),
                repetition::counted(&point.recovery),
                tradeoff::rate(point.renewals)
            );
        }
        out += &format!("\n{}\n", tradeoff::NOTE);
    }
    out
}

/// The experiments that are told in full: of those that were repeated the first, and whatever did not pass.
fn told(run: &RunResult) -> Vec<&ExperimentResult> {
    Group::all(run)
        .iter()
        .flat_map(|group| group.told().map(|(_, trial)| trial).collect::<Vec<_>>())
        .collect()
}

/// How long answers took in each part, of the streams that decide, folded.
pub(crate) fn times(run: &RunResult) -> String {
    let mut rows = String::new();
    for experiment in told(run) {
        let id = format!("{}{}", escape(&experiment.id), repetition::mark(run, experiment));
        for stream in distributions::decisive(experiment) {
            for part in &stream.parts {
                let [p50, p90, p99] = [50, 90, 99].map(|percent| distributions::of_percent(part, percent));
                let (name, word) = (escape(&stream.name), distributions::word(part.part));
                rows += &format!(
                    "| {id} | {name} | {word} | {} | {p50} | {p90} | {p99} |\n",
                    distributions::attempts(part)
                );
            }
        }
    }
    if rows.is_empty() {
        return rows;
    }
    format!(
        "\n<details><summary>How long answers took before, during and after</summary>\n\n\
         | experiment | stream | part | attempts | p50 (95 %) | p90 (95 %) | p99 (95 %) |\n\
         | --- | --- | --- | --- | --- | --- | --- |\n{rows}\n{}\n\n</details>\n",
        distributions::NOTE
    )
}

/// The metrics that moved, folded.
pub(crate) fn moves(run: &RunResult) -> String {
    let mut rows = String::new();
    for experiment in told(run) {
        let id = format!("{}{}", escape(&experiment.id), repetition::mark(run, experiment));
        for one in metrics::moved(experiment) {
            let [before, during, after] =
                [one.before, one.during, one.after].map(|told| metrics::value(one, told));
            rows += &format!(
                "| {id} | {} | {} | {before} | {during} | {after} | {} |\n",
                escape(&metrics::whose(one)),
                escape(&metrics::name(one)),
                metrics::ratio(one)
            );
        }
    }
    if rows.is_empty() {
        return rows;
    }
    format!(
        "\n<details><summary>Would an operator have seen it? Metrics that moved</summary>\n\n\
         | experiment | instance | metric | before | during | after | grew |\n\
         | --- | --- | --- | --- | --- | --- | --- |\n{rows}\n{}\n\n</details>\n",
        metrics::NOTE
    )
}
