//! `cargo xtask`: what this repository checks and generates about itself.

mod arrows;
mod bench;
mod controls;
mod docs;
mod files;
mod reference;
mod soak;
mod tables;
mod versions;

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, bail};
use clap::{Parser, Subcommand};

/// What this repository checks and generates about itself.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Check the arrows between the crates and the house rules for files.
    Check,
    /// Write the generated parts of the documentation again.
    Docs {
        /// Change nothing; fail where something would change.
        #[arg(long)]
        check: bool,
    },
    /// Measure the measuring: known outages against what the probes make of them, and what probing costs.
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Kill runs with SIGKILL at random moments, and count what is left behind on the nodes.
    Soak(soak::Soak),
    /// List the Kubernetes versions of clusters/versions.yaml.
    Versions {
        /// As a JSON list, for a workflow's matrix.
        #[arg(long)]
        json: bool,
    },
}

fn main() -> ExitCode {
    match run(&Args::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: &Task) -> Result<()> {
    let root = root()?;
    match task {
        Task::Check => {
            let mut problems = arrows::check(&root)?;
            problems.extend(files::check(&root)?);
            report(&problems)?;
            println!("arrows, file sizes, words, links and the list of suites are in order");
            Ok(())
        }
        Task::Docs { check } => docs::run(&root, *check),
        Task::Bench(what) => bench::run(what),
        Task::Soak(what) => soak::run(&root, what),
        Task::Versions { json } => versions::run(&root, *json),
    }
}

/// All problems at once, each on its line.
fn report(problems: &[String]) -> Result<()> {
    for problem in problems {
        eprintln!("{problem}");
    }
    if problems.is_empty() { Ok(()) } else { bail!("{} problem(s)", problems.len()) }
}

/// The repository: two folders above this crate.
fn root() -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).map(Path::to_owned).context("this crate is not in scripts/xtask")
}

/// A command's standard output.
fn output(command: &mut Command) -> Result<String> {
    let out = command.output().with_context(|| format!("{command:?}"))?;
    if !out.status.success() {
        bail!("{command:?}: {}\n{}", out.status, String::from_utf8_lossy(&out.stderr));
    }
    Ok(String::from_utf8(out.stdout)?)
}
