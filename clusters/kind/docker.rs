//! The Docker engine: commands and files inside node containers, and freezing them.

use std::{fmt::Write as _, time::Duration};

use bollard::{
    container::LogOutput,
    errors::Error,
    exec::{CreateExecOptions, StartExecResults},
    query_parameters::InspectContainerOptions,
};
use futures::StreamExt;
use tokio::{io::AsyncWriteExt, time::timeout};

use crate::ClusterError;

/// A command in a node is given up after this long: a healthy one answers in 0.1 s, a node under load in seconds.
const EXEC_DEADLINE: Duration = Duration::from_secs(30);

/// How long an engine may take to say that it is there.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// A connection to the Docker engine that kind uses. Cheap to clone.
#[derive(Clone)]
pub struct Docker {
    pub(super) engine: bollard::Docker,
}

/// How a command in a container ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Its exit status.
    pub status: i64,
    /// What it wrote to stdout.
    pub stdout: Vec<u8>,
    /// What it wrote to stderr.
    pub stderr: Vec<u8>,
}

/// What a figure must be seen beside: the engine's machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Engine {
    /// The engine's version.
    pub version: String,
    /// The API version that was agreed on.
    pub api: String,
    /// Kernel release of the machine that runs the containers.
    pub kernel: String,
    /// Its logical processors.
    pub cpus: u32,
    /// Its memory in bytes.
    pub memory: u64,
    /// Its cgroup version: `1` or `2`.
    pub cgroups: String,
    /// Where the engine keeps its images and containers.
    pub root: String,
}

impl Docker {
    /// Connects to `DOCKER_HOST`, or to the default socket, and agrees on an API version.
    ///
    /// # Errors
    /// [`ClusterError::Missing`] where no engine answers.
    pub async fn connect() -> Result<Docker, ClusterError> {
        let missing = |source: &dyn std::fmt::Display| {
            ClusterError::Missing {
            missing: format!("docker does not answer ({source})"),
            remedy: "start the Docker engine, allow this user its socket (group `docker`), or point DOCKER_HOST at it \
                     (rootless: unix://$XDG_RUNTIME_DIR/docker.sock; other contexts: `docker context inspect`)"
                .to_owned(),
        }
        };
        let engine = bollard::Docker::connect_with_defaults().map_err(|error| missing(&error))?;
        let engine = timeout(CONNECT_DEADLINE, engine.negotiate_version())
            .await
            .map_err(|_| missing(&format!("no answer within {} s", CONNECT_DEADLINE.as_secs())))?
            .map_err(|error| missing(&error))?;
        Ok(Docker { engine })
    }

    /// The engine and its machine.
    ///
    /// # Errors
    /// Where the engine does not answer.
    pub async fn engine(&self) -> Result<Engine, ClusterError> {
        let info = self.engine.info().await.map_err(failed("read its information"))?;
        Ok(Engine {
            version: info.server_version.unwrap_or_default(),
            api: self.engine.client_version().to_string(),
            kernel: info.kernel_version.unwrap_or_default(),
            cpus: info.ncpu.and_then(|cpus| u32::try_from(cpus).ok()).unwrap_or_default(),
            memory: info.mem_total.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or_default(),
            cgroups: info.cgroup_version.map(|version| version.to_string()).unwrap_or_default(),
            root: info.docker_root_dir.unwrap_or_default(),
        })
    }

    /// Is that image on this machine?
    ///
    /// # Errors
    /// Where the engine does not answer.
    pub async fn has_image(&self, name: &str) -> Result<bool, ClusterError> {
        match self.engine.inspect_image(name).await {
            Ok(_) => Ok(true),
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(false),
            Err(error) => Err(failed(format!("look for image {name}"))(error)),
        }
    }

    /// Runs a command in a container, for at most 30 s.
    ///
    /// # Errors
    /// Where it could not be run; not for its exit status.
    pub async fn exec(
        &self,
        container: &str,
        argv: &[&str],
        stdin: Option<Vec<u8>>,
    ) -> Result<Output, ClusterError> {
        self.exec_within(EXEC_DEADLINE, container, argv, stdin).await
    }

    /// Runs a command in a container, for at most `deadline`.
    ///
    /// # Errors
    /// Where it could not be run or did not end in time; not for its exit status.
    ///
    /// # Caveats
    /// A command that did not end in time goes on in the container: Docker cannot end it.
    pub async fn exec_within(
        &self,
        deadline: Duration,
        container: &str,
        argv: &[&str],
        stdin: Option<Vec<u8>>,
    ) -> Result<Output, ClusterError> {
        let command = command_line(container, argv, stdin.is_some());
        timeout(deadline, self.run(container, argv, stdin))
            .await
            .map_err(|_| ClusterError::TimedOut {
                waited: deadline,
                what: format!("`{command}`"),
                last: "it still runs".to_owned(),
            })?
            .map_err(failed(format!("run `{command}`")))
    }

    async fn run(&self, container: &str, argv: &[&str], stdin: Option<Vec<u8>>) -> Result<Output, Error> {
        let options = CreateExecOptions {
            attach_stdin: Some(stdin.is_some()),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(argv.to_vec()),
            ..CreateExecOptions::default()
        };
        let exec = self.engine.create_exec(container, options).await?;
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        if let StartExecResults::Attached { mut output, mut input } =
            self.engine.start_exec(&exec.id, None).await?
        {
            // Beside reading: a command that answers while it is fed would block on a full pipe otherwise.
            let feed = async {
                if let Some(bytes) = stdin {
                    // A command may end without reading all: its exit status tells, not the broken pipe.
                    if input.write_all(&bytes).await.is_ok() {
                        input.shutdown().await.ok();
                    }
                }
            };
            let read = async {
                while let Some(part) = output.next().await {
                    match part? {
                        LogOutput::StdErr { message } => stderr.extend_from_slice(&message),
                        LogOutput::StdOut { message } | LogOutput::Console { message } => {
                            stdout.extend_from_slice(&message);
                        }
                        LogOutput::StdIn { .. } => {}
                    }
                }
                Ok::<(), Error>(())
            };
            futures::future::join(feed, read).await.1?;
        }
        // The stream can end a moment before the engine has noted the exit status.
        loop {
            let state = self.engine.inspect_exec(&exec.id).await?;
            match state.exit_code {
                Some(status) if state.running != Some(true) => return Ok(Output { status, stdout, stderr }),
                _ => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }

    /// Runs a POSIX shell script in a container and returns its stdout.
    ///
    /// # Errors
    /// [`ClusterError::Command`] where it exits with another status than 0.
    pub async fn shell(&self, container: &str, script: &str) -> Result<String, ClusterError> {
        let argv = ["sh", "-c", script];
        let output = self.exec(container, &argv, None).await?;
        let output = succeeded(container, &argv, output)?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The bytes of a file in a container.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub async fn read_file(&self, container: &str, path: &str) -> Result<Vec<u8>, ClusterError> {
        let argv = ["cat", "--", path];
        let output = self.exec(container, &argv, None).await?;
        Ok(succeeded(container, &argv, output)?.stdout)
    }

    /// Writes a file in a container, by rename, so that no reader sees half of it. `mode` as in `0644`.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn write_file(
        &self,
        container: &str,
        path: &str,
        mode: u32,
        bytes: &[u8],
    ) -> Result<(), ClusterError> {
        let script = format!(
            "set -e; f={path}; umask 077; cat > \"$f.recoup-new\"; chmod {mode:o} \"$f.recoup-new\"; mv \"$f.recoup-new\" \"$f\"",
            path = quoted(path)
        );
        let argv = ["sh", "-c", &script];
        let output = self.exec(container, &argv, Some(bytes.to_vec())).await?;
        succeeded(container, &argv, output).map(drop)
    }

    /// Freezes every process of a container; false where it was frozen already.
    ///
    /// # Errors
    /// Where the engine refuses.
    pub async fn pause(&self, container: &str) -> Result<bool, ClusterError> {
        if self.is_paused(container).await? {
            return Ok(false);
        }
        self.engine.pause_container(container).await.map_err(failed(format!("pause {container}")))?;
        Ok(true)
    }

    /// Thaws a container; false where it was not frozen.
    ///
    /// # Errors
    /// Where the engine refuses.
    pub async fn unpause(&self, container: &str) -> Result<bool, ClusterError> {
        if !self.is_paused(container).await? {
            return Ok(false);
        }
        self.engine.unpause_container(container).await.map_err(failed(format!("unpause {container}")))?;
        Ok(true)
    }

    /// Is the container frozen?
    ///
    /// # Errors
    /// Where there is no such container.
    pub async fn is_paused(&self, container: &str) -> Result<bool, ClusterError> {
        let found = self
            .engine
            .inspect_container(container, None::<InspectContainerOptions>)
            .await
            .map_err(failed(format!("inspect {container}")))?;
        Ok(found.state.and_then(|state| state.paused).unwrap_or(false))
    }
}

/// The error of a failed request to the engine.
pub(super) fn failed(doing: impl Into<String>) -> impl FnOnce(Error) -> ClusterError {
    move |error| ClusterError::Docker { doing: doing.into(), source: Box::new(error) }
}

/// The output of a command that ended well.
pub(super) fn succeeded(container: &str, argv: &[&str], output: Output) -> Result<Output, ClusterError> {
    if output.status == 0 {
        return Ok(output);
    }
    let mut said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if said.is_empty() {
        said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    }
    Err(ClusterError::Command {
        command: command_line(container, argv, false),
        status: format!("exit status {}", output.status),
        output: said,
    })
}

/// The line that does the same in a terminal.
fn command_line(container: &str, argv: &[&str], stdin: bool) -> String {
    let mut line = format!("docker exec {}{container}", if stdin { "-i " } else { "" });
    for argument in argv {
        let _ = write!(line, " {}", quoted(argument));
    }
    line
}

/// One word of a POSIX shell, whatever is in it.
pub(super) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_survives_the_shell() {
        for word in ["plain", "", "two words", "it's", "$HOME `x` \"y\" \\", "*"] {
            let echoed = std::process::Command::new("sh")
                .args(["-c", &format!("printf %s {}", quoted(word))])
                .output()
                .expect("sh runs");
            assert_eq!(String::from_utf8_lossy(&echoed.stdout), word);
        }
    }

    #[test]
    fn a_failed_command_can_be_pasted() {
        let output = Output { status: 3, stdout: b"out".to_vec(), stderr: b"no such file\n".to_vec() };
        let error = succeeded("node1", &["sh", "-c", "cat 'a b'"], output).expect_err("it failed");
        assert_eq!(
            error.to_string(),
            r"`docker exec node1 sh -c 'cat '\''a b'\'''` failed (exit status 3): no such file"
        );
    }
}
