//! Nodes that fall silent: conditions, taints, eviction, replacement, and their return.

use std::time::Duration;

use super::{
    allowance::{CONTROLLER, GRACE, KUBELET_START, NODE_LEASE_JITTER, POD_START, POD_STOP, RESUME},
    scene::{Missing, Scene, lasting},
    sum::Sum,
};
use crate::{
    action::{Process, Signal, Unit},
    configuration::{Setting, names},
    spec::{Step, Target, When},
    time::Span,
};

/// How a worker is kept from renewing its node lease.
struct Silence {
    hold: Duration,
    /// The kubelet has to be started again.
    restarted: bool,
}

/// The worker that a step may hit.
pub(super) fn hits_workers(step: &Step) -> Option<&Target> {
    let hits = |on: &&Target| {
        matches!(on, Target::Worker | Target::WorkloadNode | Target::Node(_) | Target::SameAs(_))
    };
    step.on().filter(hits)
}

fn silence(scene: &Scene<'_>) -> Option<Silence> {
    let mut faults = scene.plan.steps.iter().filter(|step| step.is_fault());
    let (step, None) = (faults.next()?, faults.next()) else { return None };
    if !matches!(hits_workers(step)?, Target::Worker | Target::WorkloadNode) {
        return None;
    }
    let hold = step.hold()?.0;
    match step {
        Step::Unit(fault) if fault.unit == Unit::Kubelet => Some(Silence { hold, restarted: true }),
        Step::Signal(fault) if fault.process == Process::Kubelet && fault.signal == Signal::Stop => {
            Some(Silence { hold, restarted: false })
        }
        Step::Pause(_) => Some(Silence { hold, restarted: false }),
        Step::Drop(fault) if fault.ports.is_empty() && fault.peers.is_none() => {
            Some(Silence { hold, restarted: false })
        }
        _ => None,
    }
}

/// Until the API shows the node as not ready.
///
/// The node controller looks every monitor period, and counts the grace period from its own sight of the last
/// renewal of the node's Lease.
fn not_ready(scene: &Scene<'_>) -> Sum {
    let (grace, monitor) =
        (scene.config.setting(names::NODE_GRACE), scene.config.setting(names::NODE_MONITOR));
    let renewal = scene.config.setting(names::NODE_LEASE_RENEWAL);
    Sum::new()
        .both(&grace, "grace period")
        .low_less(
            renewal.most().0.mul_f64(NODE_LEASE_JITTER),
            "the last renewal of its lease was up to so long before (with the kubelet's jitter of 0.04)",
            &renewal.source,
        )
        .high_setting(&monitor, "the node controller looks: until it sees the last renewal")
        .high_setting(&monitor, "the node controller looks: until it sees the grace period over")
}

fn tainted(scene: &Scene<'_>) -> Sum {
    let monitor = scene.config.setting(names::NODE_MONITOR);
    not_ready(scene).high_setting(&monitor, "the taint comes with the controller's next look at the latest")
}

fn evicted(scene: &Scene<'_>) -> Sum {
    let toleration = match scene.plan.workload.toleration_seconds {
        Some(seconds) => Setting::new(Span::seconds(seconds.into()).0, "tolerationSeconds of the workload"),
        None => scene.config.setting(names::TOLERATION),
    };
    tainted(scene).both(&toleration, "the pods tolerate the taint").allow(&CONTROLLER)
}

/// The interval of a milestone of a worker's loss and return.
pub(super) fn sum(scene: &Scene<'_>) -> Result<Sum, Missing> {
    let silence = silence(scene).ok_or(Missing::Formula)?;
    match (&scene.milestone.when, scene.counts_from_undo()) {
        (When::NotReady, false) => lasting(not_ready(scene), Some(silence.hold)),
        (When::Tainted, false) => lasting(tainted(scene), Some(silence.hold)),
        (When::Evicted, false) => lasting(evicted(scene), Some(silence.hold)),
        (When::Replaced, false) => {
            let sum = lasting(evicted(scene), Some(silence.hold))?;
            Ok(sum.allow(&CONTROLLER).allow(&POD_START))
        }
        (When::Ready, _) => {
            lasting(not_ready(scene), Some(silence.hold))?;
            let status = scene.config.setting(names::NODE_STATUS);
            Ok(returned(scene, &silence)
                .high_setting(&status, "its first status may still say no: the next one"))
        }
        (When::StaleGone, _) => {
            lasting(evicted(scene), Some(silence.hold))?;
            Ok(returned(scene, &silence).allow(&GRACE).allow(&POD_STOP))
        }
        _ => Err(Missing::Formula),
    }
}

fn returned(scene: &Scene<'_>, silence: &Silence) -> Sum {
    scene.undone(silence.hold).allow(if silence.restarted { &KUBELET_START } else { &RESUME })
}
