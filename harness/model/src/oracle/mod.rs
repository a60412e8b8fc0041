//! What must hold in every experiment, whatever its times say. One file per oracle; each looks where it can,
//! and says where it could not.

pub(crate) mod leadership;
mod panel;
mod watch;
pub(crate) mod writes;

pub(crate) use panel::oracles;
