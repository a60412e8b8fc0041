//! In which interval a milestone must come, computed from the cluster's own settings.
//!
//! Every formula is a sum, and every addend is named with its value and its source: a setting of the cluster, a
//! constant of a component, a number of the experiment, or an allowance for what no setting gives. Where a formula
//! cannot be had there is none, and nothing is invented for it.

mod allowance;
mod api;
mod data_plane;
mod election;
mod milestones;
mod node;
mod noticed;
mod raft;
mod restart;
mod scene;
mod sum;

pub use milestones::{Prediction, USUAL, has_formula, predict, unpredicted};
