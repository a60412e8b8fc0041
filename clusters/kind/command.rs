//! The `kind` command.

use std::{path::Path, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
    time::timeout,
};

use super::docker::quoted;
use crate::{ClusterError, Progress};

/// Lines of a failed command that go into its error.
const KEPT_LINES: usize = 40;

/// How long commands that only look may take.
const LOOK_DEADLINE: Duration = Duration::from_secs(30);

/// kind's version, as in `v0.27.0`.
///
/// # Errors
/// [`ClusterError::Missing`] where there is no `kind` in the PATH.
pub async fn version() -> Result<String, ClusterError> {
    let said = look(&["version"]).await?;
    Ok(said.split_whitespace().nth(1).unwrap_or(said.trim()).to_owned())
}

/// The kubeconfig of a cluster, for this machine; no file of the user's is touched.
///
/// # Errors
/// kind's own.
pub async fn kubeconfig(cluster: &str) -> Result<String, ClusterError> {
    look(&["get", "kubeconfig", "--name", cluster]).await
}

/// `kind create cluster`. What kind says goes to `progress`, and `prepared` is told once the nodes' containers run.
///
/// # Errors
/// kind's own message. Containers stay, so that their logs can be read.
pub async fn create(
    cluster: &str,
    image: &str,
    config: &Path,
    kubeconfig: &Path,
    progress: Progress<'_>,
    prepared: tokio::sync::oneshot::Sender<()>,
) -> Result<(), ClusterError> {
    let (config, kubeconfig) = (config.to_string_lossy(), kubeconfig.to_string_lossy());
    // No --wait: it looks at control planes only; we wait for all nodes.
    let arguments = [
        "create",
        "cluster",
        "--name",
        cluster,
        "--image",
        image,
        "--config",
        &config,
        "--kubeconfig",
        &kubeconfig,
        "--retain",
    ];
    let mut prepared = Some(prepared);
    watch(&arguments, &mut |line| {
        if line.contains("✓ Preparing nodes")
            && let Some(prepared) = prepared.take()
        {
            // Nobody listens where the caller has given up.
            prepared.send(()).ok();
        }
        if let Some(step) = line.strip_prefix("✓ ") {
            progress(format!(
                "kind: {}",
                step.trim_end_matches(|c: char| !c.is_ascii_alphanumeric() && c != ')')
            ));
        }
    })
    .await
}

/// `kind delete cluster`.
///
/// # Errors
/// kind's own message.
pub async fn delete(cluster: &str, kubeconfig: &Path) -> Result<(), ClusterError> {
    let kubeconfig = kubeconfig.to_string_lossy();
    watch(&["delete", "cluster", "--name", cluster, "--kubeconfig", &kubeconfig], &mut |_| ()).await
}

/// `kind export logs` into a directory.
///
/// # Errors
/// kind's own message.
pub async fn export_logs(cluster: &str, into: &Path) -> Result<(), ClusterError> {
    watch(&["export", "logs", &into.to_string_lossy(), "--name", cluster], &mut |_| ()).await
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new("kind");
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    // The rest of this provider speaks to Docker; kind would take podman where that alone is installed.
    command.env("KIND_EXPERIMENTAL_PROVIDER", "docker");
    // Ctrl-C is for recoup to handle: it undoes what kind has begun.
    #[cfg(unix)]
    command.process_group(0);
    command
}

fn line(arguments: &[&str]) -> String {
    let words: Vec<String> = arguments.iter().map(|word| quoted(word)).collect();
    format!("kind {}", words.join(" "))
}

fn not_started(source: std::io::Error) -> ClusterError {
    if source.kind() == std::io::ErrorKind::NotFound {
        return ClusterError::Missing {
            missing: "there is no `kind` in the PATH".to_owned(),
            remedy: "install kind 0.27 or newer (https://kind.sigs.k8s.io)".to_owned(),
        };
    }
    ClusterError::File { path: "kind".to_owned(), source }
}

/// Runs a command that changes nothing and returns its stdout.
async fn look(arguments: &[&str]) -> Result<String, ClusterError> {
    let output = timeout(LOOK_DEADLINE, command(arguments).output())
        .await
        .map_err(|_| ClusterError::TimedOut {
            waited: LOOK_DEADLINE,
            what: format!("`{}`", line(arguments)),
            last: "it still ran".to_owned(),
        })?
        .map_err(not_started)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(ClusterError::Command {
        command: line(arguments),
        status: output.status.to_string(),
        output: told(String::from_utf8_lossy(&output.stderr).lines().map(str::to_owned).collect()),
    })
}

/// Runs a command and hands on each line of its stderr, which is where kind reports.
async fn watch(arguments: &[&str], told_line: &mut (dyn FnMut(&str) + Send)) -> Result<(), ClusterError> {
    let mut command = command(arguments);
    let mut child = command.stdout(Stdio::null()).spawn().map_err(not_started)?;
    let failed = |source| ClusterError::File { path: line(arguments), source };
    let mut said = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        let mut lines = BufReader::new(stderr).lines();
        while let Some(next) = lines.next_line().await.map_err(failed)? {
            told_line(next.trim());
            said.push(next);
        }
    }
    let status = child.wait().await.map_err(failed)?;
    if status.success() {
        return Ok(());
    }
    Err(ClusterError::Command { command: line(arguments), status: status.to_string(), output: told(said) })
}

/// The part of kind's report that says what went wrong: from its ERROR line on, else its last lines.
fn told(lines: Vec<String>) -> String {
    let from = lines
        .iter()
        .position(|line| line.starts_with("ERROR"))
        .unwrap_or_else(|| lines.len().saturating_sub(KEPT_LINES));
    let lines = &lines[from..];
    if lines.len() <= KEPT_LINES {
        return lines.join("\n");
    }
    // The first line is kind's summary, the last ones are kubeadm's own reasons.
    format!("{}\n[…]\n{}", lines[0], lines[lines.len() - KEPT_LINES..].join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_holds_kinds_own_words() {
        let mut lines: Vec<String> =
            vec![" ✓ Preparing nodes".into(), "ERROR: failed to create cluster: no".into()];
        assert_eq!(told(lines.clone()), "ERROR: failed to create cluster: no");
        lines.extend((0..100).map(|number| format!("kubeadm says {number}")));
        let long = told(lines);
        assert!(long.starts_with("ERROR: failed to create cluster: no\n[…]\n"), "{long}");
        assert!(long.ends_with("kubeadm says 99") && long.lines().count() == KEPT_LINES + 2, "{long}");
        assert_eq!(told(vec!["only this".into()]), "only this");
    }

    #[tokio::test]
    async fn a_command_line_can_be_pasted() {
        assert_eq!(line(&["get", "kubeconfig", "--name", "a b"]), "kind get kubeconfig --name 'a b'");
    }
}
