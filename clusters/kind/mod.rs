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
mod etcd_space;
mod failure;
mod fixture;
mod gathered;
mod health;
mod image_tar;
mod lane;
mod limits;
mod load;
mod manifests;
mod metrics;
mod objects;
mod observe;
pub mod processors;
mod program;
mod routes;
mod settings;
mod slow;
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
pub use slow::delay_program;
pub use target::{HttpLoad, HttpTarget};

/// Makes a program for a test by another process: a file that this one has just written may still be open for writing in
/// a child that another test's thread was making at that moment, and "text file busy" then.
#[cfg(test)]
fn copy(program: &std::path::Path, to: &std::path::Path) {
    let copied = std::process::Command::new("cp").arg(program).arg(to).status();
    assert!(copied.expect("cp runs").success());
}
