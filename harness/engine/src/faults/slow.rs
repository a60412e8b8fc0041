//! `slow:` packets that leave a node held back, lost or let out slowly.

use recoup_model::spec::SlowFault;

use crate::context::{Broken, Context};

pub(super) async fn inject(_context: &Context, _step: u32, _fault: &SlowFault) -> Result<(), Broken> {
    Err(Broken::NoTarget("NOT WRITTEN YET".into()))
}
