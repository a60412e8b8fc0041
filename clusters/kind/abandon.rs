//! Clears away a cluster whose maker was killed: kind itself may still be at work on it, and containers that
//! Docker was asked for may still come.

use std::{fs, path::Path, time::Duration};

use tokio::{
    process::Command,
    time::{Instant, sleep},
};

use super::{
    docker::Docker,
    provider::{SCRATCH, delete},
};
use crate::{ClusterError, Progress};

/// Nothing of the cluster may show for this long: Docker starts a container within a second of being asked.
const QUIET: Duration = Duration::from_millis(1500);
/// It is given up after this long; a reaper or `recoup heal` tries again.
const LIMIT: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(250);

/// Deletes whatever bears the name until nothing more comes; false where there was nothing.
pub(super) async fn abandon(
    docker: &Docker,
    name: &str,
    progress: Progress<'_>,
) -> Result<bool, ClusterError> {
    let deadline = Instant::now() + LIMIT;
    let (mut found, mut quiet) = (false, Instant::now());
    loop {
        for pid in makers(Path::new("/proc"), name) {
            progress(format!("ending kind (process {pid}), which still makes cluster {name}"));
            end(pid).await;
            (found, quiet) = (true, Instant::now());
        }
        let containers = docker.containers(name).await?;
        if containers.is_empty() {
            if quiet.elapsed() >= QUIET {
                return Ok(found);
            }
        } else if Instant::now() >= deadline {
            return Err(ClusterError::TimedOut {
                waited: LIMIT,
                what: format!("the end of cluster {name}"),
                last: format!("{} of its containers are still there", containers.len()),
            });
        } else {
            progress(format!("deleting kind cluster {name} ({} containers)", containers.len()));
            // A frozen container does not die of a signal.
            for frozen in containers.iter().filter(|container| container.paused) {
                docker.unpause(&frozen.name).await?;
            }
            let deleted = delete(name).await;
            (found, quiet) = (true, Instant::now());
            // kind may have stumbled over a container that was just being made: the next look decides.
            if let Err(error) = deleted {
                progress(format!("once more: {error}"));
            }
        }
        sleep(LOOK).await;
    }
}

/// Processes that make the cluster for a recoup: its arguments name the cluster and a folder of ours.
fn makers(proc: &Path, name: &str) -> Vec<u32> {
    let Ok(entries) = fs::read_dir(proc) else { return Vec::new() };
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    numbers
        .filter(|pid| {
            let line = fs::read(proc.join(pid.to_string()).join("cmdline")).unwrap_or_default();
            let words: Vec<String> = line
                .split(|byte| *byte == 0)
                .map(|word| String::from_utf8_lossy(word).into_owned())
                .collect();
            makes(&words, name)
        })
        .collect()
}

fn makes(words: &[String], name: &str) -> bool {
    let after = |flag: &str| words.windows(2).find(|pair| pair[0] == flag).map(|pair| pair[1].as_str());
    let program =
        words.first().is_some_and(|word| Path::new(word).file_name().is_some_and(|file| file == "kind"));
    program
        && words.iter().skip(1).take(2).eq(["create", "cluster"].iter())
        && after("--name") == Some(name)
        && after("--config").is_some_and(|config| config.contains(&format!("/{SCRATCH}")))
}

/// Kills kind with the docker commands that it has started: recoup gives it a process group of its own.
async fn end(pid: u32) {
    let group = format!("-{pid}");
    let killed = Command::new("kill").args(["-s", "KILL", "--", &group]).output().await;
    if let Err(error) = killed {
        tracing::warn!(%error, pid, "kind could not be ended");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_kind_that_recoup_started_for_that_very_cluster_is_its_maker() {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let ours = "kind create cluster --name c --image i --config /tmp/recoup-kind-a1/kind.yaml --retain";
        assert!(makes(&words(ours), "c"));
        assert!(makes(&words(&format!("/usr/local/bin/{ours}")), "c"));
        for other in [
            ours.replace("--name c", "--name c2"),
            ours.replace("/recoup-kind-a1/", "/mine/"),
            ours.replace("create", "delete"),
            ours.replace("kind create", "vi create"),
            format!("sh -c {ours}"),
            String::new(),
        ] {
            assert!(!makes(&words(&other), "c"), "{other}");
        }
    }

    #[test]
    fn a_process_table_is_read_and_strange_entries_are_passed_over() {
        let proc = tempfile::tempdir().expect("a directory");
        for (pid, line) in [
            ("12", "kind\0create\0cluster\0--name\0c\0--config\0/tmp/recoup-kind-x/kind.yaml\0"),
            ("13", "kind\0get\0clusters\0"),
            ("self", "kind\0create\0cluster\0--name\0c\0--config\0/tmp/recoup-kind-x/kind.yaml\0"),
        ] {
            fs::create_dir(proc.path().join(pid)).expect("made");
            fs::write(proc.path().join(pid).join("cmdline"), line).expect("written");
        }
        fs::create_dir(proc.path().join("14")).expect("made");
        assert_eq!(makers(proc.path(), "c"), [12]);
    }
}
