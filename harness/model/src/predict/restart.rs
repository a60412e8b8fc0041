//! Who starts again what has ended: kubelets their containers and static pods, systemd its units.

use super::{
    allowance::{BACK_OFF, CONTAINER_START, KUBELET_START, NOTICE, RESUME},
    scene::{How, Missing, Scene},
    sum::Sum,
};
use crate::{
    action::Process,
    configuration::{Configuration, names},
    spec::{Step, When},
};

/// A kubelet starts a container that has ended. The first time there is no back-off.
pub(super) fn container(sum: Sum) -> Sum {
    sum.allow(&NOTICE).allow(&CONTAINER_START)
}

/// A kubelet starts a static pod whose manifest is back.
pub(super) fn manifest(sum: Sum, config: &Configuration) -> Sum {
    let check = config.setting(names::FILE_CHECK);
    sum.high_setting(&check, "the kubelet looks at its manifests, if it is not told of the change at once")
        .allow(&BACK_OFF)
        .allow(&CONTAINER_START)
}

/// The interval of a milestone of the kubelet's unit, or of a killed container of the workload.
pub(super) fn sum(scene: &Scene<'_>) -> Result<Sum, Missing> {
    let (When::Stable(pattern) | When::Succeeds(pattern)) = &scene.milestone.when else {
        return Err(Missing::Formula);
    };
    match pattern.0.as_str() {
        "health/kubelet/@target" => kubelet(scene),
        "workload/pod/@target" => killed_container(scene),
        _ => Err(Missing::Formula),
    }
}

fn kubelet(scene: &Scene<'_>) -> Result<Sum, Missing> {
    let blow = scene.only(Process::Kubelet).ok_or(Missing::Formula)?;
    let restart = scene.config.setting(names::KUBELET_RESTART);
    let sum = match blow.how {
        // From the last signal, which came when all but the last process had come back.
        How::Kill | How::Term if scene.counts_from_undo() => {
            Sum::new().both(&restart, "systemd waits before it starts the unit again").allow(&KUBELET_START)
        }
        // A pause between two signals may be long enough to look like recovery: the first restart bounds it from
        // below, all of them from above.
        How::Kill | How::Term => {
            let times = blow.times;
            let each =
                |what: &str| if times > 1 { format!("{what}, {times} times") } else { what.to_owned() };
            let sum = Sum::new()
                .low(restart.value.0, "systemd waits before it starts the unit again", &restart.source)
                .high(
                    restart.most().0 * times,
                    &each("systemd waits before it starts the unit again"),
                    &restart.source,
                )
                .high(KUBELET_START.value * times, &each(KUBELET_START.what), KUBELET_START.source);
            match times {
                1 => sum,
                _ => sum.high(
                    blow.every * (times - 1),
                    "the pauses between the signals",
                    "`every` of the step",
                ),
            }
        }
        How::Stop(hold) => scene.undone(hold).allow(&RESUME),
        How::Held(hold) => scene.undone(hold).allow(&KUBELET_START),
    };
    Ok(sum)
}

fn killed_container(scene: &Scene<'_>) -> Result<Sum, Missing> {
    let steps = &scene.plan.steps;
    let mut faults = steps.iter().filter(|step| step.is_fault());
    let kills = |step: &Step| matches!(step, Step::KillContainer(_));
    let first = faults.next().is_some_and(kills);
    // With another fault on the same node the two could not be told apart.
    let alone = steps.iter().filter(|step| kills(step)).count() == 1
        && steps.iter().all(|step| kills(step) || super::node::hits_workers(step).is_none());
    if scene.counts_from_undo() || !alone {
        return Err(Missing::Formula);
    }
    let sum = match scene.waits_before(kills) {
        Some((waited, acts)) => Sum::new()
            .each(waited, "waiting between the first fault and the kill", "`wait` of the steps")
            .high(
                super::allowance::ACT.value * acts.max(1),
                "commands on nodes before it",
                super::allowance::ACT.source,
            ),
        None if first => Sum::new(),
        None => return Err(Missing::Formula),
    };
    Ok(container(sum).allow(&BACK_OFF))
}
