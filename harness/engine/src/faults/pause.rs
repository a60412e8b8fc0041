//! `pause:` a whole node frozen and thawed.

use std::time::Duration;

use recoup_model::{action::NodeAction, spec::PauseFault};

use crate::{
    armed::Last,
    context::{Broken, Context},
};

pub(super) async fn inject(context: &Context, step: u32, fault: &PauseFault) -> Result<(), Broken> {
    let nodes = context.targets(&fault.on, 1).await?;
    let node = &nodes[0];
    let step = context.step(step, "pause", &nodes, format!("{node} paused ({})", fault.on));
    let armed = step.arm(node, NodeAction::Unpause, fault.hold.0).await?;
    let paused = step.inject(node, NodeAction::Pause).await;
    let last = Last {
        node: node.clone(),
        check: "the node is still paused when it is to be thawed".into(),
        look: NodeAction::InspectNode,
        shows: Box::new(|seen| seen.paused),
    };
    step.undo_after(fault.hold.0, vec![armed], vec![last]);
    paused?;
    let check = "the node is paused";
    step.evidence(node, check, &NodeAction::InspectNode, Duration::from_secs(5), |seen| seen.paused).await?;
    Ok(())
}
