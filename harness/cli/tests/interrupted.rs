//! Runs that are stopped from outside: by Ctrl-C, which heals, and by SIGKILL, after which others must.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

fn recoup(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_recoup"));
    command.current_dir(dir).env("DOCKER_HOST", "unix:///nonexistent/docker.sock");
    for name in ["RECOUP_CLUSTER", "RECOUP_RUNS", "RECOUP_TRIES", "RECOUP_LOG"] {
        command.env_remove(name);
    }
    command
}

/// A simulated run of several experiments, as soon as its first fault is in place.
fn in_mid_fault(dir: &Path) -> (Child, BufReader<std::process::ChildStderr>) {
    let mut command = recoup(dir);
    command.args(["run", "--cluster", "sim", "--seed", "1", "controller-manager/lease-expiry/stop", "etcd"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("evidence: ") {
        line.clear();
        assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "the run ended without a fault");
    }
    (child, stderr)
}

fn send(signal: &str, child: &Child) {
    let sent = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

fn the_run(dir: &Path) -> PathBuf {
    fs::read_dir(dir.join("recoup-runs")).unwrap().next().unwrap().unwrap().path()
}

fn told(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

#[test]
fn ctrl_c_undoes_writes_the_reports_and_is_130() {
    for signal in ["INT", "TERM"] {
        let dir = tempfile::tempdir().unwrap();
        let (child, stderr) = in_mid_fault(dir.path());
        send(signal, &child);
        let rest: Vec<String> = stderr.lines().map(Result::unwrap).collect();
        let (code, stdout, _) = told(&child.wait_with_output().unwrap());
        assert_eq!(code, 130, "{stdout}\n{}", rest.join("\n"));
        for says in ["interrupted: undoing", "undone: SIGCONT", "report.html", "error: interrupted"] {
            assert!(rest.iter().any(|line| line.contains(says)), "{says:?} is missing:\n{}", rest.join("\n"));
        }
        assert!(stdout.contains("The run was interrupted"), "{stdout}");
        let run = the_run(dir.path());
        assert!(run.join("junit.xml").exists() && run.join("results.json").exists());
        let (code, stdout, _) = told(&recoup(dir.path()).arg("heal").output().unwrap());
        assert_eq!((code, stdout.contains("nothing is left")), (0, true), "{stdout}");
    }
}

#[test]
fn a_killed_run_can_be_healed_judged_and_reported() {
    let dir = tempfile::tempdir().unwrap();
    let (mut child, _stderr) = in_mid_fault(dir.path());
    child.kill().unwrap();
    child.wait().unwrap();
    let run = the_run(dir.path());
    let (code, stdout, stderr) = told(&recoup(dir.path()).arg("heal").output().unwrap());
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(stdout.contains("SIGCONT to kube-controller-manager"), "{stdout}");
    let (code, stdout, stderr) = told(&recoup(dir.path()).arg("judge").arg(&run).output().unwrap());
    assert_eq!(code, 3, "{stdout}{stderr}");
    assert!(stderr.contains("the run did not end properly"), "{stderr}");
    assert!(stdout.contains("the record holds no verdict on it"), "{stdout}");
    let (code, stdout, _) =
        told(&recoup(dir.path()).arg("report").arg(&run).arg("--format=junit").output().unwrap());
    assert_eq!((code, stdout.starts_with("<?xml")), (0, true), "{stdout}");
}

/// A run's directory with one fault that a dead run left on a simulated cluster, which went with it.
fn left_by_a_dead_run(dir: &Path) -> PathBuf {
    let run = dir.join("recoup-runs/dead");
    fs::create_dir_all(&run).unwrap();
    let armed = r#"{"armed":{"id":1,"provider":"sim","cluster":"recoup-ha","node":"n","step":1,"undo":{"do":"unpause"}}}"#;
    fs::write(run.join("ledger.jsonl"), format!("{armed}\n")).unwrap();
    run
}

/// A reaper that is on watch over the run.
fn on_watch(dir: &Path, run: &Path) -> Child {
    let mut command = recoup(dir);
    let mut reaper =
        command.arg("reap").arg(run).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(reaper.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "watching\n");
    reaper
}

#[test]
fn the_reaper_goes_to_work_when_the_pipe_closes_and_not_before_whoever_signals() {
    let dir = tempfile::tempdir().unwrap();
    let run = left_by_a_dead_run(dir.path());
    let ledger = || fs::read_to_string(run.join("ledger.jsonl")).unwrap();
    let mut reaper = on_watch(dir.path(), &run);
    for signal in ["INT", "TERM", "HUP", "QUIT"] {
        send(signal, &reaper);
    }
    assert!(reaper.try_wait().unwrap().is_none() && !ledger().contains("done"));
    drop(reaper.stdin.take());
    assert!(reaper.wait().unwrap().success());
    assert!(ledger().ends_with("{\"done\":1}\n"), "{}", ledger());
    let log = fs::read_to_string(run.join("reaper.log")).unwrap();
    assert!(log.contains("without an orderly end") && log.contains("unpausing the node"), "{log}");
    let (_, stdout, _) = told(&recoup(dir.path()).arg("heal").output().unwrap());
    assert!(stdout.contains("nothing is left"), "{stdout}");
}

#[test]
fn a_dismissed_reaper_does_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let run = left_by_a_dead_run(dir.path());
    let mut reaper = on_watch(dir.path(), &run);
    std::io::Write::write_all(&mut reaper.stdin.take().unwrap(), b"end\n").unwrap();
    assert!(reaper.wait().unwrap().success());
    assert!(!fs::read_to_string(run.join("ledger.jsonl")).unwrap().contains("done"));
}

/// A simulated run whose files may not grow beyond so many blocks of 512 bytes (as POSIX's sh counts): what goes
/// beyond is refused, as by a full disk.
fn run_within(dir: &Path, blocks: Option<usize>) -> Output {
    let limit = blocks.map_or("unlimited".to_owned(), |blocks| blocks.to_string());
    let script = format!("trap '' XFSZ; ulimit -f {limit}; exec \"$0\" \"$@\"");
    let mut command = Command::new("sh");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_recoup")]);
    command.args(["run", "--cluster", "sim", "--seed", "1", "etcd/quorum-loss"]);
    command.current_dir(dir).env("DOCKER_HOST", "unix:///nonexistent/docker.sock");
    for name in ["RECOUP_CLUSTER", "RECOUP_RUNS", "RECOUP_TRIES", "RECOUP_LOG"] {
        command.env_remove(name);
    }
    command.output().unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_fills_up_in_mid_fault_is_7_and_everything_is_undone_and_nothing_recorded_is_lost() {
    let whole = tempfile::tempdir().unwrap();
    let (code, stdout, stderr) = told(&run_within(whole.path(), None));
    assert_eq!(code, 0, "{stdout}{stderr}");
    let whole = fs::read_to_string(the_run(whole.path()).join("events.jsonl")).unwrap();
    // A little after the second fault took effect, long before its undo.
    let evidence: Vec<usize> = whole.match_indices("\"evidence\"").map(|(at, _)| at).collect();
    let blocks = (evidence[1] + 4096) / 512;
    assert!(whole.find("\"undone\"").unwrap() > blocks * 512 + 4096, "the limit must be met in mid-fault");

    let dir = tempfile::tempdir().unwrap();
    let (code, stdout, stderr) = told(&run_within(dir.path(), Some(blocks)));
    assert_eq!(code, 7, "{stdout}{stderr}");
    assert!(stderr.contains("events.jsonl: File too large"), "{stderr}");
    assert!(stderr.contains("undone: "), "{stderr}");
    let run = the_run(dir.path());
    let cut = fs::read_to_string(run.join("events.jsonl")).unwrap();
    assert_eq!(cut.len(), blocks * 512, "every byte that the disk took");
    // The first line names the run.
    let lines = |text: &str| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
    let (whole, cut) = (lines(&whole), lines(&cut));
    assert_eq!(whole[..cut.len() - 1], cut[..cut.len() - 1]);
    let ledger = fs::read_to_string(run.join("ledger.jsonl")).unwrap();
    assert_eq!(ledger.matches("\"armed\"").count(), ledger.matches("\"done\"").count(), "{ledger}");
    let (code, stdout, _) = told(&recoup(dir.path()).arg("heal").output().unwrap());
    assert_eq!((code, stdout.contains("nothing is left")), (0, true), "{stdout}");
    let (code, _, stderr) = told(&recoup(dir.path()).arg("judge").arg(&run).output().unwrap());
    assert_eq!(code, 3, "{stderr}");
}
