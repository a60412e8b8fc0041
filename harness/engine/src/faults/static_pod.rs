//! `staticPod:` a static pod held down by moving its manifest aside, on one or several nodes at once.

use std::time::Duration;

use recoup_model::{action::NodeAction, spec::StaticPodFault};

use crate::context::{Broken, Context};

/// A gentle end may take as long as the pod's grace period and kubelet's file check (20 s).
const GONE_LIMIT: Duration = Duration::from_secs(60);

pub(super) async fn inject(context: &Context, step: u32, fault: &StaticPodFault) -> Result<(), Broken> {
    let nodes = context.targets(&fault.on, fault.count).await?;
    let process = fault.pod.process();
    let text = format!("static pod {process} held down on {} ({})", nodes.join(", "), fault.on);
    let step = context.step(step, "staticPod", &nodes, text);
    let undo = NodeAction::StaticPodRestore { pod: fault.pod };
    let armed = nodes.iter().map(|node| step.arm(node, undo.clone())).collect::<Result<Vec<_>, _>>()?;
    let hold = NodeAction::StaticPodHold { pod: fault.pod, kill: fault.kill };
    let injected = futures::future::join_all(nodes.iter().map(|node| step.inject(node, hold.clone()))).await;
    step.undo_after(fault.hold.0, armed);
    injected.into_iter().collect::<Result<Vec<_>, _>>()?;
    let look = NodeAction::Inspect { process };
    for node in &nodes {
        let check = format!("no {process} runs while its manifest is aside");
        step.evidence(node, &check, &look, GONE_LIMIT.min(fault.hold.0), |seen| seen.processes.is_empty())
            .await?;
    }
    Ok(())
}
