//! The mark on the nodes of clusters that recoup made: a file in each node. kind's
//! containers cannot be given labels of one's own.

use std::{collections::BTreeMap, io::Read as _, net::IpAddr};

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
    /// Each node's address when the mark was written. None is known where an older recoup wrote it.
    #[serde(default)]
    pub addresses: BTreeMap<String, IpAddr>,
}

impl Mark {
    /// The mark of this version of recoup, for nodes that run.
    #[must_use]
    pub fn new(profile: &str, complete: bool, containers: &[Container]) -> Mark {
        let nodes = containers.iter().filter(|container| container.is_node());
        Mark {
            profile: profile.to_owned(),
            recoup: env!("CARGO_PKG_VERSION").to_owned(),
            complete,
            addresses: nodes.map(|node| (node.name.clone(), node.address)).collect(),
        }
    }

    /// The running nodes that have another address than when the mark was written, in a sentence. Docker hands
    /// addresses out in the order in which containers start, so after its own restart they may be exchanged; a
    /// control plane's certificates and etcd's peers go on naming the old ones.
    #[must_use]
    pub fn moved(&self, containers: &[Container]) -> Option<String> {
        let moved: Vec<String> = containers
            .iter()
            .filter(|container| container.is_node() && container.running)
            .filter_map(|node| {
                let was = self.addresses.get(&node.name).filter(|was| **was != node.address)?;
                Some(format!(
                    "the address of {} is {} and was {was} when it was made",
                    node.name, node.address
                ))
            })
            .collect();
        (!moved.is_empty()).then(|| moved.join(", "))
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

#[cfg(test)]
mod tests {
    use super::{super::Role, *};

    fn node(name: &str, address: [u8; 4]) -> Container {
        Container::example(name, Role::Worker, address)
    }

    #[test]
    fn running_nodes_with_other_addresses_have_moved() {
        let made = [node("a", [172, 18, 0, 2]), node("b", [172, 18, 0, 3])];
        let mark = Mark::new("single", true, &made);
        assert_eq!(mark.moved(&made), None);
        // One that does not run has no address.
        assert_eq!(
            mark.moved(&[made[0].clone(), Container { running: false, ..node("b", [0, 0, 0, 0]) }]),
            None
        );
        let said = mark.moved(&[node("a", [172, 18, 0, 3]), made[1].clone()]);
        assert_eq!(
            said.as_deref(),
            Some("the address of a is 172.18.0.3 and was 172.18.0.2 when it was made")
        );
        let older: Mark =
            serde_json::from_str(r#"{"profile": "single", "recoup": "0.1.0", "complete": true}"#).unwrap();
        assert_eq!(older.moved(&made), None);
    }
}
