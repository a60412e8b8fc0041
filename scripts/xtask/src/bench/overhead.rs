//! `bench overhead`: what the probing process uses, by the number of probes a second. The servers that it asks run
//! in a process of their own.

use std::{
    fmt::Write as _,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use recoup_engine::{overhead, recorder::Clock, runtime::real_time};
use recoup_model::{observation::Conn, plan::Stream, spec::Rate, time::Span};
use serde::Serialize;
use tokio::time::sleep;

use super::{
    cluster::{Address, Targets},
    command,
    machine::Machine,
    measure::{Probing, lateness, lost, read},
    serve::Told,
    table::write,
};

/// As the default probes: ten a second and stream.
const PERIOD: Duration = Duration::from_millis(100);
const TIMEOUT: Duration = Duration::from_secs(1);
/// Connections are made and the first records written before anything is counted.
const SETTLE: Duration = Duration::from_secs(2);
/// New TLS connections are dear, and a suite has few: more than this many a second are not measured.
const MOST_NEW: u32 = 300;

/// What was used at one rate.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Used {
    connection: &'static str,
    /// Probes a second that were wanted, …
    rate: u32,
    /// … and that were made.
    made: f64,
    failed: usize,
    lost: usize,
    /// Thousandths of one core.
    cpu: f64,
    /// Resident memory at the end, and what it grew by meanwhile, in MiB.
    memory: f64,
    growth: f64,
    /// How late attempts were sent, in milliseconds.
    median_lateness: f64,
    worst_lateness: f64,
}

/// Measures every rate and writes the table.
///
/// # Errors
/// Where it cannot be measured.
pub fn run(args: &command::Overhead) -> Result<()> {
    let machine = Machine::read();
    let most = args.rates.iter().max().copied().unwrap_or(0);
    let streams = |rate: u32| (f64::from(rate) * PERIOD.as_secs_f64()).round().max(1.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small positive number")]
    let count = streams(most) as usize;
    let servers = Servers::start(count)?;
    let mut all = Vec::new();
    for (conn, name) in [(Conn::Reused, "kept"), (Conn::New, "new")] {
        for rate in args.rates.iter().filter(|rate| conn == Conn::Reused || **rate <= MOST_NEW) {
            eprintln!("{rate} probes a second on {name} connections");
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small number")]
            let count = streams(*rate) as usize;
            all.push(measure(&servers.addresses[..count], conn, name, *rate, args.duration.0)?);
        }
    }
    let markdown = markdown(&machine, &all)?;
    let json = serde_json::json!({ "machine": machine, "rows": all });
    write(&args.out, "overhead", &markdown, &serde_json::to_string_pretty(&json)?)
}

fn measure(
    addresses: &[Address],
    conn: Conn,
    name: &'static str,
    rate: u32,
    length: Duration,
) -> Result<Used> {
    let harness = real_time()?;
    harness.block_on(async {
        let asked = Rate { period: Span(PERIOD), timeout: Span(TIMEOUT), slow: None };
        let streams: Vec<Stream> =
            addresses.iter().map(|address| Stream::new(read(&address.name, conn), asked)).collect();
        let clock = Clock::start();
        let probing = Probing::start(streams, Arc::new(Targets::new(addresses)?), clock)?;
        sleep(SETTLE).await;
        let (from, before) = (clock.now(), usage()?);
        sleep(length).await;
        let (to, after) = (clock.now(), usage()?);
        let attempts = probing.stop().await.into_iter().flatten();
        let inside: Vec<_> = attempts.filter(|attempt| attempt.due >= from && attempt.due < to).collect();
        let seconds = to.since(from).as_secs_f64();
        let (median_lateness, worst_lateness) = lateness(&inside);
        #[expect(clippy::cast_precision_loss, reason = "counts and milliseconds of a minute")]
        Ok(Used {
            connection: name,
            rate,
            made: inside.len() as f64 / seconds,
            failed: inside.iter().filter(|attempt| !attempt.good()).count(),
            lost: lost(&inside),
            cpu: (after.cpu_ms - before.cpu_ms) as f64 / seconds,
            memory: after.rss_kib as f64 / 1024.0,
            growth: (after.rss_kib as f64 - before.rss_kib as f64) / 1024.0,
            median_lateness,
            worst_lateness,
        })
    })
}

/// Of this process.
pub fn usage() -> Result<overhead::Used> {
    overhead::used().context("what this process uses is told on Linux alone")
}

fn markdown(machine: &Machine, all: &[Used]) -> Result<String> {
    let mut text = String::new();
    writeln!(text, "# What probing costs\n\n{}.\n", machine.words())?;
    writeln!(text, "TLS, every stream ten times a second; CPU in thousandths of one core.\n")?;
    writeln!(
        text,
        "| connections | probes/s wanted | made | failed | CPU | memory | growth | sent late: median | worst |"
    )?;
    writeln!(text, "| --- |{}", " ---: |".repeat(8))?;
    for used in all {
        let Used { connection, rate, made, failed, cpu, memory, growth, .. } = used;
        let (median, worst) = (used.median_lateness, used.worst_lateness);
        writeln!(
            text,
            "| {connection} | {rate} | {made:.0} | {failed} | {cpu:.0} | {memory:.0} MiB | {growth:+.1} MiB | {median:.1} ms | {worst:.1} ms |"
        )?;
    }
    Ok(text)
}

/// The servers' process; ends with this one, which holds its standard input.
pub(super) struct Servers {
    process: Child,
    pub(super) addresses: Vec<Address>,
}

impl Servers {
    pub(super) fn start(count: usize) -> Result<Servers> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["bench", "serve", "--count", &count.to_string()]);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        if let Some(out) = process.stdout.take() {
            BufReader::new(out).read_line(&mut line)?;
        }
        let told: Vec<Told> =
            serde_json::from_str(&line).with_context(|| format!("the servers told {line:?}"))?;
        if told.len() != count {
            bail!("{} servers instead of {count}", told.len());
        }
        Ok(Servers { process, addresses: told.into_iter().map(Address::from).collect() })
    }
}

impl Servers {
    /// The number of their process.
    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}
