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
    for name in ["RECOUP_CLUSTER", "RECOUP_RUNS", "RECOUP_LOG"] {
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
