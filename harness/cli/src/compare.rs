//! `recoup compare`: two recorded runs beside each other.

use std::path::Path;

use anyhow::Result;
use recoup_engine::reader::read_run;
use recoup_model::{compare, verdict::RunResult};
use recoup_report::{comparison_json, comparison_markdown, comparison_terminal};

use crate::{
    args::{self, ComparisonFormat},
    exit::Exit,
    output::{find_run, print},
};

/// Says on stdout what differs between two runs, and how surely.
///
/// # Errors
/// Where a record cannot be read.
pub fn compare(args: &args::Compare) -> Result<Exit> {
    let read = |run: &Path| -> Result<RunResult> {
        let reading = read_run(&find_run(&args.runs.dir, run)?, false)?;
        for warning in &reading.warnings {
            eprintln!("warning: {warning}");
        }
        Ok(reading.recorded)
    };
    let comparison = compare::compare(&read(&args.before)?, &read(&args.after)?);
    print(&match args.format {
        ComparisonFormat::Terminal => comparison_terminal(&comparison),
        ComparisonFormat::Markdown => comparison_markdown(&comparison),
        ComparisonFormat::Json => comparison_json(&comparison)?,
    })?;
    Ok(if args.fail_on_slower && comparison.slower() { Exit::Failed } else { Exit::Passed })
}
