//! `bench load`: what a request costs recoup's generator beside load tools that everybody knows, and what both tell
//! of a server that stalls for a second. The server, plain HTTPS, is a process of its own.

use std::{
    fmt::Write as _,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use recoup_clusters::kind::HttpLoad;
use recoup_engine::{
    load::{Generator, Totals},
    recorder::Clock,
    runtime::real_time,
};
use recoup_model::{
    load::{Histogram, Schedule, Slice},
    spec::LoadStep,
};
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{
    cluster::Address,
    command,
    machine::Machine,
    overhead::{Servers, usage},
    table::write,
    tool::Tool,
};

/// How long the server is stopped.
const STALL: Duration = Duration::from_secs(1);
/// A request that took longer was held up by the stall.
const SLOW: Duration = Duration::from_millis(100);
/// The open loop's cost for a request is no more than that of the tool of its kind (HTTP/2, TLS, no C) divided by this.
const GOAL: f64 = 0.8;

/// What one measurement of the cost came to.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Cost {
    what: String,
    /// Good answers a second.
    rate: f64,
    /// Good answers for each second of one core.
    per_core_second: f64,
    /// Requests that left on time, of all that were due; a closed loop has no schedule.
    on_time: Option<f64>,
}

/// What was seen of the stall.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Stall {
    what: String,
    requests: u64,
    /// The share that took longer than [`SLOW`].
    slow: f64,
    /// Milliseconds.
    p50: f64,
    p99: f64,
    p999: f64,
    longest: f64,
}

/// Measures and writes the table.
///
/// # Errors
/// Where it cannot be measured.
pub fn run(args: &command::Load) -> Result<()> {
    let machine = Machine::read();
    let servers = Servers::start(1)?;
    let address = servers.addresses.first().context("no server")?;
    let (connections, length) = (args.connections, args.duration.0);
    let (mut costs, mut stalls) = (Vec::new(), Vec::new());
    for tool in Tool::ALL.into_iter().filter(|tool| tool.is_there()) {
        eprintln!("{}", tool.name());
        let began = Instant::now();
        let ran = tool.run(&address.url, connections, length, false)?;
        costs.push(cost(tool.name().into(), ran.requests, began.elapsed().min(length), ran.cpu, None));
    }
    for rate in &args.rates {
        eprintln!("recoup, {rate} a second");
        let before = usage()?.cpu_ms;
        let (totals, slices) = generate(address, *rate, connections, length)?;
        let cpu = Duration::from_millis(usage()?.cpu_ms - before);
        let kept: u64 = slices.iter().map(|slice| slice.sent - slice.late).sum();
        #[expect(clippy::cast_precision_loss, reason = "counts of requests fit 52 bits")]
        let on_time = kept as f64 / totals.due.max(1) as f64;
        costs.push(cost(format!("recoup, {rate}/s"), totals.answered, length, cpu, Some(on_time)));
    }
    if Tool::Hey.is_there() {
        eprintln!("{} and a stall", Tool::Hey.name());
        let stopping = stop_in_the_middle(servers.pid(), length)?;
        let ran = Tool::Hey.run(&address.url, connections, length, true)?;
        drop(stopping.join());
        let mut times = Histogram::default();
        ran.times.iter().for_each(|time| times.record(Duration::from_secs_f64(*time)));
        let slow = ran.times.iter().filter(|time| **time > SLOW.as_secs_f64()).count() as u64;
        stalls.push(stall(Tool::Hey.name().into(), &times, slow));
    }
    let rate = args.rates.first().copied().unwrap_or(1000);
    eprintln!("recoup, {rate} a second, and a stall");
    let stopping = stop_in_the_middle(servers.pid(), length)?;
    let (_, slices) = generate(address, rate, connections, length)?;
    drop(stopping.join());
    let mut times = Histogram::default();
    slices.iter().flat_map(|slice| slice.verbs.values()).for_each(|verb| times.merge(&verb.times));
    stalls.push(stall(format!("recoup, {rate}/s"), &times, times.longer_than(SLOW)));
    let markdown = markdown(&machine, &costs, &stalls, args)?;
    let json = json!({ "machine": machine, "costs": costs, "stalls": stalls });
    write(&args.out, "load", &markdown, &serde_json::to_string_pretty(&json)?)
}

fn generate(
    address: &Address,
    rate: u32,
    connections: u32,
    length: Duration,
) -> Result<(Totals, Vec<Slice>)> {
    let load =
        json!({ "mix": { "get": 1 }, "rate": format!("{rate}/s"), "for": recoup_model::time::Span(length) });
    let load: LoadStep = serde_json::from_value(load)?;
    let at: SocketAddr =
        address.url.trim_start_matches("https://").parse().context("the server's address")?;
    let authority = address.authority.clone().context("the server's certificate")?;
    real_time()?.block_on(async {
        let target = Arc::new(HttpLoad::open(at, &authority, connections).await?);
        let slices: Arc<Mutex<Vec<Slice>>> = Arc::default();
        let told = Arc::clone(&slices);
        let record = move |slice| told.lock().unwrap_or_else(PoisonError::into_inner).push(slice);
        let generator = Generator {
            target,
            schedule: Schedule::new(&load, 1),
            connections,
            timeout: load.timeout.0,
            step: 1,
            clock: Clock::start(),
            cancel: CancellationToken::new(),
        };
        let totals = generator.run(tokio::time::Instant::now(), record).await?;
        let slices = std::mem::take(&mut *slices.lock().unwrap_or_else(PoisonError::into_inner));
        anyhow::Ok((totals, slices))
    })
}

/// Stops the server's process for a second in the middle of that time.
fn stop_in_the_middle(pid: u32, length: Duration) -> Result<thread::JoinHandle<()>> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).context("the server has no number")?;
    Ok(thread::spawn(move || {
        thread::sleep(length.saturating_sub(STALL) / 2);
        // A server that is gone fails the measurement by itself.
        let _ = kill_process(pid, Signal::STOP);
        thread::sleep(STALL);
        let _ = kill_process(pid, Signal::CONT);
    }))
}

#[expect(clippy::cast_precision_loss, reason = "counts of requests fit 52 bits")]
fn cost(what: String, answered: u64, length: Duration, cpu: Duration, on_time: Option<f64>) -> Cost {
    let answered = answered as f64;
    let per_core_second = answered / cpu.as_secs_f64().max(f64::MIN_POSITIVE);
    Cost { what, rate: answered / length.as_secs_f64(), per_core_second, on_time }
}

#[expect(clippy::cast_precision_loss, reason = "counts of requests fit 52 bits")]
fn stall(what: String, times: &Histogram, slow: u64) -> Stall {
    let millis = |permille| times.permille(permille).map_or(f64::NAN, |span| span.0.as_secs_f64() * 1e3);
    let (requests, slow) = (times.count(), slow as f64 / times.count().max(1) as f64);
    let (p50, p99, p999, longest) = (millis(500), millis(990), millis(999), millis(1000));
    Stall { what, requests, slow, p50, p99, p999, longest }
}

fn markdown(machine: &Machine, costs: &[Cost], stalls: &[Stall], args: &command::Load) -> Result<String> {
    let mut text = String::new();
    let (connections, length) = (args.connections, args.duration);
    writeln!(text, "# What a load costs, and what it tells\n\n{}.\n", machine.words())?;
    writeln!(
        text,
        "GETs over TLS, {connections} kept connections, {length} each, server on the same machine.\n"
    )?;
    writeln!(text, "| generator | answers a second | answers per core-second | left on time |")?;
    writeln!(text, "| --- | --- | --- | --- |")?;
    for Cost { what, rate, per_core_second, on_time } in costs {
        let on_time = on_time.map_or_else(|| "no schedule".into(), |share| format!("{:.2} %", share * 100.0));
        writeln!(text, "| {what} | {rate:.0} | {per_core_second:.0} | {on_time} |")?;
    }
    let best =
        costs.iter().filter(|cost| cost.on_time.is_some()).map(|c| c.per_core_second).fold(0.0, f64::max);
    writeln!(text)?;
    for cost in costs.iter().filter(|cost| cost.on_time.is_none()) {
        let ratio = best / cost.per_core_second;
        writeln!(text, "recoup's best is {ratio:.2} of {}'s (goal: {GOAL}).\n", cost.what)?;
    }
    let expected = STALL.saturating_sub(SLOW).as_secs_f64() / length.0.as_secs_f64() * 100.0;
    writeln!(
        text,
        "The server stalls for {} s in the middle: {expected:.1} % of all moments are such that a request takes more than {} ms.\n",
        STALL.as_secs(),
        SLOW.as_millis()
    )?;
    writeln!(
        text,
        "| generator | requests | slower than {} ms | p50 | p99 | p99.9 | longest |",
        SLOW.as_millis()
    )?;
    writeln!(text, "| --- | --- | --- | --- | --- | --- | --- |")?;
    for Stall { what, requests, slow, p50, p99, p999, longest } in stalls {
        let slow = slow * 100.0;
        writeln!(
            text,
            "| {what} | {requests} | {slow:.2} % | {p50:.1} ms | {p99:.1} ms | {p999:.0} ms | {longest:.0} ms |"
        )?;
    }
    Ok(text)
}
