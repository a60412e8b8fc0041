//! Acknowledged writes: every one is there afterwards, through every API server and every member.

use std::collections::BTreeMap;

use super::panel::not_looked_at;
use crate::{
    assertion::Came,
    event::read_back_name,
    milestone::told,
    observation::{Observation, Observed, SLOTS},
    time::Offset,
    timeline::Timeline,
    verdict::Verdict,
};

/// The oracle's name in reports.
pub(crate) const NAME: &str = "acknowledged writes";

/// As an oracle: where nothing was acknowledged, nothing can be lost, and a record in which nobody looked says nothing.
pub(crate) fn oracle(timeline: &Timeline) -> Came {
    if timeline.read_backs.is_empty() {
        return not_looked_at("nothing was read back");
    }
    ledger(timeline).unwrap_or_else(|| not_looked_at(NOTHING))
}

/// Where there is nothing to look for.
const NOTHING: &str = "no write was acknowledged";

/// Writes through one kind of endpoint: API servers or members.
#[derive(Default)]
struct Kind<'t> {
    /// How their read-backs are named.
    through: Vec<String>,
    /// The highest number acknowledged, by stream and slot.
    slots: BTreeMap<&'t str, BTreeMap<u64, u64>>,
    acknowledged: usize,
    /// Those acknowledged between injection and undo.
    during: usize,
}

/// Every acknowledged write is found through every API server or member: Inconclusive where that cannot be told.
///
/// An API write's slot must hold the highest number acknowledged for it, or a later one: an attempt that
/// was never answered may have been carried out. A put to etcd has a key of its own, which must be there.
pub(crate) fn no_lost_writes(timeline: &Timeline) -> Came {
    ledger(timeline).unwrap_or_else(|| Came::unknown(NOTHING))
}

/// None where no write was acknowledged.
fn ledger(timeline: &Timeline) -> Option<Came> {
    let (during, word) = disruption(timeline);
    let [mut api, mut etcd] = [Kind::default(), Kind::default()];
    for series in &timeline.series {
        let (kind, through, slot): (_, _, fn(u64) -> u64) = match &series.stream.observation {
            Observation::ApiWrite { via, .. } => (&mut api, read_back_name(via), |number| number % SLOTS),
            Observation::EtcdPut { member } => (&mut etcd, format!("etcd/{member}"), |number| number),
            _ => continue,
        };
        kind.through.push(through);
        let slots = kind.slots.entry(series.stream.name.as_str()).or_default();
        for (_, done, observed) in told(series) {
            if let Observed::Acknowledged { number, .. } = observed {
                kind.acknowledged += 1;
                kind.during += usize::from(during.0 <= done && done <= during.1);
                let highest = slots.entry(slot(*number)).or_default();
                *highest = (*highest).max(*number);
            }
        }
    }
    let kinds = [api, etcd];
    let acknowledged: usize = kinds.iter().map(|kind| kind.acknowledged).sum();
    let inside: usize = kinds.iter().map(|kind| kind.during).sum();
    if acknowledged == 0 {
        return None;
    }
    let (mut lost, mut unread, mut endpoints) = (Vec::new(), Vec::new(), 0);
    for mut kind in kinds.into_iter().filter(|kind| kind.acknowledged > 0) {
        kind.through.sort();
        kind.through.dedup();
        for through in &kind.through {
            endpoints += 1;
            match missing(timeline, through, &kind.slots) {
                Ok(missing) => lost.extend(missing),
                Err(why) => unread.push(why),
            }
        }
    }
    if !lost.is_empty() {
        return Some(Came::new(Verdict::Fail, format!("acknowledged writes are lost: {}", lost.join("; "))));
    }
    if !unread.is_empty() {
        return Some(Came::unknown(unread.join("; ")));
    }
    let detail = format!(
        "{acknowledged} acknowledged writes, {inside} of them {word}, are there through {endpoints} endpoints"
    );
    Some(Came::new(Verdict::Pass, detail))
}

/// From the first injection to the last undo; to the end where nothing is undone.
fn disruption(timeline: &Timeline) -> ((Offset, Offset), &'static str) {
    let from = timeline.fault().map_or(timeline.ended(), |fault| fault.low);
    let undone = timeline.faults().filter_map(|(.., trace)| trace).flat_map(|trace| &trace.undone);
    match undone.map(|(.., ended)| *ended).max() {
        Some(to) => ((from, to), "between injection and undo"),
        None => ((from, timeline.ended()), "after the injection"),
    }
}

/// What of the acknowledged writes is not there through one endpoint, a sentence per stream.
fn missing(
    timeline: &Timeline,
    through: &str,
    wanted: &BTreeMap<&str, BTreeMap<u64, u64>>,
) -> Result<Vec<String>, String> {
    let read = timeline.read_backs.iter().rev().find(|read| read.through == *through);
    let read = read.ok_or_else(|| format!("nothing was read back through {through}"))?;
    if let Some(failure) = &read.failure {
        return Err(format!("{through} could not be read back: {failure}"));
    }
    let mut lost = Vec::new();
    for (stream, slots) in wanted {
        let found = read.found.get(*stream);
        let is_lost =
            |slot: &u64, number: &u64| found.and_then(|f| f.get(slot)).is_none_or(|have| have < number);
        let mut missing: Vec<u64> =
            slots.iter().filter(|(slot, number)| is_lost(slot, number)).map(|(_, number)| *number).collect();
        missing.sort_unstable();
        if let Some(first) = missing.first() {
            let count = missing.len();
            lost.push(format!("{count} of {stream}, number {first} first, are not there through {through}"));
        }
    }
    Ok(lost)
}
