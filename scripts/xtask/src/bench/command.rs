//! The subcommands and their arguments.

use std::{ffi::OsStr, path::PathBuf, process::Command};

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use recoup_model::time::Span;

use super::{accuracy, delay, open_loop, overhead, serve};

/// Which measurement.
#[derive(Subcommand)]
pub enum Bench {
    /// Known outages of servers on this machine, against what the probes make of them.
    Accuracy(Accuracy),
    /// Processor time and memory of the harness by the number of probes a second.
    Overhead(Overhead),
    /// How exactly packets are held back where the kernel lacks netem. Needs root and NFQUEUE.
    Delay(Delay),
    /// What a load costs its generator, beside well-known load tools, and what either tells of a server that stalls.
    Load(Load),
    /// Servers for `overhead` and `load`, in a process of their own.
    #[command(hide = true)]
    Serve {
        /// How many.
        #[arg(long)]
        count: usize,
    },
}

/// Of `bench accuracy`.
#[derive(Args, Clone, Debug)]
pub struct Accuracy {
    /// Outages of each kind, at each period and load.
    #[arg(long, default_value_t = 1000)]
    pub outages: usize,
    /// Periods of the probes.
    #[arg(long, value_delimiter = ',', default_value = "10ms,20ms,100ms")]
    pub periods: Vec<Span>,
    /// Only beside one processor burner per core, which beside a cluster rests a quarter of the time; without it both,
    /// idle and busy.
    #[arg(long, conflicts_with = "idle")]
    pub busy: bool,
    /// Only on the machine as it is.
    #[arg(long)]
    pub idle: bool,
    /// Probes a second over all targets that are measured at once: an experiment's own, on three control planes,
    /// are some three hundred.
    #[arg(long, default_value_t = 400)]
    pub rate: u32,
    /// Where everything random comes from.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Freeze API servers of this kind cluster, too: of one that recoup made, with nothing else under way on it.
    #[arg(long)]
    pub cluster: Option<String>,
    /// Freezes of an API server, at each period and load.
    #[arg(long, default_value_t = 100, requires = "cluster")]
    pub freezes: usize,
    /// Only the API server, none of the bench's own targets.
    #[arg(long, requires = "cluster")]
    pub only_cluster: bool,
    /// With this very build, whatever its profile.
    #[arg(long, hide = true)]
    pub this_build: bool,
    /// Where the table and the figures are written: accuracy.md and accuracy.json.
    #[arg(long, default_value = "target/bench")]
    pub out: PathBuf,
}

/// Of `bench overhead`.
#[derive(Args, Clone, Debug)]
pub struct Overhead {
    /// Probes a second, one measurement each.
    #[arg(long, value_delimiter = ',', default_value = "100,300,1000")]
    pub rates: Vec<u32>,
    /// How long each is measured.
    #[arg(long, default_value = "15s")]
    pub duration: Span,
    /// With this very build, whatever its profile.
    #[arg(long, hide = true)]
    pub this_build: bool,
    /// Where the table and the figures are written: overhead.md and overhead.json.
    #[arg(long, default_value = "target/bench")]
    pub out: PathBuf,
}

/// Of `bench delay`.
#[derive(Args, Clone, Debug)]
pub struct Delay {
    /// How long packets are to be held.
    #[arg(long, value_delimiter = ',', default_value = "10ms,50ms,200ms")]
    pub delays: Vec<Span>,
    /// Packets a second.
    #[arg(long, value_delimiter = ',', default_value = "100,1000")]
    pub rates: Vec<u32>,
    /// How long each is measured.
    #[arg(long, default_value = "3s")]
    pub duration: Span,
    /// With this very build, whatever its profile.
    #[arg(long, hide = true)]
    pub this_build: bool,
    /// Where the table and the figures are written: delay.md and delay.json.
    #[arg(long, default_value = "target/bench")]
    pub out: PathBuf,
}

/// Of `bench load`.
#[derive(Args, Clone, Debug)]
pub struct Load {
    /// Requests a second of the open loop, one measurement each.
    #[arg(long, value_delimiter = ',', default_value = "1000,4000,8000")]
    pub rates: Vec<u32>,
    /// How long each is measured; a stall of a second lies in the middle of another as long.
    #[arg(long, default_value = "10s")]
    pub duration: Span,
    /// Connections.
    #[arg(long, default_value_t = 12)]
    pub connections: u32,
    /// With this very build, whatever its profile.
    #[arg(long, hide = true)]
    pub this_build: bool,
    /// Where the table and the figures are written: load.md and load.json.
    #[arg(long, default_value = "target/bench")]
    pub out: PathBuf,
}

/// Carries one out; in a release build, because that is what users run.
///
/// # Errors
/// Where it cannot be carried out, or a goal was missed.
pub fn run(bench: &Bench) -> Result<()> {
    let this_build = match bench {
        Bench::Accuracy(args) => args.this_build,
        Bench::Overhead(args) => args.this_build,
        Bench::Delay(args) => args.this_build,
        Bench::Load(args) => args.this_build,
        Bench::Serve { .. } => true,
    };
    if cfg!(debug_assertions) && !this_build {
        return in_release();
    }
    match bench {
        Bench::Accuracy(args) => accuracy::run(args),
        Bench::Overhead(args) => overhead::run(args),
        Bench::Delay(args) => delay::run(args),
        Bench::Load(args) => open_loop::run(args),
        Bench::Serve { count } => serve::run(*count),
    }
}

fn in_release() -> Result<()> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["run", "--release", "--quiet", "--package", "xtask", "--"]).args(std::env::args_os().skip(1));
    let status = cargo.status().with_context(|| format!("{cargo:?}"))?;
    if !status.success() {
        let args: Vec<_> = cargo.get_args().map(OsStr::to_string_lossy).collect();
        bail!("`cargo {}` ended with {status}", args.join(" "));
    }
    Ok(())
}
