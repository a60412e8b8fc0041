//! A comparison as Markdown.

use recoup_model::compare::{Comparison, Finding};

use super::words;
use crate::{figures::SIMULATED, summary::escape};

/// A comparison as Markdown, fit for a job summary: a table with a line per milestone.
#[must_use]
pub fn comparison_markdown(comparison: &Comparison) -> String {
    let mut out = String::new();
    if comparison.simulated {
        out += &format!("> **{SIMULATED}**\n\n");
    }
    out += &format!("## recoup: {} against {}\n\n", escape(&comparison.after), escape(&comparison.before));
    out += &format!("{}\n\n", words::answer(comparison));
    for warning in &comparison.warnings {
        out += &format!("- **Warning:** {}\n", escape(warning));
    }
    if !comparison.warnings.is_empty() {
        out.push('\n');
    }
    if !comparison.experiments.is_empty() {
        out += "| experiment | milestone | p50 before | p50 after | finding |\n| --- | --- | --- | --- | --- |\n";
    }
    for pair in &comparison.experiments {
        let (before, after) = (pair.verdicts.before, pair.verdicts.after);
        let told = words::verdicts(pair);
        let finding = told.split_once(": ").map_or(told.as_str(), |(_, finding)| finding);
        let finding = emphasised(finding, pair.verdicts.finding);
        out += &format!("| {} | verdicts | {before} | {after} | {finding} |\n", escape(&pair.id));
        for change in &pair.milestones {
            let (before, after) = (words::median(&change.before), words::median(&change.after));
            let finding = emphasised(&words::finding(change), change.finding);
            out += &format!("| | {} | {before} | {after} | {finding} |\n", escape(&change.name));
        }
    }
    out += &format!("\n{}\n", words::note(comparison));
    if comparison.simulated {
        out += &format!("\n> **{SIMULATED}**\n");
    }
    out
}

fn emphasised(text: &str, finding: Finding) -> String {
    match finding {
        Finding::Slower | Finding::Quicker => format!("**{}**", escape(text)),
        Finding::NotShown | Finding::TooFew => escape(text),
    }
}
