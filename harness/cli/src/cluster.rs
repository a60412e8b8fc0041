//! `recoup cluster`: real clusters without a run.

use anyhow::Result;
use recoup_clusters::{Profile, Wanted};
use recoup_engine::choose::provider;
use recoup_model::topology::ProviderKind;

use crate::{
    args,
    exit::{Exit, Told},
    output::{print, real_time},
};

/// Makes, lists or deletes kind clusters.
///
/// # Errors
/// Where Docker or kind cannot, or the cluster is somebody else's.
pub fn cluster(args: &args::Cluster) -> Result<Exit> {
    let runtime = real_time()?;
    let tell = |message: String| eprintln!("{message}");
    runtime.block_on(async {
        // Looked at first: a wrong name needs no Docker.
        let wanted = match args {
            args::Cluster::Up { profile, making } => Some(wanted(profile, making)?),
            _ => None,
        };
        let provider = provider(ProviderKind::Kind);
        match (args, wanted) {
            (args::Cluster::Down { name }, _) => {
                provider.delete(name, &tell).await?;
                print(&format!("{name} is deleted\n"))?;
            }
            (_, Some(wanted)) => {
                provider.usable(&wanted).await?;
                let (cluster, made) = provider.obtain(&wanted, &tell).await?;
                let how = if made { "was made" } else { "was there already" };
                let (name, version) = (&wanted.name, &cluster.fingerprint().kubernetes);
                print(&format!("{name} {how} and is healthy: Kubernetes {version}; delete it with: recoup cluster down {name}\n"))?;
            }
            (_, None) => {
                let mut clusters = provider.list().await?;
                clusters.sort_by(|a, b| a.name.cmp(&b.name));
                let mut text = String::new();
                for one in &clusters {
                    let whose = one.profile.as_ref().map_or("made by somebody else".to_owned(), |p| format!("profile {p}"));
                    text += &format!("{} ({whose}): {}\n", one.name, one.nodes.join(", "));
                }
                if text.is_empty() {
                    eprintln!("there is no kind cluster; `recoup cluster up ha` makes one");
                }
                print(&text)?;
            }
        }
        Ok(Exit::Passed)
    })
}

fn wanted(profile: &str, making: &args::Making) -> Result<Wanted> {
    let profile = Profile::load(profile).map_err(|error| {
        let known = recoup_clusters::PROFILES.join(", ");
        Told::new(Exit::Usage, error.to_string()).help(format!("known profiles are {known}"))
    })?;
    Ok(Wanted {
        name: making.name.clone().unwrap_or_else(|| format!("recoup-{}", profile.name)),
        profile,
        image: making.image.clone(),
        version: making.kubernetes.clone(),
        adopt: false,
        seed: 0,
        making: recoup_clusters::Making::default(),
    })
}
