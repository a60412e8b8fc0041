//! `drop:` packets dropped between a node and named parties, by rules that carry the run's tag.

use std::time::Duration;

use recoup_model::{
    action::{DropRule, NodeAction},
    spec::{DropFault, Peers},
    topology::NodeRole,
};

use crate::context::{Broken, Context};

/// Control planes talk to each other many times a second.
const TRAFFIC_LIMIT: Duration = Duration::from_secs(10);

pub(super) async fn inject(context: &Context, step: u32, fault: &DropFault) -> Result<(), Broken> {
    let nodes = context.targets(&fault.on, 1).await?;
    let node = &nodes[0];
    let peers: Vec<String> = context
        .cluster
        .fingerprint()
        .nodes
        .iter()
        .filter(|peer| peer.name != *node)
        .filter(|peer| match fault.peers {
            Some(Peers::ControlPlanes) => peer.role == NodeRole::ControlPlane,
            Some(Peers::Nodes) => true,
            None => false,
        })
        .map(|peer| peer.address.to_string())
        .collect();
    let parties = if peers.is_empty() { "everybody".to_owned() } else { peers.join(", ") };
    let text =
        format!("packets between {node} ({}) and {parties} dropped, ports {:?}", fault.on, fault.ports);
    let step = context.step(step, "drop", &nodes, text);
    let tag = format!("{}-{}", context.cluster.fingerprint().cluster, step.step);
    let rule = DropRule { tag: tag.clone(), peers, ports: fault.ports.clone() };
    let armed = step.arm(node, NodeAction::DropRemove { tag: tag.clone() })?;
    let dropped = step.inject(node, NodeAction::DropAdd { rule }).await;
    step.undo_after(fault.hold.0, vec![armed]);
    dropped?;
    let check = "the rules dropped packets";
    let look = NodeAction::DropCount { tag };
    step.evidence(node, check, &look, TRAFFIC_LIMIT.min(fault.hold.0), |seen| seen.packets > 0).await?;
    Ok(())
}
