//! `recoup judge`: verdicts again, from the recorded events alone.

use anyhow::Result;
use recoup_engine::reader::read_run;
use recoup_report::{terminal, write_all};

use crate::{
    args,
    exit::Exit,
    output::{find_run, print},
};

/// Judges a run again and says on stdout what came of it and where that differs from its record.
///
/// # Errors
/// Where the record cannot be read, or a report cannot be written.
pub fn judge(args: &args::Judge) -> Result<Exit> {
    let dir = find_run(&args.runs.dir, &args.run)?;
    let reading = read_run(&dir, true)?;
    for warning in &reading.warnings {
        eprintln!("warning: {warning}");
    }
    let mut text = terminal(&reading.judged);
    let differences = reading.differences();
    for (id, old, new) in &differences {
        text += &format!("{id}: recorded as {old}, judged now as {new}\n");
    }
    for id in &reading.unjudged {
        text += &format!("{id}: the record holds no verdict on it\n");
    }
    if differences.is_empty() {
        text += "No verdict differs from the recorded one.\n";
    }
    print(&text)?;
    if args.write {
        let dir = if dir.is_dir() { dir.as_path() } else { dir.parent().unwrap_or(&dir) };
        for path in write_all(dir, &reading.judged)? {
            eprintln!("written: {}", path.display());
        }
    }
    Ok(Exit::of_run(&reading.judged))
}
