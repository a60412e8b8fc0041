//! The controls' files: all load, all are listed, and what is wrong with one is told with its place.

use std::{collections::BTreeSet, path::Path};

use recoup_model::{
    plan::Plan,
    spec::{CONTROLS, builtin, control::ControlFile, controls, load_control},
    topology::ProviderKind,
    verdict::Verdict,
    yaml::parse,
};
use serde_json::Value;

const PROFILES: [&str; 3] = ["single", "ha", "ha-short-lease"];

fn plans() -> Vec<Plan> {
    builtin(&PROFILES).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn every_control_loads_and_none_expects_a_skip() {
    let controls = controls(&plans(), &PROFILES).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(controls.len(), CONTROLS.len());
    assert!(controls.iter().any(|control| control.spec.expect.verdict == Verdict::Fail));
    assert!(controls.iter().any(|control| control.spec.expect.verdict == Verdict::Inconclusive));
    let mut smoke = controls.iter().filter(|control| control.spec.smoke);
    assert!(smoke.all(|control| control.spec.on.contains(&ProviderKind::Kind)));
}

#[test]
fn a_control_runs_its_experiment_with_its_own_budgets() {
    let controls = controls(&plans(), &PROFILES).unwrap_or_else(|error| panic!("{error}"));
    let control = controls.iter().find(|control| control.name == "long-lease").expect("the control");
    let own = control.plan.milestones.iter().find(|one| one.name == "new holder").expect("its milestone");
    let text = serde_json::to_value(own).expect("a milestone is JSON");
    assert_eq!(text["within"], "30s", "{text}");
    let original = plans().into_iter().find(|plan| plan.id == control.plan.id).expect("the experiment");
    assert_eq!(original.steps, control.plan.steps);
}

#[test]
fn every_file_is_listed_and_named_as_its_path() {
    let dir = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../suites/controls"));
    let entries = std::fs::read_dir(dir).expect("the folder of controls");
    let found: BTreeSet<String> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned())
        .collect();
    let listed: BTreeSet<String> = CONTROLS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(found, listed);
    for (name, text) in CONTROLS {
        let file: ControlFile = parse(name, text).expect("a control");
        assert_eq!(file.metadata.name, format!("controls/{name}"));
    }
}

/// A sound file, in which each case changes something.
const SOUND: &str = "\
apiVersion: recoup/v1
kind: Control
metadata: {name: controls/example}
spec:
  why: It must be noticed.
  experiment: controller-manager/lease-expiry/kill
  on: [kind, sim]
  defect:
    cluster:
      from: start
      on: controlPlanes
      what: {flags: {pod: kube-scheduler, args: {v: \"2\"}}}
  budgets: {new holder: 30s}
  expect: {verdict: fail, because: new holder}
";

fn told(changes: &[(&str, &str)]) -> String {
    let mut text = SOUND.to_owned();
    for (from, to) in changes {
        assert!(text.contains(from), "{from:?} is not in the sound file");
        text = text.replace(from, to);
    }
    match load_control("suites/controls/example.yaml", &text, &plans()) {
        Ok(_) => "nothing is wrong with it".to_owned(),
        // The list of all experiments would change with every new one.
        Err(error) => error
            .to_string()
            .lines()
            .map(|line| line.split(" known are etcd").next().unwrap_or_default().to_owned() + "\n")
            .collect(),
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
            insta::assert_snapshot!(concat!("control_", stringify!($name)), told(&[$($change),*]));
        })*
    };
}

cases! {
    unknown_names: [
        ("lease-expiry/kill", "lease-expiry/kil"),
        ("controls/example", "example"),
        ("kind: Control", "kind: Experiment"),
    ];
    unknown_milestone_and_no_reason: [
        ("{new holder: 30s}", "{new holdr: 30s}"),
        (", because: new holder", ""),
    ];
    unknown_defect_and_more: [
        ("flags:", "flag:"),
        ("{new holder: 30s}", "{new holder: 30}"),
        ("verdict: fail", "verdict: failed"),
    ];
    a_defect_that_cannot_be: [
        ("from: start", "from: fault"),
        ("on: controlPlanes", "on: {standbysOf: kube-schedular}"),
        ("args: {v: \"2\"}", "args: {}"),
    ];
    who_is_hit_before_the_fault: [("on: controlPlanes", "on: hit"), ("on: [kind, sim]", "on: [kind, kind]")];
    a_skip_is_no_verdict: [("verdict: fail", "verdict: skipped")];
    a_harness_on_a_real_cluster: [
        ("    cluster:
      from: start
      on: controlPlanes
      what: {flags: {pod: kube-scheduler, args: {v: \"2\"}}}", "    harness: undoSwallowed"),
    ];
    a_prober_throttled_to_all: [
        ("    cluster:
      from: start
      on: controlPlanes
      what: {flags: {pod: kube-scheduler, args: {v: \"2\"}}}", "    harness: {throttled: 1}"),
    ];
}

/// `UPDATE_SCHEMA=1 cargo test -p recoup-model --test controls schema` writes it anew.
#[test]
fn the_schema_of_controls_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../suites/controls/schema.json");
    let mut wanted = schemars::schema_for!(ControlFile).to_value();
    wanted.sort_all_objects();
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        let text = serde_json::to_string_pretty(&wanted).expect("a schema is JSON") + "\n";
        std::fs::write(path, text).expect("suites/controls/schema.json can be written");
    }
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let found: Value = serde_json::from_str(&text).unwrap_or_default();
    assert!(
        found == wanted,
        "suites/controls/schema.json differs from the types: run with UPDATE_SCHEMA=1 to write it anew"
    );
}
