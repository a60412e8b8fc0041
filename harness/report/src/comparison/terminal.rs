//! A comparison as plain text.

use recoup_model::compare::Comparison;

use super::words;
use crate::{
    figures::SIMULATED,
    terminal::{clean, wrapped},
};

/// A comparison as plain text for stdout: a block per experiment, two lines per milestone.
#[must_use]
pub fn comparison_terminal(comparison: &Comparison) -> String {
    let mut out = String::new();
    if comparison.simulated {
        out += &format!("{SIMULATED}\n\n");
    }
    out += &wrapped(&format!("{} against {}", comparison.after, comparison.before), "");
    for warning in &comparison.warnings {
        out += &wrapped(&format!("warning: {warning}"), "");
    }
    for pair in &comparison.experiments {
        out += &format!("\n{}\n", clean(&pair.id));
        out += &wrapped(&format!("before and after: {}", words::verdicts(pair)), "  ");
        for change in &pair.milestones {
            let (before, after) = (words::median(&change.before), words::median(&change.after));
            out += &wrapped(&format!("{}: p50 {before} against {after}", change.name), "  ");
            out += &wrapped(&words::finding(change), "      ");
        }
    }
    out += &format!("\n{}", wrapped(&words::answer(comparison), ""));
    out += &wrapped(&words::note(comparison), "");
    if comparison.simulated {
        out += &format!("\n{SIMULATED}\n");
    }
    out
}
