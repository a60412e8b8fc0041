//! `fillEtcd:` etcd's quota used up and freed.

use std::time::Duration;

use recoup_model::{
    action::{ActionReport, NodeAction},
    spec::FillEtcd,
};

use crate::{
    armed::Last,
    context::{Broken, Context},
};

/// Filling may take so long: the node's own deadline is not to free what is still being filled. A kind node's
/// command for it is given up after two minutes.
pub const ETCD_FILLING: Duration = Duration::from_secs(120);
/// A member raises the alarm with its first refusal.
const RAISED: Duration = Duration::from_secs(5);

pub(super) async fn inject(context: &Context, step: u32, fault: &FillEtcd) -> Result<(), Broken> {
    let mut nodes = context.targets(&fault.on, 1).await?;
    // One member's node fills and frees for all.
    nodes.truncate(1);
    let node = &nodes[0];
    let text = format!("etcd's quota used up through the member on {node} ({})", fault.on);
    let step = context.step(step, "fillEtcd", &nodes, text);
    let armed = step.arm(node, NodeAction::EtcdFree, fault.hold.0 + ETCD_FILLING).await?;
    let filled = step.inject(node, NodeAction::EtcdFill).await;
    let look = |check: &str, shows: fn(&ActionReport) -> bool| Last {
        node: node.clone(),
        check: check.to_owned(),
        look: NodeAction::EtcdLook,
        shows: Box::new(shows),
    };
    let last = look("the alarm NOSPACE is still raised when etcd is to be freed", full);
    let after = look("no alarm is raised any more once etcd is freed", free);
    step.undo_after_and_look(fault.hold.0, vec![armed], vec![last], vec![after]);
    filled?;
    step.evidence(node, "the alarm NOSPACE is raised", &NodeAction::EtcdLook, RAISED, full).await?;
    Ok(())
}

fn full(seen: &ActionReport) -> bool {
    seen.space.as_ref().is_some_and(|space| space.alarms.iter().any(|alarm| alarm == "NOSPACE"))
}

fn free(seen: &ActionReport) -> bool {
    seen.space.as_ref().is_some_and(|space| space.alarms.is_empty())
}
