//! `pause:` a whole node frozen and thawed.

use std::time::Duration;

use recoup_model::{action::NodeAction, spec::PauseFault};

use crate::context::{Broken, Context};

pub(super) async fn inject(context: &Context, step: u32, fault: &PauseFault) -> Result<(), Broken> {
    let nodes = context.targets(&fault.on, 1).await?;
    let node = &nodes[0];
    let step = context.step(step, "pause", &nodes, format!("{node} paused ({})", fault.on));
    let armed = step.arm(node, NodeAction::Unpause)?;
    let paused = step.inject(node, NodeAction::Pause).await;
    step.undo_after(fault.hold.0, vec![armed]);
    paused?;
    let check = "the node is paused";
    step.evidence(node, check, &NodeAction::InspectNode, Duration::from_secs(5), |seen| seen.paused).await?;
    Ok(())
}
