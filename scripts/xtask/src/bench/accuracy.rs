//! `bench accuracy`: every kind of outage at every period, idle and busy; a table, the figures, and whether the
//! goals were reached.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Result, bail};
use recoup_clusters::kind::processors::total;
use recoup_model::{machine::Processors, observation::Conn, outage::outages, time::Span};

use super::{
    cell::groups,
    command,
    explain::explain,
    freeze,
    heartbeat::worst,
    load::burners,
    machine::Machine,
    measure::{Measured, lateness, lost, measure},
    score::{Score, score},
    script::Mode,
    table::{Report, Row},
};

/// What a row of the table is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Beside burners.
    pub busy: bool,
    /// The probes' period.
    pub period: Duration,
    /// How the target was down.
    pub mode: Mode,
    /// A new connection each time.
    pub new: bool,
    /// Through TLS.
    pub tls: bool,
}

impl Key {
    /// Measured on a real API server.
    pub fn frozen(&self) -> bool {
        self.mode == Mode::Freeze
    }
}

/// A row's figures.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Against the truth.
    pub score: Score,
    /// Attempts in all.
    pub attempts: usize,
    /// Attempts that the observer lost, or was kept from seeing end.
    pub lost: usize,
    /// Worst delay of an attempt behind its schedule, in milliseconds.
    pub latest: f64,
    /// Longest time for which the machine let nothing run, or a real server was slow by itself, in milliseconds.
    pub stalled: f64,
}

/// All rows.
pub type Rows = BTreeMap<Key, Figures>;

/// How much of every core is burnt beside a cluster. To the kernel all of a kind cluster's containers are one group,
/// with the share of a single thread: beside a thread per core that never rests the cluster itself breaks down.
const BESIDE_CLUSTER: f64 = 0.75;

/// Measures, writes the table and judges it.
///
/// # Errors
/// Where something could not be measured, or a goal was missed; what was measured is written first.
pub fn run(args: &command::Accuracy) -> Result<()> {
    let mut report = Report::new(Machine::read(), args.seed);
    let measured = measure_all(args, &mut report);
    if measured.is_ok() || !report.rows.is_empty() {
        report.write(&args.out)?;
    }
    measured?;
    let complaints = report.complaints();
    if complaints.is_empty() {
        eprintln!("every goal was reached");
        return Ok(());
    }
    for complaint in &complaints {
        eprintln!("{complaint}");
    }
    bail!("{} goal(s) missed", complaints.len())
}

/// At every load, one after the other.
fn measure_all(args: &command::Accuracy, report: &mut Report) -> Result<()> {
    let loads: &[bool] = match (args.busy, args.idle) {
        (true, _) => &[true],
        (_, true) => &[false],
        _ => &[false, true],
    };
    for busy in loads {
        let before = total();
        for Span(period) in &args.periods {
            if !args.only_cluster {
                own(args, *period, *busy, &mut report.rows)?;
            }
        }
        if let Some(name) = &args.cluster {
            let _burners = busy.then(|| burners(BESIDE_CLUSTER));
            report.clusters.push(freeze::run(name, args, *busy, &mut report.rows)?);
        }
        report.loads.push((*busy, share(before, total())));
    }
    Ok(())
}

/// The targets on this machine, at one period and load.
fn own(args: &command::Accuracy, period: Duration, busy: bool, rows: &mut Rows) -> Result<()> {
    let groups = groups(period, args.outages, args.rate, args.seed);
    for (n, group) in (1..).zip(&groups) {
        let (period, of) = (Span(period), groups.len());
        eprintln!("period {period}, {}, part {n} of {of}: {} targets", words(busy), group.len());
        let _burners = busy.then(|| burners(1.0));
        for one in measure(group, period.0)? {
            add(rows, period.0, busy, &one);
        }
    }
    Ok(())
}

/// Adds what one stream measured to its row.
pub fn add(rows: &mut Rows, period: Duration, busy: bool, one: &Measured) {
    let key = Key { busy, period, mode: one.cell.mode, new: one.conn == Conn::New, tls: one.cell.tls };
    let figures = rows.entry(key).or_default();
    let found = score(&one.truths, &outages(&one.attempts), 2 * period, &one.stalls);
    for (truth, outage) in &found.odd {
        let seen = explain(truth, outage.as_ref(), &one.attempts, &one.stalls, period);
        eprintln!("{key:?}: {seen}");
    }
    figures.score.add(&found);
    figures.attempts += one.attempts.len();
    figures.lost += lost(&one.attempts);
    figures.latest = figures.latest.max(lateness(&one.attempts).1);
    figures.stalled = figures.stalled.max(worst(&one.stalls));
}

/// In words.
pub fn words(busy: bool) -> &'static str {
    if busy { "busy" } else { "idle" }
}

/// How much of all processor time was used between two readings, by whomever.
fn share(before: Option<Processors>, after: Option<Processors>) -> Option<f64> {
    let used = |all: &Processors| all.busy_ms + all.stolen_ms;
    let (before, after) = (before?, after?);
    let (busy, idle) = (used(&after) - used(&before), after.idle_ms - before.idle_ms);
    #[expect(clippy::cast_precision_loss, reason = "milliseconds since boot fit 52 bits")]
    let share = busy as f64 / (busy + idle).max(1) as f64;
    Some(share)
}

impl Row {
    /// A row of the table from the figures that fit.
    pub fn of(name: Vec<String>, period: Duration, rows: &Rows, fits: impl Fn(&Key) -> bool) -> Option<Row> {
        let mut sum = Figures::default();
        let mut any = false;
        for (_, figures) in rows.iter().filter(|(key, _)| fits(key)) {
            any = true;
            sum.score.add(&figures.score);
            sum.attempts += figures.attempts;
            sum.lost += figures.lost;
            sum.latest = sum.latest.max(figures.latest);
            sum.stalled = sum.stalled.max(figures.stalled);
        }
        any.then_some(Row { name, period: Span(period), figures: sum })
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// Wide intervals: the machine may stall for a period and more, and the truth must still be met.
    const PERIOD: Duration = Duration::from_millis(50);

    fn quick(seed: u64) -> Rows {
        let mut rows = Rows::new();
        for group in groups(PERIOD, 8, 200, seed) {
            for one in measure(&group, PERIOD).unwrap_or_else(|error| panic!("{error:#}")) {
                add(&mut rows, PERIOD, false, &one);
            }
        }
        rows
    }

    #[test]
    fn known_outages_are_met_and_bounded() {
        for seed in 1..=5 {
            let rows = quick(seed);
            assert_eq!(rows.len(), 2 * 2 * Mode::OWN.len(), "{:?}", rows.keys());
            let delay = rows.values().map(|f| f.stalled.max(f.latest)).fold(0.0, f64::max);
            // Where the observer notices that it was kept from running, it loses attempts, and says so.
            let losses = |f: &Figures| f.lost > 0 && delay < 5.0;
            let wrong: Vec<String> = rows
                .iter()
                .filter(|(_, f)| f.score.missed + f.score.merged + f.score.outside > 0 || losses(f))
                .map(|(key, f)| format!("{key:?}: {:?}, {} lost", f.score.complaints(PERIOD), f.lost))
                .collect();
            if wrong.is_empty() {
                return;
            }
            // A prober that was kept from reading saw a target down that was not: such a run shows nothing.
            let disturbed = delay > PERIOD.as_secs_f64() * 1e3 / 4.0;
            assert!(disturbed, "{}", wrong.join("\n"));
            eprintln!("seed {seed} shows nothing: this machine let nothing run for {delay:.0} ms");
        }
    }
}
