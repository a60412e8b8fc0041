//! One file per fault, named as its key in YAML. A new one is a file here, a variant of
//! `recoup_model::spec::Step` and a line in [`inject`].

mod delete_pods;
mod drop;
mod fill_etcd;
mod kill_container;
mod limit;
mod load;
mod pause;
mod signal;
mod slow;
mod static_pod;
mod unit;

pub use fill_etcd::ETCD_FILLING;
use recoup_model::spec::Step;

use crate::context::{Broken, Context};

/// Begins a step; what it leaves to be done later runs in the context's background.
///
/// # Errors
/// Where the step could not be carried out: the experiment is broken off.
pub async fn inject(context: &Context, step: u32, what: &Step) -> Result<(), Broken> {
    match what {
        Step::Signal(fault) => signal::inject(context, step, fault).await,
        Step::StaticPod(fault) => static_pod::inject(context, step, fault).await,
        Step::Unit(fault) => unit::inject(context, step, fault).await,
        Step::Pause(fault) => pause::inject(context, step, fault).await,
        Step::Drop(fault) => drop::inject(context, step, fault).await,
        Step::KillContainer(fault) => kill_container::inject(context, step, fault).await,
        Step::DeletePods(ask) => delete_pods::ask(context, step, ask).await,
        Step::Slow(fault) => slow::inject(context, step, fault).await,
        Step::Limit(fault) => limit::inject(context, step, fault).await,
        Step::FillEtcd(fault) => fill_etcd::inject(context, step, fault).await,
        Step::Load(load) => load::run(context, step, load).await,
        Step::Wait(span) => {
            tokio::time::sleep(span.0).await;
            Ok(())
        }
    }
}
