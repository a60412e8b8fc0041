//! The node lease stopped: a kubelet that is silenced for two renewal periods renews its Lease no more.
//!
//! Its key's revision stays the same from shortly after the injection to the undo. That the probe sees
//! renewals at all must show too; but a baseline of 10 s may hold none, with a renewal every 10.0 to 10.4 s, so
//! one after the return serves as well, and only a longer time without any before is held against it. Where the
//! quorum was lost meanwhile nobody could be asked, and nothing is demanded.

use std::time::Duration;

use super::{
    gather::{Evidence, SETTLES, held, length},
    quorum::Loss,
};
use crate::{
    action::{Process, Signal, Unit},
    milestone::told,
    observation::{Observation, Observed},
    spec::Step,
    time::Offset,
    timeline::Timeline,
};

/// A kubelet renews its Lease after a quarter of its duration of 40 s (`nodeLeaseDurationSeconds`), times 1 to
/// 1.04.
const RENEWAL: Duration = Duration::from_secs(10);

/// The step silences the node's kubelet for as long as it holds.
///
/// A packet filter does so on a worker only: with everybody cut off. A kubelet may reach the API by a load
/// balancer that is no node, and a control plane's own by its own address.
fn silences(step: &Step, control_plane: bool) -> bool {
    match step {
        Step::Unit(fault) => fault.unit == Unit::Kubelet,
        Step::Signal(fault) => fault.process == Process::Kubelet && fault.signal == Signal::Stop,
        Step::Pause(_) => true,
        Step::Drop(fault) => fault.peers.is_none() && fault.ports.is_empty() && !control_plane,
        Step::StaticPod(_) | Step::KillContainer(_) | Step::DeletePods(_) | Step::Wait(_) => false,
        Step::Slow(_) | Step::Limit(_) | Step::FillEtcd(_) | Step::Load(_) => false,
    }
}

pub(super) fn stopped(timeline: &Timeline, losses: &[Loss]) -> Vec<Evidence> {
    let mut all = Vec::new();
    for (step, spec, trace) in timeline.faults() {
        let long = spec.hold().is_some_and(|hold| hold.0 >= RENEWAL * 2);
        for node in trace.map(|trace| trace.targets.as_slice()).unwrap_or_default() {
            if !long || !silences(spec, timeline.control_planes.contains(node)) {
                continue;
            }
            let Some(held) = trace.and_then(|trace| held(trace, node)) else { continue };
            let (from, to) = (held.since.plus(SETTLES), held.until.unwrap_or(timeline.ended()));
            // Renewals that cannot be told from no answers.
            if to.since(from) < RENEWAL || losses.iter().any(|loss| loss.from < to && loss.to > from) {
                continue;
            }
            let Some((held, seen)) = looked(timeline, node, held.began, from, to) else { continue };
            let check = format!("the kubelet of {node} renewed its lease no more");
            all.push(Evidence { step, node: node.clone(), check, held, seen });
        }
    }
    all
}

/// Whether the revision stood still between two moments, and was seen to move at another time; none where it
/// is not asked for.
fn looked(timeline: &Timeline, node: &str, hit: Offset, from: Offset, to: Offset) -> Option<(bool, String)> {
    let of_node = |o: &Observation| matches!(o, Observation::NodeLease { node: other } if other == node);
    let series = timeline.series.iter().find(|series| of_node(&series.stream.observation))?;
    let told: Vec<(Offset, Offset, u64)> = told(series)
        .filter_map(|(sent, done, told)| match told {
            Observed::Renewed { revision } => Some((sent, done, *revision)),
            _ => None,
        })
        .collect();
    let during: Vec<_> = told.iter().filter(|(sent, done, _)| *sent >= from && *done <= to).collect();
    // With a member down every third attempt fails; half of what the schedule gives is always there.
    let wanted = to.since(from).as_micros() / series.stream.rate.period.0.as_micros().max(1) / 2;
    if (during.len() as u128) < wanted.max(2) {
        return Some((false, format!("only {} answers while it lasted", during.len())));
    }
    let first = during[0].2;
    if let Some((_, done, other)) = during.iter().find(|(.., revision)| *revision != first) {
        let later = length(done.since(hit));
        return Some((
            false,
            format!("it was renewed (revision {other}) within {later} after the injection"),
        ));
    }
    let before: Vec<_> = told.iter().filter(|(_, done, _)| *done <= hit).collect();
    let moved_before = before.windows(2).any(|pair| pair[0].2 != pair[1].2);
    let moved_after = told.iter().any(|(_, done, revision)| *done > to && *revision > first);
    let watched = match (before.first(), before.last()) {
        (Some(first), Some(last)) => last.1.since(first.0),
        _ => Duration::ZERO,
    };
    // Two periods and the jitter of both.
    if !moved_before && (!moved_after || watched > RENEWAL.mul_f64(2.1)) {
        return Some((false, format!("it was not renewed before, in {}", length(watched))));
    }
    let (lasted, answers) = (length(to.since(from)), during.len());
    Some((true, format!("revision {first} stood for {lasted} ({answers} answers)")))
}
