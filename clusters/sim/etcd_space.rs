//! etcd's quota: used up, freed, looked at.

use recoup_model::action::{ActionReport, NodeAction};

use super::model::World;

pub(super) fn act(
    world: &mut World,
    node: usize,
    action: &NodeAction,
    report: &mut ActionReport,
) -> Result<(), String> {
    match action {
        NodeAction::EtcdFill => {
            world.fill(node)?;
            report.changed = true;
        }
        NodeAction::EtcdFree => report.changed = world.free(node)?,
        NodeAction::EtcdLook => {}
        other => return Err(format!("{} is none of etcd's quota", other.name())),
    }
    report.space = Some(world.space(node)?);
    Ok(())
}
