//! stdout, runtimes, and runs by name: what several subcommands need.

use std::{
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

use anyhow::Result;
use recoup_engine::runtime;
use tokio::runtime::Runtime;

use crate::exit::{Exit, Told};

/// Writes the command's result. A reader who has seen enough (`| head`) is no error.
///
/// # Errors
/// Where stdout refuses it otherwise.
pub fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Told::new(Exit::Io, format!("stdout: {error}")).into())
        }
        _ => Ok(()),
    }
}

/// See [`runtime::real_time`].
///
/// # Errors
/// Where the system gives no threads.
pub fn real_time() -> Result<Runtime> {
    runtime::real_time().map_err(|error| Told::new(Exit::Io, format!("no threads: {error}")).into())
}

/// See [`runtime::virtual_time`].
///
/// # Errors
/// Where the system refuses it.
pub fn virtual_time() -> Result<Runtime> {
    runtime::virtual_time().map_err(|error| Told::new(Exit::Io, format!("no runtime: {error}")).into())
}

/// The run's directory (or record): as it was given, or below the directory of all runs.
///
/// # Errors
/// Where there is no such run.
pub fn find_run(runs: &Path, run: &Path) -> Result<PathBuf> {
    let below = runs.join(run);
    if run.exists() {
        Ok(run.to_owned())
    } else if below.exists() {
        Ok(below)
    } else {
        let message = format!("there is no run {} here, nor in {}", run.display(), runs.display());
        Err(Told::new(Exit::Usage, message).help("give a run's directory, or its name below --runs").into())
    }
}
