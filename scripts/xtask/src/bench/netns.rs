//! Two network namespaces with a line between them, and recoup's program at the end of it.

use std::{
    fs::File,
    net::Ipv4Addr,
    os::fd::AsFd as _,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use recoup_clusters::kind::delay_program;
use rustix::{
    process::{Pid, Signal, kill_process},
    thread::{LinkNameSpaceType, move_into_link_name_space},
};
use tempfile::TempDir;

use crate::output;

/// Any number, in namespaces of our own.
const QUEUE: &str = "29000";
/// The program binds its queue at once.
const STARTS: Duration = Duration::from_secs(10);
/// For documentation and tests (RFC 5737).
const HERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const THERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

/// The namespaces; gone when it is dropped.
pub struct Pair {
    names: [String; 2],
    dir: TempDir,
    /// The address of the far end.
    pub there: Ipv4Addr,
}

/// A way into one of them.
pub struct Namespace(File);

impl Namespace {
    /// This thread's new sockets are there from now on.
    pub fn enter(&self) -> Result<()> {
        move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network))
            .context("entering a network namespace")
    }
}

impl Pair {
    /// Makes them, with a rule that hands what arrives at the far end to the program's queue.
    pub fn new() -> Result<Pair> {
        let id = std::process::id();
        let dir = tempfile::tempdir().context("a folder")?;
        let pair =
            Pair { names: ["a", "b"].map(|end| format!("recoup-bench-{id}-{end}")), dir, there: THERE };
        let program = pair.program();
        std::fs::write(&program, delay_program()?)?;
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755))?;
        let [a, b] = &pair.names;
        let (here, there) = (format!("{HERE}/24"), format!("{THERE}/24"));
        for line in [
            &["netns", "add", a][..],
            &["netns", "add", b],
            &["link", "add", "near", "netns", a, "type", "veth", "peer", "name", "far", "netns", b],
            &["-n", a, "address", "add", &here, "dev", "near"],
            &["-n", b, "address", "add", &there, "dev", "far"],
            &["-n", a, "link", "set", "near", "up"],
            &["-n", b, "link", "set", "far", "up"],
        ] {
            output(Command::new("ip").args(line))?;
        }
        let rule = ["iptables", "-t", "mangle", "-A", "PREROUTING", "-i", "far", "-j", "NFQUEUE"];
        output(pair.inside(b).args(rule).args(["--queue-num", QUEUE, "--queue-bypass"]))?;
        Ok(pair)
    }

    fn program(&self) -> PathBuf {
        self.dir.path().join("recoup-delay")
    }

    fn inside(&self, name: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", name]);
        command
    }

    /// Where packets come from.
    pub fn near(&self) -> Result<Namespace> {
        self.open(0)
    }

    /// Where they arrive.
    pub fn far(&self) -> Result<Namespace> {
        self.open(1)
    }

    fn open(&self, end: usize) -> Result<Namespace> {
        let path = format!("/var/run/netns/{}", self.names[end]);
        File::open(&path).map(Namespace).with_context(|| path)
    }

    /// Holds what arrives at the far end.
    pub fn hold(&self, delay: Duration, life: Duration) -> Result<Holder> {
        let stats = self.dir.path().join("stats");
        // An earlier one's.
        let _ = std::fs::remove_file(&stats);
        let options = ["--jitter", "0", "--loss", "0", "--bandwidth", "0", "--seed", "1", "--queue", QUEUE];
        let mut command = self.inside(&self.names[1]);
        command.arg(self.program()).arg("hold").args(options);
        command.args(["--delay", &delay.as_micros().to_string(), "--life", &life.as_secs().to_string()]);
        let child = command.arg("--stats").arg(&stats).stdin(Stdio::null()).spawn()?;
        let mut holder = Holder(child);
        let began = Instant::now();
        while !stats.exists() {
            if let Some(status) = holder.0.try_wait()? {
                bail!("the program ended: {status}");
            }
            if began.elapsed() > STARTS {
                bail!("the program did not begin to hold packets");
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(holder)
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        for name in &self.names {
            // One that was not made is gone already.
            let _ = Command::new("ip").args(["netns", "delete", name]).stderr(Stdio::null()).status();
        }
    }
}

/// The program at work; ended when it is dropped.
pub struct Holder(Child);

impl Holder {
    /// Asks it to end, and waits until it has.
    pub fn end(mut self) -> Result<()> {
        // `ip netns exec` has become the program.
        if let Some(pid) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            kill_process(pid, Signal::TERM)?;
        }
        let status = self.0.wait()?;
        if status.success() { Ok(()) } else { bail!("the program ended with {status}") }
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
