//! Real clusters of Docker containers, through the `kind` command and Docker's API.

mod abandon;
pub mod command;
pub mod config;
pub mod containers;
mod deadlines;
pub mod docker;
pub mod doctor;
mod drop_rules;
pub mod image;
mod machine;
pub mod mark;
pub mod nodes;
pub mod provider;
mod ready;
mod scripts;

mod api;
mod audit;
mod backoff;
mod balancer;
pub mod cluster;
mod configuration;
mod credentials;
mod etcd;
mod failure;
mod fixture;
mod gathered;
mod health;
mod image_tar;
mod manifests;
mod objects;
mod observe;
mod routes;
mod settings;
mod target;
mod vantage;
mod watch;
mod writes;

pub use cluster::KindCluster;
pub use containers::{Container, Role};
pub use docker::{Docker, Engine, Output};
pub use doctor::{Check, doctor};
pub use nodes::KindNodes;
pub use provider::KindProvider;
pub use target::HttpTarget;
