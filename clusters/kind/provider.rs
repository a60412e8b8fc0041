//! Making, adopting, listing and deleting kind clusters.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use async_trait::async_trait;
use recoup_model::topology::{NodeRole, ProviderKind};
use tokio::sync::oneshot;

use super::{
    Container, Docker, KindCluster, KindNodes, Role,
    abandon::abandon,
    audit, command, config,
    image::{self, Choice},
    mark::Mark,
    ready,
};
use crate::{Cluster, ClusterError, Listed, Nodes, Profile, Progress, Provider, Wanted};

/// kind clusters, through the `kind` command and the Docker engine of `DOCKER_HOST`.
#[derive(Clone, Copy, Debug, Default)]
pub struct KindProvider {}

impl KindProvider {
    /// The provider. Nothing is looked for until it is asked.
    #[must_use]
    pub fn new() -> KindProvider {
        KindProvider {}
    }
}

/// How the folders begin that `kind` is given its configuration in.
pub(super) const SCRATCH: &str = "recoup-kind-";

/// What there is under a name.
enum Existing {
    /// Nothing.
    None,
    /// A cluster that can be used as it is.
    Usable { image: String },
    /// What recoup made, but cannot be used any more.
    Broken { why: String },
}

#[async_trait]
impl Provider for KindProvider {
    fn kind(&self) -> ProviderKind {
        ProviderKind::Kind
    }

    async fn usable(&self, wanted: &Wanted) -> Result<(), ClusterError> {
        let docker = Docker::connect().await?;
        command::version().await?;
        if let Existing::Usable { .. } = existing(&docker, wanted).await? {
            return Ok(());
        }
        image::choose(&docker, wanted).await.map(drop)
    }

    async fn list(&self) -> Result<Vec<Listed>, ClusterError> {
        // `kind get clusters` reads the same labels; asking Docker itself gives the nodes as well.
        let docker = Docker::connect().await?;
        let mut clusters: BTreeMap<String, Vec<Container>> = BTreeMap::new();
        for container in docker.all_containers().await? {
            clusters.entry(container.cluster.clone()).or_default().push(container);
        }
        let mut listed = Vec::new();
        for (name, containers) in clusters {
            let profile = Mark::read(&docker, &containers).await?.map(|mark| mark.profile);
            let nodes = containers.into_iter().filter(Container::is_node).map(|node| node.name).collect();
            listed.push(Listed { name, profile, nodes });
        }
        Ok(listed)
    }

    async fn obtain(
        &self,
        wanted: &Wanted,
        progress: Progress<'_>,
    ) -> Result<(Arc<dyn Cluster>, bool), ClusterError> {
        let docker = Docker::connect().await?;
        let version = command::version().await?;
        let (image, created) = match existing(&docker, wanted).await? {
            Existing::Usable { image } => {
                progress(format!("using kind cluster {}", wanted.name));
                match ready::wait(&docker, &wanted.name, ready::EXISTING).await {
                    Ok(()) => (image, false),
                    Err(why) if !wanted.adopt => {
                        // A cluster that is unhealthy would be measured for what an earlier fault left behind.
                        (replace(&docker, wanted, &why.to_string(), progress).await?, true)
                    }
                    Err(why) => return Err(why),
                }
            }
            Existing::Broken { why } => (replace(&docker, wanted, &why, progress).await?, true),
            Existing::None => (create(&docker, wanted, progress).await?, true),
        };
        let kubeconfig = command::kubeconfig(&wanted.name).await?;
        let nodes = KindNodes::connect(docker.clone(), &wanted.name).await?;
        let cluster = KindCluster::connect(
            docker,
            nodes,
            &wanted.name,
            &wanted.profile.name,
            &kubeconfig,
            &image,
            &version,
        )
        .await?;
        Ok((Arc::new(cluster), created))
    }

    async fn delete(&self, name: &str, progress: Progress<'_>) -> Result<(), ClusterError> {
        let docker = Docker::connect().await?;
        let containers = docker.containers(name).await?;
        if containers.is_empty() {
            return Err(ClusterError::NoSuchCluster(name.to_owned()));
        }
        if Mark::read(&docker, &containers).await?.is_none() {
            return Err(ClusterError::Foreign { name: name.to_owned() });
        }
        progress(format!("deleting kind cluster {name}"));
        delete(name).await
    }

    async fn abandon(&self, name: &str, progress: Progress<'_>) -> Result<bool, ClusterError> {
        let docker = Docker::connect().await?;
        abandon(&docker, name, progress).await
    }

    async fn nodes(&self, cluster: &str) -> Result<Arc<dyn Nodes>, ClusterError> {
        let docker = Docker::connect().await?;
        Ok(Arc::new(KindNodes::connect(docker, cluster).await?))
    }
}

/// Looks at what bears the wanted name.
async fn existing(docker: &Docker, wanted: &Wanted) -> Result<Existing, ClusterError> {
    let containers = docker.containers(&wanted.name).await?;
    let Some(node) = containers.iter().find(|container| container.is_node()) else {
        return Ok(Existing::None);
    };
    let image = node.image.clone();
    let mark = Mark::read(docker, &containers).await?;
    let down: Vec<&str> = containers
        .iter()
        .filter(|container| !container.running || container.paused)
        .map(|container| container.name.as_str())
        .collect();
    let unusable = if down.is_empty() {
        mark.as_ref().and_then(|mark| mark.moved(&containers))
    } else {
        Some(format!("{} stopped or paused", down.join(", ")))
    };
    let differs = |what: String| ClusterError::Missing {
        missing: format!("cluster {:?} exists, but {what}", wanted.name),
        remedy: format!(
            "choose another --name, or delete it first: `{}`",
            if mark.is_some() {
                format!("recoup cluster down --name {}", wanted.name)
            } else {
                format!("kind delete cluster --name {}", wanted.name)
            }
        ),
    };
    match &mark {
        None if !wanted.adopt => return Err(ClusterError::Foreign { name: wanted.name.clone() }),
        Some(mark) if !wanted.adopt => {
            if !mark.complete {
                return Ok(Existing::Broken { why: "its making was interrupted".to_owned() });
            }
            if mark.profile != wanted.profile.name {
                return Err(differs(format!("was made from profile {}", mark.profile)));
            }
            if let Some(why) = unusable {
                return Ok(Existing::Broken { why });
            }
        }
        // Adopted: no promise about how it was made, but it must have what the profile has.
        _ => {
            if let Some(why) = unusable.or_else(|| lacks(&wanted.profile, &containers)) {
                return Err(differs(why));
            }
        }
    }
    // Only what the user named must fit: the newest image of the machine may have changed since.
    if wanted.image.is_some() || wanted.version.is_some() {
        let choice = image::choose(docker, wanted).await?;
        let tag = |image: &str| {
            image.split('@').next().unwrap_or_default().trim_start_matches("docker.io/").to_owned()
        };
        if tag(&choice.image) != tag(&image) {
            return Err(differs(format!("runs {image}, not {}", choice.image)));
        }
    }
    Ok(Existing::Usable { image })
}

/// What the profile has and the cluster has not.
fn lacks(profile: &Profile, containers: &[Container]) -> Option<String> {
    [(NodeRole::ControlPlane, Role::ControlPlane), (NodeRole::Worker, Role::Worker)].into_iter().find_map(
        |(of_profile, role)| {
            let wanted = profile.count(of_profile);
            let found = containers.iter().filter(|container| container.role == role).count();
            (found < wanted)
                .then(|| format!("has {found} {role} nodes where profile {} has {wanted}", profile.name))
        },
    )
}

async fn replace(
    docker: &Docker,
    wanted: &Wanted,
    why: &str,
    progress: Progress<'_>,
) -> Result<String, ClusterError> {
    // First, so that nothing is deleted where no new one could be made.
    image::choose(docker, wanted).await?;
    progress(format!("replacing kind cluster {} ({why})", wanted.name));
    wanted.making.begins(&wanted.name)?;
    delete(&wanted.name).await?;
    create(docker, wanted, progress).await
}

/// Makes the cluster and returns its image.
async fn create(docker: &Docker, wanted: &Wanted, progress: Progress<'_>) -> Result<String, ClusterError> {
    let choice = image::choose(docker, wanted).await?;
    progress(format!(
        "making kind cluster {}: profile {}, {} nodes, {} ({})",
        wanted.name,
        wanted.profile.name,
        wanted.profile.nodes.len(),
        choice.image,
        choice.because
    ));
    let scratch = scratch()?;
    wanted.making.begins(&wanted.name)?;
    match make(docker, wanted, &choice, scratch.path(), progress).await {
        Ok(()) => Ok(choice.image),
        Err(error) => Err(clear_away(docker, wanted, error, scratch, progress).await),
    }
}

async fn make(
    docker: &Docker,
    wanted: &Wanted,
    choice: &Choice,
    scratch: &Path,
    progress: Progress<'_>,
) -> Result<(), ClusterError> {
    let path = scratch.join("kind.yaml");
    std::fs::write(&path, config::render(&wanted.profile))
        .map_err(|source| ClusterError::File { path: path.display().to_string(), source })?;
    let (prepared, are_prepared) = oneshot::channel();
    let kubeconfig = scratch.join("kubeconfig");
    let creating = command::create(&wanted.name, &choice.image, &path, &kubeconfig, progress, prepared);
    // As early as can be: whoever is interrupted now finds a half-made cluster of his own later, not a stranger's.
    let marking = async {
        if are_prepared.await.is_ok() {
            let containers = docker.containers(&wanted.name).await?;
            Mark::new(&wanted.profile.name, false, &containers).write(docker, &containers).await?;
            audit::install(docker, &containers).await?;
        }
        Ok::<(), ClusterError>(())
    };
    let (created, marked) = futures::future::join(creating, marking).await;
    created?;
    marked?;
    progress(format!("waiting for the nodes of {}", wanted.name));
    ready::wait(docker, &wanted.name, ready::NEW).await?;
    let containers = docker.containers(&wanted.name).await?;
    Mark::new(&wanted.profile.name, true, &containers).write(docker, &containers).await
}

/// Keeps the logs of what could not be made, and the configuration that kind was given, deletes what there is of it,
/// and says where they are.
async fn clear_away(
    docker: &Docker,
    wanted: &Wanted,
    error: ClusterError,
    scratch: tempfile::TempDir,
    progress: Progress<'_>,
) -> ClusterError {
    // Kept, so that the command in the message can be pasted.
    let scratch = scratch.keep();
    let mut notes = vec![format!("configuration: {}", scratch.join("kind.yaml").display())];
    // Nothing more where not even a container was made, for an unknown image for instance.
    if docker.containers(&wanted.name).await.map_or(true, |containers| containers.is_empty()) {
        return with_notes(error, &notes);
    }
    progress(format!("kind cluster {} could not be made: keeping its logs, deleting it", wanted.name));
    let logs = scratch.join("logs");
    // kind counts it as a failure where one of many commands fails in one node, which in a broken node is to be expected.
    let exported = command::export_logs(&wanted.name, &logs).await;
    let any = std::fs::read_dir(&logs).is_ok_and(|mut entries| entries.next().is_some());
    notes.push(match exported {
        Ok(()) => format!("node logs: {}", logs.display()),
        Err(_) if any => format!("node logs, as far as kind could read them: {}", logs.display()),
        Err(error) => format!("no node logs: {error}"),
    });
    if let Err(error) = delete(&wanted.name).await {
        notes.push(format!("what was half made is still there: {error}"));
    }
    with_notes(error, &notes)
}

/// The error, with what a reader should know besides at its end.
fn with_notes(error: ClusterError, notes: &[String]) -> ClusterError {
    let notes = notes.join("\n");
    match error {
        ClusterError::Command { command, status, output } => {
            ClusterError::Command { command, status, output: format!("{output}\n{notes}") }
        }
        ClusterError::TimedOut { waited, what, last } => {
            ClusterError::TimedOut { waited, what, last: format!("{last}\n{notes}") }
        }
        other => ClusterError::Docker { doing: format!("make a cluster ({notes})"), source: Box::new(other) },
    }
}

pub(super) async fn delete(name: &str) -> Result<(), ClusterError> {
    // kind edits a kubeconfig when it deletes: one of our own, not the user's.
    let scratch = scratch()?;
    command::delete(name, &scratch.path().join("kubeconfig")).await
}

/// A directory for the files of one call of kind.
fn scratch() -> Result<tempfile::TempDir, ClusterError> {
    tempfile::Builder::new()
        .prefix(SCRATCH)
        .tempdir()
        .map_err(|source| ClusterError::File { path: std::env::temp_dir().display().to_string(), source })
}
