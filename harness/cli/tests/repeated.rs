//! `--repeat` and `recoup compare` as users meet them, on the simulation.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{fs, path::Path};

use assert_cmd::Command;

/// Exit code, stdout, stderr of recoup in a directory of its own, without Docker.
fn told(dir: &Path, args: &[&str]) -> (i32, String, String) {
    let mut command = Command::cargo_bin("recoup").unwrap();
    command.current_dir(dir).env("DOCKER_HOST", "unix:///nonexistent/docker.sock").env("NO_COLOR", "1");
    for name in ["RECOUP_CLUSTER", "RECOUP_RUNS", "RECOUP_TRIES", "RECOUP_LOG", "KIND_NODE_IMAGE"] {
        command.env_remove(name);
    }
    let output = command.args(args).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

/// Runs it on the simulation and gives the run's name with what it told.
fn run(dir: &Path, args: &[&str]) -> (String, String, String) {
    let before = runs(dir);
    let (code, stdout, stderr) = told(dir, &[&["run", "--cluster", "sim"], args].concat());
    assert_eq!(code, 0, "{stdout}{stderr}");
    let new = runs(dir).into_iter().find(|run| !before.contains(run)).unwrap();
    (new, stdout, stderr)
}

fn runs(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir.join("recoup-runs")).into_iter().flatten();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn results(dir: &Path, run: &str) -> serde_json::Value {
    let text = fs::read_to_string(dir.join("recoup-runs").join(run).join("results.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

const TWO: [&str; 2] = ["scheduler/lease-expiry/kill", "etcd/leader-loss/kill"];

#[test]
fn trials_run_in_rounds_and_are_told_together() {
    let dir = tempfile::tempdir().unwrap();
    let args = [TWO[0], TWO[1], "--repeat", "3", "--seed", "7"];
    let (name, stdout, stderr) = run(dir.path(), &args);
    for (number, (id, trial)) in (1..4).flat_map(|trial| TWO.map(|id| (id, trial))).enumerate() {
        let line = format!("[{}/6] {id}, trial {trial} of 3: ", number + 1);
        assert!(stderr.contains(&line), "{line:?} is missing:\n{stderr}");
    }
    assert!(stdout.contains(&format!("{} (simulated), 3 trials: 3 passed", TWO[0])), "{stdout}");
    let results = results(dir.path(), &name);
    let trials: Vec<u64> =
        results["experiments"].as_array().unwrap().iter().map(|e| e["trial"].as_u64().unwrap()).collect();
    assert_eq!(trials, [1, 1, 2, 2, 3, 3]);
    let repetitions = results["repetitions"].as_array().unwrap();
    assert_eq!(repetitions.len(), 2);
    assert_eq!(repetitions[0]["verdicts"]["pass"], 3);
    // Each trial's own figures, not three times the last one's.
    let holder = |e: &serde_json::Value| e["intervals"][0]["measure"]["value"].clone();
    let lease = results["experiments"].as_array().unwrap().iter().filter(|e| e["id"] == TWO[0]);
    let figures: std::collections::BTreeSet<String> = lease.map(|e| holder(e).to_string()).collect();
    assert_eq!(figures.len(), 3, "{figures:?}");
    // The record alone gives the same again.
    let (code, judged, stderr) = told(dir.path(), &["judge", &name]);
    assert_eq!(code, 0, "{stderr}");
    assert!(judged.contains("3 trials: 3 passed") && judged.contains("No verdict differs"), "{judged}");
}

#[test]
fn a_run_is_compared_with_another() {
    let dir = tempfile::tempdir().unwrap();
    let (first, ..) = run(dir.path(), &[TWO[0], "--repeat", "6", "--seed", "1"]);
    let (second, ..) = run(dir.path(), &[TWO[0], TWO[1], "--repeat", "6", "--seed", "2"]);
    let (code, stdout, stderr) = told(dir.path(), &["compare", &first, &second, "--fail-on-slower"]);
    assert_eq!(code, 0, "two runs of one model do not differ:\n{stdout}{stderr}");
    assert!(stdout.contains("SIMULATED") && stdout.contains("no difference shown"), "{stdout}");
    assert!(stdout.contains(&format!("only {second} has {}", TWO[1])), "{stdout}");
    let (code, json, _) = told(dir.path(), &["compare", &first, &second, "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((code, json["experiments"][0]["id"].as_str()), (0, Some(TWO[0])));
    let (code, markdown, _) = told(dir.path(), &["compare", &first, &second, "--format", "markdown"]);
    assert!(code == 0 && markdown.contains("| experiment | milestone |"), "{markdown}");
}

/// The profile with short leases takes over sooner; the other way round is slower, and only then is it 1.
#[test]
fn slower_leases_are_found_and_fail_only_where_that_was_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let of = |profile: &str| {
        let suite = format!(
            "apiVersion: recoup/v1\nkind: Experiment\nmetadata: {{name: mine/lease}}\nspec:\n  \
             hypothesis: A scheduler that dies is replaced.\n  profile: {profile}\n  milestones:\n    \
             - {{name: new holder, when: {{newHolder: kube-scheduler}}, within: 60s}}\n  variants:\n    \
             - name: default\n      steps:\n        \
             - signal: {{process: kube-scheduler, on: {{leaseHolder: kube-scheduler}}, signal: KILL}}\n"
        );
        fs::write(dir.path().join("lease.yaml"), suite).unwrap();
        run(dir.path(), &["lease.yaml", "--repeat", "8", "--seed", "3"]).0
    };
    let (short, long) = (of("ha-short-lease"), of("ha"));
    let (code, stdout, _) = told(dir.path(), &["compare", &short, &long]);
    assert_eq!(code, 0, "{stdout}");
    assert!(stdout.contains("slower by ") && stdout.contains("is a difference"), "{stdout}");
    assert!(stdout.contains("the profile differs"), "{stdout}");
    assert_eq!(told(dir.path(), &["compare", &short, &long, "--fail-on-slower"]).0, 1);
    assert_eq!(told(dir.path(), &["compare", &long, &short, "--fail-on-slower"]).0, 0);
}

#[test]
fn wrong_usage_is_2() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(told(dir.path(), &["run", "--cluster", "sim", "--repeat", "0"]).0, 2);
    let (code, _, stderr) = told(dir.path(), &["compare", "yesterday", "today"]);
    assert!(code == 2 && stderr.contains("there is no run yesterday"), "{stderr}");
}
