//! `killContainer:` the workload's process in one pod killed on its node, without the API.

use std::time::Duration;

use recoup_model::{
    action::{NodeAction, Signal},
    observation::{Observation, Observed, PodState},
    spec::KillContainer,
};

use crate::context::{Broken, Context};

impl Context {
    /// The workload's pods as the probes heard of them last.
    pub(super) fn pods(&self) -> Vec<PodState> {
        match self.latest.get(&Observation::Pods.stream()) {
            Some(Observed::Pods(pods)) => pods,
            _ => Vec::new(),
        }
    }
}

pub(super) async fn inject(context: &Context, step: u32, fault: &KillContainer) -> Result<(), Broken> {
    let nodes = context.targets(&fault.on, 1).await?;
    let node = &nodes[0];
    let mut pods = context.pods();
    pods.retain(|pod| pod.ready && !pod.deleting && pod.node.as_ref() == Some(node));
    context.shuffle(&mut pods);
    let Some(pod) = pods.into_iter().next() else {
        return Err(Broken::NoTarget(format!("no ready pod of the workload on {node}")));
    };
    let step = context.step(
        step,
        "killContainer",
        &nodes,
        format!("SIGKILL to the container of pod {} on {node}", pod.name),
    );
    let signal = |signal| NodeAction::SignalPod { pod: pod.name.clone(), signal };
    let report = step.inject(node, signal(Signal::Kill)).await?;
    let hit: Vec<_> = report.processes.into_iter().map(|p| p.id).collect();
    let check = "the container's process is gone";
    if hit.is_empty() {
        step.record_evidence(node, check, false, "there was no such process to signal".into());
        return Ok(());
    }
    // CONT does nothing to a running process, so it serves as a look into the pod.
    let gone =
        |seen: &recoup_model::action::ActionReport| seen.processes.iter().all(|p| !hit.contains(&p.id));
    step.evidence(node, check, &signal(Signal::Cont), Duration::from_secs(5), gone).await?;
    Ok(())
}
