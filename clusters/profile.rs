//! Profiles: the topologies of clusters/profiles, compiled in.

use recoup_model::{
    configuration::{Configuration, Setting},
    time::Span,
    topology::NodeRole,
    yaml,
};
use serde::{Deserialize, Serialize};

use crate::ClusterError;

/// The names of all profiles.
pub const PROFILES: &[&str] = &["single", "ha", "ha-short-lease"];

/// A topology.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Profile {
    /// Its name, as suites name it.
    pub name: String,
    /// For people: what it is for.
    pub description: String,
    /// Its nodes, control planes first.
    pub nodes: Vec<ProfileNode>,
    /// Leader election of controller-manager and scheduler; none keeps Kubernetes' defaults (15 s, 10 s, 2 s).
    #[serde(default)]
    pub leader_election: Option<LeaderElection>,
}

/// A node of a topology.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProfileNode {
    /// Its part.
    pub role: NodeRole,
    /// Its `topology.kubernetes.io/zone`.
    #[serde(default)]
    pub zone: Option<String>,
}

/// The three times of client-go's leader election.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LeaderElection {
    /// A lease that was not seen renewed for this long may be taken.
    pub lease_duration: Span,
    /// A holder that could not renew for this long gives up.
    pub renew_deadline: Span,
    /// Between attempts, times 1 to 2.2.
    pub retry_period: Span,
}

impl Profile {
    /// The profile of that name.
    ///
    /// # Errors
    /// [`ClusterError::Missing`] where there is none of that name, or where the file compiled in is not valid.
    pub fn load(name: &str) -> Result<Profile, ClusterError> {
        let text = match name {
            "single" => include_str!("profiles/single.yaml"),
            "ha" => include_str!("profiles/ha.yaml"),
            "ha-short-lease" => include_str!("profiles/ha-short-lease.yaml"),
            _ => {
                return Err(ClusterError::Missing {
                    missing: format!("profile {name:?}"),
                    remedy: format!("choose one of {}", PROFILES.join(", ")),
                });
            }
        };
        yaml::parse(&format!("clusters/profiles/{name}.yaml"), text).map_err(|error| ClusterError::Missing {
            missing: format!("a valid profile {name:?}"),
            remedy: error.to_string(),
        })
    }

    /// What a cluster of this profile and Kubernetes version is set to, where nobody has looked: the documented
    /// defaults of that minor version, and the profile's own leases.
    #[must_use]
    pub fn configuration(&self, minor: u32) -> Configuration {
        let planes = u32::try_from(self.count(NodeRole::ControlPlane)).unwrap_or(u32::MAX);
        let mut config = Configuration::documented(minor, planes);
        if let Some(times) = self.leader_election {
            let setting = |span: Span| Setting::new(span.0, format!("profile {}", self.name));
            for election in config.elections.values_mut() {
                election.lease_duration = setting(times.lease_duration);
                election.renew_deadline = setting(times.renew_deadline);
                election.retry_period = setting(times.retry_period);
            }
        }
        config
    }

    /// How many nodes have that role.
    #[must_use]
    pub fn count(&self, role: NodeRole) -> usize {
        self.nodes.iter().filter(|node| node.role == role).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_loads_under_its_own_name_with_control_planes_first() {
        for name in PROFILES {
            let profile = Profile::load(name).expect("it is valid");
            assert_eq!(profile.name, *name);
            assert!(
                profile.count(NodeRole::ControlPlane) % 2 == 1,
                "{name}: an even number has no better quorum"
            );
            assert!(profile.count(NodeRole::Worker) >= 1, "{name}");
            let first_worker = profile.nodes.iter().position(|node| node.role == NodeRole::Worker);
            assert_eq!(first_worker, Some(profile.count(NodeRole::ControlPlane)), "{name}");
        }
    }

    #[test]
    fn every_file_of_the_folder_is_a_profile() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .expect("the folder is there")
            .filter_map(|entry| Some(entry.ok()?.path().file_stem()?.to_string_lossy().into_owned()))
            .collect();
        files.sort();
        let mut names = PROFILES.to_vec();
        names.sort_unstable();
        assert_eq!(files, names);
    }

    #[test]
    fn short_leases_keep_the_order_that_client_go_demands() {
        let times =
            Profile::load("ha-short-lease").expect("it is valid").leader_election.expect("it sets them");
        assert!(times.lease_duration > times.renew_deadline);
        assert!(times.renew_deadline.0 > times.retry_period.0.mul_f64(1.2));
    }

    #[test]
    fn an_unknown_profile_names_the_known_ones() {
        let error = Profile::load("large").expect_err("there is no such profile").to_string();
        assert!(error.contains("\"large\"") && error.contains("ha-short-lease"), "{error}");
    }
}
