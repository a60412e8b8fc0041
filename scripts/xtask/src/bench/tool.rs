//! Load tools of Debian's packages, as they are called and as they answer.

use std::{process::Command, time::Duration};

use anyhow::{Context as _, Result, bail};
use recoup_engine::overhead::used;

/// A tool. All of them are closed loops: a connection waits for its answer before it asks again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// hey, in Go, with HTTP/2.
    Hey,
    /// h2load of nghttp2, in C, with HTTP/2.
    H2load,
    /// wrk, in C, with HTTP/1.1.
    Wrk,
}

/// What a tool came to.
pub struct Ran {
    /// Requests that it says were answered.
    pub requests: u64,
    /// Processor time that it used.
    pub cpu: Duration,
    /// How long each request took by itself, in seconds; empty where the tool does not tell.
    pub times: Vec<f64>,
}

impl Tool {
    /// All of them.
    pub const ALL: [Tool; 3] = [Tool::Hey, Tool::H2load, Tool::Wrk];

    /// Its command and protocol.
    pub fn name(self) -> &'static str {
        match self {
            Tool::Hey => "hey -h2",
            Tool::H2load => "h2load -m 1",
            Tool::Wrk => "wrk (HTTP/1.1)",
        }
    }

    fn program(self) -> &'static str {
        match self {
            Tool::Hey => "hey",
            Tool::H2load => "h2load",
            Tool::Wrk => "wrk",
        }
    }

    /// It is installed.
    pub fn is_there(self) -> bool {
        let paths = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&paths).any(|dir| dir.join(self.program()).is_file())
    }

    /// Has it ask for so long over so many connections, as fast as it can; with every time where `times` is set.
    ///
    /// # Errors
    /// Where it fails, or its answer is not understood.
    pub fn run(self, url: &str, connections: u32, length: Duration, times: bool) -> Result<Ran> {
        let (count, seconds) = (connections.to_string(), length.as_secs().max(1).to_string());
        let lasts = format!("{seconds}s");
        let mut command = Command::new(self.program());
        match self {
            Tool::Hey => {
                // It sends the address as the server's name otherwise, which TLS forbids.
                command.args(["-h2", "-host", "localhost", "-c", &count, "-z", &lasts]);
                if times {
                    command.args(["-o", "csv"]);
                }
            }
            Tool::H2load => {
                command.args(["-c", &count, "-m", "1", "-t", "2", "-D", &seconds]);
            }
            Tool::Wrk => {
                command.args(["-t", "2", "-c", &count, "-d", &lasts]);
            }
        }
        command.arg(url);
        let before = children()?;
        let out = command.output().with_context(|| format!("{command:?}"))?;
        let cpu = children()?.saturating_sub(before);
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        if !out.status.success() {
            bail!("{command:?}: {}: {text}{}", out.status, String::from_utf8_lossy(&out.stderr));
        }
        if times && self == Tool::Hey {
            // response-time first; a header before.
            let first = |line: &str| line.split(',').next()?.parse::<f64>().ok();
            let times: Vec<f64> = text.lines().skip(1).filter_map(first).collect();
            return Ok(Ran { requests: times.len() as u64, cpu, times });
        }
        let requests = self.requests(&text).with_context(|| format!("{command:?} told {text}"))?;
        Ok(Ran { requests, cpu, times: Vec::new() })
    }

    /// The number of good answers in what it prints.
    fn requests(self, text: &str) -> Option<u64> {
        let before = |line: &str, word: &str| {
            let words: Vec<&str> = line.split([' ', '\t', ',']).filter(|part| !part.is_empty()).collect();
            let at = words.iter().position(|part| part.starts_with(word))?;
            words.get(at.checked_sub(1)?)?.parse().ok()
        };
        match self {
            // `[200]	12345 responses`
            Tool::Hey => text.lines().find_map(|line| before(line, "responses")),
            // `requests: 10 total, 10 started, 10 done, 10 succeeded, 0 failed, ...`
            Tool::H2load => text.lines().find_map(|line| before(line, "succeeded")),
            // `12345 requests in 8.00s, 1.23MB read`
            Tool::Wrk => text.lines().find_map(|line| before(line, "requests")),
        }
    }
}

/// Processor time of all children that have ended.
fn children() -> Result<Duration> {
    let used = used().context("what a process uses is told on Linux alone")?;
    Ok(Duration::from_millis(used.children_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tools_print_is_read() {
        assert_eq!(Tool::Hey.requests("Status code distribution:\n  [200]\t4711 responses\n"), Some(4711));
        let h2load = "requests: 12 total, 12 started, 12 done, 11 succeeded, 1 failed, 0 errored, 0 timeout";
        assert_eq!(Tool::H2load.requests(h2load), Some(11));
        assert_eq!(Tool::Wrk.requests("  815 requests in 1.00s, 99.00KB read\n"), Some(815));
        assert_eq!(Tool::Wrk.requests("unable to connect"), None);
    }
}
