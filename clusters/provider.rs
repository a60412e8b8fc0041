//! Making, adopting, listing and deleting clusters, and reaching the nodes of one whose API is down.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use recoup_model::{
    action::{ActionReport, NodeAction},
    topology::ProviderKind,
};

use crate::{Cluster, ClusterError, Profile};

/// Told each thing that is being done, for people.
pub type Progress<'a> = &'a (dyn Fn(String) + Send + Sync);

/// Told the name of a cluster right before anything of it is made; where it refuses, nothing is made.
type Told = dyn Fn(&str) -> Result<(), ClusterError> + Send + Sync;

/// Who must know that a cluster is about to be made: whoever clears away what is half made should its maker die.
#[derive(Clone, Default)]
pub struct Making(Option<Arc<Told>>);

impl Making {
    /// Tells this one.
    pub fn new(told: impl Fn(&str) -> Result<(), ClusterError> + Send + Sync + 'static) -> Making {
        Making(Some(Arc::new(told)))
    }

    /// A provider's word, right before it makes the cluster.
    ///
    /// # Errors
    /// Where it could not be noted: make nothing.
    pub fn begins(&self, cluster: &str) -> Result<(), ClusterError> {
        self.0.as_ref().map_or(Ok(()), |told| told(cluster))
    }
}

impl fmt::Debug for Making {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Making(told)" } else { "Making" })
    }
}

/// The cluster that a run needs.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Its topology.
    pub profile: Profile,
    /// Its name; by default `recoup-<profile>`.
    pub name: String,
    /// The node image; none lets the provider choose (see `kind::image`).
    pub image: Option<String>,
    /// A Kubernetes version of clusters/versions.yaml, as in `1.33`.
    pub version: Option<String>,
    /// Use a cluster of that name even though recoup did not make it.
    pub adopt: bool,
    /// Seed of a simulated cluster's randomness.
    pub seed: u64,
    /// Told before anything is made.
    pub making: Making,
}

/// A cluster as the list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// The profile that recoup made it from; none where somebody else made it.
    pub profile: Option<String>,
    /// Its nodes' names.
    pub nodes: Vec<String>,
}

/// Where clusters come from.
#[async_trait]
pub trait Provider: Send + Sync {
    /// Which it is.
    fn kind(&self) -> ProviderKind;

    /// Can it make clusters here and now? For kind: Docker answers, `kind` runs, a node image is at hand.
    ///
    /// # Errors
    /// What is missing and how to mend it.
    async fn usable(&self, wanted: &Wanted) -> Result<(), ClusterError>;

    /// All clusters of this provider, whoever made them.
    ///
    /// # Errors
    /// Where the provider does not answer.
    async fn list(&self) -> Result<Vec<Listed>, ClusterError>;

    /// The cluster, healthy: the one of that name where recoup made it (or `adopt` is set), else a new one.
    /// True where it was made now.
    ///
    /// # Errors
    /// Where it cannot be had. What kind said is in the message, node logs are kept and named in it.
    async fn obtain(
        &self,
        wanted: &Wanted,
        progress: Progress<'_>,
    ) -> Result<(Arc<dyn Cluster>, bool), ClusterError>;

    /// Deletes a cluster that recoup made.
    ///
    /// # Errors
    /// [`ClusterError::Foreign`] for somebody else's.
    async fn delete(&self, name: &str, progress: Progress<'_>) -> Result<(), ClusterError>;

    /// Deletes a cluster whose maker died, whatever there is of it, and ends what still makes it. Only for one
    /// that [`Making`] was told of: half-made ones bear no mark yet. False where there was nothing.
    ///
    /// # Errors
    /// Where some of it is still there.
    async fn abandon(&self, name: &str, progress: Progress<'_>) -> Result<bool, ClusterError> {
        match self.delete(name, progress).await {
            Ok(()) => Ok(true),
            Err(ClusterError::NoSuchCluster(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The nodes of a cluster, to undo what is left on them: needs no Kubernetes API, but for what a load made.
    ///
    /// # Errors
    /// Where the cluster does not exist.
    async fn nodes(&self, cluster: &str) -> Result<Arc<dyn Nodes>, ClusterError>;
}

/// Actions on the nodes of a cluster.
#[async_trait]
pub trait Nodes: Send + Sync {
    /// Carries out one action on one node, without the Kubernetes API (a load's objects apart).
    ///
    /// # Errors
    /// Where the node cannot be reached or the action fails; the message holds the command and its output.
    async fn act(&self, node: &str, action: &NodeAction) -> Result<ActionReport, ClusterError>;
}
