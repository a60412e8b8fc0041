//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use recoup_engine::choose::Choice;

use crate::exit;

/// Control-plane chaos tests for Kubernetes: break it, time its recovery, pass or fail on it.
#[derive(Debug, Parser)]
#[command(name = "recoup", version, about, after_help = exit::HELP, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands; one file each.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run experiments on a cluster and judge them.
    #[command(after_help = exit::HELP)]
    Run(Run),
    /// List the experiments that there are.
    List(List),
    /// Say what experiments would do, to whom, and within which budgets. Changes nothing.
    Plan(Plan),
    /// Check what this machine offers for real clusters, and say how to mend what is missing.
    Doctor(Doctor),
    /// Undo what killed runs left on clusters, from their ledgers alone: needs no Kubernetes API, but for what a load made.
    Heal(Heal),
    /// Judge a recorded run again from its events, and compare with the verdicts in its record.
    #[command(after_help = exit::HELP)]
    Judge(Judge),
    /// Write a report of a recorded run.
    Report(Report),
    /// Hold one recorded run against another: is a difference one?
    #[command(
        after_help = "Exit code: 0 whatever is found; with --fail-on-slower 1 where something is slower or fails more often."
    )]
    Compare(Compare),
    /// Watch over a run and outlive it: started by `recoup run`, not by people.
    #[command(hide = true)]
    Reap(Reap),
    /// Make, list and delete clusters.
    #[command(subcommand)]
    Cluster(Cluster),
}

/// Which experiments.
#[derive(Debug, Args)]
pub struct Selection {
    /// An experiment's id or the beginning of one (etcd, etcd/leader-loss, etcd/leader-loss/kill), a suite
    /// file, or a directory of them [default: all that are built in].
    #[arg(value_name = "SUITE")]
    pub suites: Vec<String>,
    /// Only the quick set.
    #[arg(long)]
    pub smoke: bool,
}

/// Where runs are kept.
#[derive(Debug, Args)]
pub struct Runs {
    /// The directory of all runs.
    #[arg(long = "runs", value_name = "DIR", env = "RECOUP_RUNS", default_value = "recoup-runs")]
    pub dir: PathBuf,
}

/// How a cluster is made.
#[derive(Debug, Args)]
pub struct Making {
    /// The cluster's name [default: recoup-PROFILE].
    #[arg(long)]
    pub name: Option<String>,
    /// The node image [default: KIND_NODE_IMAGE, else that of the Kubernetes version].
    #[arg(long)]
    pub image: Option<String>,
    /// The Kubernetes version, as in 1.33: one of those that recoup knows the image of.
    #[arg(long, value_name = "VERSION")]
    pub kubernetes: Option<String>,
}

/// `recoup run`.
#[derive(Debug, Args)]
pub struct Run {
    #[command(flatten)]
    pub selection: Selection,
    #[command(flatten)]
    pub runs: Runs,
    #[command(flatten)]
    pub making: Making,
    /// auto takes kind where Docker, kind and a node image are usable, else the simulation.
    #[arg(
        long,
        value_name = "auto|kind|sim",
        env = "RECOUP_CLUSTER",
        default_value_t,
        value_parser = clap::value_parser!(Choice)
    )]
    pub cluster: Choice,
    /// Use the cluster of that name although recoup did not make it. Its control plane will be broken.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["name", "delete"])]
    pub adopt: Option<String>,
    /// Everything random comes from it [default: by the clock, and recorded]. Each trial's comes from the seed, the
    /// experiment's id and the trial's number alone.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Run every experiment so many times, in rounds (A B C, A B C, ...), and tell percentiles with confidence
    /// intervals, and drift from trial to trial.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub repeat: u32,
    /// Make an experiment that comes to no verdict on the cluster so often at most: one that was made on a machine
    /// too busy to say anything may tell the next time. A verdict stands; the tries before it are told with it
    /// [default: 2, and with --repeat 1].
    #[arg(long, value_name = "N", env = "RECOUP_TRIES", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub tries: Option<u32>,
    /// Delete the clusters that this run made when it is over, however it ends: should this process be killed, a
    /// second one that watches over it (the reaper) undoes every fault within 15 s, deletes what was only half made,
    /// and with this option what was made.
    #[arg(long)]
    pub delete: bool,
    /// Stop after the first experiment that does not pass.
    #[arg(long)]
    pub fail_fast: bool,
}

/// `recoup reap`.
#[derive(Debug, Args)]
pub struct Reap {
    /// The run's directory.
    #[arg(value_name = "RUNDIR")]
    pub dir: PathBuf,
}

/// `recoup list`.
#[derive(Debug, Args)]
pub struct List {
    #[command(flatten)]
    pub selection: Selection,
    /// As JSON.
    #[arg(long)]
    pub json: bool,
}

/// `recoup plan`.
#[derive(Debug, Args)]
pub struct Plan {
    #[command(flatten)]
    pub selection: Selection,
    #[command(flatten)]
    pub making: Making,
    /// Compute the intervals from the settings of a kind cluster that exists, or of the simulation. auto takes
    /// documented ones, or those of the kind cluster that is named: it is never made, replaced or deleted.
    #[arg(
        long,
        value_name = "auto|kind|sim",
        default_value_t,
        value_parser = clap::value_parser!(Choice)
    )]
    pub cluster: Choice,
    /// Read the settings of the cluster of that name although recoup did not make it.
    #[arg(long, value_name = "NAME", conflicts_with = "name")]
    pub adopt: Option<String>,
}

/// `recoup doctor`.
#[derive(Debug, Args)]
pub struct Doctor {
    #[command(flatten)]
    pub making: Making,
}

/// `recoup heal`.
#[derive(Debug, Args)]
pub struct Heal {
    #[command(flatten)]
    pub runs: Runs,
}

/// `recoup judge`.
#[derive(Debug, Args)]
pub struct Judge {
    /// The run's directory, or its name below --runs.
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
    #[command(flatten)]
    pub runs: Runs,
    /// Write the reports in the run's directory anew from the new verdicts; the record stays as it is.
    #[arg(long)]
    pub write: bool,
}

/// `recoup report`.
#[derive(Debug, Args)]
pub struct Report {
    /// The run's directory, or its name below --runs.
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
    #[command(flatten)]
    pub runs: Runs,
    /// Which form.
    #[arg(long, value_enum, default_value_t = Format::Terminal)]
    pub format: Format,
    /// Into this file instead of stdout.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// `recoup compare`.
#[derive(Debug, Args)]
pub struct Compare {
    /// The run to compare with: its directory, or its name below --runs.
    #[arg(value_name = "BEFORE")]
    pub before: PathBuf,
    /// The run that is compared; likewise.
    #[arg(value_name = "AFTER")]
    pub after: PathBuf,
    #[command(flatten)]
    pub runs: Runs,
    /// Which form.
    #[arg(long, value_enum, default_value_t = ComparisonFormat::Terminal)]
    pub format: ComparisonFormat,
    /// Exit with 1 where AFTER is shown to be slower in anything, or to fail more often.
    #[arg(long)]
    pub fail_on_slower: bool,
}

/// The forms of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ComparisonFormat {
    /// Plain text.
    Terminal,
    /// Markdown.
    Markdown,
    /// For other programs.
    Json,
}

/// The forms of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Plain text.
    Terminal,
    /// A self-contained page with timelines.
    Html,
    /// For what shows test results.
    Junit,
    /// For other programs.
    Json,
    /// Markdown.
    Summary,
}

/// `recoup cluster`.
#[derive(Debug, Subcommand)]
pub enum Cluster {
    /// Make a kind cluster from a profile, or find the one that recoup made before.
    Up {
        /// single, ha or ha-short-lease.
        #[arg(value_name = "PROFILE")]
        profile: String,
        #[command(flatten)]
        making: Making,
    },
    /// List kind clusters, and which of them recoup made.
    List,
    /// Delete a cluster that recoup made.
    Down {
        /// Its name.
        #[arg(value_name = "NAME")]
        name: String,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
