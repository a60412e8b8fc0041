//! Limits of one component, set and counted.

use recoup_model::{
    action::{ActionReport, NodeAction},
    degrade::Limit,
};

use super::{model::World, nodes::state};

pub(super) fn act(
    world: &mut World,
    node: usize,
    action: &NodeAction,
    report: &mut ActionReport,
) -> Result<(), String> {
    match action {
        NodeAction::LimitSet { process, limit } => {
            if *limit == Limit::default() {
                return Err(format!("nothing of {process} is to be limited"));
            }
            if !world.limit(node, *process, *limit) {
                return Err(format!("no {process} runs on this node"));
            }
            report.changed = true;
            report.processes = state(world, node, *process);
        }
        NodeAction::LimitClear { process } => {
            report.changed = world.nodes[node].changed.limits.remove(process).is_some();
        }
        NodeAction::LimitCount { process } => {
            report.limited = world.limited(node, *process);
            report.processes = state(world, node, *process);
        }
        other => return Err(format!("{} is none of a limit", other.name())),
    }
    Ok(())
}
