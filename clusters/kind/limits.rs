//! Limits of one component's control group.

use recoup_model::action::NodeAction;

use super::scripts::Script;

pub(super) fn script(action: &NodeAction) -> Result<Script, String> {
    Err(format!("NOT WRITTEN YET: {}", action.name()))
}
