//! What this machine has and lacks for kind clusters, each with how to mend it.

use std::path::Path;

use super::{Container, Docker, Engine, command, image, machine, mark::Mark};
use crate::{ClusterError, Wanted, profile::Profile};
use recoup_model::topology::NodeRole;

/// inotify instances that a node takes (5 nodes took 104), and what the rest of a machine may take.
const INSTANCES_PER_NODE: u64 = 21;
const INSTANCES_BESIDE: u64 = 64;
/// Watches are counted per file; kind's own advice is 524288, a stock kernel's least is 8192.
const WATCHES: u64 = 65_536;
/// A probe's connection is a file of ours; a stock limit is 1024.
const OPEN_FILES: u64 = 1024;
/// Memory that an idle node takes (5 nodes took 1.9 GiB), rounded up.
const MEMORY_PER_NODE: u64 = 512 << 20;
/// An image, and what five nodes write.
const DISK: u64 = 5 << 30;

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// It is as it must be.
    pub ok: bool,
    /// Without it no kind cluster of that profile can be used; otherwise only some experiments suffer.
    pub required: bool,
    /// What was found.
    pub found: String,
    /// How to mend it; empty where nothing is to be mended.
    pub remedy: String,
}

impl Check {
    pub(super) fn new(name: &str, found: impl Into<String>) -> Check {
        Check { name: name.to_owned(), ok: true, required: true, found: found.into(), remedy: String::new() }
    }

    pub(super) fn unless(self, ok: bool, remedy: impl Into<String>) -> Check {
        if ok { self } else { Check { ok: false, remedy: remedy.into(), ..self } }
    }

    pub(super) fn optional(self) -> Check {
        Check { required: false, ..self }
    }

    fn failed(name: &str, error: &ClusterError) -> Check {
        match error {
            ClusterError::Missing { missing, remedy } => Check::new(name, missing).unless(false, remedy),
            other => Check::new(name, other.to_string()).unless(false, "see the message"),
        }
    }
}

/// Looks at everything that a kind cluster as wanted needs. Changes nothing.
pub async fn doctor(wanted: &Wanted) -> Vec<Check> {
    let mut checks = Vec::new();
    let version = command::version().await;
    match &version {
        Ok(version) => checks.push(
            Check::new("kind", version)
                .unless(supported(version), "install kind 0.27 or newer (https://kind.sigs.k8s.io)"),
        ),
        Err(error) => checks.push(Check::failed("kind", error)),
    }
    let docker = match Docker::connect().await {
        Ok(docker) => docker,
        Err(error) => {
            checks.insert(0, Check::failed("docker", &error));
            return checks;
        }
    };
    let engine = match docker.engine().await {
        Ok(engine) => engine,
        Err(error) => {
            checks.insert(0, Check::failed("docker", &error));
            return checks;
        }
    };
    checks.insert(0, Check::new("docker", format!("engine {}, API {}", engine.version, engine.api)));
    checks.push(match image::choose(&docker, wanted).await {
        Ok(choice) if choice.local => {
            Check::new("node image", format!("{} ({})", choice.image, choice.because))
        }
        Ok(choice) => {
            Check::new("node image", format!("{} is not on this machine; kind will fetch it", choice.image))
        }
        Err(error) => Check::failed("node image", &error),
    });
    if let Ok(version) = &version {
        checks.extend(load_balancer(&docker, &wanted.profile, version).await);
    }
    let containers = docker.all_containers().await.unwrap_or_default();
    checks.push(memory(&engine, &wanted.profile));
    checks.extend(kernel(&docker, &engine, &wanted.profile, &containers).await);
    checks.push(leftovers(&docker, &containers).await);
    checks
}

fn supported(version: &str) -> bool {
    let mut parts =
        version.trim_start_matches('v').split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= (0, 27)
}

async fn load_balancer(docker: &Docker, profile: &Profile, version: &str) -> Option<Check> {
    if profile.count(NodeRole::ControlPlane) < 2 {
        return None;
    }
    let name = "load balancer image";
    let Some(image) = image::load_balancer(version) else {
        return Some(
            Check::new(name, format!("not known for kind {version}; kind will fetch it if need be"))
                .optional(),
        );
    };
    Some(match docker.has_image(image).await {
        Ok(true) => Check::new(name, image),
        Ok(false) => Check::new(name, format!("{image} is not on this machine; kind will try to fetch it"))
            .unless(false, format!("`docker pull {image}`")),
        Err(error) => Check::failed(name, &error),
    })
}

fn memory(engine: &Engine, profile: &Profile) -> Check {
    let needed = MEMORY_PER_NODE * profile.nodes.len() as u64;
    let available = machine::available_memory(engine);
    let (free, of) = (gib(available.unwrap_or(engine.memory)), gib(engine.memory));
    Check::new(
        "memory",
        if available.is_some() { format!("{free} free of {of}") } else { format!("{of} in all") },
    )
    .unless(
        available.unwrap_or(engine.memory) >= needed,
        format!("profile {} needs about {}: choose a smaller one, or free some", profile.name, gib(needed)),
    )
}

/// Limits and abilities of the kernel that runs the nodes: looked up there, in a node where there is one.
async fn kernel(docker: &Docker, engine: &Engine, profile: &Profile, containers: &[Container]) -> Vec<Check> {
    let here = machine::same_kernel(engine);
    let node =
        containers.iter().find(|container| container.is_node() && container.running && !container.paused);
    let mut checks = vec![
        Check::new("cgroups", format!("version {}, kernel {}", engine.cgroups, engine.kernel)).optional().unless(
            engine.cgroups != "1",
            "Kubernetes 1.35 and newer want cgroup version 2 (boot with systemd.unified_cgroup_hierarchy=1)",
        ),
    ];
    let needed = INSTANCES_PER_NODE * profile.nodes.len() as u64 + INSTANCES_BESIDE;
    for (key, needed) in [("max_user_instances", needed), ("max_user_watches", WATCHES)] {
        let path = format!("/proc/sys/fs/inotify/{key}");
        let name = format!("fs.inotify.{key}");
        let text = match node {
            Some(node) => docker.read_file(&node.name, &path).await.ok(),
            None if here => std::fs::read(Path::new(&path)).ok(),
            None => None,
        };
        let value = text.and_then(|text| String::from_utf8_lossy(&text).trim().parse::<u64>().ok());
        checks.push(match value {
            Some(value) => Check::new(&name, value.to_string()).unless(
                value >= needed,
                format!(
                    "`sudo sysctl {name}={}`: beyond the limit kubelets crash while kind reports success",
                    if key == "max_user_instances" { 512 } else { 524_288 }
                ),
            ),
            None => unknown(&name),
        });
    }
    if let Some(limit) = machine::open_files() {
        checks.push(
            Check::new("open files", limit.to_string())
                .unless(limit >= OPEN_FILES, format!("`ulimit -n {OPEN_FILES}` in this shell")),
        );
    }
    let disk = machine::free_disk(docker, node, engine, here).await;
    checks.push(match disk {
        Some(free) => Check::new("disk", format!("{} free", gib(free)))
            .unless(free >= DISK, format!("free some: {} are needed (`docker system df`)", gib(DISK))),
        None => unknown("disk"),
    });
    checks.extend(machine::abilities(docker, node, here).await);
    checks
}

pub(super) fn unknown(name: &str) -> Check {
    Check::new(name, "not known: the engine runs on another kernel, and there is no node to look from yet")
        .optional()
}

async fn leftovers(docker: &Docker, containers: &[Container]) -> Check {
    let mut names: Vec<&str> = containers.iter().map(|container| container.cluster.as_str()).collect();
    names.dedup();
    let mut ours = Vec::new();
    let mut others = Vec::new();
    for name in names {
        let members: Vec<Container> =
            containers.iter().filter(|container| container.cluster == name).cloned().collect();
        match Mark::read(docker, &members).await {
            Ok(Some(_)) => ours.push(name),
            _ => others.push(name),
        }
    }
    let list = |names: &[&str]| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    Check::new("clusters", format!("recoup's: {}; others: {}", list(&ours), list(&others))).optional().unless(
        ours.len() < 2 && others.is_empty(),
        "each idle cluster takes half a core: `recoup cluster down` or `kind delete cluster` those not needed",
    )
}

fn gib(bytes: u64) -> String {
    let tenths = bytes / ((1 << 30) / 10);
    format!("{}.{} GiB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_version_is_compared_by_number() {
        assert!(
            supported("v0.27.0")
                && supported("v0.33.0")
                && supported("v1.0.0")
                && supported("v0.100.0-alpha")
        );
        assert!(!supported("v0.26.0") && !supported("v0.9.0") && !supported("unknown"));
    }

    #[test]
    fn what_fails_says_how_to_mend_it() {
        let check = Check::new("memory", "1 GiB").unless(false, "free some");
        assert!(!check.ok && check.required && check.remedy == "free some");
        assert_eq!(Check::new("memory", "9 GiB").unless(true, "free some").remedy, "");
        assert_eq!(gib(5 << 30), "5.0 GiB");
        assert_eq!(gib((1 << 30) + (1 << 29)), "1.5 GiB");
    }
}
