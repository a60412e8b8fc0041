//! Which provider a run uses, and which experiments a cluster cannot carry: both are told before anything is changed.

use std::{fmt, str::FromStr, sync::Arc};

use recoup_clusters::{
    Cluster, ClusterError, Profile, Provider, Wanted, kind::KindProvider, sim::SimProvider,
};
use recoup_model::{plan::Plan, spec::requirements, topology::ProviderKind};

/// What the user asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// kind where it is usable, else the simulation.
    #[default]
    Auto,
    /// A real cluster, or an error.
    Kind,
    /// The simulation.
    Sim,
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Choice::Auto => "auto",
            Choice::Kind => "kind",
            Choice::Sim => "sim",
        })
    }
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Choice, String> {
        match text {
            "auto" => Ok(Choice::Auto),
            "kind" => Ok(Choice::Kind),
            "sim" => Ok(Choice::Sim),
            _ => Err(format!("{text:?} is no provider of clusters: write auto, kind or sim")),
        }
    }
}

/// What was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The provider.
    pub kind: ProviderKind,
    /// In words, why.
    pub why: String,
}

/// Chooses a provider that can have `wanted`.
///
/// # Errors
/// With [`Choice::Kind`], or a cluster to adopt: what is missing. Always where the name is somebody else's.
pub async fn choose(choice: Choice, wanted: &Wanted) -> Result<Chosen, ClusterError> {
    let chosen = |kind, why: String| Ok(Chosen { kind, why });
    if choice == Choice::Sim {
        return chosen(ProviderKind::Sim, "a simulated cluster was asked for".into());
    }
    // Whoever names an existing cluster means a real one.
    let auto = choice == Choice::Auto && !wanted.adopt;
    match KindProvider::new().usable(wanted).await {
        Ok(()) if auto => chosen(ProviderKind::Kind, "Docker, kind and a node image are at hand".into()),
        Ok(()) => chosen(ProviderKind::Kind, "a kind cluster was asked for".into()),
        // kind is usable, but the name is not: a simulation would hide that.
        Err(error @ ClusterError::Foreign { .. }) => Err(error),
        Err(error) if auto => chosen(ProviderKind::Sim, format!("kind is not usable here ({error})")),
        Err(error) => Err(error),
    }
}

/// A provider of that kind. Make it within the runtime that will use it.
#[must_use]
pub fn provider(kind: ProviderKind) -> Arc<dyn Provider> {
    match kind {
        ProviderKind::Kind => Arc::new(KindProvider::new()),
        ProviderKind::Sim => Arc::new(SimProvider::new()),
    }
}

/// Why clusters of a profile cannot carry an experiment; empty where they can.
#[must_use]
pub fn profile_lacks(plan: &Plan, profile: &Profile) -> Vec<String> {
    requirements(plan).lacking(|role| profile.count(role))
}

/// Why a cluster that exists (adopted, perhaps) cannot carry an experiment; empty where it can.
#[must_use]
pub fn cluster_lacks(plan: &Plan, cluster: &dyn Cluster) -> Vec<String> {
    let needs = requirements(plan);
    let mut lacks = needs.lacking(|role| cluster.fingerprint().with_role(role).count());
    let missing = needs.capabilities.iter().filter(|one| !cluster.capabilities().contains(one));
    lacks.extend(missing.map(|one| format!("its nodes do not allow {one:?}")));
    lacks
}
