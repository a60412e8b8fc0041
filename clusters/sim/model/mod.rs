//! The model: a discrete-event simulation of a control plane, pure and without a clock of its own.
//!
//! Whoever looks at it first advances it to the time of looking. Raft ticks, leases, checks and node
//! leases are events with their own times; what Kubernetes does level-triggered (kubelets, controllers)
//! is a loop every [`timing::LOOP`]. Events at one time run in the order in which they were pushed, and
//! observers draw no random numbers from the model: the same seed and deeds give the same history.

mod acts;
pub(crate) mod apiserver;
pub(crate) mod balancer;
mod controllers;
pub(crate) mod dice;
mod fact;
pub(crate) mod kubelet;
pub(crate) mod lease;
pub(crate) mod limits;
pub(crate) mod load;
pub(crate) mod network;
mod process;
pub(crate) mod raft;
mod settings;
pub(crate) mod slow;
pub(crate) mod space;
pub(crate) mod timing;
mod world;

pub use fact::Truth;
pub(crate) use {
    controllers::Deployment,
    fact::Fact,
    world::{Event, World},
};
