//! The components' own metrics.

use std::time::Duration;

use recoup_model::{
    action::StaticPod,
    observation::{Failure, FailureClass, Observed},
};

use super::KindCluster;

impl KindCluster {
    pub(super) async fn metrics(
        &self,
        _component: StaticPod,
        _node: &str,
        _timeout: Duration,
    ) -> Result<Observed, Failure> {
        Err(Failure::new(FailureClass::Observer, "NOT WRITTEN YET"))
    }
}
