//! The harness' side: starts the reaper and, at an orderly end, dismisses it.

use std::{
    ffi::OsString,
    fs::OpenOptions,
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use super::{END, LOG, WATCHING};

/// A process of the same program is on watch within some 20 ms; a busy machine needs longer.
const START_LIMIT: Duration = Duration::from_secs(10);
/// A dismissed reaper ends within milliseconds.
const END_LIMIT: Duration = Duration::from_secs(2);

/// How a process that calls [`super::watch`] is started.
#[derive(Clone, Debug)]
pub struct Command {
    /// The program.
    pub program: PathBuf,
    /// Its arguments; the run's directory follows them.
    pub arguments: Vec<OsString>,
    /// A variable of its environment that names the run's directory, where arguments cannot.
    pub variable: Option<OsString>,
}

/// The harness' hold on its reaper. When the process ends in whatever way without [`Reaper::dismiss`], the reaper
/// goes to work.
#[derive(Debug)]
pub struct Reaper {
    child: Child,
    // Closed on exec by the standard library, so that no child of the harness holds it open.
    pipe: ChildStdin,
}

impl Reaper {
    /// Starts it, and waits until it is on watch.
    ///
    /// # Errors
    /// Where it cannot be started: the run's faults then rest on the nodes' own deadlines and `recoup heal`.
    pub fn start(command: &Command, dir: &Path) -> io::Result<Reaper> {
        let dir = dir.canonicalize()?;
        let log = OpenOptions::new().create(true).append(true).open(dir.join(LOG))?;
        let mut process = std::process::Command::new(&command.program);
        process.args(&command.arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        match &command.variable {
            Some(variable) => process.env(variable, &dir),
            None => process.arg(&dir),
        };
        // A group of its own: Ctrl-C at a terminal, and whoever kills the harness' group, pass it by.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut process, 0);
        let mut child = process.spawn()?;
        let gone = || io::Error::other("it ended at once");
        let pipe = child.stdin.take().ok_or_else(gone)?;
        let heard = child.stdout.take().map(BufReader::new).ok_or_else(gone)?;
        match hear(heard, START_LIMIT) {
            Some(line) if line == WATCHING => Ok(Reaper { child, pipe }),
            other => {
                drop(pipe);
                // A process of our own that does not what it should; it has nothing to undo yet.
                child.kill().and_then(|()| child.wait()).map(drop).unwrap_or_default();
                let said = other.filter(|line| !line.is_empty()).unwrap_or_else(|| "nothing".into());
                Err(io::Error::other(format!("it did not go on watch (it said {:?})", said.trim())))
            }
        }
    }

    /// The reaper's process number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The run came to an orderly end: the reaper has nothing to do.
    ///
    /// # Errors
    /// Where the reaper was gone already.
    pub fn dismiss(mut self) -> io::Result<()> {
        let told = self.pipe.write_all(END.as_bytes());
        drop(self.pipe);
        let deadline = Instant::now() + END_LIMIT;
        // So that no dead process is left for whoever inherits it.
        while self.child.try_wait()?.is_none() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(2));
        }
        told
    }
}

/// The first line, if it comes within the limit.
fn hear(mut from: impl BufRead + Send + 'static, limit: Duration) -> Option<String> {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        if from.read_line(&mut line).is_ok() {
            // Nobody listens where the limit is over.
            tell.send(line).ok();
        }
    });
    told.recv_timeout(limit).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let arguments = ["-c", script, "reaper"].map(OsString::from).to_vec();
        Command { program: "sh".into(), arguments, variable: None }
    }

    #[test]
    fn the_reaper_hears_of_an_orderly_end_and_of_none() {
        for (orderly, expected) in [(true, "end\n"), (false, "")] {
            let dir = tempfile::tempdir().expect("a directory");
            let command = shell(r#"echo watching; cat > "$1/heard"; touch "$1/over""#);
            let reaper = Reaper::start(&command, dir.path()).expect("it watches");
            if orderly {
                reaper.dismiss().expect("it listened");
            } else {
                // As at the harness' death: the pipe is closed by the kernel.
                let Reaper { mut child, pipe } = reaper;
                drop(pipe);
                child.wait().expect("it ended");
            }
            assert!(dir.path().join("over").exists());
            assert_eq!(std::fs::read_to_string(dir.path().join("heard")).expect("text"), expected);
        }
    }

    #[test]
    fn a_reaper_that_cannot_watch_is_an_error() {
        let dir = tempfile::tempdir().expect("a directory");
        for command in
            [shell("exit 3"), shell("echo no"), Command { program: "/nonexistent".into(), ..shell("") }]
        {
            let error =
                Reaper::start(&command, dir.path()).map(|reaper| reaper.pid()).expect_err("it cannot");
            assert!(!error.to_string().is_empty());
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn no_child_of_the_harness_holds_the_pipe() {
        let dir = tempfile::tempdir().expect("a directory");
        let reaper = Reaper::start(&shell(r#"echo watching; cat > /dev/null; touch "$1/over""#), dir.path());
        let Reaper { child: mut watching, pipe } = reaper.expect("it watches");
        let mut other = std::process::Command::new("sleep").arg("60").spawn().expect("started");
        drop(pipe);
        let deadline = Instant::now() + Duration::from_secs(10);
        while watching.try_wait().expect("known").is_none() {
            assert!(Instant::now() < deadline, "somebody else holds the pipe");
            std::thread::sleep(Duration::from_millis(5));
        }
        other.kill().and_then(|()| other.wait()).expect("ended");
    }
}
