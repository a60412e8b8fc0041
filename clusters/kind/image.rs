//! Which node image a cluster is made from.

use std::collections::HashMap;

use bollard::query_parameters::ListImagesOptionsBuilder;
use recoup_model::yaml;
use serde::{Deserialize, Serialize};

use super::docker::{Docker, failed};
use crate::{ClusterError, Wanted};

const VERSIONS: &str = include_str!("../versions.yaml");

/// The environment variable that names a node image.
const IMAGE_VARIABLE: &str = "KIND_NODE_IMAGE";

/// clusters/versions.yaml.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Versions {
    /// The version that a machine without any node image is told to fetch.
    pub default: String,
    /// All, oldest first.
    pub versions: Vec<Version>,
}

/// One Kubernetes version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Version {
    /// As in `1.33`.
    pub kubernetes: String,
    /// The node image's name and tag.
    pub image: String,
    /// Its digest.
    pub digest: String,
    /// The kind release that it belongs to, as in `v0.33.0`.
    pub kind: String,
}

impl Version {
    /// Tag and digest: the image that kind promises.
    #[must_use]
    pub fn pinned(&self) -> String {
        format!("{}@{}", self.image, self.digest)
    }
}

impl Versions {
    /// The list that was compiled in.
    ///
    /// # Errors
    /// [`ClusterError::Missing`] where the file is malformed; a test sees to it that it is not.
    pub fn load() -> Result<Versions, ClusterError> {
        yaml::parse("clusters/versions.yaml", VERSIONS).map_err(|error| ClusterError::Missing {
            missing: error.to_string(),
            remedy: "build recoup from an unchanged source tree".to_owned(),
        })
    }

    /// The version of that name, written `1.33` or `v1.33`.
    ///
    /// # Errors
    /// [`ClusterError::Missing`] with the names that there are.
    pub fn named(&self, name: &str) -> Result<&Version, ClusterError> {
        let wanted = name.strip_prefix('v').unwrap_or(name);
        self.versions.iter().find(|version| version.kubernetes == wanted).ok_or_else(|| {
            let known: Vec<&str> = self.versions.iter().map(|version| version.kubernetes.as_str()).collect();
            ClusterError::Missing {
                missing: format!("there is no Kubernetes version {name:?} in clusters/versions.yaml"),
                remedy: format!("choose one of {}, or name a node image with --image", known.join(", ")),
            }
        })
    }
}

/// A node image and why it was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Its name, as `kind create cluster --image` takes it.
    pub image: String,
    /// For people, as in `--image`.
    pub because: String,
    /// It is on this machine. Where it is not, the user named it, and kind may fetch it.
    pub local: bool,
}

/// Chooses the node image: `--image`, else `--version`, else `KIND_NODE_IMAGE`, else the newest of
/// versions.yaml that is on this machine.
///
/// Only an image that the user named by option may be fetched from a registry: nothing else goes to the network.
///
/// # Errors
/// [`ClusterError::Missing`] where there is none, or none of that version.
pub async fn choose(docker: &Docker, wanted: &Wanted) -> Result<Choice, ClusterError> {
    if let Some(image) = &wanted.image {
        let local = docker.has_image(image).await?;
        return Ok(Choice { image: image.clone(), because: "--image".to_owned(), local });
    }
    let versions = Versions::load()?;
    if let Some(name) = &wanted.version {
        let version = versions.named(name)?;
        let because = format!("Kubernetes {}", version.kubernetes);
        return Ok(match local(docker, version).await? {
            Some(image) => Choice { image, because, local: true },
            None => Choice { image: version.pinned(), because, local: false },
        });
    }
    if let Some(image) = std::env::var(IMAGE_VARIABLE).ok().filter(|image| !image.is_empty()) {
        if docker.has_image(&image).await? {
            return Ok(Choice { image, because: IMAGE_VARIABLE.to_owned(), local: true });
        }
        return Err(ClusterError::Missing {
            missing: format!("node image {image} ({IMAGE_VARIABLE}) is not on this machine"),
            remedy: format!("`docker pull {image}`, or correct {IMAGE_VARIABLE}"),
        });
    }
    for version in versions.versions.iter().rev() {
        if let Some(image) = local(docker, version).await? {
            let because =
                format!("the newest of versions.yaml on this machine, Kubernetes {}", version.kubernetes);
            return Ok(Choice { image, because, local: true });
        }
    }
    let default = versions.named(&versions.default)?;
    let mut remedy = format!(
        "`docker pull {}` (with kind {} or newer), let kind fetch one with --version {}, or name one with --image",
        default.pinned(),
        default.kind,
        default.kubernetes
    );
    let others = docker.node_images().await?;
    if !others.is_empty() {
        remedy.push_str(&format!(" or {IMAGE_VARIABLE} (here: {})", others.join(", ")));
    }
    Err(ClusterError::Missing {
        missing: "no node image of clusters/versions.yaml is on this machine".to_owned(),
        remedy,
    })
}

/// The version's image as this machine knows it: by digest, or by tag alone where it was loaded from an archive.
async fn local(docker: &Docker, version: &Version) -> Result<Option<String>, ClusterError> {
    for name in [version.pinned(), version.image.clone()] {
        if docker.has_image(&name).await? {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// The image of the load balancer that a kind release puts in front of several control planes, from kind's
/// source of that release; none for releases that are not known.
#[must_use]
pub fn load_balancer(kind: &str) -> Option<&'static str> {
    let minor: u32 = kind.trim_start_matches('v').split('.').nth(1)?.parse().ok()?;
    match minor {
        27..=30 => Some("kindest/haproxy:v20230606-42a2262b"),
        31 => Some("kindest/haproxy:v20251211-v0.29.0-alpha-100-g82a92c5d"),
        32 => Some("envoyproxy/envoy:v1.36.2"),
        _ => None,
    }
}

impl Docker {
    /// Names of the node images on this machine.
    ///
    /// # Errors
    /// Where the engine does not answer.
    pub async fn node_images(&self) -> Result<Vec<String>, ClusterError> {
        let filters = HashMap::from([("reference".to_owned(), vec!["kindest/node".to_owned()])]);
        let options = ListImagesOptionsBuilder::default().filters(&filters).build();
        let images = self.engine.list_images(Some(options)).await.map_err(failed("list node images"))?;
        let mut names: Vec<String> = images.into_iter().flat_map(|image| image.repo_tags).collect();
        names.sort();
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn predictions_without_a_cluster_are_those_of_the_default_version() {
        let versions = Versions::load().expect("versions.yaml is right");
        assert_eq!(versions.default, format!("1.{}", recoup_model::predict::USUAL));
    }

    #[test]
    fn the_list_of_versions_is_whole() {
        let versions = Versions::load().expect("versions.yaml is right");
        let names: Vec<&str> = versions.versions.iter().map(|version| version.kubernetes.as_str()).collect();
        assert_eq!(names, ["1.33", "1.34", "1.35", "1.36", "1.37"]);
        assert!(versions.named(&versions.default).is_ok(), "the default is one of them");
        for version in &versions.versions {
            let tag = format!("kindest/node:v{}.", version.kubernetes);
            assert!(version.image.starts_with(&tag), "{} is not of {}", version.image, version.kubernetes);
            let digest = version.digest.strip_prefix("sha256:").expect("a digest");
            assert!(digest.len() == 64 && digest.chars().all(|c| c.is_ascii_hexdigit()), "{digest}");
        }
    }

    #[test]
    fn a_version_is_found_with_and_without_its_v() {
        let versions = Versions::load().expect("versions.yaml is right");
        assert_eq!(versions.named("v1.34").expect("known"), versions.named("1.34").expect("known"));
        let error = versions.named("1.20").expect_err("not in the list").to_string();
        assert!(error.contains("1.33, 1.34"), "{error}");
    }

    #[test]
    fn each_kind_release_has_its_load_balancer() {
        assert!(load_balancer("v0.27.0").is_some_and(|image| image.contains("haproxy")));
        assert!(load_balancer("v0.32.0").is_some_and(|image| image.contains("envoy")));
        assert_eq!(load_balancer("v0.99.0"), None);
        assert_eq!(load_balancer("built by hand"), None);
    }
}
