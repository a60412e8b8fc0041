//! `staticPod:` a static pod held down by moving its manifest aside, on one or several nodes at once.

use std::time::Duration;

use recoup_model::{action::NodeAction, spec::StaticPodFault};

use crate::{
    armed::Last,
    context::{Broken, Context},
};

/// A gentle end may take as long as the pod's grace period and kubelet's file check (20 s).
const GONE_LIMIT: Duration = Duration::from_secs(60);

pub(super) async fn inject(context: &Context, step: u32, fault: &StaticPodFault) -> Result<(), Broken> {
    let nodes = context.targets(&fault.on, fault.count).await?;
    let process = fault.pod.process();
    let text = format!("static pod {process} held down on {} ({})", nodes.join(", "), fault.on);
    let step = context.step(step, "staticPod", &nodes, text);
    let undo = NodeAction::StaticPodRestore { pod: fault.pod };
    let arming = nodes.iter().map(|node| step.arm(node, undo.clone(), fault.hold.0));
    let armed = futures::future::try_join_all(arming).await?;
    let hold = NodeAction::StaticPodHold { pod: fault.pod, kill: fault.kill };
    let injected = futures::future::join_all(nodes.iter().map(|node| step.inject(node, hold.clone()))).await;
    let look = NodeAction::Inspect { process };
    let last = nodes.iter().map(|node| Last {
        node: node.clone(),
        check: format!("still no {process} runs when its manifest is to come back"),
        look: look.clone(),
        shows: Box::new(|seen| seen.processes.is_empty()),
    });
    step.undo_after(fault.hold.0, armed, last.collect());
    injected.into_iter().collect::<Result<Vec<_>, _>>()?;
    for node in &nodes {
        let check = format!("no {process} runs while its manifest is aside");
        step.evidence(node, &check, &look, GONE_LIMIT.min(fault.hold.0), |seen| seen.processes.is_empty())
            .await?;
    }
    Ok(())
}
