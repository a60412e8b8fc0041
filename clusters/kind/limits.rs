//! Limits of one component's control group: what a script is given, and what it prints.

use std::time::Duration;

use recoup_model::{
    action::{ActionReport, NodeAction},
    degrade::{Limit, Limited},
    time::Span,
};

use super::scripts::{Script, script, unit_of};

/// Microseconds of the kernel's period of 100 ms that make a thousandth of a core.
const QUOTA_PER_MILLICORE: u32 = 100;

pub(super) fn script(action: &NodeAction) -> Result<Script, String> {
    match action {
        NodeAction::LimitSet { process, limit } => {
            let Limit { cpu, read_iops, write_iops, read_bytes, write_bytes } = *limit;
            if *limit == Limit::default() {
                return Err(format!("nothing of {process} is to be limited"));
            }
            let quota = word(cpu.map(|cores| u64::from(cores.0) * u64::from(QUOTA_PER_MILLICORE)));
            let (from, to) = (word(read_bytes.map(|bytes| bytes.0)), word(write_bytes.map(|bytes| bytes.0)));
            let (reads, writes) = (word(read_iops.map(u64::from)), word(write_iops.map(u64::from)));
            let (program, unit) = (process.program(), unit_of(*process));
            Ok(
                script!("process.sh", "limit.sh", "limit_set.sh"; program, unit, quota, from, to, reads, writes),
            )
        }
        NodeAction::LimitClear { process } => {
            Ok(script!("process.sh", "limit.sh", "limit_clear.sh"; process.program()))
        }
        NodeAction::LimitCount { process } => {
            let (program, unit) = (process.program(), unit_of(*process));
            Ok(script!("process.sh", "limit.sh", "limit_count.sh"; program, unit))
        }
        other => Err(format!("{} is none of a limit", other.name())),
    }
}

/// What is not limited is an empty word.
fn word(number: Option<u64>) -> String {
    number.map(|number| number.to_string()).unwrap_or_default()
}

/// A trial whether processor time can be limited here, which changes nothing.
pub(super) const CPU_TRIAL: &str = concat!(
    include_str!("scripts/process.sh"),
    include_str!("scripts/limit.sh"),
    include_str!("scripts/limit_trial.sh"),
    "trial cpu\n"
);
/// The same of reads and writes.
pub(super) const IO_TRIAL: &str = concat!(
    include_str!("scripts/process.sh"),
    include_str!("scripts/limit.sh"),
    include_str!("scripts/limit_trial.sh"),
    "trial io\n"
);

/// Takes in the words of a line after `limit`; none where no script prints such a line.
pub(super) fn read(words: &[&str], report: &mut ActionReport) -> Option<()> {
    let limited = report.limited.get_or_insert_with(Limited::default);
    let number = |word: &&str| word.parse::<u64>().ok();
    match words {
        ["group", group] => {
            if !limited.cgroup.split(", ").any(|known| known == *group) {
                let comma = if limited.cgroup.is_empty() { "" } else { ", " };
                limited.cgroup = format!("{}{comma}{group}", limited.cgroup);
            }
        }
        ["in-force", force] => limited.in_force = *force == "yes",
        ["cpu", periods, throttled, micros] => {
            limited.periods = number(periods)?;
            limited.throttled = number(throttled)?;
            limited.throttled_for = Span(Duration::from_micros(number(micros)?));
        }
        // One line a group: they are disjoint.
        ["io", reads, writes, from, to] => {
            limited.reads += number(reads)?;
            limited.writes += number(writes)?;
            limited.read_bytes += number(from)?;
            limited.write_bytes += number(to)?;
        }
        ["disks", disks] => limited.disks = disks.parse().ok()?,
        ["io-wait", micros] => limited.io_wait = Some(Span(Duration::from_micros(number(micros)?))),
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use std::{fs, process::Command};

    use recoup_model::{action::Process, quantity::Millicores};

    use super::*;

    fn shell(text: &str, arguments: &[&str]) -> String {
        let script =
            format!("{}{}{text}", include_str!("scripts/process.sh"), include_str!("scripts/limit.sh"));
        let output = Command::new("sh").args(["-c", &script, "t"]).args(arguments).output().expect("sh runs");
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    }

    /// Where a process's group is, of a controller, with these files of /proc.
    fn group(controller: &str, cgroup: &str, mounts: &str) -> String {
        let dir = tempfile::tempdir().expect("a directory");
        let (own, seen) = (dir.path().join("cgroup"), dir.path().join("mountinfo"));
        fs::write(&own, cgroup).expect("written");
        fs::write(&seen, mounts).expect("written");
        shell(r#"control_group "$@""#, &[controller, &own.display().to_string(), &seen.display().to_string()])
    }

    const V1: &str = "9:blkio:/docker/88fa/kubelet/kubepods/burstable/podd0db/df7b\n\
                      2:cpu,cpuacct:/docker/88fa/kubelet/kubepods/burstable/podd0db/df7b\n\
                      0::/docker/88fa/x\n";
    const V1_MOUNTS: &str = "\
        3484 3472 0:84 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
        3485 3484 0:28 /docker/88fa /sys/fs/cgroup/unified rw master:9 - cgroup2 cgroup2 rw\n\
        3486 3484 0:29 /docker/88fa /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:7 master:9 - cgroup cgroup rw,cpu,cpuacct\n\
        3502 3484 0:35 /docker/88fa /sys/fs/cgroup/blkio rw,nosuid - cgroup cgroup rw,blkio\n";

    #[test]
    fn a_group_is_found_where_the_node_sees_its_hierarchy() {
        let pod = "kubelet/kubepods/burstable/podd0db/df7b";
        assert_eq!(group("cpu", V1, V1_MOUNTS), format!("1 /sys/fs/cgroup/cpu,cpuacct/{pod}"));
        assert_eq!(group("blkio", V1, V1_MOUNTS), format!("1 /sys/fs/cgroup/blkio/{pod}"));
        // A namespace of its own, as kind gives its nodes under version 2: paths begin at the mount.
        let own = "0::/kubelet.slice/kubelet-kubepods.slice/cri-containerd-a1.scope\n";
        let mounts = "30 20 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup rw,nsdelegate\n";
        let found = "2 /sys/fs/cgroup/kubelet.slice/kubelet-kubepods.slice/cri-containerd-a1.scope";
        assert_eq!(group("io", own, mounts), found);
        assert_eq!(group("cpu", "0::/\n", mounts), "2 /sys/fs/cgroup");
    }

    #[test]
    fn a_group_beside_what_the_node_sees_is_none() {
        assert_eq!(group("cpu", &V1.replace("/docker/88fa/", "/docker/88fab/"), V1_MOUNTS), "");
        assert_eq!(
            group("cpu", "0::/../other\n", "30 20 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n"),
            ""
        );
        assert_eq!(group("memory", V1, V1_MOUNTS), "2 /sys/fs/cgroup/unified/x", "only version 2 has it");
    }

    #[test]
    fn the_pods_group_bears_the_limit_or_the_units() {
        let bearer = |dir: &str| shell(r#"bearer "$1" || echo none"#, &[dir]);
        assert_eq!(bearer("/c/kubelet/kubepods/burstable/pod12/ab"), "/c/kubelet/kubepods/burstable/pod12");
        let slice = "/c/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod1_2.slice";
        assert_eq!(bearer(&format!("{slice}/cri-containerd-ab.scope")), slice);
        assert_eq!(bearer("/c/system.slice/kubelet.service"), "/c/system.slice/kubelet.service");
        assert_eq!(bearer("/c/kubelet/kubepods"), "none", "all pods' group is nobody's own");
        assert_eq!(bearer("/c"), "none");
    }

    /// A directory with version 2's files stands in for a group.
    #[test]
    fn what_was_there_before_is_put_back_and_a_group_that_is_gone_is_no_failure() {
        let dir = tempfile::tempdir().expect("a directory");
        let group = dir.path().join("group");
        fs::create_dir(&group).expect("made");
        let (group, note) = (group.display().to_string(), dir.path().join("sub/note").display().to_string());
        let (max, io) = (format!("{group}/cpu.max"), format!("{group}/io.max"));
        let gone = dir.path().join("gone").display().to_string();
        let set = |cpu: &str| {
            fs::create_dir_all(dir.path().join("sub")).expect("made");
            fs::write(&max, cpu).expect("written");
            fs::write(&io, "8:0 rbps=max wbps=max riops=max wiops=20\n").expect("written");
            let lines = format!(
                "cpu 2 {group} max 100000 5000 100000\nio 2 {group} wiops 8:0 max 20\ncpu 2 {gone} max 1 2 1\n"
            );
            fs::write(&note, lines).expect("written");
            shell(r#"clear_limits "$1""#, &[&note])
        };
        assert_eq!(set("5000 100000\n"), "changed\nchanged");
        assert_eq!(fs::read_to_string(&max).expect("read"), "max 100000\n");
        assert_eq!(fs::read_to_string(&io).expect("read"), "8:0 wiops=max\n");
        assert!(!dir.path().join("sub").exists(), "the note and its folder are gone");
        assert_eq!(set("max 100000\n"), "changed", "somebody had lifted the quota before");
        fs::remove_dir_all(&group).expect("removed");
        fs::create_dir_all(dir.path().join("sub")).expect("made");
        fs::write(&note, format!("cpu 2 {gone} max 100000 5000 100000\n")).expect("written");
        assert_eq!(shell(r#"clear_limits "$1""#, &[&note]), "", "it took its limits along");
        assert!(!fs::exists(&note).expect("looked"));
    }

    #[test]
    fn a_limit_is_handed_over_in_the_kernels_units_and_its_counters_are_read() {
        let limit = Limit { cpu: Some(Millicores(50)), write_iops: Some(20), ..Limit::default() };
        let set = NodeAction::LimitSet { process: Process::Kubelet, limit };
        let script = self::script(&set).expect("fine");
        assert_eq!(script.argv()[4..], ["kubelet", "kubelet.service", "5000", "", "", "", "20"]);
        let nothing = NodeAction::LimitSet { process: Process::Etcd, limit: Limit::default() };
        assert!(self::script(&nothing).is_err());
        let text = "limit group /a\nlimit cpu 31 30 4131901\nlimit group /b\nlimit io 1 2 3 4\nlimit io 10 20 30 40\nlimit in-force yes\n";
        let limited = super::super::scripts::read(text).expect("fine").limited.expect("limits");
        assert_eq!((limited.cgroup.as_str(), limited.in_force), ("/a, /b", true));
        assert_eq!(
            (limited.periods, limited.throttled, limited.throttled_for.0.as_micros()),
            (31, 30, 4_131_901)
        );
        assert_eq!(
            (limited.reads, limited.writes, limited.read_bytes, limited.write_bytes, limited.io_wait),
            (11, 22, 33, 44, None)
        );
        assert!(super::super::scripts::read("limit cpu many\n").is_err());
    }
}
