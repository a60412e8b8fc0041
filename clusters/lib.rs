//! Clusters to experiment on: one trait, one folder per provider with the same file names.

pub mod cluster;
pub mod kind;
pub mod profile;
pub mod provider;
pub mod sim;

pub use cluster::{
    Acted, Attempt, Cluster, ClusterError, Fixture, LOAD_PREPARED, LoadRequest, LoadTarget, LoadWanted,
    ReadBack, Tell,
};
pub use profile::{LeaderElection, PROFILES, Profile, ProfileNode};
pub use provider::{Listed, Making, Nodes, Progress, Provider, Wanted};
