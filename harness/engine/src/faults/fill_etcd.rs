//! `fillEtcd:` etcd's quota used up and freed.

use recoup_model::spec::FillEtcd;

use crate::context::{Broken, Context};

pub(super) async fn inject(_context: &Context, _step: u32, _fault: &FillEtcd) -> Result<(), Broken> {
    Err(Broken::NoTarget("NOT WRITTEN YET".into()))
}
