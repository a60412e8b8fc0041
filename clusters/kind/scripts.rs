//! Node actions as small POSIX shell scripts with arguments, and what they print.
//!
//! The scripts use only what both a Debian node and `kindest/node` have, and get all
//! values as arguments, never spliced into their text.

use std::{collections::BTreeMap, time::Duration};

use recoup_model::{
    action::{ActionReport, DropRule, NodeAction, Process, ProcessId, ProcessState, plain_flag, plain_value},
    degrade::Slowed,
    time::Span,
};

use super::{deadlines, drop_rules, load};
use crate::cluster::LOAD_NAMESPACE;

/// The workload's program, which `NodeAction::SignalPod` looks for.
const WORKLOAD: &str = "recoup-workload";

/// A script and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Script {
    text: &'static str,
    arguments: Vec<String>,
    /// It reads the program of harness/delay from its stdin.
    pub(super) needs_delay: bool,
}

macro_rules! script {
    ($($file:literal),+; $($argument:expr),* $(,)?) => {
        $crate::kind::scripts::Script::new(
            concat!($(include_str!(concat!("scripts/", $file))),+),
            vec![$($argument.to_string()),*],
        )
    };
}
pub(super) use script;

impl Script {
    /// A script that consists of the files in `scripts/` that [`script!`] names.
    pub(super) fn new(text: &'static str, arguments: Vec<String>) -> Script {
        Script { text, arguments, needs_delay: false }
    }

    /// The script of an action; none where Docker itself carries it out.
    ///
    /// # Errors
    /// A drop rule that cannot be written as one of iptables, with the reason.
    pub(super) fn of(action: &NodeAction) -> Result<Option<Script>, String> {
        Ok(Some(match action {
            NodeAction::Signal { process, signal, only } => {
                let (pid, started) = match only {
                    Some(ProcessId { pid, started }) => (pid.to_string(), started.to_string()),
                    None => (String::new(), String::new()),
                };
                script!("process.sh", "signal.sh"; process.program(), unit_of(*process), signal.name(), pid, started)
            }
            NodeAction::StaticPodHold { pod, kill } => {
                let program = pod.process().program();
                script!("process.sh", "hold.sh"; program, program, if *kill { "yes" } else { "no" })
            }
            NodeAction::StaticPodRestore { pod } => script!("restore.sh"; pod.process().program()),
            NodeAction::UnitStop { unit } => {
                script!("process.sh", "unit_stop.sh"; unit.process().program(), unit_of(unit.process()))
            }
            NodeAction::UnitStart { unit } => {
                script!("process.sh", "unit_start.sh"; unit.process().program(), unit_of(unit.process()))
            }
            NodeAction::DropAdd { rule } => return drop_add(rule).map(Some),
            NodeAction::DropRemove { tag } => {
                script!("drop.sh", "drop_remove.sh"; drop_rules::comment(tag)?)
            }
            NodeAction::DropCount { tag } => script!("drop.sh", "drop_count.sh"; drop_rules::comment(tag)?),
            NodeAction::SignalPod { pod, signal } => {
                script!("process.sh", "signal_pod.sh"; WORKLOAD, signal.name(), pod)
            }
            NodeAction::RunsWith { pod, args } => {
                with_flags(script!("process.sh", "runs_with.sh"; pod.process().program()), args)?
            }
            NodeAction::Inspect { process } => {
                script!("process.sh", "inspect.sh"; process.program(), unit_of(*process))
            }
            NodeAction::UnitRestart { unit } => {
                script!("process.sh", "unit_restart.sh"; unit.process().program(), unit_of(unit.process()))
            }
            NodeAction::UnitOverride { unit, settings } => {
                let mut script = script!("unit_override.sh"; unit_of(unit.process()));
                script.arguments.extend(assignments(settings)?);
                script
            }
            NodeAction::UnitOverrideRemove { unit } => {
                script!("unit_override_remove.sh"; unit_of(unit.process()))
            }
            NodeAction::ManifestArgs { pod, args } => {
                with_flags(script!("manifest_args.sh"; pod.process().program()), args)?
            }
            NodeAction::ManifestRestore { pod } => script!("manifest_restore.sh"; pod.process().program()),
            NodeAction::DeadlineSet { id, after, undo } => deadline(id, *after, undo)?,
            NodeAction::DeadlineClear { id } => {
                deadlines::check(id)?;
                script!("deadline_clear.sh"; id)
            }
            NodeAction::SlowAdd { .. }
            | NodeAction::SlowRemove { .. }
            | NodeAction::SlowCount { .. }
            | NodeAction::RoundTrips { .. } => return super::slow::script(action).map(Some),
            NodeAction::LimitSet { .. } | NodeAction::LimitClear { .. } | NodeAction::LimitCount { .. } => {
                return super::limits::script(action).map(Some);
            }
            NodeAction::EtcdFill | NodeAction::EtcdFree | NodeAction::EtcdLook => {
                return super::etcd_space::script(action).map(Some);
            }
            NodeAction::LoadClear => script!("load_clear.sh"; LOAD_NAMESPACE, load::LABEL),
            NodeAction::Survey => {
                script!(
                    "process.sh", "limit.sh", "etcd_space.sh", "load_look.sh", "frozen.sh", "survey.sh";
                    LOAD_NAMESPACE
                )
            }
            NodeAction::Pause | NodeAction::Unpause | NodeAction::InspectNode => return Ok(None),
        }))
    }

    pub(super) fn slow_add(arguments: Vec<String>) -> Script {
        let script = script!("process.sh", "drop.sh", "slow.sh", "slow_trial.sh", "slow_add.sh";);
        Script { arguments, needs_delay: true, ..script }
    }

    pub(super) fn slow_remove(comment: String) -> Script {
        Script { arguments: vec![comment], ..script!("process.sh", "drop.sh", "slow.sh", "slow_remove.sh";) }
    }

    pub(super) fn slow_count(comment: String) -> Script {
        Script { arguments: vec![comment], ..script!("process.sh", "drop.sh", "slow.sh", "slow_count.sh";) }
    }

    pub(super) fn round_trips(arguments: Vec<String>) -> Script {
        Script { arguments, needs_delay: true, ..script!("roundtrips.sh";) }
    }

    /// Prints by which means packets can be held back.
    pub(super) fn slow_able() -> Script {
        script!("slow_trial.sh", "slow_able.sh";)
    }

    /// The command to run in the node.
    pub(super) fn argv(&self) -> Vec<&str> {
        // The word after the script is its own name, as in its messages.
        ["sh", "-c", self.text, "recoup"]
            .into_iter()
            .chain(self.arguments.iter().map(String::as_str))
            .collect()
    }
}

fn drop_add(rule: &DropRule) -> Result<Script, String> {
    let comment = drop_rules::comment(&rule.tag)?;
    let rules = drop_rules::rules(rule)?;
    let peers = if rule.peers.is_empty() { "any" } else { "named" };
    Ok(script!("drop.sh", "drop_add.sh"; comment, rules.v4.join("\n"), rules.v6.join("\n"), peers))
}

/// Settings of a unit as lines of its drop-in.
fn assignments(settings: &BTreeMap<String, String>) -> Result<Vec<String>, String> {
    let line = |(name, value): (&String, &String)| {
        let named = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric());
        // A line's end would begin another setting, a backslash before it would join the next.
        match named && !value.chars().any(char::is_control) && !value.ends_with('\\') {
            true => Ok(format!("{name}={value}")),
            false => Err(format!("{name:?} = {value:?} is no setting of a unit")),
        }
    };
    settings.iter().map(line).collect()
}

/// Flags and values must be plain words of YAML, for the manifest is not quoted.
fn with_flags(mut script: Script, args: &BTreeMap<String, String>) -> Result<Script, String> {
    for (flag, value) in args {
        if !plain_flag(flag) || !plain_value(value) {
            return Err(format!("--{flag}={value:?} is no flag that a manifest takes unquoted"));
        }
        script.arguments.extend([flag.clone(), value.clone()]);
    }
    Ok(script)
}

fn deadline(id: &str, after: Span, undo: &NodeAction) -> Result<Script, String> {
    deadlines::check(id)?;
    let Some(script) = Script::of(undo)?.filter(|script| !script.needs_delay) else {
        return Err(format!("{} cannot be done by the node itself", undo.name()));
    };
    let text = deadlines::node_text(script.text, &script.arguments);
    Ok(script!("deadline_set.sh"; id, deadlines::seconds(after.0), text))
}

/// The systemd unit that runs a component; empty for those that containers run.
pub(super) fn unit_of(process: Process) -> &'static str {
    match process {
        Process::Kubelet => "kubelet.service",
        Process::Containerd => "containerd.service",
        Process::Etcd
        | Process::KubeApiserver
        | Process::KubeControllerManager
        | Process::KubeScheduler
        | Process::KubeProxy => "",
    }
}

/// Reads what a script printed.
///
/// # Errors
/// The line that no script prints.
pub(super) fn read(stdout: &str) -> Result<ActionReport, String> {
    let mut report = ActionReport::default();
    for line in stdout.lines() {
        if let Some(found) = line.strip_prefix("survey ") {
            report.survey.push(found.to_owned());
            continue;
        }
        if let Some(how) = line.strip_prefix("how ") {
            report.how = Some(how.to_owned());
            continue;
        }
        let strange = || format!("unexpected line {line:?}");
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["changed"] => report.changed = true,
            ["limit", rest @ ..] => super::limits::read(rest, &mut report).ok_or_else(strange)?,
            ["space" | "alarm", ..] => super::etcd_space::read(&words, &mut report).ok_or_else(strange)?,
            ["packets", packets] => report.packets = packets.parse().map_err(|_| strange())?,
            ["roundtrip", micros] => {
                report.round_trips.push(Span(Duration::from_micros(micros.parse().map_err(|_| strange())?)));
            }
            ["slowed", numbers @ ..] => report.slowed = Some(slowed(numbers).ok_or_else(strange)?),
            ["process", pid, started, state] => {
                let (pid, started) =
                    (pid.parse().map_err(|_| strange())?, started.parse().map_err(|_| strange())?);
                let state = state.chars().next().ok_or_else(strange)?;
                let found = ProcessState { id: ProcessId { pid, started }, state };
                // A kill that had to be repeated reports a new process; one that did not end at once, the same.
                if report.processes.iter().all(|known| known.id != found.id) {
                    report.processes.push(found);
                }
            }
            _ => return Err(strange()),
        }
    }
    report.round_trips.sort();
    Ok(report)
}

/// Packets, lost and overflowed ones, and held times in microseconds: median, 99th percentile, longest.
fn slowed(numbers: &[&str]) -> Option<Slowed> {
    let numbers = numbers.iter().map(|number| number.parse().ok()).collect::<Option<Vec<u64>>>()?;
    let [packets, lost, overflowed, p50, p99, max] = numbers.try_into().ok()?;
    let micros = |number| Span(Duration::from_micros(number));
    Some(Slowed { packets, lost, overflowed, p50: micros(p50), p99: micros(p99), max: micros(max) })
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use recoup_model::action::{Signal, StaticPod};

    use super::*;
    use crate::kind::copy;

    fn run(script: &Script) -> (bool, String) {
        let argv = script.argv();
        let output = Command::new(argv[0]).args(&argv[1..]).output().expect("sh runs");
        (output.status.success(), String::from_utf8(output.stdout).expect("text"))
    }

    /// Runs a test's own script after the process functions.
    fn with_functions(text: &str, arguments: &[&str]) -> String {
        let script = format!("{}\n{text}", include_str!("scripts/process.sh"));
        let output = Command::new("sh").args(["-c", &script, "t"]).args(arguments).output().expect("sh runs");
        String::from_utf8(output.stdout).expect("text")
    }

    #[test]
    fn a_report_is_read_and_repetitions_count_once() {
        let report =
            read("process 226 69308 S\nchanged\nprocess 226 69308 R\nprocess 4484 200093 S\n").expect("fine");
        assert!(report.changed);
        let pids: Vec<u32> = report.processes.iter().map(|process| process.id.pid).collect();
        assert_eq!(pids, [226, 4484]);
        assert_eq!(read("packets 12\n").expect("fine").packets, 12);
        assert!(read("what?").is_err());
    }

    #[test]
    fn what_a_slow_rule_did_is_read_and_handshakes_are_sorted() {
        let report = read("how nfqueue\nslowed 9 1 2 50012 50544 51000\n").expect("fine");
        let slowed = report.slowed.expect("it was said");
        assert_eq!((slowed.packets, slowed.lost, slowed.overflowed), (9, 1, 2));
        assert_eq!(slowed.p99, Span(Duration::from_micros(50_544)));
        assert!(read("slowed 9 1 2\n").is_err() && read("slowed a b c d e f\n").is_err());
        let report = read("roundtrip 900\nroundtrip 100\n").expect("fine");
        assert_eq!(report.round_trips, [100, 900].map(|micros| Span(Duration::from_micros(micros))));
    }

    #[test]
    fn a_survey_and_its_means_are_read_whole() {
        let report = read("survey stopped process: a  b\nhow systemd timer\nchanged\n").expect("fine");
        assert_eq!(report.survey, ["stopped process: a  b"]);
        assert_eq!(report.how.as_deref(), Some("systemd timer"));
        // The judgement tells these from the other lines by how they begin.
        let text = include_str!("scripts/survey.sh");
        for begin in [recoup_model::residue::ADDRESS, recoup_model::residue::STATE] {
            assert!(text.contains(&format!("\"{begin}")), "no line begins with {begin:?}");
        }
        assert!(text.contains(&format!("s/^/{}", recoup_model::residue::NAMESPACE)));
    }

    /// A container that has just ended is frozen for a moment.
    #[test]
    fn only_a_group_that_stays_frozen_was_left_so() {
        let left = |looks: &str| {
            let text = include_str!("scripts/frozen.sh");
            let text = format!("{text}frozen() {{ {looks}; }}\nsleep() {{ :; }}\nleft_frozen");
            let dir = tempfile::tempdir().expect("a directory");
            let output = Command::new("sh").args(["-c", &text]).current_dir(&dir).output().expect("sh runs");
            assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
            String::from_utf8(output.stdout).expect("text")
        };
        assert_eq!(left("echo /a; echo /b.c"), "/a\n/b.c\n");
        assert_eq!(left(":"), "");
        // The first look finds both, later ones the other and a third: each is frozen at every look or not left so.
        assert_eq!(left("echo /b.c; [ -e seen ] && echo /bxc || { : > seen; echo /a; }"), "/b.c\n");
        assert_eq!(left("[ -e seen ] || { : > seen; echo /a; }"), "");
    }

    /// A `curl` of the test's own answers in etcd's place.
    #[test]
    fn a_loads_namespace_shows_while_it_is_active_and_only_where_etcd_tells_so() {
        let found = |curl: &str| {
            let text = format!(
                "{}\n{}",
                include_str!("scripts/etcd_space.sh"),
                include_str!("scripts/load_look.sh")
            );
            let text = format!("{text}command() {{ {curl}; }}\nload_of recoup-load");
            let output = Command::new("sh").args(["-c", &text]).output().expect("sh runs");
            String::from_utf8(output.stdout).expect("text")
        };
        let told = |phase: &str| {
            let key = r#"*'{"key":"L3JlZ2lzdHJ5L25hbWVzcGFjZXMvcmVjb3VwLWxvYWQ="}'*'--max-time 2'"#;
            let value = format!("$(printf 'k8s\\0 {phase}\\032' | base64 -w 0)");
            let answer = format!(r#"'{{"kvs": [{{"value": "%s"}}], "count": "1"}}\n200\n' "{value}""#);
            format!("case $* in {key}) printf {answer} ;; esac")
        };
        assert_eq!(found(&told("Active")), "recoup-load\n");
        assert_eq!(found(&told("Terminating")), "");
        assert_eq!(found(r#"printf '{"header":{"revision":"7"}}\n200\n'"#), "", "there is none");
        assert_eq!(found("echo 'curl: (28) it took too long' >&2; return 28"), "");
    }

    #[test]
    fn settings_and_flags_that_would_become_others_are_refused() {
        let pairs = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
        let (unit, pod) = (recoup_model::action::Unit::Kubelet, StaticPod::Etcd);
        let settings =
            |name, value| Script::of(&NodeAction::UnitOverride { unit, settings: pairs(name, value) });
        let args = |name, value| Script::of(&NodeAction::ManifestArgs { pod, args: pairs(name, value) });
        assert!(settings("Restart", "no").is_ok() && settings("RestartSec", "10s").is_ok());
        for (name, value) in [("", "x"), ("A=B", "x"), ("Restart", "no\nExecStart=x"), ("Restart", "no\\")] {
            assert!(settings(name, value).is_err(), "{name:?} {value:?} was taken");
        }
        assert!(args("leader-elect-lease-duration", "1m0s").is_ok());
        for (name, value) in
            [("", "x"), ("a b", "x"), ("v", "two words"), ("v", "a#b"), ("v", "x:"), ("v", "x\n- y")]
        {
            assert!(args(name, value).is_err(), "{name:?} {value:?} was taken");
        }
    }

    #[test]
    fn a_deadline_carries_its_undo_and_refuses_what_a_node_cannot_do_itself() {
        let set = |id: &str, undo| {
            Script::of(&NodeAction::DeadlineSet {
                id: id.into(),
                after: Span::millis(1500),
                undo: Box::new(undo),
            })
        };
        let script =
            set("run-1", NodeAction::DropRemove { tag: "t-1".into() }).expect("fine").expect("a script");
        assert_eq!(script.arguments[..2], ["run-1", "2"]);
        assert!(script.arguments[2].contains("set -- recoup:t-1\n"), "{}", script.arguments[2]);
        assert!(set("run 1", NodeAction::Survey).is_err());
        assert!(set("run-1", NodeAction::Unpause).is_err(), "a frozen node does nothing");
    }

    #[test]
    fn pod_names_cannot_reach_the_shell() {
        let pod = "x'; touch /tmp/recoup-injected; '$(id)".to_owned();
        let script = Script::of(&NodeAction::SignalPod { pod, signal: Signal::Kill })
            .expect("fine")
            .expect("a script");
        let (ended_well, stdout) = run(&script);
        assert!(ended_well);
        assert_eq!(read(&stdout).expect("readable"), ActionReport::default(), "no such pod");
        assert!(!std::path::Path::new("/tmp/recoup-injected").exists());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_with_spaces_and_parentheses_in_its_name_is_read_right() {
        let dir = tempfile::tempdir().expect("a directory");
        let program = dir.path().join("a) S (b c");
        let sleep = String::from_utf8(
            Command::new("sh").args(["-c", "command -v sleep"]).output().expect("sh").stdout,
        )
        .expect("text");
        copy(sleep.trim().as_ref(), &program);
        let mut child = Command::new(&program).arg("60").spawn().expect("started");
        let pid = child.id().to_string();
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
        let started =
            stat.rsplit_once(") ").expect("a name").1.split(' ').nth(19).expect("22 fields").to_owned();
        let found = with_functions(r#"stat_of "$1" && echo "$started""#, &[&pid]);
        assert_eq!(found.trim(), started);
        assert_eq!(with_functions(r#"candidates "a) S (b c""#, &[]).trim(), pid);

        // A dead process that nobody has waited for is gone.
        child.kill().expect("killed");
        for _ in 0..200 {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            if stat.contains(") Z ") {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        assert_eq!(with_functions(r#"stat_of "$1" || echo gone"#, &[&pid]).trim(), "gone");
        child.wait().expect("reaped");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_component_is_told_from_programs_of_similar_names_and_signalled_by_identity() {
        let dir = tempfile::tempdir().expect("a directory");
        let sleep = String::from_utf8(
            Command::new("sh").args(["-c", "command -v sleep"]).output().expect("sh").stdout,
        )
        .expect("text");
        // Names of 15 characters in common: the kernel's short name cannot tell them apart.
        let (right, wrong) = (dir.path().join("recoup-test-prog-a"), dir.path().join("recoup-test-prog-b"));
        copy(sleep.trim().as_ref(), &right);
        copy(sleep.trim().as_ref(), &wrong);
        let mut right = Command::new(right).arg("60").spawn().expect("started");
        let mut wrong = Command::new(wrong).arg("60").spawn().expect("started");
        let listed = with_functions(
            r#"for pid in $(candidates "$1"); do runs "$pid" "$1" && stat_of "$pid" && echo "$pid $started $state"; done"#,
            &["recoup-test-prog-a"],
        );
        let mut words = listed.split_whitespace();
        assert_eq!(words.next(), Some(right.id().to_string().as_str()), "{listed}");
        let started = words.next().expect("a start time").to_owned();
        assert_eq!(listed.lines().count(), 1, "{listed}");

        let stranger = format!("{} {}1 S", right.id(), started);
        assert_eq!(
            with_functions(r#"echo "$1" | hit KILL"#, &[&stranger]),
            "",
            "another start time: another process"
        );
        assert!(right.try_wait().expect("known").is_none());
        let itself = format!("{} {started} S", right.id());
        let report = read(&with_functions(r#"echo "$1" | hit CONT"#, &[&itself])).expect("readable");
        assert!(!report.changed && report.processes.len() == 1, "thawing what is not frozen changes nothing");
        assert!(read(&with_functions(r#"echo "$1" | hit KILL"#, &[&itself])).expect("readable").changed);
        right.wait().expect("reaped");
        wrong.kill().expect("killed");
        wrong.wait().expect("reaped");
    }
}
