//! Looks at kernel and machine, for `doctor`: from a node where there is one, else from here where
//! the engine runs on this very kernel.

use std::{fs, path::Path};

use super::{Container, Docker, Engine, doctor::Check};

/// An ability of the kernel: what to try in a node, which module it is, and what needs it.
struct Ability {
    name: &'static str,
    /// Tried in a network namespace of its own, which goes with the command.
    trial: &'static str,
    module: &'static str,
    needed_for: &'static str,
    required: bool,
}

const ABILITIES: [Ability; 3] = [
    Ability {
        name: "iptables in nodes",
        trial: "iptables -A INPUT -s 192.0.2.1 -p tcp --dport 1 -m comment --comment recoup -j DROP",
        module: "x_tables",
        needed_for: "`drop:`",
        required: true,
    },
    Ability {
        name: "netem",
        trial: "ip link set lo up && tc qdisc add dev lo root netem delay 1ms",
        module: "sch_netem",
        needed_for: "delaying packets without a helper process",
        required: false,
    },
    Ability {
        name: "nfqueue",
        trial: "iptables -A INPUT -j NFQUEUE --queue-num 0",
        module: "nfnetlink_queue",
        needed_for: "delaying packets by a helper process",
        required: false,
    },
];

/// Does the engine run on this machine's kernel? A virtual machine's has another release.
pub(super) fn same_kernel(engine: &Engine) -> bool {
    fs::read_to_string("/proc/sys/kernel/osrelease").is_ok_and(|release| release.trim() == engine.kernel)
}

/// Bytes of memory that can be had without swapping; none where the engine's machine is another one.
pub(super) fn available_memory(engine: &Engine) -> Option<u64> {
    if !same_kernel(engine) {
        return None;
    }
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// This process's limit of open files.
pub(super) fn open_files() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/limits").ok()?;
    let soft =
        text.lines().find_map(|line| line.strip_prefix("Max open files"))?.split_whitespace().next()?;
    if soft == "unlimited" { Some(u64::MAX) } else { soft.parse().ok() }
}

/// Free bytes where the engine keeps its containers.
pub(super) async fn free_disk(
    docker: &Docker,
    node: Option<&Container>,
    engine: &Engine,
    here: bool,
) -> Option<u64> {
    let table = match node {
        Some(node) => docker.shell(&node.name, "df -Pk /").await.ok()?,
        None if here && Path::new(&engine.root).exists() => {
            let output =
                tokio::process::Command::new("df").args(["-Pk", &engine.root]).output().await.ok()?;
            String::from_utf8_lossy(&output.stdout).into_owned()
        }
        None => return None,
    };
    free_of(&table)
}

/// The fourth column of df's second line, in bytes.
fn free_of(table: &str) -> Option<u64> {
    table.lines().nth(1)?.split_whitespace().nth(3)?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// What the kernel can do to packets and processes.
pub(super) async fn abilities(docker: &Docker, node: Option<&Container>, here: bool) -> Vec<Check> {
    let mut checks = Vec::new();
    for ability in &ABILITIES {
        let (found, works) = match node {
            Some(node) => {
                let argv = ["unshare", "--net", "sh", "-c", ability.trial];
                match docker.exec(&node.name, &argv, None).await {
                    Ok(output) if output.status == 0 => (format!("works (tried in {})", node.name), true),
                    Ok(output) => {
                        let said = String::from_utf8_lossy(&output.stderr);
                        let first = said.lines().next().unwrap_or("no message").trim().to_owned();
                        (format!("does not work in {}: {first}", node.name), false)
                    }
                    Err(error) => (error.to_string(), false),
                }
            }
            None if here => match module(ability.module) {
                Some(true) => (format!("kernel module {} is there", ability.module), true),
                Some(false) => (format!("there is no kernel module {}", ability.module), false),
                None => {
                    checks.push(super::doctor::unknown(ability.name));
                    continue;
                }
            },
            None => {
                checks.push(super::doctor::unknown(ability.name));
                continue;
            }
        };
        let check = Check::new(ability.name, found)
            .unless(works, format!("needed for {}: load or install {}", ability.needed_for, ability.module));
        checks.push(if ability.required { check } else { check.optional() });
    }
    // Version 2 always has it; version 1 lists it among its controllers.
    if here && let Ok(controllers) = fs::read_to_string("/proc/cgroups") {
        let frozen = Path::new("/sys/fs/cgroup/cgroup.controllers").exists() || has_freezer(&controllers);
        checks.push(
            Check::new("freezer", if frozen { "works" } else { "the freezer controller is off" })
                .unless(frozen, "needed for `pause:`: boot with cgroup version 2"),
        );
    }
    checks
}

/// The freezer's line in /proc/cgroups: name, hierarchy, groups, enabled.
fn has_freezer(controllers: &str) -> bool {
    controllers.lines().any(|line| {
        let mut words = line.split_whitespace();
        words.next() == Some("freezer") && words.nth(2) == Some("1")
    })
}

/// Is that module loaded, built in, or on disk? None where this cannot be known.
fn module(name: &str) -> Option<bool> {
    if Path::new("/sys/module").join(name).exists() {
        return Some(true);
    }
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    let folder = Path::new("/lib/modules").join(release.trim());
    let lists = ["modules.builtin", "modules.dep"].map(|list| fs::read_to_string(folder.join(list)).ok());
    if lists.iter().all(Option::is_none) {
        return None;
    }
    let file = format!("/{name}.ko");
    Some(lists.iter().flatten().any(|list| list.contains(&file)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_the_system_are_read() {
        let df = "Filesystem 1024-blocks Used Available Capacity Mounted on\noverlay 263174212 20000 75497472 21% /\n";
        assert_eq!(free_of(df), Some(75_497_472 * 1024));
        assert_eq!(free_of("nothing"), None);
        let cgroups = "#subsys_name\thierarchy\tnum_cgroups\tenabled\nfreezer\t6\t170\t1\n";
        assert!(has_freezer(cgroups));
        assert!(!has_freezer(&cgroups.replace("\t1\n", "\t0\n")));
    }
}
