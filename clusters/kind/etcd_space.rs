//! etcd's quota: used up, freed, looked at.

use recoup_model::action::NodeAction;

use super::scripts::Script;

pub(super) fn script(action: &NodeAction) -> Result<Script, String> {
    Err(format!("NOT WRITTEN YET: {}", action.name()))
}
