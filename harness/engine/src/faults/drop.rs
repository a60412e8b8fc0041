//! `drop:` packets dropped between a node and named parties, by rules that carry the run's tag.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use recoup_model::{
    action::{DropRule, NodeAction},
    spec::DropFault,
};

use crate::{
    armed::Last,
    context::{Broken, Context, StepContext},
};

/// Control planes talk to each other many times a second.
const TRAFFIC_LIMIT: Duration = Duration::from_secs(10);
/// In the half of a hold of this length even a lone kubelet speaks: it renews its node lease every 10 s.
const TWO_HALVES: Duration = Duration::from_secs(25);

pub(super) async fn inject(context: &Context, step: u32, fault: &DropFault) -> Result<(), Broken> {
    let nodes = context.targets(&fault.on, 1).await?;
    let node = &nodes[0];
    let peers = context.addresses_of(fault.peers, node);
    let parties = if peers.is_empty() { "everybody".to_owned() } else { peers.join(", ") };
    let text =
        format!("packets between {node} ({}) and {parties} dropped, ports {:?}", fault.on, fault.ports);
    let step = context.step(step, "drop", &nodes, text);
    let tag = format!("{}-{}", context.cluster.fingerprint().cluster, step.step);
    let rule = DropRule { tag: tag.clone(), peers, ports: fault.ports.clone() };
    let armed = step.arm(node, NodeAction::DropRemove { tag: tag.clone() }, fault.hold.0).await?;
    let dropped = step.inject(node, NodeAction::DropAdd { rule }).await;
    let look = NodeAction::DropCount { tag };
    step.undo_after(fault.hold.0, vec![armed], still_dropping(&step, node, &look, fault.hold.0));
    dropped?;
    let check = "the rules dropped packets";
    step.evidence(node, check, &look, TRAFFIC_LIMIT.min(fault.hold.0), |seen| seen.packets > 0).await?;
    Ok(())
}

/// Rules that somebody has flushed drop nothing any more: the counter must grow in the second half as well.
fn still_dropping(step: &StepContext, node: &str, look: &NodeAction, hold: Duration) -> Vec<Last> {
    if hold < TWO_HALVES {
        return Vec::new();
    }
    let half = Arc::new(AtomicU64::new(u64::MAX));
    let (counting, noted) = (step.clone(), Arc::clone(&half));
    let (counted, asked) = (node.to_owned(), look.clone());
    step.context.background(async move {
        tokio::time::sleep(hold / 2).await;
        noted.store(counting.look(&counted, &asked).await?.packets, Ordering::Relaxed);
        Ok(())
    });
    vec![Last {
        node: node.to_owned(),
        check: "the rules dropped packets in the second half of the hold as well".into(),
        look: look.clone(),
        shows: Box::new(move |seen| seen.packets > half.load(Ordering::Relaxed)),
    }]
}
