//! What is found when all is over: acknowledged writes, and the processes that run now.

use std::collections::BTreeMap;

use crate::{
    action::Signal,
    assertion::Came,
    event::read_back_name,
    milestone::told,
    observation::{Observation, Observed},
    spec::Step,
    time::{Offset, Span},
    timeline::{Timeline, Trace},
    verdict::{Measure, Verdict},
};

/// Slots of a stream's ConfigMap: see [`Observation::ApiWrite`].
const SLOTS: u64 = 1024;

/// Every acknowledged write is found through every API server or member.
///
/// An API write's slot must hold the highest number acknowledged for it, or a later one: an attempt that
/// was never answered may have been carried out. A put to etcd has a key of its own, which must be there.
pub(crate) fn no_lost_writes(timeline: &Timeline) -> Came {
    let mut wanted: BTreeMap<bool, BTreeMap<&str, BTreeMap<u64, u64>>> = BTreeMap::new();
    let mut through: Vec<(bool, String)> = Vec::new();
    let mut acknowledged = 0_usize;
    for series in &timeline.series {
        let etcd = match &series.stream.observation {
            Observation::ApiWrite { via, .. } => {
                through.push((false, read_back_name(via)));
                false
            }
            Observation::EtcdPut { member } => {
                through.push((true, format!("etcd/{member}")));
                true
            }
            _ => continue,
        };
        let slots = wanted.entry(etcd).or_default().entry(series.stream.name.as_str()).or_default();
        for (_, _, observed) in told(series) {
            if let Observed::Acknowledged { number } = observed {
                acknowledged += 1;
                let slot = slots.entry(if etcd { *number } else { number % SLOTS }).or_default();
                *slot = (*slot).max(*number);
            }
        }
    }
    if acknowledged == 0 {
        return Came::unknown("no write was acknowledged");
    }
    through.sort();
    through.dedup();
    let (mut lost, mut unread): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    for (etcd, name) in &through {
        let Some(read) = timeline.read_backs.iter().rev().find(|read| read.through == *name) else {
            unread.push(format!("nothing was read back through {name}"));
            continue;
        };
        if let Some(failure) = &read.failure {
            unread.push(format!("{name} could not be read back: {failure}"));
            continue;
        }
        for (stream, slots) in wanted.get(etcd).into_iter().flatten() {
            let found = read.found.get(*stream);
            let is_lost =
                |slot: &u64, number: &u64| found.and_then(|f| f.get(slot)).is_none_or(|have| have < number);
            let missing: Vec<u64> =
                slots.iter().filter(|(s, n)| is_lost(s, n)).map(|(_, number)| *number).collect();
            if let Some(first) = missing.first() {
                lost.push(format!(
                    "{} of {stream}, number {first} first, are not there through {name}",
                    missing.len()
                ));
            }
        }
    }
    if !lost.is_empty() {
        return Came::new(Verdict::Fail, format!("acknowledged writes are lost: {}", lost.join("; ")));
    }
    if !unread.is_empty() {
        return Came::unknown(unread.join("; "));
    }
    let detail = format!("{acknowledged} acknowledged writes are there through {} endpoints", through.len());
    Came::new(Verdict::Pass, detail)
}

/// None of the processes that were hit runs any more. Another may still wait for its restart's back-off.
pub(crate) fn old_process_gone(timeline: &Timeline) -> Came {
    let mut looked = 0;
    for (n, _, trace) in timeline.faults() {
        let Some(trace) = trace else { continue };
        for injection in trace.injected.iter().filter(|injection| !injection.processes.is_empty()) {
            let node = &injection.node;
            let Some((_, now)) = trace.aftermath.iter().rev().find(|(other, _)| other == node) else {
                return Came::unknown(format!("step {n}: {node} was not looked at afterwards"));
            };
            if let Some(old) = now.iter().find(|process| injection.processes.contains(&process.id)) {
                let detail = format!("process {} on {node} is still the one that was hit", old.id.pid);
                return Came::new(Verdict::Fail, detail);
            }
            looked += 1;
        }
    }
    if looked == 0 {
        return Came::unknown("no process is recorded as hit");
    }
    Came::new(
        Verdict::Pass,
        format!("none of the processes that were hit runs any more ({looked} looked at)"),
    )
}

/// The signals after which a component must come back: what is held down comes back by its undo.
fn ends<'t>(step: &Step, trace: &'t Trace) -> Vec<(&'t str, Offset, Offset)> {
    match step {
        Step::Signal(fault) if fault.signal != Signal::Stop => {
            trace.injected.iter().map(|i| (i.node.as_str(), i.began, i.ended)).collect()
        }
        _ => Vec::new(),
    }
}

pub(crate) fn comes_back(timeline: &Timeline, within: Span) -> Came {
    let mut longest: Option<(Span, Span, Span, &str)> = None;
    let mut count = 0;
    for (n, step, trace) in timeline.faults() {
        let Some(trace) = trace else { continue };
        let ends = ends(step, trace);
        for (node, began, ended) in &ends {
            let next =
                ends.iter().filter(|(other, later, _)| other == node && later > began).map(|e| e.1).min();
            let before_next = |seen: Offset| next.is_none_or(|next| seen <= next);
            let back =
                trace.returns.iter().find(|b| b.node == *node && b.seen >= *began && before_next(b.seen));
            let Some(back) = back else {
                let more_than = Span(timeline.ended().since(*ended));
                let verdict = if more_than > within { Verdict::Fail } else { Verdict::Inconclusive };
                let detail = format!(
                    "step {n}: on {node} nothing came back for {more_than}; at most {within} allowed"
                );
                return Came { verdict, detail, measure: Some(Measure::Censored { more_than }) };
            };
            count += 1;
            let value = Span(back.seen.since(*ended));
            let low = Span(back.missing.since(*ended)).min(value);
            if longest.is_none_or(|(longest, ..)| value > longest) {
                longest = Some((value, low, Span(back.seen.since(*began)), node));
            }
        }
        let gone = |(_, processes): &&(String, Vec<_>)| processes.is_empty();
        if let Some((node, _)) = trace.aftermath.iter().find(gone).filter(|_| !ends.is_empty()) {
            return Came::new(Verdict::Fail, format!("nothing runs on {node} at the end"));
        }
    }
    let Some((value, low, high, node)) = longest else {
        return Came::unknown("no step of this experiment ends a process");
    };
    let measure = Measure::Measured { value, low, high };
    let verdict = match () {
        () if value <= within => Verdict::Pass,
        () if low > within => Verdict::Fail,
        () => Verdict::Inconclusive,
    };
    let times = if count == 1 { "once".to_owned() } else { format!("{count} times, the slowest") };
    let detail = format!("back {times} after {measure} on {node}; at most {within} allowed");
    Came { verdict, detail, measure: Some(measure) }
}
