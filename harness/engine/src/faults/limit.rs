//! `limit:` a component's processor time and block I/O limited by its control group.

use recoup_model::spec::LimitFault;

use crate::context::{Broken, Context};

pub(super) async fn inject(_context: &Context, _step: u32, _fault: &LimitFault) -> Result<(), Broken> {
    Err(Broken::NoTarget("NOT WRITTEN YET".into()))
}
