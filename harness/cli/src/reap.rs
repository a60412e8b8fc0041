//! `recoup reap`: the reaper of a run, see [`recoup_engine::reaper`].

use anyhow::Result;
use recoup_engine::{choose::provider, reaper};

use crate::{args, exit::Exit, output::real_time};

/// How a run of this program starts its reaper: this very program; none where the system does not say which that is.
pub fn command() -> Option<reaper::Command> {
    let program = std::env::current_exe().ok()?;
    Some(reaper::Command { program, arguments: vec!["reap".into()], variable: None })
}

/// Watches over the run at the other end of stdin, and does what is left to do when that dies.
///
/// # Errors
/// Where the run's ledger cannot be read.
pub fn reap(args: &args::Reap) -> Result<Exit> {
    let runtime = real_time()?;
    let watched = reaper::watch(&args.dir, std::io::stdin(), std::io::stdout(), provider);
    Ok(match runtime.block_on(watched)? {
        reaper::Outcome::Reaped { left } if left > 0 => Exit::Unhealed,
        reaper::Outcome::Reaped { .. } | reaper::Outcome::Dismissed => Exit::Passed,
    })
}
