//! The components' own metrics, as the model has them.

use recoup_model::{
    action::StaticPod,
    observation::{Failure, FailureClass, Observed},
};

use super::SimCluster;
use crate::Attempt;

impl SimCluster {
    pub(super) async fn metrics(
        &self,
        _stream: &str,
        _component: StaticPod,
        _node: &str,
        _attempt: Attempt,
    ) -> Result<Observed, Failure> {
        Err(Failure::new(FailureClass::Observer, "NOT WRITTEN YET"))
    }
}
