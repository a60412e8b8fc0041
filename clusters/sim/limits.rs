//! Limits of one component's control group.

use recoup_model::action::{ActionReport, NodeAction};

use super::model::World;

pub(super) fn act(
    _world: &mut World,
    _node: usize,
    action: &NodeAction,
    _report: &mut ActionReport,
) -> Result<(), String> {
    Err(format!("NOT WRITTEN YET: {}", action.name()))
}
