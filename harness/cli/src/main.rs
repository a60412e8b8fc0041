//! `recoup`: control-plane chaos tests for Kubernetes.

mod args;
mod cluster;
mod compare;
mod doctor;
mod exit;
mod heal;
mod judge;
mod list;
mod output;
mod plan;
mod progress;
mod reap;
mod report;
mod run;
mod select;
mod signals;
mod words;

use std::{io::IsTerminal, process::ExitCode};

use anyhow::Result;
use clap::Parser;
use tracing_subscriber::EnvFilter;

use args::{Cli, Command};
use exit::Exit;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help goes to stdout, a wrong usage to stderr; nobody reading either changes the code.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Passed.into() };
        }
    };
    log();
    match go(cli.command) {
        Ok(exit) => exit.into(),
        Err(error) => {
            eprintln!("{}", exit::explain(&error));
            Exit::of_error(&error).into()
        }
    }
}

fn go(command: Command) -> Result<Exit> {
    match command {
        Command::Run(args) => run::run(&args),
        Command::List(args) => list::list(&args),
        Command::Plan(args) => plan::plan(&args),
        Command::Doctor(args) => doctor::doctor(&args),
        Command::Heal(args) => heal::heal(&args),
        Command::Judge(args) => judge::judge(&args),
        Command::Report(args) => report::report(&args),
        Command::Compare(args) => compare::compare(&args),
        Command::Reap(args) => reap::reap(&args),
        Command::Cluster(args) => cluster::cluster(&args),
    }
}

/// Diagnostics of the libraries, on stderr: RECOUP_LOG=debug shows more.
fn log() {
    let filter = EnvFilter::try_from_env("RECOUP_LOG").unwrap_or_else(|_| EnvFilter::new("error"));
    let colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colour && std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
}
