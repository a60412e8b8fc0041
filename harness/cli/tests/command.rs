//! The command as users meet it, without Docker.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    fs,
    io::{Read, Write},
    os::unix::net::UnixListener,
    path::Path,
    process::Output,
    sync::{Arc, Mutex},
    thread,
};

use assert_cmd::Command;

/// recoup in a directory of its own, without the environment's settings and without Docker.
fn recoup(dir: &Path, args: &[&str]) -> Output {
    recoup_with("unix:///nonexistent/docker.sock", dir, args)
}

/// The same with a Docker engine.
fn recoup_with(docker: &str, dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::cargo_bin("recoup").unwrap();
    command.current_dir(dir).env("DOCKER_HOST", docker).env("NO_COLOR", "1");
    for name in ["RECOUP_CLUSTER", "RECOUP_RUNS", "RECOUP_TRIES", "RECOUP_LOG", "KIND_NODE_IMAGE"] {
        command.env_remove(name);
    }
    command.args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Exit code, stdout, stderr.
fn told(dir: &Path, args: &[&str]) -> (i32, String, String) {
    let output = recoup(dir, args);
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

/// Fails with that code, says these things, and has changed nothing in the directory.
fn refused(dir: &Path, args: &[&str], code: i32, says: &[&str]) {
    let before = listing(dir);
    let (got, stdout, stderr) = told(dir, args);
    assert_eq!(got, code, "recoup {args:?}\n{stdout}{stderr}");
    for what in says {
        assert!(stderr.contains(what), "recoup {args:?} does not say {what:?}:\n{stderr}");
    }
    assert_eq!(listing(dir), before, "recoup {args:?} changed something");
}

fn listing(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(listing(&path));
            all.push((path.display().to_string(), Vec::new()));
        } else {
            all.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
    all.sort();
    all
}

const SUITE: &str = "\
apiVersion: recoup/v1
kind: Experiment
metadata: {name: mine/first}
spec:
  hypothesis: A scheduler that dies is replaced.
  profile: ha
  milestones:
    - {name: new holder, when: {newHolder: kube-scheduler}, within: 40s}
  variants:
    - name: default
      steps:
        - signal: {process: kube-scheduler, on: {leaseHolder: kube-scheduler}, signal: KILL}
";

#[test]
fn the_help_documents_every_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let (code, stdout, _) = told(dir.path(), &["run", "--help"]);
    assert_eq!(code, 0);
    assert!(stdout.contains("130  interrupted"), "{stdout}");
    assert_eq!(told(dir.path(), &["--version"]).0, 0);
}

#[test]
fn wrong_usage_is_2() {
    let dir = tempfile::tempdir().unwrap();
    let here = dir.path();
    refused(here, &["run", "--frobnicate"], 2, &["--frobnicate"]);
    refused(here, &["run", "--cluster", "cloud"], 2, &["auto, kind or sim"]);
    refused(
        here,
        &["run", "etcd/leader-lost"],
        2,
        &["neither an experiment nor a suite file", "help: there is etcd/"],
    );
    refused(here, &["run", "./nothing.yaml"], 2, &["no such file"]);
    refused(here, &["run", "--adopt", "a", "--name", "b"], 2, &["cannot be used with"]);
    refused(here, &["plan", "--smoke", "kube-proxy"], 2, &["quick set"]);
    refused(here, &["judge", "yesterday"], 2, &["there is no run yesterday", "help: "]);
    refused(here, &["cluster", "up", "huge"], 2, &["\"huge\"", "ha-short-lease"]);
}

#[test]
fn a_bad_suite_file_is_2_and_every_problem_has_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let bad = SUITE.replace("within: 40s", "within: 40").replace("signal: KILL", "sginal: KILL");
    fs::write(dir.path().join("bad.yaml"), bad).unwrap();
    let says = ["bad.yaml:8:", "100ms, 30s or 1m30s", "bad.yaml:12:", "did you mean `signal`", "help: "];
    refused(dir.path(), &["run", "bad.yaml", "--cluster", "sim"], 2, &says);
    refused(dir.path(), &["plan", "bad.yaml"], 2, &says);
}

#[test]
fn a_suite_for_a_profile_that_lacks_what_it_needs_is_2() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("small.yaml"), SUITE.replace("profile: ha", "profile: single")).unwrap();
    let says = ["mine/first cannot run on profile \"single\"", "2 control planes", "nothing was run"];
    refused(dir.path(), &["run", "small.yaml", "--cluster", "sim"], 2, &says);
}

#[test]
fn a_docker_socket_that_does_not_answer_is_4() {
    let dir = tempfile::tempdir().unwrap();
    let says = ["docker", "help: "];
    refused(dir.path(), &["run", "scheduler", "--cluster", "kind"], 4, &says);
    refused(dir.path(), &["run", "scheduler", "--adopt", "theirs"], 4, &says);
    refused(dir.path(), &["cluster", "list"], 4, &says);
    refused(dir.path(), &["cluster", "up", "single"], 4, &says);
    let (code, stdout, _) = told(dir.path(), &["doctor"]);
    assert_eq!(code, 4, "{stdout}");
    assert!(stdout.contains("MISSING  docker") && stdout.contains("to mend it: "), "{stdout}");
}

#[test]
fn plan_and_list_touch_nothing_and_need_no_docker() {
    let dir = tempfile::tempdir().unwrap();
    let before = listing(dir.path());
    let (code, stdout, stderr) = told(dir.path(), &["plan"]);
    assert_eq!(code, 0, "{stderr}");
    for says in ["etcd/leader-loss/kill", "SIGKILL to etcd on the raft leader", "Nothing was touched"] {
        assert!(stdout.contains(says), "{says:?} is missing:\n{stdout}");
    }
    let (code, stdout, _) = told(dir.path(), &["list", "--json"]);
    assert_eq!(code, 0);
    let rows: Vec<serde_json::Value> = serde_json::from_str(&stdout).unwrap();
    let smoke = |id: &str| rows.iter().find(|row| row["id"] == id).map(|row| row["smoke"].clone());
    assert_eq!(smoke("etcd/leader-loss/kill"), Some(true.into()));
    assert_eq!(smoke("etcd/leader-loss/term"), Some(false.into()));
    // Predictions prolong an experiment beyond what its file says: the list foresees what the plan does.
    let id = "controller-manager/lease-tuning/long";
    let most = rows.iter().find(|row| row["id"] == id).and_then(|row| row["mostSeconds"].as_u64()).unwrap();
    let (_, alone, _) = told(dir.path(), &["plan", id]);
    let range = format!(" to {} min beside", (most + 30) / 60);
    assert!(alone.contains(&range), "{range:?} is missing:\n{alone}");
    assert_eq!(listing(dir.path()), before);
}

#[test]
fn a_plan_says_whose_settings_its_intervals_follow_from() {
    let dir = tempfile::tempdir().unwrap();
    let here = dir.path();
    let before = listing(here);
    let plan = |args: &[&str]| {
        let (code, stdout, stderr) = told(here, &[&["plan"], args].concat());
        assert_eq!(code, 0, "{stdout}{stderr}");
        stdout
    };
    let documented = plan(&["etcd/leader-loss/kill"]);
    assert!(
        documented.starts_with("settings for profile ha: documented defaults of Kubernetes 1."),
        "{documented}"
    );
    assert!(documented.contains("(default of etcd)"), "{documented}");
    let simulated = plan(&["etcd/leader-loss/kill", "--cluster", "sim", "--name", "mine"]);
    let heading = "settings for profile ha: read from SIMULATED cluster mine, Kubernetes v1.33.0\n";
    assert!(simulated.starts_with(heading), "{simulated}");
    assert!(simulated.contains("(the simulation's model)"), "{simulated}");
    assert!(!simulated.contains("documented") && !simulated.contains("(default of etcd)"), "{simulated}");
    assert!(simulated.contains("mine, profile ha: 3 control planes, 2 workers"), "{simulated}");
    // A run reads the settings with these flags in place.
    let longer = plan(&["controller-manager/lease-tuning/long", "--cluster", "sim"]);
    let says = [
        "--leader-elect-lease-duration=60s",
        "(--leader-elect-lease-duration of kube-controller-manager, by",
    ];
    assert!(says.iter().all(|what| longer.contains(what)), "{longer}");
    assert_eq!(listing(here), before);
    refused(here, &["plan", "--cluster", "sim", "--adopt", "theirs"], 2, &["need a real cluster"]);
    for named in [["--cluster", "kind"], ["--name", "mine"], ["--adopt", "theirs"]] {
        refused(here, &["plan", named[0], named[1]], 4, &["docker", "help: "]);
    }
}

/// A Docker engine without a container, and the first lines of what it was asked.
fn empty_engine(socket: &Path) -> Arc<Mutex<Vec<String>>> {
    let listener = UnixListener::bind(socket).unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&asked);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
                request.push(byte[0]);
            }
            let line = text(&request).lines().next().unwrap_or_default().to_owned();
            let body = if line.contains("/version") { r#"{"ApiVersion":"1.44"}"# } else { "[]" };
            noted.lock().unwrap().push(line);
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close";
            write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        }
    });
    asked
}

#[test]
fn a_plan_of_a_cluster_that_is_absent_is_4_and_makes_none() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("docker.sock");
    let asked = empty_engine(&socket);
    let docker = format!("unix://{}", socket.display());
    for (args, name, makes) in [
        (["--cluster", "kind"], "recoup-ha", "`recoup cluster up ha` makes it"),
        (["--name", "mine"], "mine", "`recoup cluster up ha --name mine` makes it"),
        (["--adopt", "theirs"], "theirs", "`recoup cluster up ha --name theirs` makes it"),
    ] {
        let output = recoup_with(&docker, dir.path(), &[&["plan", "etcd"], &args[..]].concat());
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{stderr}");
        assert!(
            stderr.contains(&format!("no kind cluster \"{name}\"")) && stderr.contains(makes),
            "{stderr}"
        );
        assert_eq!(text(&output.stdout), "");
    }
    let asked = asked.lock().unwrap();
    assert!(asked.iter().any(|line| line.contains("/containers/json")), "{asked:?}");
    assert!(asked.iter().all(|line| line.starts_with("GET ")), "{asked:?}");
}

#[test]
fn a_budget_that_is_not_kept_is_1_and_fail_fast_leaves_out_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("strict.yaml"), SUITE.replace("within: 40s", "within: 1s")).unwrap();
    let smoke = "controller-manager/lease-expiry/kill";
    let args = ["run", "--cluster", "sim", "--seed", "7", "strict.yaml"];
    let (code, stdout, stderr) = told(dir.path(), &args);
    assert_eq!(code, 1, "{stdout}{stderr}");
    assert!(
        stdout.contains("FAIL          mine/first") && stderr.contains("mine/first: FAIL"),
        "{stdout}{stderr}"
    );
    let (code, stdout, stderr) = told(dir.path(), &[&args[..], &["./strict.yaml", "--fail-fast"]].concat());
    assert_eq!(code, 2, "the same experiment twice: {stdout}{stderr}");
    fs::write(dir.path().join("second.yaml"), SUITE.replace("mine/first", "mine/second")).unwrap();
    let (code, stdout, stderr) = told(dir.path(), &[&args[..], &["second.yaml", "--fail-fast"]].concat());
    assert_eq!(code, 1, "{stdout}{stderr}");
    assert!(
        stderr.contains("mine/second: SKIPPED: left out by --fail-fast: mine/first came to FAIL"),
        "{stderr}"
    );
    let (code, stdout, _) = told(dir.path(), &["run", "--cluster", "sim", smoke, "--runs", "others"]);
    assert_eq!(code, 0, "{stdout}");
    assert!(dir.path().join("others").is_dir());
}

/// A simulated run of one short experiment, and its directory.
fn ran(dir: &Path) -> std::path::PathBuf {
    fs::write(dir.join("mine.yaml"), SUITE).unwrap();
    let (code, stdout, stderr) = told(dir, &["run", "mine.yaml", "--seed", "7"]);
    assert_eq!(code, 0, "{stdout}{stderr}");
    // auto, without Docker: sim, and it says so and why.
    assert!(stderr.starts_with("cluster: sim, because kind is not usable here (docker"), "{stderr}");
    assert!(stdout.starts_with("SIMULATED") && stdout.contains("mine/first"), "{stdout}");
    let lines = ["phase: baseline", "step 1: SIGKILL", "evidence: ", "another process (", "mine/first: PASS"];
    let mut rest = stderr.as_str();
    for line in lines {
        let found =
            rest.find(line).unwrap_or_else(|| panic!("no {line:?} after what came before:\n{stderr}"));
        rest = &rest[found..];
    }
    let mut runs = fs::read_dir(dir.join("recoup-runs")).unwrap();
    runs.next().unwrap().unwrap().path()
}

#[test]
fn a_run_writes_its_reports_and_is_judged_again_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let run = ran(dir.path());
    for file in ["events.jsonl", "results.json", "junit.xml", "summary.md", "report.html"] {
        assert!(run.join(file).metadata().unwrap().len() > 100, "{file}");
    }
    let name = run.file_name().unwrap().to_str().unwrap();
    let before = listing(&run);
    let (code, stdout, stderr) = told(dir.path(), &["judge", name]);
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(stdout.contains("No verdict differs from the recorded one."), "{stdout}");
    assert_eq!(stderr, "", "a whole record gives no warning");
    assert_eq!(listing(&run), before, "judge wrote something");
    let (code, stdout, _) = told(dir.path(), &["report", name, "--format", "json"]);
    assert_eq!(code, 0);
    assert_eq!(stdout, fs::read_to_string(run.join("results.json")).unwrap());
    let (code, _, _) = told(dir.path(), &["report", name, "--format", "html", "-o", "page.html"]);
    assert_eq!(code, 0);
    assert_eq!(fs::read(dir.path().join("page.html")).unwrap(), fs::read(run.join("report.html")).unwrap());
    let (code, stdout, _) = told(dir.path(), &["heal"]);
    assert_eq!((code, stdout.contains("nothing is left to undo")), (0, true), "{stdout}");
    records_that_cannot_be_read(dir.path(), &run);
}

/// Made from a good record: of a killed run, truncated, damaged, of another version, empty.
fn records_that_cannot_be_read(dir: &Path, good: &Path) {
    let events = fs::read_to_string(good.join("events.jsonl")).unwrap();
    let lines: Vec<&str> = events.lines().collect();
    let write = |name: &str, text: &str| {
        fs::create_dir_all(dir.join("recoup-runs").join(name)).unwrap();
        fs::write(dir.join("recoup-runs").join(name).join("events.jsonl"), text).unwrap();
    };
    let fault = lines.iter().position(|line| line.contains("\"injected\"")).unwrap();
    write("killed", &format!("{}\n{}", lines[..fault + 200].join("\n"), &lines[fault + 200][..20]));
    for command in ["judge", "report"] {
        let (code, stdout, stderr) = told(dir, &[command, "killed"]);
        assert_eq!(code, if command == "judge" { 3 } else { 0 }, "{stdout}{stderr}");
        assert!(stderr.contains(&format!("events.jsonl:{}: the last line is cut", fault + 201)), "{stderr}");
        assert!(stdout.contains("INCONCLUSIVE") && stdout.contains("record is cut"), "{stdout}");
    }
    let mut damaged = lines.clone();
    damaged[3] = "{\"at\": 5, \"event\": \"nonsense\"}";
    write("damaged", &damaged.join("\n"));
    refused(dir, &["judge", "damaged"], 6, &["damaged/events.jsonl:4:", "not a line of a record", "help: "]);
    let format = recoup_model::event::FORMAT;
    let known = format!("reads formats 1 to {format}");
    write("future", &events.replacen(&format!("\"format\":{format}"), "\"format\":99", 1));
    refused(dir, &["report", "future"], 6, &["its format is 99", &known, "help: "]);
    write("empty", "");
    refused(dir, &["judge", "empty"], 6, &["no complete line"]);
    fs::create_dir_all(dir.join("recoup-runs/bare")).unwrap();
    refused(dir, &["judge", "bare"], 7, &["bare/events.jsonl"]);
}

#[test]
fn what_a_dead_run_left_is_told_and_a_ledger_that_is_damaged_is_6() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("recoup-runs/dead");
    fs::create_dir_all(&run).unwrap();
    let entry = |provider: &str| {
        format!(
            "{{\"armed\":{{\"id\":1,\"provider\":\"{provider}\",\"cluster\":\"c\",\"node\":\"n\",\"step\":1,\"undo\":{{\"do\":\"unpause\"}}}}}}\n"
        )
    };
    fs::write(run.join("ledger.jsonl"), entry("kind")).unwrap();
    refused(dir.path(), &["heal"], 8, &["could not be undone", "help: "]);
    // A simulated cluster went with its process.
    fs::write(run.join("ledger.jsonl"), entry("sim")).unwrap();
    let (code, stdout, stderr) = told(dir.path(), &["heal"]);
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(stdout.contains("dead: unpausing the node on n of c: nothing was left of it"), "{stdout}");
    fs::write(run.join("ledger.jsonl"), "hello\n").unwrap();
    refused(dir.path(), &["heal"], 6, &["ledger.jsonl:1: not a line of a ledger"]);
}

#[test]
fn a_directory_of_runs_that_cannot_be_written_is_7() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    refused(
        dir.path(),
        &["run", "scheduler/lease-expiry/kill", "--cluster", "sim", "--runs", "file"],
        7,
        &["file"],
    );
}
