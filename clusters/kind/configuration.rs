//! What a kind cluster is set to, read live: the static pods' flags, the kubelets' files and units, kube-proxy's
//! ConfigMap, and the load balancer's own configuration.

use std::{collections::BTreeMap, io::Read};

use bollard::query_parameters::DownloadFromContainerOptionsBuilder;
use futures::{TryStreamExt, future::join_all};
use recoup_model::{configuration::Configuration, yaml};
use serde::Deserialize;

use super::{
    Container, Docker, Role,
    api::{Call, Server},
    balancer,
    cluster::PATIENCE,
    gathered::{Gathered, NodeParts},
    settings::{Parts, go},
};

const SCRIPT: &str = include_str!("scripts/settings.sh");
const PROXY: &str = "/api/v1/namespaces/kube-system/configmaps/kube-proxy";

/// Reads everything. What cannot be read is a doubt, and its documented default stands in.
pub(super) async fn read(
    docker: &Docker,
    lb: &Server,
    containers: &[Container],
    kubernetes: &str,
) -> Configuration {
    let nodes = containers.iter().filter(|container| container.is_node());
    let nodes = join_all(nodes.map(|container| async move {
        let text = docker.shell(&container.name, SCRIPT).await.map_err(|error| error.to_string());
        NodeParts {
            name: container.name.clone(),
            control_plane: container.role == Role::ControlPlane,
            parts: text.map(|text| Parts::read(&text)),
        }
    }));
    let balancer = containers.iter().find(|container| container.role == Role::ExternalLoadBalancer);
    let balancer = async {
        match balancer {
            Some(container) => Some(read_balancer(docker, &container.name).await),
            None => None,
        }
    };
    let (nodes, proxy, balancer) = futures::join!(nodes, read_proxy(lb), balancer);
    Gathered { nodes, proxy, balancer }.configuration(minor(kubernetes))
}

/// The minor version of `v1.33.1`.
fn minor(version: &str) -> u32 {
    let minor = version.split('.').nth(1).unwrap_or_default();
    minor.trim_end_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or_default()
}

#[derive(Deserialize)]
struct ConfigMap {
    #[serde(default)]
    data: BTreeMap<String, String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Proxy {
    mode: Option<String>,
    iptables: Option<Sync>,
    ipvs: Option<Sync>,
    nftables: Option<Sync>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Sync {
    min_sync_period: Option<String>,
}

/// kube-proxy's `minSyncPeriod` as it is written; none where it is left to its default.
async fn read_proxy(lb: &Server) -> Result<Option<std::time::Duration>, String> {
    let map: ConfigMap = lb.read(Call::get(PROXY), PATIENCE).await.map_err(|failure| failure.to_string())?;
    let text = map.data.get("config.conf").ok_or("its ConfigMap has no config.conf")?;
    proxy_sync(text)
}

fn proxy_sync(text: &str) -> Result<Option<std::time::Duration>, String> {
    let file: Proxy = yaml::parse("config.conf", text).map_err(|error| error.to_string())?;
    let part = match file.mode.as_deref() {
        Some("ipvs") => file.ipvs,
        Some("nftables") => file.nftables,
        _ => file.iptables,
    };
    let period = part.and_then(|part| part.min_sync_period);
    Ok(period.and_then(|period| go(&period)).filter(|period| !period.is_zero()))
}

async fn read_balancer(
    docker: &Docker,
    container: &str,
) -> Result<recoup_model::configuration::Balancer, String> {
    let mut last = match file(docker, container, balancer::HAPROXY).await {
        Ok(text) => return Ok(balancer::haproxy(&text)),
        Err(error) => error,
    };
    for path in balancer::ENVOY {
        match file(docker, container, path).await {
            Ok(text) => {
                if let Some(found) = balancer::envoy(&text) {
                    return Ok(found);
                }
                last = format!("{path} describes no health check");
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// A file of a container by Docker's own copy: the load balancer's image need not hold a single command.
async fn file(docker: &Docker, container: &str, path: &str) -> Result<String, String> {
    let options = DownloadFromContainerOptionsBuilder::default().path(path).build();
    let stream = docker.engine.download_from_container(container, Some(options));
    let parts: Vec<_> = tokio::time::timeout(PATIENCE, stream.try_collect())
        .await
        .map_err(|_| format!("{path} was not copied within {PATIENCE:?}"))?
        .map_err(|error| format!("{path}: {error}"))?;
    let bytes = parts.concat();
    let mut archive = tar::Archive::new(bytes.as_slice());
    let mut entries = archive.entries().map_err(|error| format!("{path}: {error}"))?;
    let mut entry = entries
        .next()
        .ok_or_else(|| format!("{path}: nothing was copied"))?
        .map_err(|error| format!("{path}: {error}"))?;
    let mut text = String::new();
    entry.read_to_string(&mut text).map_err(|error| format!("{path}: {error}"))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn versions_name_their_minor() {
        assert_eq!((minor("v1.20.2"), minor("v1.33.1"), minor("v1.36+"), minor("strange")), (20, 33, 36, 0));
    }

    #[test]
    fn kube_proxys_period_is_its_modes() {
        let of = |text| proxy_sync(text).expect("YAML");
        assert_eq!(of("mode: iptables\niptables: {minSyncPeriod: 1s}\n"), Some(Duration::from_secs(1)));
        assert_eq!(
            of("mode: ipvs\niptables: {minSyncPeriod: 1s}\nipvs: {minSyncPeriod: 5s}\n"),
            Some(Duration::from_secs(5))
        );
        assert_eq!(of("mode: \"\"\niptables: {minSyncPeriod: 0s}\n"), None);
    }
}
