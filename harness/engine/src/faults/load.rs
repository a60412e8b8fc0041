//! `load:` requests for the API servers, on schedule whatever the answers.

use recoup_model::spec::LoadStep;

use crate::context::{Broken, Context};

pub(super) async fn run(_context: &Context, _step: u32, _load: &LoadStep) -> Result<(), Broken> {
    Err(Broken::NoTarget("NOT WRITTEN YET".into()))
}
