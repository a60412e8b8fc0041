//! `unit:` a systemd unit stopped and started again.

use std::time::Duration;

use recoup_model::{action::NodeAction, spec::UnitFault};

use crate::{
    armed::Last,
    context::{Broken, Context},
};

/// `systemctl stop` returns when the main process has ended.
const GONE_LIMIT: Duration = Duration::from_secs(10);

pub(super) async fn inject(context: &Context, step: u32, fault: &UnitFault) -> Result<(), Broken> {
    let nodes = context.targets(&fault.on, 1).await?;
    let node = &nodes[0];
    let process = fault.unit.process();
    let step =
        context.step(step, "unit", &nodes, format!("{process}.service stopped on {node} ({})", fault.on));
    let armed = step.arm(node, NodeAction::UnitStart { unit: fault.unit }, fault.hold.0).await?;
    let stopped = step.inject(node, NodeAction::UnitStop { unit: fault.unit }).await;
    let look = NodeAction::Inspect { process };
    let last = Last {
        node: node.clone(),
        check: format!("still no {process} runs when it is to be started"),
        look: look.clone(),
        shows: Box::new(|seen| seen.processes.is_empty()),
    };
    step.undo_after(fault.hold.0, vec![armed], vec![last]);
    stopped?;
    let check = format!("no {process} runs on the node");
    step.evidence(node, &check, &look, GONE_LIMIT, |seen| seen.processes.is_empty()).await?;
    Ok(())
}
