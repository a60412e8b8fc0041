//! `recoup report`: a recorded run in one of the readable forms.

use anyhow::Result;
use recoup_engine::reader::read_run;
use recoup_report::{html, json, junit, summary, terminal};

use crate::{
    args::{self, Format},
    exit::{Exit, Told},
    output::{find_run, print},
};

/// Writes the report to stdout or a file.
///
/// # Errors
/// Where the record cannot be read or the report cannot be written.
pub fn report(args: &args::Report) -> Result<Exit> {
    let reading = read_run(&find_run(&args.runs.dir, &args.run)?, false)?;
    for warning in &reading.warnings {
        eprintln!("warning: {warning}");
    }
    let run = &reading.recorded;
    let text = match args.format {
        Format::Terminal => terminal(run),
        Format::Html => html(run),
        Format::Junit => junit(run)?,
        Format::Json => json(run)?,
        Format::Summary => summary(run),
    };
    match &args.output {
        None => print(&text)?,
        Some(path) => std::fs::write(path, text)
            .map_err(|error| Told::new(Exit::Io, format!("{}: {error}", path.display())))?,
    }
    Ok(Exit::Passed)
}
