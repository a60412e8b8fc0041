//! `bench delay`: how exactly recoup's own program holds packets, from end to end: between two network namespaces
//! of this machine, with the program and the rule that a node gets, by datagrams that bear when they were sent.

use std::{
    fmt::Write as _,
    fs,
    net::{Ipv4Addr, SocketAddrV4, UdpSocket},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use recoup_model::time::Span;
use serde::Serialize;

use super::{command, machine::Machine, netns::Pair, table::write};

/// The goal: half and 99 of 100 packets are held for what was asked for, give or take so much.
const GOAL: Duration = Duration::from_millis(2);
/// A datagram that is not there so long after the last one was sent and held is lost.
const GRACE: Duration = Duration::from_secs(1);
/// A datagram's size: a number, as a small packet of a component is long.
const SIZE: usize = 200;

/// What came of one delay at one rate.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Held {
    /// What was asked for, in milliseconds.
    delay: f64,
    /// Packets a second.
    rate: u32,
    sent: usize,
    lost: usize,
    /// From the sender to the receiver, in milliseconds.
    p50: f64,
    p99: f64,
    max: f64,
}

/// Measures each delay at each rate, and writes the table.
///
/// # Errors
/// Where it cannot be measured (it needs root, `ip`, `iptables` and NFQUEUE), or the goal was missed.
pub fn run(args: &command::Delay) -> Result<()> {
    let machine = Machine::read();
    let pair = Pair::new().context("two network namespaces: this needs root, ip, iptables and NFQUEUE")?;
    let mut rows =
        vec![measure(&pair, None, args.rates.iter().copied().max().unwrap_or(100), args.duration.0)?];
    for delay in &args.delays {
        for rate in &args.rates {
            rows.push(measure(&pair, Some(delay.0), *rate, args.duration.0)?);
            eprintln!("{delay} at {rate} a second: {:?}", rows.last());
        }
    }
    report(&machine, &rows, &args.out)?;
    let missed: Vec<String> = rows.iter().skip(1).filter_map(Held::complaint).collect();
    if missed.is_empty() { Ok(()) } else { bail!("the goal of ±2 ms was missed: {}", missed.join("; ")) }
}

impl Held {
    fn complaint(&self) -> Option<String> {
        let goal = millis(GOAL);
        let far = [self.p50, self.p99].into_iter().any(|held| (held - self.delay).abs() > goal);
        (far || self.lost > 0).then(|| {
            let Held { delay, rate, p50, p99, lost, .. } = self;
            format!("{delay} ms at {rate} a second: {p50:.1} and {p99:.1} ms, {lost} lost")
        })
    }
}

/// Sends datagrams on schedule through a rule that delays so much; none: without a rule.
fn measure(pair: &Pair, delay: Option<Duration>, rate: u32, duration: Duration) -> Result<Held> {
    let holder = delay.map(|delay| pair.hold(delay, duration + Duration::from_secs(30))).transpose()?;
    let count = (duration.as_secs_f64() * f64::from(rate)) as usize;
    let to = SocketAddrV4::new(pair.there, 9000);
    let began = Instant::now();
    let (near, far) = (pair.near()?, pair.far()?);
    let (bound, ready) = std::sync::mpsc::channel();
    let held = delay.unwrap_or_default();
    let receiver = thread::spawn(move || -> Result<Vec<Duration>> {
        far.enter()?;
        let socket = UdpSocket::bind(to)?;
        socket.set_read_timeout(Some(held + GRACE))?;
        bound.send(())?;
        receive(&socket, began, count)
    });
    ready.recv().context("the receiver could not begin")?;
    let sender = thread::spawn(move || -> Result<()> {
        near.enter()?;
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect(to)?;
        send(&socket, began, rate, count)
    });
    let panicked = |_| anyhow::anyhow!("a side of the measurement panicked");
    sender.join().map_err(panicked)??;
    let mut times = receiver.join().map_err(panicked)??;
    if let Some(holder) = holder {
        holder.end()?;
    }
    times.sort();
    let at =
        |share: usize| times.get((times.len() * share / 100).min(times.len().saturating_sub(1))).copied();
    Ok(Held {
        delay: millis(held),
        rate,
        sent: count,
        lost: count - times.len(),
        p50: millis(at(50).context("not one datagram arrived")?),
        p99: millis(at(99).unwrap_or_default()),
        max: millis(times.last().copied().unwrap_or_default()),
    })
}

/// Each bears when it was sent, since `began`.
fn send(socket: &UdpSocket, began: Instant, rate: u32, count: usize) -> Result<()> {
    let first = began.elapsed();
    let mut bytes = [0; SIZE];
    for number in 0..count {
        let due = first + Duration::from_secs_f64(number as f64 / f64::from(rate));
        thread::sleep(due.saturating_sub(began.elapsed()));
        let now = u64::try_from(began.elapsed().as_nanos())?;
        bytes[..8].copy_from_slice(&now.to_le_bytes());
        socket.send(&bytes)?;
    }
    Ok(())
}

fn receive(socket: &UdpSocket, began: Instant, count: usize) -> Result<Vec<Duration>> {
    let mut times = Vec::with_capacity(count);
    let mut bytes = [0; SIZE];
    while times.len() < count {
        match socket.recv(&mut bytes) {
            Ok(_) => {
                let sent = bytes.first_chunk().map(|first| u64::from_le_bytes(*first)).unwrap_or_default();
                times.push(began.elapsed().saturating_sub(Duration::from_nanos(sent)));
            }
            // What is missing is counted as lost.
            Err(error)
                if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) =>
            {
                break;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(times)
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn report(machine: &Machine, rows: &[Held], out: &Path) -> Result<()> {
    let mut text = format!("Kernel {}, {} cores, load {}.\n\n", machine.kernel, machine.cores, machine.load);
    text.push_str(
        "| delay | a second | sent | lost | p50 | p99 | longest |\n|---|---|---|---|---|---|---|\n",
    );
    for (number, row) in rows.iter().enumerate() {
        let name =
            if number == 0 { "no rule".to_owned() } else { Span::millis(row.delay as u64).to_string() };
        writeln!(
            text,
            "| {name} | {} | {} | {} | {:.2} ms | {:.2} ms | {:.2} ms |",
            row.rate, row.sent, row.lost, row.p50, row.p99, row.max
        )?;
    }
    fs::create_dir_all(out).with_context(|| out.display().to_string())?;
    let figures = serde_json::json!({"machine": machine, "rows": rows});
    write(out, "delay", &text, &serde_json::to_string_pretty(&figures)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With bounds that a busy machine keeps; how exact it is says `cargo xtask bench delay`.
    #[test]
    fn packets_are_really_held_and_let_through_again() {
        let pair = match Pair::new() {
            Ok(pair) => pair,
            Err(why) => return eprintln!("left out: {why:#}"),
        };
        let duration = Duration::from_secs(1);
        let held = measure(&pair, Some(Duration::from_millis(50)), 200, duration).expect("measured");
        assert!(held.lost == 0 && held.p50 >= 50.0 && held.p50 < 100.0, "{held:?}");
        // The rule is still there, and nobody at its queue: it fails open.
        let open = measure(&pair, None, 200, duration).expect("measured");
        assert!(open.lost == 0 && open.p50 < 25.0, "{open:?}");
    }

    #[test]
    fn a_miss_of_the_goal_is_told() {
        let held = Held { delay: 50.0, rate: 100, sent: 10, lost: 0, p50: 50.5, p99: 51.9, max: 80.0 };
        assert_eq!(held.complaint(), None);
        for missed in
            [Held { p50: 47.9, ..held.clone() }, Held { p99: 52.1, ..held.clone() }, Held { lost: 1, ..held }]
        {
            assert!(missed.complaint().is_some(), "{missed:?}");
        }
    }
}
