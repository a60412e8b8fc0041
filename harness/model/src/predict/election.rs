//! Leader election by Lease, as client-go's leaderelection.go does it.

use std::time::Duration;

use super::{
    allowance::{CONTROLLERS_START, JITTER, SCHEDULER_START},
    scene::{Blow, How, Missing, Scene, lasting},
    sum::Sum,
};
use crate::{
    action::Process,
    configuration::Election,
    spec::{Target, When},
};

/// The component of a Lease.
fn process(lease: &str) -> Option<Process> {
    match lease {
        "kube-controller-manager" => Some(Process::KubeControllerManager),
        "kube-scheduler" => Some(Process::KubeScheduler),
        _ => None,
    }
}

/// From the loss of a holder to the next one.
///
/// The holder renews every retry period. A follower looks every 1 to 2.2 retry periods, counts the lease from its
/// own sight of the last renewal, and takes it at its first look after that.
fn takeover(election: &Election, lease: &str, term: bool) -> Sum {
    let retry = &election.retry_period;
    let stretched = Duration::mul_f64(retry.most().0, JITTER);
    let pause = "a follower looks every 1 to 2.2 retry periods";
    let release = &election.release;
    if term && release.value == Some(true) {
        let source = format!("{} of {lease} releases its lease on exit", release.source);
        return Sum::new()
            .low(Duration::ZERO, "the holder gives its lease back", &source)
            .high_setting(retry, "the holder may be within a renewal")
            .high(stretched, pause, &retry.source);
    }
    let sum = Sum::new()
        .both(&election.lease_duration, "lease duration")
        .low_less(retry.most().0, "the last renewal was up to a retry period before", &retry.source)
        .high(stretched, &format!("{pause}: until it sees the last renewal"), &retry.source)
        .high(stretched, &format!("{pause}: until it sees the lease run out"), &retry.source);
    match (term, release.value) {
        // Either way of ending is right where it is not known which one this version has.
        (true, None) => sum.any_time(),
        _ => sum,
    }
}

fn of_holder<'a>(scene: &Scene<'a>, lease: &str) -> Option<Blow<'a>> {
    let blow = scene.only(process(lease)?)?;
    let holder = matches!(blow.on, Target::LeaseHolder(held) if held == lease);
    (holder && blow.times == 1 && !scene.counts_from_undo()).then_some(blow)
}

fn taken(scene: &Scene<'_>, lease: &str) -> Result<Sum, Missing> {
    let blow = of_holder(scene, lease).ok_or(Missing::Formula)?;
    let sum = takeover(&scene.config.election(lease), lease, blow.how == How::Term);
    lasting(sum, blow.hold())
}

/// The interval of a milestone of leader election.
pub(super) fn sum(scene: &Scene<'_>) -> Result<Sum, Missing> {
    match &scene.milestone.when {
        When::NewHolder(lease) => taken(scene, lease),
        When::Stable(pattern) | When::Succeeds(pattern) => {
            let (lease, start, rate) = match pattern.0.as_str() {
                "converge" => ("kube-controller-manager", CONTROLLERS_START, scene.plan.probes.convergence()),
                "schedule" => ("kube-scheduler", SCHEDULER_START, scene.plan.probes.scheduling()),
                _ => return Err(Missing::Formula),
            };
            let slow = rate.and_then(|rate| rate.slow).unwrap_or_default().0;
            let sum = taken(scene, lease)?.allow(&start);
            Ok(sum.high(slow, "an operation that takes so long still counts as good", "`slow` of the probe"))
        }
        _ => Err(Missing::Formula),
    }
}
