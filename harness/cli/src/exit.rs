//! Exit codes: the one place where they are given, and where an error is turned into one.

use std::process::ExitCode;

use recoup_clusters::ClusterError;
use recoup_engine::{EngineError, ledger::LedgerError, reader::ReadError};
use recoup_model::{
    SuiteError,
    run::RecordError,
    verdict::{RunResult, Verdict},
};
use recoup_report::ReportError;

/// The end of `recoup --help`; a test compares it with [`Exit`].
pub const HELP: &str = "\
Exit codes:
  0    every experiment that ran passed
  1    at least one experiment failed
  2    wrong usage, or a suite file that is wrong
  3    inconclusive: none failed, but one gave no verdict, or nothing could be run
  4    no usable cluster, Docker or kind
  5    a cluster of that name exists that recoup did not make
  6    a record that cannot be read: damaged, cut, or of another version
  7    a disk or other input/output error
  8    faults are left that could not be undone: run `recoup heal`
  130  interrupted; every fault was undone";

/// How the command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All that ran passed.
    Passed = 0,
    /// At least one Fail.
    Failed = 1,
    /// Wrong usage, or a bad suite file.
    Usage = 2,
    /// None failed, but not all gave a verdict.
    Inconclusive = 3,
    /// No cluster to work on.
    NoCluster = 4,
    /// Somebody else's cluster.
    Foreign = 5,
    /// A record that cannot be read.
    Record = 6,
    /// Disk or other input and output.
    Io = 7,
    /// Faults left.
    Unhealed = 8,
    /// Ctrl-C, healed.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

impl Exit {
    /// What the verdicts of a run amount to.
    #[must_use]
    pub fn of_run(run: &RunResult) -> Exit {
        match run.verdict() {
            Verdict::Fail => Exit::Failed,
            Verdict::Inconclusive | Verdict::Skipped => Exit::Inconclusive,
            Verdict::Pass => Exit::Passed,
        }
    }

    /// The code of an error: that of the first cause which has one.
    #[must_use]
    pub fn of_error(error: &anyhow::Error) -> Exit {
        error.chain().find_map(of_cause).unwrap_or(Exit::Io)
    }
}

fn of_cause(cause: &(dyn std::error::Error + 'static)) -> Option<Exit> {
    if let Some(told) = cause.downcast_ref::<Told>() {
        return Some(told.exit);
    }
    if let Some(error) = cause.downcast_ref::<EngineError>() {
        return Some(match error {
            EngineError::Cluster(error) => of_cluster(error),
            EngineError::Ledger(error) => of_ledger(error),
            EngineError::Judge(_) => Exit::Record,
            EngineError::Record { .. } => Exit::Io,
            EngineError::Interrupted => Exit::Interrupted,
            EngineError::Unhealed { .. } => Exit::Unhealed,
        });
    }
    if let Some(error) = cause.downcast_ref::<ReadError>() {
        return Some(if matches!(error, ReadError::File { .. }) { Exit::Io } else { Exit::Record });
    }
    cause
        .downcast_ref::<ClusterError>()
        .map(of_cluster)
        .or_else(|| cause.downcast_ref::<LedgerError>().map(of_ledger))
        .or_else(|| cause.downcast_ref::<SuiteError>().map(|_| Exit::Usage))
        .or_else(|| cause.downcast_ref::<RecordError>().map(|_| Exit::Record))
        .or_else(|| cause.downcast_ref::<ReportError>().map(|_| Exit::Io))
}

fn of_cluster(error: &ClusterError) -> Exit {
    match error {
        ClusterError::Foreign { .. } => Exit::Foreign,
        ClusterError::File { .. } => Exit::Io,
        _ => Exit::NoCluster,
    }
}

fn of_ledger(error: &LedgerError) -> Exit {
    match error {
        LedgerError::File { .. } | LedgerError::Busy { .. } => Exit::Io,
        LedgerError::Line { .. } => Exit::Record,
    }
}

/// An error of the command itself, with its code and the way out.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Told {
    exit: Exit,
    message: String,
    help: Option<String>,
}

impl Told {
    /// An error.
    pub fn new(exit: Exit, message: impl Into<String>) -> Told {
        Told { exit, message: message.into(), help: None }
    }

    /// With what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Told {
        self.help = Some(help.into());
        self
    }
}

/// The error with all its causes, and what to do about it on a line of its own.
#[must_use]
pub fn explain(error: &anyhow::Error) -> String {
    let help = error.chain().find_map(help_of);
    // A part that the one before it ends with already is a source that was written out.
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    match help {
        Some(help) => format!("error: {text}\n  help: {help}"),
        None => format!("error: {text}"),
    }
}

fn help_of(cause: &(dyn std::error::Error + 'static)) -> Option<String> {
    if let Some(told) = cause.downcast_ref::<Told>() {
        return told.help.clone();
    }
    if let Some(EngineError::Cluster(error)) = cause.downcast_ref::<EngineError>() {
        return help_of(error);
    }
    let text = match cause.downcast_ref::<ClusterError>() {
        Some(ClusterError::Docker { .. }) => {
            "start the Docker Engine or point DOCKER_HOST at its socket; `recoup doctor` says what else is \
             missing, and `--cluster sim` needs neither"
        }
        Some(ClusterError::Missing { .. }) => "`recoup doctor` shows everything that is needed",
        Some(ClusterError::Foreign { .. }) => {
            "nothing was changed; `recoup cluster list` shows who made what"
        }
        Some(
            ClusterError::Command { .. } | ClusterError::Kubernetes { .. } | ClusterError::TimedOut { .. },
        ) => "`recoup doctor` checks what a cluster needs of this machine",
        _ => "",
    };
    if !text.is_empty() {
        return Some(text.to_owned());
    }
    if cause.downcast_ref::<SuiteError>().is_some() {
        return Some("suites/README.md lists every field; nothing was run".to_owned());
    }
    match cause.downcast_ref::<ReadError>() {
        Some(ReadError::Version { .. }) => Some(
            "read it with the version of recoup that wrote it (the field `recoup` of its first line)"
                .to_owned(),
        ),
        Some(ReadError::Damaged { .. }) => Some(
            "the record was changed after it was written; junit.xml and results.json beside it may be whole"
                .to_owned(),
        ),
        Some(ReadError::Empty { .. }) => {
            Some("the run died before its first event: there is nothing to read".to_owned())
        }
        Some(ReadError::File { .. }) => Some(
            "give a run's directory, or its name below --runs, as in recoup-runs/20260131T120000Z-42"
                .to_owned(),
        ),
        Some(ReadError::Senseless { .. }) => {
            Some("the file was put together by hand, or its beginning is lost".to_owned())
        }
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_names_every_code() {
        let all = [
            Exit::Passed,
            Exit::Failed,
            Exit::Usage,
            Exit::Inconclusive,
            Exit::NoCluster,
            Exit::Foreign,
            Exit::Record,
            Exit::Io,
            Exit::Unhealed,
            Exit::Interrupted,
        ];
        let told: Vec<&str> =
            HELP.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
        let given: Vec<String> = all.iter().map(|exit| (*exit as u8).to_string()).collect();
        assert_eq!(told, given);
    }

    #[test]
    fn a_cause_deep_in_the_chain_gives_the_code_and_the_help() {
        let error = EngineError::Cluster(ClusterError::Foreign { name: "prod".into() });
        let error = anyhow::Error::new(error).context("etcd/leader-loss/kill");
        assert_eq!(Exit::of_error(&error), Exit::Foreign);
        let text = explain(&error);
        assert!(text.starts_with("error: etcd/leader-loss/kill: cluster \"prod\" exists"), "{text}");
        assert_eq!(text.matches("prod").count(), 2, "told once, as name and as flag: {text}");
        assert!(text.contains("\n  help: nothing was changed"), "{text}");
    }
}
