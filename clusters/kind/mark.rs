//! The mark on the nodes of clusters that recoup made: a file in each node. kind's
//! containers cannot be given labels of one's own.

use std::io::Read as _;

use bollard::{errors::Error, query_parameters::DownloadFromContainerOptionsBuilder};
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};

use super::{
    Container,
    docker::{Docker, failed},
};
use crate::ClusterError;

/// Where the mark is in a node.
const MARK: &str = "/kind/recoup.json";

/// What recoup writes into the nodes that it makes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mark {
    /// The profile that the cluster was made from.
    pub profile: String,
    /// recoup's version.
    pub recoup: String,
    /// All nodes were Ready once. Where this is false, the making was interrupted.
    pub complete: bool,
}

impl Mark {
    /// The mark of this version of recoup.
    #[must_use]
    pub fn new(profile: &str, complete: bool) -> Mark {
        Mark { profile: profile.to_owned(), recoup: env!("CARGO_PKG_VERSION").to_owned(), complete }
    }

    /// Writes it into nodes.
    ///
    /// # Errors
    /// Where a node cannot be written to.
    pub async fn write(&self, docker: &Docker, nodes: &[Container]) -> Result<(), ClusterError> {
        let text = serde_json::to_vec(self).map_err(|source| ClusterError::Docker {
            doing: "write a mark".to_owned(),
            source: Box::new(source),
        })?;
        let writes = nodes
            .iter()
            .filter(|container| container.is_node())
            .map(|node| docker.write_file(&node.name, MARK, 0o644, &text));
        futures::future::try_join_all(writes).await.map(drop)
    }

    /// The mark of a cluster: of the first of its nodes that bears one.
    ///
    /// # Errors
    /// Where Docker does not answer.
    ///
    /// # Caveats
    /// Read by copying the file out, for a node may be paused or stopped, where nothing can be executed.
    pub async fn read(docker: &Docker, containers: &[Container]) -> Result<Option<Mark>, ClusterError> {
        for node in containers.iter().filter(|container| container.is_node()) {
            if let Some(text) = copy_out(docker, &node.name, MARK).await? {
                // What cannot be read was not written by recoup: somebody else's cluster.
                if let Ok(mark) = serde_json::from_slice(&text) {
                    return Ok(Some(mark));
                }
            }
        }
        Ok(None)
    }
}

/// A file's bytes; none where there is no such file or container (it may just have been deleted).
async fn copy_out(docker: &Docker, container: &str, path: &str) -> Result<Option<Vec<u8>>, ClusterError> {
    let doing = format!("copy {path} out of {container}");
    let options = DownloadFromContainerOptionsBuilder::default().path(path).build();
    let parts = docker.engine.download_from_container(container, Some(options)).try_collect::<Vec<_>>().await;
    let archive = match parts {
        Ok(parts) => parts.concat(),
        Err(Error::DockerResponseServerError { status_code: 404, .. }) => return Ok(None),
        Err(error) => return Err(failed(doing)(error)),
    };
    let unreadable =
        |source: std::io::Error| ClusterError::Docker { doing: doing.clone(), source: Box::new(source) };
    let mut archive = tar::Archive::new(archive.as_slice());
    let Some(entry) = archive.entries().map_err(unreadable)?.next() else { return Ok(None) };
    let mut bytes = Vec::new();
    entry.map_err(unreadable)?.read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(Some(bytes))
}
