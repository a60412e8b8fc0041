//! Packets held back: by netem where the kernel has it, else by recoup's own program on the node.

use recoup_model::action::NodeAction;

use super::scripts::Script;

pub(super) fn script(action: &NodeAction) -> Result<Script, String> {
    Err(format!("NOT WRITTEN YET: {}", action.name()))
}
