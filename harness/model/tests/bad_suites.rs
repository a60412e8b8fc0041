//! What users are told about suite files that are wrong: where, what, and what would be right.

use recoup_model::{spec::load, yaml};

const PROFILES: [&str; 2] = ["single", "ha"];

/// A sound file, in which each case changes something.
const SOUND: &str = "\
apiVersion: recoup/v1
kind: Experiment
metadata: {name: etcd/example}
spec:
  hypothesis: It goes on.
  profile: ha
  milestones:
    - {name: new leader, when: newLeader, within: 5s}
  assertions:
    - gap: {of: api/write/lb/reused, max: 3s}
  variants:
    - name: kill
      steps:
        - signal: {process: etcd, on: raftLeader, signal: KILL}
";

fn told(changes: &[(&str, &str)]) -> String {
    let mut text = SOUND.to_owned();
    for (from, to) in changes {
        assert!(text.contains(from), "{from:?} is not in the sound file");
        text = text.replace(from, to);
    }
    match load("suites/example.yaml", &text, &PROFILES) {
        Ok(_) => "nothing is wrong with it".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn the_sound_file_is_sound() {
    assert_eq!(told(&[]), "nothing is wrong with it");
}

macro_rules! cases {
    ($($name:ident: [$($change:expr),* $(,)?];)*) => {
        $(#[test]
        fn $name() {
            insta::assert_snapshot!(stringify!($name), told(&[$($change),*]));
        })*
    };
}

cases! {
    loads_that_load_nothing: [("- signal: {process: etcd, on: raftLeader, signal: KILL}", "- load: {mix: {get: 0}, for: 10s}\n        - load: {mix: {get: 1}, rate: 10/s, ramp: {from: 9/s, to: 3/s, steps: 1}, connections: 0, for: 10s}")];
    a_rate_that_no_load_reaches: [
        ("- signal: {process: etcd, on: raftLeader, signal: KILL}", "- load: {mix: {get: 1}, rate: 10/s, for: 10s}"),
        ("- gap: {of: api/write/lb/reused, max: 3s}", "- holdsUpTo: {rate: 20/s, convergence: 0s}"),
    ];
    a_knee_beside_a_fault: [("- gap: {of: api/write/lb/reused, max: 3s}", "- holdsUpTo: {rate: 20/s, convergence: 8s}")];
    no_yaml: [("spec:", "spec: {")];
    unknown_field: [("process:", "proces:")];
    unknown_step: [("- signal:", "- signals:")];
    unknown_value: [("signal: KILL", "signal: KIL")];
    wrong_unit: [("within: 5s", "within: 5"), ("max: 3s", "max: 3 parsecs")];
    missing_field: [("  profile: ha\n", "")];
    missing_inside: [("when: newLeader, ", ""), ("process: etcd, ", ""), ("{name: etcd/example}", "{}")];
    twice: [("  profile: ha\n", "  profile: ha\n  profile: single\n")];
    other_version: [("recoup/v1", "recoup/v7"), ("kind: Experiment", "kind: Pod")];
    unknown_profile: [("profile: ha", "profile: hha")];
    bad_names: [("etcd/example", "Example"), ("name: kill", "name: Kill_it")];
    stop_without_for: [("signal: KILL", "signal: STOP")];
    kill_with_for: [("signal: KILL", "signal: KILL, for: 5s, times: 0, every: 1s")];
    no_fault: [("signal: {process: etcd, on: raftLeader, signal: KILL}", "wait: 5s")];
    same_as_later: [("on: raftLeader", "on: {sameAs: 2}")];
    unknown_lease: [("newLeader", "{newHolder: kube-schedular}")];
    no_such_stream: [("api/write/lb/reused", "api/writes/lb/reused")];
    probe_is_off: [("api/write/lb/reused", "converge")];
    no_formula: [("newLeader, within: 5s", "{fails: api/cached/*/reused}, within: predicted")];
    at_least_above_within: [("within: 5s", "atLeast: 6s, within: 5s")];
    baseline_too_short: [("  profile: ha\n", "  profile: ha\n  baseline: 2s\n")];
    share_out_of_range: [("gap: {of: api/write/lb/reused, max: 3s}", "fails: {of: etcd/put/*, share: 1.5}")];
    milestone_twice: [("  assertions:\n", "    - {name: new leader, when: caughtUp}\n  assertions:\n")];
    nothing_is_deleted: [("when: newLeader", "when: deleted")];
    rates_of_zero: [("  profile: ha\n", "  profile: ha\n  stable: 0s\n  probes: {api: {period: 0s}}\n")];
    nothing_comes_back: [
        ("gap: {of: api/write/lb/reused, max: 3s}", "comesBack: {within: 5s}"),
        ("signal: KILL", "signal: STOP, for: 5s"),
    ];
    many_at_once: [("within: 5s", "wihtin: 5s"), ("max: 3s", "max: 3"), ("raftLeader", "raftleader")];
}

#[test]
fn an_error_names_the_file_the_line_and_the_column() {
    let error =
        load("a/b.yaml", &SOUND.replace("raftLeader", "raftleader"), &PROFILES).expect_err("a bad target");
    let [problem] = error.problems() else { panic!("one problem: {error}") };
    assert_eq!((problem.file.as_str(), problem.line, problem.column), ("a/b.yaml", 14, 39));
    assert!(problem.field.starts_with("spec.variants[0].steps[0].signal"), "{}", problem.field);
}

#[test]
fn any_file_is_read_with_the_same_care() {
    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Small {
        #[expect(dead_code, reason = "only its reading is looked at")]
        versions: Vec<String>,
    }
    assert!(yaml::parse::<Small>("versions.yaml", "versions: ['1.33', '1.34']").is_ok());
    let error = yaml::parse::<Small>("versions.yaml", "\nversion: [a]\n").expect_err("an unknown field");
    assert!(error.to_string().starts_with("versions.yaml:2:1: "), "{error}");
    assert!(error.to_string().contains("did you mean `versions`?"), "{error}");
}

#[test]
fn flags_that_a_manifest_cannot_take_are_told_with_their_field() {
    let flags = |line: &str| told(&[("  milestones:\n", &format!("  flags:\n    {line}\n  milestones:\n"))]);
    assert_eq!(flags("etcd: {quota-backend-bytes: \"67108864\"}"), "nothing is wrong with it");
    for (line, place) in [
        ("etcd: {\"--quota\": \"1\"}", "spec.flags.etcd.--quota"),
        ("kube-scheduler: {v: \"two words\"}", "spec.flags.kube-scheduler.v"),
        ("etcd: {}", "spec.flags.etcd"),
    ] {
        let said = flags(line);
        assert!(said.contains(place), "{line}: {said}");
    }
}
