//! Simulated clusters: a deterministic model of the control plane under tokio's clock. Nothing that comes
//! from here is evidence about any real cluster; every fingerprint says so.
//!
//! Under a paused clock (`#[tokio::test(start_paused = true)]`, or a current-thread runtime built with
//! `start_paused`) minutes pass in milliseconds; under a running one the model runs in real time.

mod api;
mod cluster;
mod configuration;
mod etcd;
mod etcd_space;
mod limits;
mod load;
mod metrics;
mod model;
mod nodes;
mod provider;
mod slow;
mod survey;
mod watch;
mod workload;

#[cfg(test)]
mod tests;

pub use cluster::SimCluster;
pub use model::Truth;
pub use provider::SimProvider;
