//! Processes other than this one's children: seen, waited for, and ended by number and only where they are who is meant.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

/// The reaper's number, from the first line of its log.
pub fn reaper_of(run: &Path) -> Option<u32> {
    let log = fs::read_to_string(run.join(recoup_engine::reaper::LOG)).ok()?;
    log.lines().next()?.split_once("on watch (process ")?.1.strip_suffix(')')?.parse().ok()
}

/// True while the process lives and its arguments name the run: numbers are given anew.
pub fn is_reaper(pid: u32, run: &Path) -> bool {
    // A dead process that nobody has waited for has no arguments any more.
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let run = run.to_string_lossy();
    line.split(|byte| *byte == 0).any(|word| word == run.as_bytes())
}

/// Ends the reaper of a run at once.
///
/// # Errors
/// Where it is gone already.
pub fn end_reaper(pid: u32, run: &Path) -> Result<()> {
    ensure!(is_reaper(pid, run), "process {pid} is not the reaper of {}", run.display());
    let killed = Command::new("kill").args(["-s", "KILL", &pid.to_string()]).status()?;
    ensure!(killed.success(), "process {pid} could not be ended");
    Ok(())
}

/// Waits until the reaper of a run is gone; false where it is still there after the limit.
pub fn reaper_gone(pid: u32, run: &Path, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    while is_reaper(pid, run) {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}
