//! Pods that are deleted and replaced, and the routes that kube-proxy keeps to them.

use super::{
    allowance::{ACT, CONTROLLER, CONTROLLERS_START, GRACE, JITTER, POD_START, POD_STOP, RESUME},
    api,
    scene::{How, Missing, Scene},
    sum::Sum,
};
use crate::{
    action::Process,
    configuration::names,
    spec::{Step, When},
};

fn deletes(step: &Step) -> bool {
    matches!(step, Step::DeletePods(_))
}

/// Until the deletion that a step asks for, while the control plane works.
fn asked(scene: &Scene<'_>) -> Result<Sum, Missing> {
    let control_plane =
        |step: &&Step| step.is_fault() && !matches!(step, Step::KillContainer(_)) && !spares_it(step);
    if scene.counts_from_undo() || scene.plan.steps.iter().any(|step| control_plane(&step)) {
        return Err(Missing::Formula);
    }
    let (waited, acts) = scene.waits_before(deletes).ok_or(Missing::Formula)?;
    Ok(Sum::new().each(waited, "waiting between the fault and the deletion", "`wait` of the steps").high(
        ACT.value * acts,
        "commands on nodes before it",
        ACT.source,
    ))
}

/// The control plane goes on working beside that step.
fn spares_it(step: &Step) -> bool {
    matches!(step, Step::Signal(fault) if fault.process == Process::KubeProxy)
}

/// The interval of a milestone of deletion, replacement and routes.
pub(super) fn sum(scene: &Scene<'_>) -> Result<Sum, Missing> {
    match &scene.milestone.when {
        When::Deleted if scene.counts_from_undo() => Ok(api::writes_back(scene)?.any_time()),
        When::Deleted => Ok(asked(scene)?.allow(&CONTROLLER)),
        When::Replaced if scene.counts_from_undo() => after_quorum(scene),
        When::Replaced => Ok(asked(scene)?.allow(&CONTROLLER).allow(&CONTROLLER).allow(&POD_START)),
        When::Fails(pattern) if pattern.0 == "workload/service/@target" => {
            frozen_proxy(scene)?;
            Ok(asked(scene)?.allow(&CONTROLLER).allow(&GRACE).allow(&POD_STOP))
        }
        When::Stable(pattern) | When::Succeeds(pattern) if pattern.0 == "workload/service/@target" => {
            let hold = frozen_proxy(scene)?;
            let sync = scene.config.setting(names::PROXY_SYNC);
            let sum = scene.undone(hold).allow(&RESUME);
            Ok(sum.high_setting(&sync, "kube-proxy waits between two changes of its rules"))
        }
        _ => Err(Missing::Formula),
    }
}

/// kube-proxy alone is frozen, and pods are deleted meanwhile.
fn frozen_proxy(scene: &Scene<'_>) -> Result<std::time::Duration, Missing> {
    let blow = scene.only(Process::KubeProxy).ok_or(Missing::Formula)?;
    match blow.how {
        How::Stop(hold) if scene.plan.steps.iter().any(deletes) => Ok(hold),
        _ => Err(Missing::Formula),
    }
}

/// A deleted pod is replaced once writes are back, and controller-manager and scheduler, which could not renew
/// their Leases, hold them again: they wait side by side, and then work one after the other.
fn after_quorum(scene: &Scene<'_>) -> Result<Sum, Missing> {
    let sum = api::writes_back(scene)?;
    let lost = crate::streams::LEASES.map(|lease| scene.config.election(lease));
    let Some(slowest) = lost.iter().max_by_key(|election| election.lease_duration.most()) else {
        return Err(Missing::Formula);
    };
    let retry = &slowest.retry_period;
    Ok(sum
        .high_setting(&slowest.lease_duration, "lease duration: nobody could renew")
        .high(retry.most().0.mul_f64(JITTER), "a follower looks every 1 to 2.2 retry periods", &retry.source)
        .allow(&CONTROLLERS_START)
        .allow(&CONTROLLER)
        .allow(&POD_START)
        .any_time())
}
