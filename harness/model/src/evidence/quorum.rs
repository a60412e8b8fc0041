//! Quorum really was lost: while a majority of the members was out, none of them took a write.
//!
//! A put must be answered by a majority, so with one out not a single one can be acknowledged, by any
//! member: a healthy run always shows it. The first two seconds are left out, because a put that the majority had
//! taken before is still answered. Where the members themselves could not be asked, writes through each API
//! server stand for them.

use std::collections::BTreeMap;

use super::gather::{Evidence, SETTLES, held};
use crate::{
    action::{Process, Signal, StaticPod},
    observation::{Endpoint, Observation},
    spec::{Peers, Step},
    time::Offset,
    timeline::{Outcome, Series, Timeline},
};

/// The port at which members talk to each other.
const PEER_PORT: u16 = 2380;
/// Fewer attempts say nothing.
const ENOUGH: usize = 10;

/// A time during which a majority of the members was out.
#[derive(Clone, Debug)]
pub(super) struct Loss {
    /// The step that took the last one that was needed for it.
    step: u32,
    /// Its node.
    node: String,
    /// From when on.
    pub(super) from: Offset,
    /// Until the first of them was given back.
    pub(super) to: Offset,
}

/// The step takes the node's member away from the others for as long as it holds.
fn takes_member(step: &Step, control_plane: bool) -> bool {
    match step {
        Step::StaticPod(fault) => fault.pod == StaticPod::Etcd,
        Step::Signal(fault) => fault.process == Process::Etcd && fault.signal == Signal::Stop,
        Step::Pause(_) => control_plane,
        Step::Drop(fault) => {
            control_plane
                && matches!(fault.peers, None | Some(Peers::ControlPlanes | Peers::Nodes))
                && (fault.ports.is_empty() || fault.ports.contains(&PEER_PORT))
        }
        Step::Unit(_) | Step::KillContainer(_) | Step::DeletePods(_) | Step::Wait(_) => false,
        Step::Slow(_) | Step::Limit(_) | Step::FillEtcd(_) | Step::Load(_) => false,
    }
}

/// When a majority was out. A killed member that comes back by itself is not counted: its return is not the
/// fault's to time.
pub(super) fn losses(timeline: &Timeline) -> Vec<Loss> {
    // Taken and given back, in the order of time; a member that two steps hold is out until both are over.
    let mut changes: Vec<(Offset, bool, u32, &str)> = Vec::new();
    for (step, spec, trace) in timeline.faults() {
        for node in trace.map(|trace| trace.targets.as_slice()).unwrap_or_default() {
            let control_plane = timeline.control_planes.contains(node);
            let Some(held) = trace.and_then(|trace| held(trace, node)) else { continue };
            if takes_member(spec, control_plane) {
                let until = held.until.unwrap_or(timeline.ended());
                changes.push((held.since, true, step, node));
                changes.push((until.max(held.since), false, step, node));
            }
        }
    }
    changes.sort_by_key(|(at, taken, ..)| (*at, *taken));
    let members = timeline.control_planes.len();
    let mut holds: BTreeMap<&str, usize> = BTreeMap::new();
    let mut losses: Vec<Loss> = Vec::new();
    let mut lost = false;
    for (at, taken, step, node) in changes {
        let count = holds.entry(node).or_default();
        *count = if taken { *count + 1 } else { count.saturating_sub(1) };
        let out = holds.values().filter(|count| **count > 0).count();
        match (lost, out * 2 >= members && out > 0) {
            (false, true) => {
                losses.push(Loss { step, node: node.to_owned(), from: at, to: timeline.ended() })
            }
            (true, false) => losses.iter_mut().last().into_iter().for_each(|loss| loss.to = at),
            _ => {}
        }
        lost = out * 2 >= members && out > 0;
    }
    losses
}

pub(super) fn lost(timeline: &Timeline, loss: &Loss) -> Evidence {
    let asked = |wanted: fn(&Observation) -> bool| -> Vec<&Series> {
        let series = timeline.series.iter().filter(|series| wanted(&series.stream.observation));
        series.filter(|s| s.attempts.iter().any(|attempt| attempt.outcome != Outcome::Lost)).collect()
    };
    let mut series = asked(|observation| matches!(observation, Observation::EtcdPut { .. }));
    if series.is_empty() {
        series = asked(|o| matches!(o, Observation::ApiWrite { via: Endpoint::Node(_), .. }));
    }
    let (mut all, mut taken) = (0, Vec::new());
    let mut few = series.is_empty().then(|| "no probe wrote to the members".to_owned());
    for series in &series {
        let from = loss.from.plus(SETTLES);
        let during = series.attempts.iter().filter(|attempt| attempt.sent >= from && attempt.done <= loss.to);
        let counted: Vec<_> = during.filter(|attempt| attempt.outcome != Outcome::Lost).collect();
        let name = &series.stream.name;
        if counted.len() < ENOUGH {
            few.get_or_insert(format!("only {} attempts of {name} while it lasted", counted.len()));
        }
        all += counted.len();
        let acknowledged = counted.iter().filter(|attempt| attempt.told().is_some()).count();
        if acknowledged > 0 {
            taken.push(format!("{acknowledged} of {} of {name} were acknowledged", counted.len()));
        }
    }
    let held = few.is_none() && taken.is_empty();
    let seen = match few {
        _ if !taken.is_empty() => taken.join(", "),
        Some(few) => few,
        None => format!("all {all} writes of {} streams failed", series.len()),
    };
    let check = "quorum was lost: no member took a write".to_owned();
    Evidence { step: loss.step, node: loss.node.clone(), check, held, seen }
}
