//! What every provider must be able to do. An experiment sees nothing else of a cluster.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use recoup_model::{
    action::Capability,
    configuration::Configuration,
    event::WatchNews,
    machine::Processors,
    observation::{Endpoint, Failure, Observation, Observed},
    spec::{LoadVerb, WorkloadSpec},
    topology::Fingerprint,
};

use crate::Nodes;

/// One attempt at an observation.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// Counts up by one per stream from 0: what a write writes, and which API server is asked in turn.
    pub number: u64,
    /// The attempt ends with [`recoup_model::observation::FailureClass::Timeout`] after this long.
    pub timeout: Duration,
}

/// The workload and probe helpers that an experiment finds in place.
#[derive(Clone, Debug, Default)]
pub struct Fixture {
    /// Findings of the baseline's check with what was done about each (see `Event::Precondition`).
    pub preconditions: Vec<(String, String)>,
    /// Nodes whose route through the Service is left out of the probes.
    pub unrouted: Vec<String>,
}

/// Acknowledged writes as they are found afterwards: highest number by writing stream and slot.
pub type ReadBack = BTreeMap<String, BTreeMap<u64, u64>>;

/// Told what a watcher is told; must not block.
pub type Tell<'a> = &'a (dyn Fn(WatchNews) + Send + Sync);

/// A write of a lease-holding component's instance; see [`recoup_model::event::Act`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acted {
    /// The component's Lease.
    pub lease: String,
    /// The node of the instance.
    pub node: String,
    /// How long before the answer's begin the API server got it.
    pub ago: Duration,
    /// As in `patch`.
    pub verb: String,
    /// As in `pods/binding default/web-1`.
    pub object: String,
}

/// What a load needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadWanted {
    /// Kept connections, each to one API server by its own address, to all of them in turn.
    pub connections: u32,
    /// The size of each object, in bytes.
    pub size: u64,
}

/// [`Cluster::load`] may take so long to make its objects: a namespace that is being removed is there for some seconds,
/// with a busy controller-manager for longer.
pub const LOAD_PREPARED: Duration = Duration::from_secs(90);
/// Where a load's objects lie.
pub(crate) const LOAD_NAMESPACE: &str = "recoup-load";

/// One request of a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadRequest {
    /// On which connection, from 0.
    pub connection: u32,
    /// What is asked.
    pub verb: LoadVerb,
    /// The request's number in the load: another one for each.
    pub number: u64,
}

/// Sends the requests of one load. Its objects are there, and its connections are open.
#[async_trait]
pub trait LoadTarget: Send + Sync {
    /// Sends one request and waits for its answer; may be called many times at once, and dropped at any moment.
    ///
    /// # Errors
    /// Why it was not answered well. [`recoup_model::observation::FailureClass::Observer`] where it did not leave.
    async fn send(&self, request: LoadRequest) -> Result<(), Failure>;

    /// How many objects of loads there are.
    ///
    /// # Errors
    /// Where nobody answers.
    async fn left(&self) -> Result<u64, Failure>;
}

/// A cluster that exists.
///
/// All methods may be called from many tasks at once. None of them retries; none but
/// [`Cluster::fixture`], [`Cluster::load`], [`Cluster::read_back_api`], [`Cluster::read_back_etcd`] and
/// [`Cluster::health`] may take longer than a few seconds.
#[async_trait]
pub trait Cluster: Nodes {
    /// What it is, with all its nodes.
    fn fingerprint(&self) -> &Fingerprint;

    /// What can be done to its nodes.
    fn capabilities(&self) -> &[Capability];

    /// Puts the workload in place (namespace, Deployment, Service, one prober per node), waits until it
    /// serves through every node's routes, and empties what an earlier experiment wrote.
    ///
    /// # Errors
    /// Where it does not come to serve within two minutes; the message names what is missing.
    async fn fixture(&self, workload: &WorkloadSpec) -> Result<Fixture, ClusterError>;

    /// One attempt at one observation.
    ///
    /// # Errors
    /// The observation's failure. [`recoup_model::observation::FailureClass::Observer`] where it is not the cluster's.
    async fn observe(&self, observation: &Observation, attempt: Attempt) -> Result<Observed, Failure>;

    /// Asks the API once to delete pods of the workload.
    ///
    /// # Errors
    /// The API's refusal.
    async fn delete_pods(&self, names: &[String], timeout: Duration) -> Result<(), Failure>;

    /// Makes what a load needs in a namespace of its own, and opens its connections. What a load that was broken off
    /// has left is removed by the next fixture.
    ///
    /// # Errors
    /// Where it cannot be made.
    async fn load(&self, wanted: &LoadWanted) -> Result<Arc<dyn LoadTarget>, ClusterError>;

    /// Reads back through one API server what its streams and the others' wrote (see `Observation::ApiWrite`).
    ///
    /// # Errors
    /// The read's failure.
    async fn read_back_api(&self, through: &Endpoint) -> Result<ReadBack, Failure>;

    /// Reads back through one etcd member what all members' put streams wrote; the slot is the number itself.
    ///
    /// # Errors
    /// The read's failure.
    async fn read_back_etcd(&self, member: &str) -> Result<ReadBack, Failure>;

    /// The settings that recovery times follow from, read when it was connected to.
    fn configuration(&self) -> &Configuration;

    /// The same as they are now: flags may have been changed since.
    ///
    /// # Errors
    /// Where the nodes cannot be found; a setting that cannot be read is a doubt in it.
    async fn configuration_now(&self) -> Result<Configuration, ClusterError>;

    /// Follows the write probes' objects through one API server, from the revision given or from a list of its own,
    /// until the watch ends; tells everything but [`WatchNews::Closed`]. Cancelled by dropping it.
    ///
    /// # Errors
    /// Why it ended, where the server did not end it in order.
    async fn watch(&self, through: &Endpoint, after: Option<u64>, tell: Tell<'_>) -> Result<(), Failure>;

    /// What instances of lease-holding components wrote through any API server, leader election left out, from the
    /// API servers' own logs on the nodes; in the order in which it came.
    ///
    /// # Errors
    /// Where the logs cannot be read, or there are none ([`Capability::AuditLog`]).
    async fn acts(&self, last: Duration) -> Result<Vec<Acted>, Failure>;

    /// Who has used the machine that the nodes run on; `harness_ms` is left at 0, for the engine to fill in. None where
    /// there is no such machine, or this process runs on another.
    ///
    /// # Errors
    /// Where this one reading failed.
    async fn processors(&self) -> Result<Option<Processors>, ClusterError>;

    /// Nodes on which a container of a static pod, of kube-proxy or of the workload has ended within the last ten
    /// minutes and since their kubelet began, with that in words: the kubelet there would delay its next restart.
    ///
    /// # Errors
    /// Where nobody answers.
    async fn in_backoff(&self) -> Result<Vec<(String, String)>, Failure>;

    /// Everything that is wrong with the cluster now: nodes not ready, members without leader, leases not
    /// renewed within their duration, API servers not ready. Empty where it is healthy.
    async fn health(&self) -> Vec<String>;
}

/// Why a cluster could not be made, reached or changed. Never a verdict on it.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// A command failed.
    #[error("`{command}` failed ({status}): {output}")]
    Command {
        /// The command line, to paste into a shell.
        command: String,
        /// Its exit status.
        status: String,
        /// What it printed last.
        output: String,
    },
    /// Docker's API said no or did not answer.
    #[error("docker: {doing}: {source}")]
    Docker {
        /// What was asked of it.
        doing: String,
        /// Its answer.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Kubernetes' API said no or did not answer.
    #[error("kubernetes: {doing}: {source}")]
    Kubernetes {
        /// What was asked of it.
        doing: String,
        /// Its answer.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A cluster of that name exists and recoup did not make it.
    #[error(
        "cluster {name:?} exists, and recoup did not make it: choose another --name, or adopt it with --adopt {name}"
    )]
    Foreign {
        /// Its name.
        name: String,
    },
    /// Something that is needed is not there.
    #[error("{missing}: {remedy}")]
    Missing {
        /// What.
        missing: String,
        /// How to mend it.
        remedy: String,
    },
    /// The provider knows no cluster of that name.
    #[error("there is no cluster {0:?}")]
    NoSuchCluster(String),
    /// An earlier experiment left something on its nodes: what is measured on it says nothing.
    #[error(
        "cluster {cluster:?} is not as it was: {what}; `recoup heal`, or delete it: recoup cluster down {cluster}"
    )]
    LeftBehind {
        /// Its name.
        cluster: String,
        /// What differs.
        what: String,
    },
    /// The provider does not know that node.
    #[error("there is no node {0:?} in this cluster")]
    NoSuchNode(String),
    /// A local file could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// It did not get there in time.
    #[error("waited {waited:?} for {what}: {last}")]
    TimedOut {
        /// How long.
        waited: Duration,
        /// For what.
        what: String,
        /// What was seen last.
        last: String,
    },
}
